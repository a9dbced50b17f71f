/**
 * Measures a pair of hosts: every figure through the tunnel and right after, or before, between the
 * underlay addresses, round by round, so that both ways meet the same weather.
 * @module
 */
import { messageOf } from '../errors.ts';
import { formatIpv4 } from '../net/ipv4.ts';
import { runEcho, startTraffic, TrafficError } from '../traffic/run.ts';
import { type FarEnd, FarFailure } from './far-end.ts';
import { Samples } from './figures.ts';
import { deviceOf, type Pair } from './pair.ts';
import type { Way } from './protocol.ts';
import { type Offered, searchRate } from './rate.ts';
import { checkReach, ECHO_TIMEOUT_MS, here } from './reach.ts';

/** How long things take. */
export type Effort = {
  rounds: number;
  tcpMs: number;
  udpMs: number;
  /** Trials of the search for the highest rate with little loss, each round. */
  udpTrials: number;
  echoes: number;
};
export const FULL_EFFORT: Effort = { rounds: 3, tcpMs: 500, udpMs: 200, udpTrials: 3, echoes: 60 };
export const QUICK_EFFORT: Effort = { rounds: 1, tcpMs: 300, udpMs: 150, udpTrials: 3, echoes: 30 };

export type LiveOptions = {
  pair: Pair;
  far: FarEnd;
  effort: Effort;
  /** Says what is being measured. */
  step(text: string): void;
};

export type LiveResult = {
  samples: Samples;
  /** What could not be measured, and why. */
  notes: string[];
};

export const UDP_PAYLOAD_BYTES = 64;
const UDP_LOSS_MAX = 0.01;
const ECHO_INTERVAL_MS = 5;
/** A lost answer is given up after this many of the longest round trips seen. */
const MTU_TIMEOUT_TRIPS = 5;
const MTU_TIMEOUT_MS_MIN = 200;
const MTU_TIMEOUT_MS_MAX = 500;
/** For the far end to take what is still on its way. */
const DRAIN_MS = 15_000;

/**
 * What does not work on one way becomes a note.
 * @throws FanwayError when the tunnel carries nothing at all, or the far end is gone.
 */
export async function measureLive(options: LiveOptions): Promise<LiveResult> {
  const live = new Live(options);
  await live.run();
  return { samples: live.samples, notes: [...live.notes] };
}

type Measure = {
  title: string;
  /** What fails together is of one kind. */
  kind: 'echo' | 'mtu' | 'tcp' | 'udp';
  run(way: Way): Promise<void>;
};

class Live {
  readonly samples = new Samples();
  readonly notes = new Set<string>();
  readonly #options: LiveOptions;
  /** `kind way` of what does not work. */
  readonly #broken = new Set<string>();
  /** The longest round trip seen, in ms, by way. */
  readonly #longestMs: Record<Way, number> = { tunnel: 0, underlay: 0 };

  constructor(options: LiveOptions) {
    this.#options = options;
  }

  async run(): Promise<void> {
    const { far, pair, effort } = this.#options;
    far.tell(pair.link.command);
    await far.expect('ok');
    this.#options.step('is the other host there');
    await checkReach(pair);
    for (let round = 1; round <= effort.rounds; round += 1) {
      // Who is first changes from round to round.
      const ways: Way[] = round % 2 === 1 ? ['underlay', 'tunnel'] : ['tunnel', 'underlay'];
      for (const { title, kind, run } of this.#measures(round)) {
        for (const way of ways) {
          if (this.#broken.has(`${kind} ${way}`)) continue;
          this.#options.step(`round ${round} of ${effort.rounds}: ${title}, ${way}`);
          await this.#attempt(title, kind, way, run);
        }
      }
    }
  }

  #measures(round: number): Measure[] {
    return [
      { title: 'round trip, idle', kind: 'echo', run: (way) => this.#idle(way) },
      // The same in each round, so once is enough.
      ...(round > 1
        ? []
        : [{ title: 'largest packet', kind: 'mtu', run: (way: Way) => this.#mtu(way) } as const]),
      { title: 'TCP, 1 stream', kind: 'tcp', run: (way) => this.#tcpLoaded(way) },
      { title: 'TCP, 4 streams', kind: 'tcp', run: (way) => this.#tcp('tcp4', way, 4, false) },
      {
        title: 'TCP, 1 stream back',
        kind: 'tcp',
        run: (way) => this.#tcp('tcpReverse', way, 1, true),
      },
      { title: '64-byte UDP', kind: 'udp', run: (way) => this.#udp(way) },
    ];
  }

  /** What does not work is noted, and neither it nor its like is tried again on that way. */
  async #attempt(title: string, kind: string, way: Way, run: Measure['run']): Promise<void> {
    try {
      await run(way);
    } catch (error) {
      if (!(error instanceof TrafficError || error instanceof FarFailure)) throw error;
      this.#broken.add(`${kind} ${way}`);
      this.notes.add(`${title}, ${way}: ${messageOf(error)}`);
    }
  }

  /** `beside` runs while data moves. */
  async #tcp(
    key: 'tcp1' | 'tcp4' | 'tcpReverse',
    way: Way,
    streams: number,
    reverse: boolean,
    beside: () => Promise<void> = () => Promise.resolve(),
  ): Promise<void> {
    const { far, pair, effort } = this.#options;
    const moveMs = effort.tcpMs;
    far.tell({ verb: reverse ? 'tcp-send' : 'tcp-receive', way, streams, moveMs });
    const { port } = await far.expect('ready');
    const timeout = (moveMs + DRAIN_MS) / 1000;
    const program = startTraffic(
      here,
      'tcp',
      {
        connect: formatIpv4(pair.far[way]),
        ...deviceOf(pair, way),
        port,
        streams,
        seconds: moveMs / 1000,
        reverse,
        timeout,
      },
      moveMs + 2 * DRAIN_MS,
    );
    try {
      const own = await this.#orFinish(Promise.all([program.result, beside()]));
      const { amount, seconds } = await far.expect('result');
      const received = reverse ? own[0] : { bytes: amount, seconds };
      if (received.seconds > 0) {
        this.samples.add(key, way, (received.bytes * 8) / received.seconds / 1e9);
      }
    } finally {
      program.kill();
    }
  }

  /** When our side fails, the far end is told, and its answer taken, before the next thing. */
  async #orFinish<T>(own: Promise<T>): Promise<T> {
    try {
      return await own;
    } catch (error) {
      const { far } = this.#options;
      far.tell({ verb: 'finish' });
      await far.expect('result').catch((answer: unknown) => {
        if (!(answer instanceof FarFailure)) throw answer;
      });
      throw error;
    }
  }

  async #tcpLoaded(way: Way): Promise<void> {
    const { effort } = this.#options;
    await this.#tcp('tcp1', way, 1, false, () =>
      this.#echo(way, { count: 100_000, seconds: effort.tcpMs / 1000 }, 'loaded'),
    );
  }

  #idle(way: Way): Promise<void> {
    return this.#echo(way, { count: this.#options.effort.echoes, seconds: 3 }, 'idle');
  }

  async #echo(
    way: Way,
    options: { count: number; seconds: number },
    when: 'idle' | 'loaded',
  ): Promise<void> {
    const { pair } = this.#options;
    const { targets } = await runEcho(here, [formatIpv4(pair.far[way])], {
      ...options,
      ...deviceOf(pair, way),
      interval: ECHO_INTERVAL_MS,
      timeout: ECHO_TIMEOUT_MS,
    });
    const [target] = targets;
    if (target === undefined || target.received === 0) {
      this.notes.add(`round trip, ${when}, ${way}: no echo request was answered`);
      return;
    }
    this.#longestMs[way] = Math.max(this.#longestMs[way], target.rtt.maxUs / 1000);
    this.samples.add(`${when}P50`, way, target.rtt.p50Us);
    this.samples.add(`${when}P99`, way, target.rtt.p99Us);
  }

  async #udp(way: Way): Promise<void> {
    const { effort } = this.#options;
    const start = this.samples.spread('udp', way)?.max ?? 0;
    const best = await searchRate({
      trials: effort.udpTrials,
      lossMax: UDP_LOSS_MAX,
      start,
      offer: (rate) => this.#offer(way, rate),
    });
    if (best > 0) this.samples.add('udp', way, best);
    else this.notes.add(`64-byte UDP, ${way}: every rate that was tried lost 1 % or more`);
  }

  async #offer(way: Way, rate: number): Promise<Offered> {
    const { far, pair, effort } = this.#options;
    const moveMs = effort.udpMs;
    far.tell({ verb: 'udp-receive', way, payloadBytes: UDP_PAYLOAD_BYTES, moveMs });
    const { port } = await far.expect('ready');
    const to = { connect: formatIpv4(pair.far[way]), ...deviceOf(pair, way) };
    const options = { ...to, port, size: UDP_PAYLOAD_BYTES, rate, seconds: moveMs / 1000 };
    const program = startTraffic(here, 'udp-send', options);
    try {
      const sent = await this.#orFinish(program.result);
      far.tell({ verb: 'finish' });
      const { amount, seconds } = await far.expect('result');
      return {
        offered: sent.pps,
        delivered: amount / Math.max(sent.seconds, seconds),
        loss: 1 - amount / Math.max(sent.sent, 1),
      };
    } finally {
      program.kill();
    }
  }

  async #mtu(way: Way): Promise<void> {
    const timeout = Math.max(MTU_TIMEOUT_MS_MIN, this.#longestMs[way] * MTU_TIMEOUT_TRIPS);
    const { pair } = this.#options;
    const program = startTraffic(here, 'path-mtu', {
      target: formatIpv4(pair.far[way]),
      ...deviceOf(pair, way),
      timeout: Math.min(timeout, MTU_TIMEOUT_MS_MAX),
    });
    try {
      const { mtuBytes } = await program.result;
      if (mtuBytes > 0) this.samples.add('mtu', way, mtuBytes);
      else this.notes.add(`largest packet, ${way}: no echo request was answered`);
    } finally {
      program.kill();
    }
  }
}
