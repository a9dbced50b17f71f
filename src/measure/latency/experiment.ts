/**
 * Round trips of several classes, through the tunnel and between the underlay addresses at the same time,
 * while nothing, a load out, a load back, and both go on.
 * @module
 */
import { FanwayError, messageOf } from '../../errors.ts';
import { formatIpv4 } from '../../net/ipv4.ts';
import { nowNs } from '../../traffic/base/clock.ts';
import { type Interim, startTraffic, TrafficError } from '../../traffic/run.ts';
import { type FarEnd, FarFailure } from '../far-end.ts';
import { deviceOf, type Pair } from '../pair.ts';
import { REFLECT_MS_MAX, type Way } from '../protocol.ts';
import { checkReach, here } from '../reach.ts';
import {
  addSamples,
  PHASES,
  type Phase,
  type PhaseName,
  type SampleDirection,
  type SampledRates,
  type Stream,
  streamsOf,
} from './samples.ts';

export type LatencySettings = {
  /** How long each phase lasts. */
  seconds: number;
  /** Connections a direction. */
  streams: number;
  /** Code points of the probes. */
  classes: readonly number[];
  intervalMs: number;
  /** What the load takes. */
  load: Way;
};

export type LatencyOptions = {
  pair: Pair;
  settings: LatencySettings;
  /** A further connection to the far end. */
  connect(): Promise<FarEnd>;
  /** Told when a phase begins, and four times a second while it lasts; `nowMs` since the start. */
  live(seen: LatencyResult, phase: PhaseName, nowMs: number): void;
};

export type LatencyResult = {
  phases: Phase[];
  rates: SampledRates;
  streams: Stream[];
  /** What did not work, and why. */
  notes: string[];
};

export const WAYS: readonly Way[] = ['tunnel', 'underlay'];
/** For what a phase left in queues to go away. */
const REST_MS = 400;
const LIVE_MS = 250;
const PROGRESS_MS = 100;
/** For the far end to take what is still on its way. */
const DRAIN_MS = 15_000;
/** For all phases, and what a busy machine takes to start programs; it ends with the last of them. */
const PROBE_MS_MAX = REFLECT_MS_MAX;

/**
 * A load that does not work becomes a note.
 * @throws FanwayError when the tunnel carries nothing at all, or the far end is gone
 */
export async function measureLatency(options: LatencyOptions): Promise<LatencyResult> {
  await checkReach(options.pair);
  const far = await options.connect();
  try {
    return await new Experiment(options).run(far);
  } finally {
    far.close();
  }
}

type Load = { far: FarEnd; direction: SampleDirection };

class Experiment {
  readonly #options: LatencyOptions;
  readonly #result: LatencyResult;
  #startNs = nowNs();

  constructor(options: LatencyOptions) {
    this.#options = options;
    const streams = streamsOf(WAYS, options.settings.classes);
    this.#result = { phases: [], rates: { up: [], down: [] }, streams, notes: [] };
  }

  async run(far: FarEnd): Promise<LatencyResult> {
    const { pair, settings, live } = this.#options;
    far.tell(pair.link.command);
    await far.expect('ok');
    far.tell({ verb: 'reflect', moveMs: PROBE_MS_MAX });
    const { port } = await far.expect('ready');
    this.#startNs = nowNs();
    const prober = startTraffic(
      here,
      'probe',
      {
        targets: WAYS.map((way) => formatIpv4(pair.far[way])).join(','),
        port,
        ...deviceOf(pair, 'tunnel'),
        dscp: settings.classes.join(','),
        interval: settings.intervalMs,
        seconds: PROBE_MS_MAX / 1000,
      },
      PROBE_MS_MAX + DRAIN_MS,
    );
    prober.onInterim = (report) => this.#heard(report);
    const loads: FarEnd[] = [];
    let failure: unknown;
    prober.result.catch((error: unknown) => {
      failure = error;
    });
    try {
      await prober.ready;
      for (const _ of ['up', 'down']) loads.push(await this.#connectLoad());
      const [up, down] = loads as [FarEnd, FarEnd];
      for (const name of PHASES) {
        await this.#phase(name, [
          ...(name === 'up' || name === 'both' ? [{ far: up, direction: 'up' as const }] : []),
          ...(name === 'down' || name === 'both'
            ? [{ far: down, direction: 'down' as const }]
            : []),
        ]);
        if (failure !== undefined) throw failure;
      }
      await prober.finish();
      live(this.#result, 'both', this.#sinceStartMs());
      far.tell({ verb: 'finish' });
      await far.expect('result');
      return this.#result;
    } catch (error) {
      if (!(error instanceof TrafficError)) throw error;
      throw new FanwayError('probe', messageOf(error), { cause: error });
    } finally {
      prober.kill();
      for (const load of loads) load.close();
    }
  }

  async #connectLoad(): Promise<FarEnd> {
    const far = await this.#options.connect();
    far.tell(this.#options.pair.link.command);
    await far.expect('ok');
    return far;
  }

  #heard(report: Interim): void {
    if (report.event !== 'probe-samples') return;
    addSamples(this.#result.streams, report.samples, this.#startNs);
  }

  #sinceStartMs(): number {
    return (nowNs() - this.#startNs) / 1e6;
  }

  /** Begins when its loads move, and lasts as long as it was asked to. */
  async #phase(name: PhaseName, loads: readonly Load[]): Promise<void> {
    const { settings, live } = this.#options;
    const moved = loads.map((load) => this.#load(load));
    await Promise.all(moved.map(({ moving }) => moving));
    const phase: Phase = { name, fromMs: this.#sinceStartMs(), toMs: Number.POSITIVE_INFINITY };
    this.#result.phases.push(phase);
    const tell = () => live(this.#result, name, this.#sinceStartMs());
    tell();
    const timer = setInterval(tell, LIVE_MS);
    const over = new Promise<void>((resolve) => setTimeout(resolve, settings.seconds * 1000));
    try {
      await Promise.all([over, ...moved.map(({ done }) => done)]);
    } finally {
      clearInterval(timer);
      // What a slow path still had to deliver is no part of the phase.
      phase.toMs = Math.min(this.#sinceStartMs(), phase.fromMs + settings.seconds * 1000);
    }
    await new Promise((resolve) => setTimeout(resolve, REST_MS));
  }

  /** Settles `moving` with the first data, or with what went wrong, which is a note then. */
  #load({ far, direction }: Load): { moving: Promise<void>; done: Promise<void> } {
    let isMoving: () => void = () => {};
    const first = new Promise<void>((resolve) => {
      isMoving = resolve;
    });
    const done = this.#move(far, direction, isMoving).catch((error: unknown) => {
      if (!(error instanceof TrafficError || error instanceof FarFailure)) throw error;
      this.#result.notes.push(`load ${direction}: ${messageOf(error)}`);
    });
    return { moving: Promise.race([first, done]), done };
  }

  async #move(far: FarEnd, direction: SampleDirection, isMoving: () => void): Promise<void> {
    const { pair, settings } = this.#options;
    const { load: way, streams } = settings;
    const moveMs = settings.seconds * 1000;
    const isDown = direction === 'down';
    far.tell({ verb: isDown ? 'tcp-send' : 'tcp-receive', way, streams, moveMs });
    const { port } = await far.expect('ready');
    const program = startTraffic(
      here,
      'tcp',
      {
        connect: formatIpv4(pair.far[way]),
        ...deviceOf(pair, way),
        port,
        streams,
        seconds: settings.seconds,
        reverse: isDown,
        timeout: (moveMs + DRAIN_MS) / 1000,
        progress: PROGRESS_MS,
      },
      moveMs + 2 * DRAIN_MS,
    );
    let last: { atNs: number; bytes: number } | undefined;
    program.onInterim = (report) => {
      if (report.event !== 'tcp-progress') return;
      isMoving();
      if (last !== undefined) {
        const bps = ((report.bytes - last.bytes) * 8e9) / (report.atNs - last.atNs);
        this.#result.rates[direction].push([(report.atNs - this.#startNs) / 1e6, bps]);
      }
      last = report;
    };
    try {
      await program.result;
      await far.expect('result');
    } catch (error) {
      if (error instanceof TrafficError) {
        far.tell({ verb: 'finish' });
        await far.expect('result').catch((answer: unknown) => {
          if (!(answer instanceof FarFailure)) throw answer;
        });
      }
      throw error;
    } finally {
      program.kill();
    }
  }
}
