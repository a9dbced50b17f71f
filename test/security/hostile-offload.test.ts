import t from 'tap';
import { formatIpv4 } from '../../src/net/ipv4.ts';
import { addressOf, check, libc } from '../../src/sys/libc/libc.ts';
import { runEcho } from '../../src/traffic/run.ts';
import { statusOf } from '../control/lab-router.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { ethernet, ipv4, isTransportSumRight, tcp, udp } from '../support/bytes.ts';
import { groundOf } from '../support/ground.ts';
import { Guest } from '../support/guest.ts';
import { sleep } from '../support/patience.ts';
import { moved, Target } from '../support/target.ts';

const skip = skipWithoutTun();
t.jobs = 3;
t.setTimeout(1_200_000);

const SOL_PACKET = 263;
const PACKET_VNET_HDR = 15;
const [GSO_NONE, GSO_TCPV4, GSO_UDP, GSO_UDP_L4, GSO_ECN] = [0, 1, 3, 5, 0x80];

/** A virtio-net header as a guest with a packet socket may write it. */
function vnet(fields: {
  flags?: number;
  type?: number;
  headerBytes?: number;
  gso?: number;
  start?: number;
  offset?: number;
}): Buffer {
  const header = Buffer.alloc(10);
  header[0] = fields.flags ?? 1;
  header[1] = fields.type ?? GSO_NONE;
  header.writeUInt16LE(fields.headerBytes ?? 0, 2);
  header.writeUInt16LE(fields.gso ?? 0, 4);
  header.writeUInt16LE(fields.start ?? 0, 6);
  header.writeUInt16LE(fields.offset ?? 0, 8);
  return header;
}

for (const [encap, offload] of [
  ['vxlan', 'auto'],
  ['vxlan', 'off'],
  ['fou', 'auto'],
] as const) {
  t.test(
    `a guest's own offload headers on ${encap}, offload ${offload}`,
    { skip, buffered: true },
    async (t) => {
      const target = await Target.create({ encap, offload, lab: { underlayOffloads: false } });
      t.teardown(() => target.close());
      const ground = groundOf(target, encap);
      const guest = await Guest.create(target, encap, ground.port);
      const pid = (await statusOf(target.victim)).processes[0]?.pid;
      const socket = guest.wire.fd;
      const one = Int32Array.of(1);
      check('setsockopt', libc.setsockopt(socket, SOL_PACKET, PACKET_VNET_HDR, addressOf(one), 4));

      const ends = { source: ground.container, destination: ground.inner };
      const nextHop =
        encap === 'vxlan'
          ? 0x020000000077
          : (await target.victim.netlink.link(target.bridge)).address;
      const frame = (packet: Buffer): Buffer =>
        ethernet(nextHop, target.containerMac, 0x0800, packet);
      const stream = (bytes: number, fields = {}): Buffer =>
        frame(
          ipv4(
            { ...ends, protocol: 6 },
            tcp(ends, { destinationPort: 9, flags: 0x18, ...fields }, Buffer.alloc(bytes, 5)),
          ),
        );
      const datagram = (bytes: number, fields = {}): Buffer =>
        frame(ipv4(ends, udp(ends, { destinationPort: 9000, ...fields }, Buffer.alloc(bytes, 6))));
      const [tcpSum, udpSum] = [
        { start: 34, offset: 16 },
        { start: 34, offset: 6 },
      ];
      const attempts: [Buffer, Buffer][] = [];
      for (const gso of [0, 1, 2, 7, 100, 536, 1400, 1460, 9000, 65535]) {
        for (const bytes of [1, 100, 1400, 20_000, 60_000]) {
          attempts.push([
            vnet({ type: GSO_TCPV4, gso, headerBytes: 54, ...tcpSum }),
            stream(bytes),
          ]);
          attempts.push([
            vnet({ type: GSO_UDP_L4, gso, headerBytes: 42, ...udpSum }),
            datagram(bytes),
          ]);
        }
        attempts.push([
          vnet({ type: GSO_TCPV4 | GSO_ECN, gso, headerBytes: 54, ...tcpSum }),
          stream(9000, { flags: 0xd9 }),
        ]);
        attempts.push([vnet({ type: GSO_UDP, gso, headerBytes: 42, ...udpSum }), datagram(9000)]);
        // A type that does not fit the packet, and headers that lie.
        attempts.push([vnet({ type: GSO_TCPV4, gso, headerBytes: 54, ...tcpSum }), datagram(9000)]);
        attempts.push([vnet({ type: GSO_UDP_L4, gso, headerBytes: 42, ...udpSum }), stream(9000)]);
        attempts.push([
          vnet({ type: GSO_TCPV4, gso, headerBytes: 54, ...tcpSum }),
          stream(9000, { words: 15 }),
        ]);
        attempts.push([
          vnet({ type: GSO_TCPV4, gso, headerBytes: 54, ...tcpSum }),
          stream(9000, { words: 1 }),
        ]);
        attempts.push([vnet({ type: GSO_TCPV4, gso, headerBytes: 2, ...tcpSum }), stream(9000)]);
        attempts.push([vnet({ type: GSO_TCPV4, gso, headerBytes: 54, flags: 0 }), stream(9000)]);
      }
      for (const start of [0, 14, 20, 33, 34, 40, 60, 1000, 65535]) {
        for (const offset of [0, 6, 16, 500, 65535]) {
          attempts.push([vnet({ start, offset }), datagram(100)]);
        }
      }
      const before = await target.counters();
      let refused = 0;
      let broken = 0;
      for (const [header, bytes] of attempts) {
        const buffer = Buffer.concat([header, bytes]);
        // The kernel sees through some of them itself.
        if (libc.sendto(socket, addressOf(buffer), buffer.length, 0, 0, 0) < 0) refused++;
        await sleep(1);
        for (const packet of guest.tunnelled()) {
          // What the guest itself spoiled (sums finished at odd places) is his own; lengths are ours.
          if (packet.inner.readUInt16BE(2) !== packet.inner.length) broken++;
          if (packet.fragment !== 0x4000) broken++;
        }
      }
      t.equal(await target.settle(), 0, 'received = delivered + named drops');
      const effect = moved(before, await target.counters(), 'egress.');
      t.comment(
        `${attempts.length} attempts, ${refused} refused by the kernel: ${JSON.stringify(effect)}`,
      );
      t.ok((effect['egress.received'] ?? 0) > 100);
      t.equal(broken, 0, 'whatever went out is whole and unfragmented');
      const { processes } = await statusOf(target.victim);
      t.equal(processes[0]?.pid, pid, 'the data process is the same');
      t.equal(processes[0]?.restarts, 0);

      // And it still works: an honest super-packet is cut into sound segments.
      guest.tunnelled();
      const buffer = Buffer.concat([
        vnet({ type: GSO_TCPV4, gso: 1000, headerBytes: 54, ...tcpSum }),
        stream(10_000),
      ]);
      buffer.writeUInt16BE(pseudo(ends, 10_000 + 20), 10 + 14 + 20 + 16);
      check('sendto', libc.sendto(socket, addressOf(buffer), buffer.length, 0, 0, 0));
      const segments = await guest.collect(10);
      t.equal(segments.length, 10);
      t.ok(
        segments.every(({ inner }) => isTransportSumRight(inner)),
        'checksums right',
      );
      await runEcho(target.victim, [formatIpv4(target.lab.container(0).address)], { count: 1 });
    },
  );
}

/** The pseudo header's sum that a stack leaves in the field for the device to finish. */
function pseudo(ends: { source: number; destination: number }, bytes: number): number {
  let sum = 6 + bytes;
  for (const address of [ends.source, ends.destination])
    sum += (address >>> 16) + (address & 0xffff);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}
