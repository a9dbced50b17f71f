/**
 * Waits for descriptors that Node's event loop knows no kind of (maps of bpf(2), say) to become readable: all of
 * them in one epoll set, in a call that a thread of libuv's pool waits in. That is one of four, so a process has
 * one such watch at most.
 * @module
 */
import { EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLLIN } from './constants.ts';
import { addressOf, check, libc, waitForEvents } from './libc.ts';
import { createEventFd, signalEventFd } from './memory.ts';

/** `struct epoll_event` (epoll_ctl(2)): the kernel packs it on x86 only; both have room here. */
const EVENT_BYTES = 16;
/** After what was ready, so long nothing is waited for: what comes meanwhile is looked at together. */
const PAUSE_MS = 5;

export class ReadyWatch {
  readonly #onReady: () => void;
  readonly #set: number;
  readonly #wake: number;
  readonly #event = Buffer.alloc(EVENT_BYTES);
  readonly #answer = Buffer.alloc(EVENT_BYTES);
  readonly #end = () => signalEventFd(this.#wake);
  #timer: NodeJS.Timeout | undefined;
  #isWaiting = false;
  #closed = false;

  /**
   * @param onReady at least one of them is readable, and may have been read since
   * @throws SystemError
   */
  constructor(onReady: () => void) {
    this.#onReady = onReady;
    this.#set = check('epoll_create1', libc.epoll_create1(EPOLL_CLOEXEC));
    this.#wake = createEventFd();
    this.add(this.#wake);
    // The pool's threads are joined when the process ends.
    process.once('exit', this.#end);
    this.#wait();
  }

  /** @throws SystemError EPERM for what cannot be waited for */
  add(fd: number): void {
    this.#event.fill(0);
    this.#event.writeUInt32LE(EPOLLIN, 0);
    check('epoll_ctl', libc.epoll_ctl(this.#set, EPOLL_CTL_ADD, fd, addressOf(this.#event)));
  }

  /** Before it is closed; one that was not added is no error. */
  remove(fd: number): void {
    libc.epoll_ctl(this.#set, EPOLL_CTL_DEL, fd, addressOf(this.#event));
  }

  #wait(): void {
    this.#isWaiting = true;
    waitForEvents(this.#set, addressOf(this.#answer), 1, -1, () => this.#woken());
  }

  #woken(): void {
    this.#isWaiting = false;
    if (this.#closed) return this.#release();
    this.#onReady();
    if (this.#closed) return;
    this.#timer = setTimeout(() => this.#wait(), PAUSE_MS);
    this.#timer.unref();
  }

  #release(): void {
    libc.close(this.#set);
    libc.close(this.#wake);
  }

  /** Nothing is called any more. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    process.off('exit', this.#end);
    clearTimeout(this.#timer);
    // A descriptor may not be closed while somebody waits for it.
    if (this.#isWaiting) this.#end();
    else this.#release();
  }
}
