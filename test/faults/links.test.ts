/**
 * Links come and go beside traffic: the data processes stay, and nobody else's packet is lost. Where that
 * way fails a successor is started, as ever.
 */
import t, { type Test } from 'tap';
import { upCall } from '../../src/api/fans.ts';
import { fanRequest } from '../../src/config/request.ts';
import { callRouter } from '../../src/control/admin/admin-client.ts';
import { RunDirectory } from '../../src/control/store/run-directory.ts';
import type { LabHost } from '../../src/demo/lab.ts';
import { runFanway } from '../../src/demo/router.ts';
import { receiveDescriptors } from '../../src/sys/sockets/fdpass.ts';
import { closeDescriptor } from '../../src/sys/sockets/local-sockets.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { skipLong } from '../support/long.ts';
import { promised, skipExact, sleep, until } from '../support/patience.ts';
import { killIfThere } from '../support/processes.ts';
import { skipWithoutTaking, take } from '../support/take.ts';
import {
  checkBalance,
  countersOf,
  descriptorCount,
  nowMs,
  type Rig,
  startFlow,
  startRig,
  statusOf,
} from './rig.ts';

const skip = skipWithoutTun();
const PPS = 1000;
/** Descriptor of a data process by which links come. */
const CHANGES_FD = 7;
/** A fan with sockets of its own, and one that shares those of the first. */
const APART = ['251.0.0.0/8', 'eth0/16', 'bridge', 'fan-251', '--port', '4790'];
const BESIDE = ['252.0.0.0/8', 'eth0/16', 'bridge', 'fan-252'];

async function pidsOf(host: LabHost): Promise<number[]> {
  return (await statusOf(host)).processes.map(({ pid }) => pid);
}

const up = (host: LabHost, fan: string[]) => runFanway(host, ['up', ...fan, '--no-masquerade']);
const down = (host: LabHost, [overlay = '', underlay = '']: string[]) =>
  runFanway(host, ['down', overlay, underlay]);

/**
 * Asks for the fan {@link APART} without a command, whose start takes seconds on a busy machine: who stands still
 * meanwhile would be given up.
 */
async function askApart(host: LabHost): Promise<void> {
  const request = fanRequest({
    overlay: { address: 0xfb00_0000, length: 8 },
    underlay: { kind: 'device', device: 'eth0', length: 16 },
    ...{ bridge: 'fan-251', port: 4790, masquerade: false },
  });
  const run = new RunDirectory(host.runDirectory);
  const answer = await callRouter(run, upCall.path, { request }, { anyNamespace: true });
  const { outcome } = upCall.answer(answer, '');
  if (outcome !== 'changes') throw new Error(JSON.stringify(answer));
}

/** Runs `work` while datagrams go both ways; not one of them may be missing. */
async function besideTraffic(
  t: Test,
  { from, to }: Rig,
  seconds: number,
  work: () => Promise<void>,
) {
  const flows = [
    await startFlow(from, to, { rate: PPS, seconds, flows: 8 }),
    await startFlow(to, from, { rate: PPS, seconds, flows: 8, port: 7101 }),
  ];
  t.teardown(() => {
    for (const flow of flows) flow.kill();
  });
  await work();
  for (const flow of flows) {
    const { sent, received } = await flow.finish();
    t.equal(sent.sent - received.received, 0, `none of ${sent.sent} lost`);
    t.equal(received.late, 0, 'order is kept');
    t.equal(received.duplicates, 0);
  }
}

t.test('fans come and go, and the data processes stay', { skip: skipExact || skip }, async (t) => {
  const rig = await startRig(t, { up: ['--queues', '2'] });
  const { a, b, pulse } = rig;
  const pids = await pidsOf(a);
  t.equal(pids.length, 2);
  const before = pids.map(descriptorCount);
  await besideTraffic(t, rig, 5, async () => {
    for (const fan of [APART, BESIDE]) {
      await up(a, fan);
      t.same(await pidsOf(a), pids, 'the same processes');
      t.ok(
        pids.every((pid, i) => descriptorCount(pid) > (before[i] ?? 0)),
        'which hold more',
      );
    }
    t.equal((await statusOf(a)).links.filter(({ state }) => state === 'up').length, 3);
    for (const fan of [BESIDE, APART]) await down(a, fan);
    t.same(pids.map(descriptorCount), before, 'what has gone is closed in each');
  });
  t.same(await pidsOf(a), pids);
  t.ok((await statusOf(a)).processes.every(({ restarts }) => restarts === 0));
  pulse.stop();
  await sleep(200);
  for (const host of [a, b]) await checkBalance(t, host);
});

/** Asks for a fan as a program would that stays, and says how long the answer took, ms. */
async function timedUp(host: LabHost, index: number): Promise<number> {
  const request = fanRequest({
    overlay: { address: 0x0a00_0000 + index * 0x1_0000, length: 16 },
    underlay: { kind: 'device', device: 'eth0', length: 24 },
  });
  const run = new RunDirectory(host.runDirectory);
  const options = { anyNamespace: true };
  const beganMs = performance.now();
  const answer = upCall.answer(await callRouter(run, upCall.path, { request }, options), '');
  if (answer.outcome !== 'changes') throw new Error(JSON.stringify(answer));
  return performance.now() - beganMs;
}

t.test('one more beside 50 others is soon there', { skip: skip || skipLong }, async (t) => {
  const rig = await startRig(t);
  const { a, pulse } = rig;
  const pids = await pidsOf(a);
  let index = 1;
  for (; index < 50; index++) await timedUp(a, index);
  await besideTraffic(t, rig, 4, async () => {
    const tookMs: number[] = [];
    for (let count = 0; count < 10; count++) tookMs.push(await timedUp(a, index++));
    const [, , , , , median = 0] = tookMs.sort((one, other) => one - other);
    promised(t, 'a fan with its rules', median, 50);
  });
  t.same(await pidsOf(a), pids, 'by the same processes');
  pulse.stop();
  await sleep(200);
  await checkBalance(t, a);
});

t.test('where passing fails a successor takes over', { skip: skip || skipLong }, async (t) => {
  const rig = await startRig(t, { up: ['--queues', '2'] });
  const { a, b, pulse } = rig;
  const linkCount = async () =>
    (await statusOf(a)).links.filter(({ state }) => state === 'up').length;

  await t.test('a message is lost on its way', { skip: skipWithoutTaking() }, async (t) => {
    const [first = 0, second = 0] = await pidsOf(a);
    await besideTraffic(t, rig, 6, async () => {
      const channel = take(first, CHANGES_FD);
      // It stands still for as long as it takes to steal what is sent to it.
      process.kill(first, 'SIGSTOP');
      const command = askApart(a);
      const stolen = await until('control says something', 5000, () =>
        receiveDescriptors(channel, 9999),
      );
      // Control may have given it up by now: it stood still.
      killIfThere(first, 'SIGCONT');
      for (const fd of stolen.descriptors) closeDescriptor(fd);
      closeDescriptor(channel);
      await command;
    });
    const pids = await pidsOf(a);
    t.not(pids[0], first, 'it has a successor');
    t.equal(pids[1], second, 'the other one took the link in');
    t.equal(await linkCount(), 2);
    t.ok((await statusOf(a)).processes.every(({ restarts }) => restarts === 0));
    await down(a, APART);
    t.same(await pidsOf(a), pids, 'the successor lets it go');
  });

  await t.test('a process does not answer', async (t) => {
    const [first = 0, second = 0] = await pidsOf(a);
    process.kill(second, 'SIGSTOP');
    await up(a, APART);
    const pids = await pidsOf(a);
    t.equal(pids[0], first);
    t.not(pids[1], second);
    t.equal(await linkCount(), 2);
    await pulse.back(nowMs(), 5000);
  });

  await t.test('a process is killed in the middle', async (t) => {
    const [first = 0, second = 0] = await pidsOf(a);
    await down(a, APART);
    process.kill(first, 'SIGSTOP');
    const command = askApart(a);
    await until('control has begun', 5000, async () => {
      return (await a.netlink.links()).filter(({ name }) => name.startsWith('fw-')).length === 2;
    });
    await sleep(100);
    killIfThere(first);
    await command;
    const pids = await pidsOf(a);
    t.not(pids[0], first);
    t.equal(pids[1], second);
    t.equal(await linkCount(), 2);
    await pulse.back(nowMs(), 5000);
    await down(a, APART);
  });

  await t.test('control is killed in the middle', async (t) => {
    const { pid: control } = await statusOf(a);
    const pids = await pidsOf(a);
    const [first = 0] = pids;
    process.kill(first, 'SIGSTOP');
    const command = up(a, APART).catch((error: Error) => error);
    await sleep(700);
    process.kill(control, 'SIGKILL');
    const killedMs = nowMs();
    killIfThere(first, 'SIGCONT');
    promised(t, 'the process forwards on', await pulse.back(killedMs, 5000), 1000);
    await command;
    await until('another control', 10_000, async () => {
      const status = await statusOf(a).catch(() => undefined);
      return status !== undefined && status.pid !== control;
    });
    await pulse.back(nowMs(), 10_000);
    await down(a, APART).catch(() => undefined);
    t.equal(await linkCount(), 1);
    await up(a, APART);
    t.equal(await linkCount(), 2);
  });
  pulse.stop();
  await sleep(200);
  await checkBalance(t, b);
  t.ok((await countersOf(a))['egress.received']);
});
