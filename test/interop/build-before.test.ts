/**
 * A router of the build before, made anew from its commit, and one of this build talk to each other over
 * each encapsulation.
 */
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Lab } from '../../src/demo/lab.ts';
import { runFanway } from '../../src/demo/router.ts';
import { Keyring } from '../../src/gossip/base/keyring.ts';
import { formatIpv4 } from '../../src/net/ipv4.ts';
import { runEcho, runTcpPair, runUdpPair } from '../../src/traffic/run.ts';
import { ping, plug, run, skipWithoutPing } from '../control/networks/lab.ts';
import { nameOf, untilState, wayTo } from '../control/underlays/kinds.ts';
import { addUnderlays } from '../control/underlays/lab.ts';
import { attach, BRIDGE, checkBalance, OVERLAY } from '../faults/rig.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { findRoot } from '../style/sources.ts';
import { skipLong } from '../support/long.ts';
import { PATIENCE, until } from '../support/patience.ts';

/** The last build before data processes took links in while they run. */
const BEFORE = 'a630c49';
/** The last build with layer-2 networks that answers no questions of other hosts. */
const BEFORE_QUESTIONS = 'd6a2dbe';
/** The last build that knows nothing of several underlays. */
const BEFORE_UNDERLAYS = 'dc5ae8b';
const TCP_BYTES = 4 << 20;
t.setTimeout(1_200_000);

const root = findRoot();

function git(...args: string[]) {
  return spawnSync('git', ['-C', root, ...args], { encoding: 'utf8' });
}

function skipWithoutHistory(commit = BEFORE): string | false {
  if (root === '') return 'the sources are not beside the tests';
  const { status, error } = git('cat-file', '-e', `${commit}^{commit}`);
  if (error !== undefined) return 'git is not installed';
  return status !== 0 && `the history of commit ${commit} is not here`;
}

const skip = skipWithoutTun() || skipLong || skipWithoutHistory();

/** Builds the commit in a folder of its own; returns its `dist`. */
function buildBefore(t: Test, commit = BEFORE): string {
  const folder = mkdtempSync(join(tmpdir(), 'fanway-before-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const script = 'git -C "$1" archive "$2" | tar -x -C "$3"';
  const unpacked = spawnSync('sh', ['-c', script, 'sh', root, commit, folder], {
    encoding: 'utf8',
  });
  if (unpacked.status !== 0) throw new Error(`git archive: ${unpacked.stderr}`);
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  const built = spawnSync(process.execPath, ['packaging/build.mjs'], {
    cwd: folder,
    encoding: 'utf8',
  });
  if (built.status !== 0) throw new Error(`the build before: ${built.stderr}`);
  return join(folder, 'dist');
}

t.test(`this build and ${BEFORE}`, { skip }, async (t) => {
  const dist = buildBefore(t);
  const lab = await Lab.create({ hosts: 2 });
  t.teardown(() => lab.close());
  const [a, b] = [lab.host(0), lab.host(1)];
  const [from, to] = [lab.container(0), lab.container(1)];
  for (const encap of ['vxlan', 'fou', 'ipip'] as const) {
    await t.test(encap, async (t) => {
      const fan = [OVERLAY, 'eth0/16'];
      const words = ['up', ...fan, 'bridge', BRIDGE, '--encap', encap];
      await runFanway(a, words);
      await runFanway(b, words, dist);
      for (const host of [a, b]) await attach(host);
      const [here, there] = [formatIpv4(from.address), formatIpv4(to.address)];
      const echo = await runEcho(from, [there], { count: 20, interval: 20, timeout: 5000 });
      t.equal(echo.targets[0]?.received, 20, 'echo');
      for (const path of [
        { from, to, address: there },
        { from: to, to: from, address: here },
      ]) {
        const tcp = await runTcpPair(path, { port: 7100, bytes: TCP_BYTES, sha256: true });
        t.equal(tcp.received.bytes, TCP_BYTES, 'a stream arrives whole');
        t.equal(tcp.received.streams[0]?.sha256, tcp.sent.streams[0]?.sha256);
        const udp = await runUdpPair(path, { port: 7101, rate: 2000, seconds: 1, size: 300 });
        const share = udp.received.received / udp.sent.sent;
        t.ok(share > 0.95, `${share} of the datagrams: a socket may be full on a busy machine`);
      }
      await checkBalance(t, a);
      for (const [host, program] of [
        [a, undefined],
        [b, dist],
      ] as const) {
        await runFanway(host, ['down', ...fan, '--force'], program);
      }
    });
  }
});

const skipNetworks =
  skipWithoutTun() || skipLong || skipWithoutPing || skipWithoutHistory(BEFORE_QUESTIONS);

t.test(`networks of this build and ${BEFORE_QUESTIONS}`, { skip: skipNetworks }, async (t) => {
  const dist = buildBefore(t, BEFORE_QUESTIONS);
  const lab = await Lab.create({ hosts: 2 });
  t.teardown(() => lab.close());
  const [a, b] = [lab.host(0), lab.host(1)];
  const keyFile = join(a.runDirectory, 'cluster.key');
  writeFileSync(keyFile, Keyring.generate(randomBytes).format(), { mode: 0o600 });
  const add = ['net', 'add', 'blue', '--vni', '100', '--underlay', 'eth0/16'];
  await runFanway(a, ['join', '--name', 'new', '--key', keyFile]);
  await runFanway(b, ['join', formatIpv4(a.address), '--name', 'old', '--key', keyFile], dist);
  await runFanway(a, add);
  await runFanway(b, add, dist);
  const [from, to] = [lab.container(0), lab.container(1)];
  await plug(from, 'br-blue', '02:00:00:00:00:01', 0x0a01_0001);
  await plug(to, 'br-blue', '02:00:00:00:00:02', 0x0a01_0002);
  const meet = () =>
    until('both reach each other', PATIENCE, async () => {
      const answers = await Promise.all([ping(from, '10.1.0.2'), ping(to, '10.1.0.1')]);
      return answers.every((answered) => answered === 1);
    });
  await meet();
  // It knows no such question: it says nothing, and goes on.
  t.match(await run(a, 'explain', '10.1.0.2'), /network blue: [\s\S]*it is older/);
  const silent = ping(from, '10.1.0.77', 3);
  t.equal(await silent, 0, 'nor the search for a workload that nobody knows');
  await meet();
  const status = JSON.parse(await runFanway(b, ['status', '--json'], dist)) as unknown;
  t.match(status, { networks: [{ network: 'blue', state: 'up' }] }, 'all is well at the old one');
});

const skipUnderlays = skipWithoutTun() || skipLong || skipWithoutHistory(BEFORE_UNDERLAYS);

t.test(`several underlays and ${BEFORE_UNDERLAYS}`, { skip: skipUnderlays }, async (t) => {
  const dist = buildBefore(t, BEFORE_UNDERLAYS);
  const lab = await Lab.create({ hosts: 3 });
  t.teardown(() => lab.close());
  const [a, b, old] = [lab.host(0), lab.host(1), lab.host(2)];
  await addUnderlays(lab, 1, [a, b]);
  const keyFile = join(a.runDirectory, 'cluster.key');
  writeFileSync(keyFile, Keyring.generate(randomBytes).format(), { mode: 0o600 });
  for (const host of lab.hosts) {
    const program = host === old ? dist : undefined;
    const where = host === old ? 'eth0/16' : 'eth0/16,eth1/16';
    const mode = host === old ? [] : ['--underlay-mode', 'balance-xor'];
    await runFanway(host, ['up', OVERLAY, where, 'bridge', BRIDGE, ...mode], program);
    await attach(host);
    const seeds = host === a ? [] : [formatIpv4(a.address)];
    await runFanway(host, ['join', ...seeds, '--name', host.name, '--key', keyFile], program);
  }
  const [from, beside, to] = [lab.container(0), lab.container(1), lab.container(2)];
  const echo = (target: typeof to) =>
    runEcho(from, [formatIpv4(target.address)], { count: 100, interval: 20, timeout: 5000 });
  await until('the old one and the new ones are members', PATIENCE, async () => {
    const text = await runFanway(old, ['peers', '--json'], dist);
    const members = JSON.parse(text) as { state: string }[];
    return members.length === 2 && members.every(({ state }) => state === 'alive');
  });
  t.equal((await echo(to)).targets[0]?.received, 100, 'by the first underlay, all of them');
  t.equal((await echo(beside)).targets[0]?.received, 100);
  await untilState(a, nameOf(b), 1, 'up');
  t.match(await wayTo(a, nameOf(b), 1), { told: true, used: true });
  t.match(await wayTo(a, nameOf(old), 1), { told: false, used: false, state: 'untried' });
  for (const path of [
    { from, to, address: formatIpv4(to.address) },
    { from: to, to: from, address: formatIpv4(from.address) },
  ]) {
    const { sent, received } = await runTcpPair(path, {
      port: 7100,
      bytes: TCP_BYTES,
      sha256: true,
    });
    t.equal(received.bytes, TCP_BYTES, 'a stream arrives whole');
    t.equal(received.streams[0]?.sha256, sent.streams[0]?.sha256);
  }
  await checkBalance(t, a);
});
