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
import { contains, equals } from '../../../net/prefix.ts';
import { holdsHost, sameHostPrefix } from '../../../net/underlay-address.ts';
import type { Claim, ClaimUpdate, EntryId } from '../../../rib/entry.ts';
import { type Announcement, ItemKind, type NodeId } from '../../../wire/gossip/types.ts';
import type { EntrySink } from '../../entries/entry-service.ts';
import { sameFan } from '../../entries/same-fan.ts';
import type { LinkSpec } from '../../store/link-spec.ts';
import type { NodeFollower } from './followers.ts';

/** Prefixes that are looked up in one go, so that a large table holds nothing else up: some ms. */
const PER_TURN = 1024;
const LENGTH_FACTOR = 64;

export class GossipFeed implements NodeFollower {
  readonly #sink: EntrySink;
  readonly #specs: () => readonly LinkSpec[];
  #node: GossipNode | undefined;
  /** The links as claims were made for them. */
  #links: readonly LinkSpec[] = [];
  /** Prefixes that may be elsewhere now, as numbers. */
  readonly #prefixes = new Set<number>();
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
    if (item.kind !== ItemKind.Prefix) return;
    this.#prefixes.add(item.address * LENGTH_FACTOR + item.length);
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
    for (const { item } of this.#node.table.list({ kind: ItemKind.Prefix })) this.#note(item);
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
    for (const number of this.#prefixes) {
      if (count++ >= PER_TURN) break;
      this.#prefixes.delete(number);
      const address = Math.floor(number / LENGTH_FACTOR);
      const length = number % LENGTH_FACTOR;
      for (const spec of this.#links) {
        if (!contains(spec.overlay, address)) continue;
        const id: EntryId = { link: spec.name, kind: 'prefix', address, length };
        updates.push({ id, claim: claimOf(node, spec, address, length) });
      }
    }
    this.#sink.update('gossip', updates);
    if (this.#prefixes.size > 0) this.#soon();
  }
}

/** Who has a prefix on a link by the table. One that names the link's VNI counts before one for any. */
function claimOf(
  node: GossipNode,
  spec: LinkSpec,
  address: number,
  length: number,
): Claim | undefined {
  if (length < spec.slice.length) return undefined;
  for (const vni of [spec.vni, 0]) {
    const entry = node.table.lookup({ kind: ItemKind.Prefix, vni, address, length });
    if (entry === undefined) continue;
    const fan = node.table
      .record(entry.owner)
      ?.fans.find(
        ({ overlay, underlay }) =>
          equals(overlay, spec.overlay) && sameHostPrefix(underlay, spec.underlay),
      );
    if (fan === undefined || !holdsHost(spec.underlay, fan.local)) continue;
    return { peer: fan.local, owner: entry.owner, sequence: entry.item.rank, mac: 0 };
  }
  return undefined;
}
