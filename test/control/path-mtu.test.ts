import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import t from 'tap';
import { runFanway } from '../../src/demo/router.ts';
import { formatIpv4, parseIpv4 } from '../../src/net/ipv4.ts';
import { NetworkNamespace } from '../../src/sys/process/netns.ts';
import { RouteMtu } from '../../src/sys/sockets/route-mtu.ts';
import { openSendOnlyUdp, socketAddress } from '../../src/sys/sockets/sockets.ts';
import { runTcpPair, startTraffic } from '../../src/traffic/run.ts';
import {
  checkBalance,
  countersOf,
  killDataProcess,
  type Rig,
  startRig,
  statusOf,
} from '../faults/rig.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { skipLong } from '../support/long.ts';
import { until } from '../support/patience.ts';

const skip = skipWithoutTun();
const TCP_BYTES = 1 << 20;
const OVERHEAD = 50;
const SECONDS = 1000;
const timeout = 400_000;
t.setTimeout(2 * timeout);

/** What can be seen of the path from a to b. */
function eyes({ a, b, from, to }: Rig) {
  const peer = formatIpv4(b.address);
  return {
    peer,
    path: async () => (await statusOf(a)).paths.find((path) => path.peer === peer),
    /** The largest packet that crosses, found by sending. */
    crosses: async (): Promise<number> => {
      const options = { target: formatIpv4(to.address), low: 576, high: 2000, timeout: 100 };
      const program = startTraffic(from, 'path-mtu', options, 60_000);
      try {
        return (await program.result).mtuBytes;
      } finally {
        program.kill();
      }
    },
    /** Bytes that arrived of so many. */
    tcp: async () => {
      const ends = { from, to, address: formatIpv4(to.address) };
      return (await runTcpPair(ends, { port: 7100, bytes: TCP_BYTES })).received.streams[0]?.bytes;
    },
  };
}

t.test('a route with an MTU of its own, then a peer that is gone', { skip, timeout }, async (t) => {
  const rig = await startRig(t);
  const { a, b, from, to, pulse } = rig;
  const { peer, path, crosses, tcp } = eyes(rig);
  const route = { dst: { address: b.address, length: 32 }, dev: 'eth0' };
  t.equal(await crosses(), 1500 - OVERHEAD);
  t.same((await statusOf(a)).paths, [], 'nothing to tell');

  await a.netlink.addRoute({ ...route, mtu: 1400 });
  t.same(
    a.run(() => {
      const oracle = new RouteMtu();
      const socket = openSendOnlyUdp(a.address, { offload: false }).fd;
      oracle.addProbe(0, { localAddress: a.address }, socket);
      return [b.address, b.address + 1, parseIpv4('8.8.8.8')].map((peer) => {
        const { buffer, byteOffset, length } = socketAddress(peer, 4789);
        return oracle.configured(0, new DataView(buffer, byteOffset, length), 0, 1500);
      });
    }),
    [1400, 1500, 0],
    'what the kernel knows: that route, the device, nothing',
  );
  await until('the route is obeyed', 3 * SECONDS, async () => (await crosses()) === 1350);
  t.match(await path(), { peer, mtu: 1400, mtuFrom: 'route' });
  const told = await countersOf(a);
  t.ok((told['event.packet_too_big_sent'] ?? 0) > 0, 'the container was told');
  t.equal(await tcp(), TCP_BYTES, 'TCP goes on');

  await killDataProcess(a);
  await until('the next process knows it too', 10 * SECONDS, async () => {
    return (await crosses()) === 1350 && (await path())?.mtu === 1400;
  });

  await a.netlink.deleteRoute(route);
  await until('the route is gone, and its limit', 3 * SECONDS, async () => {
    return (await crosses()) === 1450;
  });
  t.equal((await path())?.mtu ?? 0, 0, 'and status says no more of it');
  await checkBalance(t, a);

  pulse.stop();
  // The far router goes, its host stays: datagrams meet no socket.
  process.kill((await statusOf(b)).pid, 'SIGTERM');
  const options = { targets: formatIpv4(to.address), count: 20, interval: 50, timeout: 50 };
  await until('it is counted', 20 * SECONDS, async () => {
    const echo = startTraffic(from, 'echo', options, 60_000);
    await echo.result.catch(() => undefined);
    echo.kill();
    return ((await countersOf(a))['event.port_unreachable'] ?? 0) > 0;
  });
  t.ok(((await path())?.portUnreachable ?? 0) > 0, 'with the peer');
});

/** Arguments of `ip xfrm` that make everything from one address to another go through ESP. */
function esp(from: string, to: string, spi: number, direction: 'in' | 'out'): string[][] {
  const ends = ['src', from, 'dst', to];
  const kind = ['proto', 'esp', 'reqid', '1', 'mode', 'transport'];
  const key = `0x${'5a'.repeat(20)}`;
  return [
    ['state', 'add', ...ends, 'spi', String(spi), ...kind, 'aead', 'rfc4106(gcm(aes))', key, '128'],
    ['policy', 'add', ...ends, 'dir', direction, 'tmpl', ...ends, ...kind],
  ];
}

function xfrm(args: readonly string[]): string {
  const { status, error, stderr } = spawnSync('ip', ['xfrm', ...args], { encoding: 'utf8' });
  return status === 0 ? '' : `ip xfrm: ${error?.message ?? stderr.trim()}`;
}

/** The reason why no IPsec can be had here, or false. */
function skipWithoutEsp(): string | false {
  if (skip) return skip;
  const namespace = NetworkNamespace.create();
  const [state = []] = esp('10.0.0.1', '10.0.0.2', 0x101, 'out');
  const refusal = namespace.run(() => xfrm(state));
  namespace.close();
  return refusal === '' ? false : `needs ESP in the kernel (${refusal})`;
}

t.test('IPsec beneath', { skip: skipLong || skipWithoutEsp(), timeout }, async (t) => {
  const rig = await startRig(t, { pulse: false });
  const { a, b } = rig;
  const { path, crosses, tcp } = eyes(rig);
  const [one, other] = [formatIpv4(a.address), formatIpv4(b.address)];
  for (const [host, out, back] of [
    [a, 'out', 'in'],
    [b, 'in', 'out'],
  ] as const) {
    const changes = [...esp(one, other, 0x101, out), ...esp(other, one, 0x102, back)];
    for (const change of changes)
      t.equal(
        host.run(() => xfrm(change)),
        '',
      );
  }
  await until('what ESP takes is left to it', 5 * SECONDS, async () => {
    const bytes = await crosses();
    return bytes > 1500 - 2 * OVERHEAD - OVERHEAD && bytes < 1500 - OVERHEAD;
  });
  t.match(await path(), { mtuFrom: 'route' });
  t.equal(await tcp(), TCP_BYTES, 'TCP goes on');
});

t.test('jumbo frames here, none on the way', { skip: skip || skipLong, timeout }, async (t) => {
  const rig = await startRig(t);
  const { a, b, from, to } = rig;
  const { path, crosses, tcp } = eyes(rig);
  await a.netlink.setLink('eth0', { mtu: 9000 });
  await until('the fan has grown', 10 * SECONDS, async () => {
    return (await statusOf(a)).links[0]?.innerMtu === 9000 - OVERHEAD;
  });
  await from.netlink.setLink('eth0', { mtu: 9000 - OVERHEAD });
  await a.netlink.setLink(from.hostEnd, { mtu: 9000 - OVERHEAD });
  // What is too large vanishes without a word.
  await until('echo requests show what the path carries', 10 * SECONDS, async () => {
    await crosses();
    return (await path())?.mtuFrom === 'probe';
  });
  t.match(await path(), { mtu: 1500, mtuFrom: 'probe' });
  await until('and it is obeyed', 3 * SECONDS, async () => (await crosses()) === 1450);
  t.equal(await tcp(), TCP_BYTES, 'TCP goes on');

  // With gossip the far host says it itself.
  await runFanway(a, ['join', '--name', 'a']);
  const key = join(a.runDirectory, 'state', 'gossip.key');
  await runFanway(b, ['join', formatIpv4(a.address), '--name', 'b', '--key', key]);
  await until('the member says so', 10 * SECONDS, async () => {
    await crosses();
    return (await path())?.mtuFrom === 'member';
  });
  t.match(await path(), { mtu: 1500 });
  t.match(await runFanway(a, ['peers']), /1500/);
  const explained = await runFanway(a, ['explain', formatIpv4(to.address)]);
  t.match(explained, /path to 172[.\d]+: MTU 1500 \(its own MTU/);
  await checkBalance(t, a);
});
