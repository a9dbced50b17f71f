/**
 * One data process and its successors: spawned without capabilities, watched by its heartbeat,
 * restarted when it ends or hangs. Descriptors and the shared segment stay open here, so a restart
 * touches neither devices nor addresses nor counters.
 * @module
 */
import { messageOf } from '../../../errors.ts';
import { RULES_PER_LINK_MAX } from '../../../limits.ts';
import type { Log } from '../../../log.ts';
import { LAYOUT_BYTES, Layout } from '../../../shm/layout.ts';
import type { LinkMac } from '../../../shm/mac-ring.ts';
import { libc } from '../../../sys/libc/libc.ts';
import { createEventFd, SharedMemory, signalEventFd } from '../../../sys/libc/memory.ts';
import { Beat } from '../../../sys/process/beat.ts';
import { confinementGaps } from '../../../sys/process/capabilities.ts';
import type { Priority, PriorityReport } from '../../../sys/process/priority.ts';
import { EventReader } from '../../../table/events.ts';
import { type PathRecord, readPaths } from '../../../table/paths.ts';
import { type Child, startChild } from './child.ts';
import { LastError } from './last-error.ts';
import { changeBetween, type Holding, NOTHING_HELD } from './link-passing.ts';

/** How often the heartbeat is looked at, ms. */
const WATCH_INTERVAL_MS = 500;
/**
 * A heart that stood still at this many looks is stuck: the idle loop beats once a second. Looks,
 * not time: a machine that slept, or a clock that jumped, is nobody's hang.
 */
const STUCK_AFTER_LOOKS = 10;
/** A process that lived this long starts again at once; a shorter life waits first. */
const STABLE_LIFE_MS = 5000;
const BACKOFF_FIRST_MS = 50;
const BACKOFF_MAX_MS = 60_000;
const STOP_TIMEOUT_MS = 1000;
export type ProcessReport = {
  pid: number;
  restarts: number;
  heartbeat: number;
  alive: boolean;
  lastError: string;
  /** What its confinement lacks on this machine; empty = nothing. */
  confinementGaps: string[];
  /** How it is scheduled. */
  priority: PriorityReport;
};

/** What the kernel says that a process' confinement lacks, and what we could not take from it. */
function gapsOf({ process: { pid = 0 }, mountGap }: Child): string[] {
  return [
    ...confinementGaps(pid),
    ...(mountGap === '' ? [] : [`sees the host's files (${mountGap})`]),
  ];
}

export class DataProcess {
  readonly #memory = SharedMemory.create('fanway-process', LAYOUT_BYTES);
  readonly #layout: Layout;
  readonly #ruleHits: Float64Array;
  readonly #wakeFd = createEventFd();
  readonly #log: Log;
  readonly #onRestart: (reason: string) => void;
  readonly #onEvents: () => void;
  /** What the process tells of layer-2 networks. */
  readonly events: EventReader;
  readonly #recordDirectory: string | undefined;
  readonly #tablesFd: number;
  readonly #flowsFd: number;
  /** What the next process gets, should this one end. */
  #wanted = NOTHING_HELD;
  /** What the running one has; undefined when a change of it failed half-way, perhaps. */
  #held: Holding | undefined;
  /** Counts the changes that were passed. */
  #changes = 0;
  readonly #priority: Priority;
  #crowded: boolean;
  #child: Child | undefined;
  #epoch = 0;
  #restarts = 0;
  #shortLives = 0;
  /** How many claims were told when we looked last. */
  #claims = 0;
  readonly #lastError = new LastError(() => performance.now());
  #watch: Beat | undefined;
  #restartTimer: NodeJS.Timeout | undefined;
  #lastBeat = 0;
  #stillLooks = 0;
  #closed = false;
  /** It is worth having without links: some are about to come. */
  #isKept = false;
  /** The tail of starts and stops: each waits for the one before it. */
  #turn: Promise<unknown> = Promise.resolve();

  /**
   * @param options.tablesFd the memory with the tables that all data processes share
   * @param options.flowsFd the memory with the connections that they all know
   * @param options.queues how many data processes share the links
   * @param options.crowded whether the machine is, see {@link crowded}
   * @param options.onEvents there may be events of layer-2 networks: see {@link events}
   * @param options.recordDirectory where running processes are noted for a successor of control
   */
  constructor(options: {
    log: Log;
    onRestart: (reason: string) => void;
    recordDirectory: string | undefined;
    tablesFd: number;
    flowsFd: number;
    queues: number;
    busyPollUs: number;
    priority: Priority;
    crowded: boolean;
    onEvents: () => void;
  }) {
    this.#log = options.log;
    this.#priority = options.priority;
    this.#crowded = options.crowded;
    this.#recordDirectory = options.recordDirectory;
    this.#tablesFd = options.tablesFd;
    this.#flowsFd = options.flowsFd;
    this.#onRestart = options.onRestart;
    this.#onEvents = options.onEvents;
    this.#layout = new Layout(this.#memory.buffer);
    this.#layout.initialize();
    this.#ruleHits = this.#layout.ruleHits();
    this.events = new EventReader(this.#layout.eventReader());
    this.#layout.queues = options.queues;
    this.#layout.busyPollUs = options.busyPollUs;
  }

  /** MACs that the process says somebody claims from outside, since the last call. */
  takeClaims(): LinkMac[] {
    const claims = this.#layout.claims.after(this.#claims);
    this.#claims = this.#layout.claims.count;
    return claims;
  }

  /** Tells the process that a MAC is not behind this link's own ports any more. */
  forgetMac({ link, high, low }: LinkMac): void {
    this.#layout.forgotten.push(link, high, low);
    signalEventFd(this.#wakeFd);
  }

  /** How often the rule decided whose hits are at `index`. */
  ruleHits(index: number): number {
    return this.#ruleHits[index] ?? 0;
  }

  /** A link id is another link's from now on: nothing has been counted. */
  clearCounters(id: number): void {
    this.#layout.counters(id).fill(0);
    this.#ruleHits.fill(0, id * RULES_PER_LINK_MAX, (id + 1) * RULES_PER_LINK_MAX);
  }

  /** Counter column of a link id: 192 doubles; live. */
  counters(id: number): Float64Array {
    return this.#layout.counters(id);
  }

  /** What the process has learned of the paths to its peers. */
  paths(): PathRecord[] {
    return this.#child === undefined ? [] : readPaths(this.#layout.paths());
  }

  /**
   * Runs these links from now on. A process that runs is told what comes and goes, and misses no packet
   * of the others. Where that fails, or none runs, a successor is started: it sets itself up while its
   * predecessor still forwards; then the turn passes at the predecessor's word, and the kernel's queues
   * hold what arrives in between.
   * @throws Error when no process could be started; the predecessor then goes on.
   */
  run(wanted: Holding): Promise<void> {
    return this.#inTurn(() => this.#run(wanted));
  }

  /** Has a process ready that lacks nothing but links. `isKept`: it stays without them until {@link rest}. */
  prepare(isKept = false): Promise<void> {
    return this.#inTurn(async () => {
      this.#isKept = isKept;
      if (!this.#child) this.#handOver(await this.#start(NOTHING_HELD), undefined);
    });
  }

  /** One that was prepared to be kept ends where it has no links. */
  rest(): Promise<void> {
    return this.#inTurn(async () => {
      this.#isKept = false;
      if (this.#wanted.links.length === 0) await this.#stopChild();
    });
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const next = this.#turn.then(work);
    this.#turn = next.catch(() => {});
    return next;
  }

  async #run(wanted: Holding): Promise<void> {
    if (this.#restartTimer !== undefined) clearTimeout(this.#restartTimer);
    this.#restartTimer = undefined;
    if (wanted.links.length === 0) {
      if (this.#isKept && (await this.#pass(wanted))) return;
      this.#wanted = wanted;
      await this.#stopChild();
      return;
    }
    if (await this.#pass(wanted)) return;
    let successor: Child;
    try {
      successor = await this.#start(wanted);
    } catch (error) {
      // Without a predecessor nobody would forward for the links that are there.
      if (this.#child === undefined) this.#restartLater(error, 'it did not start');
      throw error;
    }
    this.#wanted = wanted;
    const predecessor = this.#child;
    this.#handOver(successor, predecessor);
    // The caller may close what the predecessor still holds, and open it again.
    if (predecessor !== undefined) await this.#gone(predecessor);
  }

  /** Tells the running process what comes and goes; false where only a successor can have it. */
  async #pass(wanted: Holding): Promise<boolean> {
    const child = this.#child;
    if (child === undefined || this.#held === undefined) return false;
    const change = changeBetween(this.#held, wanted);
    if (change !== undefined) {
      // Until it has answered nobody knows.
      this.#held = undefined;
      const numbered = { ...change, sequence: ++this.#changes };
      const reason = await child.channel.pass(numbered, this.#layout, child.hasEnded);
      if (reason !== '') {
        const what = `data process ${child.process.pid} did not take the change of links`;
        this.#log.warn('data-process', `${what} (${reason}): starting a successor with them`);
        return false;
      }
    }
    this.#wanted = wanted;
    this.#held = wanted;
    return true;
  }

  /** Has the process look at its links' rows again (MTU, DSCP), and a restart get no more than these. */
  update(wanted: Holding): void {
    this.#wanted = wanted;
    signalEventFd(this.#wakeFd);
  }

  /** Tells whether more wants to run on this machine than its cores can carry. */
  set crowded(crowded: boolean) {
    this.#crowded = crowded;
    this.#child?.priority.crowded(crowded);
  }

  report(): ProcessReport {
    const worker = this.#layout.workerStatus();
    this.#lastError.look(worker);
    const child = this.#child;
    return {
      pid: child?.process.pid ?? 0,
      restarts: this.#restarts,
      heartbeat: worker.heartbeat,
      alive: child !== undefined && this.#stillLooks < STUCK_AFTER_LOOKS,
      lastError: this.#lastError.text,
      confinementGaps: child === undefined ? [] : gapsOf(child),
      priority: child?.priority.report() ?? { wanted: this.#priority, inForce: '', reason: '' },
    };
  }

  /** Ends the process and frees the segment. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#watch?.close();
    clearTimeout(this.#restartTimer);
    await this.#inTurn(() => this.#stopChild());
    libc.close(this.#wakeFd);
    this.#memory.close();
  }

  /** Starts a process with these links and waits until it only lacks its turn. */
  #start(wanted: Holding): Promise<Child> {
    return startChild({
      hasPredecessor: this.#child !== undefined,
      ...{ wanted, epoch: ++this.#epoch, sequence: this.#changes, layout: this.#layout },
      descriptors: {
        ...{ segment: this.#memory.fd, wake: this.#wakeFd },
        ...{ tables: this.#tablesFd, flows: this.#flowsFd },
      },
      recordDirectory: this.#recordDirectory,
      priority: this.#priority,
      isCrowded: this.#crowded,
      isClosed: () => this.#closed,
      onError: (message) => this.#lastError.note(message),
      onRing: this.#onEvents,
    });
  }

  /** Passes the turn: `child` begins when its predecessor, if there is one, says that it has stopped. */
  #handOver(child: Child, predecessor: Child | undefined): void {
    this.#child = child;
    this.#held = child.born;
    this.#lastBeat = this.#layout.workerStatus().heartbeat;
    this.#stillLooks = 0;
    child.priority.takeTurn();
    this.#passTurn(child.epoch, predecessor);
    child.ring();
    // It may have ended while its predecessor was stopped: a listener would come too late.
    void child.exited.then(() => this.#ended(child));
    this.#watch ??= new Beat(WATCH_INTERVAL_MS, () => this.#lookAtHeart());
  }

  #passTurn(epoch: number, predecessor: Child | undefined): void {
    const { turn } = this.#layout;
    turn.pass(epoch, predecessor?.epoch ?? 0);
    if (predecessor === undefined) return;
    signalEventFd(this.#wakeFd);
    // One that ends without a word will not say that it has stopped.
    void predecessor.exited.then(() => {
      if (turn.epoch === epoch) turn.pass(epoch, 0);
    });
  }

  /** Waits until a process whose turn is over has ended. */
  async #gone(child: Child): Promise<void> {
    const timer = setTimeout(() => child.process.kill('SIGKILL'), STOP_TIMEOUT_MS);
    await child.exited;
    clearTimeout(timer);
  }

  async #stopChild(): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    this.#child = undefined;
    this.#passTurn(0, child);
    await this.#gone(child);
  }

  #lookAtHeart(): void {
    const child = this.#child;
    if (child === undefined) return;
    // A process that was killed may have told something, and not rung.
    this.#onEvents();
    const worker = this.#layout.workerStatus();
    const { heartbeat } = worker;
    this.#lastError.look(worker);
    if (heartbeat !== this.#lastBeat) {
      this.#lastBeat = heartbeat;
      this.#stillLooks = 0;
    } else if (++this.#stillLooks === STUCK_AFTER_LOOKS) {
      this.#log.error('data-process', `data process ${child.process.pid} is stuck: restarting it`);
      child.process.kill('SIGKILL');
    }
  }

  #ended(child: Child): void {
    const { exitCode, signalCode } = child.process;
    if (this.#child !== child || this.#closed) return;
    this.#child = undefined;
    this.#restarts++;
    const reason = signalCode === null ? `exit code ${exitCode}` : `signal ${signalCode}`;
    const message = `the data process ended (${reason})`;
    this.#lastError.note(message);
    const lived = performance.now() - child.startedAtMs;
    this.#shortLives = lived < STABLE_LIFE_MS ? this.#shortLives + 1 : 0;
    // The first short life may be chance; from the second on each wait doubles.
    const delay =
      this.#shortLives < 2
        ? 0
        : Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** (this.#shortLives - 2));
    this.#log.warn('data-process', `${message}; starting it again in ${delay} ms`);
    this.#restartAfter(delay, reason);
  }

  #restartAfter(delayMs: number, reason: string): void {
    clearTimeout(this.#restartTimer);
    const restart = (): Promise<void> => this.#inTurn(() => this.#restart(reason));
    this.#restartTimer = setTimeout(() => void restart(), delayMs);
  }

  /** The start itself failed: waits longer each time. */
  #restartLater(error: unknown, reason: string): void {
    const message = messageOf(error);
    this.#lastError.note(message);
    if (this.#closed || this.#wanted.links.length === 0) return;
    this.#shortLives++;
    const delay = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** this.#shortLives);
    this.#log.error('data-process', `${message}; trying again in ${delay} ms`);
    this.#restartAfter(delay, reason);
  }

  async #restart(reason: string): Promise<void> {
    this.#restartTimer = undefined;
    if (this.#closed || this.#child !== undefined || this.#wanted.links.length === 0) return;
    try {
      this.#handOver(await this.#start(this.#wanted), undefined);
      this.#onRestart(reason);
    } catch (error) {
      this.#restartLater(error, reason);
    }
  }
}
