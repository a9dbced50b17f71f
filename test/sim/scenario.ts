/**
 * What happens in one run: a list of steps that follows from the seed, and nothing else.
 * @module
 */
import { Random } from './random.ts';
import type { Conditions } from './wire.ts';

/** Where datagrams stop. `groups` gives a group to each host, by index. */
export type CutShape =
  /** Nothing passes between groups. */
  | { shape: 'split'; groups: number[] }
  /** Nothing gets from group 0 to group 1; the other way is open. */
  | { shape: 'one-way'; groups: number[] }
  /** A share of all pairs does not hear each other, or only one the other. */
  | { shape: 'partial'; share: number; salt: number; oneWay: boolean };

export type Act =
  /** Numbers stand for keys: what is announced of one is always the same. */
  | { do: 'announce'; host: number; numbers: number[] }
  /** Withdraws this share of what the host announces. */
  | { do: 'withdraw'; host: number; share: number }
  /** Takes over a key that `from` announces: the workload moved. */
  | { do: 'take'; host: number; from: number }
  | { do: 'kill'; host: number }
  | { do: 'leave'; host: number }
  /** `forgets`: how many epochs its disk is behind, as after a restored backup. */
  | { do: 'start'; host: number; rebooted: boolean; forgets: number }
  | { do: 'freeze'; host: number; durationMs: number; clockRuns: boolean }
  | { do: 'slow'; host: number; share: number }
  /** The host's clock goes forward without time passing. */
  | { do: 'leap'; host: number; aheadMs: number }
  | { do: 'renumber'; host: number }
  | { do: 'cut'; name: string; cut: CutShape }
  | { do: 'heal'; name: string }
  | { do: 'conditions'; conditions: Conditions };

export type Step = { atMs: number } & Act;

export type Scenario = {
  seed: number;
  nodes: number;
  keys: 'hashed' | 'ed25519';
  sealed: boolean;
  /** All nodes start within this. */
  startMs: number;
  conditions: Conditions;
  steps: Step[];
  /** After the last step; the rest is quiet. */
  endMs: number;
};

/** Above this share of lost datagrams a death may be false now and then. */
export const LOSS_SURE_MOST = 0.1;

/** Up to an hour: it is a monotonic clock. What the clock on the wall says no node ever asks. */
const LEAPS_MS = [2_000, 60_000, 3_600_000];
const KEYS_PER_ANNOUNCE_MOST = 12;
/** Longest time of trouble, by how large the cluster is: larger ones cost more to run. */
const TROUBLE_MS = 40_000;
const TROUBLE_MEDIUM_MS = 20_000;
const TROUBLE_LARGE_MS = 6_000;
const MEDIUM_NODES = 48;
const LARGE_NODES = 128;

/** Mostly small clusters, now and then one of 64, rarely 128: by seed, so that any 200 in a row have each. */
function nodesOf(seed: number, random: Random): number {
  if (seed % 200 === 57) return 128;
  if (seed % 40 === 12) return 64;
  return random.chance(0.1) ? 2 + random.below(6) : 8 + random.below(17);
}

function longestTroubleMs(nodes: number): number {
  if (nodes >= LARGE_NODES) return TROUBLE_LARGE_MS;
  return nodes >= MEDIUM_NODES ? TROUBLE_MEDIUM_MS : TROUBLE_MS;
}

function conditionsOf(random: Random): Conditions {
  const delayMostMs = random.pick([1, 5, 20, 60]);
  const quiet = random.chance(0.25);
  return {
    lossShare: quiet ? 0 : random.pick([0, 0.01, 0.05, LOSS_SURE_MOST]),
    duplicateShare: quiet ? 0 : random.pick([0, 0.05, 0.2]),
    reorderShare: quiet ? 0 : random.pick([0, 0.05, 0.2]),
    reorderMs: 50,
    lateShare: quiet ? 0 : random.pick([0, 0.05, 0.3]),
    lateMs: 30_000,
    delayLeastMs: 0.2,
    delayMostMs,
  };
}

class Planner {
  readonly steps: Step[] = [];
  readonly #random: Random;
  readonly #nodes: number;
  readonly #endMs: number;
  readonly #conditions: Conditions;
  #numbers = 0;
  #cuts = 0;

  constructor(random: Random, nodes: number, endMs: number, conditions: Conditions) {
    this.#random = random;
    this.#nodes = nodes;
    this.#endMs = endMs;
    this.#conditions = conditions;
  }

  /** Adds one kind of trouble at `atMs`, with what ends it. */
  add(atMs: number): void {
    const random = this.#random;
    const host = random.below(this.#nodes);
    const untilMs = Math.min(this.#endMs, atMs + random.between(500, this.#endMs - atMs));
    const draw = random.below(100);
    if (draw < 22) this.announce(atMs, host);
    else if (draw < 36)
      this.#push(atMs, { do: 'withdraw', host, share: random.pick([0.2, 0.6, 1]) });
    else if (draw < 48) this.#push(atMs, { do: 'take', host, from: random.below(this.#nodes) });
    else if (draw < 58) this.#restart(atMs, untilMs, host, { do: 'kill', host });
    else if (draw < 64) this.#restart(atMs, untilMs, host, { do: 'leave', host });
    else if (draw < 84) this.#cut(atMs, untilMs);
    else if (draw < 90) this.#hold(atMs, untilMs, host);
    else if (draw < 94) this.#slow(atMs, untilMs, host);
    else if (draw < 96) this.#push(atMs, { do: 'renumber', host });
    else if (draw < 98) this.#push(atMs, { do: 'leap', host, aheadMs: random.pick(LEAPS_MS) });
    else this.#worsen(atMs, untilMs);
  }

  announce(atMs: number, host: number): void {
    const count = 1 + this.#random.below(KEYS_PER_ANNOUNCE_MOST);
    const numbers = Array.from({ length: count }, (_, i) => this.#numbers + i);
    this.#numbers += count;
    this.#push(atMs, { do: 'announce', host, numbers });
  }

  #push(atMs: number, act: Act): void {
    this.steps.push({ atMs, ...act });
  }

  /** Down for a while, for an instant, or for good. */
  #restart(atMs: number, untilMs: number, host: number, down: Act): void {
    const random = this.#random;
    this.#push(atMs, down);
    if (random.chance(0.3)) return;
    const upMs = random.chance(0.3) ? atMs + random.between(1500, 3000) : untilMs;
    const forgets = random.chance(0.15) ? 1 + random.below(3) : 0;
    this.#push(upMs, { do: 'start', host, rebooted: random.chance(0.3), forgets });
    if (random.chance(0.6)) this.announce(upMs + random.between(1, 3000), host);
  }

  #cut(atMs: number, untilMs: number): void {
    const random = this.#random;
    const cut = this.#shape();
    const name = `cut ${this.#cuts}`;
    this.#cuts += 1;
    if (!random.chance(0.2)) {
      this.#push(atMs, { do: 'cut', name, cut });
      this.#push(untilMs, { do: 'heal', name });
      return;
    }
    // A link that flaps: a second on, a second off.
    for (let flapMs = atMs; flapMs < Math.min(untilMs, atMs + 20_000); flapMs += 2000) {
      this.#push(flapMs, { do: 'cut', name, cut });
      this.#push(flapMs + 1000, { do: 'heal', name });
    }
  }

  #shape(): CutShape {
    const random = this.#random;
    const groups = (share: number) =>
      Array.from({ length: this.#nodes }, () => (random.chance(share) ? 1 : 0));
    const alone = random.below(this.#nodes);
    switch (random.below(6)) {
      case 0:
        return { shape: 'split', groups: groups(0.5) };
      case 1:
        return { shape: 'split', groups: groups(0.5).map((group) => group + 2 * random.below(2)) };
      case 2:
        return { shape: 'split', groups: groups(0).map((_, i) => (i === alone ? 1 : 0)) };
      case 3:
        return { shape: 'one-way', groups: groups(random.pick([0.1, 0.5])) };
      default:
        return {
          shape: 'partial',
          share: random.pick([0.1, 0.3, 0.5]),
          salt: random.below(0x7fffffff),
          oneWay: random.chance(0.5),
        };
    }
  }

  #hold(atMs: number, untilMs: number, host: number): void {
    const random = this.#random;
    const durationMs = Math.min(untilMs - atMs, random.pick([700, 3000, 10_000, 40_000]));
    this.#push(atMs, { do: 'freeze', host, durationMs, clockRuns: random.chance(0.7) });
  }

  #slow(atMs: number, untilMs: number, host: number): void {
    this.#push(atMs, { do: 'slow', host, share: 0.1 });
    this.#push(untilMs, { do: 'slow', host, share: 1 });
  }

  /** A bad time on the whole network: nearly a third of all is lost, and what comes comes late. */
  #worsen(atMs: number, untilMs: number): void {
    const worse = { ...this.#conditions, lossShare: 0.3, reorderShare: 0.5, reorderMs: 300 };
    this.#push(atMs, { do: 'conditions', conditions: worse });
    this.#push(untilMs, { do: 'conditions', conditions: this.#conditions });
  }
}

/** The scenario of a seed. @param nodes instead of the number that the seed gives */
export function planScenario(seed: number, nodes?: number): Scenario {
  const random = new Random(seed);
  const size = nodes ?? nodesOf(seed, random);
  const conditions = conditionsOf(random);
  const startMs = random.pick([100, 1000, 5000]);
  const settledMs = startMs + random.pick([0, 3000, 10_000]);
  const troubleMs = random.between(5000, longestTroubleMs(size));
  const endMs = settledMs + troubleMs;
  const planner = new Planner(random, size, endMs, conditions);
  for (let host = 0; host < size; host += 1) {
    if (random.chance(0.7)) planner.announce(random.between(startMs, settledMs + 1000), host);
  }
  const troubles = 3 + random.below(Math.min(30, 4 + size));
  for (let i = 0; i < troubles; i += 1) planner.add(random.between(settledMs, endMs - 1000));
  const steps = planner.steps.sort((a, b) => a.atMs - b.atMs);
  return {
    seed,
    nodes: size,
    keys: seed % 10 === 3 ? 'ed25519' : 'hashed',
    sealed: seed % 5 === 3,
    startMs,
    conditions,
    steps,
    endMs: Math.max(endMs, ...steps.map(({ atMs }) => atMs)),
  };
}
