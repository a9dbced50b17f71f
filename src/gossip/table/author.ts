/**
 * Writes this node's own blocks.
 *
 * 1. What changes is collected until {@link Author.flush}.
 * 2. A block of which anything was withdrawn is broken: it is no longer named, and what remains of
 *    it goes out again. Small blocks are joined, and so are runs that tear `live` into pieces.
 * 3. All that waits is packed into new blocks; the last of them is the head, and only there the
 *    broken ones are left out: what they still hold is then in blocks that are already out.
 *
 * The author also watches over its own name: when a block with its signature comes along that it
 * did not write, either its state was set back (a backup was restored) or a second process runs
 * with the same key. Both times it starts a new epoch above what it has seen; a second process
 * does the same, and that is what gives it away.
 * @module
 */
import { FanwayError } from '../../errors.ts';
import { blockBytes, encodeBlock, itemBytes } from '../../wire/gossip/block.ts';
import {
  BLOCK_BYTES_MAX,
  EPOCH_MAX,
  ITEMS_PER_BLOCK_MAX,
  SEQUENCE_MAX,
} from '../../wire/gossip/bounds.ts';
import {
  type Announcement,
  type Block,
  compareVersions,
  type Item,
  ItemKind,
  type NodeId,
  type PeerItem,
  type SignedBlock,
  type Version,
} from '../../wire/gossip/types.ts';
import type { PeerRecord } from '../base/api.ts';
import { type EntryKey, keyText, sameAnnouncement } from '../base/keys.ts';
import { ITEMS_PER_OWNER_MAX } from '../base/limits.ts';
import type { Signer } from '../base/signer.ts';
import { fromAscending, type Ranges } from './ranges.ts';
import { Rivals, Standing } from './rivals.ts';

/** A block with fewer bytes and fewer items than this is small. */
const SMALL_BYTES = 320;
const SMALL_ITEMS = 32;
/** So many small blocks are joined into few. */
const SMALL_BLOCKS_MAX = 16;
/** More ranges than this in `live` are brought down to half as many: they take room in a head. */
const RANGES_MAX = 32;
/** Bytes of the largest peer record, so that it fits a head with ranges of any length. */
export const PEER_BYTES_MAX = 560;
/** The count of items takes a second byte from the 24th item on. */
const COUNT_BYTES = 1;
/** Key of the peer record among the items. */
const PEER_KEY = 'peer';

export type AuthorOptions = {
  id: NodeId;
  signer: Signer;
  /** Of this start: above all that this node has used before, as far as it remembers. */
  epoch: number;
  /** Remembers an epoch across restarts; called before any block of that epoch is written. It must not throw. */
  persistEpoch: (epoch: number) => void;
  /** Random for each start, INSTANCE_BYTES. */
  instance: Uint8Array;
  /** How this node stands, for the case that a second process has its key. */
  standing?: () => Standing;
};

/** What a block with our signature that we did not write means. */
export type Absorbed =
  /** One of an earlier life. */
  | 'older'
  /** We had forgotten an epoch; a new one has begun above it. */
  | 'rollback'
  /** Another process runs with our key. {@link Author.silent} says who gives way. */
  | 'duplicate';

/** An item and the block that it is in; 0 when it waits for one. */
type Placed = { item: Item; sizeBytes: number; sequence: number };
/** A block that holds: the keys of what it still announces. */
type OwnBlock = { keys: Set<string>; sizeBytes: number };

export class Author {
  readonly #id: NodeId;
  readonly #signer: Signer;
  readonly #persistEpoch: (epoch: number) => void;
  readonly #instance: Uint8Array;
  #epoch: number;
  /** Of the newest block; 0 before the first of an epoch. */
  #sequence = 0;
  readonly #items = new Map<string, Placed>();
  /** Blocks that hold, by ascending sequence number. */
  readonly #blocks = new Map<number, OwnBlock>();
  /** Keys that wait for a block. */
  readonly #waiting = new Set<string>();
  /** Blocks that must not be named again. */
  readonly #broken = new Set<number>();
  /** A head is wanted even if nothing has changed. */
  #wantsHead = false;
  #left = false;
  #silent = false;
  readonly #rivals: Rivals;

  constructor(options: AuthorOptions) {
    this.#id = options.id;
    this.#signer = options.signer;
    this.#epoch = options.epoch;
    this.#persistEpoch = options.persistEpoch;
    this.#instance = options.instance;
    this.#rivals = new Rivals(options.instance, options.standing ?? (() => Standing.Alone));
  }

  /** The newest block; sequence 0 before the first of an epoch. */
  get version(): Version {
    return { epoch: this.#epoch, sequence: this.#sequence };
  }

  /** Another process has our key and the better claim to it: nothing is written any more. */
  get silent(): boolean {
    return this.#silent;
  }

  /** What another process says of itself that is known to run with our key. */
  get rival(): PeerItem | undefined {
    return this.#rivals.last;
  }

  /** How often it was met. */
  get meetings(): number {
    return this.#rivals.meetings;
  }

  /** Announcements, the peer record not counted. */
  get announcementCount(): number {
    return this.#items.size - (this.#items.has(PEER_KEY) ? 1 : 0);
  }

  /**
   * What this node says of itself.
   * @throws FanwayError `peer-record-too-large`, GossipFormatError for fields out of bounds
   */
  setPeer(record: PeerRecord): void {
    const item: Item = { ...record, kind: ItemKind.Peer, instance: this.#instance };
    const sizeBytes = itemBytes(item);
    if (sizeBytes > PEER_BYTES_MAX) {
      throw new FanwayError(
        'peer-record-too-large',
        `the peer record takes ${sizeBytes} bytes, more than the ${PEER_BYTES_MAX} that fit a ` +
          'datagram with the rest; name fewer endpoints, VNIs or fans',
      );
    }
    this.#set(PEER_KEY, item, sizeBytes);
  }

  /**
   * Announces `item`, or changes what was announced with the same key.
   * @throws FanwayError `too-many-announcements`, GossipFormatError for fields out of bounds
   */
  announce(item: Announcement): void {
    const key = keyText(item);
    const known = this.#items.get(key)?.item;
    if (known !== undefined && known.kind !== ItemKind.Peer && sameAnnouncement(known, item)) {
      return;
    }
    if (known === undefined && this.announcementCount >= ITEMS_PER_OWNER_MAX) {
      throw new FanwayError(
        'too-many-announcements',
        `this node announces ${ITEMS_PER_OWNER_MAX} things already, which is the most that one ` +
          'may; withdraw some, or announce one prefix in place of many addresses',
      );
    }
    this.#set(key, item, itemBytes(item));
  }

  /** @returns whether it was announced. */
  withdraw(key: EntryKey): boolean {
    const text = keyText(key);
    this.#unplace(text);
    this.#waiting.delete(text);
    return this.#items.delete(text);
  }

  /** What this node announces under a key, whether or not it is out yet. */
  announced(key: EntryKey): Announcement | undefined {
    const item = this.#items.get(keyText(key))?.item;
    return item === undefined || item.kind === ItemKind.Peer ? undefined : item;
  }

  /** All that this node announces. */
  *announcements(): Generator<Announcement> {
    for (const { item } of this.#items.values()) if (item.kind !== ItemKind.Peer) yield item;
  }

  /**
   * Answers an accusation against what `version` tells of us. An earlier version is answered by
   * the head that is out; a later one we have not signed, so it is a lie or comes with a block.
   * @returns whether the next {@link flush} brings a new head for it.
   */
  refute(version: Version): boolean {
    if (this.#silent || this.#left || compareVersions(version, this.version) !== 0) return false;
    this.#wantsHead = true;
    return true;
  }

  /** The next {@link flush} writes the last block of this epoch, which voids all others. */
  leave(): void {
    this.#wantsHead ||= !this.#left;
    this.#left = true;
  }

  /** Writes what has changed since the last call: nothing, or blocks of which the last is the head. */
  flush(): SignedBlock[] {
    if (this.#silent) return [];
    if (this.#left) return this.#wantsHead ? [this.#writeLeave()] : [];
    if (this.#waiting.size === 0 && this.#broken.size === 0 && !this.#wantsHead) return [];
    this.#joinSmall();
    this.#joinRanges();
    this.#salvage();
    if (this.#sequence + this.#waiting.size + 1 > SEQUENCE_MAX) this.#beginEpoch(this.#epoch + 1);
    const written: SignedBlock[] = [];
    const waiting = this.#inOrder();
    do written.push(this.#writeNext(waiting));
    while (waiting.length > 0);
    this.#wantsHead = false;
    return written;
  }

  /** Takes a block with our signature that came from elsewhere and that is still in force. */
  absorb({ block }: SignedBlock): Absorbed {
    if (block.epoch < this.#epoch) return 'older';
    const { isRival, givesWay } = this.#rivals.meet(block);
    if (givesWay) this.#silent = true;
    if (this.#silent) return 'duplicate';
    if (block.epoch >= EPOCH_MAX) {
      // There is no epoch above it, so nobody would ever hear us again.
      this.#silent = true;
      return 'duplicate';
    }
    this.#beginEpoch(block.epoch + 1);
    return isRival ? 'duplicate' : 'rollback';
  }

  /** All blocks of earlier epochs are void, so everything waits for a block again. */
  #beginEpoch(epoch: number): void {
    this.#persistEpoch(epoch);
    this.#epoch = epoch;
    this.#sequence = 0;
    this.#blocks.clear();
    this.#broken.clear();
    for (const [key, placed] of this.#items) {
      placed.sequence = 0;
      this.#waiting.add(key);
    }
    this.#wantsHead = true;
  }

  #set(key: string, item: Item, sizeBytes: number): void {
    this.#unplace(key);
    this.#items.set(key, { item, sizeBytes, sequence: 0 });
    this.#waiting.add(key);
  }

  /** Takes a key out of the block that it is in. */
  #unplace(key: string): void {
    const sequence = this.#items.get(key)?.sequence ?? 0;
    if (sequence === 0) return;
    this.#blocks.get(sequence)?.keys.delete(key);
    this.#broken.add(sequence);
  }

  /** Breaks the small blocks when there are many. */
  #joinSmall(): void {
    const small: number[] = [];
    for (const [sequence, block] of this.#blocks) {
      if (this.#broken.has(sequence)) continue;
      if (block.sizeBytes < SMALL_BYTES && block.keys.size < SMALL_ITEMS) small.push(sequence);
    }
    if (small.length >= SMALL_BLOCKS_MAX) for (const sequence of small) this.#broken.add(sequence);
  }

  /** Breaks the blocks of the shortest ranges when `live` has too many. */
  #joinRanges(): void {
    const ranges = this.#live();
    if (ranges.length <= RANGES_MAX) return;
    const shortest = ranges.toSorted((a, b) => a[1] - a[0] - (b[1] - b[0]));
    for (const [first, last] of shortest.slice(0, ranges.length - RANGES_MAX / 2)) {
      for (let sequence = first; sequence <= last; sequence++) this.#broken.add(sequence);
    }
  }

  /** What broken blocks still announce waits for new ones. */
  #salvage(): void {
    for (const sequence of this.#broken) {
      for (const key of this.#blocks.get(sequence)?.keys ?? []) this.#waiting.add(key);
    }
  }

  /** Blocks that hold and are not broken. */
  #live(): Ranges {
    return fromAscending(
      [...this.#blocks.keys()].filter((sequence) => !this.#broken.has(sequence)),
    );
  }

  /** What waits, the peer record first: whoever has one block of us should know who we are. */
  #inOrder(): string[] {
    const peer = this.#waiting.delete(PEER_KEY) ? [PEER_KEY] : [];
    const waiting = [...peer, ...this.#waiting];
    this.#waiting.clear();
    return waiting.reverse();
  }

  /** Writes one block with as much as fits from the end of `waiting`, which it takes away. */
  #writeNext(waiting: string[]): SignedBlock {
    const final = this.#empty(this.#live());
    if (this.#countFitting(final, waiting) === waiting.length) {
      for (const sequence of this.#broken) this.#blocks.delete(sequence);
      this.#broken.clear();
      return this.#writeWith(final, waiting, waiting.length);
    }
    const more = this.#empty(fromAscending(this.#blocks.keys()));
    return this.#writeWith(more, waiting, this.#countFitting(more, waiting));
  }

  #empty(live: Ranges): Block {
    return {
      publicKey: this.#signer.publicKey,
      epoch: this.#epoch,
      sequence: this.#sequence + 1,
      live,
      left: false,
      items: [],
    };
  }

  /** How many from the end of `waiting` fit `block`. */
  #countFitting(block: Block, waiting: readonly string[]): number {
    let room = BLOCK_BYTES_MAX - blockBytes(block) - COUNT_BYTES;
    const most = Math.min(waiting.length, ITEMS_PER_BLOCK_MAX);
    for (let count = 0; count < most; count++) {
      room -= this.#items.get(waiting[waiting.length - 1 - count] ?? '')?.sizeBytes ?? 0;
      if (room < 0) return count;
    }
    return most;
  }

  #writeWith(block: Block, waiting: string[], count: number): SignedBlock {
    const own: OwnBlock = { keys: new Set(), sizeBytes: 0 };
    const items: Item[] = [];
    for (const key of waiting.splice(waiting.length - count, count).reverse()) {
      const placed = this.#items.get(key);
      if (placed === undefined) continue;
      this.#blocks.get(placed.sequence)?.keys.delete(key);
      placed.sequence = block.sequence;
      own.keys.add(key);
      own.sizeBytes += placed.sizeBytes;
      items.push(placed.item);
    }
    if (items.length > 0) this.#blocks.set(block.sequence, own);
    return this.#sign({ ...block, items });
  }

  #writeLeave(): SignedBlock {
    this.#wantsHead = false;
    this.#blocks.clear();
    return this.#sign({ ...this.#empty([]), left: true });
  }

  #sign(block: Block): SignedBlock {
    this.#sequence = block.sequence;
    const body = encodeBlock(block);
    return { body, signature: this.#signer.sign(body), owner: this.#id, block };
  }
}
