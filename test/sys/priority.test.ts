import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { availableParallelism, setPriority } from 'node:os';
import t, { type Test } from 'tap';
import { addressOf, libc } from '../../src/sys/libc/libc.ts';
import { hasCapability } from '../../src/sys/process/capabilities.ts';
import { CrowdGauge, CrowdWatch, runnableThreads } from '../../src/sys/process/crowd.ts';
import {
  BEHIND_SLICE_NS,
  limitRealtime,
  makeRealtime,
  niceOf,
  ProcessPriority,
  RAISED_NICE,
  realtimeObstacle,
} from '../../src/sys/process/priority.ts';
import { until } from '../support/patience.ts';

const may = hasCapability('SYS_NICE');
const skip = !may && 'needs CAP_SYS_NICE';
const loadSkip =
  (runnableThreads() === undefined && 'no /proc/loadavg') ||
  (availableParallelism() > 8 && 'so many cores are not crowded by a test');

function sleeper(t: Test, command: string[]): ChildProcess & { pid: number } {
  const [program = '', ...args] = command;
  const child = spawn(program, args, { detached: true, stdio: 'ignore' });
  t.teardown(() => child.kill('SIGKILL'));
  const { pid } = child;
  if (pid === undefined) throw new Error(`${program} did not start`);
  return Object.assign(child, { pid });
}

/** Scheduling policy of a thread: 0 ordinary, 2 round robin (proc_pid_stat(5), field 41). */
function policyOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[38]);
}

/** Length of the slices of a thread, ns; 0 where the kernel does not tell (before Linux 6.12). */
function sliceOf(pid: number): number {
  const attributes = Buffer.alloc(48);
  const number = process.arch === 'arm64' ? 275 : 315;
  const result = libc.syscall(number, pid, addressOf(attributes), attributes.length, 0, 0);
  if (result !== 0) throw new Error('sched_getattr');
  return Number(attributes.readBigUInt64LE(24));
}

t.test('auto raises the process and its session while it is crowded', { skip }, async (t) => {
  const { pid } = sleeper(t, ['sleep', '60']);
  // A new session weighs as every other, whatever its leader was born with.
  const born = 5;
  setPriority(pid, born);
  const path = `/proc/${pid}/autogroup`;
  const session = () => (existsSync(path) ? readFileSync(path, 'latin1') : 'none');
  const bornSession = session();
  const priority = new ProcessPriority(pid, 'auto');
  t.teardown(() => priority.close());
  priority.takeTurn();
  t.equal(niceOf(pid), born, 'not without need');
  t.same(priority.report(), { wanted: 'auto', inForce: `nice ${born}`, reason: '' });

  priority.crowded(true);
  t.equal(niceOf(pid), RAISED_NICE);
  const report = priority.report();
  t.match(report, { wanted: 'auto', reason: '', inForce: /^nice -10/ });
  if (existsSync(path)) {
    t.match(session(), /nice -10/);
    t.match(report.inForce, /autogroup -10/);
  }
  t.equal(policyOf(pid), 0);

  const slice = sliceOf(pid);
  priority.behind(true);
  priority.crowded(false);
  t.equal(niceOf(pid), RAISED_NICE, 'it is behind with its work all the same');
  t.equal(policyOf(pid), 0);
  t.equal(sliceOf(pid), slice === 0 ? 0 : BEHIND_SLICE_NS, 'and gives way sooner');
  priority.behind(false);
  t.equal(niceOf(pid), born);
  t.equal(sliceOf(pid), slice);
  t.equal(session(), bornSession);
  t.equal(priority.report().inForce, `nice ${born}`);
});

t.test('who is behind runs before ordinary threads while that lasts', { skip }, async (t) => {
  const { pid } = sleeper(t, ['sleep', '60']);
  const priority = new ProcessPriority(pid, 'auto');
  t.teardown(() => priority.close());
  const born = niceOf(pid);
  limitRealtime(pid);
  priority.behind(true);
  const { inForce, reason } = priority.report();
  // A system may refuse it: then it is raised, and that is told.
  if (policyOf(pid) === 2) t.same([inForce, reason], ['real-time 1', '']);
  else t.match(`${inForce} ${reason}`, /nice -10.*(real-time|sched_rt_runtime_us)/);
  priority.behind(false);
  t.equal(policyOf(pid), 0);
  t.equal(niceOf(pid), born);
  t.equal(priority.report().inForce, `nice ${born}`);
});

t.test('who was started with a policy keeps it', { skip }, async (t) => {
  // Round robin and batch, as chrt(1) and the like of it give them.
  const [five, none] = [new Int32Array([5]), new Int32Array(1)];
  const { pid } = sleeper(t, ['sleep', '60']);
  if (libc.sched_setscheduler(pid, 2, addressOf(five)) !== 0) {
    t.pass('real-time is not to be had here');
    return;
  }
  limitRealtime(pid);
  for (const wanted of ['auto', 'realtime'] as const) {
    const priority = new ProcessPriority(pid, wanted);
    priority.takeTurn();
    priority.crowded(true);
    for (const behind of [true, false]) {
      priority.behind(behind);
      t.same([policyOf(pid), priority.report().inForce], [2, 'real-time 5'], wanted);
    }
    priority.crowded(false);
    priority.close();
  }
  const batch = sleeper(t, ['sleep', '60']).pid;
  t.equal(libc.sched_setscheduler(batch, 3, addressOf(none)), 0);
  limitRealtime(batch);
  const priority = new ProcessPriority(batch, 'auto');
  t.teardown(() => priority.close());
  priority.behind(true);
  priority.behind(false);
  t.equal(policyOf(batch), 3, 'back to batch');
});

t.test('crowded is what lasts, and what is over for a while is over', async (t) => {
  const gauge = new CrowdGauge(2);
  let nowMs = 0;
  const look = (threads: number, times: number): boolean[] =>
    Array.from({ length: times }, () => {
      nowMs += 200;
      return gauge.note(threads, nowMs);
    });
  look(4, 50);
  t.equal(gauge.isCrowded, false, 'two threads a core: a stream and its ends');
  look(40, 1);
  look(4, 10);
  look(40, 1);
  t.equal(gauge.isCrowded, false, 'single looks at twenty a core: programs that start');
  look(4, 20);
  look(8, 3);
  t.equal(gauge.isCrowded, true, 'four a core that last');
  look(2, 20);
  t.equal(gauge.isCrowded, true, 'four calm seconds are not the end of it');
  look(4.5, 20);
  look(2, 40);
  t.equal(gauge.isCrowded, true, 'counted anew after an interruption');
  t.equal(look(2, 60).filter(Boolean).length, 1);
  t.equal(gauge.isCrowded, false);
  t.same(look(20, 5), [false, false, false, true, false]);
});

t.test(
  'who begins on a crowded machine knows at once, and who begins beside others that do does not',
  async (t) => {
    t.equal(new CrowdGauge(2, 20).note(8, 0), true);
    t.equal(new CrowdGauge(2, 1.5).note(12, 0), false);
  },
);

t.test('the watch sees a machine that becomes crowded', { skip: loadSkip }, async (t) => {
  const changes: boolean[] = [];
  const watch = new CrowdWatch((crowded) => changes.push(crowded));
  t.teardown(() => watch.close());
  for (let i = 0; i < availableParallelism() * 4; i++) {
    sleeper(t, [process.execPath, '-e', 'for (;;);']);
  }
  await until('crowded', 10_000, async () => watch.isCrowded);
  t.same(
    changes.filter((crowded) => !crowded),
    [],
  );
});

t.test('a process that did not start is not taken for ourselves', async (t) => {
  const before = niceOf(process.pid);
  const policy = policyOf(process.pid);
  const priority = new ProcessPriority(0, 'realtime');
  priority.takeTurn();
  t.equal(niceOf(process.pid), before);
  t.equal(policyOf(process.pid), policy);
});

t.test('normal leaves it as it was born', async (t) => {
  const { pid } = sleeper(t, ['sleep', '60']);
  const before = niceOf(pid);
  const priority = new ProcessPriority(pid, 'normal');
  priority.crowded(true);
  priority.takeTurn();
  t.equal(niceOf(pid), before);
  t.same(priority.report(), { wanted: 'normal', inForce: `nice ${before}`, reason: '' });
});

t.test('realtime has a limit; where it is refused, auto is what remains', { skip }, async (t) => {
  const { pid } = sleeper(t, ['sleep', '60']);
  const priority = new ProcessPriority(pid, 'realtime');
  t.match(makeRealtime(pid), /RLIMIT_RTTIME|sched_rt_runtime_us/, 'not without a limit');
  t.equal(policyOf(pid), 0);
  limitRealtime(pid);
  priority.crowded(true);
  t.equal(policyOf(pid), 0, 'not before its turn');
  priority.takeTurn();
  const report = priority.report();
  if (report.reason !== '') {
    t.match(report, { inForce: /nice -10/, reason: /real-time|sched_rt_runtime_us|RLIMIT_RTTIME/ });
    t.equal(policyOf(pid), 0);
    return;
  }
  t.equal(report.inForce, 'real-time 1');
  t.equal(policyOf(pid), 2);
  const limits = readFileSync(`/proc/${pid}/limits`, 'latin1');
  t.match(limits, /Max realtime timeout\s+200000\s+200000/);
});

t.test('a real-time process that never sleeps is ended by its limit', { skip }, async (t) => {
  const child = sleeper(t, [process.execPath, '-e', 'for (;;);']);
  const ended = new Promise<string | null>((resolve) => {
    child.once('exit', (_code, signal) => resolve(signal));
  });
  limitRealtime(child.pid);
  const priority = new ProcessPriority(child.pid, 'realtime');
  priority.takeTurn();
  const { reason } = priority.report();
  if (reason === '') t.match(await ended, /SIGXCPU|SIGKILL/);
  else t.comment(`not real-time: ${reason}`);
  t.match(priority.report().wanted, 'realtime');
});

t.test('without a guard of the kernel nothing becomes real-time', async (t) => {
  t.equal(realtimeObstacle(950_000, 1_000_000), '');
  t.match(realtimeObstacle(-1, 1_000_000), /sched_rt_runtime_us/);
  t.match(realtimeObstacle(1_000_000, 1_000_000), /sched_rt_runtime_us/);
});

t.test("a process that is gone is nobody's failure", async (t) => {
  const priority = new ProcessPriority(0x3fff_fff0, 'auto');
  priority.takeTurn();
  t.not(priority.report().reason, '');
});
