/** AE, CWR and ECE, all eight of them both ways: cut from super-packets, and joined to them (RFC 3168, RFC 9768). */
import t from 'tap';
import { Coalescer } from '../../src/dataplane/ingress/deliver/coalesce.ts';
import { DeviceWriter } from '../../src/dataplane/ingress/deliver/device-writer.ts';
import { Ingress } from '../../src/dataplane/ingress/ingress.ts';
import { TCP_ACK, TCP_CWR, TCP_ECE } from '../../src/wire/tcp.ts';
import {
  emitVirtioNet,
  setVirtioGso,
  VIRTIO_GSO_ACCECN,
  VIRTIO_GSO_ECN,
  VIRTIO_GSO_TCPV4,
  VIRTIO_NEEDS_CSUM,
} from '../../src/wire/virtio-net.ts';
import { makeEgress, makeRig, RIG } from '../fuzz/dataplane-rig.ts';
import { isTransportSumRight } from '../support/bytes.ts';
import { nameOf } from '../support/peers.ts';
import { FAN, packet } from '../vectors/craft.ts';
import { viewOf } from '../vectors/hex.ts';
import { DeviceFile } from './device-file.ts';
import { Sends } from './sends.ts';

/** Accurate ECN's third bit, below the data offset. */
const AE = 0x100;
const NAMES = { 256: 'AE', 128: 'CWR', 64: 'ECE' } as const;
const ALL = Array.from({ length: 8 }, (_, bits) => {
  return (
    ((bits & 4) !== 0 ? AE : 0) |
    ((bits & 2) !== 0 ? TCP_CWR : 0) |
    ((bits & 1) !== 0 ? TCP_ECE : 0)
  );
});
const BITS = AE | TCP_CWR | TCP_ECE;
const SEGMENT = 1000;

function nameOfFlags(flags: number): string {
  return (
    Object.entries(NAMES)
      .flatMap(([bit, name]) => ((flags & Number(bit)) !== 0 ? [name] : []))
      .join('+') || 'none'
  );
}

/** A TCP segment with these flags beside ACK, `bytes` of data from `sequence` on. */
function segment(flags: number, sequence: number, bytes: number, checksumAt?: number): Uint8Array {
  const payload = Buffer.alloc(20 + bytes, 0x5a);
  payload.writeUInt16BE(2000, 0);
  payload.writeUInt16BE(80, 2);
  payload.writeUInt32BE(sequence, 4);
  payload.writeUInt32BE(1, 8);
  payload.writeUInt16BE(0x5000 | TCP_ACK | flags, 12);
  payload.writeUInt16BE(500, 14);
  payload.writeUInt32BE(0, 16);
  return packet({
    ...{ protocol: 6, payload: payload.toString('hex') },
    ...(checksumAt !== undefined && { checksumAt }),
  });
}

function flagsOf(bytes: Uint8Array): number {
  return viewOf(bytes).getUint16(32) & BITS;
}

t.test('cutting: CWR once for RFC 3168, on all for AccECN; AE and ECE on all', async (t) => {
  const rig = makeRig('Fou', true, RIG.sender);
  const egress = makeEgress(rig);
  const sends = new Sends(rig);
  t.teardown(() => sends.restore());
  const at = rig.arena.allocate(8192) + 64;
  for (const [kind, bit] of [
    ['plain', 0],
    ['ECN', VIRTIO_GSO_ECN],
    ['AccECN', VIRTIO_GSO_ACCECN],
  ] as const) {
    for (const waits of [false, true]) {
      for (const flags of ALL) {
        sends.sent.length = 0;
        rig.link.rateBytes = waits ? 1_000_000 : 0;
        const bytes = segment(flags, 1, 3 * SEGMENT, -1);
        emitVirtioNet(rig.arena.view, at - 10, VIRTIO_NEEDS_CSUM, 20, 16);
        setVirtioGso(rig.arena.view, at - 10, VIRTIO_GSO_TCPV4 | bit, 0, SEGMENT);
        rig.arena.bytes.set(bytes, at);
        egress.packet(rig.link, at, bytes.length);
        egress.flush();
        for (let ms = 1; egress.queues.waiting > 0; ms++) egress.queues.release(ms);
        const rest = bit === VIRTIO_GSO_ACCECN ? flags : flags & ~TCP_CWR;
        const title = `${kind}, ${nameOfFlags(flags)}${waits ? ', after a wait' : ''}`;
        t.same(
          sends.sent.map(({ bytes }) => nameOfFlags(flagsOf(bytes))),
          [flags, rest, rest].map(nameOfFlags),
          title,
        );
        t.ok(
          sends.sent.every(({ bytes }) => isTransportSumRight(bytes)),
          'checksums are right',
        );
      }
    }
  }
});

t.test(
  'joining: segments that agree and have no CWR, by the long way and the short one',
  async (t) => {
    const device = new DeviceFile(true, 0);
    t.teardown(() => device.close());
    const { arena, layout, link, endpoint, counters } = makeRig(
      'Fou',
      true,
      RIG.receiver,
      device.fd,
    );
    const coalescer = new Coalescer(arena, new DeviceWriter(arena, layout));
    const ingress = new Ingress(arena, coalescer, [link]);
    const buffer = arena.allocate(8192);
    for (const first of ALL) {
      for (const second of ALL) {
        for (const asTrain of [false, true]) {
          device.empty();
          link.counters.fill(0);
          const two = [segment(first, 1, SEGMENT), segment(second, 1 + SEGMENT, SEGMENT)];
          const length = two[0]?.length ?? 0;
          const name = nameOf(arena, FAN.sender);
          arena.bytes.set(Buffer.concat(two), buffer);
          if (asTrain) ingress.message(endpoint, buffer, 2 * length, name, 0, length);
          else
            for (const i of [0, 1])
              ingress.message(endpoint, buffer + i * length, length, name, 0, 0);
          ingress.flush();
          const joined = counters()['event.super_packets_out'] === 1;
          const may = first === second && (first & TCP_CWR) === 0;
          const title = `${nameOfFlags(first)} and ${nameOfFlags(second)}${asTrain ? ', as a train' : ''}`;
          t.equal(joined, may, `${title}: ${may ? 'one' : 'two'}`);
          const arrived = device.packets();
          t.same(
            arrived.map((bytes) => nameOfFlags(flagsOf(bytes))),
            [first, second].map(nameOfFlags),
            title,
          );
        }
      }
    }
  },
);
