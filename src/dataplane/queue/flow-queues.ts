/**
 * The queues of one shaper: a thousand for flows in each of three classes, served by deficit round robin
 * (RFC 8290 §4), each with CoDel. A flow that has nothing waiting when its packet comes is new, and goes
 * before those that always have: that is what keeps a call or a name server's answer short.
 *
 * The class is that of the DSCP inside. EF and its like go first as long as they take no more than a
 * quarter; CS1 and LE get what the others leave, a sixteenth at least. Packets of one flow and one class
 * never overtake each other.
 * @module
 */
import { type Cells, NONE } from './cells.ts';
import { Codel } from './codel.ts';

/** Queues of a class; flows that share one share its turn, too (RFC 8290 §4.1.1 has as many). */
export const FLOWS = 1024;
/** A flow takes any free one of so many: two of a hundred flows seldom meet then. */
const WAYS = 8;
export const Class = { First: 0, Usual: 1, Least: 2 } as const;
const CLASSES = 3;
/** What the first class may take before all others, and what is kept for the last one. */
const FIRST_SHARE = 4;
const LEAST_SHARE = 16;
/** How much of its share a class may save up, bytes: a burst of so much goes at once. */
const SAVED_BYTES = 16 * 1514;
/** What a flow may send in one turn (RFC 8290 §5.2.1), bytes; a longer packet takes several. */
const QUANTUM_BYTES = 1514;

const List = { None: 0, New: 1, Old: 2 } as const;

/** Class of a packet by its DSCP (RFC 4594; RFC 8622 of LE). */
export function classOf(tos: number): number {
  switch (tos >>> 2) {
    case 46: // EF
    case 44: // VOICE-ADMIT
    case 48: // CS6
    case 56: // CS7
      return Class.First;
    case 8: // CS1
    case 1: // LE
      return Class.Least;
    default:
      return Class.Usual;
  }
}

/** How the sender of a packet is told that it is too fast. */
export type Signals = {
  /** It wants to hear of a short wait already (RFC 9331). */
  isShallow(cell: number): boolean;
  /** Tells it by a mark; false where only losing the packet would, which is then given up. */
  mark(cell: number): boolean;
  /** The packet is given up: nobody has the cell any more. */
  giveUp(cell: number): void;
};

/** Wait from which on a packet is marked whose sender wants to hear of a short one (RFC 9332 §2.4), µs. */
const SHALLOW_US = 1000;

/** A linked list of queues for each class: where it begins and ends. */
class Ring {
  readonly head = new Int32Array(CLASSES).fill(NONE);
  readonly tail = new Int32Array(CLASSES).fill(NONE);
}

export class FlowQueues {
  /** Packets and bytes that wait. */
  packets = 0;
  bytes = 0;
  /** Flows that ever had something waiting, and those of them that have nothing more. */
  flowsBegan = 0;
  flowsEnded = 0;
  readonly codel = new Codel(CLASSES * FLOWS);
  /** Longer than {@link SHALLOW_US} where two packets take that long, µs. */
  shallowUs = SHALLOW_US;
  readonly #cells: Cells;
  readonly #signals: Signals;
  readonly #head = new Int32Array(CLASSES * FLOWS).fill(NONE);
  readonly #tail = new Int32Array(CLASSES * FLOWS).fill(NONE);
  readonly #backlog = new Int32Array(CLASSES * FLOWS);
  readonly #deficit = new Int32Array(CLASSES * FLOWS);
  /** Hash of the flow that has a queue, or had it last. */
  readonly #flow = new Int32Array(CLASSES * FLOWS);
  readonly #list = new Uint8Array(CLASSES * FLOWS);
  readonly #nextQueue = new Int32Array(CLASSES * FLOWS).fill(NONE);
  readonly #new = new Ring();
  readonly #old = new Ring();
  readonly #waiting = new Int32Array(CLASSES);
  /** Bytes that the first and the last class have earned and not used. */
  readonly #earned = Int32Array.of(SAVED_BYTES, 0, 0);
  #firstsTurn = false;

  constructor(cells: Cells, signals: Signals) {
    this.#cells = cells;
    this.#signals = signals;
  }

  /** Puts a packet behind the others of its flow. @param hash of the flow, u32 */
  push(cell: number, hash: number, class_: number): void {
    const cells = this.#cells;
    const queue = this.#queueOf(hash | 0, class_);
    const tail = this.#tail[queue] as number;
    if (tail === NONE) {
      this.#head[queue] = cell;
      this.flowsBegan++;
    } else cells.next[tail] = cell;
    this.#tail[queue] = cell;
    cells.next[cell] = NONE;
    const bytes = cells.length[cell] as number;
    this.#backlog[queue] = (this.#backlog[queue] as number) + bytes;
    this.#waiting[class_] = (this.#waiting[class_] as number) + 1;
    this.packets++;
    this.bytes += bytes;
    if (this.#list[queue] !== List.None) return;
    this.#deficit[queue] = QUANTUM_BYTES;
    this.#append(this.#new, List.New, class_, queue);
  }

  /** The queue of a flow: the one that it has, else a free one, else one that it shares. */
  #queueOf(flow: number, class_: number): number {
    const first = class_ * FLOWS + (flow & (FLOWS - WAYS));
    const home = first + ((flow >>> 16) & (WAYS - 1));
    if (this.#flow[home] === flow && this.#list[home] !== List.None) return home;
    let free = NONE;
    for (let queue = first; queue < first + WAYS; queue++) {
      if (this.#list[queue] === List.None) free = queue;
      else if (this.#flow[queue] === flow) return queue;
    }
    if (free === NONE) return home;
    this.#flow[free] = flow;
    return free;
  }

  #append(ring: Ring, list: number, class_: number, queue: number): void {
    const tail = ring.tail[class_] as number;
    if (tail === NONE) ring.head[class_] = queue;
    else this.#nextQueue[tail] = queue;
    ring.tail[class_] = queue;
    this.#nextQueue[queue] = NONE;
    this.#list[queue] = list;
  }

  #removeFirst(ring: Ring, class_: number): void {
    const queue = ring.head[class_] as number;
    const next = this.#nextQueue[queue] as number;
    ring.head[class_] = next;
    if (next === NONE) ring.tail[class_] = NONE;
    this.#list[queue] = List.None;
  }

  /** Takes the head of a queue that is not empty. */
  #pop(queue: number): number {
    const cells = this.#cells;
    const cell = this.#head[queue] as number;
    const next = cells.next[cell] as number;
    this.#head[queue] = next;
    if (next === NONE) {
      this.#tail[queue] = NONE;
      this.flowsEnded++;
    }
    const bytes = cells.length[cell] as number;
    this.#backlog[queue] = (this.#backlog[queue] as number) - bytes;
    const class_ = Math.trunc(queue / FLOWS);
    this.#waiting[class_] = (this.#waiting[class_] as number) - 1;
    this.packets--;
    this.bytes -= bytes;
    return cell;
  }

  /** The class whose turn it is; one that has something. */
  #chooseClass(): number {
    const first = (this.#waiting[Class.First] as number) > 0;
    const usual = (this.#waiting[Class.Usual] as number) > 0;
    if (first && (this.#earned[Class.First] as number) > 0) return Class.First;
    const least = (this.#waiting[Class.Least] as number) > 0;
    const isKept = (this.#earned[Class.Least] as number) >= QUANTUM_BYTES;
    if (least && (isKept || (!first && !usual))) return Class.Least;
    if (!usual) return Class.First;
    if (!first) return Class.Usual;
    // Beyond its share the first class is like any other.
    this.#firstsTurn = !this.#firstsTurn;
    return this.#firstsTurn ? Class.First : Class.Usual;
  }

  /** A packet of `bytes` of a class goes out: all earn their share of it, and its own pays. */
  #settle(class_: number, bytes: number): void {
    this.#earn(Class.First, Math.trunc(bytes / FIRST_SHARE) - (class_ === Class.First ? bytes : 0));
    const alone =
      (this.#waiting[Class.First] as number) + (this.#waiting[Class.Usual] as number) === 0;
    if (class_ === Class.Least && alone) return;
    this.#earn(Class.Least, Math.trunc(bytes / LEAST_SHARE) - (class_ === Class.Least ? bytes : 0));
    // It saves up what it is kept from while it has something: no burst of it is ever before the others.
    const earned = this.#earned[Class.Least] as number;
    if (this.#waiting[Class.Least] === 0) this.#earned[Class.Least] = Math.min(0, earned);
  }

  #earn(class_: number, bytes: number): void {
    const earned = (this.#earned[class_] as number) + bytes;
    this.#earned[class_] = Math.max(-SAVED_BYTES, Math.min(SAVED_BYTES, earned));
  }

  /** The next packet to send, out of its queue; {@link NONE} where nothing waits. */
  pull(nowUs: number): number {
    while (this.packets > 0) {
      const class_ = this.#chooseClass();
      const isNew = this.#new.head[class_] !== NONE;
      const ring = isNew ? this.#new : this.#old;
      const queue = ring.head[class_] as number;
      if ((this.#deficit[queue] as number) <= 0) {
        this.#deficit[queue] = (this.#deficit[queue] as number) + QUANTUM_BYTES;
        this.#removeFirst(ring, class_);
        this.#append(this.#old, List.Old, class_, queue);
        continue;
      }
      const cell = this.#take(queue, nowUs);
      if (cell === NONE) {
        this.codel.emptied(queue);
        this.#removeFirst(ring, class_);
        // A flow that was new waits for its turn among the others, or it could be new again and again.
        if (isNew) this.#append(this.#old, List.Old, class_, queue);
        continue;
      }
      const bytes = this.#cells.length[cell] as number;
      this.#deficit[queue] = (this.#deficit[queue] as number) - bytes;
      this.#settle(class_, bytes);
      return cell;
    }
    return NONE;
  }

  /** The head of a queue, after CoDel has had its say about it; NONE where nothing is left. */
  #take(queue: number, nowUs: number): number {
    while (this.#head[queue] !== NONE) {
      const cell = this.#pop(queue);
      const waitedUs = (nowUs - (this.#cells.enteredUs[cell] as number)) | 0;
      const isShort = (this.#backlog[queue] as number) < QUANTUM_BYTES;
      const isTooLong = this.codel.judge(queue, waitedUs, isShort, nowUs);
      const isShallow = waitedUs > this.shallowUs && this.#signals.isShallow(cell);
      if ((!isTooLong && !isShallow) || this.#signals.mark(cell)) return cell;
      this.#signals.giveUp(cell);
    }
    return NONE;
  }

  /**
   * Takes a packet from the head of the queue that has most bytes waiting, wherever room is needed;
   * NONE where nothing waits. The head, because its sender hears of it soonest.
   */
  pullFattest(): number {
    let fattest = NONE;
    for (let class_ = 0; class_ < CLASSES; class_++) {
      if (this.#waiting[class_] === 0) continue;
      fattest = this.#fatter(this.#new.head[class_] as number, fattest);
      fattest = this.#fatter(this.#old.head[class_] as number, fattest);
    }
    return fattest === NONE ? NONE : this.#pop(fattest);
  }

  /** The fattest of the queues from `first` on, and of the one that was found before. */
  #fatter(first: number, found: number): number {
    let fattest = found;
    let most = found === NONE ? 0 : (this.#backlog[found] as number);
    for (let queue = first; queue !== NONE; queue = this.#nextQueue[queue] as number) {
      const backlog = this.#backlog[queue] as number;
      if (backlog <= most) continue;
      most = backlog;
      fattest = queue;
    }
    return fattest;
  }
}
