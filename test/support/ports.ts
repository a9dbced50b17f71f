/**
 * Doors of a data path that a test can stand in. Whatever it does not answer itself goes to the kernel.
 * @module
 */
import type { Arena } from '../../src/dataplane/ground/arena.ts';
import {
  type Device,
  KernelPorts,
  type Ports,
  type Underlay,
  type Waiting,
} from '../../src/dataplane/ground/ports.ts';

export class TestPorts implements Ports, Underlay {
  readonly underlay: Underlay = this;
  readonly waiting: Waiting;
  readonly #kernel: KernelPorts;
  /** Takes what is sent; the kernel does unless somebody else is put here. */
  send: Underlay['send'];
  /** Gives what is read from any device, likewise. */
  read: Device['read'] | undefined;
  /** Takes what is written to any device, likewise. */
  write: Device['write'] | undefined;
  /** Waits that were asked for. */
  polls = 0;

  constructor(arena: Arena) {
    this.#kernel = new KernelPorts(arena);
    const { underlay, waiting } = this.#kernel;
    this.send = (socket, messages, count) => underlay.send(socket, messages, count);
    this.waiting = {
      poll: (pollfds, count, timeoutMs) => {
        this.polls++;
        return waiting.poll(pollfds, count, timeoutMs);
      },
      pollUntil: (pollfds, count, time) => waiting.pollUntil(pollfds, count, time),
      openSet: () => waiting.openSet(),
      closeSet: (set) => waiting.closeSet(set),
      watchErrors: (set, descriptor, event) => waiting.watchErrors(set, descriptor, event),
      unwatchErrors: (set, descriptor) => waiting.unwatchErrors(set, descriptor),
      takeEvents: (set, events, count) => waiting.takeEvents(set, events, count),
      takeRing: (descriptor, scratch) => waiting.takeRing(descriptor, scratch),
      ring: (descriptor) => waiting.ring(descriptor),
      nap: (time) => waiting.nap(time),
      giveWay: () => waiting.giveWay(),
    };
  }

  receive(socket: number, messages: number, count: number): number {
    return this.#kernel.underlay.receive(socket, messages, count);
  }

  readError(socket: number, message: number): number {
    return this.#kernel.underlay.readError(socket, message);
  }

  clearError(socket: number, scratch: number): void {
    this.#kernel.underlay.clearError(socket, scratch);
  }

  close(descriptor: number): void {
    this.#kernel.close(descriptor);
  }

  device(descriptor: number): Device {
    const real = this.#kernel.device(descriptor);
    return {
      read: (at, bytes) => this.read?.(at, bytes) ?? real.read(at, bytes),
      write: (iovec, count) => this.write?.(iovec, count) ?? real.write(iovec, count),
      writePiece: (at, bytes) => real.writePiece(at, bytes),
    };
  }
}
