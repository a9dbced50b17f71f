import { parseOverlay, parseUnderlay } from '../../src/config/link/sides.ts';
import { type FanRequest, fanRequest } from '../../src/config/request.ts';
import { emptySnapshot, type Snapshot } from '../../src/control/host/snapshot.ts';
import { parsePrefix } from '../../src/net/prefix.ts';

/** A link of a made-up host. */
export function link(
  index: number,
  name: string,
  more: Partial<Snapshot['links'][number]> = {},
): Snapshot['links'][number] {
  const state = { up: true, carrier: true, mtu: 1500, master: 0, gsoIpv4MaxSize: 65_536 };
  const queue = { txQueueLen: 1000 };
  const base = { kind: '', alias: '', address: 0, ...state, ...queue };
  return { index, name, ...base, ...more };
}

/** An address on a link of a made-up host, `172.30.0.28/16`. */
export function address(
  index: number,
  text: string,
  more: Partial<Snapshot['addresses'][number]> = {},
): Snapshot['addresses'][number] {
  return { index, ...parsePrefix(text), scope: 0, secondary: false, ...more };
}

/** A route of a made-up host, in table main unless said. */
export function route(
  text: string,
  oif: number,
  more: Partial<Snapshot['routes'][number]> = {},
): Snapshot['routes'][number] {
  const base = { via: 0, src: 0, table: 254, metric: 0, type: 'unicast' as const };
  return { dst: parsePrefix(text), oif, ...base, ...more };
}

/** One interface eth0 with 172.30.0.28/16, a default route, nft and dnsmasq. */
export function plainHost(more: Partial<Snapshot> = {}): Snapshot {
  return {
    ...emptySnapshot(),
    links: [link(1, 'lo', { mtu: 65536 }), link(2, 'eth0')],
    addresses: [address(1, '127.0.0.1/8', { scope: 254 }), address(2, '172.30.0.28/16')],
    routes: [route('0.0.0.0/0', 2, { via: 0xac1e0001 }), route('172.30.0.0/16', 2)],
    sysctls: { 'net/ipv4/ip_forward': '0', 'net/ipv4/conf/all/send_redirects': '1' },
    tools: { nft: true, dnsmasq: true },
    ...more,
  };
}

/** A request from its two sides as a user writes them. */
export function request(
  overlay: string,
  underlay: string,
  more: Partial<FanRequest> = {},
): FanRequest {
  return fanRequest({ overlay: parseOverlay(overlay), underlay: parseUnderlay(underlay), ...more });
}
