/**
 * What leaves a container's port straight for the underlay is what the tunnel's device would have sent, and what may
 * not leave by that does not leave here.
 */
import t from 'tap';
import { tcxPrograms } from '../../src/sys/bpf/tcx.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { ethernet, icmp, ipv4, tcp } from '../support/bytes.ts';
import { groundOf } from '../support/ground.ts';
import { Guest, type TunnelPacket } from '../support/guest.ts';
import { sleep, until } from '../support/patience.ts';
import { carry, INNER_MAC, innerUdp } from '../support/probes.ts';
import { moved, Target } from '../support/target.ts';

/** Nobody has it: frames to it go through the bridge, and leave by the device. */
const UNKNOWN_MAC = 0x020000000077;
const WAIT_MS = 2000;
const OUTER_BYTES = 50;
/** UDP's sum outside: none where a packet leaves straight. */
const SUM = 26;

type Case = {
  name: string;
  packet: Buffer;
  way: 'straight' | 'device' | 'nowhere';
};

const isStraight = (packet: TunnelPacket): boolean => packet.bytes.readUInt16BE(SUM) === 0;

/** What is the same whoever makes the outer headers: all but identification, sums and, nearly, the port. */
function shown({ bytes, inner, sourcePort: _, ...rest }: TunnelPacket): object {
  const sum = Buffer.from(bytes.subarray(0, 20));
  let total = 0;
  for (let at = 0; at < sum.length; at += 2) total += sum.readUInt16BE(at);
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
  const shim = bytes.subarray(28, OUTER_BYTES - 14).toString('hex');
  const sender = bytes.subarray(OUTER_BYTES - 8, OUTER_BYTES).toString('hex');
  return { ...rest, isSummed: total === 0xffff, shim, sender, inner: inner.toString('hex') };
}

for (const dscp of ['pipe', 'uniform']) {
  t.test(`the straight way, ${dscp}`, { skip: skipWithoutTun() }, async (t) => {
    const flags = ['--datapath', 'kernel', '--dscp', dscp];
    const target = await Target.create({ encap: 'vxlan', flags });
    t.teardown(() => target.close());
    const { victim } = target;
    const { index: loopback } = await victim.netlink.link('lo');
    if (victim.run(() => tcxPrograms(loopback, 'ingress')) === undefined) return;
    const ground = groundOf(target, 'vxlan');
    const guest = await Guest.create(target, 'vxlan', ground.port);
    const ends = { source: ground.container, destination: ground.inner };
    const of = (payload: number, more: Parameters<typeof innerUdp>[1] = {}): Buffer =>
      innerUdp(ground, { ...ends, ...more }, {}, Buffer.alloc(payload, 7));
    const send = async (mac: number, packet: Buffer, ms = WAIT_MS): Promise<TunnelPacket[]> => {
      guest.tunnelled();
      guest.sendFrame(ethernet(mac, ground.containerMac, 0x0800, packet));
      return guest.collect(1, ms);
    };
    await until('the way is open', 20_000, async () => {
      target.underlay.send(carry(ground, innerUdp(ground)));
      const [packet] = await send(INNER_MAC, of(36), 100);
      return packet !== undefined && isStraight(packet);
    });
    // Of each station a frame goes through the bridge now and then, first of all now.
    await sleep(50);
    const segment = tcp(ends, { sourcePort: 1, destinationPort: 2 }, Buffer.alloc(9));
    const cases: Case[] = [
      { name: 'a datagram of 64 bytes', packet: of(64), way: 'straight' },
      { name: 'an empty one', packet: of(0), way: 'straight' },
      { name: 'the largest', packet: of(502 - 28), way: 'straight' },
      { name: 'one byte more', packet: of(502 - 27), way: 'device' },
      { name: 'of a class', packet: of(9, { tos: 0xb9 }), way: 'straight' },
      { name: 'of another', packet: of(9, { tos: 0x02, fragment: 0 }), way: 'straight' },
      { name: 'congestion', packet: of(9, { tos: 0x03 }), way: 'device' },
      {
        name: 'options',
        packet: of(9, { options: Buffer.from('01010101', 'hex') }),
        way: 'device',
      },
      { name: 'a first piece', packet: of(8, { fragment: 0x2000 }), way: 'device' },
      { name: 'a last piece', packet: of(8, { fragment: 0x0010 }), way: 'device' },
      { name: 'TCP', packet: ipv4({ ...ends, protocol: 6 }, segment), way: 'straight' },
      {
        name: 'ICMP',
        packet: ipv4({ ...ends, protocol: 1 }, icmp(8, 0, 1, Buffer.alloc(9))),
        way: 'straight',
      },
      {
        name: 'another protocol',
        packet: ipv4({ ...ends, protocol: 253 }, Buffer.alloc(9)),
        way: 'device',
      },
      {
        name: 'a tunnel inside',
        packet: innerUdp(ground, ends, { destinationPort: ground.port }),
        way: 'nowhere',
      },
      { name: 'GRE', packet: ipv4({ ...ends, protocol: 47 }, Buffer.alloc(9)), way: 'nowhere' },
      { name: "another's address", packet: of(9, { source: ground.otherInner }), way: 'nowhere' },
      { name: 'the host itself', packet: of(9, { source: 0x08080808 }), way: 'nowhere' },
      { name: 'outside', packet: of(9, { destination: 0x08080808 }), way: 'nowhere' },
      { name: 'a group', packet: of(9, { destination: 0xe0000001 }), way: 'nowhere' },
      { name: 'all of a fan', packet: of(9, { destination: 0xfaffffff }), way: 'nowhere' },
      { name: 'here', packet: of(9, { destination: ground.container + 1 }), way: 'nowhere' },
      { name: 'too short a header', packet: of(9, { words: 4 }), way: 'nowhere' },
      { name: 'longer than it is', packet: of(9, { totalBytes: 200 }), way: 'nowhere' },
      { name: 'no IPv4', packet: of(9, { version: 5 }), way: 'nowhere' },
    ];
    for (const { name, packet, way } of cases) {
      const ms = way === 'nowhere' ? 100 : WAIT_MS;
      const seen: { counters: object; packets: TunnelPacket[] }[] = [];
      for (const mac of [INNER_MAC, UNKNOWN_MAC]) {
        const before = await target.counters();
        const packets = await send(mac, packet, ms);
        await target.settle();
        seen.push({ counters: moved(before, await target.counters(), 'egress.'), packets });
      }
      const [here, there] = seen;
      t.same(here?.counters, there?.counters, `${name}: the same counters`);
      t.same(here?.packets.map(shown), there?.packets.map(shown), `${name}: the same outside`);
      // Kernels differ in how they round.
      const [one = 0, other = one] = seen.map(({ packets }) => packets[0]?.sourcePort);
      t.ok(Math.abs(one - other) <= 1, `${name}: ports ${one} and ${other}`);
      const isThere = way === 'nowhere' ? [] : [way === 'straight'];
      t.same(here?.packets.map(isStraight), isThere, `${name}: ${way}`);
      t.notOk(there?.packets.some(isStraight), 'and by the device in the other way');
    }
    t.equal(await target.settle(), 0, 'received = delivered + named drops');
  });
}
