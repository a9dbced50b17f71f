/**
 * Plays a scenario: carries out its steps, waits for quiet, and checks what must hold then.
 * @module
 */
import type { Version } from '../../src/wire/gossip/types.ts';
import { Fabric } from './fabric.ts';
import type { Host } from './host.ts';
import { isShared, itemOf } from './items.ts';
import { Ledger } from './ledger.ts';
import { Random } from './random.ts';
import type { CutShape, Scenario, Step } from './scenario.ts';
import { checkBounds, checkTables } from './verify.ts';
import { type Failure, headOf, Watch } from './watch.ts';
import type { Cut } from './wire.ts';

/** After all cuts are healed, every node knows every other again within this. */
const HEAL_MS = 30_000;
/** And their tables are equal within this. */
const EQUAL_MS = 60_000;
/** And stay so. */
const CALM_MS = 10_000;
/** How often bounds are looked at. */
const BOUNDS_MS = 5_000;
/** How long a process lives on after it said good-bye. */
const LINGER_MS = 1_000;

export type Outcome = {
  seed: number;
  nodes: number;
  steps: number;
  failures: Failure[];
  /** Virtual time. */
  virtualMs: number;
  /** From the last healing on, undefined when it did not come about. */
  wholeAfterMs: number | undefined;
  equalAfterMs: number | undefined;
  datagrams: number;
  deaths: number;
  deathsInStorm: number;
  suspicions: number;
  conflicts: number;
  /** Real time. */
  tookMs: number;
};

function cutOf(cut: CutShape): Cut {
  if (cut.shape === 'partial') {
    const salt = new Random(cut.salt).below(0x7fffffff);
    return (from, to) => {
      const [a, b] = cut.oneWay ? [from, to] : [Math.min(from, to), Math.max(from, to)];
      const mixed = Math.imul((a * 4099 + b) ^ salt, 0x85ebca6b);
      return (Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35) >>> 0) / 0x100000000 < cut.share;
    };
  }
  const { groups } = cut;
  if (cut.shape === 'split') return (from, to) => groups[from] !== groups[to];
  return (from, to) => groups[from] === 0 && groups[to] === 1;
}

class Play {
  readonly fabric: Fabric;
  readonly ledger = new Ledger();
  readonly watch: Watch;
  readonly #scenario: Scenario;
  /** Decides what the steps leave open. */
  readonly #random: Random;

  constructor(scenario: Scenario, say: ((line: string) => void) | undefined) {
    const { seed, nodes, keys, sealed, conditions } = scenario;
    this.#scenario = scenario;
    this.fabric = new Fabric({ seed, nodes, keys, sealed, conditions });
    this.#random = this.fabric.random.fork();
    this.watch = new Watch(this.fabric, this.ledger);
    this.fabric.watcher = this.watch;
    this.watch.say = say && ((line) => say(`${(this.fabric.nowMs / 1000).toFixed(3)} ${line}`));
  }

  run(): Pick<Outcome, 'wholeAfterMs' | 'equalAfterMs'> {
    const { fabric, watch } = this;
    const { startMs, steps, endMs, conditions } = this.#scenario;
    fabric.startAll(startMs);
    for (const step of steps) fabric.scheduler.at(step.atMs, () => this.#carryOut(step));
    this.#watchBounds();
    fabric.scheduler.runUntil(endMs);
    fabric.healAll();
    for (const host of fabric.running) if (host.speed < 1) fabric.slowDown(host, 1);
    fabric.wire.conditions = conditions;
    watch.say?.('all cuts are healed; nothing more will happen');
    const quietMs = fabric.nowMs;
    let wholeAfterMs: number | undefined;
    const isSettled = () => {
      if (wholeAfterMs === undefined && fabric.isWhole) wholeAfterMs = fabric.nowMs - quietMs;
      return wholeAfterMs !== undefined && fabric.isEqual;
    };
    const equalAfterMs = fabric.runUntil(isSettled, EQUAL_MS, 250);
    if (wholeAfterMs === undefined || wholeAfterMs > HEAL_MS) {
      watch.fail(`not everybody knows everybody ${HEAL_MS / 1000} s after the healing`);
    }
    if (equalAfterMs === undefined) {
      watch.fail(`tables are not equal ${EQUAL_MS / 1000} s after the healing`);
    }
    fabric.runFor(CALM_MS);
    fabric.runUntil(() => fabric.isEqual, CALM_MS, 50);
    checkTables(fabric, this.ledger, watch);
    checkBounds(fabric, watch);
    return { wholeAfterMs, equalAfterMs };
  }

  #watchBounds(): void {
    checkBounds(this.fabric, this.watch);
    this.fabric.scheduler.after(BOUNDS_MS, () => this.#watchBounds());
  }

  #head(host: Host): Version {
    return headOf(host, host.identity.id) ?? { epoch: host.epoch, sequence: 0 };
  }

  #announce(host: Host, numbers: readonly number[]): void {
    host.act((node) => {
      for (const number of numbers) {
        this.ledger.announce(host, number);
        node.announce(itemOf(number));
      }
    });
  }

  #withdraw(host: Host, share: number): void {
    host.act((node) => {
      const announced = [...this.ledger.announced(host)];
      const chosen = this.#random.some(announced, Math.ceil(announced.length * share));
      for (const [key, number] of chosen) {
        this.ledger.withdraw(host, key, this.#head(host));
        node.withdraw(itemOf(number));
      }
    });
  }

  #carryOut(step: Step): void {
    const { fabric, ledger } = this;
    this.watch.say?.(`STEP ${JSON.stringify(step)}`);
    if (step.do === 'cut') return fabric.cut(step.name, cutOf(step.cut));
    if (step.do === 'heal') return fabric.heal(step.name);
    if (step.do === 'conditions') {
      fabric.wire.conditions = step.conditions;
      return;
    }
    const host = fabric.host(step.host);
    if (step.do === 'start') {
      if (host.isRunning) return;
      host.epoch = Math.max(0, host.epoch - step.forgets);
      return fabric.start(host, { rebooted: step.rebooted });
    }
    if (!host.isRunning || host.isLeaving) return;
    switch (step.do) {
      case 'announce':
        return this.#announce(host, step.numbers);
      case 'withdraw':
        return this.#withdraw(host, step.share);
      case 'take': {
        const others = [...ledger.announced(fabric.host(step.from)).values()];
        const free = others.filter((number) => !isShared(itemOf(number)));
        return this.#announce(host, this.#random.some(free, 1));
      }
      case 'kill':
        ledger.stopped(host);
        return fabric.kill(host);
      case 'leave':
        ledger.stopped(host);
        return fabric.leave(host, LINGER_MS);
      case 'freeze':
        return fabric.freeze(host, step.durationMs, { clockRuns: step.clockRuns });
      case 'slow':
        return fabric.slowDown(host, step.share);
      case 'leap':
        return host.leap(step.aheadMs);
      case 'renumber':
        return fabric.renumber(host);
    }
  }
}

/** @param say is given every event, for a person to read */
export function play(scenario: Scenario, say?: (line: string) => void): Outcome {
  const startMs = performance.now();
  const run = new Play(scenario, say);
  const reached = run.run();
  const { fabric, watch } = run;
  return {
    seed: scenario.seed,
    nodes: scenario.nodes,
    steps: scenario.steps.length,
    failures: watch.failures,
    virtualMs: fabric.nowMs,
    ...reached,
    datagrams: fabric.wire.sent.reduce((sum, { datagrams }) => sum + datagrams, 0),
    deaths: watch.deaths,
    deathsInStorm: watch.deathsInStorm,
    suspicions: watch.suspicions,
    conflicts: watch.conflicts,
    tookMs: performance.now() - startMs,
  };
}
