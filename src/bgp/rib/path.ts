/**
 * A way to a route: who told it, with what attributes, through which next hop.
 * @module
 */
import type { Ip } from '../../wire/bgp/address.ts';
import type { Attributes } from '../../wire/bgp/attributes.ts';
import { emitAttributes } from '../../wire/bgp/emit-update.ts';
import type { EvpnRoute } from '../../wire/bgp/evpn.ts';
import { EvpnType } from '../../wire/bgp/iana.ts';
import type { Meaning } from './meaning.ts';

/** Who tells routes: a neighbour, or this speaker itself. */
export type PathSource = {
  kind: 'local' | 'internal' | 'external';
  /** The neighbour's address, '' of our own. */
  address: string;
  /** BGP identifier, u32. */
  identifier: number;
};

export type Path = {
  /** Of its route, as {@link keyOf} makes it. */
  readonly key: string;
  readonly route: EvpnRoute;
  /** `borrowed:` shared by all paths that have the same. */
  readonly attributes: Attributes;
  /** Of its attributes. */
  readonly meaning: Meaning;
  readonly nextHop: Ip;
  readonly source: PathSource;
  /** Whole ms: a fraction would take memory of its own in each of half a million paths. */
  readonly sinceMs: number;
  /** Kept for a neighbour that restarts, and not sent again yet (RFC 4724 §4.2). */
  isStale: boolean;
};

/** Type, distinguisher, and at most a segment, a tag or the like and an address. */
const KEY_BYTES_MAX = 64;
const scratch = Buffer.alloc(KEY_BYTES_MAX);
const U32 = 0x1_0000_0000;

/** Puts an address behind a byte that says its length; @returns where it ends. */
function putIp(ip: Ip, at: number): number {
  if (typeof ip === 'number') {
    scratch[at] = 4;
    return scratch.writeUInt32BE(ip, at + 1);
  }
  scratch[at] = ip.length;
  scratch.set(ip, at + 1);
  return at + 1 + ip.length;
}

/**
 * Equal for two announcements of one route (RFC 7432 §7.2, RFC 9136 §3.1), and short: a character a
 * byte. Segments, gateways and labels are no part of it, they belong to the path.
 */
export function keyOf(route: EvpnRoute): string {
  const { rd } = route;
  scratch[0] = route.type;
  scratch.writeUInt16BE(rd.type, 1);
  scratch.writeUInt32BE(rd.administrator, 3);
  let end = scratch.writeUInt32BE(rd.assigned, 7);
  switch (route.type) {
    case EvpnType.AutoDiscovery:
      scratch.set(route.esi, end);
      end = scratch.writeUInt32BE(route.tag, end + route.esi.length);
      break;
    case EvpnType.MacIp:
      end = scratch.writeUInt32BE(route.tag, end);
      end = scratch.writeUInt16BE(Math.floor(route.mac / U32), end);
      end = scratch.writeUInt32BE(route.mac % U32, end);
      if (route.ip !== null) end = putIp(route.ip, end);
      break;
    case EvpnType.InclusiveMulticast:
      end = putIp(route.originator, scratch.writeUInt32BE(route.tag, end));
      break;
    case EvpnType.EthernetSegment:
      scratch.set(route.esi, end);
      end = putIp(route.originator, end + route.esi.length);
      break;
    case EvpnType.IpPrefix:
      end = scratch.writeUInt32BE(route.tag, end);
      scratch[end] = route.length;
      end = putIp(route.prefix, end + 1);
      break;
  }
  return scratch.toString('latin1', 0, end);
}

/** More sets than any table has in practice; a table that has more costs memory, and nothing else. */
const SETS_MAX = 4096;

/** One object for each set of attributes, however many routes have it. */
export class AttributePool {
  readonly #sets = new Map<string, Attributes>();
  /** What was asked for before: whoever reads UPDATEs hands out one object for equal bytes. */
  readonly #known = new WeakMap<Attributes, Attributes>();

  intern(attributes: Attributes): Attributes {
    const known = this.#known.get(attributes) ?? this.#find(attributes);
    this.#known.set(attributes, known);
    return known;
  }

  #find(attributes: Attributes): Attributes {
    const bytes = emitAttributes(attributes);
    const key = Buffer.from(bytes.buffer, 0, bytes.length).toString('latin1');
    const known = this.#sets.get(key);
    if (known !== undefined) return known;
    if (this.#sets.size >= SETS_MAX) this.#sets.clear();
    this.#sets.set(key, attributes);
    return attributes;
  }
}
