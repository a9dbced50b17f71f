/** Whole ways through the data process, system calls apart: packets, super-packets, trains. @module */
import { at, type Case, same } from './harness.ts';
import { frame, packet } from './packets.ts';
import { plainCut, plainUnwrap, plainWrap } from './plain.ts';
import { OVERLAY, RECEIVER, Rig, SENDER, sortedHex } from './rig.ts';

const VNI = OVERLAY >>> 8;
const PACKETS = 64;
/** IPv4 packets, bytes. */
const SIZES = [64, 256, 512, 1024, 1450];
const UDP_HEADERS_BYTES = 28;
/** Payload of a super-packet's segments, and of the whole. */
const SEGMENT_BYTES = [100, 536, 1398];
const SUPER_BYTES = 61_512;
const SUPER_SEGMENTS_MAX = 128;
const ETHERNET_BYTES = 14;
/** What the device puts in front of a super-packet: NEEDS_CSUM, GSO_TCPV4. */
const VNET = { bytes: 10, flags: 1, gsoType: 1 } as const;
const CSUM_START = ETHERNET_BYTES + 20;
const CSUM_OFFSET = 16;

/** UDP packets of `bytes` each, every one of a flow of its own. */
function flows(bytes: number): Uint8Array[] {
  return Array.from({ length: PACKETS }, (_, index) =>
    packet({
      protocol: 17,
      payloadBytes: bytes - UDP_HEADERS_BYTES,
      sourcePort: 30_000 + index * 13,
    }),
  );
}

function egress(bytes: number): Case {
  const rig = new Rig(SENDER);
  const frames = flows(bytes).map(frame);
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
  const plain = (): Uint8Array[] => frames.map((one) => plainWrap(one, VNI));
  const title = `wrap and queue a packet of ${bytes} bytes`;
  return {
    key: `egress/${bytes}`,
    mirrors: 'dataplane/egress/egress.ts',
    title,
    packets: PACKETS,
    chart: { name: 'size', label: `egress, ${bytes} bytes` },
    fast: run,
    plain: () => plain().length,
    check: () => same(title, sortedHex(rig.record(run)), sortedHex(plain())),
  };
}

function ingress(bytes: number): Case {
  const rig = new Rig(RECEIVER);
  const datagrams = flows(bytes).map((one) => plainWrap(frame(one), VNI));
  const places = datagrams.map((one) => rig.place(one));
  const run = (): number => {
    for (let i = 0; i < PACKETS; i++) {
      const { length } = datagrams[i] as Uint8Array;
      rig.ingress.message(rig.endpoint, places[i] as number, length, rig.sender, 0, 0);
    }
    rig.ingress.flush();
    return 0;
  };
  const plain = (): Uint8Array[] => datagrams.map((one) => plainUnwrap(one, VNI));
  const title = `unwrap and deliver a packet of ${bytes} bytes`;
  return {
    key: `ingress/${bytes}`,
    mirrors: 'dataplane/ingress/ingress.ts',
    title,
    packets: PACKETS,
    chart: { name: 'size', label: `ingress, ${bytes} bytes` },
    fast: run,
    plain: () => plain().length,
    check: () => same(title, sortedHex(rig.record(run)), sortedHex(plain())),
  };
}

/** A TCP super-packet whose segments have `gsoBytes` of payload. */
function superPacket(gsoBytes: number): { inner: Uint8Array; segments: number } {
  const segments = Math.min(SUPER_SEGMENTS_MAX, Math.floor(SUPER_BYTES / gsoBytes));
  return { inner: packet({ protocol: 6, payloadBytes: segments * gsoBytes }), segments };
}

function segment(gsoBytes: number): Case {
  const rig = new Rig(SENDER);
  const { inner, segments } = superPacket(gsoBytes);
  const whole = frame(inner);
  const start = rig.place(whole);
  const { view, bytes } = rig.arena;
  // Cutting takes the headers apart, so each call gets them anew.
  const headBytes = VNET.bytes + ETHERNET_BYTES + 20 + 32;
  view.setUint8(start - 10, VNET.flags);
  view.setUint8(start - 9, VNET.gsoType);
  view.setUint16(start - 6, gsoBytes, true);
  view.setUint16(start - 4, CSUM_START, true);
  view.setUint16(start - 2, CSUM_OFFSET, true);
  const saved = rig.place(bytes.slice(start - VNET.bytes, start - VNET.bytes + headBytes));
  const run = (): number => {
    bytes.copyWithin(start - VNET.bytes, saved, saved + headBytes);
    rig.egress.packet(rig.link, start, whole.length);
    rig.egress.flush();
    return 0;
  };
  const plain = (): Uint8Array[] =>
    plainCut(inner, gsoBytes).map((piece) => plainWrap(frame(piece), VNI));
  const title = `cut a super-packet into ${segments} of ${gsoBytes} bytes, a segment`;
  return {
    key: `segment/${gsoBytes}`,
    mirrors: 'dataplane/ground/segment.ts',
    title,
    packets: segments,
    chart: { name: 'size', label: `segment, ${gsoBytes} bytes` },
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
function coalesce(gsoBytes: number): Case {
  const { inner, segments: most } = superPacket(gsoBytes);
  // What one receive can bring.
  const datagramBytes = 8 + ETHERNET_BYTES + 20 + 32 + gsoBytes;
  const segments = Math.min(most, Math.floor(65_507 / datagramBytes));
  const datagrams = plainCut(inner, gsoBytes)
    .slice(0, segments)
    .map((piece) => plainWrap(frame(piece), VNI));
  const train = Buffer.concat(datagrams);
  const rig = new Rig(RECEIVER);
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
  const title = `join a train of ${segments} of ${gsoBytes} bytes, a segment`;
  return {
    key: `coalesce/${gsoBytes}`,
    mirrors: 'dataplane/ingress/deliver/coalesce.ts',
    title,
    packets: segments,
    chart: { name: 'size', label: `coalesce, ${gsoBytes} bytes` },
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
    ...SIZES.map(egress),
    ...SIZES.map(ingress),
    ...SEGMENT_BYTES.map(segment),
    ...SEGMENT_BYTES.map(coalesce),
  ];
}
