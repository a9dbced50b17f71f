/**
 * What measures routers by how fast they take many routes: each with nothing but EVPN, counted from
 * its first route to its last.
 * @module
 */
import type { LabHost } from '../../../src/demo/lab.ts';
import { formatIpv4 } from '../../../src/net/ipv4.ts';
import { until } from '../../support/patience.ts';
import { Frr, type Gobgp, type Release } from './routers.ts';

/** A neighbour of GoBGP, by its address. */
export const client = (address: string, more = ''): string => `[[neighbors]]
[neighbors.config]
neighbor-address = "${address}"
peer-as = 65000
${more}[[neighbors.afi-safis]]
[neighbors.afi-safis.config]
afi-safi-name = "l2vpn-evpn"
`;
/** It is a client of the reflector with this cluster id, and dials. */
export const reflected = (cluster: string): string => `[neighbors.transport.config]
passive-mode = true
[neighbors.route-reflector.config]
route-reflector-client = true
route-reflector-cluster-id = "${cluster}"
`;

/** Times how long a router takes from its first route to `wanted`, ms. */
export async function fill(
  wanted: number,
  count: () => Promise<number>,
  limitMs = 120_000,
): Promise<number> {
  let firstMs = 0;
  await until('all routes', limitMs, async () => {
    const have = await count().catch(() => 0);
    if (have > 0 && firstMs === 0) firstMs = performance.now();
    return have >= wanted;
  });
  return Math.round(performance.now() - firstMs);
}

/** FRR's bgpd, without zebra: a reflector where it has clients. */
export function startFrr(
  host: LabHost,
  neighbours: readonly string[],
  isReflector: boolean,
  release: Release = 'installed',
): Promise<Frr> {
  const each = (what: string) => neighbours.map((one) => ` neighbor ${one} ${what}\n`).join('');
  return Frr.start(
    host,
    `router bgp 65000
 bgp router-id ${formatIpv4(host.address)}
 no bgp default ipv4-unicast
${each('remote-as 65000')}${each('timers connect 1')} address-family l2vpn evpn
 ${each('activate')} ${isReflector ? each('route-reflector-client') : ''} exit-address-family
`,
    false,
    release,
  );
}

/** Routes that FRR has from a neighbour. */
export async function frrRoutes(frr: Frr, neighbour: string): Promise<number> {
  const text = await frr.show('show bgp l2vpn evpn summary');
  const line = text.split('\n').find((each) => each.startsWith(`${neighbour} `)) ?? '';
  return Number(line.trim().split(/\s+/)[9]);
}

/** Routes that GoBGP has. */
export async function gobgpRoutes(gobgp: Gobgp): Promise<number> {
  return Number(/Destination: (\d+)/.exec(await gobgp.run('global rib summary -a evpn'))?.[1]);
}
