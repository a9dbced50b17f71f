/**
 * What waits in front of the underlay, read from a device that has more than one burst of small packets:
 * its ring is first in, first out, and longer than a ping should wait. Reading is a small part of what a
 * packet costs, so a router that is behind reads ahead and sorts (waiting-flows.ts). Where there is no room it
 * reads on and gives up what is oldest, so that nobody stands in the ring behind a flood; but only as long as
 * that takes no more time than forwarding does. What is more than that the device drops at its tail.
 *
 * Frames are read to where they wait, one behind the other in a ring of memory, and nothing is copied:
 *
 * ```
 * headroom for the shim | virtio-net header, where the device has one | frame
 * ```
 * @module
 */
import { egressIndex } from '../../table/counters.ts';
import { VIRTIO_NET_BYTES } from '../../wire/virtio-net.ts';
import type { Arena } from '../ground/arena.ts';
import type { DataLink } from '../ground/link.ts';
import { flowSeed } from './flow-key.ts';
import { LooseFlow } from './loose-flow.ts';
import { type Clock, ownClock, TimeSlice } from './time-slice.ts';
import { NOBODY, WaitingFlows } from './waiting-flows.ts';

const RING_BYTES = 2 << 20;
/** Frames that wait at one time, those among them that have gone already counted. */
const FRAMES_MAX = 4096;
/** The longest frame, virtio-net header included, and a little slack. */
const FRAME_BYTES_MAX = 65_536 + 512;
const HEADROOM_BYTES = 64;
/** How long frames are read in one round, ms. */
const READ_MS = 1;
/**
 * Frames that may be read for each one that was forwarded: some four take the time of one. What a calm hour has
 * left over is enough for a whole ring once.
 */
const READS_A_FRAME = 4;
const READS_LEFT_MAX = 4096;
const READS_MIN = 64;
/** Frames that leave in one round, and how long that may take, ms: the other direction has its turn between. */
const RELEASE_FRAMES = 64;
const RELEASE_MS = 0.3;
/**
 * How long frames of flows that send much are held where that is asked for, ms, and how many at most; and how many
 * of them leave in one round, and how long that may take, ms. Those that leave together by one of a peer's ports are
 * one train.
 */
const GATHER_MS = 2;
const GATHER_FRAMES = 256;
const GATHERED_MS = 0.6;

const RECEIVED = egressIndex('received');
const RECEIVED_BYTES = egressIndex('receivedBytes');
const OVERLOAD = egressIndex('drop.overload');

/** All that it takes of the arena, which is touched only as it is used, bytes. */
export const DEVICE_BACKLOG_BYTES = RING_BYTES;

/** What becomes of a frame: egress. */
export type Forwarder = {
  packet(link: DataLink, frame: number, byteCount: number): void;
  flush(): void;
};

export class DeviceBacklog {
  readonly #forward: Forwarder;
  readonly #flows: LooseFlow;
  readonly #order = new WaitingFlows(FRAMES_MAX);
  readonly #ring: number;
  // The frames by number, in their order of coming: `#count` of them from `#first` on.
  readonly #frame = new Int32Array(FRAMES_MAX);
  readonly #length = new Int32Array(FRAMES_MAX);
  readonly #bucket = new Uint16Array(FRAMES_MAX);
  /** Undefined where the frame has gone. */
  readonly #link: (DataLink | undefined)[] = Array(FRAMES_MAX).fill(undefined);
  #first = 0;
  #count = 0;
  /** Where the next frame's headroom begins. */
  #at: number;
  /** Frames that wait. */
  frames = 0;
  /** Some that went at once may be on a train still, which reads them where they are. */
  #isUnsent = false;
  /** Reads that have been earned. */
  #reads = READS_LEFT_MAX;
  readonly #reading: TimeSlice;
  readonly #releasing: TimeSlice;
  readonly #releasingMore: TimeSlice;
  /** Whether those of flows that send much are held for a moment, so that trains are longer. */
  gathers = false;
  /** When the first of those that wait began to, ms; whether they have waited for long enough; the round. */
  #sinceMs = 0;
  #isDue = false;
  #roundMs = 0;

  constructor(arena: Arena, forward: Forwarder, seed = flowSeed(), nowMs: Clock = ownClock) {
    this.#reading = new TimeSlice(READ_MS, nowMs);
    this.#releasing = new TimeSlice(RELEASE_MS, nowMs);
    this.#releasingMore = new TimeSlice(GATHERED_MS, nowMs);
    this.#forward = forward;
    this.#flows = new LooseFlow(arena.view, seed);
    this.#ring = arena.allocate(RING_BYTES);
    this.#at = this.#ring;
  }

  get isEmpty(): boolean {
    return this.frames === 0;
  }

  /** Whether some wait whose time has come. */
  isDue(nowMs: number): boolean {
    if (this.frames === 0) this.#isDue = false;
    else if (!this.#isDue) this.#isDue = this.dueMs(nowMs) <= 0 || this.frames >= GATHER_FRAMES;
    return this.#isDue;
  }

  /** How long those that wait may go on waiting, ms. */
  dueMs(nowMs: number): number {
    return this.gathers ? this.#sinceMs + GATHER_MS - nowMs : 0;
  }

  /**
   * Reads ahead until the device has nothing more, or enough was read for a round; who has nothing waiting goes
   * on at once. Returns the frames read, or the negative errno of a read that failed with none before it.
   */
  readAhead(link: DataLink, nowMs: number): number {
    if (!this.gathers || nowMs - this.#roundMs >= GATHER_MS) {
      this.#order.nextRound();
      this.#roundMs = nowMs;
    }
    if (this.frames === 0) this.#sinceMs = nowMs;
    const vnetBytes = link.vnetHeader ? VIRTIO_NET_BYTES : 0;
    const most = Math.max(READS_MIN, this.#reads);
    let reads = 0;
    let result = 0;
    this.#reading.begin();
    while (reads < most && !this.#reading.isOver(1)) {
      while (!this.#hasRoom()) this.#makeRoom();
      const frame = this.#at + HEADROOM_BYTES;
      const length = link.device.read(frame - vnetBytes, FRAME_BYTES_MAX - HEADROOM_BYTES);
      if (length < 0) {
        result = length;
        break;
      }
      reads++;
      this.#take(link, frame, length - vnetBytes);
    }
    this.#forward.flush();
    this.#isUnsent = false;
    this.#forget();
    this.#reads = Math.max(0, this.#reads - reads);
    return reads > 0 ? reads : result;
  }

  #hasRoom(): boolean {
    if (this.#count === 0) this.#at = this.#ring;
    if (this.#count === FRAMES_MAX) return false;
    const oldest = (this.#frame[this.#first] as number) - HEADROOM_BYTES;
    if (this.#count === 0 || this.#at > oldest) {
      if (this.#at + FRAME_BYTES_MAX <= this.#ring + RING_BYTES) return true;
      this.#at = this.#ring;
    }
    return this.#count === 0 || this.#at + FRAME_BYTES_MAX <= oldest;
  }

  /** The memory of the oldest frame is wanted: those that went at once are on their way, one that waits is given up. */
  #makeRoom(): void {
    if (this.#isUnsent) {
      this.#forward.flush();
      this.#isUnsent = false;
    }
    const link = this.#link[this.#first];
    if (link !== undefined) {
      const place = this.#order.giveUp(this.#bucket[this.#first] as number);
      this.#leave(place);
      const { counters } = link;
      counters[RECEIVED] = (counters[RECEIVED] as number) + 1;
      counters[RECEIVED_BYTES] =
        (counters[RECEIVED_BYTES] as number) + (this.#length[place] as number);
      counters[OVERLOAD] = (counters[OVERLOAD] as number) + 1;
    }
    this.#forget();
  }

  #take(link: DataLink, frame: number, length: number): void {
    const place = (this.#first + this.#count) % FRAMES_MAX;
    const bucket = this.#flows.bucketOf(frame, length, link.innerHeaderBytes);
    const goes = this.#order.mayGo(bucket, this.gathers);
    this.#frame[place] = frame;
    this.#length[place] = length;
    this.#bucket[place] = bucket;
    this.#link[place] = goes ? undefined : link;
    this.#count++;
    this.#at = (frame + length + 63) & ~63;
    if (goes) {
      this.#forward.packet(link, frame, length);
      this.#isUnsent = true;
      this.#earn(1);
    } else {
      this.#order.wait(place, bucket, 1);
      this.frames++;
    }
  }

  /** The memory of frames that have gone before all that wait is free again. */
  #forget(): void {
    while (this.#count > 0 && this.#link[this.#first] === undefined) {
      this.#first = (this.#first + 1) % FRAMES_MAX;
      this.#count--;
    }
  }

  /** Forwards what has its turn, a round's worth of it; returns how many frames. */
  release(): number {
    let frames = 0;
    const most = this.gathers ? GATHER_FRAMES : RELEASE_FRAMES;
    const turn = this.gathers ? this.#releasingMore : this.#releasing;
    turn.begin();
    while (frames < most && !turn.isOver(1)) {
      const place = this.#order.pull();
      if (place === NOBODY) break;
      frames++;
      const link = this.#link[place] as DataLink;
      this.#leave(place);
      this.#forward.packet(link, this.#frame[place] as number, this.#length[place] as number);
    }
    this.#forward.flush();
    this.#forget();
    this.#earn(frames);
    return frames;
  }

  #earn(frames: number): void {
    this.#reads = Math.min(READS_LEFT_MAX, this.#reads + frames * READS_A_FRAME);
  }

  #leave(place: number): void {
    this.#link[place] = undefined;
    this.frames--;
  }

  /** A link is gone, and what it had waiting with it. */
  forgetLink(id: number): void {
    this.#order.clear();
    for (let i = 0; i < this.#count; i++) {
      const place = (this.#first + i) % FRAMES_MAX;
      const link = this.#link[place];
      if (link?.id === id) this.#leave(place);
      else if (link !== undefined) this.#order.wait(place, this.#bucket[place] as number, 1);
    }
    this.#forget();
  }
}
