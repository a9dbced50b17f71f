/**
 * One node of the gossip channel: puts together who is there (membership.ts), what is announced
 * (tables.ts), and what goes to others (outbox.ts). Everything happens in `receive` and `tick`;
 * nothing runs by itself.
 *
 * 1. A datagram comes in: its messages change members and tables; answers go out at once.
 * 2. What others should know too waits in the queue.
 * 3. A tick writes what this node has to tell, probes, knocks, compares, and passes on what waits.
 * @module
 */

import { messageBytes } from '../wire/gossip/message.ts';
import {
  compareVersions,
  type Endpoint,
  type Message,
  MessageType,
  type NodeId,
  type RawBlock,
  type Version,
} from '../wire/gossip/types.ts';
import {
  CONFIG_DEFAULTS,
  type ConflictView,
  type EntryView,
  type GossipConfig,
  type GossipNodeOptions,
  type MemberChange,
  type MemberView,
  type PeerRecord,
  type Want,
} from './base/api.ts';
import { Counters } from './base/counters.ts';
import type { EntryKey, Unranked } from './base/keys.ts';
import { BROADCASTS_MAX, ITEMS_MAX, LEAVE_DIRECT_MAX, MEMBERS_MAX } from './base/limits.ts';
import { WakingClock } from './base/waking-clock.ts';
import { Departed } from './departed.ts';
import { Directory } from './members/directory.ts';
import { Knocker } from './members/knocker.ts';
import { endpointOf, isActive, type Member, type Members } from './members/members.ts';
import { Membership } from './members/membership.ts';
import { pickSome } from './members/prober.ts';
import { BroadcastQueue } from './post/broadcast.ts';
import { readPayload } from './post/inbox.ts';
import { blocksOf, hasPeer, longDead, wantOf } from './post/messages.ts';
import { Outbox } from './post/outbox.ts';
import { Seeks } from './seeks.ts';
import { serve } from './sync/digest.ts';
import { Sync } from './sync/sync.ts';
import type { EntryFilter } from './table/entries.ts';
import { standingOf } from './table/rivals.ts';
import type { TableReader } from './table/table-reader.ts';
import { Tables } from './table/tables.ts';
import { memberView, selfView } from './views.ts';

/** Members that a gossip tick tells. */
const FAN_OUT = 3;
/** The longest that a node sleeps; time-outs are as coarse as this. */
const TICK_MS = 100;

export class GossipNode {
  readonly id: NodeId;
  readonly counters: Counters;
  /** What is announced. */
  readonly table: TableReader;
  /** Workloads that are looked for. */
  readonly seeks: Seeks;
  readonly #options: GossipNodeOptions;
  readonly #config: GossipConfig;
  readonly #clock: WakingClock;
  readonly #queue: BroadcastQueue;
  readonly #outbox: Outbox;
  readonly #tables: Tables;
  readonly #membership: Membership;
  readonly #sync: Sync;
  readonly #knocker: Knocker;
  readonly #departed: Departed;
  readonly #directory: Directory;
  readonly #startMs: number;
  #nowMs: number;
  #peer: PeerRecord;
  #left = false;

  constructor(options: GossipNodeOptions) {
    const { id, random, nowMs, wire, events, counters = new Counters() } = options;
    this.id = id;
    this.counters = counters;
    this.#options = options;
    this.#config = { ...CONFIG_DEFAULTS, ...options.config };
    this.#startMs = nowMs();
    this.#nowMs = this.#startMs;
    this.#clock = new WakingClock(this.#startMs);
    this.#peer = options.peer;
    this.#queue = new BroadcastQueue(BROADCASTS_MAX, counters, messageBytes);
    const members = (): number => this.#members.count;
    const { gossipIntervalMs: intervalMs } = this.#config;
    this.#outbox = new Outbox({ wire, queue: this.#queue, counters, members, intervalMs });
    const send = (to: Endpoint, messages: readonly Message[]) => this.#outbox.send(to, messages);
    this.#membership = new Membership({
      self: id,
      ownName: () => this.#peer.name,
      counters,
      random,
      config: this.#config,
      queue: this.#queue,
      send,
      changed: (change, member) => this.#memberChanged(change, member),
      accused: (version, from) => this.#accused(version, from),
      wanted: (owner, version, from) => send(from, [wantOf(owner, version)]),
      correct: (owner, to) => send(to, this.#headOf(owner)),
    });
    this.#tables = new Tables({
      ...options,
      counters,
      events,
      standing: () => standingOf(this.#members.active().length, this.#nowMs - this.#startMs),
      isActive: (owner) => this.#isActive(owner),
      nameOf: (owner) => this.#members.nameOf(owner),
      makeRoom: () => this.#departed.makeRoom(),
      head: (signed, record) => this.#membership.head(signed, record, this.#nowMs),
      peer: (owner, record) => this.#members.record(owner, record),
      spread: (signed) => this.#queue.addBlock(signed),
      dropped: (signed) => this.#queue.dropBlock(signed),
    });
    this.table = this.#tables.reader;
    this.#directory = new Directory(id, this.#members);
    const endpointOf = (member: NodeId) => this.#directory.endpointOf(member);
    const table = (): TableReader => this.table;
    this.seeks = new Seeks({ self: id, table, counters, events, endpointOf, send });
    this.#departed = new Departed(this.#members, () => this.#tables, this.#startMs);
    this.#sync = new Sync({
      self: id,
      store: this.#tables.store,
      counters,
      intervalMs: this.#config.syncIntervalMs,
      random,
      nowMs,
      pick: () => pickSome(this.#members.active(), 1, random)[0]?.id,
      send: (node, messages) => {
        const to = this.#directory.endpointOf(node);
        if (to !== undefined) this.#answer(to, messages);
      },
      pull: (peer, wants) => this.#pull(peer, wants),
    });
    this.#knocker = new Knocker({
      membership: this.#membership,
      counters,
      random,
      ownEndpoints: () => this.#peer.endpoints,
      greeting: (introduce) => this.#greeting(introduce),
      send,
    });
  }

  /** Begins: writes the first block and knocks at the seeds. Call `tick` from now on. */
  start(): void {
    this.#tables.conflicts.setRecord(this.#peer);
    this.#tables.publish();
    this.setSeeds(this.#options.seeds);
  }

  /** A datagram that `sender` proved to have sent. */
  receive(from: Endpoint, sender: NodeId, payload: Uint8Array): void {
    const messages = readPayload(payload, this.counters);
    if (this.#tables.author.silent) return;
    this.#nowMs = this.#options.nowMs();
    const isFirst = this.#directory.note(sender, from);
    for (const message of messages) this.#handle(message, from, sender);
    const compares = messages.some(({ type }) => type === MessageType.Digest);
    if (isFirst && !compares) this.#sync.contact(sender);
    this.#heard(from, sender);
    this.#tables.publish();
  }

  /** Does what is due. Call it again after as many milliseconds as it returns, or earlier. */
  tick(): number {
    const nowMs = this.#options.nowMs();
    this.#nowMs = nowMs;
    const lateMs = this.#clock.advance(nowMs);
    this.#clock.sleep(TICK_MS);
    this.#tables.review(nowMs);
    if (this.#tables.author.silent) return TICK_MS;
    this.#tables.publish();
    if (!this.#left) {
      this.#membership.tick(nowMs, this.#clock.awakeMs, lateMs);
      this.#knocker.tick(nowMs);
      this.#sync.tick();
    }
    this.#outbox.gossip(nowMs, () => this.#someEndpoints());
    this.#departed.tick(nowMs);
    return TICK_MS;
  }

  /**
   * Announces something from now on. A key that another node announces is taken over from it.
   * @returns its rank, at least `atLeast`
   * @throws FanwayError `too-many-announcements`, GossipFormatError for fields out of bounds
   */
  announce(item: Unranked, atLeast = 0): number {
    return this.#tables.conflicts.announce(item, atLeast);
  }

  /** @returns whether this node announced it. */
  withdraw(key: EntryKey): boolean {
    return this.#tables.author.withdraw(key);
  }

  /**
   * What this node says of itself has changed; fields that are left out stay.
   * @throws FanwayError `peer-record-too-large`, GossipFormatError for fields out of bounds
   */
  updatePeer(fields: Partial<PeerRecord>): void {
    const peer = { ...this.#peer, ...fields };
    this.#tables.conflicts.setRecord(peer);
    this.#peer = peer;
  }

  /** Where to knock as long as nobody alive is known there; replaces the ones before. */
  setSeeds(endpoints: readonly Endpoint[]): void {
    this.#knocker.setSeeds(endpoints, this.#options.nowMs());
  }

  /** Says goodbye to all. Keep calling `tick` for a second, so that it is passed on. */
  leave(): void {
    if (this.#left) return;
    this.#left = true;
    this.#tables.author.leave();
    this.#tables.publish();
    for (const member of pickSome(this.#members.active(), LEAVE_DIRECT_MAX, this.#options.random)) {
      const to = endpointOf(member);
      if (to !== undefined) this.#outbox.send(to, this.#headOf(this.id));
    }
  }

  /** This node first, then all others that are known. */
  members(): MemberView[] {
    const nowMs = this.#options.nowMs();
    const { version } = this.#tables.author;
    const self = selfView(this.id, this.#peer, version, this.#left, nowMs - this.#startMs);
    return [self, ...[...this.#members.all()].map((member) => memberView(member, nowMs))];
  }

  /** One member, or this node; undefined when it is not known. */
  member(id: NodeId): MemberView | undefined {
    if (id === this.id) return this.members()[0];
    const member = this.#members.get(id);
    return member && memberView(member, this.#options.nowMs());
  }

  /** What holds, of all active nodes, in no order. */
  entries(filter?: EntryFilter): EntryView[] {
    return this.table.views(filter);
  }

  /** Over all blocks that hold: equal on two nodes that know the same. 16 hex digits. */
  summaryHash(): string {
    return Buffer.from(this.#tables.store.hash()).toString('hex');
  }

  /** Two active nodes that claim what only one can have. */
  conflicts(): ConflictView[] {
    return this.#tables.conflicts.list();
  }

  /** Blocks for a peer that pulls, in groups that fit a frame. */
  serve(wants: readonly Want[]): Iterable<RawBlock[]> {
    return serve(this.#tables.store, wants);
  }

  /** How full each table and queue is, and its named maximum. */
  sizes(): Record<string, { size: number; max: number }> {
    const { store } = this.#tables;
    return {
      members: { size: this.#members.size, max: MEMBERS_MAX },
      owners: { size: store.ownerCount, max: MEMBERS_MAX },
      items: { size: store.itemCount, max: ITEMS_MAX },
      visitors: { size: this.#directory.visitorCount, max: MEMBERS_MAX },
      chases: { size: this.#sync.chaseCount, max: MEMBERS_MAX },
      broadcasts: { size: this.#queue.size, max: BROADCASTS_MAX },
      ...this.#membership.sizes(),
      ...this.#knocker.sizes(),
    };
  }

  get #members(): Members {
    return this.#membership.members;
  }

  #isActive(id: NodeId): boolean {
    if (id === this.id) return !this.#left;
    const member = this.#members.get(id);
    return member !== undefined && isActive(member);
  }

  #handle(message: Message, from: Endpoint, sender: NodeId): void {
    switch (message.type) {
      case MessageType.Ping:
        return this.#membership.ping(message, from);
      case MessageType.PingRequest:
        return this.#membership.pingRequest(message, from, this.#nowMs);
      case MessageType.Ack:
        return this.#membership.ack(message.number, sender, this.#nowMs);
      case MessageType.Nack:
        return this.#membership.nack(message.number, sender);
      case MessageType.Suspect:
      case MessageType.Dead:
        return this.#membership.accusation(message, from, this.#nowMs);
      case MessageType.Blocks:
        for (const raw of message.blocks) this.#takeBlock(raw, sender);
        return;
      case MessageType.Seek:
      case MessageType.Witness:
      case MessageType.Testify:
        return this.seeks.take(message, sender);
      case MessageType.Digest:
      case MessageType.Buckets:
      case MessageType.Owners:
      case MessageType.Want:
        return this.#answer(from, this.#sync.receive(sender, message));
    }
  }

  /** @returns whether it is new here. */
  #takeBlock(raw: RawBlock, sender: NodeId): boolean {
    const owner = this.#tables.take(raw, (of) => !this.#sync.isChasing(of));
    if (owner === undefined) return false;
    this.#sync.lacking(owner, sender);
    return true;
  }

  #answer(to: Endpoint, messages: Message[]): void {
    if (messages.length === 0) return;
    this.#outbox.send(to, [...messages, ...this.#membership.chargesBeside(messages, this.#nowMs)]);
  }

  #pull(peer: NodeId, wants: Want[]): void {
    const to = this.#directory.endpointOf(peer);
    if (to === undefined) return this.#sync.pullEnded(false, 0);
    let brought = 0;
    const blocks = (raw: RawBlock[]): void => {
      this.#nowMs = this.#options.nowMs();
      for (const each of raw) if (this.#takeBlock(each, peer)) brought++;
      this.#tables.publish();
    };
    const end = (ok: boolean): void => this.#sync.pullEnded(ok, brought);
    this.#options.wire.pull(to, peer, wants, { blocks, end });
  }

  /** After the messages of a datagram: its sender is there, whatever is said of it. */
  #heard(from: Endpoint, sender: NodeId): void {
    const member = this.#members.get(sender);
    if (member !== undefined) return this.#membership.heard(member, from, this.#nowMs);
    const head = this.#tables.store.isRetired(sender) && this.#tables.store.head(sender);
    // It was away for so long that it is forgotten; told that it is dead, it comes back.
    if (!head) return;
    this.#outbox.send(from, [longDead(sender, head.block, this.id)]);
  }

  /** Somebody accuses us: a newer head is the answer, or the one that is out if it is newer. */
  #accused(version: Version, from: Endpoint): void {
    const { author } = this.#tables;
    if (author.refute(version)) {
      this.counters.count('refutations.sent');
      this.#tables.publish();
    } else if (compareVersions(version, author.version) > 0) {
      // A head of ours that we do not know: from before our state was set back, or a lie.
      this.#outbox.send(from, [wantOf(this.id, version)]);
    }
    this.#outbox.send(from, this.#headOf(this.id));
  }

  #headOf(owner: NodeId): Message[] {
    const head = this.#tables.store.head(owner);
    return head === undefined ? [] : [blocksOf(head)];
  }

  #greeting(introduce: boolean): Message[] {
    const greeting: Message[] = [{ type: MessageType.Digest, hash: this.#tables.store.hash() }];
    if (!introduce) return greeting;
    const head = this.#tables.store.head(this.id);
    for (const signed of this.#tables.store.blocks(this.id)) {
      if (signed === head || hasPeer(signed.block)) greeting.unshift(blocksOf(signed));
    }
    return greeting;
  }

  #memberChanged(change: MemberChange, member: Member): void {
    if (change.to === 'unknown') this.#knocker.forgotten(member, this.#nowMs);
    else this.#knocker.changed(member, this.#nowMs);
    this.#tables.entries.setActive(member.id, isActive(member));
    if (change.from === 'dead' && isActive(member)) this.#sync.contact(member.id);
    this.#options.events.member(change);
  }

  /** Of a few members, chosen by chance. */
  #someEndpoints(): Endpoint[] {
    const members = pickSome(this.#members.active(), FAN_OUT, this.#options.random);
    return members.flatMap((member) => endpointOf(member) ?? []);
  }
}
