import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { hasCapability } from '../../src/sys/process/capabilities.ts';
import {
  limitRealtime,
  makeRealtime,
  niceOf,
  ProcessPriority,
  RAISED_NICE,
  realtimeObstacle,
} from '../../src/sys/process/priority.ts';

const may = hasCapability('SYS_NICE');
const skip = !may && 'needs CAP_SYS_NICE';

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

t.test('auto raises the process and its session', { skip }, async (t) => {
  const { pid } = sleeper(t, ['sleep', '60']);
  const priority = new ProcessPriority(pid, 'auto');
  priority.takeTurn();
  t.equal(niceOf(pid), RAISED_NICE);
  const report = priority.report();
  t.match(report, { wanted: 'auto', reason: '', inForce: /^nice -10/ });
  const path = `/proc/${pid}/autogroup`;
  if (existsSync(path)) {
    t.match(readFileSync(path, 'latin1'), /nice -10/);
    t.match(report.inForce, /autogroup -10/);
  }
  t.equal(policyOf(pid), 0);
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
  priority.raise();
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
  priority.raise();
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
