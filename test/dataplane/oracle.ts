/**
 * A slow, plain cutter of super-packets: what a kernel does with `GSO_TCPV4` and `GSO_UDP_L4`.
 * The data path's fast code is compared with it.
 * @module
 */
import { internetChecksum, pseudoSumIpv4 } from '../../src/wire/checksum.ts';
import {
  fillIpv4Checksum,
  getIpv4Fragment,
  getIpv4HeaderBytes,
  getIpv4Identification,
  getIpv4Protocol,
  IPV4_DF,
  isIpv4Fragment,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
  setIpv4Identification,
  setIpv4TotalBytes,
} from '../../src/wire/ipv4.ts';
import {
  getTcpFlags,
  getTcpHeaderBytes,
  getTcpSequence,
  setTcpChecksum,
  setTcpFlags,
  setTcpSequence,
  TCP_CWR,
  TCP_FIN,
  TCP_HEADER_BYTES,
  TCP_PSH,
  TCP_URG,
  TCP_URGENT_OFFSET,
} from '../../src/wire/tcp.ts';
import { setUdpBytes, setUdpChecksum, UDP_HEADER_BYTES } from '../../src/wire/udp.ts';
import { viewOf } from '../vectors/hex.ts';

/** Writes header and transport checksums of a whole IPv4 packet; a UDP checksum is always set. */
export function finishPacket(bytes: Uint8Array): void {
  const view = viewOf(bytes);
  const headerBytes = getIpv4HeaderBytes(view, 0);
  const protocol = getIpv4Protocol(view, 0);
  const transportBytes = bytes.length - headerBytes;
  const pseudo = pseudoSumIpv4(view, 0, protocol, transportBytes);
  if (protocol === PROTOCOL_TCP) {
    setTcpChecksum(view, headerBytes, 0);
    setTcpChecksum(view, headerBytes, internetChecksum(view, headerBytes, transportBytes, pseudo));
  } else {
    view.setUint16(headerBytes + 6, 0);
    setUdpChecksum(view, headerBytes, internetChecksum(view, headerBytes, transportBytes, pseudo));
  }
  fillIpv4Checksum(view, 0);
}

/** Cuts an IPv4 packet into segments of `gsoBytes` payload, each with right checksums. */
export function cut(packet: Uint8Array, gsoBytes: number): Uint8Array<ArrayBuffer>[] {
  const whole = viewOf(packet);
  const l4 = getIpv4HeaderBytes(whole, 0);
  const isTcp = getIpv4Protocol(whole, 0) === PROTOCOL_TCP;
  const headerBytes = l4 + (isTcp ? getTcpHeaderBytes(whole, l4) : 8);
  const segments: Uint8Array<ArrayBuffer>[] = [];
  for (let at = headerBytes; at < packet.length; at += gsoBytes) {
    const payload = packet.subarray(at, at + gsoBytes);
    const bytes = Uint8Array.from([...packet.subarray(0, headerBytes), ...payload]);
    const view = viewOf(bytes);
    const last = at + gsoBytes >= packet.length;
    setIpv4TotalBytes(view, 0, bytes.length);
    setIpv4Identification(view, 0, (getIpv4Identification(whole, 0) + segments.length) & 0xffff);
    if (isTcp) {
      let flags = getTcpFlags(whole, l4);
      if (!last) flags &= ~(TCP_FIN | TCP_PSH);
      if (segments.length > 0) flags &= ~TCP_CWR;
      setTcpFlags(view, l4, flags);
      setTcpSequence(view, l4, (getTcpSequence(whole, l4) + at - headerBytes) >>> 0);
    } else {
      setUdpBytes(view, l4, bytes.length - l4);
    }
    finishPacket(bytes);
    segments.push(bytes);
  }
  return segments;
}

/**
 * A packet without what coalescing may change: PSH moves to a train's last segment, the
 * identification means nothing under DF (RFC 6864 §4.1) and the urgent pointer nothing without URG.
 */
export function essence(packet: Uint8Array): string {
  const bytes = Uint8Array.from(packet);
  const view = viewOf(bytes);
  const l4 = getIpv4HeaderBytes(view, 0);
  if ((getIpv4Fragment(view, 0) & IPV4_DF) !== 0) setIpv4Identification(view, 0, 0);
  fillIpv4Checksum(view, 0);
  const protocol = getIpv4Protocol(view, 0);
  const isTcp = protocol === PROTOCOL_TCP && bytes.length >= l4 + TCP_HEADER_BYTES;
  const isUdp = protocol === PROTOCOL_UDP && bytes.length >= l4 + UDP_HEADER_BYTES;
  if (isTcp) {
    setTcpFlags(view, l4, getTcpFlags(view, l4) & ~TCP_PSH);
    if ((getTcpFlags(view, l4) & TCP_URG) === 0) view.setUint16(l4 + TCP_URGENT_OFFSET, 0);
  }
  if ((isTcp || isUdp) && !isIpv4Fragment(view, 0)) finishPacket(bytes);
  return Buffer.from(bytes).toString('hex');
}
