/** What the tests of the table share: a quick signature, and a store with entries on top. */
import { createHash } from 'node:crypto';
import type { PeerRecord } from '../../src/gossip/base/api.ts';
import { keyText } from '../../src/gossip/base/keys.ts';
import { nodeIdOf, type Signer, type Verifier } from '../../src/gossip/base/signer.ts';
import { Author } from '../../src/gossip/table/author.ts';
import {
  type BestAnnouncement,
  type Contest,
  Entries,
  type EntryEvents,
} from '../../src/gossip/table/entries.ts';
import { type Offer, Store, type StoreLimits } from '../../src/gossip/table/store.ts';
import { encodeBlock } from '../../src/wire/gossip/block.ts';
import type {
  Announcement,
  Block,
  NodeId,
  PeerItem,
  RawBlock,
  SignedBlock,
} from '../../src/wire/gossip/types.ts';

/** A pseudo-random sequence, 0 to 1 (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** 64 bytes from key and body; whoever knows the public key could write it, which no test does. */
function quickSignature(publicKey: Uint8Array, body: Uint8Array): Uint8Array {
  return createHash('sha512').update(publicKey).update(body).digest();
}

export function quickSigner(name: string): Signer {
  const publicKey = Uint8Array.from(createHash('sha256').update(name).digest());
  return { publicKey, sign: (body) => quickSignature(publicKey, body) };
}

/** Counts how often it was asked to verify. */
export class QuickVerifier implements Verifier {
  verified = 0;

  verify(publicKey: Uint8Array, body: Uint8Array, signature: Uint8Array): boolean {
    this.verified++;
    return Buffer.compare(quickSignature(publicKey, body), signature) === 0;
  }

  ownerOf(publicKey: Uint8Array): NodeId {
    return nodeIdOf(publicKey);
  }
}

/** A block of `name` as given, signed. */
export function signBlock(name: string, block: Partial<Block>): SignedBlock {
  return signBlockBy(quickSigner(name), block);
}

/** A block as given, signed by `signer` in its own name unless `block` says another's. */
export function signBlockBy(signer: Signer, block: Partial<Block>): SignedBlock {
  const whole: Block = {
    publicKey: signer.publicKey,
    epoch: 1,
    sequence: 1,
    live: [],
    left: false,
    items: [],
    ...block,
  };
  const body = encodeBlock(whole);
  return { body, signature: signer.sign(body), owner: nodeIdOf(signer.publicKey), block: whole };
}

export function idOf(name: string): NodeId {
  return nodeIdOf(quickSigner(name).publicKey);
}

export function makeAuthor(name: string, epoch = 1, instance = 1): Author & { epochs: number[] } {
  const signer = quickSigner(name);
  const epochs: number[] = [];
  const author = new Author({
    id: nodeIdOf(signer.publicKey),
    signer,
    epoch,
    persistEpoch: (next) => epochs.push(next),
    instance: new Uint8Array(8).fill(instance),
  });
  return Object.assign(author, { epochs });
}

export function peerRecord(name: string, change: Partial<PeerRecord> = {}): PeerRecord {
  return {
    name,
    endpoints: [{ address: 0x0a000001, port: 7946 }],
    encaps: [{ encap: 'vxlan', port: 4789 }],
    mtu: 1500,
    vnis: [],
    fans: [],
    version: '0.1.0',
    capabilities: [],
    ...change,
  };
}

export class Replica {
  readonly verifier = new QuickVerifier();
  readonly counts = new Map<string, number>();
  readonly inactive = new Set<NodeId>();
  readonly changes: {
    before: BestAnnouncement | undefined;
    after: BestAnnouncement | undefined;
  }[] = [];
  readonly contests: Contest[] = [];
  readonly peers = new Map<NodeId, PeerItem | undefined>();
  readonly counters = {
    count: (name: string): void => {
      this.counts.set(name, (this.counts.get(name) ?? 0) + 1);
    },
  };
  readonly store: Store;
  readonly entries: Entries;

  constructor(
    self = 'nobody',
    limits: Partial<StoreLimits> = {},
    events: Partial<EntryEvents> = {},
    makeRoom: () => boolean = () => false,
  ) {
    this.store = new Store({
      self: idOf(self),
      verifier: this.verifier,
      counters: this.counters,
      limits,
      makeRoom,
    });
    this.entries = new Entries((owner) => !this.inactive.has(owner), {
      changed: (before, after) => this.changes.push({ before, after }),
      contest: (contest) => {
        this.contests.push(contest);
        events.contest?.(contest);
      },
      peer: (owner, record) => {
        this.peers.set(owner, record);
        events.peer?.(owner, record);
      },
    });
  }

  offer(raw: RawBlock): Offer {
    const offer = this.store.offer(raw);
    if (offer.outcome === 'new') this.entries.apply(offer.signed, offer.removed);
    return offer;
  }

  /** Writes what an author has to tell into this table, as its node does. */
  publish(author: Author): SignedBlock[] {
    const written = author.flush();
    for (const signed of written) {
      const offer = this.store.insert(signed);
      if (offer.outcome === 'new') this.entries.apply(signed, offer.removed);
    }
    return written;
  }

  offerAll(blocks: Iterable<RawBlock>): void {
    for (const block of blocks) this.offer(block);
  }

  setActive(owner: NodeId, active: boolean): void {
    if (active) this.inactive.delete(owner);
    else this.inactive.add(owner);
    this.entries.setActive(owner, active);
  }

  /** What counts, as text, in order. */
  table(): string[] {
    return tableText(this.entries.list());
  }

  hash(): string {
    return Buffer.from(this.store.hash()).toString('hex');
  }
}

export function tableText(entries: Iterable<BestAnnouncement>): string[] {
  return [...entries].map(({ owner, item }) => `${owner} ${itemText(item)}`).sort();
}

export function itemText(item: Announcement): string {
  const mac = 'mac' in item ? item.mac : '';
  return `${keyText(item)} ${mac} rank ${item.rank}`;
}
