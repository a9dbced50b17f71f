import t from 'tap';
import { Lab } from '../../src/demo/lab.ts';
import { runFanway } from '../../src/demo/router.ts';
import { formatMac } from '../../src/net/mac.ts';
import { runEcho } from '../../src/traffic/run.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { until } from '../support/patience.ts';
import { statusOf } from './lab-router.ts';

t.test('status names a container with a wrong address', { skip: skipWithoutTun() }, async (t) => {
  const lab = await Lab.create({ hosts: 1, containersPerHost: 2 });
  t.teardown(() => lab.close());
  const host = lab.host(0);
  await runFanway(host, ['up', '250.0.0.0/8', 'eth0/16']);
  const [right, wrong] = [lab.container(0, 0), lab.container(0, 1)];
  const attach = (container: typeof right, address: number): Promise<void> =>
    container.attach({ bridge: 'fan-250-0-28', address, length: 8, gateway: 0xfa001c01 });
  await attach(right, 0xfa001c0a);
  await attach(wrong, 0xfa07070a);
  const mac = formatMac((await wrong.netlink.link('eth0')).address);
  const told = await until('status tells of it', 20_000, async () => {
    await Promise.all(
      [right, wrong].map((one) => runEcho(one, ['250.1.27.10'], { count: 3, interval: 100 })),
    );
    const [link] = (await statusOf(host)).links;
    const drop = link?.drops.find(({ counter }) => counter === 'egress.drop.foreign_source');
    return drop?.cause.includes('250.7.7.10') === true && drop.cause;
  });
  t.match(told, `250.7.7.10 (MAC ${mac}, port ${wrong.hostEnd})`, 'address, MAC and port');
  t.match(told, "is not of this host's slice 250.0.28.0/24: give the container an address of it");
  t.notMatch(told, '250.0.28.10', 'not the one that is right');
});
