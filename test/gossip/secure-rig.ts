/**
 * Sealing nodes on one virtual wire and clock. Everything that is sent is recorded, and arrives
 * when the wire is told to run.
 */
import { createHash } from 'node:crypto';
import { Counters, type GossipCounter } from '../../src/gossip/base/counters.ts';
import { type ClusterKey, Keyring } from '../../src/gossip/base/keyring.ts';
import {
  Ed25519Verifier,
  ed25519Signer,
  nodeIdOf,
  type Signer,
} from '../../src/gossip/base/signer.ts';
import type { Opened } from '../../src/gossip/seal/channel.ts';
import { SEAL_BYTES, type Subkeys, seal } from '../../src/gossip/seal/cipher.ts';
import { CLEAR_BYTES, Label, recipientOf, sessionFields } from '../../src/gossip/seal/sealer.ts';
import { Secure } from '../../src/gossip/seal/secure.ts';
import { type EnvelopeHeader, emitEnvelope, HEADER_BYTES } from '../../src/wire/gossip/envelope.ts';
import type { Endpoint, NodeId } from '../../src/wire/gossip/types.ts';

export const LABEL = 'test';
const verifier = new Ed25519Verifier();

/** Bytes that look random and are the same in each run with one seed. */
export function seededBytes(seed: string): (bytes: number) => Uint8Array {
  let count = 0;
  return (bytes) => {
    const blocks: Buffer[] = [];
    for (let have = 0; have < bytes; have += 32) {
      blocks.push(createHash('sha256').update(`${seed}/${count}`).digest());
      count += 1;
    }
    return Uint8Array.from(Buffer.concat(blocks).subarray(0, bytes));
  };
}

export function ringOf(...seeds: string[]): Keyring {
  const [first = 'key', ...rest] = seeds;
  const ring = Keyring.generate(seededBytes(first));
  for (const seed of rest) ring.add(seededBytes(seed)(32));
  return ring;
}

/** The payload and who opened it. */
export type Delivered = { at: string; sender: NodeId; payload: Uint8Array };

export type Datagram = { from: Endpoint; to: Endpoint; bytes: Uint8Array };

export type NodeOptions = { ring?: Keyring; label?: string; epoch?: number; signer?: Signer };

export class TestNode {
  readonly name: string;
  readonly at: Endpoint;
  readonly id: NodeId;
  readonly signer: Signer;
  readonly ring: Keyring;
  readonly secure: Secure;
  readonly counters = new Counters();
  readonly notices: string[] = [];

  constructor(wire: Wire, name: string, address: number, life: number, options: NodeOptions) {
    this.name = name;
    this.at = { address, port: 7946 };
    this.signer = options.signer ?? ed25519Signer(createHash('sha256').update(name).digest());
    this.id = nodeIdOf(this.signer.publicKey);
    this.ring = options.ring ?? ringOf('key');
    this.secure = new Secure({
      keyring: this.ring,
      label: options.label ?? LABEL,
      self: this.id,
      signer: this.signer,
      verifier,
      epoch: options.epoch ?? life,
      random: seededBytes(`${name}/${life}`),
      nowMs: () => wire.nowMs,
      counters: this.counters,
      send: (to, bytes) => wire.put({ from: this.at, to, bytes }),
      notice: (cause, sentence) => this.notices.push(`${cause}: ${sentence}`),
    });
  }

  count(name: GossipCounter): number {
    return this.counters.value(name);
  }
}

export class Wire {
  nowMs = 1_000_000;
  readonly #nodes = new Map<number, TestNode>();
  readonly #lives = new Map<string, number>();
  #queue: Datagram[] = [];
  /** All that was ever sent. */
  readonly recorded: Datagram[] = [];
  readonly delivered: Delivered[] = [];
  /** Whether a datagram gets through. */
  pass: (datagram: Datagram) => boolean = () => true;
  /** Takes what a node opened; unless it is changed, {@link delivered} keeps it. */
  opened: (node: TestNode, from: Endpoint, opened: Opened) => void = ({ name }, _from, opened) => {
    this.delivered.push({ at: name, ...opened });
  };

  /** A new node, or a new life of one that was here before at this address. */
  start(name: string, address: number, options: NodeOptions = {}): TestNode {
    const life = (this.#lives.get(name) ?? 0) + 1;
    this.#lives.set(name, life);
    const node = new TestNode(this, name, address, life, options);
    this.#nodes.set(address, node);
    return node;
  }

  put(datagram: Datagram): void {
    this.recorded.push(datagram);
    if (this.pass(datagram)) this.#queue.push(datagram);
  }

  send(from: TestNode, to: TestNode, payload: Uint8Array | string): void {
    const bytes = from.secure.seal(to.at, Buffer.from(payload));
    this.put({ from: from.at, to: to.at, bytes });
  }

  /** Lets all that is under way arrive, and what that provokes. @returns how many arrived */
  run(): number {
    let arrived = 0;
    while (this.#queue.length > 0) arrived += this.step();
    return arrived;
  }

  /** Lets arrive what is under way now. @returns how many arrived */
  step(): number {
    const batch = this.#queue;
    this.#queue = [];
    for (const datagram of batch) this.deliver(datagram);
    return batch.length;
  }

  /** Hands a datagram to whoever is there. */
  deliver({ from, to, bytes }: Datagram): boolean {
    const node = this.#nodes.get(Number(to.address));
    const opened = node?.secure.open(from, bytes);
    if (node === undefined || opened === undefined) return false;
    this.opened(node, from, opened);
    return true;
  }

  /** What arrived at nodes since the last call, as text. */
  takeTexts(): string[] {
    const texts = this.delivered.map(({ at, payload }) => `${at} ${Buffer.from(payload)}`);
    this.delivered.length = 0;
    return texts;
  }

  /** Both know each other afterwards. */
  meet(a: TestNode, b: TestNode): void {
    this.send(a, b, 'hello');
    this.run();
    this.send(b, a, 'hello');
    this.run();
    this.takeTexts();
  }
}

/** Makes datagrams of one session as a member can that keeps to no rule. */
export class Forger {
  readonly #label: Label;
  readonly #key: ClusterKey;
  #subkeys: Subkeys | undefined;

  constructor(key: ClusterKey, label = LABEL) {
    this.#label = new Label(label);
    this.#key = key;
  }

  /** The sessions of all headers must be the same. */
  seal(header: Omit<EnvelopeHeader, 'keyId'>, to: NodeId, plaintext: Uint8Array): Uint8Array {
    const bytes = new Uint8Array(CLEAR_BYTES + plaintext.length + SEAL_BYTES);
    const view = new DataView(bytes.buffer);
    emitEnvelope(view, { ...header, keyId: this.#key.id });
    view.setUint32(HEADER_BYTES, recipientOf(to));
    this.#subkeys ??= this.#label.subkeys(this.#key, sessionFields(bytes));
    seal(this.#subkeys, header.counter, this.#label.bind(bytes), plaintext, bytes, CLEAR_BYTES);
    return bytes;
  }
}

/** Two nodes that know each other. */
export function pair(): { wire: Wire; a: TestNode; b: TestNode } {
  const wire = new Wire();
  const [a, b] = [wire.start('a', 1), wire.start('b', 2)];
  wire.meet(a, b);
  wire.recorded.length = 0;
  return { wire, a, b };
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
