/**
 * How the scheduler treats a process: `auto` raises it above ordinary load while the machine is crowded, and runs
 * its first thread before all ordinary threads while it does not get done what it has to do; `realtime` does so
 * always. Both only where that cannot starve the machine.
 *
 * Raised on a machine that has room, it only costs: whoever it woke waits behind it on the same core
 * (one stream at 0.8, `ping -f` at half of the rate).
 *
 * Nothing here is fatal: what the system does not permit is told, and the process runs as it is.
 * @module
 */
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { codeOf } from '../../errors.ts';
import { addressOf, check, errno, errnoName, libc } from '../libc/libc.ts';

/** What may be asked for. */
export type Priority = 'auto' | 'normal' | 'realtime';

/** What a process runs with, and why that is less than was asked for ('' when it is not). */
export type PriorityReport = { wanted: Priority; inForce: string; reason: string };

/** The nice value of `auto`: nine times the share of an ordinary process (sched(7)). */
export const RAISED_NICE = -10;
/** Who was born above that stays there. */
function raisedFrom(born: number): number {
  return Math.min(born, RAISED_NICE);
}

/** Lowest real-time priority: before ordinary threads, behind whatever else is real-time. */
const REALTIME_PRIORITY = 1;
/**
 * A real-time thread that has not slept for so long is killed (RLIMIT_RTTIME, µs). The loop sleeps many
 * times more often; one that spins is not ours any more, and control starts another.
 */
const REALTIME_AWAKE_US_MAX = 200_000;

/**
 * How long a process that is behind runs before others of its weight have the core, ns. The scheduler's own slice
 * (1.4 ms on two processors) protects who runs even where it offers the core after each of its turns.
 */
export const BEHIND_SLICE_NS = 200_000;
/** Numbers of sched_setattr(2) by processor. */
const SCHED_SETATTR: Readonly<Record<string, number>> = { x64: 314, arm64: 274 };
const SCHED_ATTR_BYTES = 48;
const SCHED_OTHER = 0;

const PRIO_PGRP = 1;
const SCHED_FIFO = 1;
const SCHED_RR = 2;
const SCHED_DEADLINE = 6;
const SCHED_RESET_ON_FORK = 0x40000000;
const RLIMIT_RTTIME = 15;

const realtimeParameter = new Int32Array([REALTIME_PRIORITY]);
const noParameter = new Int32Array(1);
const awakeLimit = new BigUint64Array([
  BigInt(REALTIME_AWAKE_US_MAX),
  BigInt(REALTIME_AWAKE_US_MAX),
]);

/** A field of a process' first thread by its number in proc_pid_stat(5), from the third on; 0 when it is gone. */
function statOf(pid: number, field: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // They begin behind the name, which may hold anything.
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[field - 3]);
  } catch {
    return 0;
  }
}

/** The nice value of a process' first thread; 0 when it is gone. */
export function niceOf(pid: number): number {
  return statOf(pid, 19);
}

/** The nice value of a process' session (`/autogroup-7 nice 0`, sched(7)); 0 where it has none. */
export function autogroupNiceOf(pid: number): number {
  try {
    return Number(/ nice (-?\d+)/.exec(readFileSync(`/proc/${pid}/autogroup`, 'latin1'))?.[1] ?? 0);
  } catch {
    return 0;
  }
}

/**
 * Why a real-time thread could starve this machine, '' when it cannot: the kernel keeps a share of each
 * period for the others (sched_rt_runtime_us; −1 takes the guard away).
 */
export function realtimeObstacle(runtimeUs: number, periodUs: number): string {
  if (runtimeUs >= 0 && runtimeUs < periodUs) return '';
  return 'the kernel keeps no time for others beside real-time threads (sched_rt_runtime_us)';
}

function sysctlNumber(name: string): number {
  try {
    return Number(readFileSync(`/proc/sys/kernel/${name}`, 'latin1'));
  } catch {
    return -1;
  }
}

/**
 * Bounds how long a real-time thread may run without sleeping, for the calling process (0) or another
 * of the same user; an ordinary one does not notice. A process does it to itself while it may.
 */
export function limitRealtime(pid = 0): void {
  check('prlimit(RLIMIT_RTTIME)', libc.prlimit(pid, RLIMIT_RTTIME, addressOf(awakeLimit), 0));
}

/** Whether {@link limitRealtime} holds for a process (proc_pid_limits(5)). */
function isLimited(pid: number): boolean {
  try {
    const limits = readFileSync(`/proc/${pid}/limits`, 'latin1');
    const hard = Number(/^Max realtime timeout\s+\S+\s+(\S+)/m.exec(limits)?.[1]);
    return hard <= REALTIME_AWAKE_US_MAX;
  } catch {
    return false;
  }
}

/** Makes a process' first thread real-time (round robin); returns '' or why not. */
export function makeRealtime(pid: number): string {
  const obstacle = realtimeObstacle(
    sysctlNumber('sched_rt_runtime_us'),
    sysctlNumber('sched_rt_period_us'),
  );
  if (obstacle !== '') return obstacle;
  if (!isLimited(pid)) return 'nothing bounds a real-time thread of it (RLIMIT_RTTIME)';
  const policy = SCHED_RR | SCHED_RESET_ON_FORK;
  if (libc.sched_setscheduler(pid, policy, addressOf(realtimeParameter)) === 0) return '';
  return `real-time scheduling is not permitted (${errnoName(errno())}): it takes CAP_SYS_NICE or RLIMIT_RTPRIO`;
}

/** SCHED_* of a process' first thread; negative where it is gone. */
function policyOf(pid: number): number {
  const policy = libc.sched_getscheduler(pid);
  return policy < 0 ? policy : policy & ~SCHED_RESET_ON_FORK;
}

/** Whether threads of this policy run before all ordinary ones. */
function isRealtimePolicy(policy: number): boolean {
  return policy === SCHED_RR || policy === SCHED_FIFO || policy === SCHED_DEADLINE;
}

/** Back from {@link makeRealtime} to a policy without parameters; a process that is gone needs it no more. */
function makeOrdinary(pid: number, policy: number): void {
  libc.sched_setscheduler(pid, policy | SCHED_RESET_ON_FORK, addressOf(noParameter));
}

/** The scheduling of one process that we started, from its start to its end. */
export class ProcessPriority {
  readonly #pid: number;
  readonly #wanted: Priority;
  /** What it was born with. Who was real-time then (chrt, systemd's CPUSchedulingPolicy) stays just that. */
  readonly #bornNice: number;
  readonly #bornPolicy: number;
  /**
   * The weight of its session where the kernel weighs sessions and not processes. Open from the start:
   * a process that has sealed itself is closed to all but root. undefined where there are none.
   */
  readonly #autogroup: number | undefined;
  /** The weight that its session was born with: that of a new session is 0, however nice its leader is. */
  readonly #bornSessionNice: number = 0;
  #crowded = false;
  #behind = false;
  #raised = false;
  /** It runs as one that is behind does; and that is a real-time thread. */
  #isHurried = false;
  #isUrgent = false;
  /** What was last refused, by what it is. */
  readonly #refused = new Map<string, string>();
  #realtime: string | undefined;

  /**
   * @param pid of a session leader that we started and that has not sealed itself yet; what it does not
   * permit is told in the report
   */
  constructor(pid: number, wanted: Priority) {
    this.#pid = pid;
    this.#wanted = wanted;
    this.#bornNice = niceOf(pid);
    this.#bornPolicy = Math.max(SCHED_OTHER, policyOf(pid));
    // A process that did not start has no number, and 0 would be ourselves.
    if (pid <= 0 || wanted === 'normal') return;
    this.#autogroup = this.#openAutogroup();
    if (this.#autogroup !== undefined) this.#bornSessionNice = autogroupNiceOf(pid);
    // Whether it may be raised is told before it has to be. (Of its session only once: a second word
    // within a tenth of a second is refused to all but root.)
    this.#setNice(raisedFrom(this.#bornNice));
    this.#setNice(this.#bornNice);
  }

  #openAutogroup(): number | undefined {
    try {
      return openSync(`/proc/${this.#pid}/autogroup`, 'r+');
    } catch (error) {
      // Without the file this kernel has no autogroups, and the nice value alone counts.
      const code = codeOf(error);
      if (code !== 'ENOENT') this.#refuse('autogroup', code);
      return undefined;
    }
  }

  #refuse(what: string, code: string): void {
    const need = what === 'nice' ? ': it takes CAP_SYS_NICE or RLIMIT_NICE' : '';
    const told = what === 'nice' ? `(${code})${need}` : `(${code})`;
    this.#refused.set(what, `${what} ${RAISED_NICE} is not permitted ${told}`);
  }

  /** Gives the group, all threads of its processes, a nice value. */
  #setNice(nice: number): void {
    if (libc.setpriority(PRIO_PGRP, this.#pid, nice) === 0) {
      this.#refused.delete('nice');
      return;
    }
    const code = errnoName(errno());
    if (nice < niceOf(this.#pid)) this.#refuse('nice', code);
  }

  /** The group and its session: above ordinary load, or as they were born. */
  #set(raised: boolean): void {
    this.#setNice(raised ? raisedFrom(this.#bornNice) : this.#bornNice);
    if (this.#autogroup === undefined) return;
    const session = this.#bornSessionNice;
    try {
      writeSync(this.#autogroup, String(raised ? raisedFrom(session) : session));
      this.#refused.delete('autogroup');
    } catch (error) {
      this.#refuse('autogroup', codeOf(error));
    }
  }

  /** `auto`, and what remains of `realtime` where that is refused: above ordinary load while it is crowded. */
  crowded(crowded: boolean): void {
    this.#crowded = crowded;
    this.#settle();
  }

  /** The same while the process does not get done what it has to do. */
  behind(behind: boolean): void {
    this.#behind = behind;
    this.#settle();
  }

  #settle(): void {
    if (this.#pid <= 0 || this.#wanted === 'normal') return;
    const raised = this.#crowded || this.#behind;
    if (raised !== this.#raised) {
      this.#raised = raised;
      this.#set(raised);
    }
    if (this.#behind === this.#isHurried || isRealtimePolicy(this.#bornPolicy)) return;
    this.#isHurried = this.#behind;
    if (this.#behind) this.#hurry();
    else this.#calmDown();
  }

  /**
   * Before all ordinary threads, with a rest for them in each of its milliseconds; where that is refused, before
   * them by weight and in short slices.
   */
  #hurry(): void {
    if (this.#realtime === '') return;
    const refused = makeRealtime(this.#pid);
    this.#isUrgent = refused === '';
    if (refused === '') this.#refused.delete('urgent');
    else {
      if (!this.#refused.has('nice')) this.#refused.set('urgent', refused);
      this.#setSlice(BEHIND_SLICE_NS);
    }
  }

  #calmDown(): void {
    if (this.#isUrgent) makeOrdinary(this.#pid, this.#bornPolicy);
    else this.#setSlice(0);
    this.#isUrgent = false;
  }

  /**
   * Gives the first thread slices of so many ns, 0 = those of everybody. Before Linux 6.12 that changes nothing; and
   * whoever was given another policy has no slices of this kind.
   */
  #setSlice(ns: number): void {
    const number = SCHED_SETATTR[process.arch];
    if (number === undefined || policyOf(this.#pid) !== SCHED_OTHER) return;
    // struct sched_attr: size u32, policy u32, flags u64, nice s32, priority u32, runtime u64, ...
    const attributes = Buffer.alloc(SCHED_ATTR_BYTES);
    attributes.writeUInt32LE(SCHED_ATTR_BYTES, 0);
    attributes.writeInt32LE(niceOf(this.#pid), 16);
    attributes.writeBigUInt64LE(BigInt(ns), 24);
    if (libc.syscall(number, this.#pid, addressOf(attributes), 0, 0, 0) === 0) {
      this.#refused.delete('slice');
      return;
    }
    // Where nice values are refused so are these, and that is told already.
    const code = errnoName(errno());
    if (code === 'ESRCH' || this.#refused.has('nice')) return;
    this.#refused.set('slice', `shorter slices are not permitted (${code})`);
  }

  /** The process is set up and sleeps until its turn comes: all that was asked for. */
  takeTurn(): void {
    if (this.#pid <= 0 || this.#wanted !== 'realtime') return;
    if (isRealtimePolicy(this.#bornPolicy)) this.#realtime = '';
    else this.#realtime ??= makeRealtime(this.#pid);
  }

  /** It has ended. */
  close(): void {
    if (this.#autogroup !== undefined) closeSync(this.#autogroup);
  }

  report(): PriorityReport {
    const refused = [...this.#refused.values()];
    const isBornRealtime = isRealtimePolicy(this.#bornPolicy);
    if (this.#realtime === '' || this.#isUrgent || isBornRealtime) {
      const priority = isBornRealtime ? statOf(this.#pid, 40) : REALTIME_PRIORITY;
      return { wanted: this.#wanted, inForce: `real-time ${priority}`, reason: '' };
    }
    if (this.#realtime !== undefined) refused.unshift(this.#realtime);
    const nice = `nice ${niceOf(this.#pid)}`;
    const session =
      this.#raised && this.#autogroup !== undefined && !this.#refused.has('autogroup');
    return {
      wanted: this.#wanted,
      inForce: session ? `${nice}, autogroup ${raisedFrom(this.#bornSessionNice)}` : nice,
      reason: refused.join('; '),
    };
  }
}

/** Whether the calling thread is real-time, however it came to be. */
export function isRealtime(): boolean {
  return isRealtimePolicy(policyOf(0));
}
