import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import t, { type Test } from 'tap';
import { FanLinkMaps } from '../../src/control/plane/kernel/fan-maps.ts';
import type { LabHost } from '../../src/demo/lab.ts';
import { runFanway } from '../../src/demo/router.ts';
import { formatIpv4 } from '../../src/net/ipv4.ts';
import { detachFromDevice } from '../../src/sys/bpf/bpf.ts';
import { tcxPrograms } from '../../src/sys/bpf/tcx.ts';
import { IpsecPolicies } from '../../src/sys/netlink/ipsec/policies.ts';
import { runTcpPair } from '../../src/traffic/run.ts';
import { picture } from '../control/lab-router.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { skipLong } from '../support/long.ts';
import { promised, sleep, until } from '../support/patience.ts';
import { Wire } from '../support/wire.ts';
import {
  BRIDGE,
  checkBalance,
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
const IP = '/usr/sbin/ip';
const NFT = '/usr/sbin/nft';
/** Port of a flow that somebody's rule at the bridge stops. */
const STOPPED_PORT = 7300;
const TCP_BYTES = 1 << 20;
/** MAC of who says one thing, and then only listens. */
const RECEIVER = '02fa00000777';

function up(host: LabHost, datapath: 'userspace' | 'kernel' | 'auto'): Promise<string> {
  return runFanway(host, [...['up', OVERLAY, 'eth0/16', 'bridge', BRIDGE, '--datapath', datapath]]);
}

async function datapathOf(host: LabHost): Promise<string | undefined> {
  const [link] = (await statusOf(host)).links;
  return link?.state === 'up' ? link.datapath : link?.reason;
}

/** Runs somebody else's tool on a host. */
async function run(t: Test, host: LabHost, tool: string, words: string): Promise<void> {
  const child = host.spawn(tool, words.split(' '), { stdio: 'ignore' });
  t.equal(await new Promise((resolve) => child.once('close', resolve)), 0, `${tool} ${words}`);
}

/** Waits until the way past the bridge of a host is as it should be. */
function bypassOf(host: LabHost, why: RegExp, ports: number): Promise<unknown> {
  return until(`${ports} ports past the bridge`, 20_000, async () => {
    const bypass = (await statusOf(host)).links[0]?.bypass;
    const whys = [bypass?.why ?? '', ...(bypass?.others ?? []).map(({ why }) => why)].join('; ');
    return bypass?.ports.length === ports && why.test(whys);
  });
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

/** Waits until it is as it should be with what leaves a host straight from a port. */
function straightOf(host: LabHost, why: RegExp): Promise<unknown> {
  return until(`straight out: ${why}`, 20_000, async () => {
    return why.test((await statusOf(host)).links[0]?.bypass?.notStraight ?? 'not told');
  });
}

/** Whether the kernel has IPsec, and tells of it. */
function hasIpsec(host: LabHost): boolean {
  try {
    host.run(() => new IpsecPolicies()).close();
    return true;
  } catch {
    return false;
  }
}

/** Small packets of a flow to another host leave straight while nobody has a say of what leaves. */
async function leavesStraight(
  t: Test,
  host: LabHost,
  peer: LabHost,
  flow: () => Promise<{ sent: number; received: number }>,
): Promise<void> {
  const device = (await statusOf(host)).links[0]?.device ?? '';
  const sentBy = async (): Promise<number> =>
    (await host.netlink.link(device)).statistics.txPackets;
  const before = await sentBy();
  await straightOf(host, /^$/);
  const free = await flow();
  t.equal(free.received, free.sent, 'all arrive');
  const byDevice = (await sentBy()) - before;
  t.ok(byDevice < free.sent / 2, `${byDevice} of ${free.sent} by the device`);

  await run(t, host, NFT, 'add table ip other');
  await run(t, host, NFT, 'add chain ip other out { type filter hook output priority 0 ; }');
  await run(t, host, NFT, 'add rule ip other out udp dport 4789 drop');
  await straightOf(host, /ip other out/);
  t.equal((await flow()).received, 0, 'a rule about what leaves is obeyed');
  await run(t, host, NFT, 'delete table ip other');
  await straightOf(host, /^$/);
  const freed = await flow();
  t.equal(freed.received, freed.sent, 'all arrive');

  const address = formatIpv4(peer.address);
  if (hasIpsec(host)) {
    const policy = `dst ${address} dir out`;
    await run(t, host, IP, `xfrm policy add ${policy} action block`);
    await straightOf(host, /IPsec/);
    t.equal((await flow()).received, 0, 'a policy of IPsec is obeyed');
    await run(t, host, IP, `xfrm policy delete ${policy}`);
    await straightOf(host, /^$/);
  }

  // A route to elsewhere is the kernel's to follow, at once.
  await run(t, host, IP, `route add blackhole ${address}`);
  t.equal((await flow()).received, 0, 'a route is obeyed');
  await run(t, host, IP, `route del blackhole ${address}`);
  const last = await flow();
  t.equal(last.received, last.sent, 'all arrive');
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
  const unsaid = await runFanway(b, ['up', OVERLAY, 'eth0/16', 'bridge', BRIDGE]);
  t.match(unsaid, /already configured/, 'and without the word');
  t.equal(await datapathOf(b), 'kernel');
  t.same(await picture(b), asMade, 'everything is as it was made');

  const { index: loopback } = await a.netlink.link('lo');
  const hasTcx = a.run(() => tcxPrograms(loopback, 'ingress')) !== undefined;
  const skipBypass = !hasTcx && 'it takes Linux 6.6';
  const past = 'frames pass by the bridge while nothing there has a say';
  await t.test(past, { skip: skipBypass }, async (t) => {
    for (const host of [a, b]) await bypassOf(host, /^$/, 1);
    const port = b.containers[0]?.hostEnd ?? '';
    const sentBy = async (): Promise<number> => (await b.netlink.link(port)).statistics.txPackets;
    /** All arrive; how many went through the bridge. */
    const flow = async (): Promise<{ bridged: number; all: number }> => {
      const before = await sentBy();
      const { sent, received } = await (
        await startFlow(from, to, { rate: 500, seconds: 1 })
      ).finish();
      t.equal(received.received, sent.sent, 'all arrive');
      return { bridged: (await sentBy()) - before, all: sent.sent };
    };
    const past = await flow();
    t.ok(past.bridged < past.all / 2, `${past.bridged} of ${past.all} through the bridge`);

    if (![NFT, IP, TC].every((tool) => existsSync(tool))) return;
    await leavesStraight(t, a, b, async () => {
      const { sent, received } = await (
        await startFlow(from, to, { rate: 500, seconds: 1 })
      ).finish();
      return { sent: sent.sent, received: received.received };
    });
    const chain = 'type filter hook forward priority 0 ;';
    await run(t, b, NFT, 'add table bridge other');
    await run(t, b, NFT, `add chain bridge other judge { ${chain} }`);
    await run(t, b, NFT, `add rule bridge other judge udp dport ${STOPPED_PORT} drop`);
    await bypassOf(b, /bridge other judge/, 0);
    const judged = await flow();
    t.ok(judged.bridged >= judged.all, 'all of them through the bridge');
    const stopped = await startFlow(from, to, { rate: 100, seconds: 0.5, port: STOPPED_PORT });
    t.equal((await stopped.finish()).received.received, 0, 'the rule is obeyed');
    // The bridge alone hears of a station that will say nothing more.
    const said = Wire.open(to, 'eth0');
    said.send(Buffer.from(`ffffffffffff${RECEIVER}88b5`.padEnd(120, '0'), 'hex'));
    said.close();
    await run(t, b, NFT, 'delete table bridge other');
    await bypassOf(b, /^$/, 1);
    const { index: device } = await b.netlink.link((await statusOf(b)).links[0]?.device ?? '');
    const maps = FanLinkMaps.open(b.run(() => tcxPrograms(device, 'ingress'))?.[0] ?? 0);
    t.equal(maps.portOf(Number(`0x${RECEIVER}`)), (await b.netlink.link(port)).index, 'known');
    maps.close();

    await run(t, b, TC, `qdisc add dev ${port} clsact`);
    await bypassOf(b, /clsact of tc/, 0);
    await run(t, b, TC, `qdisc del dev ${port} clsact`);
    await run(t, b, IP, `link set ${port} type bridge_slave isolated on`);
    await bypassOf(b, /is isolated/, 0);
    await run(t, b, IP, `link set ${port} type bridge_slave isolated off`);
    await bypassOf(b, /^$/, 1);

    // The bridge goes on hearing of who talks past it.
    await run(t, b, IP, `link set ${BRIDGE} type bridge ageing_time 3000`);
    const { index: bridge } = await b.netlink.link(BRIDGE);
    const { address: mac } = await to.netlink.link('eth0');
    let quietMs = 0;
    await until('the bridge hears of a container again', 30_000, async () => {
      const last = quietMs;
      quietMs = (await b.netlink.bridgeEntryOf(bridge, mac))?.quietMs ?? 0;
      return quietMs < last;
    });
    for (const host of [a, b]) await checkBalance(t, host);
    await run(t, b, IP, `link set ${BRIDGE} type bridge ageing_time 30000`);
  });

  await t.test(
    'the underlay gets a smaller MTU while traffic flows, and its own again',
    async (t) => {
      const innerMtu = async (): Promise<number> => (await statusOf(a)).links[0]?.innerMtu ?? 0;
      const whole = await innerMtu();
      const flow = await startFlow(from, to, { rate: 500, seconds: 2, size: 1000 });
      await a.netlink.setLink('eth0', { mtu: 1300 });
      await until('the fan follows', 20_000, async () => (await innerMtu()) === whole - 200);
      const { sent, received } = await flow.finish();
      t.ok(received.received > sent.sent * 0.9, `${received.received} of ${sent.sent} arrive`);
      if (hasTcx) await bypassOf(a, /^$/, 1);
      // Its segments do not fit any more, and who sends them is told so.
      const way = { from, to, address: formatIpv4(to.address) };
      const { received: stream } = await runTcpPair(way, { port: 7201, bytes: TCP_BYTES });
      t.equal(stream.streams[0]?.bytes, TCP_BYTES, 'all of a TCP stream arrives');
      await a.netlink.setLink('eth0', { mtu: 1500 });
      await until('the fan follows', 20_000, async () => (await innerMtu()) === whole);
      await pulse.back(nowMs(), 5000);
      await checkBalance(t, a);
    },
  );

  const skipTc = !existsSync(TC) && 'tc is not here';
  await t.test('what somebody takes away is made again', { skip: skipTc }, async (t) => {
    const [link] = (await statusOf(a)).links;
    const device = link?.device ?? '';
    const repairs = async (): Promise<number> => (await statusOf(a)).links[0]?.repairs ?? 0;
    const tc = (words: string) => run(t, a, TC, words);
    const { index: loopback } = await a.netlink.link('lo');
    const isTcx = a.run(() => tcxPrograms(loopback, 'ingress')) !== undefined;
    const detach = async (hook: 'egress' | 'ingress'): Promise<void> => {
      const { index } = await a.netlink.link(device);
      a.run(() => detachFromDevice(index, hook));
    };
    const program = /(program|guard) at the/;
    // While nobody looks: what it has in place of its hooks is for what comes in alone.
    const halve = async (): Promise<void> => {
      const { pid } = await statusOf(a);
      process.kill(pid, 'SIGSTOP');
      try {
        await tc(`qdisc del dev ${device} clsact`);
        await tc(`qdisc add dev ${device} ingress`);
      } finally {
        process.kill(pid, 'SIGCONT');
      }
    };
    for (const [what, work] of [
      [program, () => tc(`filter del dev ${device} egress`)],
      [program, () => tc(`qdisc del dev ${device} clsact`)],
      ...(isTcx
        ? ([
            [program, () => detach('ingress')],
            [program, () => detach('egress')],
          ] as const)
        : []),
      [/device/, () => a.netlink.deleteLink(device)],
    ] as const) {
      const before = await repairs();
      await work();
      await until('the repair', 15_000, async () => (await repairs()) > before);
      await pulse.back(nowMs(), 5000);
      const { repaired = [], repairs: after = 0 } = (await statusOf(a)).links[0] ?? {};
      const told = repaired.slice(before - after).map((one) => one.what);
      t.match(told.join(), what, 'and it is told');
    }
    const words = ['qdisc', 'show', 'dev', device];
    const qdiscs = (): string => a.run(() => execFileSync(TC, words, { encoding: 'utf8' }));
    await halve();
    await until('both hooks', 15_000, async () => /clsact/.test(qdiscs()));
    await pulse.back(nowMs(), 5000);
    await checkBalance(t, a);
  });

  await t.test('killed while it goes over to fanway, it has one device', async (t) => {
    const devices = async (): Promise<string[]> => {
      const links = await b.netlink.links();
      return links.flatMap(({ kind, name }) => (/vxlan|tun/.test(kind) ? [`${kind} ${name}`] : []));
    };
    const [before = ''] = await devices();
    const { pid } = await statusOf(b);
    const isGoing = up(b, 'userspace').catch(() => undefined);
    await until('its device steps aside', 20_000, async () => (await devices())[0] !== before);
    process.kill(pid, 'SIGKILL');
    await isGoing;
    await until('another control process', 10_000, async () => {
      const status = await statusOf(b).catch(() => undefined);
      return status !== undefined && status.pid !== pid && status.links[0]?.state === 'up';
    });
    await pulse.back(nowMs(), 5000);
    t.equal((await devices()).length, 1, (await devices()).join(', '));
    await up(b, 'kernel');
    t.same(await devices(), [before], 'and goes back');
    await pulse.back(nowMs(), 5000);
  });

  pulse.stop();
  await runFanway(a, ['down', BRIDGE, '--force']);
  const left = (await a.netlink.links()).filter(({ kind }) => kind === 'vxlan' || kind === 'tun');
  t.same(left, [], 'down leaves no device, and with it no program');
});
