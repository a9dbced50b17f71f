import t, { type Test } from 'tap';
import type { LabHost } from '../../src/demo/lab.ts';
import { findNft } from '../../src/sys/host/nft.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { promised, sleep } from '../support/patience.ts';
import { slowness } from '../support/speed.ts';
import { noTc } from '../support/tools.ts';
import { injectError, skipWithoutStrace } from './inject.ts';
import {
  checkBalance,
  countersOf,
  cpuShares,
  dataProcess,
  growth,
  know,
  nowMs,
  type Rig,
  startFlow,
  startRig,
  statusOf,
} from './rig.ts';

const skip = skipWithoutTun();
t.setTimeout(1_200_000);

const PPS = 1000;
const FAULT_MS = 500;
const BACK_MS = 1000;
/** Share of one processor, tracing included, for two thousand packets a second; one that spins takes all of it. */
const CPU_MAX = Math.min(0.9, 0.5 * slowness());

type Row = {
  calls: string;
  error: string;
  /** The counter that must tell. */
  counter: string;
  when?: string;
};

const SEND = 'sendmmsg,sendmsg';
const WRITE = 'write,writev';
const rows: Row[] = [
  { calls: SEND, error: 'ENOBUFS', counter: 'egress.drop.send_full' },
  { calls: SEND, error: 'ENOBUFS', counter: 'event.send_errors', when: '1+2' },
  { calls: SEND, error: 'ENOMEM', counter: 'egress.drop.send_full' },
  { calls: SEND, error: 'EAGAIN', counter: 'egress.drop.send_full' },
  { calls: SEND, error: 'EPERM', counter: 'egress.drop.send_denied' },
  { calls: SEND, error: 'EACCES', counter: 'egress.drop.send_denied' },
  { calls: SEND, error: 'ECONNREFUSED', counter: 'egress.drop.send_unreachable' },
  { calls: SEND, error: 'EMSGSIZE', counter: 'egress.drop.send_too_big' },
  { calls: SEND, error: 'EIO', counter: 'egress.drop.send_error' },
  { calls: WRITE, error: 'EIO', counter: 'ingress.drop.device_down' },
  { calls: WRITE, error: 'ENOBUFS', counter: 'ingress.drop.device_full' },
  { calls: WRITE, error: 'EAGAIN', counter: 'ingress.drop.device_full' },
  { calls: WRITE, error: 'EINVAL', counter: 'ingress.drop.device_error' },
  { calls: WRITE, error: 'EBADFD', counter: 'ingress.drop.device_error' },
  { calls: 'read', error: 'EIO', counter: 'event.device_read_errors' },
  { calls: 'recvmmsg', error: 'ENOMEM', counter: 'event.receive_errors' },
];

/** One fault on host a's data process under traffic both ways; `make` returns how it ends. */
async function suffer(
  t: Test,
  { a, pulse }: Rig,
  name: string,
  counter: string,
  make: (pid: number) => Promise<() => Promise<void>>,
): Promise<void> {
  const before = await countersOf(a);
  const { pid } = await dataProcess(a);
  const stop = await make(pid);
  const [share = 1] = await cpuShares([pid], FAULT_MS);
  // On a busy machine little is sent in that time, and it takes longer until it is met.
  const isCounted = async () =>
    counter in growth(before, await countersOf(a), /drop|error|fallback/);
  for (let look = 0; look < 50 && !(await isCounted()); look++) await sleep(100);
  await stop();
  const back = await pulse.back(nowMs(), 15_000);
  const grown = growth(before, await countersOf(a), /drop|error|fallback/);
  const percent = Math.round(share * 100);
  t.comment(`${name}: ${percent} % CPU, back ${Math.round(back)} ms, ${JSON.stringify(grown)}`);
  promised(t, `${name}: back`, back, BACK_MS);
  t.ok(share < CPU_MAX, `${name}: ${percent} % of a processor`);
  t.ok((grown[counter] ?? 0) > 0, `${name}: counted as ${counter}`);
  t.equal((await dataProcess(a)).pid, pid, 'the data process lives on');
}

for (const encap of ['vxlan', 'ipip'] as const) {
  t.test(`${encap}: calls that fail`, { skip: skip || skipWithoutStrace() }, async (t) => {
    const rig = await startRig(t, { encap });
    const { a, b, from, to, pulse } = rig;
    const mine = rows.filter((_, i) => encap === 'vxlan' || i % 4 === 0);
    // Without ARP, whose own waiting times would be measured here.
    await know(a, b);
    if (encap === 'vxlan') await know(from, to);
    const seconds = mine.length * ((FAULT_MS + 300) / 1000);
    const there = await startFlow(from, to, { rate: PPS, seconds });
    const back = await startFlow(to, from, { rate: PPS, seconds, port: 7101 });
    t.teardown(() => {
      there.kill();
      back.kill();
    });
    for (const { calls, error, counter, when = '1+' } of mine) {
      const name = `${calls} ${error}${when === '1+' ? '' : ` ${when}`}`;
      await suffer(t, rig, name, counter, (pid) => injectError(pid, calls, error, when));
    }
    for (const flow of [there, back]) {
      const { sent, received } = await flow.finish();
      t.comment(`sent ${sent.sent}, received ${received.received}, late ${received.late}`);
      t.equal(received.late, 0, 'order within the flow is kept');
      t.equal(received.duplicates, 0);
      t.equal(received.foreign, 0);
    }
    pulse.stop();
    await sleep(200);
    for (const host of [a, b]) {
      await checkBalance(t, host);
      const status = await statusOf(host);
      t.equal(status.processes[0]?.restarts, 0);
      t.match(status.links[0], { state: 'up', repairs: 0 });
    }
  });
}

/** Runs a program on the host. @throws Error when it is not there or fails. */
async function run(host: LabHost, command: string, args: string[], input = ''): Promise<void> {
  const child = host.spawn(command, args, { stdio: ['pipe', 'ignore', 'inherit'] });
  // tc ends without having read it.
  child.stdin?.on('error', () => undefined).end(input);
  const code = await new Promise((resolve) => child.once('close', resolve).once('error', resolve));
  if (code !== 0) throw new Error(`${command} ${args.join(' ')}: ${code}`);
}

t.test('a firewall that refuses what we send: EPERM', { skip: skip || noNft() }, async (t) => {
  const rig = await startRig(t);
  const { a, b } = rig;
  await know(a, b);
  await know(rig.from, rig.to);
  const nft = findNft() ?? '';
  const there = await startFlow(rig.from, rig.to, { rate: PPS, seconds: 5 });
  await suffer(t, rig, 'nft drop in the output hook', 'egress.drop.send_denied', async () => {
    const rules = `table ip refuse { chain out { type filter hook output priority 0;
      udp dport 4789 drop; }; }`;
    await run(a, nft, ['-f', '-'], rules);
    return () => run(a, nft, ['delete', 'table', 'ip', 'refuse']);
  });
  t.equal((await there.finish()).received.late, 0);
  rig.pulse.stop();
  await sleep(200);
  for (const host of [a, b]) await checkBalance(t, host);
});

t.test('a queue that is always full: ENOBUFS', { skip: skip || noTc() }, async (t) => {
  const rig = await startRig(t);
  const { a, b } = rig;
  await know(a, b);
  await know(rig.from, rig.to);
  // tc may take its time on a busy machine, and the sender fall behind its rate.
  const there = await startFlow(rig.from, rig.to, { rate: 2 * PPS, seconds: 8, size: 1000 });
  await suffer(t, rig, 'token bucket of 1 Mbit/s', 'egress.drop.send_full', async () => {
    const bucket = ['tbf', 'rate', '1mbit', 'burst', '4k', 'limit', '8k'];
    await run(a, 'tc', ['qdisc', 'add', 'dev', 'eth0', 'root', ...bucket]);
    return () => run(a, 'tc', ['qdisc', 'del', 'dev', 'eth0', 'root']);
  });
  t.equal((await there.finish()).received.late, 0);
  rig.pulse.stop();
  await sleep(200);
  for (const host of [a, b]) await checkBalance(t, host);
});

t.test('a send buffer that is full holds up nobody else', { skip: skip || noTc() }, async (t) => {
  const rig = await startRig(t);
  const { a, b, from, to } = rig;
  await know(a, b);
  await know(from, to);
  // The queue itself would take all: what runs out is the room that the socket has for it.
  const bucket = ['tbf', 'rate', '4mbit', 'burst', '4k', 'limit', '256m'];
  await run(a, 'tc', ['qdisc', 'add', 'dev', 'eth0', 'root', ...bucket]);
  const before = await countersOf(a);
  const there = await startFlow(from, to, { rate: 10 * PPS, seconds: 3, size: 1300 });
  const back = await startFlow(to, from, { rate: PPS, seconds: 2, port: 7101 });
  t.teardown(() => {
    there.kill();
    back.kill();
  });
  const { sent, received } = await back.finish();
  t.ok(received.received >= 0.97 * sent.sent, `${received.received} of ${sent.sent} came back`);
  t.equal(received.late, 0);
  const grown = growth(before, await countersOf(a), /drop|pause/);
  t.comment(JSON.stringify(grown));
  t.ok((grown['event.send_pauses'] ?? 0) > 0, 'the socket was left alone for a moment');
  t.ok((grown['egress.drop.send_full'] ?? 0) > 0, 'what did not fit is counted');
  t.ok((grown['egress.drop.send_paused'] ?? 0) > 0, 'and what came meanwhile');
  await run(a, 'tc', ['qdisc', 'del', 'dev', 'eth0', 'root']);
  promised(t, 'and all goes on: back', await rig.pulse.back(nowMs(), 15_000), BACK_MS);
  there.kill();
  rig.pulse.stop();
  await sleep(200);
  for (const host of [a, b]) await checkBalance(t, host);
});

function noNft(): string | false {
  return findNft() === undefined && 'needs nft';
}
