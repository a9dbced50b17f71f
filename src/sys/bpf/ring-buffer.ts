/**
 * A ring buffer of the kernel's, read as it lies in memory (Documentation/bpf/ringbuf.rst): programs write
 * records, one process reads them, and what nobody reads stays for the next.
 *
 * ```
 * page 0        where the reader is, u64: ours to write
 * page 1        where the writers are, u64
 * page 2 …      records, each behind a header of 8 bytes: length u32 with two flags, place u32
 * ```
 *
 * The data is mapped twice in a row, so that no record is torn at the end.
 * @module
 */
import { MAP_SHARED, PROT_READ, PROT_READ_WRITE } from '../libc/constants.ts';
import { check, libc, viewMemory } from '../libc/libc.ts';

const HEADER_BYTES = 8;
/** The record is being written. */
const BUSY = 1 << 31;
/** Its writer gave it up. */
const DISCARDED = 1 << 30;
const LENGTH_MASK = DISCARDED - 1;
const PAGES_BEFORE_DATA = 1;

export class RingBuffer {
  readonly #pageBytes = libc.getpagesize();
  readonly #dataBytes: number;
  readonly #mask: bigint;
  /** Where the two mappings are; 0 = none. */
  #readerAt = 0;
  #writerAt = 0;
  readonly #reader: BigUint64Array;
  readonly #writer: BigUint64Array;
  readonly #headers: Int32Array;
  readonly #data: DataView;

  /**
   * Maps the ring behind a descriptor of a map, which stays its owner's.
   * @param dataBytes how many entries the map has
   * @throws SystemError
   */
  constructor(fd: number, dataBytes: number) {
    const page = this.#pageBytes;
    this.#dataBytes = dataBytes;
    this.#mask = BigInt(dataBytes - 1);
    const map = (bytes: number, protection: number, offset: number): number =>
      check('mmap', libc.mmap(0, bytes, protection, MAP_SHARED, fd, offset));
    this.#readerAt = map(page, PROT_READ_WRITE, 0);
    try {
      this.#writerAt = map(this.#writerBytes, PROT_READ, page);
    } catch (error) {
      libc.munmap(this.#readerAt, page);
      throw error;
    }
    const written = viewMemory(this.#writerAt, this.#writerBytes);
    this.#reader = new BigUint64Array(viewMemory(this.#readerAt, page), 0, 1);
    this.#writer = new BigUint64Array(written, 0, 1);
    this.#headers = new Int32Array(written, page);
    this.#data = new DataView(written, page);
  }

  get #writerBytes(): number {
    return PAGES_BEFORE_DATA * this.#pageBytes + 2 * this.#dataBytes;
  }

  /**
   * Takes up to `max` records of at least `bytes` bytes, the oldest first; shorter ones are nobody's.
   * @param read is given where one lies
   */
  take<T>(max: number, bytes: number, read: (view: DataView, at: number) => T): T[] {
    const taken: T[] = [];
    // Closed: the memory is not ours any more.
    if (this.#writerAt === 0) return taken;
    let at = Atomics.load(this.#reader, 0);
    // The writers move on before a record is whole; its header says when it is.
    while (taken.length < max && at < Atomics.load(this.#writer, 0)) {
      const place = Number(at & this.#mask);
      const header = Atomics.load(this.#headers, place / 4);
      if ((header & BUSY) !== 0) break;
      const length = header & LENGTH_MASK;
      if ((header & DISCARDED) === 0 && length >= bytes) {
        taken.push(read(this.#data, place + HEADER_BYTES));
      }
      at += BigInt((length + HEADER_BYTES + 7) & ~7);
      Atomics.store(this.#reader, 0, at);
    }
    return taken;
  }

  /** Idempotent. */
  close(): void {
    if (this.#writerAt === 0) return;
    libc.munmap(this.#writerAt, this.#writerBytes);
    libc.munmap(this.#readerAt, this.#pageBytes);
    this.#writerAt = 0;
  }
}
