/**
 * Reading and writing big-endian fields one after the other. A reader never leaves its window: what
 * is not there is {@link Malformed}.
 * @module
 */
import { Malformed } from './faults.ts';

/** Two to the 32nd: what a 48-bit number's upper half counts. */
const U32 = 0x1_0000_0000;

/** A window of bytes and a place in it. `borrowed:` nothing is copied but by {@link take}. */
export class ByteReader {
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  /** Next byte to read, from the start of `bytes`. */
  offset: number;
  readonly end: number;

  /** `view` is that of all of `bytes`, where somebody has one. */
  constructor(
    bytes: Uint8Array,
    offset = 0,
    end = bytes.length,
    view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length),
  ) {
    this.bytes = bytes;
    this.#view = view;
    this.offset = offset;
    this.end = end;
  }

  /** Bytes that are left. */
  get left(): number {
    return this.end - this.offset;
  }

  #advance(count: number): number {
    const at = this.offset;
    if (at + count > this.end) throw new Malformed(`${count} bytes wanted, ${this.left} are left`);
    this.offset = at + count;
    return at;
  }

  u8(): number {
    return this.#view.getUint8(this.#advance(1));
  }
  u16(): number {
    return this.#view.getUint16(this.#advance(2));
  }
  u24(): number {
    const at = this.#advance(3);
    return this.#view.getUint16(at) * 256 + this.#view.getUint8(at + 2);
  }
  u32(): number {
    return this.#view.getUint32(this.#advance(4));
  }
  u48(): number {
    const at = this.#advance(6);
    return this.#view.getUint16(at) * U32 + this.#view.getUint32(at + 2);
  }

  /** A copy of the next `count` bytes. */
  take(count: number): Uint8Array {
    const at = this.#advance(count);
    return this.bytes.slice(at, at + count);
  }

  /** A reader of the next `count` bytes; this one goes on behind them. */
  sub(count: number): ByteReader {
    const at = this.#advance(count);
    return this.window(at, at + count);
  }

  /** A reader of what lies from `offset` up to `end`, which the caller knows to be there. */
  window(offset: number, end: number): ByteReader {
    return new ByteReader(this.bytes, offset, end, this.#view);
  }

  /** Steps over the next `count` bytes; true when all of them are 0. */
  skipZeros(count: number): boolean {
    const at = this.#advance(count);
    for (let index = at; index < at + count; index++) {
      if (this.bytes[index] !== 0) return false;
    }
    return true;
  }

  /** A copy of all that is left. */
  rest(): Uint8Array {
    return this.take(this.left);
  }
}

/** Largest message that any capability allows, RFC 8654. */
const WRITER_BYTES_MAX = 65_536;

/** Bytes that grow as they are written. Writing too much is a mistake of ours and throws. */
export class Writer {
  #bytes = new Uint8Array(256);
  #view = new DataView(this.#bytes.buffer);
  length = 0;

  /** Makes room first: growing replaces view and buffer, so nothing may be read from them before. */
  #advance(count: number): number {
    const at = this.length;
    const needed = at + count;
    if (needed > WRITER_BYTES_MAX) throw new RangeError(`a message of more than ${needed} bytes`);
    if (needed > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
      grown.set(this.#bytes.subarray(0, at));
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    this.length = needed;
    return at;
  }

  u8(value: number): this {
    const at = this.#advance(1);
    this.#view.setUint8(at, value);
    return this;
  }
  u16(value: number): this {
    const at = this.#advance(2);
    this.#view.setUint16(at, value);
    return this;
  }
  u24(value: number): this {
    const at = this.#advance(3);
    this.#view.setUint16(at, value >>> 8);
    this.#view.setUint8(at + 2, value & 255);
    return this;
  }
  u32(value: number): this {
    const at = this.#advance(4);
    this.#view.setUint32(at, value);
    return this;
  }
  u48(value: number): this {
    const at = this.#advance(6);
    this.#view.setUint16(at, Math.floor(value / U32));
    this.#view.setUint32(at + 2, value % U32);
    return this;
  }
  bytes(value: Uint8Array): this {
    const at = this.#advance(value.length);
    this.#bytes.set(value, at);
    return this;
  }

  /** Writes `body` behind a length of 8 or 16 bits that counts its bytes. */
  counted(bits: 8 | 16, body: (writer: this) => void): this {
    const at = this.#advance(bits / 8);
    const start = this.length;
    body(this);
    const length = this.length - start;
    if (length >= 2 ** bits)
      throw new RangeError(`${length} bytes do not fit a ${bits}-bit length`);
    if (bits === 8) this.#view.setUint8(at, length);
    else this.#view.setUint16(at, length);
    return this;
  }

  /** Overwrites two bytes that were written before. */
  patchU16(at: number, value: number): void {
    this.#view.setUint16(at, value);
  }

  /** Forgets all behind `length`, so that the next bytes take its place. */
  truncate(length: number): void {
    this.length = length;
  }

  /** A copy of what was written. */
  finish(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.length);
  }
}
