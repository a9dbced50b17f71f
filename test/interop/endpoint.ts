/**
 * A tunnel endpoint in twenty lines of socket calls: a raw socket for IP protocol 4, or a plain UDP
 * socket for FOU. No device, no offload, nothing of fanway's data path: what it understands, others
 * understand. It is a whole overlay host, which answers echo requests by hand.
 * @module
 */
import type { LabHost } from '../../src/demo/lab.ts';
import {
  AF_INET,
  IP_TOS,
  IPPROTO_IP,
  IPPROTO_IPIP,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_RAW,
} from '../../src/sys/libc/constants.ts';
import { addressOf, check, errno, errnoName, libc, SystemError } from '../../src/sys/libc/libc.ts';
import { socketAddress } from '../../src/sys/sockets/sockets.ts';
import { internetChecksum } from '../../src/wire/checksum.ts';
import { icmp, ipv4 } from '../support/bytes.ts';
import { sleep } from '../support/patience.ts';

const BUFFER_BYTES = 65_536;
const ADDRESS_BYTES = 16;
const POLL_MS = 1;
const PROTOCOL_ICMP = 1;
const ECHO_REPLY = 0;
const ECHO_REQUEST = 8;
const MORE_FRAGMENTS = 0x2000;
const OFFSET_MASK = 0x1fff;

/** An echo message that arrived, put together again. */
export type Echo = {
  type: number;
  source: number;
  destination: number;
  tos: number;
  ttl: number;
  /** Identifier and sequence number. */
  word: number;
  data: Buffer;
  /** Inner packets that it came in. */
  pieces: number;
};

type Assembly = { first: Buffer; parts: Map<number, Buffer>; endBytes: number };

export class Endpoint {
  readonly #fd: number;
  readonly #isRaw: boolean;
  readonly #peer: Buffer;
  readonly #mtu: number;
  readonly #buffer = Buffer.alloc(BUFFER_BYTES);
  readonly #name = Buffer.alloc(ADDRESS_BYTES);
  readonly #nameLength = new Uint32Array(1);
  readonly #assemblies = new Map<number, Assembly>();
  #identification = 0;
  #open = true;
  /** Inner packets that were not right, as sentences; should stay empty. */
  readonly faults: string[] = [];
  /** Replies to our own requests. */
  readonly replies: Echo[] = [];
  /** Requests that we answered. */
  readonly answered: Echo[] = [];

  /**
   * Opens the socket in the host's namespace and answers from now on.
   * @param port of FOU, 0 for IPIP; `peer` the other tunnel end; `mtu` of the inner packets, bytes
   */
  constructor(host: LabHost, port: number, peer: number, mtu: number) {
    this.#isRaw = port === 0;
    this.#mtu = mtu;
    this.#peer = socketAddress(peer, port);
    this.#fd = host.run(() => {
      const type = (this.#isRaw ? SOCK_RAW : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK;
      const protocol = this.#isRaw ? IPPROTO_IPIP : 0;
      const fd = check('socket', libc.socket(AF_INET, type, protocol));
      const name = socketAddress(host.address, port);
      check('bind', libc.bind(fd, addressOf(name), name.length));
      return fd;
    });
    void this.#serve();
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    libc.close(this.#fd);
  }

  /** Sends an inner packet to the peer; `outerTos` goes on the outer header. @throws SystemError */
  send(inner: Buffer, outerTos = 0): void {
    const tos = Int32Array.of(outerTos);
    check('IP_TOS', libc.setsockopt(this.#fd, IPPROTO_IP, IP_TOS, addressOf(tos), 4));
    check(
      'sendto',
      libc.sendto(
        this.#fd,
        addressOf(inner),
        inner.length,
        0,
        addressOf(this.#peer),
        ADDRESS_BYTES,
      ),
    );
  }

  /** Sends an echo message, cut into inner fragments where it is larger than the inner MTU. */
  sendEcho(
    echo: Pick<Echo, 'type' | 'source' | 'destination' | 'word' | 'data'> & { tos?: number },
    outerTos = 0,
  ): void {
    const message = icmp(echo.type, 0, echo.word, echo.data);
    const room = (this.#mtu - 20) & ~7;
    this.#identification = (this.#identification + 1) & 0xffff;
    for (let at = 0; at < message.length; at += room) {
      const more = at + room < message.length ? MORE_FRAGMENTS : 0;
      const fields = {
        source: echo.source,
        destination: echo.destination,
        tos: echo.tos ?? 0,
        protocol: PROTOCOL_ICMP,
        identification: this.#identification,
        fragment: more | (at >>> 3),
      };
      this.send(ipv4(fields, message.subarray(at, at + room)), outerTos);
    }
  }

  async #serve(): Promise<void> {
    while (this.#open) {
      while (this.#open && this.#receive());
      await sleep(POLL_MS);
    }
  }

  #receive(): boolean {
    this.#nameLength[0] = ADDRESS_BYTES;
    const vector = new BigUint64Array([BigInt(addressOf(this.#buffer)), BigInt(BUFFER_BYTES)]);
    const message = Buffer.alloc(56);
    message.writeBigUInt64LE(BigInt(addressOf(this.#name)), 0);
    message.writeUInt32LE(ADDRESS_BYTES, 8);
    message.writeBigUInt64LE(BigInt(addressOf(vector)), 16);
    message.writeBigUInt64LE(1n, 24);
    const length = libc.recvmsg(this.#fd, addressOf(message), 0);
    if (length === -1) {
      const code = errnoName(errno());
      if (code === 'EAGAIN' || code === 'EINTR') return false;
      throw new SystemError('recvmsg', errno());
    }
    const from = this.#name.readUInt32BE(4);
    if (from !== this.#peer.readUInt32BE(4)) this.faults.push(`a packet from ${from.toString(16)}`);
    const bytes = Buffer.from(this.#buffer.subarray(0, length));
    this.#inner(this.#isRaw ? bytes.subarray((bytes.readUInt8(0) & 15) * 4) : bytes);
    return true;
  }

  #inner(packet: Buffer): void {
    const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
    if (packet.length < 20 || packet[0] !== 0x45 || packet.readUInt16BE(2) !== packet.length) {
      this.faults.push(`no IPv4 packet: ${packet.subarray(0, 28).toString('hex')}`);
      return;
    }
    if (internetChecksum(view, 0, 20) !== 0) this.faults.push('a wrong header checksum');
    if (packet.length > this.#mtu) this.faults.push(`an inner packet of ${packet.length} bytes`);
    if (packet.readUInt8(9) !== PROTOCOL_ICMP) return;
    const fragment = packet.readUInt16BE(6);
    const offsetBytes = (fragment & OFFSET_MASK) * 8;
    const id = packet.readUInt16BE(4);
    const assembly = this.#assemblies.get(id) ?? { first: packet, parts: new Map(), endBytes: -1 };
    this.#assemblies.set(id, assembly);
    assembly.parts.set(offsetBytes, packet.subarray(20));
    if (offsetBytes === 0) assembly.first = packet;
    if ((fragment & MORE_FRAGMENTS) === 0) assembly.endBytes = offsetBytes + packet.length - 20;
    const parts = [...assembly.parts].sort(([a], [b]) => a - b).map(([, part]) => part);
    const message = Buffer.concat(parts);
    if (message.length !== assembly.endBytes) return;
    this.#assemblies.delete(id);
    this.#message(assembly.first, message, parts.length);
  }

  #message(first: Buffer, message: Buffer, pieces: number): void {
    const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
    if (internetChecksum(view, 0, message.length) !== 0) this.faults.push('a wrong ICMP checksum');
    const echo: Echo = {
      type: message.readUInt8(0),
      source: first.readUInt32BE(12),
      destination: first.readUInt32BE(16),
      tos: first.readUInt8(1),
      ttl: first.readUInt8(8),
      word: message.readUInt32BE(4),
      data: message.subarray(8),
      pieces,
    };
    if (echo.type === ECHO_REPLY) this.replies.push(echo);
    if (echo.type !== ECHO_REQUEST) return;
    this.answered.push(echo);
    const { source, destination } = echo;
    this.sendEcho({ ...echo, type: ECHO_REPLY, source: destination, destination: source });
  }
}
