/**
 * What gossip says of the links of this host, as claims: each prefix inside a link's overlay, at the
 * underlay address that its owner has in this very fan. A prefix wider than a slice is nobody's to
 * move, and is left out.
 *
 * Events only name what may be another; what is true is asked of the table when it is told. So no
 * order of events can lead to another answer than the table's.
 * @module
 */
import type { EntryEvent } from '../../../gossip/base/api.ts';
import type { GossipNode } from '../../../gossip/node.ts';
import { equals } from '../../../net/prefix.ts';
import {
  holdsHost,
  sameHostPrefix,
  type UnderlayAddress,
  type UnderlayPrefix,
} from '../../../net/underlay-address.ts';
import { type Claim, type ClaimUpdate, prefixOfSlot, slotOfPrefix } from '../../../rib/entry.ts';
import { type Announcement, ItemKind, type NodeId } from '../../../wire/gossip/types.ts';
import type { EntrySink } from '../../entries/entry-service.ts';
import { sameFan } from '../../entries/same-fan.ts';
import { type LinkSpec, sideOf } from '../../store/link-spec.ts';
import { isPrefixItem, prefixItemOf } from './announced.ts';
import type { NodeFollower } from './followers.ts';

/** Prefixes that are looked up in one go, so that a large table holds nothing else up: some ms. */
const PER_TURN = 1024;

export class GossipFeed implements NodeFollower {
  readonly #sink: EntrySink;
  readonly #specs: () => readonly LinkSpec[];
  #node: GossipNode | undefined;
  /** The links as claims were made for them. */
  #links: readonly LinkSpec[] = [];
  /** Prefixes that may be elsewhere now, as {@link slotOfPrefix} writes them. */
  readonly #prefixes = new Set<number | string>();
  /** Owners whose record may be another. */
  readonly #owners = new Set<NodeId>();
  #timer: NodeJS.Immediate | undefined;

  constructor(sink: EntrySink, specs: () => readonly LinkSpec[]) {
    this.#sink = sink;
    this.#specs = specs;
  }

  /** The node whose table counts from now on; undefined = gossip says nothing. */
  follow(node: GossipNode | undefined): void {
    this.#prefixes.clear();
    this.#owners.clear();
    this.#links = [];
    this.#node = node;
    this.#sink.withdraw('gossip');
    this.refresh();
  }

  entryChanged({ item }: EntryEvent): void {
    this.#note(item);
  }

  #note(item: Announcement): void {
    if (!isPrefixItem(item)) return;
    this.#prefixes.add(slotOfPrefix(item));
    this.#soon();
  }

  /** What an owner says of itself may be another, its fans too. */
  recordChanged(owner: NodeId): void {
    this.#owners.add(owner);
    this.#soon();
  }

  /** Links may have come, gone or changed. */
  refresh(): void {
    if (this.#node === undefined) return;
    const before = new Map(this.#links.map((spec) => [spec.name, spec]));
    this.#links = [...this.#specs()];
    let isNew = false;
    for (const spec of this.#links) {
      const known = before.get(spec.name);
      before.delete(spec.name);
      if (known !== undefined && sameFan(known, spec)) continue;
      if (known !== undefined) this.#sink.withdraw('gossip', spec.name);
      isNew = true;
    }
    for (const name of before.keys()) this.#sink.withdraw('gossip', name);
    if (!isNew) return;
    for (const kind of [ItemKind.Prefix, ItemKind.Prefix6]) {
      for (const { item } of this.#node.table.list({ kind })) this.#note(item);
    }
  }

  close(): void {
    if (this.#timer !== undefined) clearImmediate(this.#timer);
    this.#timer = undefined;
    this.#node = undefined;
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
    for (const owner of this.#owners) {
      for (const item of node.table.announcedBy(owner)) this.#note(item);
    }
    this.#owners.clear();
    const updates: ClaimUpdate[] = [];
    let count = 0;
    for (const slot of this.#prefixes) {
      if (count++ >= PER_TURN) break;
      this.#prefixes.delete(slot);
      const prefix = prefixOfSlot(slot);
      for (const spec of this.#links) {
        const side = sideOf(spec, prefix.address);
        if (side === undefined || !holdsHost(side.overlay, prefix.address)) continue;
        const claim = prefix.length < side.slice.length ? undefined : claimOf(node, spec, prefix);
        updates.push({ id: { link: spec.name, kind: 'prefix', ...prefix }, claim });
      }
    }
    this.#sink.update('gossip', updates);
    if (this.#prefixes.size > 0) this.#soon();
  }
}

/** Who has a prefix on a link by the table. One that names the link's VNI counts before one for any. */
function claimOf(node: GossipNode, spec: LinkSpec, prefix: UnderlayPrefix): Claim | undefined {
  for (const item of [prefixItemOf(prefix, spec), prefixItemOf(prefix, undefined)]) {
    const entry = node.table.lookup(item);
    if (entry === undefined) continue;
    const peer = hostOf(node, entry.owner, spec, prefix.address);
    if (peer === undefined) continue;
    return { peer, owner: entry.owner, sequence: entry.item.rank, mac: 0 };
  }
  return undefined;
}

/**
 * Underlay address of an owner on a link. Records tell fans by their IPv4 overlay; of IPv6 any fan over the
 * same underlay will do, or an address there that it hears gossip at.
 */
function hostOf(
  node: GossipNode,
  owner: NodeId,
  { overlay, underlay }: LinkSpec,
  address: UnderlayAddress,
): UnderlayAddress | undefined {
  const record = node.table.record(owner);
  const isIpv4 = typeof address === 'number';
  const fan = record?.fans.find(
    (one) => (!isIpv4 || equals(one.overlay, overlay)) && sameHostPrefix(one.underlay, underlay),
  );
  const told = isIpv4 ? [] : (record?.endpoints ?? []).map((endpoint) => endpoint.address);
  const locals = fan === undefined ? told : [fan.local];
  return locals.find((local) => holdsHost(underlay, local));
}
