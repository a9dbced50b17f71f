/**
 * What a fan is asked for where a NAT is between its hosts: which of the others may be seen at another
 * address than their own, and whether this host is behind one itself.
 * @module
 */
import { formatHostAddress, type UnderlayAddress } from '../../net/underlay-address.ts';
import { boolean, hosts, integer } from '../row/kinds.ts';
import { joint } from '../row/row.ts';

/** How often the way in is kept open, s: under the 30 s after which the shortest-lived NATs forget UDP. */
export const KEEP_ALIVE_SECONDS_DEFAULT = 25;
export const KEEP_ALIVE_SECONDS_MIN = 1;
export const KEEP_ALIVE_SECONDS_MAX = 3600;
/** Hosts behind NATs that one fan lets in. */
export const NAT_PEERS_MAX = 64;

export type Nat = {
  /** Own underlay addresses of those that may be elsewhere. IPv4. */
  peers: readonly number[];
  /** Between two keep-alives of this host, s; 0 = it is behind no NAT. */
  keepAliveSeconds: number;
};

/** The settings that make it, together. */
export const NAT_ROWS = {
  nat: joint(hosts(NAT_PEERS_MAX), {
    ...{ key: 'nat', example: '172.30.1.27' },
    doc: 'Hosts by underlay address that may be behind a NAT: each is let in, and sent to, where its keep-alives come from (needs gossip).',
    help: ['--nat ADDRESSES', 'hosts by underlay address that may be behind a NAT'],
  }),
  behindNat: joint(boolean, {
    ...{ key: 'behind-nat', default: 'no' },
    doc: 'This host is behind a NAT: it keeps the way in open, and sends from one port.',
    help: ['--behind-nat', 'this host is behind one: keep its way in open, and use one port'],
  }),
  keepAlive: joint(integer(KEEP_ALIVE_SECONDS_MIN, KEEP_ALIVE_SECONDS_MAX), {
    ...{ key: 'keep-alive', unit: 'seconds', example: String(KEEP_ALIVE_SECONDS_DEFAULT) },
    doc: 'How often it does so; 25 unless given.',
    help: ['--keep-alive SECONDS', 'how often it does so (default 25)'],
  }),
} as const;

/** Whether a value from outside is such a thing. */
export function isNat(value: unknown): value is Nat {
  if (typeof value !== 'object' || value === null) return false;
  const peers: unknown = Reflect.get(value, 'peers');
  const seconds: unknown = Reflect.get(value, 'keepAliveSeconds');
  return (
    Array.isArray(peers) &&
    peers.length <= NAT_PEERS_MAX &&
    peers.every((peer) => Number.isInteger(peer) && peer >= 0 && peer <= 0xffff_ffff) &&
    typeof seconds === 'number' &&
    Number.isInteger(seconds) &&
    seconds >= 0 &&
    seconds <= KEEP_ALIVE_SECONDS_MAX
  );
}

/** In words, '' for none: `172.30.1.27 may be elsewhere, keep-alives every 25 s`. */
export function natText(nat: Nat | undefined): string {
  if (nat === undefined) return '';
  const { peers, keepAliveSeconds } = nat;
  const names = peers.map(formatHostAddress).join(', ');
  return [
    ...(peers.length > 0 ? [`${names} may be elsewhere`] : []),
    ...(keepAliveSeconds > 0 ? [`keep-alives every ${keepAliveSeconds} s`] : []),
  ].join(', ');
}

/** What the values of settings say of it; nothing where none does. */
export function natOf(values: ReadonlyMap<string, unknown>): { nat?: Nat } {
  const given = values.get('nat');
  const peers = Array.isArray(given) ? given.filter((peer) => typeof peer === 'number') : [];
  const seconds = values.get('keep-alive');
  const interval = typeof seconds === 'number' ? seconds : KEEP_ALIVE_SECONDS_DEFAULT;
  const keepAliveSeconds = values.get('behind-nat') === true ? interval : 0;
  return peers.length === 0 && keepAliveSeconds === 0 ? {} : { nat: { peers, keepAliveSeconds } };
}

/** What does not go with it. @param isIpv6 whether an underlay is of IPv6 */
export function natProblems(
  values: ReadonlyMap<string, unknown>,
  { hasVni, isIpv6, underlays }: { hasVni: boolean; isIpv6: boolean; underlays: number },
): { key: string; message: string }[] {
  const isBehind = values.get('behind-nat') === true;
  if (values.has('keep-alive') && !isBehind) {
    const message =
      'keep-alive is for a host that is behind a NAT: add behind-nat, or leave it out';
    return [{ key: 'keep-alive', message }];
  }
  const key = isBehind ? 'behind-nat' : 'nat';
  if (!isBehind && !values.has('nat')) return [];
  const problems: string[] = [];
  const peers = values.get('nat');
  if (Array.isArray(peers) && peers.some((peer: UnderlayAddress) => typeof peer === 'string')) {
    problems.push('nat is for IPv4 underlays: IPv6 hosts have addresses of their own');
  }
  if (!hasVni) problems.push('a NAT passes encap vxlan as fanway sends it; leave encap out');
  if (isIpv6) problems.push('an IPv6 underlay needs no NAT: name one of IPv4, or leave nat out');
  if (underlays > 1) problems.push('several underlays do not go with a NAT: name one');
  if ((values.get('datapath') ?? 'userspace') !== 'userspace') {
    problems.push("the kernel's data path knows hosts by their own address: leave datapath out");
  }
  if (isBehind && values.get('source-port') === 'pool') {
    problems.push('behind a NAT all goes by one port: leave source-port out');
  }
  return problems.map((message) => ({ key, message }));
}
