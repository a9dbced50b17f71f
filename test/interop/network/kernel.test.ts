/**
 * A layer-2 network whose one end is our loop and whose other end is the kernel's VXLAN device: with a
 * static forwarding database and no floods, and by flood and learn.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import t, { type Test } from 'tap';
import { Lab, type LabContainer, type LabHost } from '../../../src/demo/lab.ts';
import { formatIpv4 } from '../../../src/net/ipv4.ts';
import { formatMac } from '../../../src/net/mac.ts';
import { BumMode } from '../../../src/shm/network.ts';
import { NetlinkError } from '../../../src/sys/netlink/netlink.ts';
import { PacketSocket } from '../../../src/sys/sockets/packet-socket.ts';
import { unaccounted } from '../../../src/table/counters.ts';
import { runEcho, runTcpPair, runUdpPair } from '../../../src/traffic/run.ts';
import {
  interfaceBlock,
  LINKTYPE_ETHERNET,
  PcapngDirection,
  packetBlock,
  sectionHeaderBlock,
} from '../../../src/wire/pcapng.ts';
import { testProgram } from '../../netns/relay.ts';
import { giveIpv6, ip, skipWithoutIpv6, turnOnIpv6 } from '../../support/ipv6-underlay.ts';
import { skipLong } from '../../support/long.ts';
import { until } from '../../support/patience.ts';
import { talk6 } from '../../support/talk6.ts';
import type { NetworkOrder, NetworkStart } from './network-main.ts';

const VNI = 4242;
const PORT = 4789;
const OVERHEAD_BYTES = 50;
const [BRIDGE, KERNEL_DEVICE, DEVICE] = ['br-blue', 'vx-blue', 'fwn0'];
const [NEAR, FAR] = [0x0a09_0001, 0x0a09_0002];
const [NEAR6, FAR6] = ['fd09::1', 'fd09::2'];
const [NEAR_ALL, FAR_ALL] = [
  ['10.9.0.1', NEAR6],
  ['10.9.0.2', FAR6],
];
const TCP_BYTES = 4 * 1024 * 1024;
const ECHO = { count: 3, size: 1400 };
/** Frames of the underlay that are kept for a look at them. */
const FRAMES_KEPT = 2000;
const LOOK_MS = 10;
const BOOKS_MS = 5000;
const TIMEOUT_MS = 115_000;

type Counters = Record<string, number>;

/** Our end, as a program in the host's namespace. */
async function startNear(host: LabHost, start: NetworkStart) {
  const program = testProgram('interop/network/network-main.js');
  const child = host.spawn(process.execPath, [program, JSON.stringify(start)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  if (child.stdout === null) throw new Error('no standard output');
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<string> => {
    const line = await lines.next();
    if (line.done === true) throw new Error('our end of the network has ended');
    return line.value;
  };
  await next();
  const order = async (what: NetworkOrder): Promise<unknown> => {
    child.stdin?.write(`${JSON.stringify(what)}\n`);
    return JSON.parse(await next()) as unknown;
  };
  return {
    order,
    counters: async () => (await order({ do: 'counters' })) as Counters,
    end: () => child.stdin?.end(),
  };
}

/** The kernel's end. Returns why it cannot be, or undefined. */
async function addFar(host: LabHost, mtu: number, learning: boolean): Promise<string | undefined> {
  const { netlink, address: local } = host;
  try {
    await netlink.createVxlan(KERNEL_DEVICE, {
      vni: VNI,
      port: PORT,
      local,
      ttl: 64,
      mtu,
      learning,
    });
  } catch (error) {
    if (error instanceof NetlinkError && error.code === 'EOPNOTSUPP') {
      return 'this kernel has no VXLAN device (module vxlan)';
    }
    throw error;
  }
  await netlink.createBridge(BRIDGE, { mtu });
  await netlink.setLink(KERNEL_DEVICE, { master: BRIDGE, up: true });
  await netlink.setLink(BRIDGE, { up: true });
  return undefined;
}

/** Frames of VXLAN that pass a host's underlay, kept while `work` runs. */
async function watched(host: LabHost, work: () => Promise<void>): Promise<Buffer[]> {
  const eth0 = (await host.netlink.link('eth0')).index;
  const socket = host.run(() => new PacketSocket(eth0));
  const frames: Buffer[] = [];
  const look = (): void => {
    for (let seen = socket.read(); seen !== undefined; seen = socket.read()) {
      const bytes = Buffer.from(seen.bytes);
      const isVxlan = bytes.length > 50 && bytes[23] === 17 && bytes.readUInt16BE(36) === PORT;
      if (isVxlan && frames.length < FRAMES_KEPT) frames.push(bytes);
    }
  };
  const timer = setInterval(look, LOOK_MS);
  try {
    await work();
    look();
  } finally {
    clearInterval(timer);
    socket.close();
  }
  return frames;
}

/** What Wireshark's dissectors find wrong with the frames, a line each; undefined without tshark. */
function malformed(frames: readonly Buffer[]): string | undefined {
  if (spawnSync('tshark', ['--version']).status !== 0) return undefined;
  const folder = mkdtempSync(join(tmpdir(), 'fanway-network-'));
  try {
    const blocks = frames.map((bytes, index) =>
      packetBlock({
        ...{ interfaceIndex: 0, direction: PcapngDirection.Unknown, bytes },
        ...{ originalBytes: bytes.length, timeUs: index },
      }),
    );
    const file = join(folder, 'frames.pcapng');
    const head = [sectionHeaderBlock('test'), interfaceBlock(LINKTYPE_ETHERNET, 0, 'eth0')];
    writeFileSync(file, Buffer.concat([...head, ...blocks]));
    const filter = '_ws.malformed || _ws.expert.group == "Malformed" || vxlan.vni != 4242';
    // What random payload looks like is nobody's fault: nothing above TCP and UDP is asked.
    const plain = ['tcp', 'udp'].flatMap((name) => ['-d', `${name}.port==5000-7100,data`]);
    const words = ['-n', '-r', file, ...plain, '-Y', filter];
    const run = spawnSync('tshark', words, { encoding: 'utf8' });
    if (run.status !== 0) throw new Error(`tshark: ${run.stderr}`);
    return run.stdout.trim();
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function exchange(t: Test, near: LabContainer, far: LabContainer): Promise<void> {
  const ways = {
    there: { from: near, to: far, address: formatIpv4(far.address) },
    back: { from: far, to: near, address: formatIpv4(near.address) },
  };
  for (const [name, path] of Object.entries(ways)) {
    const { targets } = await runEcho(path.from, [path.address], ECHO);
    t.match(targets, [{ sent: ECHO.count, received: ECHO.count }], `echo ${name}`);
    const options = { port: 5001, bytes: TCP_BYTES, sha256: true };
    const { sent, received } = await runTcpPair(path, options);
    t.equal(received.streams[0]?.bytes, TCP_BYTES, `TCP ${name}: all bytes`);
    t.match(sent.streams[0]?.sha256, /^[0-9a-f]{64}$/);
    t.equal(received.streams[0]?.sha256, sent.streams[0]?.sha256, `TCP ${name}: equal SHA-256`);
    if (skipLong !== false) continue;
    const rate = { port: 5002, rate: 500, count: 100, seconds: 5, size: 3000 };
    const udp = await runUdpPair(path, rate);
    t.match(udp.received, { received: 100, missing: 0 }, `UDP ${name}, in fragments`);
  }
  await talk6(t, near, far, FAR6, 4);
  if (skipLong === false) await talk6(t, far, near, NEAR6, 4);
}

const skip = skipWithoutIpv6();

for (const offload of [true, false]) {
  const name = `offloads ${offload ? 'on' : 'off'}`;
  const whether = { skip: offload ? skip : skip || skipLong, timeout: TIMEOUT_MS };
  t.test(`the kernel is the other end: ${name}`, whether, async (t) => {
    const lab = await Lab.create({ hosts: 2, underlayOffloads: offload });
    t.teardown(() => lab.close());
    const [host, other] = [lab.host(0), lab.host(1)];
    const [near, far] = [lab.container(0), lab.container(1)];
    const underlayMtu = (await host.netlink.link('eth0')).mtu;
    const mtu = underlayMtu - OVERHEAD_BYTES;
    // Without offloads by flood and learn, with them floodless: each is tried once.
    const bum = offload ? BumMode.None : BumMode.Learn;
    const isFloodless = bum === BumMode.None;
    const without = await addFar(other, mtu, !isFloodless);
    if (without !== undefined) {
      t.pass('interoperation with the kernel', { skip: without });
      return;
    }
    const end = await startNear(host, {
      ...{ local: host.address, vni: VNI, device: DEVICE, offload, bum, underlayMtu },
    });
    t.teardown(() => end.end());
    await host.netlink.createBridge(BRIDGE, { mtu });
    await host.netlink.setLink(DEVICE, { mtu, master: BRIDGE, up: true });
    await host.netlink.setLink(BRIDGE, { up: true });
    await near.attach({ bridge: BRIDGE, address: NEAR, length: 24, mtu });
    await far.attach({ bridge: BRIDGE, address: FAR, length: 24, mtu });
    for (const [node, address] of [
      [near, NEAR6],
      [far, FAR6],
    ] as const) {
      turnOnIpv6(node);
      giveIpv6(node, `${address}/64`);
    }
    const [nearMac, farMac] = [
      (await near.netlink.link('eth0')).address,
      (await far.netlink.link('eth0')).address,
    ];
    await end.order({ do: 'admit', peer: other.address });
    if (isFloodless) {
      await other.netlink.addFdb(KERNEL_DEVICE, nearMac, host.address);
      await far.netlink.addNeighbour('eth0', NEAR, nearMac);
      ip(far, '-6', 'neigh', 'add', NEAR6, 'lladdr', formatMac(nearMac), 'dev', 'eth0');
      await end.order({ do: 'station', at: other.address, mac: farMac, addresses: FAR_ALL });
      await end.order({ do: 'station', at: host.address, mac: nearMac, addresses: NEAR_ALL });
    } else {
      await other.netlink.addFdb(KERNEL_DEVICE, 0, host.address);
    }
    const frames = await watched(host, () => exchange(t, near, far));
    t.ok(frames.length > 100, `${frames.length} frames of the underlay were looked at`);
    const wrong = malformed(frames);
    if (wrong === undefined) t.comment('no tshark here: nobody else has looked at the frames');
    else t.equal(wrong, '', 'tshark finds nothing malformed, and no other VNI');
    const groups = frames.filter((frame) => ((frame[50] ?? 0) & 1) === 1);
    const arps = frames.filter((frame) => frame.readUInt16BE(62) === 0x0806);
    await until('the books balance', BOOKS_MS, async () => {
      const counters = await end.counters();
      return unaccounted(counters, 'egress') === 0 && unaccounted(counters, 'ingress') === 0;
    });
    const counters = await end.counters();
    t.comment(JSON.stringify(Object.entries(counters).filter(([, count]) => count > 0)));
    const floods =
      (counters['event.flooded_broadcast'] ?? 0) + (counters['event.flooded_unknown'] ?? 0);
    if (isFloodless) {
      t.equal(floods, 0, 'nothing was flooded');
      t.equal(groups.length, 0, 'no frame for everybody on the underlay');
      t.equal(arps.filter((frame) => ((frame[50] ?? 0) & 1) === 1).length, 0);
      t.ok((counters['event.arp_answered'] ?? 0) > 0, 'ARP was answered here');
      t.ok((counters['event.nd_answered'] ?? 0) > 0, 'and Neighbour Discovery');
      // Over a veth the kernel leaves them uncut.
      t.ok((counters['ingress.receivedBytes'] ?? 0) > 1500 * (counters['ingress.received'] ?? 0));
      t.ok((counters['event.trains_sent'] ?? 0) > 0, 'trains were sent');
    } else {
      t.ok(floods > 0, 'the first ones were flooded');
    }
  });
}
