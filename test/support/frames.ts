/**
 * Frames sent and seen on a device of the namespace that the thread is in: crafted ones, which no
 * stack of the kernel would send.
 * @module
 */
import { addressOf, check, libc } from '../../src/sys/libc/libc.ts';
import { PacketSocket } from '../../src/sys/sockets/packet-socket.ts';

const AF_PACKET = 17;
const SOCK_RAW = 3;

/** Sends whole Ethernet frames out of a device. Call it inside `NetworkNamespace.run`. */
export function sendFrames(ifindex: number, frames: readonly Buffer[]): void {
  const fd = check('socket(AF_PACKET)', libc.socket(AF_PACKET, SOCK_RAW, 0));
  try {
    const name = Buffer.alloc(20);
    name.writeUInt16LE(AF_PACKET, 0);
    name.writeInt32LE(ifindex, 4);
    check('bind(AF_PACKET)', libc.bind(fd, addressOf(name), name.length));
    for (const frame of frames) {
      const vector = BigUint64Array.of(BigInt(addressOf(frame)), BigInt(frame.length));
      check('writev(AF_PACKET)', libc.writev(fd, addressOf(vector), 1));
    }
  } finally {
    libc.close(fd);
  }
}

/** Everything that a device has received since the last call. */
export class Sight {
  readonly #socket: PacketSocket;

  /** Make it inside `NetworkNamespace.run`. */
  constructor(ifindex: number) {
    this.#socket = new PacketSocket(ifindex);
  }

  received(): Buffer[] {
    const frames: Buffer[] = [];
    for (let seen = this.#socket.read(); seen !== undefined; seen = this.#socket.read()) {
      if (!seen.outgoing) frames.push(Buffer.from(seen.bytes));
    }
    return frames;
  }

  close(): void {
    this.#socket.close();
  }
}

/** An ICMPv6 message of `type` to all nodes (ff02::1), as an Ethernet frame. */
export function icmpv6ToAll(type: number, source: number): Buffer {
  const message = Buffer.from([type, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0]);
  const from = Buffer.from('fe80000000000000', 'hex');
  const to = Buffer.from('ff020000000000000000000000000001', 'hex');
  const interfaceId = Buffer.alloc(8, 7);
  // RFC 8200 §8.1: the pseudo-header is addresses, length and next header.
  const ends = Buffer.concat([from, interfaceId, to]);
  const pseudo = Buffer.concat([ends, Buffer.of(0, 0, 0, message.length, 0, 0, 0, 58), message]);
  let sum = 0;
  for (let at = 0; at < pseudo.length; at += 2) sum += pseudo.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  message.writeUInt16BE(~sum & 0xffff, 2);
  const mac = Buffer.alloc(6);
  mac.writeUIntBE(source, 0, 6);
  const ethernet = Buffer.concat([Buffer.from('333300000001', 'hex'), mac, Buffer.of(0x86, 0xdd)]);
  const header = Buffer.concat([Buffer.of(0x60, 0, 0, 0, 0, message.length, 58, 255), ends]);
  return Buffer.concat([ethernet, header, message]);
}
