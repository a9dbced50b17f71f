/**
 * Whether more wants to run on this machine than its cores can carry: threads that run or wait for a
 * core, for each core, averaged over a few seconds.
 *
 * Traffic alone is no crowd. A stream with its sender, its receiver and two data processes on two cores
 * stays below 1.8 threads a core; four busy loops a core more make it 4 to 6. Nor is a program that starts, our own
 * router among them: for a tenth of a second a runtime has a thread for each of its helpers.
 * @module
 */
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { Beat } from './beat.ts';

/** How often to look, ms. */
const LOOK_MS = 500;
/** What one look counts for: half of the average is of the last 1.6 s. */
const LOOK_SHARE = 0.2;
/** Threads for each core that one look is taken for at most: what lasts is a crowd, however many it is. */
const LOOK_PER_CORE_MAX = 4;
/** Threads for each core from which on it is crowded, and below which it may be over. */
const CROWDED_PER_CORE = 2.5;
const CALM_PER_CORE = 2;
/** How long it must have been calm until it counts as over, ms. */
const CALM_MS = 10_000;

const LOADAVG = '/proc/loadavg';
const text = Buffer.alloc(128);

/**
 * Threads that run or wait for a core, the asking one left out, now and on average of the last minute (which counts
 * those that wait for a disk too); undefined where nobody tells.
 * @param fd of the file, where it is open: to open it each time costs twice as much as to read it
 */
export function runnableThreads(fd?: number): { now: number; lately: number } | undefined {
  try {
    const whole =
      fd === undefined
        ? readFileSync(LOADAVG, 'latin1')
        : text.toString('latin1', 0, readSync(fd, text, 0, text.length, 0));
    const told = /^([\d.]+) .* (\d+)\/\d+ /.exec(whole);
    if (told === null) return undefined;
    return { now: Math.max(0, Number(told[2]) - 1), lately: Number(told[1]) };
  } catch {
    return undefined;
  }
}

function openLoadavg(): number | undefined {
  try {
    return openSync(LOADAVG, 'r');
  } catch {
    return undefined;
  }
}

/** Turns looks into a judgement that does not flutter. */
export class CrowdGauge {
  readonly #cores: number;
  #average: number;
  #calmSinceMs: number | undefined;
  #crowded = false;

  /** @param lately threads that ran or waited before the first look, on average: one look alone says little */
  constructor(cores: number, lately = 0) {
    this.#cores = cores;
    this.#average = Math.min(lately, cores * LOOK_PER_CORE_MAX);
  }

  get isCrowded(): boolean {
    return this.#crowded;
  }

  /** Takes note of `threads` that run or wait at `nowMs`; returns whether the judgement changed. */
  note(threads: number, nowMs: number): boolean {
    const counted = Math.min(threads, this.#cores * LOOK_PER_CORE_MAX);
    this.#average += (counted - this.#average) * LOOK_SHARE;
    const perCore = this.#average / this.#cores;
    if (perCore >= CALM_PER_CORE) this.#calmSinceMs = undefined;
    else this.#calmSinceMs ??= nowMs;
    const was = this.#crowded;
    if (perCore >= CROWDED_PER_CORE) this.#crowded = true;
    else if (this.#calmSinceMs !== undefined && nowMs - this.#calmSinceMs >= CALM_MS) {
      this.#crowded = false;
    }
    return was !== this.#crowded;
  }
}

/** Looks at the machine until it is closed. */
export class CrowdWatch {
  readonly #loadavg = openLoadavg();
  readonly #gauge = new CrowdGauge(availableParallelism(), runnableThreads(this.#loadavg)?.lately);
  readonly #beat: Beat;

  /** @param onChange called whenever the judgement changed */
  constructor(onChange: (crowded: boolean) => void) {
    const look = (): void => {
      const threads = runnableThreads(this.#loadavg);
      if (threads !== undefined && this.#gauge.note(threads.now, performance.now())) {
        onChange(this.#gauge.isCrowded);
      }
    };
    look();
    this.#beat = new Beat(LOOK_MS, look).unref();
  }

  get isCrowded(): boolean {
    return this.#gauge.isCrowded;
  }

  close(): void {
    this.#beat.close();
    if (this.#loadavg !== undefined) closeSync(this.#loadavg);
  }
}
