/**
 * Two underlays between hosts, with the kernel's sockets and cables: flows spread, one underlay falls
 * silent or loses its cable, and what runs over it goes on by the other.
 */
import t from 'tap';
import { Lab, type LabHost } from '../../../src/demo/lab.ts';
import { runFanway } from '../../../src/demo/router.ts';
import { formatIpv4 } from '../../../src/net/ipv4.ts';
import { addressOf, libc } from '../../../src/sys/libc/libc.ts';
import { openUdp, socketAddress } from '../../../src/sys/sockets/sockets.ts';
import { runTcpPair } from '../../../src/traffic/run.ts';
import {
  attach,
  BRIDGE,
  checkBalance,
  countersOf,
  dataProcess,
  growth,
  killDataProcess,
  nowMs,
  OVERLAY,
  Pulse,
  startFlow,
  statusOf,
} from '../../faults/rig.ts';
import { skipWithoutTun } from '../../netns/privileges.ts';
import { skipLong } from '../../support/long.ts';
import { EXACT, promised, until } from '../../support/patience.ts';
import {
  addIpv6Underlays,
  checkKinds,
  checkSilence,
  downKinds,
  giveIpv6Again,
  type Kind,
  killControl,
  nameOf,
  untilState,
  upKinds,
  wayMetrics,
  wayTo,
} from './kinds.ts';
import { addressOn, addUnderlays, nft, silence } from './lab.ts';

const skip = skipWithoutTun();
/** What a lost underlay may cost a flow, ms. */
const FAIL_OVER_MS = 300;
const KINDS: readonly Kind[] = [
  { overlay: 251, encap: 'fou', mode: 'balance-xor' },
  { overlay: 252, encap: 'ipip', mode: 'active-backup' },
  { vni: 77, encap: 'vxlan', mode: 'balance-xor' },
];
const MORE_KINDS: readonly Kind[] = [
  { vni: 78, encap: 'vxlan', mode: 'active-backup', isIpv6: true },
  { overlay: 248, encap: 'fou', mode: 'active-backup', isIpv6: true },
  { overlay: 247, encap: 'ipip', mode: 'balance-xor', isIpv6: true },
];
const kinds = skipLong ? KINDS : [...KINDS, ...MORE_KINDS];
const SENT = /^event\.sent_underlay/;

async function upWithTwo(host: LabHost, ...words: string[]): Promise<string> {
  const args = ['up', OVERLAY, 'eth0/16,eth1/16', 'bridge', BRIDGE, ...words];
  return runFanway(host, args);
}

/** A host on the first underlay alone, of a build that knows nothing of questions. */
async function upAlone(host: LabHost): Promise<void> {
  await runFanway(host, ['up', OVERLAY, 'eth0/16', 'bridge', BRIDGE]);
  // Questions are 64 bytes long.
  await nft(
    host,
    'table ip mute { chain mute { type filter hook input priority 0;\n udp dport 4789 meta length 64 drop;\n }\n}\n',
  );
}

/** A datagram to the tunnel's port of `to` on one underlay from our address on another. */
function spoof(from: LabHost, to: number, local: number): void {
  from.run(() => {
    const { fd } = openUdp(local, 0, { offload: false, reusePort: false });
    const bytes = Buffer.from(`0800000000fa0000${'00'.repeat(64)}`, 'hex');
    const name = socketAddress(to, 4789);
    libc.sendto(fd, addressOf(bytes), bytes.length, 0, addressOf(name), name.length);
    libc.close(fd);
  });
}

t.test('two underlays, one of which is lost and comes back', { skip }, async (t) => {
  // The third host, and what takes long, come where tests may.
  const lab = await Lab.create({ hosts: skipLong ? 2 : 3 });
  t.teardown(() => lab.close());
  const [a, b] = [lab.host(0), lab.host(1)];
  await addUnderlays(lab, 1, [a, b]);
  for (const host of [a, b]) await upWithTwo(host, '--underlay-mode', 'balance-xor');
  if (!skipLong) await upAlone(lab.host(2));
  for (const host of lab.hosts) await attach(host);
  t.match(await upWithTwo(a, '--underlay-mode', 'balance-xor'), /already configured/);
  await t.rejects(upWithTwo(a), /underlay-mode balance-xor, not active-backup/);
  const [from, to] = [lab.container(0), lab.container(1)];
  const pulse = await Pulse.start(from, to);
  t.teardown(() => pulse.stop());
  await pulse.back(nowMs(), 10_000);
  for (const [host, peer] of [
    [a, b],
    [b, a],
  ] as const) {
    const way = await untilState(host, nameOf(peer), 1, 'up');
    t.equal(way.address, formatIpv4(addressOn(1, peer)), 'at the same host bits');
    t.ok(way.used && way.delayMs !== null);
    const metrics = await until('its metrics', 10_000, async () => {
      const now = await wayMetrics(host, nameOf(peer), 1);
      return now['up'] === 1 && now;
    });
    t.match(metrics, { mtu_bytes: 1500, losses: Number });
    t.ok((metrics['down_delay_seconds'] ?? 0) >= 0.12);
    t.ok((metrics['round_trip_seconds'] ?? 0) > 0, JSON.stringify(metrics));
    t.ok((metrics['up_delay_seconds'] ?? 0) >= 1);
    t.ok((metrics['lost_ratio'] ?? -1) >= 0);
  }

  await t.test('flows spread over both', async (t) => {
    const before = await countersOf(a);
    await (await startFlow(from, to, { rate: 2000, seconds: 1, flows: 32 })).finish();
    const spread = growth(before, await countersOf(a), SENT);
    t.ok((spread['event.sent_underlay_1'] ?? 0) > 200, JSON.stringify(spread));
    t.ok((spread['event.sent_underlay_2'] ?? 0) > 200);
    pulse.stop();
  });

  await t.test('a host that has one underlay is reached by it', { skip: skipLong }, async (t) => {
    const c = lab.host(2);
    const before = await countersOf(a);
    const flow = await startFlow(from, lab.container(2), { rate: 500, seconds: 1, flows: 8 });
    const { sent, received } = await flow.finish();
    // By the other underlay none comes, and were it used, about half would go there.
    t.ok(received.received > 0.8 * sent.sent, `${received.received} of ${sent.sent} came`);
    const alone = growth(before, await countersOf(a), SENT);
    t.ok((alone['event.sent_underlay_2'] ?? 0) < 0.2 * sent.sent, JSON.stringify(alone));
    const [first, second] = [await wayTo(a, nameOf(c), 0), await wayTo(a, nameOf(c), 1)];
    t.match([first?.used, second?.used, second?.state], [true, false, 'untried']);
  });

  await t.test('a packet by another underlay than its source is dropped and counted', async (t) => {
    const before = await countersOf(b);
    spoof(a, b.address, addressOn(1, a));
    const grown = await until('the drop', 5000, async () => {
      const now = growth(before, await countersOf(b), /wrong_underlay/);
      return now['ingress.drop.wrong_underlay'] !== undefined && now;
    });
    t.same(grown, { 'ingress.drop.wrong_underlay': 1 });
  });

  await t.test('links of every kind over the same underlays', async (t) => {
    if (!skipLong) addIpv6Underlays([a, b]);
    await upKinds([a, b], kinds);
    await checkKinds(t, lab, kinds);
    await checkSilence(t, lab, kinds);
    if (skipLong) await downKinds([a, b], kinds);
  });

  await t.test('either underlay falls silent: a TCP stream and a pulse go on', async (t) => {
    const again = await Pulse.start(from, to);
    t.teardown(() => again.stop());
    await again.back(nowMs(), 10_000);
    const path = { from, to, address: formatIpv4(to.address) };
    const seconds = skipLong ? 2 : 6;
    // A stream takes what two cores have, and questions wait behind it: where times count, a steady flow is carried.
    const stream = EXACT ? undefined : runTcpPair(path, { port: 5001, seconds, sha256: true });
    const flow = EXACT ? await startFlow(from, to, { rate: 2000, seconds, flows: 8 }) : undefined;
    for (const underlay of skipLong ? [0] : [0, 1]) {
      const sinceMs = nowMs();
      for (const host of [a, b]) await silence(lab, host, underlay, true);
      for (const [host, peer] of [
        [a, b],
        [b, a],
      ] as const) {
        const way = await untilState(host, nameOf(peer), underlay, 'lost');
        t.equal(way.cause, 'silent');
        t.equal((await wayTo(host, nameOf(peer), 1 - underlay))?.state, 'up');
        const metrics = await wayMetrics(host, nameOf(peer), underlay);
        t.equal(metrics['up'], 0);
        t.ok((metrics['losses'] ?? 0) >= 1, JSON.stringify(metrics));
      }
      await again.back(nowMs(), 10_000);
      promised(t, `underlay ${underlay} silent`, again.gaps(sinceMs).longestMs, FAIL_OVER_MS);
      for (const host of [a, b]) await silence(lab, host, underlay, false);
      await untilState(a, nameOf(b), underlay, 'up');
      await untilState(b, nameOf(a), underlay, 'up');
    }
    if (flow !== undefined) {
      const { sent, received } = await flow.finish();
      t.ok(received.received > sent.sent / 2, `${received.received} of ${sent.sent} arrive`);
    }
    if (stream === undefined) return;
    const { sent, received } = await stream;
    t.equal(received.bytes, sent.bytes);
    t.equal(received.streams[0]?.sha256, sent.streams[0]?.sha256, 'every byte');
    t.type(received.streams[0]?.sha256, 'string');
  });

  await t.test(
    'a cable is out, the data process dies, all comes back',
    { skip: skipLong },
    async (t) => {
      const again = await Pulse.start(from, to);
      t.teardown(() => again.stop());
      await again.back(nowMs(), 10_000);
      const sinceMs = nowMs();
      await a.netlink.setLink('eth1', { up: false });
      const way = await untilState(a, nameOf(b), 1, 'lost');
      t.match(way.cause, /carrier|unreachable/);
      const [link] = (await statusOf(a)).links;
      t.same([link?.underlays?.[1]?.carrier, link?.state], [false, 'up']);
      // It says, too, that nobody tells of others here.
      t.match(await runFanway(a, ['status']).catch(String), /eth1 .*no carrier/);
      await again.back(nowMs(), 10_000);
      promised(t, 'cable out', again.gaps(sinceMs).longestMs, FAIL_OVER_MS);
      const { pid } = await killDataProcess(b);
      await until('another data process', 10_000, async () => (await dataProcess(b)).pid !== pid);
      await again.back(nowMs(), 10_000);
      t.equal(
        (await wayTo(a, nameOf(b), 0))?.state,
        'up',
        'who stands still everywhere has lost nothing',
      );
      await killControl(a);
      await again.back(nowMs(), 10_000);
      await untilState(a, nameOf(b), 1, 'lost');
      await a.netlink.setLink('eth1', { up: true });
      giveIpv6Again(a, 1);
      await untilState(a, nameOf(b), 1, 'up');
      // Somebody takes the address away, and gives it back.
      await b.netlink.deleteAddress('eth1', addressOn(1, b), 16);
      await untilState(b, nameOf(a), 1, 'lost');
      await again.back(nowMs(), 10_000);
      await killControl(b);
      await again.back(nowMs(), 10_000);
      await untilState(b, nameOf(a), 1, 'lost');
      const states = (await statusOf(b)).links.map(({ state }) => state);
      t.same([...new Set(states)], ['up'], 'who starts again does without it');
      await b.netlink.addAddress('eth1', addressOn(1, b), 16);
      await untilState(b, nameOf(a), 1, 'up');
      again.stop();
      await checkKinds(t, lab, kinds);
      await downKinds([a, b], kinds);
      for (const host of [a, b]) await checkBalance(t, host);
    },
  );

  for (const container of a.containers) await container.detach();
  await runFanway(a, ['down', OVERLAY, 'eth0/16,eth1/16']);
  t.same((await a.netlink.links()).map(({ name }) => name).sort(), [
    'eth0',
    'eth1',
    'lo',
    'veth-c1',
  ]);
});
