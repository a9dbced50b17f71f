/**
 * A machine with one node on it: its address, its disk (the epoch), its clock, and a processor that
 * may stand still. It drives the node as the sockets and timers of the daemon do.
 * @module
 */
import type {
  ConflictEvent,
  EntryEvent,
  GossipConfig,
  GossipWire,
  MemberChange,
  PeerRecord,
} from '../../src/gossip/base/api.ts';
import { Counters } from '../../src/gossip/base/counters.ts';
import type { Keyring } from '../../src/gossip/base/keyring.ts';
import type { Verifier } from '../../src/gossip/base/signer.ts';
import { GossipNode } from '../../src/gossip/node.ts';
import type { Channel } from '../../src/gossip/seal/channel.ts';
import { Secure } from '../../src/gossip/seal/secure.ts';
import type { Endpoint } from '../../src/wire/gossip/types.ts';
import type { Identity } from './identity.ts';
import type { Random } from './random.ts';
import type { Scheduler } from './scheduler.ts';
import type { Streams } from './stream.ts';
import type { ImpairedWire, Station } from './wire.ts';

/** What a socket holds while nobody reads: Linux's default, each datagram with its book-keeping. */
const SOCKET_BYTES = 212_992;
const SOCKET_DATAGRAM_BYTES = 1_280;
/** A timer never fires early, and rarely at once. */
const TIMER_LEAST_MS = 1;
const TIMER_LATE_MS = 1;

export const PORT = 7946;

export type Watcher = {
  member(host: Host, change: MemberChange): void;
  entry(host: Host, change: EntryEvent): void;
  conflict(host: Host, conflict: ConflictEvent): void;
  log?(host: Host, line: string): void;
};

export type Surroundings = {
  scheduler: Scheduler;
  wire: ImpairedWire;
  streams: Streams;
  verifier: Verifier;
  /** What seals the datagrams of all; undefined when they travel as they are. */
  keyring: Keyring | undefined;
  watcher: Watcher;
  config: Partial<GossipConfig>;
};

type Waiting = { from: Endpoint; sender: Host; bytes: Uint8Array };

export class Host implements Station {
  readonly index: number;
  readonly identity: Identity;
  readonly name: string;
  address: number;
  fans: PeerRecord['fans'] = [];
  /** Undefined while the process is not running. */
  node: GossipNode | undefined;
  /** As on its disk. */
  epoch = 0;
  startedAtMs = 0;
  /** Datagrams that found the socket full. */
  overflowed = 0;
  /** It has said good-bye. */
  isLeaving = false;
  /** How often the node was called. */
  turns = 0;
  /** The share of time that its processor is free; 1 is all of it. */
  speed = 1;
  readonly #around: Surroundings;
  readonly #random: Random;
  readonly #clockRate: number;
  #clockOffsetMs: number;
  #channel: Channel | undefined;
  #asleep = false;
  #sleeps = 0;
  #inbox: Waiting[] = [];
  #wakeAtMs = Number.POSITIVE_INFINITY;
  /** Counts starts and stops, so that what was set going before does nothing after. */
  #life = 0;

  constructor(
    index: number,
    identity: Identity,
    address: number,
    random: Random,
    around: Surroundings,
  ) {
    this.index = index;
    this.identity = identity;
    this.name = `n${index}`;
    this.address = address;
    this.#random = random;
    this.#around = around;
    // Clocks start anywhere and run a little fast or slow.
    this.#clockOffsetMs = random.between(0, 1e9);
    this.#clockRate = 1 + random.between(-1e-4, 1e-4);
  }

  get endpoint(): Endpoint {
    return { address: this.address, port: PORT };
  }

  get isRunning(): boolean {
    return this.node !== undefined;
  }

  /** Running, and its processor is not held up. */
  get isAwake(): boolean {
    return this.node !== undefined && !this.#asleep;
  }

  get life(): number {
    return this.#life;
  }

  /** The machine's monotonic clock. */
  nowMs(): number {
    return this.#clockOffsetMs + this.#around.scheduler.nowMs * this.#clockRate;
  }

  /** The process starts, one epoch on. `rebooted`: the clock begins anew as well. */
  start(seeds: readonly Endpoint[], { rebooted = false } = {}): GossipNode {
    const { scheduler, wire, streams, verifier, watcher, config } = this.#around;
    if (rebooted) this.#clockOffsetMs -= this.nowMs() - this.#random.between(5_000, 60_000);
    this.epoch += 1;
    this.#life += 1;
    this.startedAtMs = scheduler.nowMs;
    this.isLeaving = false;
    const send = (to: Endpoint, datagram: Uint8Array) =>
      wire.send(this.endpoint, this, to, datagram);
    const channel = this.#openChannel(send);
    this.#channel = channel;
    const out: GossipWire = {
      send: (to, payload) => send(to, channel?.seal(to, payload) ?? payload),
      pull: (to, peer, wants, sink) => streams.pull(this, to, peer, wants, sink),
    };
    const node = new GossipNode({
      id: this.identity.id,
      signer: this.identity.signer,
      verifier,
      epoch: this.epoch,
      instance: this.#random.bytes(8),
      peer: this.peerRecord(),
      seeds: seeds.filter(({ address }) => address !== this.address),
      persistEpoch: (epoch) => {
        this.epoch = epoch;
      },
      random: () => this.#random.next(),
      nowMs: () => this.nowMs(),
      wire: out,
      events: {
        member: (change) => watcher.member(this, change),
        entry: (change) => watcher.entry(this, change),
        conflict: (conflict) => watcher.conflict(this, conflict),
        log: (line) => watcher.log?.(this, line),
      },
      config,
    });
    this.node = node;
    wire.attach(this.address, this);
    node.start();
    this.#turn();
    return node;
  }

  #openChannel(send: (to: Endpoint, datagram: Uint8Array) => void): Channel | undefined {
    const { keyring, verifier, watcher } = this.#around;
    return (
      keyring &&
      new Secure({
        ...{ keyring, verifier, send, label: 'simulated', counters: new Counters() },
        self: this.identity.id,
        signer: this.identity.signer,
        epoch: this.epoch,
        random: (bytes) => this.#random.bytes(bytes),
        nowMs: () => this.nowMs(),
        notice: (_cause, sentence) => watcher.log?.(this, sentence),
      })
    );
  }

  peerRecord(): PeerRecord {
    return {
      name: this.name,
      endpoints: [this.endpoint],
      encaps: [{ encap: 'vxlan', port: 4789 }],
      mtu: 1500,
      vnis: [100],
      fans: this.fans,
      version: '0.1.0',
      capabilities: [],
    };
  }

  /** The process is gone, without a word. */
  stop(): void {
    this.#around.wire.detach(this.address, this);
    this.node = undefined;
    this.#life += 1;
    this.#inbox = [];
    this.#wakeAtMs = Number.POSITIVE_INFINITY;
    this.#asleep = false;
    this.#sleeps += 1;
    this.speed = 1;
  }

  moveTo(address: number): void {
    const { wire } = this.#around;
    wire.detach(this.address, this);
    this.address = address;
    if (this.node === undefined) return;
    wire.attach(address, this);
    this.act((node) => node.updatePeer({ endpoints: [this.endpoint] }));
  }

  /** Calls the node as the operator would. */
  act<T>(call: (node: GossipNode) => T): T | undefined {
    return this.node && call(this.node);
  }

  /**
   * The processor stands still. `clockRuns` false: so does the clock, as in a suspended virtual
   * machine.
   */
  freeze(durationMs: number, { clockRuns = true } = {}): void {
    const { scheduler } = this.#around;
    if (this.node === undefined) return;
    this.#sleeps += 1;
    const sleep = this.#sleeps;
    this.#asleep = true;
    scheduler.after(durationMs, () => {
      if (this.#sleeps !== sleep) return;
      if (!clockRuns) this.#clockOffsetMs -= durationMs * this.#clockRate;
      this.#wake();
    });
  }

  /** The clock is ahead all at once, as after a move to another machine; no time has passed. */
  leap(aheadMs: number): void {
    this.#clockOffsetMs += aheadMs;
  }

  /**
   * Gives the processor `share` of the time, in pieces: it runs for 10 to 100 ms, then others do for
   * as long as that takes. 1 ends it.
   */
  slowDown(share: number): void {
    this.speed = share;
    const life = this.#life;
    const pause = () => {
      if (this.#life !== life || this.speed !== share || share >= 1) return;
      const runMs = this.#random.between(10, 100);
      this.freeze((runMs * (1 - share)) / share);
      this.#around.scheduler.after(runMs / share, pause);
    };
    pause();
  }

  arrive(from: Endpoint, sender: Station, bytes: Uint8Array, sentAtMs: number): void {
    if (this.node === undefined || !(sender instanceof Host)) return;
    // What was sent to an earlier process would fail this one's challenge.
    if (this.#channel === undefined && sentAtMs < this.startedAtMs) return;
    if (!this.#asleep) this.#read({ from, sender, bytes });
    else if ((this.#inbox.length + 1) * SOCKET_DATAGRAM_BYTES > SOCKET_BYTES) this.overflowed += 1;
    else this.#inbox.push({ from, sender, bytes });
  }

  #read({ from, sender, bytes }: Waiting): void {
    if (this.#channel === undefined) return this.node?.receive(from, sender.identity.id, bytes);
    const opened = this.#channel.open(from, bytes);
    if (opened !== undefined) this.node?.receive(from, opened.sender, opened.payload);
  }

  /** Timers fire first, then the socket is read: so it is in an event loop. */
  #wake(): void {
    this.#asleep = false;
    this.#turn();
    const waiting = this.#inbox;
    this.#inbox = [];
    for (const one of waiting) this.#read(one);
  }

  /** Lets the node do what is due, and comes back when it wants to be called again. */
  #turn(): void {
    if (this.node === undefined || this.#asleep) return;
    const { scheduler } = this.#around;
    this.turns += 1;
    const delayMs = Math.max(this.node.tick() / this.#clockRate, TIMER_LEAST_MS);
    const atMs = scheduler.nowMs + delayMs + this.#random.between(0, TIMER_LATE_MS);
    if (atMs >= this.#wakeAtMs) return;
    this.#wakeAtMs = atMs;
    const life = this.#life;
    scheduler.at(atMs, () => {
      if (this.#wakeAtMs !== atMs || this.#life !== life) return;
      this.#wakeAtMs = Number.POSITIVE_INFINITY;
      this.#turn();
    });
  }
}
