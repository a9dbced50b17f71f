/**
 * Layer-2 networks over gossip, both ways: what this host has in each is announced, and what others
 * announce becomes claims, each at the tunnel endpoint that its owner names for the network.
 *
 * Who takes part in a network says so by one entry of its own (its tunnel endpoint); without it nothing
 * of that owner counts there. Events only name what may be another; what is true is asked of the table.
 * @module
 */

import type { EntryEvent, SoughtEvent, WitnessEvent } from '../../../../gossip/base/api.ts';
import type { EntryKey, Unranked } from '../../../../gossip/base/keys.ts';
import { keyText } from '../../../../gossip/base/keys.ts';
import type { GossipNode } from '../../../../gossip/node.ts';
import { overlaps, type Prefix } from '../../../../net/prefix.ts';
import { formatHostAddress, type UnderlayAddress } from '../../../../net/underlay-address.ts';
import {
  type Best,
  type Claim,
  type ClaimUpdate,
  type EntryId,
  keyOfEntry,
} from '../../../../rib/entry.ts';
import {
  type Announcement,
  ItemKind,
  type NodeId,
  type VtepItem,
  VtepRole,
} from '../../../../wire/gossip/types.ts';
import type { EntrySink } from '../../../entries/entry-service.ts';
import type {
  NetworkSpeaker,
  OwnEntries,
  OwnEntry,
  RelaySpeaker,
} from '../../../networks/local/own-entries.ts';
import type { WitnessSpeaker } from '../../../networks/moves/contests.ts';
import type { SearchSpeaker } from '../../../networks/search/search.ts';
import type { NetworkSpec } from '../../../store/link-spec.ts';
import type { NodeFollower } from '../followers.ts';
import { Beyond } from './beyond.ts';
import { EarlierLives } from './earlier-lives.ts';
import { farItemOf, idOf, itemOf, macOf } from './items.ts';

/** Keys that are looked up in one go, so that a large table holds nothing else up: some ms. */
const PER_TURN = 1024;

/** What is said of a host that is not the owner's alone: one owner's tunnel endpoint in a network. */
type Endpoint = Omit<VtepItem, 'kind' | 'rank' | 'port'> & { owner: NodeId };

function endpointKey(vni: number, owner: NodeId): string {
  return `${vni} ${owner}`;
}

export type NetworkGossipOptions = {
  sink: EntrySink;
  own: OwnEntries;
  /** The networks that are up. */
  networks: () => readonly NetworkSpec[];
  /** The service node that floods of a network go through; undefined = none. */
  through: (link: string) => UnderlayAddress | undefined;
  /** The member `from`, which takes part in a network, looks for these addresses there. */
  sought: (link: string, from: NodeId, addresses: readonly UnderlayAddress[]) => void;
  /** The member `from` at `host`, which takes part, asks for a MAC, or answers (`isHere` is there). */
  witness: (link: string, word: { host: UnderlayAddress } & WitnessEvent) => void;
};

type Speakers = NetworkSpeaker & SearchSpeaker & RelaySpeaker & WitnessSpeaker;

export class NetworkGossip implements NodeFollower, Speakers {
  readonly #options: NetworkGossipOptions;
  #node: GossipNode | undefined;
  /** Networks as claims were made for them, by VNI. */
  readonly #links = new Map<number, NetworkSpec>();
  /** By VNI and owner. */
  readonly #endpoints = new Map<string, Endpoint>();
  /** Endpoints beyond gossip, of which gateways tell. */
  readonly #beyond = new Beyond();
  /** What this host tells as a gateway, by the keys of its entries. */
  readonly #relayed = new Map<string, { item: Unranked; rank: number }>();
  readonly #dirty = new Map<string, EntryKey>();
  readonly #lives = new EarlierLives({
    lifeOf: (owner) => this.#node?.table.lifeOf(owner) ?? 0,
    over: (change) => this.#changed(change),
  });
  #timer: NodeJS.Immediate | undefined;

  constructor(options: NetworkGossipOptions) {
    this.#options = options;
    options.own.addSpeaker(this);
  }

  /** The node whose table counts from now on; it has not begun yet. undefined = gossip says nothing. */
  follow(node: GossipNode | undefined): void {
    if (this.#node === node) return;
    this.#node = node;
    this.#dirty.clear();
    this.#lives.clear();
    this.#endpoints.clear();
    this.#beyond.clear();
    for (const { name } of this.#links.values()) this.#options.sink.withdraw('gossip', name);
    this.#links.clear();
    if (node === undefined) return;
    this.refresh();
    for (const own of this.#options.own.all()) this.#options.own.announce(own, [this]);
    for (const { item, rank } of this.#relayed.values()) node.announce(item, rank);
  }

  relay({ vni }: NetworkSpec, id: EntryId, best: Best | undefined): void {
    const key = keyOfEntry(id);
    const before = this.#relayed.get(key);
    const item = best && farItemOf(vni, id, best);
    if (before !== undefined && before.item.kind !== item?.kind) {
      this.#relayed.delete(key);
      this.#node?.withdraw(before.item);
    }
    if (item === undefined || best === undefined) return;
    this.#relayed.set(key, { item, rank: best.sequence });
    this.#node?.announce(item, best.sequence);
  }

  /** Who else hands out addresses of this host's slice of a network: their slices and node ids. */
  sliceRivals({ vni, ipam }: NetworkSpec): { slice: Prefix; owner: NodeId }[] {
    const node = this.#node;
    if (node === undefined || ipam === undefined) return [];
    const rivals: { slice: Prefix; owner: NodeId }[] = [];
    for (const { item, owner } of node.table.list({ kind: ItemKind.Slice, vni })) {
      if (item.kind !== ItemKind.Slice || owner === node.id) continue;
      if (overlaps(item, ipam.slice)) rivals.push({ slice: item, owner });
    }
    return rivals;
  }

  /** Who has its floods copied by this host. */
  *served({
    vni,
    local,
    outer = local,
  }: NetworkSpec): Generator<{ host: UnderlayAddress; owner: NodeId }> {
    for (const { vni: at, via, address: host, owner } of this.#endpoints.values()) {
      if (at === vni && via === outer) yield { host, owner };
    }
  }

  /** The MAC that the host at a tunnel endpoint has itself; undefined = not known. */
  macOfHost({ vni }: NetworkSpec, host: UnderlayAddress): number | undefined {
    for (const endpoint of this.#endpoints.values()) {
      if (endpoint.vni === vni && endpoint.address === host) return endpoint.own;
    }
    return undefined;
  }

  announce(own: OwnEntry): number {
    return this.#node?.announce(itemOf(own), own.sequence) ?? 0;
  }

  renew(own: OwnEntry): number {
    // Whoever announces a thing once more keeps its rank; both changes go out as one.
    this.withdraw(own);
    return this.announce(own);
  }

  withdraw(own: OwnEntry): void {
    this.#node?.withdraw(itemOf(own));
  }

  /** Networks may have come, gone or changed. */
  refresh(): void {
    const node = this.#node;
    if (node === undefined) return;
    const wanted = new Map(this.#options.networks().map((spec) => [spec.vni, spec]));
    for (const [vni, spec] of [...this.#links]) {
      const now = wanted.get(vni);
      if (now?.name === spec.name && now.local === spec.local) continue;
      this.#links.delete(vni);
      this.#options.sink.withdraw('gossip', spec.name);
      node.withdraw({ kind: ItemKind.Vtep, vni });
      node.withdraw({ kind: ItemKind.FloodMember, vni });
      if (spec.ipam !== undefined) node.withdraw({ kind: ItemKind.Slice, vni, ...spec.ipam.slice });
      for (const [key, endpoint] of this.#endpoints) {
        if (endpoint.vni === vni) this.#endpoints.delete(key);
      }
      this.#beyond.clear(vni);
    }
    for (const spec of wanted.values()) {
      const known = this.#links.has(spec.vni);
      this.#links.set(spec.vni, spec);
      this.#announceOurselves(node, spec);
      if (!known) this.#readAll(node, spec.vni);
    }
  }

  #announceOurselves(node: GossipNode, spec: NetworkSpec): void {
    const { vni, local, outer: address = local, port, bum, ipam, mac: own } = spec;
    const { dhcpServers = [], routers = [] } = spec;
    const servers = { dhcpServers, routers };
    const via = this.#options.through(spec.name);
    const roles = spec.replicator ? VtepRole.Replicator : 0;
    node.announce({
      ...{ kind: ItemKind.Vtep, vni, address, port, roles, own, ...servers },
      ...(via !== undefined && { via }),
    });
    const flood = { kind: ItemKind.FloodMember, vni } as const;
    if (ipam !== undefined) node.announce({ kind: ItemKind.Slice, vni, ...ipam.slice });
    if (bum !== 'none') node.announce(flood);
    else node.withdraw(flood);
  }

  #readAll(node: GossipNode, vni: number): void {
    for (const { item, owner } of node.table.list({ kind: ItemKind.Vtep, vni })) {
      this.#lives.note(owner);
      this.#endpointIs(vni, owner, item);
    }
    for (const { item, owner } of node.table.list({ vni })) this.#noteItem(item, owner, true);
  }

  entryChanged(change: EntryEvent): void {
    if (this.#links.has(change.item.vni) && !this.#lives.holds(change)) this.#changed(change);
  }

  #changed(change: EntryEvent): void {
    const { item, owner } = change;
    if (!this.#links.has(item.vni)) return;
    const isThere = change.type === 'set';
    if (item.kind === ItemKind.Vtep) {
      this.#endpointIs(item.vni, owner, isThere ? item : undefined);
    } else this.#noteItem(item, owner, isThere);
  }

  #noteItem(item: Announcement, owner: NodeId, isThere: boolean): void {
    if (item.kind === ItemKind.FloodMember) this.#floodIs(item.vni, owner, isThere);
    else if (item.kind !== ItemKind.Vtep && item.kind !== ItemKind.Prefix) {
      this.#dirty.set(keyText(item), item);
      this.#soon();
    }
  }

  /** How many members would be asked for addresses of a network. */
  members(vni: number): number {
    return this.#node?.seeks.members(vni) ?? 0;
  }

  /** Asks the members of a network for addresses. */
  ask(vni: number, addresses: readonly UnderlayAddress[]): void {
    this.#node?.seeks.ask(vni, addresses);
  }

  sought({ from, vni, addresses }: SoughtEvent): void {
    const spec = this.#links.get(vni);
    if (spec === undefined || !this.#endpoints.has(endpointKey(vni, from))) return;
    this.#options.sought(spec.name, from, addresses);
  }

  askWitness(vni: number, owner: string, mac: number): boolean {
    return this.#node?.seeks.askWitness(owner, vni, mac) ?? false;
  }

  testify(vni: number, owner: string, mac: number, isHere: boolean): void {
    this.#node?.seeks.testify(owner, vni, mac, isHere);
  }

  witness(word: WitnessEvent): void {
    const spec = this.#links.get(word.vni);
    const endpoint = this.#endpoints.get(endpointKey(word.vni, word.from));
    if (spec === undefined || endpoint === undefined) return;
    this.#options.witness(spec.name, { ...word, host: endpoint.address });
  }

  close(): void {
    if (this.#timer !== undefined) clearImmediate(this.#timer);
    this.#timer = undefined;
    this.#lives.clear();
    this.#node = undefined;
  }

  /** An owner takes part in a network at this endpoint, or no more: all that it has there is to be read anew. */
  #endpointIs(vni: number, owner: NodeId, item: Announcement | undefined): void {
    const node = this.#node;
    const spec = this.#links.get(vni);
    if (node === undefined || spec === undefined || owner === node.id) return;
    const key = endpointKey(vni, owner);
    const before = this.#endpoints.get(key);
    if (item?.kind === ItemKind.Vtep) {
      this.#endpoints.set(key, { ...item, owner });
    } else this.#endpoints.delete(key);
    const updates: ClaimUpdate[] = [];
    const addresses = new Set([before?.address, this.#endpoints.get(key)?.address]);
    for (const member of addresses) {
      if (member === undefined) continue;
      const id: EntryId = { link: spec.name, kind: 'vtep', member };
      updates.push({ id, claim: this.#vtepAt(vni, member) });
    }
    const old = before?.address;
    if (old !== undefined && old !== this.#endpoints.get(key)?.address) {
      updates.push({ id: { link: spec.name, kind: 'flood', member: old }, claim: undefined });
    }
    this.#options.sink.update('gossip', updates);
    for (const each of [...node.table.announcedBy(owner)]) {
      if (each.vni === vni) this.#noteItem(each, owner, item !== undefined);
    }
  }

  /** Who takes part at an underlay address, undefined when nobody does. Of several the lowest id. */
  #vtepAt(vni: number, member: UnderlayAddress): Claim | undefined {
    let first: Endpoint | undefined;
    for (const endpoint of this.#endpoints.values()) {
      if (endpoint.vni !== vni || endpoint.address !== member) continue;
      if (first === undefined || endpoint.owner < first.owner) first = endpoint;
    }
    if (first === undefined) {
      return this.#beyond.has(vni, member) ? { ...placeAt(member), isRelayed: true } : undefined;
    }
    const isReplicator = (first.roles & VtepRole.Replicator) !== 0;
    return { peer: member, owner: first.owner, sequence: 0, mac: 0, isReplicator };
  }

  #floodIs(vni: number, owner: NodeId, isThere: boolean): void {
    const spec = this.#links.get(vni);
    const member = this.#endpoints.get(endpointKey(vni, owner))?.address;
    if (spec === undefined || member === undefined) return;
    const id: EntryId = { link: spec.name, kind: 'flood', member };
    const claim: Claim = { peer: member, owner, sequence: 0, mac: 0 };
    this.#options.sink.update('gossip', [{ id, claim: isThere ? claim : undefined }]);
  }

  #soon(): void {
    if (this.#node === undefined) return;
    this.#timer ??= setImmediate(() => {
      this.#timer = undefined;
      this.#tell();
    });
  }

  #tell(): void {
    const node = this.#node;
    if (node === undefined) return;
    const updates: ClaimUpdate[] = [];
    let count = 0;
    for (const [text, key] of this.#dirty) {
      if (count++ >= PER_TURN) break;
      this.#dirty.delete(text);
      const update = this.#updateOf(node, key);
      if (update === undefined) continue;
      const { id, claim } = update;
      const far = claim?.isRelayed === true ? claim.peer : undefined;
      for (const member of this.#beyond.place(text, key.vni, far)) {
        const vtep: EntryId = { link: id.link, kind: 'vtep', member };
        updates.push({ id: vtep, claim: this.#vtepAt(key.vni, member) });
      }
      updates.push(update);
    }
    this.#options.sink.update('gossip', updates);
    if (this.#dirty.size > 0) this.#soon();
  }

  #updateOf(node: GossipNode, key: EntryKey): ClaimUpdate | undefined {
    const spec = this.#links.get(key.vni);
    const id = spec && idOf(spec.name, key);
    if (id === undefined) return undefined;
    const isMac = key.kind === ItemKind.Mac || key.kind === ItemKind.StickyMac;
    const sticky = isMac && node.table.lookup({ ...key, kind: ItemKind.StickyMac });
    const entry = sticky || node.table.lookup(isMac ? { ...key, kind: ItemKind.Mac } : key);
    // What we announce ourselves is a claim of its own.
    if (entry === undefined || entry.owner === node.id) return { id, claim: undefined };
    const { item, owner } = entry;
    const far = 'host' in item ? item.host : undefined;
    // What a gateway says of this host itself is an echo.
    if (far !== undefined && far === spec?.local) return { id, claim: undefined };
    if (far !== undefined) return { id, claim: farClaim(far, owner, item) };
    const endpoint = this.#endpoints.get(endpointKey(key.vni, owner));
    if (endpoint === undefined) return { id, claim: undefined };
    const { address: peer, dhcpServers = [], routers = [] } = endpoint;
    const claim: Claim = { peer, owner, sequence: item.rank, mac: macOf(item) };
    if (item.kind === ItemKind.StickyMac) claim.isSticky = true;
    // What its host says of a server counts while the server is there.
    if ('mac' in item && routers.includes(item.mac)) claim.isRouter = true;
    if ('mac' in item && isMac && dhcpServers.includes(item.mac)) claim.isDhcpServer = true;
    return { id, claim };
  }
}

function placeAt(peer: UnderlayAddress): Claim {
  return { peer, owner: formatHostAddress(peer), sequence: 0, mac: 0 };
}

/** What a gateway tells: it is beyond gossip, at an endpoint of its own. */
function farClaim(peer: UnderlayAddress, owner: NodeId, item: Announcement): Claim {
  return {
    ...{ peer, owner, sequence: item.rank, mac: macOf(item), isRelayed: true },
    ...(item.kind === ItemKind.StickyMac && { isSticky: true }),
  };
}
