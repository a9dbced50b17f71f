import t, { type Test } from 'tap';
import type { LabHost } from '../../src/demo/lab.ts';
import { hasBackpressure } from '../../src/sys/host/tun.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { skipLong } from '../support/long.ts';
import { promised, skipExact, sleep, until } from '../support/patience.ts';
import {
  checkBalance,
  countersOf,
  cpuShares,
  dataProcess,
  killDataProcess,
  know,
  noteDeath,
  nowMs,
  picture,
  startFlow,
  startRig,
  statusOf,
} from './rig.ts';

const skip = skipWithoutTun();
/** A heart that stood still at ten looks is stuck, and it is looked at twice a second. */
const DETECTED_MS = 6000;

/** Some 36 MB in packets of a full size: a socket's buffer holds 8, and the device's ring 4,096 packets. */
const MUCH = { rate: 10_000, seconds: 3, size: 1200 };

/** What the kernel dropped while nobody read is told with its cause, and goes on where it was. */
async function kernelDropsAreTold(t: Test, host: LabHost): Promise<void> {
  const lost = async (): Promise<number[]> => {
    const counters = await countersOf(host);
    return [counters['event.socket_drops'] ?? 0, counters['event.device_drops'] ?? 0];
  };
  const [sockets = 0, device = 0] = await lost();
  t.comment(`dropped by the socket ${sockets}, by the device ${device}`);
  const [link] = (await statusOf(host)).links;
  const told = new Map(link?.drops.map(({ counter, cause }) => [counter, cause]));
  t.ok(sockets > 0, 'the socket dropped some');
  t.match(told.get('event.socket_drops'), /UDP port .*(--queues|sysctl -w)/);
  // Where the device stops its queue, a qdisc drops.
  if (!hasBackpressure()) {
    t.ok(device > 0, 'and so did the device');
    t.match(told.get('event.device_drops'), /--txqueuelen/);
  }

  const { pid } = await killDataProcess(host);
  await until('it is replaced', 5000, async () => (await dataProcess(host)).pid !== pid);
  await host.netlink.deleteLink(link?.device ?? '');
  await until('the device is made anew', 5000, async () => {
    return ((await statusOf(host)).links[0]?.repairs ?? 0) > (link?.repairs ?? 0);
  });
  const [socketsAfter = 0, deviceAfter = 0] = await lost();
  t.ok(
    socketsAfter >= sockets && deviceAfter >= device,
    `${socketsAfter}, ${deviceAfter} in the end`,
  );
}

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
  const { a, b, from, to, pulse } = await startRig(t);
  await know(from, to);
  const status = await statusOf(a);
  const pids = [status.pid, status.processes[0]?.pid ?? 0];
  for (const pid of pids) process.kill(pid, 'SIGSTOP');
  let wokenMs = 0;
  try {
    // More than the kernel has room for, from both sides.
    const flows = [await startFlow(from, to, MUCH), await startFlow(to, from, MUCH)];
    await Promise.all([sleep(7000), ...flows.map((flow) => flow.finish())]);
  } finally {
    wokenMs = nowMs();
    for (const pid of pids) process.kill(pid, 'SIGCONT');
  }
  const back = await pulse.back(wokenMs, 5000);
  promised(t, 'traffic is back after waking', back, 1000);
  await sleep(1500);
  const after = await statusOf(a);
  t.same([after.pid, after.processes[0]?.pid], pids, 'the same processes');
  t.equal(after.processes[0]?.restarts, 0);
  pulse.stop();
  await sleep(200);
  for (const host of [a, b]) await checkBalance(t, host);
  await kernelDropsAreTold(t, a);
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
