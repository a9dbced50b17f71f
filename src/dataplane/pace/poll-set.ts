/**
 * The descriptors that the loop waits for, and what each is for. They come and go while the loop
 * runs, but not while it goes through those that are ready.
 * @module
 */
import { POLLIN } from '../../sys/libc/constants.ts';
import type { Arena } from '../ground/arena.ts';
import type { Waiting } from '../ground/ports.ts';

export const POLLFD_BYTES = 8;
const REVENTS_OFFSET = 6;
/** A deleted device fails for ever, and poll never waits for it: ask it ten times a second. */
export const REST_MS = 100;

export class PollSet {
  readonly #view: DataView;
  readonly #waiting: Waiting;
  readonly #at: number;
  /** Arena offset of a `struct timespec`. */
  readonly #time: number;
  readonly #capacity: number;
  readonly #roles: number[] = [];
  readonly #owners: number[] = [];
  readonly #descriptors: number[] = [];
  /** Places that are left out for a while. */
  readonly #resting: number[] = [];
  #restingSinceMs = 0;

  /** @param capacity descriptors at most */
  constructor(arena: Arena, waiting: Waiting, capacity: number) {
    this.#view = arena.view;
    this.#waiting = waiting;
    this.#capacity = capacity;
    this.#at = arena.allocate(capacity * POLLFD_BYTES);
    this.#time = arena.allocate(16);
  }

  /** Descriptors in the set; their places are 0 to one less. */
  get size(): number {
    return this.#descriptors.length;
  }

  get isResting(): boolean {
    return this.#resting.length > 0;
  }

  /** Arena offset of the `struct pollfd` at a place. */
  offsetOf(place: number): number {
    return this.#at + place * POLLFD_BYTES;
  }

  roleOf(place: number): number {
    return this.#roles[place] as number;
  }

  ownerOf(place: number): number {
    return this.#owners[place] as number;
  }

  descriptorOf(place: number): number {
    return this.#descriptors[place] as number;
  }

  /** What the last wait found of a place. */
  reventsOf(place: number): number {
    return this.#view.getUint16(this.offsetOf(place) + REVENTS_OFFSET, true);
  }

  /** Whether a place is waited for at present. */
  isWatched(place: number): boolean {
    return this.#view.getInt32(this.offsetOf(place), true) >= 0;
  }

  /** What was ready has been served: nothing is until the next wait. */
  clear(): void {
    for (let place = 0; place < this.#descriptors.length; place++) {
      this.#view.setUint16(this.offsetOf(place) + REVENTS_OFFSET, 0, true);
    }
  }

  /** Adds a descriptor at the end; `owner` is a number that means something to whoever added it. */
  add(role: number, owner: number, descriptor: number): void {
    const place = this.#descriptors.length;
    if (place === this.#capacity) throw new RangeError(`over ${this.#capacity} descriptors`);
    this.#roles.push(role);
    this.#owners.push(owner);
    this.#descriptors.push(descriptor);
    this.#arm(place);
  }

  #arm(place: number): void {
    const at = this.offsetOf(place);
    this.#view.setInt32(at, this.#descriptors[place] as number, true);
    this.#view.setUint16(at + 4, POLLIN, true);
    this.#view.setUint16(at + REVENTS_OFFSET, 0, true);
  }

  /** Takes a descriptor out for good; the places behind it move up, and nobody rests any more. */
  remove(descriptor: number): void {
    const place = this.#descriptors.indexOf(descriptor);
    if (place < 0) return;
    for (const list of [this.#roles, this.#owners, this.#descriptors]) list.splice(place, 1);
    this.#resting.length = 0;
    // Those that were ignored for good are asked once more, and say so again.
    for (let i = 0; i < this.#descriptors.length; i++) this.#arm(i);
  }

  /** Waits until something is ready; how many are. */
  wait(timeoutMs: number): number {
    return this.#waiting.poll(this.#at, this.#descriptors.length, timeoutMs);
  }

  /**
   * Lets others have the core first, if any want it, and tells what is ready then. Who is behind does not
   * sleep, and would run on to the end of its slice, some 4 ms, while what it has sent waits for the next on
   * its way.
   * @param isUrgent who is real-time gives way by its rests, and not by this: it would be to others of that kind only,
   *   for a slice of 100 ms each time
   */
  giveWay(isUrgent: boolean): number {
    if (!isUrgent) this.#waiting.giveWay();
    return this.wait(0);
  }

  /** Sleeps for so long, told in µs, whatever is ready. */
  nap(us: number): void {
    this.#view.setUint32(this.#time + 8, us * 1000, true);
    this.#waiting.nap(this.#time);
  }

  /** As {@link wait}, for less than a second, told in µs. */
  waitUs(us: number): number {
    this.#view.setUint32(this.#time + 8, us * 1000, true);
    return this.#waiting.pollUntil(this.#at, this.#descriptors.length, this.#time);
  }

  /** Asks again and again for so long, and does not sleep. */
  waitAwake(us: number): number {
    const untilMs = performance.now() + us / 1000;
    let ready: number;
    do ready = this.wait(0);
    while (ready === 0 && performance.now() < untilMs);
    return ready;
  }

  /** Takes a descriptor out of the set (a negative one is skipped by poll). */
  ignore(place: number): void {
    this.#view.setInt32(this.offsetOf(place), -1, true);
  }

  /** Leaves a descriptor that only fails out of the set until {@link resume}. */
  rest(place: number, nowMs: number): void {
    this.ignore(place);
    if (this.#resting.push(place) === 1) this.#restingSinceMs = nowMs;
  }

  /** Puts the resting ones back once their time is over, also when the clock was set back. */
  resume(nowMs: number): void {
    const restedMs = nowMs - this.#restingSinceMs;
    if (restedMs >= 0 && restedMs < REST_MS) return;
    for (const place of this.#resting.splice(0)) this.#arm(place);
  }
}
