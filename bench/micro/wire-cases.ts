/** Headers, checksums and flow hashes. @module */
import { Arena } from '../../src/dataplane/ground/arena.ts';
import {
  checkIpv4,
  checkIpv4Sum,
  checkTransport,
  Fault,
  isTunnelProtocol,
} from '../../src/wire/classify.ts';
import { flowHash } from '../../src/wire/flow-hash.ts';
import {
  getIpv4Destination,
  getIpv4HeaderBytes,
  getIpv4Protocol,
  getIpv4Source,
  getIpv4TotalBytes,
} from '../../src/wire/ipv4.ts';
import { at, type Case, same } from './harness.ts';
import { packet } from './packets.ts';
import { plainHash, plainParse, plainSum } from './plain.ts';

const PACKETS = 64;
const SLOT_BYTES = 256;
const SUM_SIZES = [20, 64, 256, 1450, 65_000];

/** Sixty-four TCP and UDP packets; `broken` makes every eighth wrong in another way. */
function samples(broken: boolean): Uint8Array[] {
  return Array.from({ length: PACKETS }, (_, index) => {
    const bytes = packet({
      protocol: index % 3 === 0 ? 17 : 6,
      payloadBytes: index,
      sourcePort: 30_000 + index * 7,
      source: 0xfa001b02 + (index & 15),
    });
    if (broken && index % 8 === 7) {
      const place = at([0, 3, 9, 11, 13, 2, 8, 1], index >> 3);
      bytes[place] = (bytes[place] ?? 0) ^ 0x15;
    }
    return bytes;
  });
}

/** The packets beside each other in one buffer, {@link SLOT_BYTES} apart. */
function viewOf(list: readonly Uint8Array[]): DataView {
  const bytes = new Uint8Array(list.length * SLOT_BYTES);
  for (const [index, one] of list.entries()) bytes.set(one, index * SLOT_BYTES);
  return new DataView(bytes.buffer);
}

/** Source XOR destination of a right packet, −1 of a wrong one: as ingress checks it. */
function parse(view: DataView, offset: number, length: number): number {
  if (checkIpv4(view, offset, length) !== Fault.None) return -1;
  if (checkIpv4Sum(view, offset) !== Fault.None) return -1;
  const protocol = getIpv4Protocol(view, offset);
  if (isTunnelProtocol(protocol)) return -1;
  const headerBytes = getIpv4HeaderBytes(view, offset);
  const transportBytes = getIpv4TotalBytes(view, offset) - headerBytes;
  if (checkTransport(view, offset + headerBytes, transportBytes, protocol) !== Fault.None) {
    return -1;
  }
  return (getIpv4Source(view, offset) ^ getIpv4Destination(view, offset)) >>> 0;
}

function plainAddresses(bytes: Uint8Array): number {
  const parsed = plainParse(bytes);
  return parsed === undefined ? -1 : (parsed.source ^ parsed.destination) >>> 0;
}

/** Times `fast` and `plain` over the same packets, and compares them packet by packet. */
function perPacket(
  about: Pick<Case, 'key' | 'mirrors' | 'title'>,
  list: readonly Uint8Array[],
  fast: (view: DataView, offset: number, length: number) => number,
  plain: (bytes: Uint8Array) => number,
): Case {
  const view = viewOf(list);
  return {
    ...about,
    packets: list.length,
    fast: () => {
      let sum = 0;
      for (let i = 0; i < list.length; i++) {
        sum = (sum + fast(view, i * SLOT_BYTES, (list[i] as Uint8Array).length)) | 0;
      }
      return sum;
    },
    plain: () => {
      let sum = 0;
      for (const bytes of list) sum = (sum + plain(bytes)) | 0;
      return sum;
    },
    check: () => {
      const met = list.map(({ length }, index) => fast(view, index * SLOT_BYTES, length));
      same(about.title, met, list.map(plain));
      if (new Set(met).size < 5) throw new Error(`${about.title}: the packets are all alike`);
    },
  };
}

function checksum(arena: Arena, bytes: number): Case {
  const start = arena.allocate(bytes);
  for (let i = 0; i < bytes; i++) arena.bytes[start + i] = Math.imul(i + 1, 0x9e3779b1) >>> 23;
  const data = arena.bytes.slice(start, start + bytes);
  const title = `checksum of ${bytes} bytes`;
  return {
    key: `checksum/${bytes}`,
    mirrors: 'dataplane/wasm/packet.ts',
    title,
    packets: 1,
    fast: () => arena.kernel.sum(start, bytes, 7),
    plain: () => plainSum(data, 7),
    check: () => {
      for (let length = 0; length <= Math.min(bytes, 300); length++) {
        const met = arena.kernel.sum(start, length, length);
        same(`${title}, first ${length}`, [met], [plainSum(data.subarray(0, length), length)]);
      }
      same(title, [arena.kernel.sum(start, bytes, 7)], [plainSum(data, 7)]);
    },
  };
}

export function wireCases(): Case[] {
  const arena = new Arena(1 << 20);
  return [
    perPacket(
      { key: 'parse', mirrors: 'wire/classify.ts', title: 'parse and check inner headers' },
      samples(true),
      parse,
      plainAddresses,
    ),
    perPacket(
      { key: 'flow-hash', mirrors: 'wire/flow-hash.ts', title: 'hash of the inner flow' },
      samples(false),
      flowHash,
      plainHash,
    ),
    ...SUM_SIZES.map((bytes) => checksum(arena, bytes)),
  ];
}
