/**
 * A way to a route: who told it, with what attributes, through which next hop.
 * @module
 */
import type { Ip } from '../../wire/bgp/address.ts';
import type { Attributes } from '../../wire/bgp/attributes.ts';
import { Writer } from '../../wire/bgp/bytes.ts';
import { emitAttributes } from '../../wire/bgp/emit-update.ts';
import { ESI_ZERO, type EvpnRoute, writeEvpnRoute } from '../../wire/bgp/evpn.ts';
import { EvpnType } from '../../wire/bgp/iana.ts';

/** Who tells routes: a neighbour, or this speaker itself. */
export type PathSource = {
  kind: 'local' | 'internal' | 'external';
  /** The neighbour's address, '' of our own. */
  address: string;
  /** BGP identifier, u32. */
  identifier: number;
};

export type Path = {
  readonly route: EvpnRoute;
  /** `borrowed:` shared by all paths that have the same. */
  readonly attributes: Attributes;
  readonly nextHop: Ip;
  readonly source: PathSource;
  readonly sinceMs: number;
  /** Kept for a neighbour that restarts, and not sent again yet (RFC 4724 §4.2). */
  isStale: boolean;
};

const scratch = new Writer();

/** What is no part of a route's key: segments, gateways and labels belong to the path. */
function keyOnly(route: EvpnRoute): EvpnRoute {
  switch (route.type) {
    case EvpnType.AutoDiscovery:
      return { ...route, label: 0 };
    case EvpnType.MacIp:
      return { ...route, esi: ESI_ZERO, label: 0, label2: null };
    case EvpnType.IpPrefix: {
      const gateway = typeof route.gateway === 'number' ? 0 : new Uint8Array(16);
      return { ...route, esi: ESI_ZERO, gateway, label: 0 };
    }
    default:
      return route;
  }
}

/** Equal for two announcements of one route (RFC 7432 §7.2, RFC 9136 §3.1): a byte a character. */
export function keyOf(route: EvpnRoute): string {
  scratch.truncate(0);
  writeEvpnRoute(scratch, keyOnly(route));
  return Buffer.from(scratch.finish().buffer).toString('latin1');
}

/** More sets than any table has in practice; a table that has more costs memory, and nothing else. */
const SETS_MAX = 4096;

/** One object for each set of attributes, however many routes have it. */
export class AttributePool {
  readonly #sets = new Map<string, Attributes>();

  intern(attributes: Attributes): Attributes {
    const bytes = emitAttributes(attributes);
    const key = Buffer.from(bytes.buffer, 0, bytes.length).toString('latin1');
    const known = this.#sets.get(key);
    if (known !== undefined) return known;
    if (this.#sets.size >= SETS_MAX) this.#sets.clear();
    this.#sets.set(key, attributes);
    return attributes;
  }
}
