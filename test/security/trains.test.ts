import t from 'tap';
import { SOL_UDP, UDP_SEGMENT } from '../../src/sys/libc/constants.ts';
import { addressOf, check, libc } from '../../src/sys/libc/libc.ts';
import { openUdp, socketAddress } from '../../src/sys/sockets/sockets.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { isTransportSumRight } from '../support/bytes.ts';
import { groundOf } from '../support/ground.ts';
import { type Ground, inFrame, innerUdp, shim } from '../support/probes.ts';
import { moved, Target } from '../support/target.ts';

const skip = skipWithoutTun();
t.jobs = 3;

/** Sends `payload` as a train of `segmentBytes` pieces, in one call. @throws SystemError */
function sendTrain(fd: number, ground: Ground, payload: Buffer, segmentBytes: number): void {
  const name = socketAddress(ground.victim, ground.port);
  const vector = BigUint64Array.of(BigInt(addressOf(payload)), BigInt(payload.length));
  // struct cmsghdr {length, level, type} and the u16, padded.
  const control = Buffer.alloc(24);
  control.writeBigUInt64LE(18n, 0);
  control.writeInt32LE(SOL_UDP, 8);
  control.writeInt32LE(UDP_SEGMENT, 12);
  control.writeUInt16LE(segmentBytes, 16);
  const message = Buffer.alloc(56);
  message.writeBigUInt64LE(BigInt(addressOf(name)), 0);
  message.writeUInt32LE(name.length, 8);
  message.writeBigUInt64LE(BigInt(addressOf(vector)), 16);
  message.writeBigUInt64LE(1n, 24);
  message.writeBigUInt64LE(BigInt(addressOf(control)), 32);
  message.writeBigUInt64LE(BigInt(control.length), 40);
  check('sendmsg', libc.sendmsg(fd, addressOf(message), 0));
}

/** Inner packets of one length, each with its end. */
function kinds(ground: Ground, sequence: number): [end: string, packet: Buffer][] {
  const payload = Buffer.alloc(64, sequence);
  const packet = (fields: Parameters<typeof innerUdp>[1], sum?: number): Buffer =>
    innerUdp(ground, fields, sum === undefined ? {} : { checksum: sum }, payload);
  return [
    ['delivered', packet({})],
    ['foreign_source', packet({ source: ground.otherInner })],
    ['foreign_destination', packet({ destination: 0x08080808 })],
    ['bad_checksum', packet({}, 0x4242)],
    ['malformed', packet({ checksum: 0x4242 })],
    ['broadcast', packet({ destination: 0xffffffff })],
    ['delivered', packet({})],
    ['nested', packet({ protocol: 47 })],
  ];
}

for (const encap of ['vxlan', 'fou'] as const) {
  for (const offload of ['auto', 'off'] as const) {
    t.test(
      `trains of ${encap} with strangers among them, offload ${offload}`,
      { skip },
      async (t) => {
        const target = await Target.create({ encap, offload });
        t.teardown(() => target.close());
        const ground = groundOf(target, encap);
        const socket = target.attacker.run(() =>
          openUdp(target.attacker.address, 0, { offload: true, reusePort: false }),
        );
        target.keepOpen(socket.fd);
        if (!socket.segment) {
          t.pass('trains', { skip: 'this kernel has no UDP_SEGMENT' });
          return;
        }
        const before = await target.counters();
        const wanted: Record<string, number> = { 'ingress.received': 0 };
        const count = (name: string): void => {
          wanted[name] = (wanted[name] ?? 0) + 1;
        };
        const honest: Buffer[] = [];
        for (let train = 0; train < 20; train++) {
          const pieces: Buffer[] = [];
          for (let i = 0; i < 6; i++) {
            for (const [end, packet] of kinds(ground, train * 6 + i)) {
              pieces.push(shim(ground, inFrame(ground, packet)));
              count('ingress.received');
              count(end === 'delivered' ? 'ingress.delivered' : `ingress.drop.${end}`);
              if (end === 'delivered') honest.push(packet);
            }
          }
          // A train may end in a shorter piece: here one that is cut off.
          const last = pieces[0]?.subarray(0, (pieces[0]?.length ?? 0) - 9) ?? Buffer.alloc(0);
          count('ingress.received');
          count('ingress.drop.malformed');
          sendTrain(socket.fd, ground, Buffer.concat([...pieces, last]), pieces[0]?.length ?? 0);
          await target.settle();
        }
        const effect = moved(before, await target.counters());
        t.strictSame(sorted(effect), sorted(wanted), 'every piece met its own end');
        if (offload === 'auto') {
          const events = moved(before, await target.counters(), 'event.trains_received');
          t.ok((events['event.trains_received'] ?? 0) > 0, 'they came as trains');
        }
        // Super-packets count as one frame each here, so payload bytes are compared.
        const inside = target.devices.flatMap((device) => device.arrived());
        const at = encap === 'vxlan' ? 14 : 0;
        const bytes = Buffer.concat(
          inside.map((frame) => frame.subarray(at + 28, at + frame.readUInt16BE(at + 2))),
        );
        t.ok(
          bytes.equals(Buffer.concat(honest.map((packet) => packet.subarray(28)))),
          'in order, whole',
        );
        t.ok(honest.every(isTransportSumRight));
        t.strictSame(
          target.underlay.arrived().filter((frame) => frame.readUInt16BE(12) !== 0x0806),
          [],
        );
      },
    );
  }
}

function sorted(counters: Record<string, number>): [string, number][] {
  return Object.entries(counters).sort(([a], [b]) => (a < b ? -1 : 1));
}
