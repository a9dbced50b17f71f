/**
 * BGP speakers in one process, on virtual time, joined by wires that delay, cut and break.
 * @module
 */
import type {
  Connection,
  ConnectionListener,
  DialListener,
  NeighbourSettings,
  SpeakerSettings,
  Timers,
  Transport,
} from '../../src/bgp/base/api.ts';
import type { EntryChange } from '../../src/bgp/rib/imports.ts';
import { Speaker } from '../../src/bgp/speaker.ts';
import { parseIpv4 } from '../../src/net/ipv4.ts';
import { Random } from '../fuzz/mutate.ts';
import { Scheduler } from '../sim/scheduler.ts';

/** One way, ms. */
export const DELAY_MS = 1;

export function neighbourSettings(given: Partial<NeighbourSettings>): NeighbourSettings {
  return {
    ...{ address: '10.0.0.2', port: 179, as: 65000, passive: false, holdSeconds: 90 },
    ...{ connectRetrySeconds: 10, maxPrefixes: 10_000, import: undefined, export: undefined },
    ...{ md5Password: '', ttlSecurityHops: 0, description: '' },
    ...given,
  };
}

/** One end of a wire. */
class End implements Connection {
  readonly #lab: Lab;
  readonly #isBlack: () => boolean;
  other: End | undefined;
  listener: ConnectionListener | undefined;
  isOpen = true;
  /** Bytes that the other side does not take. */
  held: number | undefined;

  constructor(lab: Lab, isBlack: () => boolean) {
    this.#lab = lab;
    this.#isBlack = isBlack;
  }

  send(bytes: Uint8Array): void {
    const copy = bytes.slice();
    if (this.held !== undefined) this.held += bytes.length;
    this.#lab.later(() => {
      if (this.other?.isOpen === true && !this.#isBlack()) this.other.listener?.data(copy);
    });
  }

  queuedBytes(): number {
    return this.held ?? 0;
  }

  close(): void {
    this.isOpen = false;
    this.#lab.later(() => this.other?.drop('closed by the other side'));
  }

  /** The connection is gone without a word of ours. */
  drop(reason: string): void {
    if (!this.isOpen || this.#isBlack()) return;
    this.isOpen = false;
    this.listener?.closed(reason);
  }
}

export type Host = {
  address: string;
  speaker: Speaker;
  changes: EntryChange[];
  log: string[];
  /** Nothing arrives any more. */
  isDead: boolean;
};

export class Lab {
  readonly time = new Scheduler();
  readonly random: Random;
  readonly hosts = new Map<string, Host>();
  readonly wires: { a: string; b: string; ends: [End, End] }[] = [];
  /** Pairs that do not reach each other. */
  readonly cut = new Set<string>();

  constructor(seed = 1) {
    this.random = new Random(seed);
  }

  later(action: () => void): void {
    this.time.after(DELAY_MS, action);
  }

  timers(): Timers {
    return {
      nowMs: () => this.time.nowMs,
      after: (delayMs, action) => {
        let isOff = false;
        this.time.after(delayMs, () => {
          if (!isOff) action();
        });
        return () => {
          isOff = true;
        };
      },
    };
  }

  #isCut(a: string, b: string): boolean {
    return this.cut.has(`${a} ${b}`) || this.cut.has(`${b} ${a}`);
  }

  #dial(from: Host, to: NeighbourSettings, listener: DialListener): () => void {
    let isOff = false;
    this.later(() => {
      if (isOff || this.#isCut(from.address, to.address)) return;
      const host = this.hosts.get(to.address);
      if (host === undefined || host.isDead) return listener.failed('refused');
      const isBlack = (): boolean => this.#isCut(from.address, to.address);
      const ends: [End, End] = [new End(this, isBlack), new End(this, isBlack)];
      [ends[0].other, ends[1].other] = [ends[1], ends[0]];
      this.wires.push({ a: from.address, b: to.address, ends });
      const there = host.speaker.accept(from.address, ends[1]);
      ends[1].listener = there;
      if (there === undefined) return listener.failed('closed at once');
      ends[0].listener = listener.connected(ends[0]);
    });
    return () => {
      isOff = true;
    };
  }

  /** A speaker at `address`, not started. */
  add(
    address: string,
    given: Partial<SpeakerSettings> & Pick<SpeakerSettings, 'neighbours'>,
  ): Host {
    const timers = this.timers();
    const changes: EntryChange[] = [];
    const log: string[] = [];
    const transport: Transport = {
      dial: (neighbour, listener) => this.#dial(host, neighbour, listener),
    };
    const settings: SpeakerSettings = {
      ...{ as: 65000, routerId: parseIpv4(address), vtep: parseIpv4(address) },
      ...{ restartSeconds: 120, staleSeconds: 60, isRestarting: false, transit: false },
      vteps: [{ address: 0x0a000000, length: 8 }],
      ...given,
    };
    const speaker = new Speaker({
      ...{ settings, timers, transport, random: () => this.random.next() / 2 ** 32 },
      events: { log: (level, who, text) => log.push(`${level} ${who} ${text}`) },
      changed: (change) => changes.push(change),
    });
    const host: Host = { address, speaker, changes, log, isDead: false };
    this.hosts.set(address, host);
    return host;
  }

  /** Two speakers that know each other, in network 100, with the first in front. */
  pair(
    a: Partial<SpeakerSettings & NeighbourSettings> = {},
    b: Partial<SpeakerSettings & NeighbourSettings> = {},
  ): [Host, Host] {
    const make = (
      address: string,
      other: string,
      own: Partial<SpeakerSettings & NeighbourSettings>,
      theirs: Partial<SpeakerSettings & NeighbourSettings>,
    ): Host => {
      const { address: _, as, ...rest } = own;
      const neighbour = neighbourSettings({ ...rest, address: other, as: theirs.as ?? 65000 });
      const host = this.add(address, { ...rest, as: as ?? 65000, neighbours: [neighbour] });
      host.speaker.setNetworks([network(100)]);
      return host;
    };
    return [make('10.0.0.1', '10.0.0.2', a, b), make('10.0.0.2', '10.0.0.1', b, a)];
  }

  run(ms: number): void {
    this.time.runUntil(this.time.nowMs + ms);
  }

  /** Both ends of all connections between two hosts are gone. */
  breakWires(): void {
    for (const { ends } of this.wires.splice(0)) for (const end of ends) end.drop('reset');
  }
}

export function network(vni: number) {
  return { vni, rd: undefined, importTargets: [], exportTargets: [], isGateway: false };
}

/** The state of the only neighbour. */
export function stateOf({ speaker }: Host): string {
  return speaker.neighbours[0]?.state ?? 'none';
}
