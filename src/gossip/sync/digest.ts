/**
 * Comparing two tables: what to say of ours, what to ask for after reading of theirs, and which
 * blocks answer. Both sides only ask; nobody sends a block that was not wanted. What a summary
 * claims is remembered nowhere here, so a lie costs one question.
 * @module
 */
import {
  BLOCKS_PER_MESSAGE_MAX,
  BUCKET_HASH_BYTES,
  BUCKETS,
  LIVE_RANGES_MAX,
} from '../../wire/gossip/bounds.ts';
import {
  compareVersions,
  type Message,
  MessageType,
  type NodeId,
  type OwnerSummary,
  type RawBlock,
  type SignedBlock,
} from '../../wire/gossip/types.ts';
import type { Want } from '../base/api.ts';
import { countOf, includes, type Ranges } from '../table/ranges.ts';
import type { Store } from '../table/store.ts';

/** Summaries in one message, so that it fits a datagram: 38 bytes each at most. */
const SUMMARIES_PER_MESSAGE = 24;
/** Blocks, with their signatures, in one message of a datagram and of a stream, bytes. */
export const DATAGRAM_BLOCKS_BYTES = 1060;
export const FRAME_BLOCKS_BYTES = 32_768;
/** What a block takes in a message beside its body and signature, bytes. */
const BLOCK_OVERHEAD_BYTES = 6;

/** The buckets whose hashes are not ours. */
export function differingBuckets(store: Store, theirs: Uint8Array): number[] {
  const ours = store.buckets();
  const differing: number[] = [];
  for (let bucket = 0; bucket < BUCKETS; bucket++) {
    const from = bucket * BUCKET_HASH_BYTES;
    const to = from + BUCKET_HASH_BYTES;
    if (Buffer.compare(ours.subarray(from, to), theirs.subarray(from, to)) !== 0) {
      differing.push(bucket);
    }
  }
  return differing;
}

/**
 * How our owners of a bucket stand, without those that stand the same in `theirs`. `reply` is
 * asked for once, however many messages it takes.
 */
export function ownersMessages(
  store: Store,
  bucket: number,
  reply: boolean,
  theirs: readonly OwnerSummary[],
): Message[] {
  const known = new Map(theirs.map((summary) => [summary.owner, summary]));
  const owners = store
    .summaries(bucket)
    .filter((ours) => !sameSummary(ours, known.get(ours.owner)));
  const messages: Message[] = [];
  for (let at = 0; at < owners.length; at += SUMMARIES_PER_MESSAGE) {
    const some = owners.slice(at, at + SUMMARIES_PER_MESSAGE);
    messages.push({ type: MessageType.Owners, bucket, reply: reply && at === 0, owners: some });
  }
  if (messages.length > 0 || !reply) return messages;
  return [{ type: MessageType.Owners, bucket, reply, owners: [] }];
}

function sameSummary(a: OwnerSummary, b: OwnerSummary | undefined): boolean {
  return (
    b !== undefined &&
    a.epoch === b.epoch &&
    a.head === b.head &&
    a.held === b.held &&
    a.check === b.check
  );
}

/**
 * What to ask for from someone whose summary of an owner is `theirs`; undefined when that would
 * bring nothing. Of ourselves we ask only what shows who else writes in our name.
 */
export function wantAfter(store: Store, self: NodeId, theirs: OwnerSummary): Want | undefined {
  const { owner, epoch } = theirs;
  const ours = store.summary(owner);
  if (ours === undefined && (!store.hasRoom || theirs.head === 0)) return undefined;
  const order =
    ours === undefined
      ? 1
      : compareVersions({ epoch, sequence: theirs.head }, { ...ours, sequence: ours.head });
  if (order < 0) return undefined;
  if (order === 0) return wantOfSameHead(store, theirs, ours);
  if (owner === self) return { owner, epoch, ranges: firstAndLast(theirs.head) };
  if (ours?.epoch !== epoch) return { owner, epoch, ranges: [[1, theirs.head]] };
  const missing = store.missing(owner).slice(0, LIVE_RANGES_MAX - 1);
  return { owner, epoch, ranges: [...missing, [ours.head + 1, theirs.head]] };
}

function wantOfSameHead(
  store: Store,
  theirs: OwnerSummary,
  ours: OwnerSummary | undefined,
): Want | undefined {
  const { owner, epoch } = theirs;
  if (ours === undefined || ours.check === theirs.check) return undefined;
  const missing = wantMissing(store, owner);
  if (missing !== undefined) return missing;
  const ranges = store.named(owner);
  // All are here and all are there, yet they differ: their owner has signed two with one number.
  // Everybody will keep the greater one.
  const complete = ours.held === countOf(ranges) && theirs.held === ours.held;
  return complete ? { owner, epoch, ranges } : undefined;
}

/** The first block of an epoch names the instance that wrote it. */
function firstAndLast(head: number): Ranges {
  if (head === 1) return [[1, 1]];
  return [
    [1, 1],
    [head, head],
  ];
}

/** What is missing of an owner by the head that is here. */
export function wantMissing(store: Store, owner: NodeId): Want | undefined {
  const head = store.head(owner);
  const ranges = store.missing(owner).slice(0, LIVE_RANGES_MAX);
  if (head === undefined || ranges.length === 0) return undefined;
  return { owner, epoch: head.block.epoch, ranges };
}

/**
 * The blocks that answer, the head first, since the others mean nothing without it. Whoever asks
 * for an epoch that is over gets the head.
 */
export function blocksFor(store: Store, want: Want): SignedBlock[] {
  const head = store.head(want.owner);
  if (head === undefined || head.block.epoch < want.epoch) return [];
  if (head.block.epoch > want.epoch) return [head];
  const found: SignedBlock[] = [];
  for (const signed of store.blocks(want.owner)) {
    if (includes(want.ranges, signed.block.sequence)) found.push(signed);
  }
  return found.sort((a, b) => b.block.sequence - a.block.sequence);
}

/** Blocks in groups of at most `sizeBytes`, or alone. */
export function* grouped(blocks: Iterable<RawBlock>, sizeBytes: number): Generator<RawBlock[]> {
  let group: RawBlock[] = [];
  let left = sizeBytes;
  for (const { body, signature } of blocks) {
    const size = body.length + signature.length + BLOCK_OVERHEAD_BYTES;
    if (group.length > 0 && (size > left || group.length === BLOCKS_PER_MESSAGE_MAX)) {
      yield group;
      group = [];
      left = sizeBytes;
    }
    group.push({ body, signature });
    left -= size;
  }
  if (group.length > 0) yield group;
}

/** All blocks that answer, for a stream; read from the table as they are taken. */
export function serve(store: Store, wants: readonly Want[]): Iterable<RawBlock[]> {
  return grouped(blocksForAll(store, wants), FRAME_BLOCKS_BYTES);
}

function* blocksForAll(store: Store, wants: readonly Want[]): Generator<RawBlock> {
  for (const want of wants) yield* blocksFor(store, want);
}

/** How many blocks an answer could have at most. */
export function countWanted(want: Want): number {
  return countOf(want.ranges);
}
