/**
 * How two tables become equal.
 *
 * 1. Now and then, and when a member comes (back), a hash of the whole table goes to it. An equal
 *    one is not answered. After a difference the next comparison is soon.
 * 2. Digest → Buckets → Owners → Owners: both sides learn where the other has more.
 * 3. What is missing, because a summary said so or because a head names blocks that are not here,
 *    is asked for after a short while (most of it comes by itself), then again and again, ever more
 *    slowly, from the one who told of it, from its owner and from others.
 * 4. A few blocks come as datagrams; many are pulled over a stream. A stream that breaks is no
 *    loss: the next one asks for what is still missing.
 * @module
 */
import { type Message, MessageType, type NodeId, type OwnerSummary } from '../wire/gossip/types.ts';
import type { Want } from './api.ts';
import type { GossipCounter } from './counters.ts';
import {
  blocksFor,
  countWanted,
  DATAGRAM_BLOCKS_BYTES,
  differingBuckets,
  grouped,
  ownersMessages,
  wantAfter,
  wantMissing,
} from './digest.ts';
import { MEMBERS_MAX } from './limits.ts';
import type { Store } from './store.ts';

/** After a difference the next comparison comes in this share of the usual time, or half of it. */
const SOON = 0.2;
/** How long what is missing may come by itself, ms; half of it is chance. */
const PATIENCE_MS = 200;
/** The first answer may take this long, each further one longer by the factor. */
const RETRY_MS = 400;
const RETRY_FACTOR = 1.6;
const RETRY_MS_MAX = 60_000;
/** Questions after a summary that brought nothing: whoever said it may ask for more next time. */
const HEARSAY_ATTEMPTS = 4;
/** More blocks than this are pulled over a stream. */
export const DATAGRAM_BLOCKS_MAX = 32;
/** A stream that has not ended by then is no longer waited for. */
const PULL_MS_MAX = 30_000;
/** Who brought nothing when we pulled on its word is not believed for so long. */
const SHUN_MS = 10_000;
/** Ranges in all wants of one pull, so that they fit a frame. */
const PULL_RANGES_MAX = 2048;
/**
 * Owners that are chased on the word of a summary; those of which a head is here are not counted
 * out, since there are at most as many as members.
 */
const CHASES_MAX = MEMBERS_MAX;
/** Members whose table is to be compared soon; what goes over waits for its turn by chance. */
const CONTACTS_MAX = 128;
/** What answers may cost, bytes a second and at once. */
const ANSWER_BYTES_PER_SECOND = 262_144;
const ANSWER_BYTES_MAX = 524_288;
/** What a summary, and any message beside it, takes in a datagram, about. */
const SUMMARY_BYTES = 40;
const BUCKETS_BYTES = 264;

export type SyncMessage = Extract<
  Message,
  {
    type:
      | typeof MessageType.Digest
      | typeof MessageType.Buckets
      | typeof MessageType.Owners
      | typeof MessageType.Want;
  }
>;

export type SyncOptions = {
  self: NodeId;
  store: Store;
  counters: { count(name: GossipCounter): void };
  intervalMs: number;
  random: () => number;
  nowMs: () => number;
  /** Any active member but this node. */
  pick: () => NodeId | undefined;
  send: (to: NodeId, messages: Message[]) => void;
  /** Begins a pull; {@link Sync.pullEnded} is called when it is over. */
  pull: (from: NodeId, wants: Want[]) => void;
};

/** Blocks of one owner that are to be had somewhere. */
type Chase = {
  dueMs: number;
  attempts: number;
  /** Who told of it. */
  source: NodeId | undefined;
  /** Its summary, as long as it is ahead of ours. */
  hearsay: OwnerSummary | undefined;
  /** How the owner stood here when it was last asked for. */
  head: number;
  held: number;
};

type Pull = { from: NodeId; untilMs: number };
type Due = { owner: NodeId; chase: Chase; want: Want };

export class Sync {
  readonly #options: SyncOptions;
  readonly #chases = new Map<NodeId, Chase>();
  readonly #contacts = new Set<NodeId>();
  #nextDigestMs: number;
  #pull: Pull | undefined;
  /** Until when the word of the last member that brought nothing does not count. */
  #shunned: Pull | undefined;
  #answerBytes = ANSWER_BYTES_MAX;
  #answeredMs: number;

  constructor(options: SyncOptions) {
    this.#options = options;
    this.#answeredMs = options.nowMs();
    this.#nextDigestMs = this.#answeredMs + options.intervalMs * options.random();
  }

  /** What is being looked for, in owners. */
  get chaseCount(): number {
    return this.#chases.size;
  }

  /** Whether blocks of `owner` were asked for: what comes of it is an answer, not news for others. */
  isChasing(owner: NodeId): boolean {
    return (this.#chases.get(owner)?.attempts ?? 0) > 0;
  }

  /** A member came, or came back: its table is compared with ours soon. */
  contact(node: NodeId): void {
    if (this.#contacts.size >= CONTACTS_MAX) this.#options.counters.count('sync.limited');
    else this.#contacts.add(node);
  }

  /** `source` sent a block by which others of `owner` are missing: it is the first to be asked. */
  lacking(owner: NodeId, source: NodeId): void {
    if (!this.#options.store.incomplete().has(owner)) return;
    const chase = this.#chaseOf(owner);
    if (chase.attempts === 0) chase.source = source;
  }

  /** @returns what to answer to whoever sent the message. */
  receive(sender: NodeId, message: SyncMessage): Message[] {
    switch (message.type) {
      case MessageType.Digest:
        return this.#compare(message.hash);
      case MessageType.Buckets:
        return this.#describe(message.hashes);
      case MessageType.Owners:
        for (const theirs of message.owners) this.#learn(sender, theirs);
        return message.reply ? this.#reply(message.bucket, message.owners) : [];
      case MessageType.Want:
        return this.#answer(message);
    }
  }

  /** Sends what is due. To be called every tenth of a second or so. */
  tick(): void {
    const now = this.#options.nowMs();
    this.#sendDigest(now);
    if (this.#pull !== undefined && this.#pull.untilMs <= now) this.pullEnded(false, 0);
    this.#review(now);
    const due = this.#due(now);
    const blocks = due.reduce((sum, { chase, want }) => sum + expected(chase, want), 0);
    if (blocks <= DATAGRAM_BLOCKS_MAX) this.#askAll(due, now);
    else if (this.#pull === undefined) this.#pullAll(due, now);
  }

  /**
   * A pull is over; `ok` says whether the stream came to its proper end, `brought` how many blocks
   * came that were new here.
   */
  pullEnded(ok: boolean, brought: number): void {
    if (this.#pull === undefined) return;
    if (!ok) this.#options.counters.count('sync.pulls_failed');
    if (brought === 0) {
      this.#shunned = { from: this.#pull.from, untilMs: this.#options.nowMs() + SHUN_MS };
    }
    this.#pull = undefined;
  }

  #sendDigest(now: number): void {
    const { store, random, intervalMs, pick, send, counters } = this.#options;
    let node: NodeId | undefined = this.#contacts.values().next().value;
    if (node !== undefined) this.#contacts.delete(node);
    else if (now >= this.#nextDigestMs) {
      this.#nextDigestMs = now + intervalMs * (0.75 + random() / 2);
      node = pick();
    }
    if (node === undefined) return;
    counters.count('sync.digests_sent');
    send(node, [{ type: MessageType.Digest, hash: store.hash() }]);
  }

  #compareSoon(): void {
    const { nowMs, intervalMs, random } = this.#options;
    const soonMs = nowMs() + (SOON * intervalMs * (1 + random())) / 2;
    this.#nextDigestMs = Math.min(this.#nextDigestMs, soonMs);
  }

  #compare(theirs: Uint8Array): Message[] {
    const { store, counters } = this.#options;
    if (Buffer.compare(store.hash(), theirs) === 0) return [];
    counters.count('sync.digests_differ');
    this.#compareSoon();
    return this.#spend(BUCKETS_BYTES, () => [
      { type: MessageType.Buckets, hashes: store.buckets() },
    ]);
  }

  #describe(theirs: Uint8Array): Message[] {
    const { store } = this.#options;
    const differing = differingBuckets(store, theirs);
    if (differing.length > 0) this.#compareSoon();
    return differing.flatMap((bucket) =>
      this.#spend(SUMMARY_BYTES * (1 + store.summaries(bucket).length), () =>
        ownersMessages(store, bucket, true, []),
      ),
    );
  }

  #reply(bucket: number, theirs: readonly OwnerSummary[]): Message[] {
    const { store } = this.#options;
    return this.#spend(SUMMARY_BYTES * (1 + store.summaries(bucket).length), () =>
      ownersMessages(store, bucket, false, theirs),
    );
  }

  #answer(want: Want): Message[] {
    const { store, counters } = this.#options;
    const blocks = blocksFor(store, want).slice(0, DATAGRAM_BLOCKS_MAX);
    const messages: Message[] = [];
    for (const group of grouped(blocks, DATAGRAM_BLOCKS_BYTES)) {
      const bytes = group.reduce((sum, { body }) => sum + body.length, 0);
      messages.push(
        ...this.#spend(bytes, () => [{ type: MessageType.Blocks, blocks: group }] as Message[]),
      );
    }
    if (messages.length > 0) counters.count('sync.wants_served');
    return messages;
  }

  /** Makes an answer if there is budget for it. */
  #spend(bytes: number, make: () => Message[]): Message[] {
    const now = this.#options.nowMs();
    const earned = ((now - this.#answeredMs) / 1000) * ANSWER_BYTES_PER_SECOND;
    this.#answeredMs = now;
    this.#answerBytes = Math.min(ANSWER_BYTES_MAX, this.#answerBytes + earned);
    if (this.#answerBytes < bytes) {
      this.#options.counters.count('sync.limited');
      return [];
    }
    this.#answerBytes -= bytes;
    return make();
  }

  #learn(sender: NodeId, theirs: OwnerSummary): void {
    const { store, self, counters, nowMs } = this.#options;
    if (this.#shunned?.from === sender && this.#shunned.untilMs > nowMs()) return;
    if (wantAfter(store, self, theirs) === undefined) return;
    if (this.#chases.size >= CHASES_MAX && !this.#chases.has(theirs.owner)) {
      counters.count('sync.limited');
      return;
    }
    const chase = this.#chaseOf(theirs.owner);
    const known = chase.hearsay;
    if (known !== undefined && (known.epoch - theirs.epoch || known.head - theirs.head) > 0) return;
    chase.hearsay = theirs;
    chase.source = sender;
    chase.attempts = 0;
    // It will not come by itself: the other table has had it for longer than a message travels.
    chase.dueMs = Math.min(chase.dueMs, nowMs());
  }

  #chaseOf(owner: NodeId): Chase {
    const known = this.#chases.get(owner);
    if (known !== undefined) return known;
    const { nowMs, random } = this.#options;
    const chase: Chase = {
      dueMs: nowMs() + (PATIENCE_MS * (1 + random())) / 2,
      attempts: 0,
      source: undefined,
      hearsay: undefined,
      head: 0,
      held: 0,
    };
    this.#chases.set(owner, chase);
    return chase;
  }

  /** Begins to chase what is missing, and lets go of what has come. */
  #review(now: number): void {
    const { store } = this.#options;
    for (const owner of store.incomplete()) this.#chaseOf(owner);
    for (const [owner, chase] of this.#chases) {
      const ours = store.summary(owner);
      if (ours !== undefined && (ours.head !== chase.head || ours.held !== chase.held)) {
        // Something came: what is still missing will come, too, and is to be asked for again.
        if (chase.attempts > 0) chase.dueMs = Math.min(chase.dueMs, now + RETRY_MS);
        chase.attempts = Math.min(chase.attempts, 1);
        chase.head = ours.head;
        chase.held = ours.held;
      }
      if (chase.hearsay !== undefined) this.#wantOf(owner, chase);
      const over = chase.hearsay === undefined && !store.incomplete().has(owner);
      if (over) this.#chases.delete(owner);
    }
  }

  /** What to ask for; forgets the summary that it came from once that is of no use. */
  #wantOf(owner: NodeId, chase: Chase): Want | undefined {
    const { store, self } = this.#options;
    if (chase.hearsay !== undefined) {
      const want = wantAfter(store, self, chase.hearsay);
      if (want !== undefined && chase.attempts < HEARSAY_ATTEMPTS) return want;
      chase.hearsay = undefined;
    }
    return wantMissing(store, owner);
  }

  #due(now: number): Due[] {
    const due: Due[] = [];
    for (const [owner, chase] of this.#chases) {
      if (chase.dueMs > now) continue;
      const want = this.#wantOf(owner, chase);
      if (want !== undefined) due.push({ owner, chase, want });
    }
    return due;
  }

  /** Asks for all that is due in datagrams, each owner's blocks from one member. */
  #askAll(due: readonly Due[], now: number): void {
    const questions = new Map<NodeId, Message[]>();
    for (const { owner, chase, want } of due) {
      const node = this.#whomToAsk(owner, chase);
      this.#asked(chase, now);
      if (node === undefined) continue;
      const messages = questions.get(node) ?? [];
      messages.push({ type: MessageType.Want, ...want });
      questions.set(node, messages);
      this.#options.counters.count('sync.wants_sent');
    }
    for (const [node, messages] of questions) this.#options.send(node, messages);
  }

  /** Pulls all that is due from the member that is the best choice for most of it. */
  #pullAll(due: readonly Due[], now: number): void {
    const votes = new Map<NodeId, number>();
    for (const { owner, chase } of due) {
      const node = this.#whomToAsk(owner, chase);
      if (node !== undefined) votes.set(node, (votes.get(node) ?? 0) + 1);
    }
    const [best] = [...votes].sort((a, b) => b[1] - a[1]);
    const wants: Want[] = [];
    let ranges = 0;
    for (const { chase, want } of due) {
      ranges += want.ranges.length;
      if (ranges > PULL_RANGES_MAX) break;
      this.#asked(chase, now);
      wants.push(want);
    }
    if (best === undefined) return;
    this.#pull = { from: best[0], untilMs: now + PULL_MS_MAX };
    this.#options.counters.count('sync.pulls_started');
    this.#options.pull(best[0], wants);
  }

  /** Who told of it, then by turns anybody and the owner, who has it for certain. */
  #whomToAsk(owner: NodeId, { source, hearsay, attempts }: Chase): NodeId | undefined {
    const { pick, self } = this.#options;
    if (source !== undefined && (attempts === 0 || hearsay !== undefined)) return source;
    return attempts % 2 === 0 && attempts > 0 && owner !== self ? owner : pick();
  }

  #asked(chase: Chase, now: number): void {
    const { random } = this.#options;
    const wait = Math.min(RETRY_MS_MAX, RETRY_MS * RETRY_FACTOR ** chase.attempts);
    chase.dueMs = now + wait * (0.75 + random() / 2);
    chase.attempts++;
  }
}

/** Blocks that the answer may bring: no more than whoever told of them has. */
function expected({ hearsay }: Chase, want: Want): number {
  const wanted = countWanted(want);
  return hearsay === undefined ? wanted : Math.min(wanted, Math.max(1, hearsay.held));
}
