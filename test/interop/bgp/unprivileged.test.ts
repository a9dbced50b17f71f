import { chmodSync, chownSync, existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { BgpEntryJson } from '../../../src/api/bgp.ts';
import { Lab } from '../../../src/demo/lab.ts';
import { formatIpv4 } from '../../../src/net/ipv4.ts';
import { fanway, statusOf } from '../../control/lab-router.ts';
import { skipWithoutNamespaces } from '../../netns/privileges.ts';
import { until } from '../../support/patience.ts';
import { readableProgram } from '../../support/readable.ts';
import { Gobgp, gobgpWaitingFor, whyNoGobgp } from './routers.ts';

const SETPRIV = '/usr/bin/setpriv';
const skip =
  skipWithoutNamespaces() || whyNoGobgp() || (!existsSync(SETPRIV) && 'needs setpriv (util-linux)');
const NOBODY = 65534;

t.test('an ordinary user without any capability speaks EVPN', { skip }, async (t) => {
  const lab = await Lab.create({ hosts: 2, containersPerHost: 0 });
  t.teardown(() => lab.close());
  const host = lab.host(0);
  const [us, them] = [formatIpv4(host.address), formatIpv4(lab.host(1).address)];
  const gobgp = await Gobgp.start(lab.host(1), gobgpWaitingFor(us, them));
  const file = join(host.runDirectory, 'fanway.conf');
  const own = `as = 65000\nvtep = ${us}\nvnis = 100\nvteps = 172.30.0.0/16\n`;
  writeFileSync(file, `[bgp]\n${own}[bgp-neighbor]\naddress = ${them}\nas = 65000\n`);
  chmodSync(file, 0o644);
  chownSync(host.runDirectory, NOBODY, NOBODY);
  const drop = [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'];
  const none = ['--inh-caps=-all', '--ambient-caps=-all', '--bounding-set=-all'];
  const command = [process.execPath, readableProgram(), 'daemon', '-c', file];
  const { environment: env } = host;
  host.spawn(SETPRIV, [...drop, ...none, ...command], { env, stdio: 'ignore' });

  const given = join(host.runDirectory, 'routes.json');
  writeFileSync(given, '[{"kind": "flood", "vni": 100}]');
  await until('a route is taken', 10_000, async () => {
    return (await fanway(host, 'bgp', 'announce', given)).code === 0;
  });
  await until('GoBGP has it', 10_000, async () => (await gobgp.paths()).length === 1);
  const words = `etag 0 label 100 rd ${them}:7 rt 65000:100 encap vxlan`;
  await gobgp.run(`global rib add -a evpn macadv 02:00:00:00:00:09 10.0.0.9 ${words}`);
  const rib = async (): Promise<BgpEntryJson[]> =>
    JSON.parse((await fanway(host, 'bgp', 'rib', '--json')).out) as BgpEntryJson[];
  await until('we have its', 5000, async () => (await rib()).length === 2);
  t.match(await rib(), [{ entry: '02:00:00:00:00:09' }, { entry: '10.0.0.9', vtep: them }]);
  const { bgp } = await statusOf(host);
  t.match(bgp, { state: 'up', listening: false, neighbors: { established: 1 } });
});
