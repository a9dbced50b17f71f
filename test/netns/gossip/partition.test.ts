import t from 'tap';
import { portName } from '../../../src/demo/lab.ts';
import { skipWithoutTun } from '../privileges.ts';
import { startCluster } from './cluster.ts';
import { partition } from './split.ts';

const skip = skipWithoutTun();
const OTHER_BRIDGE = 'sw1';

t.test('half and half, by two switches, and back', { skip }, async (t) => {
  const cluster = await startCluster(t, { hosts: 4 });
  const { netlink } = cluster.lab.middle;
  await netlink.createBridge(OTHER_BRIDGE, { up: true });
  const plug = async (bridge: string): Promise<void> => {
    const { index } = await netlink.link(bridge);
    for (const host of [2, 3]) await netlink.setLink(portName(host), { master: index, up: true });
  };
  await partition(
    t,
    cluster,
    () => plug(OTHER_BRIDGE),
    () => plug('sw0'),
  );
});
