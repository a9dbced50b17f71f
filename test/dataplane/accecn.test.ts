/** AE, CWR and ECE, all eight of them both ways: cut from super-packets, and joined to them (RFC 3168, RFC 9768). */
import { readFileSync } from 'node:fs';
import t from 'tap';
import { Coalescer } from '../../src/dataplane/ingress/deliver/coalesce.ts';
import { DeviceWriter } from '../../src/dataplane/ingress/deliver/device-writer.ts';
import { Ingress } from '../../src/dataplane/ingress/ingress.ts';
import { parsePrefix6 } from '../../src/net/prefix6.ts';
import { internetChecksum, pseudoSumIpv6 } from '../../src/wire/checksum.ts';
import { TCP_ACK, TCP_CWR, TCP_ECE } from '../../src/wire/tcp.ts';
import {
  emitVirtioNet,
  setVirtioGso,
  VIRTIO_GSO_ACCECN,
  VIRTIO_GSO_ECN,
  VIRTIO_GSO_TCPV4,
  VIRTIO_GSO_TCPV6,
  VIRTIO_NEEDS_CSUM,
} from '../../src/wire/virtio-net.ts';
import { makeEgress, makeRig, RIG } from '../fuzz/dataplane-rig.ts';
import { isTransportSumRight } from '../support/bytes.ts';
import { ipv6, tcp6 } from '../support/bytes6.ts';
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
const GSO_TCP = { 4: VIRTIO_GSO_TCPV4, 6: VIRTIO_GSO_TCPV6 } as const;
type Family = keyof typeof GSO_TCP;

function nameOfFlags(flags: number): string {
  return (
    Object.entries(NAMES)
      .flatMap(([bit, name]) => ((flags & Number(bit)) !== 0 ? [name] : []))
      .join('+') || 'none'
  );
}

/** An IPv6 overlay beside the rig's, and a container of either host of it. */
const OVERLAY6 = parsePrefix6('fd00:fa::/32');
const ENDS6 = { source: 'fd00:fa:1b::2', destination: 'fd00:fa:1c::2' };
const [overlay6Word0, overlay6Word1] = OVERLAY6.address;
const SIX = { overlay6Word0, overlay6Word1, overlay6Length: OVERLAY6.length };

/**
 * A TCP segment with these flags beside ACK, `bytes` of data from `sequence` on.
 * @param checksumAt -1 leaves the checksum to be finished
 */
function segment(
  family: Family,
  flags: number,
  sequence: number,
  bytes: number,
  checksumAt?: number,
): Uint8Array {
  if (family === 6) {
    const message = tcp6(ENDS6, { flags: TCP_ACK, sequence }, Buffer.alloc(bytes, 0x5a));
    message.writeUInt16BE(0x5000 | TCP_ACK | flags, 12);
    message.writeUInt16BE(0, 16);
    const whole = ipv6({ ...ENDS6, protocol: 6 }, message);
    if (checksumAt === undefined) {
      const pseudo = pseudoSumIpv6(viewOf(whole), 0, 6, message.length);
      whole.writeUInt16BE(internetChecksum(viewOf(whole), 40, message.length, pseudo), 56);
    }
    return whole;
  }
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
  return viewOf(bytes).getUint16((bytes[0] ?? 0) >> 4 === 6 ? 52 : 32) & BITS;
}

function isSumRight(bytes: Uint8Array): boolean {
  if ((bytes[0] ?? 0) >> 4 !== 6) return isTransportSumRight(bytes);
  const view = viewOf(bytes);
  return (
    internetChecksum(view, 40, bytes.length - 40, pseudoSumIpv6(view, 0, 6, bytes.length - 40)) ===
    0
  );
}

for (const family of [4, 6] as const)
  t.test(
    `IPv${family}, cutting: CWR once for RFC 3168, on all for AccECN; AE and ECE on all`,
    async (t) => {
      const rig = makeRig('Fou', true, RIG.sender, undefined, SIX);
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
            const bytes = segment(family, flags, 1, 3 * SEGMENT, -1);
            emitVirtioNet(rig.arena.view, at - 10, VIRTIO_NEEDS_CSUM, family === 6 ? 40 : 20, 16);
            setVirtioGso(rig.arena.view, at - 10, GSO_TCP[family] | bit, 0, SEGMENT);
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
              sends.sent.every(({ bytes }) => isSumRight(bytes)),
              'checksums are right',
            );
          }
        }
      }
    },
  );

for (const family of [4, 6] as const) {
  t.test(
    `IPv${family}, joining: segments that agree and have no CWR, by the long way and the short one`,
    async (t) => {
      const device = new DeviceFile(true, 0);
      t.teardown(() => device.close());
      const rig = makeRig('Fou', true, RIG.receiver, device.fd, SIX);
      const { arena, layout, link, endpoint, counters } = rig;
      const coalescer = new Coalescer(arena, new DeviceWriter(arena, layout));
      const ingress = new Ingress(arena, coalescer, [link]);
      const buffer = arena.allocate(8192);
      for (const first of ALL) {
        for (const second of ALL) {
          for (const asTrain of [false, true]) {
            device.empty();
            link.counters.fill(0);
            const two = [
              segment(family, first, 1, SEGMENT),
              segment(family, second, 1 + SEGMENT, SEGMENT),
            ];
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
            const arrived = family === 4 ? device.packets() : written6(device, length);
            const flags = joined && family === 6 ? [first] : [first, second];
            t.same(
              arrived.map((bytes) => nameOfFlags(flagsOf(bytes))),
              flags.map(nameOfFlags),
              title,
            );
          }
        }
      }
    },
  );
}

/** IPv6 packets as they were written, of which a joined one is longer than `length`. */
function written6(device: DeviceFile, length: number): Uint8Array[] {
  const file = readFileSync(device.path);
  const step = file.length === 10 + 2 * length - 60 ? file.length : 10 + length;
  const packets: Uint8Array[] = [];
  for (let at = 0; at < file.length; at += step) packets.push(file.subarray(at + 10, at + step));
  return packets;
}
