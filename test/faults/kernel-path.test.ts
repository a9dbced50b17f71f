import { existsSync } from 'node:fs';
import t from 'tap';
import type { LabHost } from '../../src/demo/lab.ts';
import { runFanway } from '../../src/demo/router.ts';
import { detachFromDevice } from '../../src/sys/bpf/bpf.ts';
import { tcxPrograms } from '../../src/sys/bpf/tcx.ts';
import { picture } from '../control/lab-router.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { skipLong } from '../support/long.ts';
import { promised, sleep, until } from '../support/patience.ts';
import {
  BRIDGE,
  checkBalance,
  countersOf,
  nowMs,
  OVERLAY,
  type Pulse,
  startFlow,
  startRig,
  statusOf,
} from './rig.ts';

const skip = skipWithoutTun() || skipLong;
/** Longest silence while the device of one data path takes the place of the other's. */
const MOVE_MS = 100;
const TC = '/usr/sbin/tc';

function up(host: LabHost, datapath: 'userspace' | 'kernel' | 'auto'): Promise<string> {
  return runFanway(host, [...['up', OVERLAY, 'eth0/16', 'bridge', BRIDGE, '--datapath', datapath]]);
}

async function datapathOf(host: LabHost): Promise<string | undefined> {
  const [link] = (await statusOf(host)).links;
  return link?.state === 'up' ? link.datapath : link?.reason;
}

/** Longest silence of the pulse while `work` is done. */
async function silence(pulse: Pulse, work: () => Promise<unknown>): Promise<number> {
  const sinceMs = nowMs();
  await sleep(100);
  await work();
  await pulse.back(nowMs(), 5000);
  await sleep(100);
  return pulse.gaps(sinceMs).longestMs;
}

t.test('one link, forwarded by the kernel and by fanway in turn', { skip }, async (t) => {
  const { a, b, from, to, pulse } = await startRig(t, { up: ['--datapath', 'auto'] });
  for (const host of [a, b]) {
    const status = await statusOf(host);
    t.match(status.links, [{ state: 'up', datapath: 'kernel', notes: [] }], host.name);
    t.same(status.processes, [], 'no data process');
    await checkBalance(t, host);
  }
  const asMade = await picture(b);

  // Kernel here, userspace there.
  const ms = await silence(pulse, () => up(b, 'userspace'));
  promised(t, 'from the kernel to fanway', ms, MOVE_MS);
  t.equal(await datapathOf(b), 'userspace');
  for (const [one, other] of [
    [from, to],
    [to, from],
  ] as const) {
    const flow = await startFlow(one, other, { rate: 500, seconds: 1 });
    const { sent, received } = await flow.finish();
    t.equal(received.received, sent.sent, `all of ${one.name}'s arrive`);
  }
  await checkBalance(t, b);
  const back = await silence(pulse, () => up(b, 'kernel'));
  promised(t, 'from fanway to the kernel', back, MOVE_MS);
  t.equal(await datapathOf(b), 'kernel');
  t.match(await up(b, 'kernel'), /already configured/);
  t.same(await picture(b), asMade, 'everything is as it was made');

  await t.test('kill -9 of control loses no packet, and no count', async (t) => {
    const { pid } = await statusOf(a);
    const before = await countersOf(a);
    const flow = await startFlow(from, to, { rate: 500, seconds: 2 });
    process.kill(pid, 'SIGKILL');
    await until('another control process', 10_000, async () => {
      const status = await statusOf(a).catch(() => undefined);
      return status !== undefined && status.pid !== pid;
    });
    const { sent, received } = await flow.finish();
    t.equal(received.received, sent.sent, 'all arrive');
    t.equal(await datapathOf(a), 'kernel');
    const delivered = (await countersOf(a))['egress.delivered'] ?? 0;
    t.ok(delivered >= (before['egress.delivered'] ?? 0) + sent.sent, 'the counters went on');
    await checkBalance(t, a);
  });

  const skipTc = !existsSync(TC) && 'tc is not here';
  await t.test('what somebody takes away is made again', { skip: skipTc }, async (t) => {
    const [link] = (await statusOf(a)).links;
    const device = link?.device ?? '';
    const { index } = await a.netlink.link(device);
    const repairs = async (): Promise<number> => (await statusOf(a)).links[0]?.repairs ?? 0;
    const tc = async (...words: string[]): Promise<void> => {
      const child = a.spawn(TC, words, { stdio: 'ignore' });
      t.equal(await new Promise((resolve) => child.once('close', resolve)), 0, words.join(' '));
    };
    const detach = async (hook: 'egress' | 'ingress'): Promise<void> =>
      a.run(() => detachFromDevice(index, hook));
    const isTcx = a.run(() => tcxPrograms(index, 'ingress')) !== undefined;
    for (const work of [
      () => tc('filter', 'del', 'dev', device, 'egress'),
      () => tc('qdisc', 'del', 'dev', device, 'clsact'),
      ...(isTcx ? [() => detach('ingress'), () => detach('egress')] : []),
    ]) {
      const before = await repairs();
      await work();
      await until('the repair', 15_000, async () => (await repairs()) > before);
      await pulse.back(nowMs(), 5000);
    }
    t.match((await statusOf(a)).links[0]?.repaired.at(-1)?.what, /(program|guard) at the/);
    await checkBalance(t, a);
  });

  pulse.stop();
  await runFanway(a, ['down', BRIDGE, '--force']);
  const left = (await a.netlink.links()).filter(({ kind }) => kind === 'vxlan' || kind === 'tun');
  t.same(left, [], 'down leaves no device, and with it no program');
});
