/**
 * What the loop has read and could not move yet, each way (queue/backlog.ts, queue/device-backlog.ts), and whether
 * that lasts. Then control gives the process more of the processor (sys/process/priority.ts): where too much is
 * sent, packets should be lost at the sender's device, before work was spent on them, and not between two data
 * processes that the sender keeps from running. And what flows that send much have sent is held for a moment, since a
 * process that is woken for each packet sends short trains and joins nothing. Traffic in few large packets never comes
 * to that.
 * @module
 */
import { BACKLOG_BYTES } from '../queue/backlog.ts';
import { DEVICE_BACKLOG_BYTES } from '../queue/device-backlog.ts';
import { CALM_MS, Lasting } from './lasting.ts';
import { Way } from './linger.ts';

/** What both take of the arena. */
export const BACKLOGS_BYTES = BACKLOG_BYTES + DEVICE_BACKLOG_BYTES;

/** A wait that is shorter than this costs more than it gives, µs. */
const HELD_US_MIN = 50;

/** What waits; where much comes, what is not urgent is held for a moment, to be moved together. */
type Held = {
  readonly isEmpty: boolean;
  gathers: boolean;
  /** Whether some wait that are to be moved now. */
  isDue(nowMs: number): boolean;
  /** How long those that wait may go on, ms. */
  dueMs(nowMs: number): number;
};

/** One direction. */
type Direction = {
  readonly held: Held;
  /** Moves a round's worth of that; returns how many packets. */
  release(nowMs: number): number;
  /** Small packets that have come since it was asked last. */
  takeSmall(): number;
};

/** Who hears of it. */
type Heard = {
  /** It has lasted, or is over. */
  lasts(isBehind: boolean): void;
  moved(packets: number, way: number): void;
};

export class CatchUp {
  readonly #egress: Direction;
  readonly #ingress: Direction;
  readonly #heard: Heard;
  readonly #out = new Lasting();
  readonly #in = new Lasting();
  #isOutDue = false;
  #isInDue = false;
  #lasts = false;

  constructor(egress: Direction, ingress: Direction, heard: Heard) {
    this.#egress = egress;
    this.#ingress = ingress;
    this.#heard = heard;
  }

  /** Whether something waited to be moved when it was looked at last. */
  get isBehind(): boolean {
    return this.#isOutDue || this.#isInDue;
  }

  /** Looks at what waits; whether we are behind. */
  look(nowMs: number): boolean {
    this.#isOutDue = this.#egress.held.isDue(nowMs);
    this.#isInDue = this.#ingress.held.isDue(nowMs);
    return this.isBehind;
  }

  /** How long until what is held is to be moved, µs; 0 = nothing is. */
  heldUs(): number {
    const [egress, ingress] = [this.#egress.held, this.#ingress.held];
    const holdsOut = !egress.isEmpty;
    if (!holdsOut && ingress.isEmpty) return 0;
    const nowMs = performance.now();
    let ms = holdsOut ? egress.dueMs(nowMs) : ingress.dueMs(nowMs);
    if (holdsOut && !ingress.isEmpty) ms = Math.min(ms, ingress.dueMs(nowMs));
    return Math.max(HELD_US_MIN, Math.round(ms * 1000));
  }

  /** How long the loop may sleep, of `ms`: that it is over is to be told in time. */
  sleepMs(ms: number): number {
    return this.#lasts ? Math.min(ms, CALM_MS) : ms;
  }

  /** Moves a round's worth each way. */
  release(nowMs: number): void {
    if (this.#isOutDue) this.#heard.moved(this.#egress.release(nowMs), Way.Out);
    if (this.#isInDue) this.#heard.moved(this.#ingress.release(nowMs), Way.In);
    this.look(nowMs);
  }

  /** A round is over. */
  note(nowMs: number): void {
    const [egress, ingress] = [this.#egress, this.#ingress];
    egress.held.gathers = this.#out.note(nowMs, this.#isOutDue, egress.takeSmall());
    ingress.held.gathers = this.#in.note(nowMs, this.#isInDue, ingress.takeSmall());
    const lasts = egress.held.gathers || ingress.held.gathers;
    if (lasts === this.#lasts) return;
    this.#lasts = lasts;
    this.#heard.lasts(lasts);
  }

  /** Somebody else goes on from here: moves all there is. */
  finish(): void {
    this.#egress.held.gathers = false;
    this.#ingress.held.gathers = false;
    while (this.look(performance.now())) this.release(performance.now());
  }
}
