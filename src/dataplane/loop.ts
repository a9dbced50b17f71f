/**
 * The data process's loop: one poll for all descriptors, then a bounded burst for each one that is
 * ready, in turn, so that no link and no direction can starve another. It never returns to Node's
 * event loop; control wakes it by the eventfd and reads its progress from shared memory.
 * @module
 */
import { IDLE_BEAT_MS, type Layout, type Tables } from '../shm/layout.ts';
import { WorkerState } from '../shm/worker.ts';
import { POLLERR, POLLHUP, POLLIN, POLLNVAL } from '../sys/libc/constants.ts';
import { isRealtime } from '../sys/process/priority.ts';
import { eventIndex } from '../table/counters.ts';
import type { EventWriter } from '../table/events.ts';
import { PathLimitReader } from '../table/path-limits.ts';
import { PathRows } from '../table/paths.ts';
import type { TableSegment } from '../table/segment.ts';
import { NeighbourDiscovery } from './answer/nd.ts';
import { Neighbours } from './answer/neighbours.ts';
import { TooBig } from './answer/too-big.ts';
import { Egress } from './egress/egress.ts';
import type { Arena } from './ground/arena.ts';
import { DataLink, Endpoint, readTables } from './ground/link.ts';
import { PEERS_KNOWN_MAX } from './ground/peer-index.ts';
import { PeerTable } from './ground/peers.ts';
import type { Ports, Waiting } from './ground/ports.ts';
import { Coalescer } from './ingress/coalesce.ts';
import { DeviceWriter } from './ingress/device-writer.ts';
import { Ingress } from './ingress/ingress.ts';
import { Receiver } from './ingress/receive.ts';
import { serveNetworks } from './networks.ts';
import { Linger, Way } from './pace/linger.ts';
import { Moderation } from './pace/moderation.ts';
import { isStale, MONOTONIC_OFFSET_MS, shedStale } from './pace/stale.ts';
import { awaitTurn } from './pace/turn.ts';
import { ErrorQueue } from './send/errors.ts';
import { PathMtu, type RouteOracle } from './send/path-mtu.ts';
import { SenderWatch } from './send/sender-watch.ts';
import { Trains } from './send/trains.ts';

/** Everything the arena holds fits: receive and read slots and peers 4 MB each, headers and iovecs 3 MB. */
export const ARENA_BYTES = 20 << 20;
const POLLFD_BYTES = 8;
/** Consecutive failing calls after which a descriptor is left alone for {@link REST_MS}. */
const FAILURES_MAX = 16;
/** A deleted device fails for ever, and poll never waits for it: ask it ten times a second. */
const REST_MS = 100;
/** How long the process forwards on after control has vanished, ms, before it ends itself. */
const ORPHAN_LIFETIME_MS = 120_000;

/** A new process meets control in the middle of a change at worst: looks, and ms between them. */
const FIRST_READ_ATTEMPTS = 100;
const FIRST_READ_PAUSE_MS = 2;

const ROUNDS = eventIndex('rounds');
const UNREADABLE = eventIndex('tables_unreadable');

/** What a descriptor in the poll set is for. */
const Role = { Wake: 0, Parent: 1, Device: 2, Receive: 3, Errors: 4 } as const;

/** What a loop supposes beyond its descriptors: a warm-up has another world than a host. */
export type Outside = {
  ports: Ports;
  /** Family of the addresses that are sent to. */
  family: number;
  /** Who knows the ways from these local addresses. */
  routes: (locals: readonly number[]) => RouteOracle;
};

export class Loop {
  readonly #layout: Layout;
  readonly #arena: Arena;
  readonly #waiting: Waiting;
  readonly #links: DataLink[] = [];
  readonly #endpoints: Endpoint[] = [];
  readonly #rows: PathRows;
  readonly #egress: Egress;
  readonly #receiver: Receiver;
  readonly #errors: ErrorQueue;
  readonly #senders: SenderWatch;
  readonly #pollfds: number;
  readonly #linger: Linger;
  readonly #roles: number[] = [];
  readonly #owners: number[] = [];
  readonly #descriptors: number[] = [];
  readonly #scratch: number;
  readonly #moderation = new Moderation(isRealtime);
  readonly #ingress: Ingress;
  readonly #events: EventWriter;
  /** Arena offset of a `struct timespec`: how long a nap takes. */
  readonly #napTime: number;
  /** Packets and trains that the round in hand has moved each way, and which way the last one went. */
  #movedOut = 0;
  #movedIn = 0;
  #way: number = Way.Out;
  #generation = -1;
  /** How many forgotten MACs control had told when we looked last. */
  #forgotten: number;
  #orphanedAtMs = 0;
  /** Descriptors, by index, that are left out of the poll set for a while. */
  readonly #resting: number[] = [];
  #restingSinceMs = 0;

  /**
   * @param arena nothing but this loop uses it
   * @param wakeFd eventfd by which control asks us to look at shared memory again
   * @param parentFd a pipe whose other end control holds: it hangs up when control dies
   * @param outside what lies beyond the descriptors
   * @throws Error when the segment was written by another build
   */
  constructor(
    arena: Arena,
    layout: Layout,
    segment: TableSegment,
    wakeFd: number,
    parentFd: number,
    outside: Outside,
  ) {
    if (!layout.isCompatible() || !segment.isCompatible()) {
      throw new Error('the shared segments are of another version');
    }
    const tables = readTables(segment);
    const { ports } = outside;
    this.#arena = arena;
    this.#waiting = ports.waiting;
    this.#layout = layout;
    const config = this.#readConfig();
    this.#rows = new PathRows(layout.paths());
    const peers = new PeerTable(this.#arena, this.#rows, PEERS_KNOWN_MAX, outside.family);
    for (const record of config.endpoints)
      this.#endpoints.push(new Endpoint(record, ports.underlay));
    for (const record of config.links) {
      const endpoint = this.#endpoints[record.endpoint];
      if (endpoint === undefined) throw new Error(`link ${record.id} names no endpoint`);
      const link = new DataLink(record, endpoint, { layout, tables, peers, ports });
      this.#links.push(link);
      endpoint.add(link);
    }
    this.#update(config);
    this.#generation = config.generation;
    const [tooBig, neighbours] = [new TooBig(arena), new Neighbours(arena)];
    const nd = new NeighbourDiscovery(arena);
    this.#forgotten = layout.forgotten.count;
    const coalescer = new Coalescer(this.#arena, new DeviceWriter(this.#arena, layout));
    const locals = config.endpoints.map(({ localAddress }) => localAddress);
    const paths = new PathMtu(peers, outside.routes(locals), new PathLimitReader(segment));
    this.#errors = new ErrorQueue(this.#arena, peers);
    const trains = new Trains(this.#arena, layout, paths, this.#errors);
    this.#egress = new Egress(this.#arena, this.#layout, trains, paths, tooBig, neighbours, nd);
    this.#ingress = new Ingress(this.#arena, coalescer, this.#links, neighbours, nd);
    this.#events = serveNetworks(this.#egress, this.#ingress, { arena, layout, trains, coalescer });
    this.#receiver = new Receiver(this.#arena, layout, this.#ingress);
    this.#napTime = this.#arena.allocate(16);
    this.#scratch = this.#arena.allocate(8);

    this.#watch(Role.Wake, 0, wakeFd);
    this.#watch(Role.Parent, 0, parentFd);
    for (const [index, endpoint] of this.#endpoints.entries()) {
      const [listener] = endpoint.sockets;
      if (listener !== undefined) this.#watch(Role.Receive, index, listener);
    }
    this.#senders = new SenderWatch(this.#arena, this.#endpoints, this.#waiting);
    this.#watch(Role.Errors, 0, this.#senders.descriptor);
    for (const [index, link] of this.#links.entries()) {
      this.#watch(Role.Device, index, link.deviceFd);
    }
    this.#pollfds = this.#arena.allocate(this.#descriptors.length * POLLFD_BYTES);
    for (const [i, fd] of this.#descriptors.entries()) {
      this.#arena.view.setInt32(this.#pollfds + i * POLLFD_BYTES, fd, true);
      this.#arena.view.setUint16(this.#pollfds + i * POLLFD_BYTES + 4, POLLIN, true);
    }
    const count = this.#descriptors.length;
    this.#linger = new Linger({
      ready: () => this.#waiting.poll(this.#pollfds, count, 0),
      giveWay: () => this.#waiting.giveWay(),
      nowMs: () => performance.now(),
    });
  }

  #watch(role: number, owner: number, fd: number): void {
    this.#roles.push(role);
    this.#owners.push(owner);
    this.#descriptors.push(fd);
  }

  /** The first tables; without any there is nothing to do. @throws Error when control never finishes */
  #readConfig(): NonNullable<ReturnType<Layout['read']>> {
    for (let attempt = 0; attempt < FIRST_READ_ATTEMPTS; attempt++) {
      const config = this.#layout.read();
      if (config !== undefined) return config;
      this.#waiting.poll(0, 0, FIRST_READ_PAUSE_MS);
    }
    throw new Error('control does not finish writing the tables');
  }

  /**
   * Waits for the turn of `epoch`, then runs until the turn passes on, or control is gone for too
   * long.
   */
  run(epoch: number): void {
    const layout = this.#layout;
    const { turn } = layout;
    turn.warmEpoch = epoch;
    const parent = this.#pollfds + POLLFD_BYTES;
    if (!awaitTurn(this.#arena, this.#waiting, turn, epoch, parent)) return;
    // What the predecessor knew went with it.
    this.#rows.clear();
    if (isStale(layout)) {
      shedStale(this.#egress, this.#links, this.#ingress, this.#receiver, this.#endpoints);
    }
    layout.setWorkerState(WorkerState.Ready);
    let active = false;
    let nowMs = performance.now();
    while (turn.epoch === epoch) {
      layout.beat(nowMs + MONOTONIC_OFFSET_MS);
      const ready = this.#wait(active);
      // Not the time of day: somebody may set that back, and limits and lifetimes with it.
      nowMs = performance.now();
      active = ready > 0;
      if (this.#orphanedAtMs !== 0 && nowMs - this.#orphanedAtMs > ORPHAN_LIFETIME_MS) break;
      if (this.#resting.length > 0) this.#resume(nowMs);
      if (ready > 0) this.#round(nowMs);
    }
    layout.setWorkerState(WorkerState.Stopped);
    turn.stopped(epoch);
  }

  /**
   * One round over what is ready now, without waiting: how a loop is run that nobody counts on yet.
   * Returns what moved, packets and trains.
   */
  tryRound(): number {
    if (this.#waiting.poll(this.#pollfds, this.#descriptors.length, 0) <= 0) return 0;
    this.#serveReady(performance.now());
    return this.#movedOut + this.#movedIn;
  }

  /**
   * Takes a received train of `segmentBytes` pieces, `length` bytes at `offset` from the socket
   * address at `source`, as the first endpoint would have brought it: the sockets of a warm-up bring none.
   */
  takeTrain(offset: number, length: number, source: number, segmentBytes: number): void {
    const [endpoint] = this.#endpoints;
    if (endpoint === undefined) return;
    this.#ingress.message(endpoint, offset, length, source, 0, segmentBytes, false);
    this.#ingress.flush();
  }

  /** Gives back what the loop opened itself. It cannot be used any more. */
  close(): void {
    this.#senders.close();
  }

  /** Serves what {@link #wait} found ready, and sleeps for a moment where packets stream. */
  #round(nowMs: number): void {
    this.#serveReady(nowMs);
    this.#linger.note(this.#movedOut + this.#movedIn, this.#way);
    const napUs = this.#moderation.note(this.#movedOut, this.#movedIn, nowMs);
    if (napUs > 0) this.#nap(napUs);
  }

  #serveReady(nowMs: number): void {
    const { view } = this.#arena;
    this.#count(ROUNDS);
    this.#movedOut = 0;
    this.#movedIn = 0;
    for (let i = 0; i < this.#descriptors.length; i++) {
      const revents = view.getUint16(this.#pollfds + i * POLLFD_BYTES + 6, true);
      if (revents !== 0) this.#serve(i, revents, nowMs);
    }
    if (this.#events.takeAsleep()) this.#waiting.ring(this.#descriptors[1] as number);
  }

  /** Sleeps until something is ready; after activity it waits awake first, if told to or if it pays. */
  #wait(active: boolean): number {
    const { busyPollUs } = this.#layout;
    const count = this.#descriptors.length;
    if (busyPollUs > 0 && active) {
      const until = performance.now() + busyPollUs / 1000;
      do {
        const ready = this.#waiting.poll(this.#pollfds, count, 0);
        if (ready !== 0) return ready;
      } while (performance.now() < until);
    } else if (active) {
      const ready = this.#linger.wait();
      if (ready !== 0) return ready;
    }
    const beganMs = performance.now();
    const ready = this.#waiting.poll(
      this.#pollfds,
      count,
      this.#resting.length > 0 ? REST_MS : IDLE_BEAT_MS,
    );
    this.#moderation.waited(beganMs, performance.now());
    return ready;
  }

  #serve(index: number, revents: number, nowMs: number): void {
    const owner = this.#owners[index] as number;
    switch (this.#roles[index]) {
      case Role.Device: {
        const link = this.#links[owner] as DataLink;
        this.#noteMoved(this.#egress.readBurst(link, nowMs), Way.Out);
        if ((revents & POLLNVAL) !== 0) this.#ignore(index);
        else if (link.readErrors >= FAILURES_MAX) this.#rest(index, nowMs);
        break;
      }
      case Role.Receive: {
        const endpoint = this.#endpoints[owner] as Endpoint;
        if ((revents & POLLERR) !== 0) {
          this.#errors.drain(endpoint, this.#descriptors[index] as number, nowMs);
        }
        // On an error too: receiving is what clears one that has no text in the error queue.
        if ((revents & (POLLIN | POLLERR)) !== 0) {
          this.#noteMoved(this.#receiver.receiveBurst(endpoint, nowMs), Way.In);
        }
        if ((revents & POLLNVAL) !== 0) this.#ignore(index);
        else if (endpoint.receiveErrors >= FAILURES_MAX) this.#rest(index, nowMs);
        break;
      }
      case Role.Errors:
        this.#senders.serve((endpoint, socket) => this.#errors.drain(endpoint, socket, nowMs));
        break;
      case Role.Parent:
        if ((revents & (POLLHUP | POLLERR)) !== 0) {
          // Control died: keep forwarding by the last good table until the next one takes over.
          this.#orphanedAtMs = nowMs;
          this.#ignore(index);
        } else {
          // The ring that our turn had come, which we saw without it.
          this.#waiting.takeRing(this.#descriptors[index] as number, this.#scratch);
        }
        break;
      default:
        this.#refresh();
    }
  }

  #noteMoved(packets: number, way: number): void {
    if (packets === 0) return;
    if (way === Way.Out) this.#movedOut += packets;
    else this.#movedIn += packets;
    this.#way = way;
  }

  #nap(us: number): void {
    this.#arena.view.setUint32(this.#napTime + 8, us * 1000, true);
    this.#waiting.nap(this.#napTime);
    this.#moderation.waited(0, performance.now());
  }

  /** Takes a descriptor out of the poll set (a negative one is skipped by poll). */
  #ignore(index: number): void {
    this.#arena.view.setInt32(this.#pollfds + index * POLLFD_BYTES, -1, true);
  }

  /** Leaves a descriptor that only fails out of the poll set until {@link #resume}. */
  #rest(index: number, nowMs: number): void {
    this.#ignore(index);
    if (this.#resting.push(index) === 1) this.#restingSinceMs = nowMs;
  }

  /** Puts the resting descriptors back once their time is over, also when the clock was set back. */
  #resume(nowMs: number): void {
    const restedMs = nowMs - this.#restingSinceMs;
    if (restedMs >= 0 && restedMs < REST_MS) return;
    const { view } = this.#arena;
    for (const index of this.#resting.splice(0)) {
      const fd = this.#descriptors[index] as number;
      view.setInt32(this.#pollfds + index * POLLFD_BYTES, fd, true);
    }
  }

  /** Control rang: take over what may change while we run. */
  #refresh(): void {
    this.#waiting.takeRing(this.#descriptors[0] as number, this.#scratch);
    const { forgotten } = this.#layout;
    for (const { link, high, low } of forgotten.after(this.#forgotten)) {
      this.#links.find(({ id }) => id === link)?.forgetMac(high, low);
    }
    this.#forgotten = forgotten.count;
    if (this.#layout.generation() === this.#generation) return;
    const config = this.#layout.read();
    if (config === undefined) {
      // Control was stopped or died while it wrote: what we have holds until somebody rings again.
      this.#count(UNREADABLE);
      return;
    }
    this.#generation = config.generation;
    this.#update(config);
  }

  /** Counts an event that belongs to no link on the first one. */
  #count(counter: number): void {
    const first = this.#links[0];
    if (first !== undefined) first.counters[counter] = (first.counters[counter] as number) + 1;
  }

  #update({ links }: Tables): void {
    for (const record of links) this.#links.find(({ id }) => id === record.id)?.update(record);
  }
}
