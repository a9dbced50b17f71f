/**
 * Reading from a link's device: a burst of frames, each into a slot; and where there is more of small ones than
 * there is time for, ahead, so that whoever sends little does not wait behind them (queue/device-backlog.ts).
 * @module
 */
import type { Layout } from '../../shm/layout.ts';
import { ErrorSite } from '../../shm/worker.ts';
import { EAGAIN, EINTR } from '../../sys/libc/constants.ts';
import { eventIndex } from '../../table/counters.ts';
import { VIRTIO_NET_BYTES } from '../../wire/virtio-net.ts';
import type { Arena } from '../ground/arena.ts';
import type { DataLink } from '../ground/link.ts';
import { DeviceBacklog } from '../queue/device-backlog.ts';
import type { Clock } from '../queue/time-slice.ts';

/** Packets that one burst takes from a device before the other direction has its turn. */
const BURST_PACKETS = 64;
/** Room in front of each frame for the virtio-net header and, later, the shim in its place. */
const HEADROOM_BYTES = 64;
/** One slot: headroom, the largest super-packet, and a little slack. */
const SLOT_BYTES = HEADROOM_BYTES + 65536 + 512;
/** A burst is sent once this much payload waits, so that it is still in the processor's cache. */
const FLUSH_BYTES = 192 * 1024;
/**
 * A full burst of frames that are shorter than this, on average, bytes: more came than there is time for. What
 * is longer takes less time than the device has room for.
 */
const SMALL_BYTES = 512;

const READ_ERRORS = eventIndex('device_read_errors');

/** What becomes of a frame: the rest of egress. */
type Forwarder = {
  /** Bytes that wait to be sent. */
  readonly pendingBytes: number;
  packet(link: DataLink, frame: number, byteCount: number): void;
  flush(): void;
};

export class DeviceReader {
  readonly #layout: Layout;
  readonly #forward: Forwarder;
  /** What was read and has to wait. */
  readonly held: DeviceBacklog;
  readonly #slots: number;
  /** Frames that were small, of all that have come. */
  #cameSmall = 0;
  /** What is read is dropped, whoever sent it: nobody needs to be told apart. */
  sheds = false;

  constructor(arena: Arena, layout: Layout, forward: Forwarder, seed?: number, clock?: Clock) {
    this.#layout = layout;
    this.#forward = forward;
    this.#slots = arena.allocate(BURST_PACKETS * SLOT_BYTES);
    this.held = new DeviceBacklog(arena, forward, seed, clock);
  }

  /** Reads a burst, and goes on to read ahead where it has to; returns packets read. @param most of a burst */
  read(link: DataLink, nowMs: number, most = BURST_PACKETS): number {
    if (this.held.frames > 0 || (this.held.gathers && !this.sheds)) {
      const ahead = this.#readAhead(link, nowMs);
      this.#cameSmall += ahead;
      return ahead;
    }
    const vnetBytes = link.vnetHeader ? VIRTIO_NET_BYTES : 0;
    const forward = this.#forward;
    let slot = 0;
    let reads = 0;
    let bytes = 0;
    while (reads < most) {
      const frame = this.#slots + slot * SLOT_BYTES + HEADROOM_BYTES;
      const length = link.device.read(frame - vnetBytes, SLOT_BYTES - HEADROOM_BYTES);
      if (length < 0) {
        this.#failed(link, -length);
        break;
      }
      link.readErrors = 0;
      reads++;
      bytes += length;
      forward.packet(link, frame, length - vnetBytes);
      slot++;
      if (forward.pendingBytes >= FLUSH_BYTES) {
        forward.flush();
        slot = 0;
      }
    }
    forward.flush();
    const areSmall = bytes <= reads * SMALL_BYTES;
    const all =
      reads < BURST_PACKETS || !areSmall || this.sheds
        ? reads
        : reads + this.#readAhead(link, nowMs);
    if (areSmall) this.#cameSmall += all;
    return all;
  }

  #readAhead(link: DataLink, nowMs: number): number {
    const reads = this.held.readAhead(link, nowMs);
    if (reads < 0) this.#failed(link, -reads);
    else link.readErrors = 0;
    return Math.max(0, reads);
  }

  #failed(link: DataLink, error: number): void {
    if (error === EAGAIN || error === EINTR) return;
    link.counters[READ_ERRORS] = (link.counters[READ_ERRORS] as number) + 1;
    this.#layout.recordError(ErrorSite.DeviceRead, error);
    link.readErrors++;
  }

  /** Small packets that have been read since this was asked last. */
  takeSmall(): number {
    const came = this.#cameSmall;
    this.#cameSmall = 0;
    return came;
  }

  /** Forwards of what waits that which has waited longest; returns how many frames. */
  release(): number {
    return this.held.release();
  }

  /** A link has gone, and with it what it had waiting. */
  forgetLink(id: number): void {
    this.held.forgetLink(id);
  }
}
