/**
 * Routes of others as our own values: which network a route belongs to is decided by its route
 * targets, which VNI is put on the wire by its label (RFC 8365 §5.1.2), which of several claims to
 * one MAC, address or prefix counts by RFC 7432 §15.
 * @module
 */
import { KeyMap } from '../../net/collections/key-map.ts';
import { equalIp, type Ip, isZeroIp, maskIp } from '../../wire/bgp/address.ts';
import { EvpnType } from '../../wire/bgp/iana.ts';
import type { AddressRange, NetworkSettings } from '../base/api.ts';
import { derivedImport, targetKey } from '../base/targets.ts';
import { compareClaims } from './best-path.ts';
import type { Meaning } from './meaning.ts';
import type { Path } from './path.ts';
import type { BestChange } from './table.ts';

/** What is somewhere. `vni` names the network here, whatever the wire has. */
export type ImportedEntry =
  | { kind: 'mac'; vni: number; mac: number }
  | { kind: 'address'; vni: number; ip: Ip }
  | { kind: 'flood'; vni: number; member: Ip }
  | { kind: 'prefix'; vni: number; address: Ip; length: number };

/** Where it is. */
export type ImportedPlace = {
  /** Tunnel endpoint. */
  vtep: Ip;
  /** VNI on the wire. */
  label: number;
  /** u48: of an address its MAC, of a prefix the router's; null where none was told. */
  mac: number | null;
  /** Moves so far, as gossip's rank. */
  sequence: number;
  sticky: boolean;
  /** It is the network's router. */
  gateway: boolean;
  /** It routes: the R bit of its neighbour advertisements (RFC 9047 §2.1), or the gateway itself. */
  router: boolean;
};

/** Undefined = it is, or was, nowhere that BGP knows. */
export type EntryChange = {
  entry: ImportedEntry;
  from: ImportedPlace | undefined;
  to: ImportedPlace | undefined;
};

/** Names an entry in its network: a MAC as its number, all others as text. */
type Name = number | string;
/** Claims by the key of the route that makes them, and the one that counts. */
type Contest = { claims: Map<string, Path>; best: Path };
/** Most entries have one claim, and then take no more than their place in the map. */
type Slot = Path | Contest;

/** Why a route that came is not used. */
export type ImportCounters = {
  /** Next hops that no `vteps` admits. */
  notAdmitted: number;
  /** Another encapsulation than VXLAN. */
  encapsulation: number;
  /** No network has one of its targets. */
  noNetwork: number;
  /** A group MAC, a label of 0, a flood tunnel of another kind, an overlay index: nothing that could be used. */
  unusable: number;
};

function ipText(ip: Ip): string {
  return typeof ip === 'number' ? String(ip) : String.fromCharCode(...ip);
}

/** The entries a route claims in network `vni`. Types 1 and 4 claim none: they are shown only. */
export function entriesOf({ route }: Path, vni: number): [name: Name, entry: ImportedEntry][] {
  switch (route.type) {
    case EvpnType.MacIp: {
      const { mac, ip } = route;
      const own: [Name, ImportedEntry][] = [[mac, { kind: 'mac', vni, mac }]];
      if (ip !== null) own.push([`a${ipText(ip)}`, { kind: 'address', vni, ip }]);
      return own;
    }
    case EvpnType.InclusiveMulticast: {
      const { originator: member } = route;
      return [[`f${ipText(member)}`, { kind: 'flood', vni, member }]];
    }
    case EvpnType.IpPrefix: {
      const { prefix: address, length } = route;
      return [[`p${length}/${ipText(address)}`, { kind: 'prefix', vni, address, length }]];
    }
    default:
      return [];
  }
}

function placeOf({ route, meaning, nextHop: vtep }: Path): ImportedPlace {
  const { sequence, sticky, gateway, routerMac, floodLabel } = meaning;
  const router = meaning.router || gateway;
  let label = 'label' in route ? route.label : 0;
  let mac = routerMac;
  if (route.type === EvpnType.InclusiveMulticast) label = floodLabel;
  if (route.type !== EvpnType.IpPrefix) mac = route.type === EvpnType.MacIp ? route.mac : null;
  return { vtep, label, mac, sequence, sticky, gateway, router };
}

function samePlace(a: ImportedPlace, b: ImportedPlace): boolean {
  return (
    equalIp(a.vtep, b.vtep) &&
    a.label === b.label &&
    a.mac === b.mac &&
    a.sequence === b.sequence &&
    a.sticky === b.sticky &&
    a.gateway === b.gateway &&
    a.router === b.router
  );
}

const GROUP_BIT = 0x10000000000;

/** Why nothing can be sent by this route, or ''. */
function flawOf({ route, meaning }: Path): keyof ImportCounters | '' {
  const { isVxlan, isIngressReplication, floodLabel } = meaning;
  if (!isVxlan) return 'encapsulation';
  if (route.type === EvpnType.InclusiveMulticast) {
    return isIngressReplication && floodLabel !== 0 ? '' : 'unusable';
  }
  // Types 1 and 4 claim nothing: there is nothing in them that could be wrong.
  if (route.type !== EvpnType.MacIp && route.type !== EvpnType.IpPrefix) return '';
  // Nobody has VNI 0; and a prefix without one is reached by way of another route (RFC 9136 §3.2).
  if (route.label === 0) return 'unusable';
  if (route.type === EvpnType.MacIp) {
    if (Math.floor(route.mac / GROUP_BIT) % 2 === 1 || route.mac === 0) return 'unusable';
    if (route.ip !== null && isZeroIp(route.ip)) return 'unusable';
  }
  if (route.type === EvpnType.IpPrefix && !isZeroIp(route.gateway)) return 'unusable';
  return '';
}

const NOWHERE: readonly number[] = [];

function bestOf(slot: Slot): Path {
  return 'best' in slot ? slot.best : slot;
}

/** The claim that counts among several. */
function strongest(claims: Iterable<Path>): Path | undefined {
  let best: Path | undefined;
  for (const path of claims) {
    if (best === undefined || compareClaims(path, best) < 0) best = path;
  }
  return best;
}

/** The slot with `claim` in it, in the place of what the same route claimed before. */
function withClaim(slot: Slot | undefined, claim: Path): Slot {
  if (slot === undefined) return claim;
  if (!('best' in slot)) {
    if (slot.key === claim.key) return claim;
    const claims = new Map([slot, claim].map((path) => [path.key, path]));
    return { claims, best: strongest(claims.values()) ?? claim };
  }
  slot.claims.set(claim.key, claim);
  slot.best = strongest(slot.claims.values()) ?? claim;
  return slot;
}

/** The slot without the claim of the route with this key; undefined = nobody claims it any more. */
function withoutClaim(slot: Slot, key: string): Slot | undefined {
  if (!('best' in slot)) return slot.key === key ? undefined : slot;
  slot.claims.delete(key);
  const best = strongest(slot.claims.values());
  if (best === undefined || slot.claims.size === 1) return best;
  slot.best = best;
  return slot;
}

export class Imports {
  readonly #vteps: readonly AddressRange[];
  readonly #listener: (change: EntryChange) => void;
  readonly #slots = new Map<number, KeyMap<Name, Slot>>();
  /** Networks by the key of a target that they import. */
  readonly #byTarget = new Map<string, Set<number>>();
  /** The networks as they are: another object where they are others. */
  #state: object = {};
  readonly counters: ImportCounters = {
    notAdmitted: 0,
    encapsulation: 0,
    noNetwork: 0,
    unusable: 0,
  };

  constructor(vteps: readonly AddressRange[], listener: (change: EntryChange) => void) {
    this.#vteps = vteps;
    this.#listener = listener;
  }

  addNetwork({ vni, importTargets }: NetworkSettings): void {
    this.#state = {};
    this.#slots.set(vni, new KeyMap());
    for (const target of importTargets.length > 0 ? importTargets : [derivedImport(vni)]) {
      const key = targetKey(target);
      this.#byTarget.set(key, (this.#byTarget.get(key) ?? new Set()).add(vni));
    }
  }

  /** Forgets a network; what it had is nowhere now. */
  removeNetwork(vni: number): void {
    const entries = [...this.entries(vni)];
    this.#state = {};
    this.#slots.delete(vni);
    for (const [key, vnis] of this.#byTarget) {
      vnis.delete(vni);
      if (vnis.size === 0) this.#byTarget.delete(key);
    }
    for (const { entry, place } of entries) this.#listener({ entry, from: place, to: undefined });
  }

  /** Entries that hold, of one network or of all. */
  *entries(vni?: number): Generator<{ entry: ImportedEntry; place: ImportedPlace; path: Path }> {
    for (const [number, slots] of this.#slots) {
      if (vni !== undefined && vni !== number) continue;
      for (const [name, slot] of slots) {
        const path = bestOf(slot);
        for (const [own, entry] of entriesOf(path, number)) {
          if (own === name) yield { entry, place: placeOf(path), path };
        }
      }
    }
  }

  get size(): number {
    let size = 0;
    for (const slots of this.#slots.values()) size += slots.size;
    return size;
  }

  /** True when a tunnel endpoint may become a peer. */
  admits(vtep: Ip): boolean {
    return this.#vteps.some(({ address, length }) => {
      if (typeof address !== typeof vtep) return false;
      return equalIp(maskIp(vtep, length), maskIp(address, length));
    });
  }

  /** The networks that import one of its targets. */
  #importers(meaning: Meaning): readonly number[] {
    if (meaning.importers?.of !== this.#state) {
      const found = meaning.targets.flatMap((key) => [...(this.#byTarget.get(key) ?? [])]);
      meaning.importers = { of: this.#state, vnis: [...new Set(found)] };
    }
    return meaning.importers.vnis;
  }

  /** The networks that take a path: by target, and only if it can be used. */
  #networksOf(path: Path | undefined, counts: boolean): readonly number[] {
    if (path === undefined || path.source.kind === 'local') return NOWHERE;
    const vnis = this.#importers(path.meaning);
    const flaw = flawOf(path);
    const why = vnis.length === 0 ? 'noNetwork' : !this.admits(path.nextHop) ? 'notAdmitted' : flaw;
    if (why === '') return vnis;
    if (counts) this.counters[why]++;
    return NOWHERE;
  }

  /** The best path of a route is another one: its claims follow. */
  change({ key, best, before }: BestChange): void {
    const now = this.#networksOf(best, true);
    for (const vni of this.#networksOf(before, false)) {
      if (before !== undefined && !now.includes(vni)) this.#claim(vni, key, before, undefined);
    }
    for (const vni of now) if (best !== undefined) this.#claim(vni, key, best, best);
  }

  /** Networks came: `path`, known before, is looked at for those alone. */
  admit(path: Path, added: ReadonlySet<number>): void {
    for (const vni of this.#networksOf(path, false)) {
      if (added.has(vni)) this.#claim(vni, path.key, path, path);
    }
  }

  /** `path` says which entries, `claim` whether they are claimed from now on or not any more. */
  #claim(vni: number, key: string, path: Path, claim: Path | undefined): void {
    const slots = this.#slots.get(vni);
    if (slots === undefined) return;
    for (const [name, entry] of entriesOf(path, vni)) {
      const slot = slots.get(name);
      const before = slot && bestOf(slot);
      const after = claim === undefined ? slot && withoutClaim(slot, key) : withClaim(slot, claim);
      if (after !== undefined && after !== slot) slots.set(name, after);
      else if (after === undefined && slot !== undefined) slots.delete(name);
      const best = after && bestOf(after);
      if (best === before) continue;
      const [from, to] = [before && placeOf(before), best && placeOf(best)];
      if (from === undefined || to === undefined || !samePlace(from, to)) {
        this.#listener({ entry, from, to });
      }
    }
  }
}
