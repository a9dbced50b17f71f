/**
 * Frames of a stream: a length of 32 bits, big-endian, 1 to {@link FRAME_BYTES_MAX}, and as many
 * bytes.
 * @module
 */
import { FRAME_BYTES_MAX } from './bounds.ts';

export const FRAME_LENGTH_BYTES = 4;
/** Room that a reader begins with: whoever promises a long frame must also send it. */
const FIRST_CAPACITY_BYTES = 1024;

/** A length that no frame has. The stream cannot be read on. */
export class FrameError extends Error {
  readonly code: 'empty' | 'too-long';

  constructor(code: FrameError['code'], message: string) {
    super(message);
    this.name = 'FrameError';
    this.code = code;
  }
}

function checkLength(sizeBytes: number): number {
  if (sizeBytes === 0) throw new FrameError('empty', 'an empty frame');
  if (sizeBytes > FRAME_BYTES_MAX) {
    throw new FrameError('too-long', `a frame of ${sizeBytes} bytes`);
  }
  return sizeBytes;
}

/** Throws {@link FrameError} for a count of bytes that no frame has. */
export function encodeFrame(bytes: Uint8Array): Uint8Array {
  checkLength(bytes.length);
  const frame = new Uint8Array(FRAME_LENGTH_BYTES + bytes.length);
  new DataView(frame.buffer).setUint32(0, bytes.length);
  frame.set(bytes, FRAME_LENGTH_BYTES);
  return frame;
}

/**
 * Cuts a stream into frames. Holds at most one unfinished frame, in a buffer that grows with what
 * has come, not with what was promised.
 */
export class FrameReader {
  #buffer = new Uint8Array(FIRST_CAPACITY_BYTES);
  #used = 0;

  /** Bytes of an unfinished frame, its length included. A stream that ends has 0 if it is whole. */
  get pendingBytes(): number {
    return this.#used;
  }

  /**
   * The frames that `chunk` completes, without their lengths, each with memory of its own. Throws
   * {@link FrameError}; then the reader is of no more use.
   */
  push(chunk: Uint8Array): Uint8Array[] {
    const frames: Uint8Array[] = [];
    let at = 0;
    while (at < chunk.length) {
      const wanted = this.#wantedBytes();
      const taken = Math.min(wanted - this.#used, chunk.length - at);
      this.#append(chunk.subarray(at, at + taken));
      at += taken;
      if (this.#used > FRAME_LENGTH_BYTES && this.#used === this.#wantedBytes()) {
        frames.push(this.#buffer.slice(FRAME_LENGTH_BYTES, this.#used));
        this.#used = 0;
      }
    }
    // A wrong length is found without waiting for the first byte behind it.
    this.#wantedBytes();
    return frames;
  }

  /** Bytes up to the end of the frame, or of its length while that is not here. */
  #wantedBytes(): number {
    if (this.#used < FRAME_LENGTH_BYTES) return FRAME_LENGTH_BYTES;
    return FRAME_LENGTH_BYTES + checkLength(new DataView(this.#buffer.buffer).getUint32(0));
  }

  #append(bytes: Uint8Array): void {
    const needed = this.#used + bytes.length;
    if (needed > this.#buffer.length) {
      const most = FRAME_LENGTH_BYTES + FRAME_BYTES_MAX;
      const grown = new Uint8Array(Math.min(most, Math.max(needed, 2 * this.#buffer.length)));
      grown.set(this.#buffer.subarray(0, this.#used));
      this.#buffer = grown;
    }
    this.#buffer.set(bytes, this.#used);
    this.#used = needed;
  }
}
