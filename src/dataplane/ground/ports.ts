/**
 * The doors between the data path and the world: devices of links, sockets of endpoints, and waiting for
 * either. Everything else of the data path is arithmetic on the arena, so that with other doors whole
 * routers run inside one process. Here alone it calls the C library.
 *
 * Offsets are the arena's. What fails returns the negative of its errno (errno(3)).
 * @module
 */
import {
  EPOLL_CLOEXEC,
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  MSG_DONTWAIT,
  MSG_ERRQUEUE,
  SO_ERROR,
  SOL_SOCKET,
} from '../../sys/libc/constants.ts';
import { check, errno, libc } from '../../sys/libc/libc.ts';
import type { Arena } from './arena.ts';

/** A link's TUN or TAP: one frame or packet a call, with the virtio-net header where it has one. */
export type Device = {
  /** Reads one to `at`; its length, at most `bytes`. */
  read(at: number, bytes: number): number;
  /** Writes one, which the `count` iovecs at `iovec` make up. */
  write(iovec: number, count: number): number;
  /** The same for one that lies in one piece. */
  writePiece(at: number, bytes: number): number;
};

/** Sockets towards the underlay, by descriptor. */
export type Underlay = {
  /** Sends up to `count` messages (`struct mmsghdr`); how many have gone. */
  send(socket: number, messages: number, count: number): number;
  /** Receives up to `count` messages (`struct mmsghdr`); how many have come. */
  receive(socket: number, messages: number, count: number): number;
  /** Takes one message (`struct msghdr`) from the error queue; its length. */
  readError(socket: number, message: number): number;
  /** Forgets the socket's pending error. `scratch`: 8 bytes. */
  clearError(socket: number, scratch: number): void;
};

/** How the loop waits, and what it is woken by. */
export type Waiting = {
  /** Waits for any of the `struct pollfd`s; how many are ready. */
  poll(pollfds: number, count: number, timeoutMs: number): number;
  /** The same, with the `struct timespec` at `time` as its end. */
  pollUntil(pollfds: number, count: number, time: number): number;
  /** A new epoll set. @throws SystemError when the kernel refuses */
  openSet(): number;
  closeSet(set: number): void;
  /** Adds a descriptor, for its errors alone, to an epoll set; `event` is a `struct epoll_event`. */
  watchErrors(set: number, descriptor: number, event: number): number;
  /** Takes it out again. */
  unwatchErrors(set: number, descriptor: number): void;
  /** Asks an epoll set for up to `count` events that have come; how many. */
  takeEvents(set: number, events: number, count: number): number;
  /** Takes what somebody rang with. `scratch`: 8 bytes. */
  takeRing(descriptor: number, scratch: number): void;
  /** Rings at the other end of a pair of sockets: one byte, whichever. There is room for it. */
  ring(descriptor: number): void;
  /** Sleeps for the `struct timespec` at `time`. */
  nap(time: number): void;
  /** Lets others have the core, if any want it. */
  giveWay(): void;
};

/** What a loop stands between. */
export type Ports = {
  device(descriptor: number): Device;
  /** A device or socket has gone from the loop: nobody uses its descriptor any more. */
  close(descriptor: number): void;
  readonly underlay: Underlay;
  readonly waiting: Waiting;
};

class KernelDevice implements Device {
  readonly #descriptor: number;
  readonly #base: number;

  constructor(descriptor: number, base: number) {
    this.#descriptor = descriptor;
    this.#base = base;
  }

  read(at: number, bytes: number): number {
    const length = libc.read(this.#descriptor, this.#base + at, bytes);
    return length < 0 ? -errno() : length;
  }

  write(iovec: number, count: number): number {
    const written = libc.writev(this.#descriptor, this.#base + iovec, count);
    return written < 0 ? -errno() : written;
  }

  writePiece(at: number, bytes: number): number {
    const written = libc.write(this.#descriptor, this.#base + at, bytes);
    return written < 0 ? -errno() : written;
  }
}

class KernelUnderlay implements Underlay {
  readonly #base: number;

  constructor(base: number) {
    this.#base = base;
  }

  send(socket: number, messages: number, count: number): number {
    const sent = libc.sendmmsg(socket, this.#base + messages, count, 0);
    return sent < 0 ? -errno() : sent;
  }

  receive(socket: number, messages: number, count: number): number {
    const received = libc.recvmmsg(socket, this.#base + messages, count, MSG_DONTWAIT, 0);
    return received < 0 ? -errno() : received;
  }

  readError(socket: number, message: number): number {
    const length = libc.recvmsg(socket, this.#base + message, MSG_ERRQUEUE | MSG_DONTWAIT);
    return length < 0 ? -errno() : length;
  }

  clearError(socket: number, scratch: number): void {
    const value = this.#base + scratch;
    libc.getsockopt(socket, SOL_SOCKET, SO_ERROR, value, value + 4);
  }
}

class KernelWaiting implements Waiting {
  readonly #base: number;

  constructor(base: number) {
    this.#base = base;
  }

  poll(pollfds: number, count: number, timeoutMs: number): number {
    return libc.poll(this.#base + pollfds, count, timeoutMs);
  }

  pollUntil(pollfds: number, count: number, time: number): number {
    return libc.ppoll(this.#base + pollfds, count, this.#base + time, 0);
  }

  openSet(): number {
    return check('epoll_create1', libc.epoll_create1(EPOLL_CLOEXEC));
  }

  closeSet(set: number): void {
    libc.close(set);
  }

  watchErrors(set: number, descriptor: number, event: number): number {
    const result = libc.epoll_ctl(set, EPOLL_CTL_ADD, descriptor, this.#base + event);
    return result < 0 ? -errno() : result;
  }

  unwatchErrors(set: number, descriptor: number): void {
    libc.epoll_ctl(set, EPOLL_CTL_DEL, descriptor, 0);
  }

  takeEvents(set: number, events: number, count: number): number {
    return libc.epoll_wait(set, this.#base + events, count, 0);
  }

  takeRing(descriptor: number, scratch: number): void {
    libc.read(descriptor, this.#base + scratch, 8);
  }

  ring(descriptor: number): void {
    libc.write(descriptor, this.#base, 1);
  }

  nap(time: number): void {
    libc.nanosleep(this.#base + time, 0);
  }

  giveWay(): void {
    libc.sched_yield();
  }
}

/** The host's own devices and sockets. */
export class KernelPorts implements Ports {
  readonly underlay: Underlay;
  readonly waiting: Waiting;
  readonly #base: number;

  /** @param arena where everything lies that the kernel reads and writes */
  constructor({ base }: Arena) {
    this.#base = base;
    this.underlay = new KernelUnderlay(base);
    this.waiting = new KernelWaiting(base);
  }

  device(descriptor: number): Device {
    return new KernelDevice(descriptor, this.#base);
  }

  close(descriptor: number): void {
    libc.close(descriptor);
  }
}
