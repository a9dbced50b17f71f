import { readFileSync } from 'node:fs';
import t from 'tap';
import { formatIpv4 } from '../../src/net/ipv4.ts';
import { runEcho } from '../../src/traffic/run.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { ethernet, icmp, ipv4, udp, vxlan } from '../support/bytes.ts';
import { groundOf, STRANGER } from '../support/ground.ts';
import { sleep } from '../support/patience.ts';
import { type Ground, INNER_MAC, outer } from '../support/probes.ts';
import {
  CONTAINER_NUMBER,
  countersOf,
  fanwayUp,
  imbalance,
  joinFan,
  moved,
  Target,
} from '../support/target.ts';

const skip = skipWithoutTun();
t.setTimeout(1_200_000);

/**
 * What tunneltester asks of a tunnel that it does not belong to, as inner packets: does it reply,
 * does it take a source of its own subnet, any source, does it send back out what is for the
 * sender, does its router complain about TTL 1?
 */
function ideas(ground: Ground, stranger: number): [name: string, packet: Buffer][] {
  const echo = icmp(8, 0, 0x1234_0001, Buffer.from('are you there?'));
  const packet = (source: number, destination: number, ttl = 64): Buffer =>
    ipv4({ source, destination, protocol: 1, ttl }, echo);
  return [
    ['reply', packet(stranger, ground.container)],
    ['subnet spoof', packet(ground.slice + 99, ground.container)],
    ['spoof', packet(ground.inner, ground.container)],
    ['echo', packet(stranger, stranger)],
    ['TTL 1', packet(stranger, ground.container, 1)],
  ];
}

/** An inner packet in each of four tunnels: VXLAN, IPIP, 6in4's protocol and GRE. */
function tunnels(ground: Ground, packet: Buffer): [name: string, end: string, frame: Buffer][] {
  const source = ground.stranger;
  const frame = ethernet(ground.containerMac, INNER_MAC, 0x0800, packet);
  const bare = (protocol: number, body: Buffer): Buffer =>
    ethernet(
      ground.victimMac,
      ground.attackerMac,
      0x0800,
      ipv4({ source, destination: ground.victim, protocol }, body),
    );
  const gre = Buffer.concat([Buffer.from([0, 0, 8, 0]), packet]);
  return [
    ['VXLAN', 'stranger', outer(ground, vxlan(ground.vni, frame), { source })],
    ['IPIP', 'stranger', bare(4, packet)],
    ['6in4', 'stranger', bare(41, packet)],
    ['GRE', 'kernel', bare(47, gre)],
  ];
}

t.test('twenty probes of a stranger: nothing goes in, nothing comes back', { skip }, async (t) => {
  const target = await Target.create({ encap: 'vxlan' });
  t.teardown(() => target.close());
  await fanwayUp(target.victim, '249.0.0.0/8', 'eth0/16', '--encap', 'ipip');
  await target.watchDevices();
  const ground = groundOf(target, 'vxlan');
  let probes = 0;
  for (const [idea, packet] of ideas(ground, STRANGER)) {
    for (const [tunnel, end, frame] of tunnels(ground, packet)) {
      probes++;
      const effect = await target.shoot([frame], end === 'kernel' ? 20 : 2000);
      const wanted = { 'ingress.received': 1, 'ingress.drop.stranger': 1 };
      t.strictSame(effect.counters, end === 'kernel' ? {} : wanted, `${idea} in ${tunnel}`);
      t.strictSame(effect.inside, []);
      // A kernel that knows no such protocol says so (RFC 1122 §3.2.2.1), with or without fanway,
      // and asks by ARP first; nothing else may come.
      const answers = effect.answers.filter(
        (answer) => !(end === 'kernel' && isProtocolUnreachable(answer)),
      );
      t.strictSame(answers, [], `${idea} in ${tunnel}: silence`);
    }
  }
  t.equal(probes, 20);
  t.equal(await target.settle(), 0);
});

function isProtocolUnreachable(frame: Buffer): boolean {
  if (frame.readUInt16BE(12) === 0x0806) return true;
  return frame[23] === 1 && frame[34] === 3 && frame[35] === 2;
}

const FLOOD_PACKETS = 1_000_000;
const FLOOD_PER_SECOND = 60_000;
const FLOOD_MS_MAX = 75_000;
const BATCH = 256;
const PING_INTERVAL_MS = 100;
const PINGS = Math.floor((FLOOD_PACKETS / FLOOD_PER_SECOND) * (1000 / PING_INTERVAL_MS));

/** 256 frames of 256 strangers, all of what strangers may think of. */
function floodFrames(ground: Ground): Buffer[] {
  return Array.from({ length: BATCH }, (_, i) => {
    const stranger = (0xcb007100 + i) >>> 0;
    const all = ideas(ground, stranger);
    const [, packet] = all[i % all.length] ?? ['', Buffer.alloc(0)];
    const frame = ethernet(ground.containerMac, INNER_MAC, 0x0800, packet);
    const ends = { source: stranger, destination: ground.victim };
    const payload = i % 17 === 0 ? Buffer.alloc(i % 23, i) : vxlan(ground.vni, frame);
    const datagram = udp(
      ends,
      { sourcePort: 1024 + i * 13, destinationPort: ground.port, checksum: 'none' },
      payload,
    );
    return ethernet(ground.victimMac, ground.attackerMac, 0x0800, ipv4(ends, datagram));
  });
}

/** Datagrams that the kernel dropped because the data port's receive buffer was full. */
function socketDrops(target: Target, port: number): number {
  const lines = target.victim.run(() => readFileSync('/proc/self/net/udp', 'utf8')).split('\n');
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  let drops = 0;
  for (const line of lines) {
    const words = line.trim().split(/\s+/);
    if (words[1]?.endsWith(suffix)) drops += Number(words.at(-1));
  }
  return drops;
}

/**
 * Frames that a busy machine dropped on the victim's doorstep, before any socket (its backlog was
 * full). Those dropped at the attacker's failed to send, and were not counted as sent.
 */
async function cableDrops({ victim }: Target): Promise<number> {
  return (await victim.netlink.link('eth0')).statistics.rxDropped;
}

t.test('a million packets of strangers beside one honest ping', { skip }, async (t) => {
  const target = await Target.create({ encap: 'vxlan', lab: { hosts: 3 } });
  t.teardown(() => target.close());
  const { lab, victim, underlay } = target;
  const ground = groundOf(target, 'vxlan');
  const peer = lab.host(2);
  await fanwayUp(peer, '250.0.0.0/8', 'eth0/16', 'bridge', target.bridge);
  await joinFan(lab.container(2), target.bridge, CONTAINER_NUMBER);
  const address = formatIpv4(lab.container(0).address);
  await runEcho(lab.container(2), [address], { count: 2, interval: 50, timeout: 1000 });
  const before = await countersOf(victim);
  const dropsBefore = socketDrops(target, ground.port);
  const cableBefore = await cableDrops(target);
  underlay.take();

  const ping = runEcho(lab.container(2), [address], {
    count: PINGS,
    interval: PING_INTERVAL_MS,
    timeout: 1000,
  });
  const batch = underlay.batch(floodFrames(ground));
  const started = performance.now();
  let sent = 0;
  let answers = 0;
  let inside = 0;
  const isStrange = (frame: Buffer): boolean => frame.readUInt32BE(14 + 12) >>> 16 === 0xcb00;
  while (sent < FLOOD_PACKETS && performance.now() - started < FLOOD_MS_MAX) {
    const due = ((performance.now() - started) * FLOOD_PER_SECOND) / 1000;
    while (sent < due && sent < FLOOD_PACKETS) {
      sent += batch.send(Math.min(BATCH, FLOOD_PACKETS - sent));
    }
    // Frames of the peer pass the attacker's switch port only while it learns: none are ours.
    answers += underlay.take().filter((frame) => !frame.outgoing && !isPeers(frame.bytes)).length;
    for (const device of target.devices) inside += device.arrived().filter(isStrange).length;
    await sleep(2);
  }
  const { targets } = await ping;
  const [pinged] = targets;
  t.equal(sent, FLOOD_PACKETS, `in ${Math.round(performance.now() - started)} ms`);
  t.equal(await target.settle(), 0, 'received = delivered + named drops');
  answers += underlay.take().filter((frame) => !frame.outgoing && !isPeers(frame.bytes)).length;
  for (const device of target.devices) inside += device.arrived().filter(isStrange).length;

  const effect = moved(before, await countersOf(victim));
  const strangers = effect['ingress.drop.stranger'] ?? 0;
  const full = socketDrops(target, ground.port) - dropsBefore;
  const cable = (await cableDrops(target)) - cableBefore;
  t.comment(`stranger ${strangers}, dropped by the full socket ${full}, by the cable ${cable}`);
  t.comment(`ping ${pinged?.received} of ${pinged?.sent}`);
  // A full socket, or cable, drops honest packets too, and who is behind gives up what waits.
  const overload = effect['ingress.drop.overload'] ?? 0;
  const ends = strangers + overload + full + cable - FLOOD_PACKETS;
  t.ok(ends >= 0 && ends <= PINGS, `every packet has its end (${ends} more)`);
  t.equal(inside, 0, 'not one delivered');
  t.equal(answers, 0, 'not one answered');
  t.equal(underlay.lost(), 0, 'the sniffer saw all');
  t.ok((pinged?.received ?? 0) >= 0.95 * PINGS, 'the honest ping goes on');
  t.equal(await imbalance([victim, peer]), 0);

  function isPeers(frame: Buffer): boolean {
    return frame.readUInt16BE(12) === 0x0806
      ? frame.readUInt32BE(28) === peer.address || frame.readUInt32BE(38) === peer.address
      : frame.readUInt32BE(26) === peer.address || frame.readUInt32BE(30) === peer.address;
  }
});
