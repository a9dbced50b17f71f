/**
 * What the loop has read and could not move yet, each way (queue/backlog.ts, queue/device-backlog.ts), and whether
 * that lasts. Then control gives the process more of the processor (sys/process/priority.ts): where too much is
 * sent, packets should be lost at the sender's device, before work was spent on them, and not between two data
 * processes that the sender keeps from running. Traffic in few large packets never comes to that.
 * @module
 */
import { BACKLOG_BYTES } from '../queue/backlog.ts';
import { DEVICE_BACKLOG_BYTES } from '../queue/device-backlog.ts';
import { Way } from './linger.ts';

/** What both take of the arena. */
export const BACKLOGS_BYTES = BACKLOG_BYTES + DEVICE_BACKLOG_BYTES;

/** How long it has to last, ms: not a single late wake-up. */
const LASTS_MS = 5;
/**
 * How long after the last time it is over, ms: a flood has pauses. No longer: raised on a machine that has room, a
 * process only keeps those waiting that it woke, and a `ping -f` takes twice its time.
 */
const CALM_MS = 250;

/** One direction: what waits of it, and a round's worth of that moved; returns how many packets. */
type Held = { readonly backlog: number; release(nowMs: number): number };

/** Who hears of it. */
type Heard = {
  /** It has lasted, or is over. */
  lasts(isBehind: boolean): void;
  moved(packets: number, way: number): void;
};

export class CatchUp {
  readonly #egress: Held;
  readonly #ingress: Held;
  readonly #heard: Heard;
  /** Since when there is something without a pause, −1 = there is nothing; and when it had lasted, last. */
  #sinceMs = -1;
  #lastMs = Number.NEGATIVE_INFINITY;
  #lasts = false;

  constructor(egress: Held, ingress: Held, heard: Heard) {
    this.#egress = egress;
    this.#ingress = ingress;
    this.#heard = heard;
  }

  get isBehind(): boolean {
    return this.#egress.backlog > 0 || this.#ingress.backlog > 0;
  }

  /** How long the loop may sleep, of `ms`: that it is over is to be told in time. */
  sleepMs(ms: number): number {
    return this.#lasts ? Math.min(ms, CALM_MS) : ms;
  }

  /** Moves a round's worth each way. */
  release(nowMs: number): void {
    if (this.#egress.backlog > 0) this.#heard.moved(this.#egress.release(nowMs), Way.Out);
    if (this.#ingress.backlog > 0) this.#heard.moved(this.#ingress.release(nowMs), Way.In);
  }

  /** A round is over. */
  note(nowMs: number): void {
    if (!this.isBehind) this.#sinceMs = -1;
    else if (this.#sinceMs < 0) this.#sinceMs = nowMs;
    else if (nowMs - this.#sinceMs >= LASTS_MS) this.#lastMs = nowMs;
    const lasts = nowMs - this.#lastMs < CALM_MS;
    if (lasts === this.#lasts) return;
    this.#lasts = lasts;
    this.#heard.lasts(lasts);
  }

  /** Somebody else goes on from here: moves all there is. */
  finish(): void {
    while (this.isBehind) this.release(performance.now());
  }
}
