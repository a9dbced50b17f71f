/**
 * Routes of others as our own values: which network a route belongs to is decided by its route
 * targets, which VNI is put on the wire by its label (RFC 8365 §5.1.2), which of several claims to
 * one MAC, address or prefix counts by RFC 7432 §15.
 * @module
 */
import { equalIp, type Ip, isZeroIp, maskIp } from '../../wire/bgp/address.ts';
import { decodeCommunity } from '../../wire/bgp/communities.ts';
import { EvpnType, PmsiType, TunnelType } from '../../wire/bgp/iana.ts';
import type { AddressRange, NetworkSettings } from '../base/api.ts';
import { derivedImport, importKeys, targetKey } from '../base/targets.ts';
import { compareClaims, mobilityOf } from './best-path.ts';
import type { Path } from './path.ts';
import type { BestChange } from './table.ts';

/** What is somewhere. `vni` names the network here, whatever the wire has. */
export type Entry =
  | { kind: 'mac'; vni: number; mac: number }
  | { kind: 'address'; vni: number; ip: Ip }
  | { kind: 'flood'; vni: number; member: Ip }
  | { kind: 'prefix'; vni: number; address: Ip; length: number };

/** Where it is. */
export type Place = {
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
};

/** `to` undefined = it is nowhere that BGP knows. */
export type EntryChange = { entry: Entry; to: Place | undefined };

/** Claims by the key of the route that makes them; most entries have one. */
type Claims = Map<string, Path>;
type Slot = { entry: Entry; claims: Claims; best: Path };

/** Why a route that came is not used. */
export type ImportCounters = {
  /** Next hops that no `vteps` admits. */
  notAdmitted: number;
  /** Another encapsulation than VXLAN. */
  encapsulation: number;
  /** No network has one of its targets. */
  noNetwork: number;
  /** A group MAC, a label of 0, a flood tunnel of another kind: nothing that could be used. */
  unusable: number;
};

function ipText(ip: Ip): string {
  return typeof ip === 'number' ? String(ip) : Buffer.from(ip).toString('latin1');
}

/** The entries a route claims in network `vni`. Types 1 and 4 claim none: they are shown only. */
export function entriesOf({ route }: Path, vni: number): [slot: string, entry: Entry][] {
  switch (route.type) {
    case EvpnType.MacIp: {
      const { mac, ip } = route;
      const own: [string, Entry][] = [[`m${mac}`, { kind: 'mac', vni, mac }]];
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

function placeOf(path: Path): Place {
  const { route, attributes, nextHop } = path;
  let mac = route.type === EvpnType.MacIp ? route.mac : null;
  const { sticky, sequence } = mobilityOf(path);
  let gateway = false;
  for (const raw of attributes.extended ?? []) {
    const community = decodeCommunity(raw);
    if (community.kind === 'default-gateway') gateway = true;
    if (community.kind === 'router-mac' && route.type === EvpnType.IpPrefix) mac = community.mac;
  }
  const label =
    route.type === EvpnType.InclusiveMulticast
      ? (attributes.pmsi?.label ?? 0)
      : 'label' in route
        ? route.label
        : 0;
  return { vtep: nextHop, label, mac, gateway, sticky, sequence };
}

function samePlace(a: Place, b: Place): boolean {
  return (
    equalIp(a.vtep, b.vtep) &&
    a.label === b.label &&
    a.mac === b.mac &&
    a.sequence === b.sequence &&
    a.sticky === b.sticky &&
    a.gateway === b.gateway
  );
}

const GROUP_BIT = 0x10000000000;

/** Why nothing can be sent by this route, or ''. */
function flawOf({ route, attributes }: Path): keyof ImportCounters | '' {
  const tunnels = (attributes.extended ?? [])
    .map(decodeCommunity)
    .flatMap((each) => (each.kind === 'encapsulation' ? [each.tunnelType] : []));
  if (tunnels.length > 0 && !tunnels.includes(TunnelType.Vxlan)) return 'encapsulation';
  if (route.type === EvpnType.InclusiveMulticast) {
    return attributes.pmsi?.type === PmsiType.IngressReplication ? '' : 'unusable';
  }
  if (route.type === EvpnType.MacIp) {
    if (Math.floor(route.mac / GROUP_BIT) % 2 === 1 || route.mac === 0) return 'unusable';
    if (route.ip !== null && isZeroIp(route.ip)) return 'unusable';
  }
  if (route.type === EvpnType.IpPrefix && !isZeroIp(route.gateway)) return 'unusable';
  return '';
}

export class Imports {
  readonly #vteps: readonly AddressRange[];
  readonly #listener: (change: EntryChange) => void;
  readonly #slots = new Map<number, Map<string, Slot>>();
  /** Networks by the key of a target that they import. */
  readonly #byTarget = new Map<string, Set<number>>();
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
    this.#slots.set(vni, new Map());
    for (const target of importTargets.length > 0 ? importTargets : [derivedImport(vni)]) {
      const key = targetKey(target);
      this.#byTarget.set(key, (this.#byTarget.get(key) ?? new Set()).add(vni));
    }
  }

  /** Forgets a network; what it had is nowhere now. */
  removeNetwork(vni: number): void {
    const slots = this.#slots.get(vni);
    this.#slots.delete(vni);
    for (const [key, vnis] of this.#byTarget) {
      vnis.delete(vni);
      if (vnis.size === 0) this.#byTarget.delete(key);
    }
    for (const { entry } of slots?.values() ?? []) this.#listener({ entry, to: undefined });
  }

  /** Entries that hold, of one network or of all. */
  *entries(vni?: number): Generator<{ entry: Entry; place: Place; path: Path }> {
    for (const [number, slots] of this.#slots) {
      if (vni !== undefined && vni !== number) continue;
      for (const { entry, best } of slots.values())
        yield { entry, place: placeOf(best), path: best };
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

  /** The networks that take a path: by target, and only if it can be used. */
  #networksOf(path: Path | undefined, counts: boolean): ReadonlySet<number> {
    const vnis = new Set<number>();
    if (path === undefined || path.source.kind === 'local') return vnis;
    for (const raw of path.attributes.extended ?? []) {
      for (const key of importKeys(raw)) {
        for (const vni of this.#byTarget.get(key) ?? []) vnis.add(vni);
      }
    }
    const flaw = flawOf(path);
    const why = vnis.size === 0 ? 'noNetwork' : !this.admits(path.nextHop) ? 'notAdmitted' : flaw;
    if (why === '') return vnis;
    if (counts) this.counters[why]++;
    return new Set();
  }

  /** The best path of a route is another one: its claims follow. */
  change({ key, best, before }: BestChange): void {
    const now = this.#networksOf(best, true);
    for (const vni of this.#networksOf(before, false)) {
      if (before !== undefined && !now.has(vni)) this.#claim(vni, key, before, undefined);
    }
    for (const vni of now) if (best !== undefined) this.#claim(vni, key, best, best);
  }

  /** `path` says which entries, `claim` whether they are claimed from now on or not any more. */
  #claim(vni: number, key: string, path: Path, claim: Path | undefined): void {
    const slots = this.#slots.get(vni);
    if (slots === undefined) return;
    for (const [name, entry] of entriesOf(path, vni)) {
      const slot = slots.get(name);
      if (slot === undefined) {
        if (claim === undefined) continue;
        slots.set(name, { entry, claims: new Map([[key, claim]]), best: claim });
        this.#listener({ entry, to: placeOf(claim) });
        continue;
      }
      const before = placeOf(slot.best);
      if (claim === undefined) slot.claims.delete(key);
      else slot.claims.set(key, claim);
      const best = bestOf(slot.claims);
      if (best === undefined) {
        slots.delete(name);
        this.#listener({ entry, to: undefined });
        continue;
      }
      slot.best = best;
      const to = placeOf(best);
      if (!samePlace(before, to)) this.#listener({ entry, to });
    }
  }
}

function bestOf(claims: Claims): Path | undefined {
  let best: Path | undefined;
  for (const path of claims.values()) {
    if (best === undefined || compareClaims(path, best) < 0) best = path;
  }
  return best;
}
