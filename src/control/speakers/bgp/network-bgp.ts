/**
 * Layer-2 networks over BGP EVPN, both ways: what this host has in each is announced (types 2 and 3,
 * RFC 7432 §7, RFC 8365 §5), and what others announce becomes claims.
 *
 * - A MAC and its addresses go out with one sequence number, the highest of theirs: a receiver takes each
 *   of these routes for a word about the MAC (RFC 7432 §15) and believes no lower one.
 * - Whoever tells anything of a network takes part in it: its tunnel endpoint may send there. Next hops
 *   that `vteps` does not admit have been left out before.
 * @module
 */
import type { EntryChange, ImportedEntry, ImportedPlace } from '../../../bgp/rib/imports.ts';
import { type OwnRoute, ownKey } from '../../../bgp/rib/own-routes.ts';
import type { Speaker } from '../../../bgp/speaker.ts';
import type { Log } from '../../../log.ts';
import {
  familyOf,
  formatHostAddress,
  type UnderlayAddress,
} from '../../../net/underlay-address.ts';
import { type Best, type ClaimUpdate, type EntryId, keyOfEntry } from '../../../rib/entry.ts';
import type { EntrySink } from '../../entries/entry-service.ts';
import type {
  NetworkSpeaker,
  OwnEntries,
  OwnEntry,
  RelaySpeaker,
} from '../../networks/local/own-entries.ts';
import type { NetworkSpec } from '../../store/link-spec.ts';
import { hostOfIp, ipOf } from './addresses.ts';
import type { SpeakerFollower } from './followers.ts';

/** Claims that are told in one go: some ms. */
const PER_TURN = 1024;

/** Claims that are kept to be shared; more of them cost memory, and nothing else. */
const SHARED_MAX = 16_384;

export type NetworkBgpOptions = {
  sink: EntrySink;
  own: OwnEntries;
  /** The networks that are up. */
  networks: () => readonly NetworkSpec[];
  log: Log;
};

/** A MAC of this host as it is announced, with its addresses. */
type Station = { sequence: number; readonly entries: Map<UnderlayAddress | undefined, OwnEntry> };

export class NetworkBgp implements SpeakerFollower, NetworkSpeaker, RelaySpeaker {
  readonly #options: NetworkBgpOptions;
  #speaker: Speaker | undefined;
  /** Networks as claims were made for them, by VNI. */
  readonly #links = new Map<number, NetworkSpec>();
  /** VNIs whose default gateway our own bridges are. */
  #gateways: ReadonlySet<number> = new Set();
  /** What is announced, by VNI and MAC. */
  readonly #stations = new Map<string, Station>();
  /** What is told for others, as a gateway to gossip, by the keys of the entries. */
  readonly #relayed = new Map<string, OwnRoute>();
  /** How many entries of a network are at a tunnel endpoint, by VNI and endpoint. */
  readonly #uses = new Map<string, number>();
  readonly #claims = new Map<string, Best>();
  /** What is to be told, the last word on each entry. */
  readonly #updates = new Map<string, ClaimUpdate>();
  #timer: NodeJS.Immediate | undefined;
  #problem = '';
  /** Entries at an endpoint of the other family: no way leads there. */
  unreachable = 0;

  constructor(options: NetworkBgpOptions) {
    this.#options = options;
    options.own.addSpeaker(this);
  }

  /** All neighbours have told all, or are not waited for; also where there are none. */
  get isSettled(): boolean {
    return this.#speaker?.isSettled ?? true;
  }

  follow(speaker: Speaker | undefined): void {
    for (const spec of [...this.#links.values()]) this.#leave(spec);
    this.#speaker = speaker;
    this.refresh();
  }

  refresh(): void {
    if (this.#speaker === undefined) return;
    const wanted = new Map(this.#options.networks().map((spec) => [spec.vni, spec]));
    this.#lookForGateways();
    for (const spec of [...this.#links.values()]) {
      const now = wanted.get(spec.vni);
      const isSame = now?.name === spec.name && now.local === spec.local && now.bum === spec.bum;
      if (!isSame) this.#leave(spec);
    }
    for (const spec of wanted.values()) if (!this.#links.has(spec.vni)) this.#enter(spec);
  }

  /** Our own bridge's addresses may be, or be no more, the default gateway of networks. */
  #lookForGateways(): void {
    const marks = this.#speaker?.networks ?? [];
    const before = this.#gateways;
    this.#gateways = new Set(marks.flatMap(({ vni, isGateway }) => (isGateway ? [vni] : [])));
    for (const { entries, sequence } of this.#stations.values()) {
      for (const own of entries.values()) {
        const { vni } = own.spec;
        if (before.has(vni) !== this.#gateways.has(vni)) this.#tell(this.#routeOf(own, sequence));
      }
    }
  }

  /** A network is here from now on. */
  #enter(spec: NetworkSpec): void {
    const { own } = this.#options;
    this.#links.set(spec.vni, spec);
    for (const { entry, place } of this.#speaker?.imports.entries(spec.vni) ?? []) {
      this.changed({ entry, from: undefined, to: place });
    }
    if (spec.bum !== 'none') this.#tell(floodOf(spec));
    for (const entry of own.all()) if (entry.spec.name === spec.name) own.announce(entry, [this]);
    for (const route of this.#relayed.values()) if (route.vni === spec.vni) this.#tell(route);
  }

  /** It is no more, or another one. */
  #leave(spec: NetworkSpec): void {
    const { vni, name } = spec;
    this.#links.delete(vni);
    this.#speaker?.withdraw(floodOf(spec));
    for (const [key, { entries, sequence }] of this.#stations) {
      const [first] = entries.values();
      if (first?.spec.vni !== vni) continue;
      for (const own of entries.values()) this.#speaker?.withdraw(this.#routeOf(own, sequence));
      this.#stations.delete(key);
    }
    for (const route of this.#relayed.values()) {
      if (route.vni === vni) this.#speaker?.withdraw(route);
    }
    for (const key of this.#uses.keys()) if (key.startsWith(`${vni} `)) this.#uses.delete(key);
    for (const [key, { id }] of this.#updates) if (id.link === name) this.#updates.delete(key);
    this.#options.sink.withdraw('bgp', name);
  }

  announce(own: OwnEntry): number {
    const { spec, mac, address, sequence } = own;
    // A network that has just come is announced as a whole once it is known here.
    if (this.#links.get(spec.vni)?.name !== spec.name) return sequence;
    const key = `${spec.vni} ${mac}`;
    const station = this.#stations.get(key) ?? { sequence: 0, entries: new Map() };
    this.#stations.set(key, station);
    station.entries.set(address, own);
    const told = sequence > station.sequence ? station.entries.values() : [own];
    station.sequence = Math.max(station.sequence, sequence);
    for (const each of told) this.#tell(this.#routeOf(each, station.sequence));
    return sequence;
  }

  renew(own: OwnEntry): number {
    const { spec, mac, sequence } = own;
    const station = this.#stations.get(`${spec.vni} ${mac}`);
    if (station === undefined) return sequence;
    // A MAC and its addresses are told with the highest number of them.
    const numbers = Array.from(station.entries.values(), (each) => each.sequence);
    station.sequence = Math.max(...numbers);
    for (const each of station.entries.values()) this.#tell(this.#routeOf(each, station.sequence));
    return sequence;
  }

  relay(spec: NetworkSpec, id: EntryId, best: Best | undefined): void {
    const key = keyOfEntry(id);
    const before = this.#relayed.get(key);
    const route = best && relayedRoute(spec, id, best);
    if (before !== undefined && (route === undefined || ownKey(before) !== ownKey(route))) {
      this.#relayed.delete(key);
      this.#speaker?.withdraw(before);
    }
    if (route === undefined) return;
    this.#relayed.set(key, route);
    if (this.#links.get(spec.vni)?.name === spec.name) this.#tell(route);
  }

  withdraw(own: OwnEntry): void {
    const key = `${own.spec.vni} ${own.mac}`;
    const station = this.#stations.get(key);
    if (station?.entries.delete(own.address) !== true) return;
    if (station.entries.size === 0) this.#stations.delete(key);
    this.#speaker?.withdraw(this.#routeOf(own, station.sequence));
  }

  #routeOf({ spec, mac, address, isSticky }: OwnEntry, sequence: number): OwnRoute {
    const { vni, local } = spec;
    const gateway = mac === spec.mac && address !== undefined && this.#gateways.has(vni);
    const ip = address === undefined ? null : ipOf(address);
    return { kind: 'mac', vni, mac, ip, sequence, sticky: isSticky, gateway, vtep: ipOf(local) };
  }

  #tell(route: OwnRoute): void {
    const problem = this.#speaker?.announce(route) ?? '';
    if (problem !== '' && problem !== this.#problem) {
      this.#options.log.warn('bgp', `not announced: ${problem}`);
    }
    this.#problem = problem;
  }

  changed({ entry, from, to }: EntryChange): void {
    const spec = this.#links.get(entry.vni);
    if (spec === undefined || entry.kind === 'prefix') return;
    const before = from && hostOf(spec, from);
    const host = to && hostOf(spec, to);
    if (to !== undefined && host === undefined) this.unreachable++;
    if (host !== undefined && host !== before) this.#use(spec, host, 1);
    const id = idOf(spec.name, entry);
    const claim = to && host !== undefined ? claimOf(entry, to, host) : undefined;
    this.#note({ id, claim: claim && this.#shared(claim) });
    if (before !== undefined && host !== before) this.#use(spec, before, -1);
  }

  /** One object for all claims that say the same: what many MACs at one endpoint have in common. */
  #shared(claim: Best): Best {
    if (claim.mac !== 0) return claim;
    const { peer, sequence, isSticky, isRouter, label } = claim;
    const key = `${peer} ${sequence} ${isSticky} ${isRouter} ${label}`;
    const known = this.#claims.get(key);
    if (known !== undefined) return known;
    if (this.#claims.size >= SHARED_MAX) this.#claims.clear();
    this.#claims.set(key, claim);
    return claim;
  }

  /** One entry more or less is at an endpoint. */
  #use({ vni, name }: NetworkSpec, host: UnderlayAddress, by: 1 | -1): void {
    const key = `${vni} ${host}`;
    const before = this.#uses.get(key) ?? 0;
    const uses = before + by;
    if (uses > 0) this.#uses.set(key, uses);
    else this.#uses.delete(key);
    if (before > 0 && uses > 0) return;
    const claim = { peer: host, owner: formatHostAddress(host), sequence: 0, mac: 0 };
    this.#note({
      id: { link: name, kind: 'vtep', member: host },
      claim: uses > 0 ? claim : undefined,
    });
  }

  #note(update: ClaimUpdate): void {
    this.#updates.set(keyOfEntry(update.id), update);
    // Whoever tells much has turns of its own, and more than that need not be kept here.
    if (this.#updates.size >= PER_TURN) this.#flush();
    else this.#timer ??= setImmediate(() => this.#flush());
  }

  #flush(): void {
    const updates = [...this.#updates.values()];
    this.#updates.clear();
    if (this.#timer !== undefined) clearImmediate(this.#timer);
    this.#timer = undefined;
    this.#options.sink.update('bgp', updates);
  }
}

/** The host to send to, undefined where no way leads to it. */
function hostOf({ local }: NetworkSpec, { vtep }: ImportedPlace): UnderlayAddress | undefined {
  const host = hostOfIp(vtep);
  return host === local || familyOf(host) !== familyOf(local) ? undefined : host;
}

function idOf(link: string, entry: Exclude<ImportedEntry, { kind: 'prefix' }>): EntryId {
  switch (entry.kind) {
    case 'mac':
      return { link, kind: 'mac', mac: entry.mac };
    case 'address':
      return { link, kind: 'mac+ip', address: hostOfIp(entry.ip) };
    case 'flood':
      return { link, kind: 'flood', member: hostOfIp(entry.member) };
  }
}

function claimOf(entry: ImportedEntry, place: ImportedPlace, peer: UnderlayAddress): Best {
  const { mac, sequence, sticky, gateway, router, label } = place;
  const isBinding = entry.kind === 'address';
  const owner = formatHostAddress(peer);
  // Field by field: see rib.ts, there are half a million of them.
  const own = isBinding ? (mac ?? 0) : 0;
  const claim: Best = { peer, owner, sequence, mac: own, source: 'bgp' };
  if (sticky) claim.isSticky = true;
  // Only the gateway's MAC may advertise itself as a router; an address tells what it is.
  if (isBinding ? router : gateway) claim.isRouter = true;
  // What is sent there bears the VNI that it has there; an address has its MAC's.
  if (!isBinding && label !== entry.vni) claim.label = label;
  return claim;
}

/** What a member of gossip has, with that member as the next hop. */
function relayedRoute({ vni }: NetworkSpec, id: EntryId, best: Best): OwnRoute | undefined {
  const { peer, sequence, isSticky: sticky = false } = best;
  const common = { kind: 'mac', vni, sequence, sticky, gateway: false, vtep: ipOf(peer) } as const;
  if (id.kind === 'mac') return { ...common, mac: id.mac, ip: null };
  return id.kind === 'mac+ip' ? { ...common, mac: best.mac, ip: ipOf(id.address) } : undefined;
}

/** "Send me what is flooded." */
function floodOf({ vni, local }: NetworkSpec): OwnRoute {
  return { kind: 'flood', vni, vtep: ipOf(local) };
}
