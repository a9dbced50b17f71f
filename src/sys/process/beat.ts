/**
 * Work that is done again and again, in step with all other such work of this process: a program that only looks
 * whether there is something to do wakes up once for all who look, and not once for each. What a look itself takes
 * is little beside a wake-up. So there is one timer, for whoever is next.
 * @module
 */

/** Timers count in whole milliseconds: whose beat is so near when one rings has it now, and at most so much of its interval. */
const EARLY_MS = 10;
const EARLY_SHARE = 1 / 8;

function earlyMs(intervalMs: number): number {
  return Math.min(EARLY_MS, intervalMs * EARLY_SHARE);
}

/** How long after `nowMs` the next beat of an interval is, ms; all intervals are counted from the same moment. */
export function untilBeat(nowMs: number, intervalMs: number): number {
  const leftMs = intervalMs - (nowMs % intervalMs);
  return leftMs < earlyMs(intervalMs) ? leftMs + intervalMs : leftMs;
}

const beats = new Set<Beat>();
let timer: NodeJS.Timeout | undefined;
/** When the timer rings; infinite without one. */
let ringsAtMs = Number.POSITIVE_INFINITY;

/** Has the timer ring for whoever is next, and keep the process while somebody wants that. */
function arm(): void {
  let [dueMs, isKeeping] = [Number.POSITIVE_INFINITY, false];
  for (const beat of beats) {
    dueMs = Math.min(dueMs, beat.dueMs);
    isKeeping ||= beat.isKeeping;
  }
  if (dueMs !== ringsAtMs) {
    clearTimeout(timer);
    ringsAtMs = dueMs;
    const waitMs = Math.max(0, dueMs - performance.now());
    timer = beats.size === 0 ? undefined : setTimeout(ring, waitMs);
  }
  if (isKeeping) timer?.ref();
  else timer?.unref();
}

function ring(): void {
  ringsAtMs = Number.POSITIVE_INFINITY;
  const nowMs = performance.now();
  try {
    for (const beat of [...beats]) beat.ring(nowMs);
  } finally {
    arm();
  }
}

export class Beat {
  readonly #intervalMs: number;
  readonly #work: () => void;
  /** When it is next, as performance.now() counts. */
  dueMs: number;
  isKeeping = true;

  /** @param work done at every beat of the interval until {@link close}; it never throws */
  constructor(intervalMs: number, work: () => void) {
    this.#intervalMs = intervalMs;
    this.#work = work;
    const nowMs = performance.now();
    this.dueMs = nowMs + untilBeat(nowMs, intervalMs);
    beats.add(this);
    arm();
  }

  /** Of the timer alone: does the work where its time has come, or nearly. */
  ring(nowMs: number): void {
    // One that has come before may have closed it.
    if (!beats.has(this) || this.dueMs - nowMs >= earlyMs(this.#intervalMs)) return;
    this.dueMs = nowMs + untilBeat(nowMs, this.#intervalMs);
    this.#work();
  }

  /** It does not keep the process. */
  unref(): this {
    this.isKeeping = false;
    arm();
    return this;
  }

  close(): void {
    if (beats.delete(this)) arm();
  }
}
