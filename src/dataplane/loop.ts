/**
 * The data process's loop: one poll for all descriptors, then a bounded burst for each one that is
 * ready, in turn, so that no link and no direction can starve another. It never returns to Node's
 * event loop; control wakes it by the eventfd and reads its progress from shared memory.
 * @module
 */
import { LINKS_MAX } from '../limits.ts';
import { IDLE_BEAT_MS, type Layout } from '../shm/layout.ts';
import { WorkerState } from '../shm/worker.ts';
import { POLLERR, POLLHUP, POLLIN, POLLNVAL } from '../sys/libc/constants.ts';
import { isRealtime } from '../sys/process/priority.ts';
import { eventIndex } from '../table/counters.ts';
import type { EventWriter } from '../table/events.ts';
import type { LinkChange } from '../table/links/link-change.ts';
import { LinkReader } from '../table/links/links.ts';
import { PathLimitReader } from '../table/links/path-limits.ts';
import { PeerRateReader } from '../table/links/peer-rates.ts';
import { SeatReader } from '../table/links/seats.ts';
import { UnderlayReader } from '../table/links/underlays.ts';
import { PathRows } from '../table/paths.ts';
import { ENDPOINTS_MAX, type TableSegment } from '../table/segment.ts';
import { NeighbourDiscovery } from './answer/nd.ts';
import { Neighbours } from './answer/neighbours.ts';
import { TooBig } from './answer/too-big.ts';
import { type Changes, serveChanges } from './changes.ts';
import { Egress } from './egress/egress.ts';
import type { Arena } from './ground/arena.ts';
import { readTables } from './ground/link.ts';
import { PEERS_KNOWN_MAX } from './ground/peer-index.ts';
import { PeerTable } from './ground/peers.ts';
import type { Waiting } from './ground/ports.ts';
import { SOCKADDR_BYTES } from './ground/sockaddr.ts';
import { drain, type Handover } from './handover.ts';
import { Coalescer } from './ingress/deliver/coalesce.ts';
import { DeviceWriter } from './ingress/deliver/device-writer.ts';
import { Ingress } from './ingress/ingress.ts';
import { Receiver } from './ingress/receive.ts';
import { LinkSet } from './link-set.ts';
import { serveNetworks } from './networks.ts';
import type { IdleWork, Outside } from './outside.ts';
import { CatchUp } from './pace/catch-up.ts';
import { AtWork } from './pace/idle-work.ts';
import { Linger, Way } from './pace/linger.ts';
import { Moderation } from './pace/moderation.ts';
import { PollSet, REST_MS } from './pace/poll-set.ts';
import { PARENT_PLACE, Role, WAKE_PLACE } from './pace/roles.ts';
import { isStale, MONOTONIC_OFFSET_MS, shedStale } from './pace/stale.ts';
import { awaitTurn } from './pace/turn.ts';
import { ErrorQueue } from './send/errors.ts';
import { PathMtu } from './send/path-mtu.ts';
import { SenderWatch } from './send/sender-watch.ts';
import { Trains } from './send/trains.ts';

/** Consecutive failing calls after which a descriptor is left alone for a while. */
const FAILURES_MAX = 16;
/** How long the process forwards on after control has vanished, ms, before it ends itself. */
const ORPHAN_LIFETIME_MS = 120_000;

const ROUNDS = eventIndex('rounds');
const UNREADABLE = eventIndex('tables_unreadable');

/** Wake-up, parent, changes, errors, two of a handover; then a listening socket for each endpoint and every device. */
const DESCRIPTORS_MAX = 6 + ENDPOINTS_MAX + LINKS_MAX;

export class Loop {
  readonly #layout: Layout;
  readonly #arena: Arena;
  readonly #waiting: Waiting;
  readonly #links: LinkSet;
  readonly #changes: Changes | undefined;
  readonly #handover: Handover | undefined;
  readonly #rows: PathRows;
  readonly #egress: Egress;
  readonly #receiver: Receiver;
  readonly #errors: ErrorQueue;
  readonly #senders: SenderWatch;
  readonly #poll: PollSet;
  readonly #linger: Linger;
  readonly #scratch: number;
  readonly #moderation = new Moderation(isRealtime);
  readonly #catchUp: CatchUp;
  readonly #ingress: Ingress;
  readonly #events: EventWriter;
  /** Packets and trains that the round in hand has moved each way, and which way the last one went. */
  #movedOut = 0;
  #movedIn = 0;
  #way: number = Way.Out;
  /** Where the last packets of each way came from, −1 = nowhere. */
  readonly #places = new Int32Array(2).fill(-1);
  /** How many forgotten MACs control had told when we looked last. */
  #forgotten: number;
  #orphanedAtMs = 0;
  readonly #atWork: AtWork;
  /** Changes wait: they are served once everybody who is ready has had its turn. */
  #isChangeDue = false;
  /** A successor of control has said something: served likewise. */
  #isHandoverDue = false;

  /**
   * A loop without links; {@link apply} brings them.
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
    const { ports, routes } = outside;
    this.#arena = arena;
    this.#waiting = ports.waiting;
    this.#layout = layout;
    this.#rows = new PathRows(layout.paths());
    const peers = new PeerTable(this.#arena, this.#rows, PEERS_KNOWN_MAX, outside.family);
    const [tooBig, neighbours] = [new TooBig(arena), new Neighbours(arena)];
    const nd = new NeighbourDiscovery(arena);
    this.#forgotten = layout.forgotten.count;
    this.#poll = new PollSet(this.#arena, this.#waiting, DESCRIPTORS_MAX);
    this.#atWork = new AtWork(this.#poll);
    this.#senders = new SenderWatch(this.#arena, this.#waiting);
    this.#poll.add(Role.Wake, 0, wakeFd);
    this.#poll.add(Role.Parent, 0, parentFd);
    this.#changes = outside.changes;
    this.#handover = outside.handover;
    if (this.#changes !== undefined) this.#poll.add(Role.Changes, 0, this.#changes.descriptor);
    this.#poll.add(Role.Errors, 0, this.#senders.descriptor);
    const tables = readTables(segment);
    this.#links = new LinkSet({
      ...{ scene: { layout, tables, peers, ports }, rows: new LinkReader(segment) },
      ...{ poll: this.#poll, senders: this.#senders, probes: routes },
      ...{ reaches: new UnderlayReader(segment), scratch: arena.allocate(SOCKADDR_BYTES) },
      ...{ seats: new SeatReader(segment), roles: { device: Role.Device, receive: Role.Receive } },
      forgetLink: (id) => {
        neighbours.forgetLink(id);
        nd.forgetLink(id);
        this.#egress.forgetLink(id);
      },
    });
    const coalescer = new Coalescer(this.#arena, new DeviceWriter(this.#arena, layout));
    const paths = new PathMtu(peers, routes, new PathLimitReader(segment));
    this.#errors = new ErrorQueue(this.#arena, peers);
    const trains = new Trains(this.#arena, layout, paths, this.#errors);
    const rates = new PeerRateReader(segment);
    const egressParts = { arena, trains, paths, tooBig, neighbours, discovery: nd, rates };
    this.#egress = new Egress(layout, egressParts);
    this.#ingress = new Ingress(this.#arena, coalescer, this.#links.links, neighbours, nd);
    this.#events = serveNetworks(this.#egress, this.#ingress, {
      ...{ arena, layout, trains, coalescer, segment, flows: outside.flows },
    });
    this.#receiver = new Receiver(this.#arena, layout, this.#ingress);
    this.#catchUp = new CatchUp(this.#egress, this.#receiver.sort, {
      lasts: (isBehind) => {
        layout.isBehind = isBehind;
        this.#waiting.ring(this.#poll.descriptorOf(PARENT_PLACE));
      },
      moved: (packets, way) => this.#noteMoved(packets, way),
    });
    this.#scratch = this.#arena.allocate(8);
    this.#linger = new Linger({
      ready: () => this.#poll.wait(0),
      guess: (way, nowMs) => this.#guess(way, nowMs),
      giveWay: () => this.#waiting.giveWay(),
      nowMs: () => performance.now(),
    });
  }

  /** Takes links in and drops others, between two rounds; 0, or the errno for which it was refused. */
  apply(change: LinkChange): number {
    this.#places.fill(-1);
    return this.#links.apply(change);
  }

  /**
   * Waits for the turn of `epoch`, then runs until the turn passes on, or control is gone for too
   * long.
   * @param idleWork something to do while there is nothing to forward, a moment at a time, until it says that
   *   there is no more of it
   */
  run(epoch: number, idleWork?: IdleWork): void {
    const layout = this.#layout;
    this.#atWork.work = idleWork;
    const { turn } = layout;
    turn.warmEpoch = epoch;
    const parent = this.#poll.offsetOf(PARENT_PLACE);
    if (!awaitTurn(this.#arena, this.#waiting, turn, epoch, parent)) return;
    // What the predecessor knew went with it.
    this.#rows.clear();
    if (isStale(layout)) {
      const { links, endpoints } = this.#links;
      shedStale(this.#egress, links, this.#ingress, this.#receiver, endpoints);
    }
    layout.isBehind = false;
    layout.setWorkerState(WorkerState.Ready);
    let active = false;
    let nowMs = performance.now();
    while (turn.epoch === epoch && this.#handover?.isOver !== true) {
      layout.beat(nowMs + MONOTONIC_OFFSET_MS);
      const ready = this.#wait(active);
      // Not the time of day: somebody may set that back, and limits and lifetimes with it.
      nowMs = performance.now();
      active = ready > 0;
      if (this.#orphanedAtMs !== 0 && nowMs - this.#orphanedAtMs > ORPHAN_LIFETIME_MS) break;
      if (this.#poll.isResting) this.#poll.resume(nowMs);
      if (this.#catchUp.look(nowMs) || ready > 0) this.#round(nowMs);
      else if (this.#egress.queues.waiting > 0) this.#egress.queues.release(nowMs);
      this.#catchUp.note(nowMs);
    }
    this.#catchUp.finish();
    if (this.#handover?.isOver === true) drain(this.#egress.queues, (us) => this.#nap(us));
    layout.setWorkerState(WorkerState.Stopped);
    turn.stopped(epoch);
  }

  /**
   * One round over what is ready now, without waiting: how a loop is run that nobody counts on yet.
   * Returns what moved, packets and trains.
   */
  tryRound(): number {
    this.#beginRound();
    if (this.#poll.wait(0) <= 0 && !this.#catchUp.isBehind) return 0;
    this.#round(performance.now());
    return this.#movedOut + this.#movedIn;
  }

  /** Where messages may be laid that no socket brings with all that there is to tell of them. */
  get receiver(): Receiver {
    return this.#receiver;
  }

  /** Takes the first `count` messages that lie there, as the first link's endpoint would have brought them. */
  takeLaid(count: number): void {
    const endpoint = this.#links.links[0]?.endpoint;
    if (endpoint !== undefined) this.#receiver.takeLaid(endpoint, count, performance.now());
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

  /** Takes one packet that way, from where the last ones came, without asking whether there is one; how many. */
  #guess(way: number, nowMs: number): number {
    const place = this.#places[way] as number;
    if (place < 0 || !this.#poll.isWatched(place)) return 0;
    this.#poll.clear();
    this.#serve(place, POLLIN, nowMs, 1);
    return this.#movedOut + this.#movedIn;
  }

  #serveReady(nowMs: number): void {
    this.#count(ROUNDS);
    const { size } = this.#poll;
    for (let place = 0; place < size; place++) {
      const revents = this.#poll.reventsOf(place);
      if (revents !== 0) this.#serve(place, revents, nowMs);
    }
    if (this.#catchUp.look(nowMs)) this.#catchUp.release(nowMs);
    const { queues } = this.#egress;
    if (queues.waiting > 0) this.#noteMoved(queues.release(performance.now()), Way.Out);
    if (this.#events.takeAsleep()) this.#waiting.ring(this.#poll.descriptorOf(PARENT_PLACE));
    if (this.#isChangeDue) {
      this.#isChangeDue = false;
      serveChanges(this.#changes, this.#layout, (change) => this.apply(change));
    }
    if (this.#isHandoverDue) {
      this.#isHandoverDue = false;
      this.#handover?.serve(this.#links.holding(), this.#poll, Role.Handover);
    }
  }

  /** Sleeps until something is ready; after activity it waits awake first, if told to or if it pays. */
  #wait(active: boolean): number {
    this.#beginRound();
    if (this.#catchUp.isBehind) return this.#poll.giveWay(this.#moderation.isUrgent);
    const { busyPollUs } = this.#layout;
    const { queues } = this.#egress;
    const areQueued = queues.waiting > 0;
    if (this.#atWork.work !== undefined && !areQueued) return this.#atWork.wait();
    const heldUs = this.#catchUp.heldUs();
    if (heldUs > 0) return this.#poll.waitUs(areQueued ? Math.min(heldUs, queues.dueUs) : heldUs);
    // What waits for a rate has a time: nobody stays awake beside it.
    if (active && !areQueued) {
      const ready = busyPollUs > 0 ? this.#poll.waitAwake(busyPollUs) : this.#linger.wait();
      if (ready !== 0) return ready;
    }
    const beganMs = performance.now();
    const ready = areQueued
      ? this.#poll.waitUs(queues.dueUs)
      : this.#poll.wait(this.#catchUp.sleepMs(this.#poll.isResting ? REST_MS : IDLE_BEAT_MS));
    this.#moderation.waited(beganMs, performance.now());
    return ready;
  }

  /** @param most packets of a burst */
  #serve(place: number, revents: number, nowMs: number, most?: number): void {
    const poll = this.#poll;
    switch (poll.roleOf(place)) {
      case Role.Device: {
        const link = this.#links.link(poll.ownerOf(place));
        this.#places[Way.Out] = place;
        this.#noteMoved(this.#egress.readBurst(link, nowMs, most), Way.Out);
        if ((revents & POLLNVAL) !== 0) poll.ignore(place);
        else if (link.readErrors >= FAILURES_MAX) poll.rest(place, nowMs);
        break;
      }
      case Role.Receive: {
        const endpoint = this.#links.endpoint(poll.ownerOf(place));
        const socket = poll.descriptorOf(place);
        if ((revents & POLLERR) !== 0) {
          this.#errors.drain(endpoint, socket, nowMs);
        }
        // On an error too: receiving is what clears one that has no text in the error queue.
        if ((revents & (POLLIN | POLLERR)) !== 0) {
          this.#places[Way.In] = place;
          this.#noteMoved(this.#receiver.receiveBurst(endpoint, socket, nowMs, most), Way.In);
        }
        if ((revents & POLLNVAL) !== 0) poll.ignore(place);
        else if (endpoint.receiveErrors >= FAILURES_MAX) poll.rest(place, nowMs);
        break;
      }
      case Role.Errors:
        this.#senders.serve((endpoint, socket) => this.#errors.drain(endpoint, socket, nowMs));
        break;
      case Role.Changes:
        this.#isChangeDue = true;
        // Control is gone, which the parent pipe tells; what it has sent before is there still.
        if ((revents & (POLLHUP | POLLERR | POLLNVAL)) !== 0) poll.ignore(place);
        break;
      case Role.Handover:
        this.#isHandoverDue = true;
        break;
      case Role.Parent:
        if ((revents & (POLLHUP | POLLERR)) !== 0) {
          // Control died: keep forwarding by the last good table until the next one takes over.
          if (this.#orphanedAtMs === 0 && this.#handover !== undefined) {
            poll.add(Role.Handover, 0, this.#handover.descriptor);
          }
          this.#orphanedAtMs = nowMs;
          poll.ignore(place);
        } else {
          // The ring that our turn had come, which we saw without it.
          this.#waiting.takeRing(poll.descriptorOf(place), this.#scratch);
        }
        break;
      default:
        this.#refresh();
    }
  }

  #beginRound(): void {
    this.#movedOut = 0;
    this.#movedIn = 0;
  }

  #noteMoved(packets: number, way: number): void {
    if (packets === 0) return;
    if (way === Way.Out) this.#movedOut += packets;
    else this.#movedIn += packets;
    this.#way = way;
  }

  #nap(us: number): void {
    this.#poll.nap(us);
    this.#moderation.waited(0, performance.now());
  }

  /** Control rang: take over what may change while we run. */
  #refresh(): void {
    this.#waiting.takeRing(this.#poll.descriptorOf(WAKE_PLACE), this.#scratch);
    const { forgotten } = this.#layout;
    for (const { link, high, low } of forgotten.after(this.#forgotten)) {
      this.#links.find(link)?.forgetMac(high, low);
    }
    this.#forgotten = forgotten.count;
    this.#count(UNREADABLE, this.#links.refresh());
  }

  /** Counts events that belong to no link on the first one. */
  #count(counter: number, events = 1): void {
    const first = this.#links.links[0];
    if (first !== undefined) first.counters[counter] = (first.counters[counter] as number) + events;
  }
}
