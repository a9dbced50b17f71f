/**
 * A cluster in virtual time: hosts on an impaired wire, and the acts that a scenario consists of.
 * @module
 */
import type { GossipConfig } from '../../src/gossip/base/api.ts';
import { Keyring } from '../../src/gossip/base/keyring.ts';
import { SEALING_BYTES } from '../../src/gossip/base/limits.ts';
import { HEADER_BYTES, TAG_BYTES } from '../../src/wire/gossip/envelope.ts';
import type { Endpoint } from '../../src/wire/gossip/types.ts';
import { Connectivity } from './connectivity.ts';
import { Host, type Surroundings, type Watcher } from './host.ts';
import { type Identity, makeKeys } from './identity.ts';
import { Random } from './random.ts';
import { Scheduler } from './scheduler.ts';
import { Streams } from './stream.ts';
import { CLEAN, type Conditions, type Cut, ImpairedWire } from './wire.ts';

/** 172.16.0.1 and on: one address a host. */
const FIRST_ADDRESS = 0xac100001;
/** Hosts that everybody is told of at the start. */
const SEEDS = 3;

export type FabricOptions = {
  seed: number;
  nodes: number;
  conditions?: Conditions;
  keys?: 'hashed' | 'ed25519';
  /** Datagrams are sealed and opened as in a cluster with a key. */
  sealed?: boolean;
  config?: Partial<GossipConfig>;
  /** The second of these hosts wrongly has the keys of the first, as a cloned machine has. */
  twins?: readonly [number, number];
};

const NOBODY: Watcher = { member: () => {}, entry: () => {}, conflict: () => {} };

export class Fabric {
  readonly scheduler = new Scheduler();
  readonly random: Random;
  readonly wire: ImpairedWire;
  readonly hosts: readonly Host[];
  readonly connectivity: Connectivity;
  /** Is told of everything that the nodes tell. */
  watcher: Watcher = NOBODY;
  #nextAddress: number;

  constructor(options: FabricOptions) {
    const { seed, nodes, conditions = CLEAN, keys = 'hashed', config = {}, twins } = options;
    const { sealed = false } = options;
    this.random = new Random(seed);
    this.wire = new ImpairedWire(this.scheduler, this.random.fork(), conditions, {
      overheadBytes: sealed ? 0 : HEADER_BYTES + SEALING_BYTES + TAG_BYTES,
    });
    const { verifier, make } = makeKeys(keys);
    const around: Surroundings = {
      scheduler: this.scheduler,
      wire: this.wire,
      streams: new Streams(this.scheduler, this.wire),
      verifier,
      keyring: sealed ? Keyring.generate((bytes) => this.random.bytes(bytes)) : undefined,
      config,
      watcher: {
        member: (host, change) => this.watcher.member(host, change),
        entry: (host, change) => this.watcher.entry(host, change),
        conflict: (host, conflict) => this.watcher.conflict(host, conflict),
        log: (host, line) => this.watcher.log?.(host, line),
      },
    };
    let twin: Identity | undefined;
    this.hosts = Array.from({ length: nodes }, (_, index) => {
      const own = make(this.random.fork());
      if (twins?.[0] === index) twin = own;
      const identity = twins?.[1] === index && twin !== undefined ? twin : own;
      return new Host(index, identity, FIRST_ADDRESS + index, this.random.fork(), around);
    });
    this.#nextAddress = FIRST_ADDRESS + nodes;
    this.connectivity = new Connectivity(this.wire, this.hosts);
  }

  get nowMs(): number {
    return this.scheduler.nowMs;
  }

  get running(): Host[] {
    return this.hosts.filter(({ isRunning }) => isRunning);
  }

  /** Addresses of the first hosts as they were installed with. */
  get seeds(): Endpoint[] {
    return this.hosts.slice(0, SEEDS).map(({ endpoint }) => endpoint);
  }

  host(index: number): Host {
    const host = this.hosts[index];
    if (host === undefined) throw new RangeError(`there is no host ${index}`);
    return host;
  }

  start(host: Host, { rebooted = false } = {}): void {
    host.start(this.seeds, { rebooted });
    this.#changed();
  }

  /** All hosts start, at random moments within `withinMs`. */
  startAll(withinMs: number): void {
    for (const host of this.hosts) {
      this.scheduler.after(this.random.between(0, withinMs), () => this.start(host));
    }
  }

  kill(host: Host): void {
    host.stop();
    this.#changed();
  }

  /** Says good-bye, and is gone `lingerMs` after. */
  leave(host: Host, lingerMs: number): void {
    const { life } = host;
    host.act((node) => node.leave());
    host.isLeaving = true;
    this.#changed();
    this.scheduler.after(lingerMs, () => {
      if (host.life === life) this.kill(host);
    });
  }

  freeze(host: Host, durationMs: number, { clockRuns = true } = {}): void {
    host.freeze(durationMs, { clockRuns });
    this.#changed();
    this.scheduler.after(durationMs + 1, () => this.#changed());
  }

  slowDown(host: Host, share: number): void {
    host.slowDown(share);
    this.#changed();
  }

  cut(name: string, cut: Cut): void {
    this.wire.cut(name, cut);
    this.#changed();
  }

  heal(name: string): void {
    this.wire.heal(name);
    this.#changed();
  }

  healAll(): void {
    this.wire.healAll();
    this.#changed();
  }

  /** Gives the host an address that nobody has had. */
  renumber(host: Host): void {
    host.moveTo(this.#nextAddress);
    this.#nextAddress += 1;
  }

  runFor(durationMs: number): void {
    this.scheduler.runUntil(this.nowMs + durationMs);
  }

  /**
   * Lets time pass until `isReached`, which is asked each `everyMs`.
   * @returns how long that took, ms; undefined when it took longer than `mostMs`.
   */
  runUntil(isReached: () => boolean, mostMs: number, everyMs = 100): number | undefined {
    const startMs = this.nowMs;
    while (!isReached()) {
      if (this.nowMs - startMs >= mostMs) return undefined;
      this.runFor(everyMs);
    }
    return this.nowMs - startMs;
  }

  /** Whether every running node holds every running node for alive, and no other for active. */
  get isWhole(): boolean {
    const { running } = this;
    return running.every(({ node }) => {
      const members = node?.members() ?? [];
      const active = members.filter(({ state }) => state === 'alive' || state === 'suspect');
      return active.length === running.length && active.every(({ state }) => state === 'alive');
    });
  }

  /** Whether all tables have one hash. */
  get isEqual(): boolean {
    const [first, ...rest] = this.running.map(({ node }) => node?.summaryHash());
    return rest.every((hash) => hash === first);
  }

  #changed(): void {
    this.connectivity.update(this.nowMs);
  }
}
