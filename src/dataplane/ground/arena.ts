/**
 * The packet arena: one fixed block of memory that holds every packet, header and argument
 * structure of the data process. It is the WebAssembly packet kernel's memory, it is what the
 * kernel's iovecs point into, and it never moves, so addresses are `base + offset`.
 * @module
 */
import { builtFile } from '../../sys/host/paths.ts';
import { addressOf } from '../../sys/libc/libc.ts';
import { discard } from '../../sys/libc/memory.ts';

const WASM_PAGE_BYTES = 65536;
const WORD_SPAN = 0x1_0000_0000;

/** The WebAssembly packet kernel (wasm/packet.ts, where each function is described). */
export type PacketKernel = {
  sum(offset: number, length: number, initial: number): number;
  setBase(low: number, high: number): void;
  segment(cut: number, scratch: number, stride: number, count: number, iovec: number): number;
  joinRun6(
    first: number,
    l4: number,
    prefixBytes: number,
    isTcp: number,
    datagramBytes: number,
    stride: number,
    at: number,
    countMax: number,
    sequence: number,
    pseudo: number,
    iovec: number,
  ): number;
  joinRun(
    first: number,
    ip: number,
    l4: number,
    prefixBytes: number,
    isTcp: number,
    datagramBytes: number,
    stride: number,
    at: number,
    countMax: number,
    identification: number,
    sequence: number,
    ipSum: number,
    pseudo: number,
    iovec: number,
  ): number;
};

/** The largest that a system of ours has: memory goes back in whole ones. */
const PAGE_BYTES = 65_536;

export class Arena {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly kernel: PacketKernel;
  readonly base: number;
  readonly #baseLow: number;
  readonly #baseHigh: number;
  #used = 0;

  /** @param capacityBytes rounded up to whole WebAssembly pages. */
  constructor(capacityBytes: number) {
    const pages = Math.ceil(capacityBytes / WASM_PAGE_BYTES);
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
    const module = new WebAssembly.Module(Uint8Array.from(builtFile('packet.wasm')));
    const instance = new WebAssembly.Instance(module, {
      env: {
        memory,
        abort: () => {
          throw new Error('packet kernel aborted');
        },
      },
    });
    this.kernel = instance.exports as unknown as PacketKernel;
    this.bytes = new Uint8Array(memory.buffer);
    this.view = new DataView(memory.buffer);
    this.base = addressOf(memory.buffer);
    this.#baseLow = this.base % WORD_SPAN;
    this.#baseHigh = Math.floor(this.base / WORD_SPAN);
    this.kernel.setBase(this.#baseLow, this.#baseHigh);
  }

  /**
   * Takes `byteCount` zeroed bytes for good and returns their offset; start-up only.
   * @throws RangeError when the arena is full: a programmer's mistake, sizes are constants.
   */
  allocate(byteCount: number, alignment = 64): number {
    const offset = Math.ceil(this.#used / alignment) * alignment;
    if (offset + byteCount > this.bytes.length) throw new RangeError('the packet arena is full');
    this.#used = offset + byteCount;
    return offset;
  }

  /** Begins a page of the system's with what is taken next, whose offset it returns. */
  turnPage(): number {
    return this.allocate(0, PAGE_BYTES);
  }

  /**
   * Gives what lies between two offsets of {@link turnPage} back to the system: it reads as zeros, and whoever had
   * some must not use it any more. Nobody gets it again.
   */
  forsake(from: number, to: number): void {
    if (to > from) discard(this.base + from, to - from);
  }

  /** Stores the absolute address of arena byte `target` as a 64-bit pointer at `at`. */
  writePointer(at: number, target: number): void {
    const low = this.#baseLow + target;
    const carry = low >= WORD_SPAN ? 1 : 0;
    this.view.setUint32(at, low - carry * WORD_SPAN, true);
    this.view.setUint32(at + 4, this.#baseHigh + carry, true);
  }

  /** Stores one `struct iovec` {base, length} at `at`. */
  writeIovec(at: number, target: number, length: number): void {
    this.writePointer(at, target);
    this.view.setUint32(at + 8, length, true);
    this.view.setUint32(at + 12, 0, true);
  }
}

// struct msghdr on 64-bit Linux, offsets in bytes; struct mmsghdr appends a length word.
export const MSGHDR = {
  NAME: 0,
  NAME_LENGTH: 8,
  IOV: 16,
  IOV_LENGTH: 24,
  CONTROL: 32,
  CONTROL_LENGTH: 40,
  FLAGS: 48,
  BYTES: 56,
} as const;
export const MMSGHDR_BYTES = 64;
export const MMSGHDR_LENGTH = 56;
export const IOVEC_BYTES = 16;
/** `struct cmsghdr` {length u64, level i32, type i32}; data follows. */
export const CMSG_HEADER_BYTES = 16;
