/**
 * Whether more wants to run on this machine than its cores can carry: threads that run or wait for a
 * core, for each core, averaged over a second or so.
 *
 * Traffic alone is no crowd. A stream with its sender, its receiver and two data processes on two cores
 * stays below 1.8 threads a core; four busy loops a core more make it 4 to 6.
 * @module
 */
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';

/** How often to look, ms. */
const LOOK_MS = 500;
/** What one look counts for: half of the average is of the last 700 ms. */
const LOOK_SHARE = 0.4;
/** Threads for each core from which on it is crowded, and below which it may be over. */
const CROWDED_PER_CORE = 2.5;
const CALM_PER_CORE = 2;
/** How long it must have been calm until it counts as over, ms. */
const CALM_MS = 10_000;

/** Threads that run or wait for a core, the asking one left out; undefined where nobody tells. */
export function runnableThreads(): number | undefined {
  try {
    const [, running] = / (\d+)\/\d+ /.exec(readFileSync('/proc/loadavg', 'latin1')) ?? [];
    return running === undefined ? undefined : Math.max(0, Number(running) - 1);
  } catch {
    return undefined;
  }
}

/** Turns looks into a judgement that does not flutter. */
export class CrowdGauge {
  readonly #cores: number;
  #average: number | undefined;
  #calmSinceMs: number | undefined;
  #crowded = false;

  constructor(cores: number) {
    this.#cores = cores;
  }

  get isCrowded(): boolean {
    return this.#crowded;
  }

  /** Takes note of `threads` that run or wait at `nowMs`; returns whether the judgement changed. */
  note(threads: number, nowMs: number): boolean {
    const before = this.#average ?? threads;
    this.#average = before + (threads - before) * LOOK_SHARE;
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
  readonly #gauge = new CrowdGauge(availableParallelism());
  readonly #timer: NodeJS.Timeout;

  /** @param onChange called whenever the judgement changed */
  constructor(onChange: (crowded: boolean) => void) {
    const look = (): void => {
      const threads = runnableThreads();
      if (threads !== undefined && this.#gauge.note(threads, performance.now())) {
        onChange(this.#gauge.isCrowded);
      }
    };
    look();
    this.#timer = setInterval(look, LOOK_MS);
    this.#timer.unref();
  }

  get isCrowded(): boolean {
    return this.#gauge.isCrowded;
  }

  close(): void {
    clearInterval(this.#timer);
  }
}
