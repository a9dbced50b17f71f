import t from 'tap';
import { Lab } from '../../../src/demo/lab.ts';
import { formatIpv4 } from '../../../src/net/ipv4.ts';
import { neighbourSettings } from '../../bgp/lab.ts';
import { skipWithoutNamespaces } from '../../netns/privileges.ts';
import { giveIpv6 } from '../../support/ipv6-underlay.ts';
import { until } from '../../support/patience.ts';
import { Gobgp, gobgpWaitingFor, whyNoGobgp } from './routers.ts';
import { startSpeaker } from './speaker.ts';

const skip = skipWithoutNamespaces() || whyNoGobgp();

/** fd99::`last`. */
function ipv6(last: number): Uint8Array {
  return Uint8Array.of(0xfd, 0x99, ...new Array(13).fill(0), last);
}

t.test('sessions and next hops of IPv6, prefixes of IPv6', { skip }, async (t) => {
  const lab = await Lab.create({ hosts: 2, containersPerHost: 0, ipv6: true });
  t.teardown(() => lab.close());
  for (const index of [0, 1]) giveIpv6(lab.host(index), `fd99::${index + 1}/64`);
  const gobgp = await Gobgp.start(
    lab.host(1),
    gobgpWaitingFor('fd99::1', formatIpv4(lab.host(1).address)),
  );
  const fanway = await startSpeaker(
    lab.host(0),
    {
      vtep: ipv6(1),
      vteps: [{ address: ipv6(0), length: 64 }],
      neighbours: [neighbourSettings({ address: 'fd99::2', connectRetrySeconds: 1 })],
    },
    ipv6(1),
  );
  t.teardown(() => fanway.close());
  const { speaker } = fanway;
  await until('a session', 20_000, () => speaker.neighbours[0]?.state === 'Established');
  speaker.announce({ kind: 'flood', vni: 100 });
  const mac = { kind: 'mac', vni: 100, mac: 0x0200_0000_0001, sequence: 0 } as const;
  speaker.announce({ ...mac, ip: ipv6(0x77), sticky: false, gateway: false });
  const prefix = { kind: 'prefix', vni: 100, routerMac: null } as const;
  speaker.announce({ ...prefix, address: ipv6(0), length: 64 });
  await until('GoBGP has all', 10_000, async () => (await gobgp.paths()).length === 3);
  const rib = await gobgp.run('global rib -a evpn');
  t.match(rib, /macadv\].*\[mac:02:00:00:00:00:01\]\[ip:fd99::77\] +\[100\] +fd99::1 /);
  t.match(rib, /multicast\].*\[ip:fd99::1\] +fd99::1 /);
  t.match(rib, /Prefix\].*\[prefix:fd99::\/64\] +\[100\] +fd99::1 /);

  const own = 'etag 0 label 100 rd 10.0.0.9:7 rt 65000:100 encap vxlan nexthop fd99::2';
  await gobgp.run(`global rib add -a evpn macadv 02:00:00:00:00:09 fd99::78 ${own}`);
  await gobgp.run(`global rib add -a evpn prefix fd98::/48 ${own}`);
  await until('what GoBGP has', 10_000, () => speaker.imports.size === 3);
  const places = [...speaker.imports.entries()].map(({ entry, place }) => [entry.kind, place.vtep]);
  t.same(places, [
    ['mac', ipv6(2)],
    ['address', ipv6(2)],
    ['prefix', ipv6(2)],
  ]);
  t.match(
    [...speaker.imports.entries()].map(({ entry }) => entry),
    [{}, { ip: ipv6(0x78) }, { length: 48 }],
  );
});
