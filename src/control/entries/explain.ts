/**
 * Where an overlay address is, and why: by the fan's arithmetic, or by what the table has.
 * @module
 */

import type { AnswerJson } from '../../api/entries.ts';
import { type FanMap, hostRangeOf, peerOf, sliceOf } from '../../net/fan.ts';
import { formatIpv4 } from '../../net/ipv4.ts';
import { contains, formatPrefix, networkOf, type Prefix } from '../../net/prefix.ts';
import { formatHostAddress, type UnderlayAddress } from '../../net/underlay-address.ts';

export type Explanation = {
  address: string;
  /** '' when no fan has it. */
  overlay: string;
  slice: string;
  /** Underlay address of the host that has it. */
  host: string;
  local: boolean;
  role: 'container' | 'gateway' | 'network' | 'broadcast' | 'outside';
  /**
   * Whether the host follows from the address, or from what the table has: announced by a member over
   * gossip, or by BGP, or given here.
   */
  source: 'arithmetic' | AnswerJson['source'];
  /** Who says so, null when nobody does or no router was asked. */
  announced: { prefix: string; owner: string; name: string } | null;
  text: string;
};

/**
 * `local` is −1 where no address of this host is meant, `name` '' where no fan runs; `bridged`
 * undefined: not known, as no fan of it runs here.
 */
export type ExplainedFan = { map: FanMap; local: UnderlayAddress; name: string; bridged?: boolean };

const PLAIN = { source: 'arithmetic', announced: null } as const;

/** The fan that an address is in: the longest overlay wins. */
export function fanOf(address: number, fans: readonly ExplainedFan[]): ExplainedFan | undefined {
  return fans
    .filter((fan) => contains(fan.map.overlay, address))
    .sort((a, b) => b.map.overlay.length - a.map.overlay.length)[0];
}

/** How it is known, in words. */
function sourceText({ source, owner, name, prefix }: AnswerJson): string {
  switch (source) {
    case 'gossip':
      return `announced (${prefix}) by ${name === '' ? owner : `${name} (${owner})`} over gossip`;
    case 'bgp':
      return `announced (${prefix}) by BGP with the tunnel endpoint ${owner}`;
    case 'static':
      return `given (${prefix}) by the configuration`;
    case 'local':
      return `announced (${prefix}) by this host over BGP`;
    case 'learned':
      return `learned (${prefix}) from frames`;
    case 'kept':
      return `kept (${prefix}) from before a restart of the router`;
  }
}

/** The same where the table has an entry: that is where packets go. */
export function explainAnswer(
  plain: Explanation,
  answer: AnswerJson,
  fan: { local: UnderlayAddress },
): Explanation {
  const { prefix, owner, name, host, source } = answer;
  const local = host === formatHostAddress(fan.local);
  return {
    ...plain,
    ...{ host, local, source, announced: { prefix, owner, name } },
    text: `${plain.address} is ${sourceText(answer)}, ${local ? 'this host' : `host ${host}`}, and goes there; by arithmetic: ${plain.text}`,
  };
}

/** What a fan says about an address (u32); the longest overlay wins. */
export function explainAddress(address: number, fans: readonly ExplainedFan[]): Explanation {
  const shown = formatIpv4(address);
  const fan = fanOf(address, fans);
  if (fan === undefined) {
    const base = { address: shown, overlay: '', slice: '', host: '', local: false, ...PLAIN };
    return {
      ...base,
      role: 'outside',
      text: `${shown} is in no fan of this host; fanway show lists them`,
    };
  }
  const peer = peerOf(fan.map, address);
  const slice = sliceOf(fan.map, peer);
  const role = roleOf(slice, address, fan.bridged ?? false);
  const local = peer === fan.local;
  const where = local
    ? `this host (${formatHostAddress(peer)})${fan.name === '' ? '' : `, bridge ${fan.name}`}`
    : `host ${formatHostAddress(peer)}`;
  const nobody =
    fan.bridged === undefined
      ? 'nobody has on a routed fan; on a bridged one (vxlan) it is an address for a container'
      : 'nobody has';
  const what = {
    container: 'an address for a container',
    gateway: "the host's own address",
    network: `the network address, which ${nobody}`,
    broadcast: `the broadcast address, which ${nobody}`,
    outside: '',
  }[role];
  return {
    address: shown,
    overlay: formatPrefix(fan.map.overlay),
    slice: formatPrefix(slice),
    host: formatHostAddress(peer),
    local,
    role,
    ...PLAIN,
    text: `${shown} is in fan ${formatPrefix(fan.map.overlay)}, slice ${formatPrefix(slice)} of ${where}: ${what}`,
  };
}

function roleOf(slice: Prefix, address: number, bridged: boolean): Explanation['role'] {
  const { first, last } = hostRangeOf(slice, bridged);
  if (address < first) return 'network';
  if (address > last) return 'broadcast';
  return address === networkOf(slice) + 1 ? 'gateway' : 'container';
}
