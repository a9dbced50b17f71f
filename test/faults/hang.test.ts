import t from 'tap';
import { skipWithoutTun } from '../netns/privileges.ts';
import { skipLong } from '../support/long.ts';
import { promised, skipExact, sleep, until } from '../support/patience.ts';
import {
  checkBalance,
  countersOf,
  cpuShares,
  dataProcess,
  killDataProcess,
  noteDeath,
  nowMs,
  picture,
  startRig,
  statusOf,
} from './rig.ts';

const skip = skipWithoutTun();
/** A heart that stood still at ten looks is stuck, and it is looked at twice a second. */
const DETECTED_MS = 6000;

t.test('a data process that hangs is ended and replaced', { skip }, async (t) => {
  const { a, b, pulse } = await startRig(t);
  const before = await picture(a);
  const { pid } = await dataProcess(a);
  process.kill(pid, 'SIGSTOP');
  // A short pause is no hang: nobody is killed for it.
  await sleep(2500);
  process.kill(pid, 'SIGCONT');
  await pulse.back(nowMs(), 2000);
  t.equal((await dataProcess(a)).pid, pid, 'a pause of 2.5 s is forgiven');

  const hungMs = nowMs();
  process.kill(pid, 'SIGSTOP');
  // Control kills it.
  noteDeath(a);
  const back = await pulse.back(hungMs + 1, 15_000);
  t.comment(`hung: traffic back after ${Math.round(back)} ms`);
  t.ok(back > 3000, `back after ${Math.round(back)} ms`);
  promised(t, 'a hang is ended', back, DETECTED_MS + 1000);
  const successor = await dataProcess(a);
  t.not(successor.pid, pid);
  t.equal(successor.restarts, 1, 'the restart is counted');
  t.match(successor.lastError, /SIGKILL/);
  const stale = (await countersOf(a))['egress.drop.stale'] ?? 0;
  t.ok(stale > 0, `${stale} that had waited for seconds were not delivered any more`);
  t.same(await picture(a), before);
  pulse.stop();
  await sleep(200);
  await checkBalance(t, a);
  await checkBalance(t, b);
});

t.test('control and data paused together: nothing is killed on waking', { skip }, async (t) => {
  const { a, b, pulse } = await startRig(t);
  const status = await statusOf(a);
  const pids = [status.pid, status.processes[0]?.pid ?? 0];
  for (const pid of pids) process.kill(pid, 'SIGSTOP');
  await sleep(7000);
  const wokenMs = nowMs();
  for (const pid of pids) process.kill(pid, 'SIGCONT');
  const back = await pulse.back(wokenMs, 5000);
  promised(t, 'traffic is back after waking', back, 1000);
  await sleep(1500);
  const after = await statusOf(a);
  t.same([after.pid, after.processes[0]?.pid], pids, 'the same processes');
  t.equal(after.processes[0]?.restarts, 0);
  pulse.stop();
  await sleep(200);
  for (const host of [a, b]) await checkBalance(t, host);
});

t.test(
  'a crash loop backs off, and is never given up',
  { skip: skipExact || skipLong || skip },
  async (t) => {
    const { a, b, pulse } = await startRig(t);
    const { pid: control } = await statusOf(a);
    const deaths: number[] = [];
    // Killed as soon as it is seen, eight times: by then the wait is 1.6 s and a start's time beside it.
    for (const endMs = nowMs() + 60_000; deaths.length < 8 && nowMs() < endMs; await sleep(10)) {
      const { pid } = await killDataProcess(a);
      deaths.push(nowMs());
      await until('it is gone', 2000, async () => (await dataProcess(a)).pid !== pid);
    }
    const [share = 1] = await cpuShares([control], 500);
    const waits = deaths.slice(1).map((death, i) => Math.round(death - (deaths[i] ?? 0)));
    t.comment(`killed ${deaths.length} times, waits ${waits.join(' ')} ms`);
    t.equal(deaths.length, 8, 'it is never given up');
    const total = waits.reduce((sum, wait) => sum + wait, 0);
    t.ok(total > 1500, `${total} ms: without back-off it would be a start's time each`);
    t.ok(Math.max(...waits.slice(-2)) > Math.min(...waits.slice(0, 3)) + 400, 'the waits grow');
    t.ok(share < 0.2, 'control waits without spinning');
    const reported = await dataProcess(a);
    t.equal(reported.restarts, deaths.length, 'each is counted');
    t.match(reported.lastError, /SIGKILL/, 'and status says why');
    const back = await pulse.back(nowMs(), 20_000);
    t.comment(`left alone: back after ${Math.round(back)} ms`);
    pulse.stop();
    await sleep(200);
    await checkBalance(t, a);
    await checkBalance(t, b);
  },
);
