/** Whole ways through the data process, system calls apart: packets, super-packets, trains. @module */
import { at, type Case, same } from './harness.ts';
import { type Family, frame, IP_HEADER_BYTES, packet } from './packets.ts';
import { plainCut, plainUnwrap, plainWrap } from './plain.ts';
import { DUAL_FAN, OVERLAY, RECEIVER, Rig, SENDER, sortedHex, VNI6 } from './rig.ts';

const VNIS = { 4: OVERLAY >>> 8, 6: VNI6 } as const;
const PACKETS = 64;
/** IP packets, bytes, and those of them that IPv6 is measured with beside IPv4. */
const SIZES = [64, 256, 512, 1024, 1450];
const SIZES6 = [64, 1450];
const UDP_BYTES = 8;
/** Payload of a super-packet's segments, and of the whole; the largest fit the MTU. */
const SEGMENT_BYTES = [100, 536, 1398];
const SEGMENT_BYTES6 = [100, 1378];
const SUPER_BYTES = 61_512;
const SUPER_SEGMENTS_MAX = 128;
const ETHERNET_BYTES = 14;
const TCP_BYTES = 32;
/** What the device puts in front of a super-packet: NEEDS_CSUM, GSO_TCPV4 or GSO_TCPV6. */
const VNET = { bytes: 10, flags: 1, gsoTypes: { 4: 1, 6: 4 } } as const;
const CSUM_OFFSET = 16;

/** How a case of a family is called: that of IPv4 has no number. */
function named(key: string, family: Family): string {
  return family === 4 ? key : `${key}6`;
}

function titled(title: string, family: Family): string {
  return family === 4 ? title : `${title}, IPv6`;
}

/** The chart has IPv4 alone. */
function chartOf(label: string, family: Family): Pick<Case, 'chart'> {
  return family === 4 ? { chart: { name: 'size', label } } : {};
}

/** UDP packets of `bytes` each, every one of a flow of its own. */
function flows(bytes: number, family: Family): Uint8Array[] {
  return Array.from({ length: PACKETS }, (_, index) =>
    packet({
      ...{ family, protocol: 17 },
      payloadBytes: bytes - IP_HEADER_BYTES[family] - UDP_BYTES,
      sourcePort: 30_000 + index * 13,
    }),
  );
}

function egress(bytes: number, family: Family): Case {
  const rig = new Rig(SENDER, [DUAL_FAN]);
  const frames = flows(bytes, family).map(frame);
  const places = frames.map((one) => rig.place(one));
  const { view } = rig.arena;
  const run = (): number => {
    for (let i = 0; i < PACKETS; i++) {
      const start = places[i] as number;
      // A plain packet's virtio-net header is all zero; ours stands in its place since last time.
      view.setUint32(start - 10, 0);
      view.setUint32(start - 6, 0);
      view.setUint16(start - 2, 0);
      rig.egress.packet(rig.link, start, ETHERNET_BYTES + bytes);
    }
    rig.egress.flush();
    return 0;
  };
  const plain = (): Uint8Array[] => frames.map((one) => plainWrap(one, VNIS[family]));
  const title = titled(`wrap and queue a packet of ${bytes} bytes`, family);
  return {
    key: `${named('egress', family)}/${bytes}`,
    mirrors: 'dataplane/egress/egress.ts',
    title,
    packets: PACKETS,
    ...chartOf(`egress, ${bytes} bytes`, family),
    fast: run,
    plain: () => plain().length,
    check: () => same(title, sortedHex(rig.record(run)), sortedHex(plain())),
  };
}

function ingress(bytes: number, family: Family): Case {
  const rig = new Rig(RECEIVER, [DUAL_FAN]);
  const vni = VNIS[family];
  const datagrams = flows(bytes, family).map((one) => plainWrap(frame(one), vni));
  const places = datagrams.map((one) => rig.place(one));
  const run = (): number => {
    for (let i = 0; i < PACKETS; i++) {
      const { length } = datagrams[i] as Uint8Array;
      rig.ingress.message(rig.endpoint, places[i] as number, length, rig.sender, 0, 0);
    }
    rig.ingress.flush();
    return 0;
  };
  const plain = (): Uint8Array[] => datagrams.map((one) => plainUnwrap(one, vni));
  const title = titled(`unwrap and deliver a packet of ${bytes} bytes`, family);
  return {
    key: `${named('ingress', family)}/${bytes}`,
    mirrors: 'dataplane/ingress/ingress.ts',
    title,
    packets: PACKETS,
    ...chartOf(`ingress, ${bytes} bytes`, family),
    fast: run,
    plain: () => plain().length,
    check: () => same(title, sortedHex(rig.record(run)), sortedHex(plain())),
  };
}

/** A TCP super-packet whose segments have `gsoBytes` of payload. */
function superPacket(gsoBytes: number, family: Family): { inner: Uint8Array; segments: number } {
  const segments = Math.min(SUPER_SEGMENTS_MAX, Math.floor(SUPER_BYTES / gsoBytes));
  return { inner: packet({ family, protocol: 6, payloadBytes: segments * gsoBytes }), segments };
}

function segment(gsoBytes: number, family: Family): Case {
  const rig = new Rig(SENDER, [DUAL_FAN]);
  const { inner, segments } = superPacket(gsoBytes, family);
  const whole = frame(inner);
  const start = rig.place(whole);
  const { view, bytes } = rig.arena;
  // Cutting takes the headers apart, so each call gets them anew.
  const csumStart = ETHERNET_BYTES + IP_HEADER_BYTES[family];
  const headBytes = VNET.bytes + csumStart + TCP_BYTES;
  view.setUint8(start - 10, VNET.flags);
  view.setUint8(start - 9, VNET.gsoTypes[family]);
  view.setUint16(start - 6, gsoBytes, true);
  view.setUint16(start - 4, csumStart, true);
  view.setUint16(start - 2, CSUM_OFFSET, true);
  const saved = rig.place(bytes.slice(start - VNET.bytes, start - VNET.bytes + headBytes));
  const run = (): number => {
    bytes.copyWithin(start - VNET.bytes, saved, saved + headBytes);
    rig.egress.packet(rig.link, start, whole.length);
    rig.egress.flush();
    return 0;
  };
  const plain = (): Uint8Array[] =>
    plainCut(inner, gsoBytes).map((piece) => plainWrap(frame(piece), VNIS[family]));
  const title = titled(
    `cut a super-packet into ${segments} of ${gsoBytes} bytes, a segment`,
    family,
  );
  return {
    key: `${named('segment', family)}/${gsoBytes}`,
    mirrors: 'dataplane/ground/segment.ts',
    title,
    packets: segments,
    ...chartOf(`segment, ${gsoBytes} bytes`, family),
    fast: run,
    plain: () => plain().length,
    check: () => same(title, hexOf(rig.record(run)), hexOf(plain())),
  };
}

/** In order: a flow must keep its own. */
function hexOf(list: readonly Uint8Array[]): string[] {
  return list.map((bytes) => Buffer.from(bytes).toString('hex'));
}

/** Datagrams of one TCP flow in one train; the plain way takes them one by one. */
function coalesce(gsoBytes: number, family: Family): Case {
  const { inner, segments: most } = superPacket(gsoBytes, family);
  // What one receive can bring.
  const datagramBytes = 8 + ETHERNET_BYTES + IP_HEADER_BYTES[family] + TCP_BYTES + gsoBytes;
  const segments = Math.min(most, Math.floor(65_507 / datagramBytes));
  const datagrams = plainCut(inner, gsoBytes)
    .slice(0, segments)
    .map((piece) => plainWrap(frame(piece), VNIS[family]));
  const train = Buffer.concat(datagrams);
  const rig = new Rig(RECEIVER, [DUAL_FAN]);
  const start = rig.place(train);
  const { bytes } = rig.arena;
  const headBytes = datagramBytes - gsoBytes;
  const saved = rig.place(train.subarray(0, headBytes));
  const push = (each: number): number => {
    // The first segment's headers become the super-packet's, so each call gets them anew.
    bytes.copyWithin(start, saved, saved + headBytes);
    if (each === 0) {
      rig.ingress.message(rig.endpoint, start, train.length, rig.sender, 0, datagramBytes);
    } else {
      for (let from = 0; from < train.length; from += each) {
        rig.ingress.message(rig.endpoint, start + from, each, rig.sender, 0, 0);
      }
    }
    rig.ingress.flush();
    return 0;
  };
  const title = titled(`join a train of ${segments} of ${gsoBytes} bytes, a segment`, family);
  return {
    key: `${named('coalesce', family)}/${gsoBytes}`,
    mirrors: 'dataplane/ingress/deliver/coalesce.ts',
    title,
    packets: segments,
    ...chartOf(`coalesce, ${gsoBytes} bytes`, family),
    fast: () => push(0),
    plain: () => push(datagramBytes),
    check: () => {
      const joined = rig.record(() => push(0));
      same(title, hexOf(joined), hexOf(rig.record(() => push(datagramBytes))));
      // And the payload is the stream that went in, in one piece.
      const payload = Buffer.concat(datagrams.map((one) => one.subarray(headBytes)));
      const arrived = Buffer.concat(joined.map((one) => one.subarray(headBytes - 8)));
      if (!payload.equals(arrived)) throw new Error(`${title}: the payload changed`);
      if (joined.length !== 1)
        throw new Error(`${title}: ${at(joined, 0).length} bytes in the first`);
    },
  };
}

export function pathCases(): Case[] {
  return [
    ...SIZES.map((bytes) => egress(bytes, 4)),
    ...SIZES6.map((bytes) => egress(bytes, 6)),
    ...SIZES.map((bytes) => ingress(bytes, 4)),
    ...SIZES6.map((bytes) => ingress(bytes, 6)),
    ...SEGMENT_BYTES.map((bytes) => segment(bytes, 4)),
    ...SEGMENT_BYTES6.map((bytes) => segment(bytes, 6)),
    ...SEGMENT_BYTES.map((bytes) => coalesce(bytes, 4)),
    ...SEGMENT_BYTES6.map((bytes) => coalesce(bytes, 6)),
  ];
}
