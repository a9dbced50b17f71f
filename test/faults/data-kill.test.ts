import t from 'tap';
import type { LabHost } from '../../src/demo/lab.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { promised, sleep } from '../support/patience.ts';
import {
  checkBalance,
  countersOf,
  killDataProcess,
  nowMs,
  picture,
  settledDescriptors,
  spread,
  startFlow,
  startRig,
  statusOf,
} from './rig.ts';

const skip = skipWithoutTun();
/** Kills in each round on either host; a life of 5 s between rounds starts the waits anew. */
const ROUNDS = [4, 3, 3];
const KILLS_PER_HOST = 10;
const LIFE_MS = 5200;
const BACK_MS = 1000;
const PPS = 3000;

t.test('kill -9 of the data process, 20 times under traffic', { skip }, async (t) => {
  const rig = await startRig(t);
  const { a, b, pulse } = rig;
  const before = new Map<LabHost, { picture: string[]; descriptors: number; control: number }>();
  for (const host of [a, b]) {
    const control = (await statusOf(host)).pid;
    before.set(host, {
      picture: await picture(host),
      descriptors: await settledDescriptors(control),
      control,
    });
  }
  const seconds = (ROUNDS.length * LIFE_MS) / 1000 + 8;
  const there = await startFlow(rig.from, rig.to, { rate: PPS, seconds });
  const back = await startFlow(rig.to, rig.from, { rate: PPS, seconds, port: 7101 });
  t.teardown(() => {
    there.kill();
    back.kill();
  });

  const times: number[] = [];
  for (const kills of ROUNDS) {
    await sleep(LIFE_MS);
    for (let kill = 0; kill < 2 * kills; kill++) {
      const host = kill % 2 === 0 ? a : b;
      await killDataProcess(host);
      const killedMs = nowMs();
      times.push(await pulse.back(killedMs, 10_000));
    }
  }
  const worst = spread(times);
  t.comment(`back after: p50 ${worst.p50} ms, p95 ${worst.p95} ms, worst ${worst.max} ms`);
  t.equal(times.length, 20);
  promised(t, 'back after a kill, p95', worst.p95, BACK_MS);
  promised(t, 'back after a kill, worst', worst.max, 2 * BACK_MS);

  const [forth, home] = [await there.finish(), await back.finish()];
  pulse.stop();
  for (const { sent, received } of [forth, home]) {
    const lost = sent.sent - received.received;
    t.comment(`sent ${sent.sent}, lost ${lost}, late ${received.late}`);
    t.equal(received.late, 0, 'order within the flow is kept over every restart');
    t.equal(received.duplicates, 0);
    t.equal(received.foreign, 0);
    // What is lost must fit in the times that traffic stood still.
    t.ok(lost <= (times.reduce((sum, ms) => sum + ms, 0) / 1000) * PPS, `${lost} lost`);
  }
  await sleep(200);
  for (const host of [a, b]) {
    const was = before.get(host);
    const status = await statusOf(host);
    t.equal(status.pid, was?.control, 'control was not touched');
    t.equal(status.processes[0]?.restarts, KILLS_PER_HOST, 'every restart counted');
    t.equal(status.processes[0]?.alive, true);
    t.equal(status.links[0]?.repairs, 0, 'nothing had to be made again');
    t.same(await picture(host), was?.picture, 'device, addresses and routes are the same');
    t.equal(await settledDescriptors(status.pid), was?.descriptors, 'no descriptor leaked');
    await checkBalance(t, host);
    const counters = await countersOf(host);
    t.ok((counters['egress.received'] ?? 0) > 10_000, 'counters outlive the process');
  }
});
