/**
 * A path of a type 2 route in a third of the memory: there may be half a million. What its key says is
 * read from the key when it is asked for, and what many have in common is one object for all of them.
 * @module
 */
import type { Ip } from '../../wire/bgp/address.ts';
import type { Attributes } from '../../wire/bgp/attributes.ts';
import { ESI_ZERO, type EvpnRoute, type MacIpRoute } from '../../wire/bgp/evpn.ts';
import { EvpnType } from '../../wire/bgp/iana.ts';
import type { Meaning } from './meaning.ts';
import type { Path, PathSource } from './path.ts';

/** What all routes of one UPDATE have in common. */
export type Origin = Pick<Path, 'attributes' | 'meaning' | 'nextHop' | 'source'>;

/** What of a type 2 route is not in its key. */
export type MacTail = Pick<MacIpRoute, 'esi' | 'label' | 'label2'>;

/** Where its parts are in a key: characters, each a byte (path.ts makes them). */
const [RD_AT, TAG_AT, MAC_AT, IP_AT] = [1, 11, 15, 21];
const U32 = 0x1_0000_0000;
/** Tails that are shared; more of them cost memory, and nothing else. */
const TAILS_MAX = 4096;

function u16(key: string, at: number): number {
  return key.charCodeAt(at) * 256 + key.charCodeAt(at + 1);
}

function u32(key: string, at: number): number {
  return u16(key, at) * 65536 + u16(key, at + 2);
}

function ipIn(key: string): Ip | null {
  if (key.length === IP_AT) return null;
  const bytes = key.charCodeAt(IP_AT);
  if (bytes === 4) return u32(key, IP_AT + 1);
  return Uint8Array.from({ length: bytes }, (_, i) => key.charCodeAt(IP_AT + 1 + i));
}

/** The route with this key and tail. */
export function macRouteOf(key: string, { esi, label, label2 }: MacTail): MacIpRoute {
  const [type, administrator] = [u16(key, RD_AT), u32(key, RD_AT + 2)];
  return {
    type: EvpnType.MacIp,
    rd: { type, administrator, assigned: u32(key, RD_AT + 6) },
    ...{ esi, tag: u32(key, TAG_AT), mac: u16(key, MAC_AT) * U32 + u32(key, MAC_AT + 2) },
    ...{ ip: ipIn(key), label, label2 },
  };
}

class MacPath implements Path {
  readonly key: string;
  readonly #tail: MacTail;
  readonly #origin: Origin;
  readonly sinceMs: number;
  isStale = false;

  constructor(key: string, tail: MacTail, origin: Origin, sinceMs: number) {
    this.key = key;
    this.#tail = tail;
    this.#origin = origin;
    this.sinceMs = sinceMs;
  }

  get route(): EvpnRoute {
    return macRouteOf(this.key, this.#tail);
  }
  get attributes(): Attributes {
    return this.#origin.attributes;
  }
  get meaning(): Meaning {
    return this.#origin.meaning;
  }
  get nextHop(): Ip {
    return this.#origin.nextHop;
  }
  get source(): PathSource {
    return this.#origin.source;
  }
}

/** Makes the paths of one neighbour. */
export class PathMaker {
  readonly #tails = new Map<string, MacTail>();
  #origin: Origin | undefined;

  /** One object for routes that come one after the other and have the same. */
  originOf(origin: Origin): Origin {
    const last = this.#origin;
    const isSame =
      last?.attributes === origin.attributes &&
      last.nextHop === origin.nextHop &&
      last.source === origin.source;
    if (isSame && last !== undefined) return last;
    this.#origin = origin;
    return origin;
  }

  /** @param key of the route; `sinceMs` is a whole number */
  make(key: string, route: EvpnRoute, origin: Origin, sinceMs: number): Path {
    if (route.type === EvpnType.MacIp) {
      return new MacPath(key, this.#tailOf(route), origin, sinceMs);
    }
    const { attributes, meaning, nextHop, source } = origin;
    return { key, route, attributes, meaning, nextHop, source, sinceMs, isStale: false };
  }

  #tailOf({ esi, label, label2 }: MacIpRoute): MacTail {
    const tail = { esi, label, label2 };
    if (esi !== ESI_ZERO) return tail;
    const name = `${label} ${label2}`;
    const known = this.#tails.get(name);
    if (known !== undefined) return known;
    if (this.#tails.size >= TAILS_MAX) this.#tails.clear();
    this.#tails.set(name, tail);
    return tail;
  }
}
