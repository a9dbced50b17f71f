/**
 * Memory shared between the control process and a data process: a memfd, mapped by both.
 * @module
 */
import { readFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import {
  EFD_NONBLOCK_CLOEXEC,
  MADV_DONTNEED,
  MAP_SHARED,
  MFD_CLOEXEC,
  PROT_READ,
  PROT_READ_WRITE,
  SEEK_DATA,
  SEEK_HOLE,
} from './constants.ts';
import { addressOf, check, errno, errnoName, libc, mallocTrim, viewMemory } from './libc.ts';

/** A mapped memfd. `buffer` stays valid until {@link close}. */
export class SharedMemory {
  readonly fd: number;
  readonly buffer: ArrayBuffer;
  readonly #address: number;
  readonly #bytes: number;

  private constructor(fd: number, bytes: number, protection: number) {
    this.fd = fd;
    this.#bytes = bytes;
    this.#address = check('mmap', libc.mmap(0, bytes, protection, MAP_SHARED, fd, 0));
    this.buffer = viewMemory(this.#address, bytes);
  }

  /**
   * A new zeroed segment of `bytes` bytes; pages are only used once written.
   * @throws SystemError when the kernel refuses.
   */
  static create(name: string, bytes: number): SharedMemory {
    const fd = check('memfd_create', libc.memfd_create(name, MFD_CLOEXEC));
    try {
      check('ftruncate', libc.ftruncate(fd, bytes));
      return new SharedMemory(fd, bytes, PROT_READ_WRITE);
    } catch (error) {
      libc.close(fd);
      throw error;
    }
  }

  /** Maps a segment that another process made and whose descriptor was inherited. */
  static open(fd: number, bytes: number): SharedMemory {
    return new SharedMemory(fd, bytes, PROT_READ_WRITE);
  }

  /** The same for reading only: a write to it ends the process. */
  static openReadOnly(fd: number, bytes: number): SharedMemory {
    return new SharedMemory(fd, bytes, PROT_READ);
  }

  /** Lets go of the mapping alone; views made from `buffer` must not be touched afterwards. */
  unmap(): void {
    libc.munmap(this.#address, this.#bytes);
  }

  /** Unmaps and closes. */
  close(): void {
    this.unmap();
    libc.close(this.fd);
  }
}

/**
 * Where a file of `bytes` bytes in memory has pages: elsewhere it reads as zeros, and a look through a mapping would
 * have the kernel make a page of them. All of it where nobody tells (lseek(2), SEEK_DATA).
 */
export function writtenRanges(fd: number, bytes: number): { from: number; to: number }[] {
  const ranges: { from: number; to: number }[] = [];
  for (let at = 0; at < bytes; ) {
    const from = libc.lseek(fd, at, SEEK_DATA);
    if (from < 0) return errnoName(errno()) === 'ENXIO' ? ranges : [{ from: 0, to: bytes }];
    const to = libc.lseek(fd, from, SEEK_HOLE);
    if (to <= from) return [{ from: 0, to: bytes }];
    ranges.push({ from, to: Math.min(to, bytes) });
    at = to;
  }
  return ranges;
}

/** Gives the pages of private memory back to the system: it reads as zeros. @throws SystemError */
export function discard(address: number, bytes: number): void {
  check('madvise', libc.madvise(address, bytes, MADV_DONTNEED));
}

/**
 * Lets go of the pages of program and libraries that the start has read: what is still needed comes back
 * from the page cache, a fault for 64 kB, and most is not. Only ranges that nobody has written to, so that the
 * file has all that is in them (smaps tells: nothing anonymous, nothing writable). Returns how many bytes they
 * span; 0 where the kernel does not tell.
 */
export function releaseProgramPages(): number {
  let maps: string;
  try {
    maps = readFileSync('/proc/self/smaps', 'latin1');
  } catch {
    return 0;
  }
  let released = 0;
  for (const range of maps.split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m)) {
    const head = /^([0-9a-f]+)-([0-9a-f]+) r-[x-]p \S+ \S+ [1-9]\d* +\//.exec(range);
    if (head === null || !/^Anonymous: +0 kB$/m.test(range)) continue;
    const from = Number.parseInt(head[1] ?? '', 16);
    const bytes = Number.parseInt(head[2] ?? '', 16) - from;
    if (libc.madvise(from, bytes, MADV_DONTNEED) === 0) released += bytes;
  }
  return released;
}

/** V8's own function, where the flag `--expose-gc` was given or else in a context of its own, which is not kept. */
function findCollector(): (() => void) | undefined {
  if (globalThis.gc !== undefined) return globalThis.gc;
  setFlagsFromString('--expose-gc');
  const found: unknown = runInNewContext('gc');
  return typeof found === 'function' ? () => void Reflect.apply(found, undefined, []) : undefined;
}

/**
 * Collects the garbage of this process whole, and gives back what it took of the system: V8's heap, the C
 * library's, and pages of the program. What was allocated for a burst of work stays otherwise for as long as
 * little else is done. Takes some tens of ms.
 */
export function collectGarbage(): void {
  const found = findCollector();
  if (found === undefined) return;
  // Without words: V8 of Node 20 takes any as a wish for the young generation alone.
  found();
  // The second time gives back the pages that the first has emptied.
  found();
  mallocTrim?.(0);
  releaseProgramPages();
}

/**
 * Has V8 collect garbage once 2 MB more than a third have come to what it kept last time, where it usually waits for
 * several times as much. For a process that does little: what it would grow to is most of what it takes.
 */
export function growSlowly(): void {
  setFlagsFromString('--optimize-for-size');
}

const one = new BigUint64Array([1n]);

/** An eventfd: the control process wakes a data process's poll with it. */
export function createEventFd(): number {
  return check('eventfd', libc.eventfd(0, EFD_NONBLOCK_CLOEXEC));
}

/** Adds one to an eventfd. A full counter (EAGAIN) means that a wake-up is already pending. */
export function signalEventFd(fd: number): void {
  // Its address each time: an array that only its address stands for would be collected.
  libc.write(fd, addressOf(one), 8);
}
