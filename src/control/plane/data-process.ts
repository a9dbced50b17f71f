/**
 * One data process and its successors: spawned without capabilities, watched by its heartbeat,
 * restarted when it ends or hangs. Descriptors and the shared segment stay open here, so a restart
 * touches neither devices nor addresses nor counters.
 * @module
 */
import type { ChildProcess } from 'node:child_process';
import { Writable } from 'node:stream';
import { messageOf } from '../../errors.ts';
import type { Log } from '../../log.ts';
import { LAYOUT_BYTES, Layout, type Tables } from '../../shm/layout.ts';
import type { LinkMac } from '../../shm/mac-ring.ts';
import { ERROR_SITE_NAMES } from '../../shm/worker.ts';
import { programCommand } from '../../sys/host/paths.ts';
import { errnoName, libc } from '../../sys/libc/libc.ts';
import { createEventFd, SharedMemory, signalEventFd } from '../../sys/libc/memory.ts';
import { confinementGaps, spawnUnprivileged } from '../../sys/process/capabilities.ts';
import { type Priority, type PriorityReport, ProcessPriority } from '../../sys/process/priority.ts';
import { type PathRecord, readPaths } from '../../table/paths.ts';
import { forgetProcess, recordProcess } from '../host/orphans.ts';
import { GLIBC_MALLOC } from '../store/memory.ts';

/** How often the heartbeat is looked at, ms. */
const WATCH_INTERVAL_MS = 500;
/**
 * A heart that stood still at this many looks is stuck: the idle loop beats once a second. Looks,
 * not time: a machine that slept, or a clock that jumped, is nobody's hang.
 */
const STUCK_AFTER_LOOKS = 10;
/** Longest start, set-up included, before a new process is given up, ms. */
const START_TIMEOUT_MS = 10_000;
/** A process that lived this long starts again at once; a shorter life waits first. */
const STABLE_LIFE_MS = 5000;
const BACKOFF_FIRST_MS = 50;
const BACKOFF_MAX_MS = 60_000;
const STOP_TIMEOUT_MS = 1000;
/**
 * The first packets after start or idleness meet compiled code, not the interpreter (a third off an
 * idle echo's time); the loop allocates nothing, so a small young generation is enough.
 */
const V8_FLAGS = ['--always-sparkplug', '--max-semi-space-size=1'];
/** Descriptors 0 to 6: stdio, segment, eventfd, parent pipe, tables. */
const FIRST_FREE_FD = 7;

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

type Child = {
  process: ChildProcess;
  epoch: number;
  startedAtMs: number;
  exited: Promise<void>;
  priority: ProcessPriority;
  /** Wakes it, so that it sees at once that its turn has come. */
  ring: () => void;
};

/** Renumbers this process's descriptors to what the child will see; returns its stdio list too. */
export function renumber(tables: Tables): { tables: Tables; descriptors: number[] } {
  const descriptors: number[] = [];
  const childFd = (fd: number): number => {
    const known = descriptors.indexOf(fd);
    return FIRST_FREE_FD + (known >= 0 ? known : descriptors.push(fd) - 1);
  };
  return {
    tables: {
      endpoints: tables.endpoints.map((e) => ({ ...e, sockets: e.sockets.map(childFd) })),
      links: tables.links.map((link) => ({ ...link, deviceFd: childFd(link.deviceFd) })),
    },
    descriptors,
  };
}

export class DataProcess {
  readonly #memory = SharedMemory.create('fanway-process', LAYOUT_BYTES);
  readonly #layout: Layout;
  readonly #wakeFd = createEventFd();
  readonly #log: Log;
  readonly #onRestart: (reason: string) => void;
  readonly #recordDirectory: string | undefined;
  readonly #tablesFd: number;
  #tables: Tables = { endpoints: [], links: [] };
  readonly #priority: Priority;
  #crowded: boolean;
  #child: Child | undefined;
  #epoch = 0;
  #restarts = 0;
  #shortLives = 0;
  /** How many claims were told when we looked last. */
  #claims = 0;
  #lastError = '';
  #watch: NodeJS.Timeout | undefined;
  #restartTimer: NodeJS.Timeout | undefined;
  #lastBeat = 0;
  #stillLooks = 0;
  #closed = false;
  /** The tail of starts and stops: each waits for the one before it. */
  #turn: Promise<unknown> = Promise.resolve();

  /**
   * @param options.tablesFd the memory with the tables that all data processes share
   * @param options.queues how many data processes share the links
   * @param options.crowded whether the machine is, see {@link crowded}
   * @param options.recordDirectory where running processes are noted for a successor of control
   */
  constructor(options: {
    log: Log;
    onRestart: (reason: string) => void;
    recordDirectory: string | undefined;
    tablesFd: number;
    queues: number;
    busyPollUs: number;
    priority: Priority;
    crowded: boolean;
  }) {
    this.#log = options.log;
    this.#priority = options.priority;
    this.#crowded = options.crowded;
    this.#recordDirectory = options.recordDirectory;
    this.#tablesFd = options.tablesFd;
    this.#onRestart = options.onRestart;
    this.#layout = new Layout(this.#memory.buffer);
    this.#layout.initialize();
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

  /** Counter column of a link id: 192 doubles; live. */
  counters(id: number): Float64Array {
    return this.#layout.counters(id);
  }

  /** What the process has learned of the paths to its peers. */
  paths(): PathRecord[] {
    return this.#child === undefined ? [] : readPaths(this.#layout.paths());
  }

  /**
   * Runs these tables from now on. The successor sets itself up while its predecessor still
   * forwards; then the turn passes at the predecessor's word, and the kernel's queues hold what
   * arrives in between.
   * @throws Error when no process could be started; the predecessor then goes on.
   */
  run(tables: Tables): Promise<void> {
    return this.#inTurn(() => this.#run(tables));
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const next = this.#turn.then(work);
    this.#turn = next.catch(() => {});
    return next;
  }

  async #run(tables: Tables): Promise<void> {
    if (this.#restartTimer !== undefined) clearTimeout(this.#restartTimer);
    this.#restartTimer = undefined;
    if (tables.links.length === 0) {
      this.#tables = tables;
      await this.#stopChild();
      return;
    }
    let successor: Child;
    try {
      successor = await this.#start(tables, true);
    } catch (error) {
      // Without a predecessor nobody would forward for the links that are there.
      if (this.#child === undefined) this.#restartLater(error, 'it did not start');
      throw error;
    }
    this.#tables = tables;
    const predecessor = this.#child;
    this.#handOver(successor, predecessor);
    // The caller may close what the predecessor still holds, and open it again.
    if (predecessor !== undefined) await this.#gone(predecessor);
  }

  /** Changes values of running links (MTU, DSCP) without a restart. */
  update(tables: Tables): void {
    this.#tables = tables;
    this.#layout.publish(renumber(tables).tables);
    signalEventFd(this.#wakeFd);
  }

  /** Tells whether more wants to run on this machine than its cores can carry. */
  set crowded(crowded: boolean) {
    this.#crowded = crowded;
    this.#child?.priority.crowded(crowded);
  }

  report(): ProcessReport {
    const worker = this.#layout.workerStatus();
    const site = ERROR_SITE_NAMES[worker.errorSite] ?? '';
    const workerError = worker.errno === 0 ? '' : `${site}: ${errnoName(worker.errno)}`;
    const child = this.#child;
    return {
      pid: child?.process.pid ?? 0,
      restarts: this.#restarts,
      heartbeat: worker.heartbeat,
      alive: child !== undefined && this.#stillLooks < STUCK_AFTER_LOOKS,
      lastError: this.#lastError || workerError,
      confinementGaps: child?.process.pid === undefined ? [] : confinementGaps(child.process.pid),
      priority: child?.priority.report() ?? { wanted: this.#priority, inForce: '', reason: '' },
    };
  }

  /** Ends the process and frees the segment. */
  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#watch);
    clearTimeout(this.#restartTimer);
    await this.#inTurn(() => this.#stopChild());
    libc.close(this.#wakeFd);
    this.#memory.close();
  }

  /**
   * Starts a process for `tables` and waits until it only lacks its turn.
   * @param warm it warms up first; not where somebody waits for whoever comes
   */
  async #start(tables: Tables, warm: boolean): Promise<Child> {
    const numbered = renumber(tables);
    this.#layout.publish(numbered.tables);
    const epoch = ++this.#epoch;
    const [command, ...words] = programCommand('dataplane', V8_FLAGS);
    const startedAtMs = performance.now();
    const child = spawnUnprivileged(command, [...words, String(epoch), warm ? 'warm' : 'cold'], {
      stdio: [
        'ignore',
        'ignore',
        'inherit',
        this.#memory.fd,
        this.#wakeFd,
        'pipe',
        this.#tablesFd,
        ...numbered.descriptors,
      ],
      // A Ctrl-C at the terminal is for control, which ends it in good order.
      detached: true,
      // Nothing of our environment concerns it; NODE_OPTIONS least of all.
      env: GLIBC_MALLOC,
    });
    const priority = new ProcessPriority(child.pid ?? 0, this.#priority);
    priority.crowded(this.#crowded);
    const exited = new Promise<void>((resolve) => {
      child.once('exit', () => resolve());
      child.once('error', () => resolve());
    });
    child.on('error', (error) => {
      this.#lastError = error.message;
    });
    const { pid } = child;
    const directory = this.#recordDirectory;
    if (pid !== undefined && directory !== undefined) recordProcess(directory, pid);
    let ended = false;
    void exited.then(() => {
      ended = true;
      priority.close();
      if (pid !== undefined && directory !== undefined) forgetProcess(directory, pid);
    });
    // The parent pipe breaks when the child dies; that is not news.
    // (There are none when no more descriptors could be had.)
    const pipes: readonly unknown[] = child.stdio ?? [];
    const pipe = pipes[5] instanceof Writable ? pipes[5] : undefined;
    pipe?.on('error', () => {});
    while (this.#layout.turn.warmEpoch !== epoch) {
      if (ended || this.#closed || performance.now() - startedAtMs > START_TIMEOUT_MS) {
        child.kill('SIGKILL');
        throw new Error(
          `the data process ${ended ? 'ended while it started' : 'did not start in time'}`,
        );
      }
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    return { process: child, epoch, startedAtMs, exited, priority, ring: () => pipe?.write('!') };
  }

  /** Passes the turn: `child` begins when its predecessor, if there is one, says that it has stopped. */
  #handOver(child: Child, predecessor: Child | undefined): void {
    this.#child = child;
    this.#lastBeat = this.#layout.workerStatus().heartbeat;
    this.#stillLooks = 0;
    child.priority.takeTurn();
    this.#passTurn(child.epoch, predecessor);
    child.ring();
    // It may have ended while its predecessor was stopped: a listener would come too late.
    void child.exited.then(() => this.#ended(child));
    this.#watch ??= setInterval(() => this.#lookAtHeart(), WATCH_INTERVAL_MS);
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
    const { heartbeat } = this.#layout.workerStatus();
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
    this.#lastError = `the data process ended (${reason})`;
    const lived = performance.now() - child.startedAtMs;
    this.#shortLives = lived < STABLE_LIFE_MS ? this.#shortLives + 1 : 0;
    // The first short life may be chance; from the second on each wait doubles.
    const delay =
      this.#shortLives < 2
        ? 0
        : Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** (this.#shortLives - 2));
    this.#log.warn('data-process', `${this.#lastError}; starting it again in ${delay} ms`);
    this.#restartAfter(delay, reason);
  }

  #restartAfter(delayMs: number, reason: string): void {
    clearTimeout(this.#restartTimer);
    const restart = (): Promise<void> => this.#inTurn(() => this.#restart(reason));
    this.#restartTimer = setTimeout(() => void restart(), delayMs);
  }

  /** The start itself failed: waits longer each time. */
  #restartLater(error: unknown, reason: string): void {
    this.#lastError = messageOf(error);
    if (this.#closed || this.#tables.links.length === 0) return;
    this.#shortLives++;
    const delay = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** this.#shortLives);
    this.#log.error('data-process', `${this.#lastError}; trying again in ${delay} ms`);
    this.#restartAfter(delay, reason);
  }

  async #restart(reason: string): Promise<void> {
    this.#restartTimer = undefined;
    if (this.#closed || this.#child !== undefined || this.#tables.links.length === 0) return;
    try {
      this.#handOver(await this.#start(this.#tables, false), undefined);
      this.#onRestart(reason);
    } catch (error) {
      this.#restartLater(error, reason);
    }
  }
}
