import { execFileSync } from 'node:child_process';
import t from 'tap';
import type { NatStatus } from '../../../src/api/status.ts';
import { type LabHost, portName } from '../../../src/demo/lab.ts';
import { parseIpv4 } from '../../../src/net/ipv4.ts';
import { findProgram, hasNft } from '../../../src/sys/host/nft.ts';
import { libc } from '../../../src/sys/libc/libc.ts';
import { PacketSocket } from '../../../src/sys/sockets/packet-socket.ts';
import { sendTrain } from '../../../src/sys/sockets/send-train.ts';
import { openUdp } from '../../../src/sys/sockets/sockets.ts';
import {
  KEEP_ALIVE_BYTES,
  KeepAliveKind,
  keepAliveDatagram,
  keepAliveKind,
} from '../../../src/wire/lan/keep-alive.ts';
import { VXLAN_HEADER_BYTES } from '../../../src/wire/vxlan.ts';
import { countersOf } from '../../faults/rig.ts';
import { skipWithoutTun } from '../../netns/privileges.ts';
import { skipLong } from '../../support/long.ts';
import { until } from '../../support/patience.ts';
import { fanway, statusOf } from '../lab-router.ts';
import { ping, run, skipWithoutPing, startHosts } from '../networks/lab.ts';

const skip =
  skipWithoutTun() || skipWithoutPing || (hasNft() ? skipLong : 'needs nft (package nftables)');
const OUTSIDE = '250.0.28.1';
const INSIDE = '250.1.27.1';
const VNI = 0xfa0000;
const PLAIN = { offload: false, reusePort: false };
/** Of Ethernet, IPv4 and UDP, bytes. */
const OUTER_BYTES = 14 + 20 + 8;

function alive(seat: number) {
  return { kind: KeepAliveKind.Alive, seat, number: 0xffff_ffff, port: 0, address: 0 };
}

function payloadOf(frame: Uint8Array): Uint8Array {
  return frame.subarray(OUTER_BYTES, OUTER_BYTES + VXLAN_HEADER_BYTES + KEEP_ALIVE_BYTES);
}

/** Whether a frame on the wire carries a keep-alive, and is no answer. */
function isKeepAlive(frame: Uint8Array): boolean {
  const bytes = payloadOf(frame);
  if (bytes.length < VXLAN_HEADER_BYTES + KEEP_ALIVE_BYTES) return false;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return keepAliveKind(view, VXLAN_HEADER_BYTES, KEEP_ALIVE_BYTES) === KeepAliveKind.Alive;
}

/** The router between the hosts hides the second one, and gives its UDP flows ports from `from` on. */
function masquerade(middle: LabHost['namespace'], from: number): void {
  const [out, inside] = [portName(0), portName(1)];
  const rules = `flush ruleset
    table ip nat {
      chain out {
        type nat hook postrouting priority srcnat
        oifname "${out}" ip protocol udp masquerade to :${from}-${from + 999}
        oifname "${out}" masquerade
      }
    }
    table ip filter {
      chain forward {
        type filter hook forward priority filter
        iifname "${out}" oifname "${inside}" ct state new drop
      }
    }`;
  middle.run(() => execFileSync(findProgram('nft') ?? 'nft', ['-f', '-'], { input: rules }));
}

/** What a host says of NATs. */
async function natOf(host: LabHost): Promise<NatStatus> {
  const nat = (await statusOf(host)).links[0]?.nat;
  if (nat === undefined) throw new Error(`${host.name} speaks of no NAT`);
  return nat;
}

t.test('a host behind a NAT', { skip, timeout: 280_000 }, async (t) => {
  const { lab, keyFile } = await startHosts(t, { middle: 'routed', containersPerHost: 0 });
  const [a, b] = [lab.host(0), lab.host(1)];
  const { namespace } = lab.middle;
  masquerade(namespace, 40_000);
  const up = ['up', '250.0.0.0/8', 'eth0/16'];
  await run(a, ...up);
  await run(b, ...up, '--behind-nat', '--keep-alive', '2');
  const portOf = async (host: LabHost): Promise<number> => {
    const seen = (await natOf(host)).peers[0]?.seenAt ?? '';
    return Number(/^172\.30\.0\.254:([0-9]+)$/.exec(seen)?.[1] ?? 0);
  };
  const isBetween = (port: number, from: number): boolean => port >= from && port < from + 1000;

  await t.test('is a stranger where nobody lets it be elsewhere', async (t) => {
    const why = async () => (await natOf(b)).seenBy.some(({ reason }) => /--nat 172/.test(reason));
    await until('it is told why', 30_000, why);
    t.equal(await ping(a, INSIDE), 0);
    t.equal((await statusOf(a)).links[0]?.nat, undefined);
  });

  // The other side starts again, and knows nothing of before.
  await run(a, 'down', '-e');
  await run(a, ...up, '--nat', '172.30.1.27');
  await run(a, 'join', '--name', a.name, '--key', keyFile);

  await t.test('is reached where its keep-alives come from, and reaches', async (t) => {
    const port = await until('it is seen behind the NAT', 20_000, () => portOf(a));
    t.ok(isBetween(port, 40_000), `port ${port}`);
    const reached = () => ping(a, INSIDE);
    t.ok(await until('it is reached', 10_000, reached));
    t.ok(await until('it reaches', 10_000, () => ping(b, OUTSIDE)));
    const { seenBy, keepAliveSeconds } = await natOf(b);
    t.match(seenBy, [{ peer: '172.30.0.28', seenAt: `172.30.0.254:${port}`, reason: '' }]);
    t.equal(keepAliveSeconds, 2);
    const { out } = await fanway(a, 'status');
    t.match(out, /behind a NAT: host2 \(172\.30\.1\.27\), at 172\.30\.0\.254:4\d+, \d s ago/);
    t.match((await fanway(b, 'status')).out, /host1 \(172\.30\.0\.28\) sees it at 172\.30\.0\.254/);
    const peers = (await fanway(a, 'peers')).out;
    t.match(peers, /host2 +alive (.|\n)*172\.30\.0\.254:4\d+, \d s ago/);
  });

  await t.test('is not moved by what strangers forge or repeat', async (t) => {
    const before = await portOf(a);
    const { index } = await lab.middle.netlink.link(portName(0));
    const sight = lab.middle.run(() => new PacketSocket(index));
    t.teardown(() => sight.close());
    const repeated = await until('a keep-alive passes', 10_000, () => {
      const frame = sight.read()?.bytes;
      return frame !== undefined && isKeepAlive(frame) && Buffer.from(payloadOf(frame));
    });
    // From the router itself: its address is the NAT's, its port another.
    const socket = namespace.run(() => openUdp(parseIpv4('172.30.0.254'), 0, PLAIN));
    t.teardown(() => libc.close(socket.fd));
    const forged = [1, 2, 3].map((seat) => keepAliveDatagram(VNI, alive(seat), new Uint8Array(12)));
    const was = (await countersOf(a))['event.keep_alives'] ?? 0;
    const to = { address: a.address, port: 4789 };
    for (const datagram of [...forged, repeated]) sendTrain(socket.fd, to, datagram);
    const came = async () => ((await countersOf(a))['event.keep_alives'] ?? 0) >= was + 4;
    await until('they have come', 10_000, came);
    t.equal(await portOf(a), before);
    t.ok(await until('it is reached still', 10_000, () => ping(a, INSIDE)));
  });

  await t.test('is followed when its NAT starts anew', async (t) => {
    await lab.setCable(0, false);
    masquerade(namespace, 50_000);
    await lab.setCable(0, true);
    const moved = async () => isBetween(await portOf(a), 50_000);
    await until('it is seen at the new port', 20_000, moved);
    t.ok(await until('it is reached', 10_000, () => ping(a, INSIDE)));
  });
});
