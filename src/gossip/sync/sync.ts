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
 *    loss: the next one asks for what is still missing. Where there is none to be had, datagrams
 *    bring many, too, only more slowly.
 * @module
 */
import {
  type Message,
  MessageType,
  type NodeId,
  type OwnerSummary,
} from '../../wire/gossip/types.ts';
import type { Want } from '../base/api.ts';
import type { GossipCounter } from '../base/counters.ts';
import { MEMBERS_MAX } from '../base/limits.ts';
import type { Store } from '../table/store.ts';
import { Answers, DATAGRAM_BLOCKS_MAX } from './answers.ts';
import { countWanted, differingBuckets, wantAfter, wantMissing } from './digest.ts';

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
/** A stream that has not ended by then is no longer waited for. */
const PULL_MS_MAX = 30_000;
/** Who had nothing, or did not come to an end, when we pulled is not believed for so long. */
const SHUN_MS = 10_000;
/** After a stream that failed and brought nothing there is none for so long. */
const NO_STREAM_MS = 10_000;
/** Ranges in all wants of one pull, so that they fit a frame. */
const PULL_RANGES_MAX = 2048;
/**
 * Above this nobody is chased any more on the word of a summary. Owners of which a head is here
 * always are; they are at most as many.
 */
const CHASES_MAX = MEMBERS_MAX;
/** Members whose table is to be compared soon; what goes over waits for its turn by chance. */
const CONTACTS_MAX = 128;
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
  readonly #answers: Answers;
  readonly #chases = new Map<NodeId, Chase>();
  readonly #contacts = new Set<NodeId>();
  #nextDigestMs: number;
  #pull: Pull | undefined;
  /** Until when the word of the last member that brought nothing does not count. */
  #shunned: Pull | undefined;
  #noStreamUntilMs = Number.NEGATIVE_INFINITY;

  constructor(options: SyncOptions) {
    this.#options = options;
    this.#answers = new Answers(options);
    this.#nextDigestMs = options.nowMs() + options.intervalMs * options.random();
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
    const { store, counters } = this.#options;
    switch (message.type) {
      case MessageType.Digest:
        if (Buffer.compare(store.hash(), message.hash) === 0) return [];
        counters.count('sync.digests_differ');
        this.#compareSoon();
        return this.#answers.buckets();
      case MessageType.Buckets: {
        const differing = differingBuckets(store, message.hashes);
        if (differing.length > 0) this.#compareSoon();
        return this.#answers.differing(differing);
      }
      case MessageType.Owners:
        for (const theirs of message.owners) this.#learn(sender, theirs);
        return message.reply ? this.#answers.owners(message.bucket, message.owners) : [];
      case MessageType.Want:
        return this.#answers.blocks(message);
    }
  }

  /** Sends what is due. To be called every tenth of a second or so. */
  tick(): void {
    const now = this.#options.nowMs();
    this.#sendDigest(now);
    if (this.#pull !== undefined && this.#pull.untilMs <= now) {
      this.#shunned = { from: this.#pull.from, untilMs: now + SHUN_MS };
      this.pullEnded(false, 0);
    }
    this.#review(now);
    const due = this.#due(now);
    const blocks = due.reduce((sum, { chase, want }) => sum + expected(chase, want), 0);
    if (blocks <= DATAGRAM_BLOCKS_MAX || now < this.#noStreamUntilMs) this.#askFor(due, now);
    else if (this.#pull === undefined) this.#pullAll(due, now);
  }

  /**
   * A pull is over; `ok` says whether the stream came to its proper end, `brought` how many blocks
   * came that were new here.
   */
  pullEnded(ok: boolean, brought: number): void {
    if (this.#pull === undefined) return;
    const now = this.#options.nowMs();
    if (!ok) this.#options.counters.count('sync.pulls_failed');
    if (brought === 0 && ok) this.#shunned = { from: this.#pull.from, untilMs: now + SHUN_MS };
    if (brought === 0 && !ok) this.#noStreamUntilMs = now + NO_STREAM_MS;
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

  #learn(sender: NodeId, theirs: OwnerSummary): void {
    const { store, self, counters, nowMs } = this.#options;
    if (this.#isShunned(sender)) return;
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
    if (chase.source !== undefined && this.#isShunned(chase.source)) chase.hearsay = undefined;
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

  /** Asks in datagrams for as much of what is due as they can bring at once. */
  #askFor(due: readonly Due[], now: number): void {
    const questions = new Map<NodeId, Message[]>();
    let blocks = 0;
    for (const { owner, chase, want } of due) {
      if (blocks >= DATAGRAM_BLOCKS_MAX) break;
      blocks += expected(chase, want);
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

  #isShunned(node: NodeId): boolean {
    return this.#shunned?.from === node && this.#shunned.untilMs > this.#options.nowMs();
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
