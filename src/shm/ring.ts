/**
 * Fixed records of 32 bytes from a data process to control, in a ring that never waits: one writes, one
 * reads, and where the reader is too slow the newest is lost and counted.
 *
 * ```
 * 0   head       records ever written: the data process's word
 * 4   tail       records ever read: control's
 * 8   lost       records that found no room: the data process's
 * 12  asleep     1 = control waits to be woken: it sets, the data process clears
 * 64  records    4096 × 32 bytes
 * ```
 *
 * Both counts wrap at 2³²; the ring is full when they are a ring apart. A successor goes on where its
 * predecessor stopped, since nothing but this memory knows where that is.
 * @module
 */

/** Records that wait at most, a power of two. */
export const RING_RECORDS = 4096;
export const RECORD_BYTES = 32;
const RECORDS_OFFSET = 64;
/** Size of a ring, bytes. */
export const RING_BYTES = RECORDS_OFFSET + RING_RECORDS * RECORD_BYTES;

const HEAD = 0;
const TAIL = 1;
const LOST = 2;
const ASLEEP = 3;

class RingSide {
  /** All of the ring; records are read and written here. */
  readonly view: DataView;
  protected readonly words: Int32Array;

  /** @param offset of the ring in `buffer`, a multiple of 4 */
  constructor(buffer: ArrayBufferLike, offset: number) {
    this.view = new DataView(buffer, offset, RING_BYTES);
    this.words = new Int32Array(buffer, offset, RECORDS_OFFSET / 4);
  }

  /** Where in {@link view} the record with this count lies. */
  protected placeOf(count: number): number {
    return RECORDS_OFFSET + (count & (RING_RECORDS - 1)) * RECORD_BYTES;
  }

  /** Records that were ever lost; wraps after 2³². */
  get lost(): number {
    return Atomics.load(this.words, LOST) >>> 0;
  }
}

/** The data process's side. */
export class RingWriter extends RingSide {
  /** Where in {@link view} the next record may be written, −1 when there is no room: it is lost then. */
  reserve(): number {
    const head = this.words[HEAD] as number;
    if (((head - Atomics.load(this.words, TAIL)) | 0) < RING_RECORDS) return this.placeOf(head);
    Atomics.add(this.words, LOST, 1);
    return -1;
  }

  /** The record that was reserved is whole. */
  commit(): void {
    // Stored last: whoever sees the count sees the record too.
    Atomics.store(this.words, HEAD, ((this.words[HEAD] as number) + 1) | 0);
  }

  /** Whether control wants to be woken; true once for each time that it asked. */
  takeAsleep(): boolean {
    return this.words[ASLEEP] !== 0 && Atomics.exchange(this.words, ASLEEP, 0) !== 0;
  }
}

/** Control's side. */
export class RingReader extends RingSide {
  /** Where in {@link view} the oldest record lies that was not read yet, −1 when there is none. */
  peek(): number {
    const tail = this.words[TAIL] as number;
    return Atomics.load(this.words, HEAD) === tail ? -1 : this.placeOf(tail);
  }

  /** The record that {@link peek} showed has been read: its place is free. */
  release(): void {
    Atomics.store(this.words, TAIL, ((this.words[TAIL] as number) + 1) | 0);
  }

  /** Asks to be woken for the next record. False when one is there already: then look first. */
  sleep(): boolean {
    Atomics.store(this.words, ASLEEP, 1);
    return this.peek() < 0;
  }
}
