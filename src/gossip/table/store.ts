/**
 * Every owner's blocks: what is believed of whom, and the hashes by which two tables compare.
 *
 * 1. What can be refused cheaply is refused first: sizes, form, blocks that no longer hold.
 * 2. A block that is here already costs no signature check: its bytes are compared.
 * 3. Only then the signature is checked, and the block is put among its owner's.
 *
 * Memory is held for blocks that are here and for nothing else: not for what a head claims, not for
 * owners that only a summary names.
 * @module
 */
import { decodeBlock } from '../../wire/gossip/block.ts';
import { BLOCK_BYTES_MAX, BUCKETS, SIGNATURE_BYTES } from '../../wire/gossip/bounds.ts';
import { GossipFormatError } from '../../wire/gossip/fields.ts';
import type {
  Block,
  NodeId,
  OwnerSummary,
  RawBlock,
  SignedBlock,
} from '../../wire/gossip/types.ts';
import type { GossipCounter } from '../base/counters.ts';
import {
  BLOCKS_PER_OWNER_MAX,
  ITEMS_MAX,
  ITEMS_PER_OWNER_MAX,
  MEMBERS_MAX,
} from '../base/limits.ts';
import type { Verifier } from '../base/signer.ts';
import { type Held, hold, namedBy, OwnerBlocks } from './owner-blocks.ts';
import { countOf, type Ranges } from './ranges.ts';
import { bucketOf, TableHash } from './table-hash.ts';

export type RefusedBlock =
  | 'size'
  | 'format'
  | 'signature'
  /** Another block with its number is here, and is the greater one. */
  | 'differs'
  | 'member_limit'
  | 'owner_limit'
  | 'item_limit';

/** What became of a block. */
export type Offer =
  | {
      outcome: 'new';
      signed: SignedBlock;
      /** It is its owner's head now. */
      headChanged: boolean;
      /** Blocks of the same owner that no longer hold. */
      removed: readonly SignedBlock[];
      /** It took the place of a lesser block with the same number: its owner signed both. */
      differs: boolean;
    }
  /** Of this node's own id and in force, but not written here; it is not kept. */
  | { outcome: 'own'; signed: SignedBlock }
  | { outcome: 'known'; owner: NodeId }
  /** No longer in force: the head that is here says so. */
  | { outcome: 'stale'; owner: NodeId }
  | { outcome: 'refused'; reason: RefusedBlock };

export type StoreLimits = {
  members: number;
  items: number;
  itemsPerOwner: number;
  blocksPerOwner: number;
};

const LIMITS: StoreLimits = {
  members: MEMBERS_MAX,
  items: ITEMS_MAX,
  itemsPerOwner: ITEMS_PER_OWNER_MAX,
  blocksPerOwner: BLOCKS_PER_OWNER_MAX,
};

export type StoreOptions = {
  self: NodeId;
  verifier: Verifier;
  counters: { count(name: GossipCounter): void };
  limits?: Partial<StoreLimits>;
  /** Asked when there is no room for another owner; true when it has forgotten one. */
  makeRoom?: () => boolean;
};

type Owner = {
  readonly id: NodeId;
  readonly bucket: number;
  readonly blocks: OwnerBlocks;
  /** Kept so that its old blocks stay refused, but no longer told of. */
  retired: boolean;
};

/** Part of a signature, for recognising a block before it is decoded. */
function tagOf(signature: Uint8Array): string {
  return Buffer.from(signature.buffer, signature.byteOffset, 16).toString('latin1');
}

export class Store {
  readonly #self: NodeId;
  readonly #verifier: Verifier;
  readonly #counters: StoreOptions['counters'];
  readonly #limits: StoreLimits;
  readonly #makeRoom: () => boolean;
  readonly #owners = new Map<NodeId, Owner>();
  readonly #byBucket: readonly Map<NodeId, Owner>[];
  /** All blocks that are here. */
  readonly #byTag = new Map<string, SignedBlock>();
  /** Owners of which blocks are missing that there is room for. */
  readonly #incomplete = new Set<NodeId>();
  /** Owners of which a block was refused for want of room; asking again would be no use. */
  readonly #full = new Set<NodeId>();
  readonly #hash = new TableHash();
  #items = 0;
  #retired = 0;

  constructor(options: StoreOptions) {
    this.#self = options.self;
    this.#verifier = options.verifier;
    this.#counters = options.counters;
    this.#limits = { ...LIMITS, ...options.limits };
    this.#makeRoom = options.makeRoom ?? (() => false);
    this.#byBucket = Array.from({ length: BUCKETS }, () => new Map());
  }

  /** Takes a block from anyone. `raw` is not kept: what is stored is a copy. */
  offer(raw: RawBlock): Offer {
    const offer = this.#offer(raw);
    const { outcome } = offer;
    if (outcome === 'refused') this.#counters.count(`blocks.refused.${offer.reason}`);
    else if (outcome !== 'own') this.#counters.count(`blocks.${outcome}`);
    return offer;
  }

  /** Takes a block that this node has just written and signed; its bounds are the author's. */
  insert(signed: SignedBlock): Offer {
    const { owner, block, body } = signed;
    const there = this.#owners.get(owner);
    const place = there === undefined ? 'head' : there.blocks.place(block, body);
    if (place !== 'head') return { outcome: 'stale', owner };
    return this.#put(there, hold(signed), 'head');
  }

  /** The newest block of an owner. */
  head(owner: NodeId): SignedBlock | undefined {
    return this.#owners.get(owner)?.blocks.head;
  }

  get(owner: NodeId, epoch: number, sequence: number): RawBlock | undefined {
    const blocks = this.#owners.get(owner)?.blocks;
    return blocks?.head.block.epoch === epoch ? blocks.get(sequence) : undefined;
  }

  /** All blocks of an owner that are here and hold, in no order. */
  *blocks(owner: NodeId): Generator<SignedBlock> {
    for (const held of this.#owners.get(owner)?.blocks.held() ?? []) yield held.signed;
  }

  owners(): Iterable<NodeId> {
    return this.#owners.keys();
  }

  get ownerCount(): number {
    return this.#owners.size;
  }

  get blockCount(): number {
    return this.#byTag.size;
  }

  get itemCount(): number {
    return this.#items;
  }

  /** Blocks that an owner's head names and that are missing, as far as there is room for them. */
  missing(owner: NodeId): Ranges {
    if (!this.#incomplete.has(owner)) return [];
    return this.#owners.get(owner)?.blocks.missing() ?? [];
  }

  /** Owners of which something is missing. */
  incomplete(): ReadonlySet<NodeId> {
    return this.#incomplete;
  }

  missingCount(): number {
    let count = 0;
    for (const owner of this.#incomplete) {
      count += this.#owners.get(owner)?.blocks.missingCount ?? 0;
    }
    return count;
  }

  /** What holds of an owner by its head, here or missing. */
  named(owner: NodeId): Ranges {
    return this.#owners.get(owner)?.blocks.named ?? [];
  }

  /** Whether an owner that is not here yet could be taken in, if need be in place of a retired one. */
  get hasRoom(): boolean {
    return this.#owners.size - this.#retired < this.#limits.members;
  }

  /**
   * Keeps only the head of an owner that is gone for good, and speaks no more of it: it is in no
   * hash and no summary. A newer head brings it back. @returns the blocks that were let go.
   */
  retire(id: NodeId): SignedBlock[] {
    const owner = this.#owners.get(id);
    if (owner === undefined || owner.retired) return [];
    for (const held of owner.blocks.held()) this.#hash.mix(owner.bucket, held);
    owner.retired = true;
    this.#retired++;
    const removed = this.#release(owner, () => owner.blocks.keepHead());
    this.#byBucket[owner.bucket]?.delete(id);
    this.#full.delete(id);
    this.#incomplete.delete(id);
    return removed;
  }

  /** Drops all that is known of an owner; its blocks could come again. @returns its blocks. */
  forget(id: NodeId): SignedBlock[] {
    const owner = this.#owners.get(id);
    if (owner === undefined) return [];
    const removed = this.retire(id);
    const head = owner.blocks.head;
    this.#byTag.delete(tagOf(head.signature));
    this.#items -= owner.blocks.items;
    this.#retired--;
    this.#owners.delete(id);
    return [...removed, head];
  }

  isRetired(owner: NodeId): boolean {
    return this.#owners.get(owner)?.retired === true;
  }

  /** 8 bytes that are the same for two tables that hold the same blocks. */
  hash(): Uint8Array {
    return this.#hash.whole();
  }

  /** A 4-byte hash for each bucket. */
  buckets(): Uint8Array {
    return this.#hash.buckets();
  }

  summaries(bucket: number): OwnerSummary[] {
    return [...(this.#byBucket[bucket]?.values() ?? [])].map(summaryOf);
  }

  /** How an owner stands here, also when it is retired. */
  summary(owner: NodeId): OwnerSummary | undefined {
    const there = this.#owners.get(owner);
    return there && summaryOf(there);
  }

  #offer(raw: RawBlock): Offer {
    if (raw.body.length > BLOCK_BYTES_MAX || raw.signature.length !== SIGNATURE_BYTES) {
      return { outcome: 'refused', reason: 'size' };
    }
    const same = this.#byTag.get(tagOf(raw.signature));
    if (same !== undefined && Buffer.compare(same.body, raw.body) === 0) {
      return { outcome: 'known', owner: same.owner };
    }
    const block = decode(raw.body);
    if (block === undefined) return { outcome: 'refused', reason: 'format' };
    const id = this.#verifier.ownerOf(block.publicKey);
    const owner = this.#owners.get(id);
    const place = owner === undefined ? 'head' : owner.blocks.place(block, raw.body);
    if (place === 'known' || place === 'stale') return { outcome: place, owner: id };
    if (id === this.#self) return this.#offerOwn(raw, block);
    if (place === 'differs') return { outcome: 'refused', reason: 'differs' };
    if (place === 'named' && owner?.retired) return { outcome: 'stale', owner: id };
    if (countOf(namedBy(block)) > this.#limits.blocksPerOwner) {
      return { outcome: 'refused', reason: 'owner_limit' };
    }
    if (!this.#verifier.verify(block.publicKey, raw.body, raw.signature)) {
      return { outcome: 'refused', reason: 'signature' };
    }
    const excess = place === 'named' ? this.#exceeds(id, owner, block) : undefined;
    if (excess !== undefined) return { outcome: 'refused', reason: excess };
    const isFull = this.#owners.size >= this.#limits.members;
    if (owner === undefined && isFull && !this.#makeRoom()) {
      return { outcome: 'refused', reason: 'member_limit' };
    }
    return this.#put(owner, hold(signedCopy(raw, id, block)), place);
  }

  /** Signed with this node's key, yet not written by this process: see `Author.absorb`. */
  #offerOwn(raw: RawBlock, block: Block): Offer {
    if (!this.#verifier.verify(block.publicKey, raw.body, raw.signature)) {
      return { outcome: 'refused', reason: 'signature' };
    }
    return { outcome: 'own', signed: signedCopy(raw, this.#self, block) };
  }

  /**
   * Which bound a block that is no head would go over. A head is always taken, so that its owner's
   * older blocks are refused even by a table that is full; there are at most as many as members.
   */
  #exceeds(id: NodeId, owner: Owner | undefined, block: Block): RefusedBlock | undefined {
    const items = block.items.length;
    const ofOwner = (owner?.blocks.items ?? 0) + items > this.#limits.itemsPerOwner;
    if (!ofOwner && this.#items + items <= this.#limits.items) return undefined;
    this.#full.add(id);
    this.#incomplete.delete(id);
    return ofOwner ? 'owner_limit' : 'item_limit';
  }

  #put(known: Owner | undefined, held: Held, place: 'head' | 'named'): Offer {
    const { signed } = held;
    if (known === undefined) {
      const owner = this.#add(held);
      this.#items += owner.blocks.items;
      this.#arrived(owner, held);
      return { outcome: 'new', signed, headChanged: true, removed: [], differs: false };
    }
    if (known.retired) this.#comeBack(known);
    const { sequence } = signed.block;
    const same = known.blocks.get(sequence);
    const differs = same !== undefined && same.block.epoch === signed.block.epoch;
    const removed = this.#release(known, () => {
      const gone = known.blocks.put(held, place);
      for (const each of gone) this.#hash.mix(known.bucket, each);
      return gone;
    });
    if (place === 'head') this.#full.delete(known.id);
    this.#arrived(known, held);
    return { outcome: 'new', signed, headChanged: place === 'head', removed, differs };
  }

  #add(head: Held): Owner {
    const id = head.signed.owner;
    const owner: Owner = {
      id,
      bucket: bucketOf(id),
      blocks: new OwnerBlocks(head),
      retired: false,
    };
    this.#owners.set(id, owner);
    this.#byBucket[owner.bucket]?.set(id, owner);
    return owner;
  }

  #arrived(owner: Owner, held: Held): void {
    this.#byTag.set(tagOf(held.signed.signature), held.signed);
    this.#hash.mix(owner.bucket, held);
    if (owner.blocks.missingCount > 0 && !this.#full.has(owner.id)) {
      this.#incomplete.add(owner.id);
    } else {
      this.#incomplete.delete(owner.id);
    }
  }

  #comeBack(owner: Owner): void {
    owner.retired = false;
    this.#retired--;
    this.#byBucket[owner.bucket]?.set(owner.id, owner);
    for (const held of owner.blocks.held()) this.#hash.mix(owner.bucket, held);
  }

  /** Runs a change that lets blocks of `owner` go, and keeps the counts of items. */
  #release(owner: Owner, change: () => Held[]): SignedBlock[] {
    const before = owner.blocks.items;
    const removed = change().map((held) => held.signed);
    this.#items += owner.blocks.items - before;
    for (const { signature } of removed) this.#byTag.delete(tagOf(signature));
    if (removed.length > 0) this.#makeWhole();
    return removed;
  }

  /** There is room again: blocks that were refused may be asked for once more. */
  #makeWhole(): void {
    for (const id of this.#full) this.#incomplete.add(id);
    this.#full.clear();
  }
}

function decode(body: Uint8Array): Block | undefined {
  try {
    return decodeBlock(body);
  } catch (error) {
    if (error instanceof GossipFormatError) return undefined;
    throw error;
  }
}

/** Copies the bytes: a view would keep the whole datagram in memory. */
function signedCopy(raw: RawBlock, owner: NodeId, block: Block): SignedBlock {
  return { body: raw.body.slice(), signature: raw.signature.slice(), owner, block };
}

function summaryOf({ id, blocks }: Owner): OwnerSummary {
  let check = 0;
  for (const held of blocks.held()) check ^= held.check;
  const { epoch, sequence } = blocks.head.block;
  return { owner: id, epoch, head: sequence, held: blocks.heldCount, check: check >>> 0 };
}
