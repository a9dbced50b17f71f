/**
 * Routers inside one process: each is the data process's own loop, whose devices are lists of frames
 * and whose underlay is this file. Time stands still unless a test moves it.
 * @module
 */
import {
  type Arena,
  IOVEC_BYTES,
  MMSGHDR_BYTES,
  MMSGHDR_LENGTH,
  MSGHDR,
} from '../../src/dataplane/ground/arena.ts';
import type { Device, Ports, Underlay, Waiting } from '../../src/dataplane/ground/ports.ts';
import { emitSockaddr, getSockaddrIpv4 } from '../../src/dataplane/ground/sockaddr.ts';
import { EAGAIN, POLLIN, SOL_UDP, UDP_SEGMENT } from '../../src/sys/libc/constants.ts';

const TWO_32 = 0x1_0000_0000;
const POLLFD_BYTES = 8;

/** Frames of one device, each way. */
type Lists = { toRouter: Uint8Array[]; toHost: Uint8Array[] };

/** An address on another underlay, and the sockets there, the first of which listens. */
export type FurtherUnderlay = { address: number; sockets: readonly number[] };

type Datagram = { bytes: Uint8Array; from: number; port: number };

/** The underlay: who has which address. Ports are all alike. */
export class Fabric {
  readonly #hosts = new Map<number, FabricPorts>();
  /** Datagrams that went over it, for whoever wants to look. */
  readonly seen: { from: number; to: number; bytes: Uint8Array }[] = [];

  join(address: number, ports: FabricPorts): void {
    this.#hosts.set(address, ports);
  }

  carry(from: number, to: number, bytes: Uint8Array): void {
    this.seen.push({ from, to, bytes });
    this.#hosts.get(to)?.inboxOf(to).push({ bytes, from, port: 50_000 });
  }
}

export class FabricPorts implements Ports, Underlay {
  readonly underlay: Underlay = this;
  readonly waiting: Waiting;
  readonly inbox: Datagram[] = [];
  /** Of the listeners on further underlays, by their descriptor. */
  readonly #inboxes = new Map<number, Datagram[]>();
  readonly #further: readonly FurtherUnderlay[];
  /** What the host gives to its device, and what it gets from it. */
  readonly toRouter: Uint8Array[] = [];
  readonly toHost: Uint8Array[] = [];
  /** All devices by descriptor, the one above among them. */
  readonly devices = new Map<number, Lists>();
  /** How often control was woken. */
  rings = 0;
  readonly #arena: Arena;
  readonly #fabric: Fabric;
  readonly #address: number;
  readonly #listener: number;

  constructor(
    arena: Arena,
    fabric: Fabric,
    address: number,
    descriptors: { device: number; listener: number; more?: readonly number[] },
    further: readonly FurtherUnderlay[] = [],
  ) {
    this.#further = further;
    this.#arena = arena;
    this.#fabric = fabric;
    this.#address = address;
    this.devices.set(descriptors.device, this);
    for (const fd of descriptors.more ?? []) this.devices.set(fd, { toRouter: [], toHost: [] });
    this.#listener = descriptors.listener;
    fabric.join(address, this);
    for (const one of further) fabric.join(one.address, this);
    this.waiting = {
      poll: (pollfds, count) => this.#poll(pollfds, count),
      pollUntil: (pollfds, count) => this.#poll(pollfds, count),
      openSet: () => 999,
      closeSet: () => {},
      watchErrors: () => 0,
      unwatchErrors: () => {},
      takeEvents: () => 0,
      takeRing: () => {},
      ring: () => {
        this.rings++;
      },
      nap: () => {},
      giveWay: () => {},
    };
  }

  close(): void {}

  /** What waits at the listener on one of its addresses. */
  inboxOf(address: number): Datagram[] {
    const further = this.#further.find((one) => one.address === address);
    return further === undefined ? this.inbox : this.#waitingAt(further.sockets[0] ?? 0);
  }

  #waitingAt(listener: number): Datagram[] {
    if (listener === this.#listener) return this.inbox;
    const inbox = this.#inboxes.get(listener) ?? [];
    this.#inboxes.set(listener, inbox);
    return inbox;
  }

  #isListener(fd: number): boolean {
    return fd === this.#listener || this.#further.some(({ sockets }) => sockets[0] === fd);
  }

  #addressOf(socket: number): number {
    return this.#further.find(({ sockets }) => sockets.includes(socket))?.address ?? this.#address;
  }

  #poll(pollfds: number, count: number): number {
    const { view } = this.#arena;
    let ready = 0;
    for (let at = pollfds; at < pollfds + count * POLLFD_BYTES; at += POLLFD_BYTES) {
      const fd = view.getInt32(at, true);
      const isReady =
        (this.devices.get(fd)?.toRouter.length ?? 0) > 0 ||
        (this.#isListener(fd) && this.#waitingAt(fd).length > 0);
      view.setUint16(at + 6, isReady ? POLLIN : 0, true);
      if (isReady) ready++;
    }
    return ready;
  }

  #pointer(at: number): number {
    const { view, base } = this.#arena;
    return view.getUint32(at, true) + view.getUint32(at + 4, true) * TWO_32 - base;
  }

  #gather(iovec: number, count: number): Uint8Array {
    const { view, bytes } = this.#arena;
    const pieces: Uint8Array[] = [];
    for (let at = iovec; at < iovec + count * IOVEC_BYTES; at += IOVEC_BYTES) {
      const start = this.#pointer(at);
      pieces.push(bytes.subarray(start, start + view.getUint32(at + 8, true)));
    }
    return Uint8Array.from(Buffer.concat(pieces));
  }

  device(descriptor: number): Device {
    const { bytes } = this.#arena;
    const { toRouter, toHost } = this.devices.get(descriptor) ?? this;
    return {
      read: (at) => {
        const frame = toRouter.shift();
        if (frame === undefined) return -EAGAIN;
        bytes.set(frame, at);
        return frame.length;
      },
      write: (iovec, count) => toHost.push(this.#gather(iovec, count)),
      writePiece: (at, length) => {
        toHost.push(bytes.slice(at, at + length));
        return length;
      },
    };
  }

  send(socket: number, messages: number, count: number): number {
    const { view } = this.#arena;
    for (let at = messages; at < messages + count * MMSGHDR_BYTES; at += MMSGHDR_BYTES) {
      const to = getSockaddrIpv4(view, this.#pointer(at + MSGHDR.NAME));
      const iovecs = view.getUint32(at + MSGHDR.IOV_LENGTH, true);
      const whole = this.#gather(this.#pointer(at + MSGHDR.IOV), iovecs);
      const each = this.#segmentBytes(at) || whole.length;
      for (let from = 0; from < whole.length; from += each) {
        this.#fabric.carry(this.#addressOf(socket), to, whole.subarray(from, from + each));
      }
    }
    return count;
  }

  #segmentBytes(message: number): number {
    const { view } = this.#arena;
    if (view.getUint32(message + MSGHDR.CONTROL_LENGTH, true) === 0) return 0;
    const control = this.#pointer(message + MSGHDR.CONTROL);
    const isSegment =
      view.getInt32(control + 8, true) === SOL_UDP &&
      view.getInt32(control + 12, true) === UDP_SEGMENT;
    return isSegment ? view.getUint16(control + 16, true) : 0;
  }

  receive(socket: number, messages: number, count: number): number {
    const { view, bytes } = this.#arena;
    let taken = 0;
    for (; taken < count; taken++) {
      const datagram = this.#waitingAt(socket).shift();
      if (datagram === undefined) break;
      const at = messages + taken * MMSGHDR_BYTES;
      const name = this.#pointer(at + MSGHDR.NAME);
      emitSockaddr(view, name, datagram.from, datagram.port);
      bytes.set(datagram.bytes, this.#pointer(this.#pointer(at + MSGHDR.IOV)));
      view.setUint32(at + MMSGHDR_LENGTH, datagram.bytes.length, true);
      view.setUint32(at + MSGHDR.CONTROL_LENGTH, 0, true);
    }
    return taken === 0 ? -EAGAIN : taken;
  }

  readError(): number {
    return -EAGAIN;
  }

  clearError(): void {}
}
