/**
 * A frame as a packet socket gives it with PACKET_VNET_HDR, where it is a train of UDP datagrams that
 * nobody has cut yet (`struct virtio_net_hdr`, then Ethernet, IPv4, UDP).
 * @module
 */

export type TrainFrame = {
  /** The last datagram is as long as the others. */
  isEqual: boolean;
  /** The datagrams, each a frame with a header that asks for nothing, and a UDP length that is not true. */
  damagedPieces(): Buffer<ArrayBuffer>[];
};

const VNET_BYTES = 10;
const GSO_TYPE = 1;
const HEADERS_BYTES = 2;
const GSO_SIZE = 4;
const GSO_UDP_L4 = 5;
const ETHERNET_BYTES = 14;
const UDP_BYTES = 8;

/** The train in the first `length` bytes; undefined where there is none. */
export function readTrain(bytes: Buffer<ArrayBuffer>, length: number): TrainFrame | undefined {
  if (length < VNET_BYTES + ETHERNET_BYTES + 28) return undefined;
  if (bytes.readUInt8(GSO_TYPE) !== GSO_UDP_L4) return undefined;
  const size = bytes.readUInt16LE(GSO_SIZE);
  const ip = VNET_BYTES + ETHERNET_BYTES;
  const udp = ip + (bytes.readUInt8(ip) & 15) * 4;
  const payload = udp + UDP_BYTES;
  if (size === 0 || payload >= length) return undefined;
  return {
    isEqual: (length - payload) % size === 0,
    damagedPieces() {
      const pieces: Buffer<ArrayBuffer>[] = [];
      for (let at = payload; at < length; at += size) {
        const piece = Buffer.concat([
          bytes.subarray(0, payload),
          bytes.subarray(at, Math.min(at + size, length)),
        ]);
        piece.fill(0, 0, HEADERS_BYTES + 8);
        piece.writeUInt16BE(piece.length - ip, ip + 2);
        setHeaderSum(piece, ip, udp - ip);
        // As if all of the train were in it.
        piece.writeUInt16BE(Math.min(length - udp, 0xffff), udp + 4);
        pieces.push(piece);
      }
      return pieces;
    },
  };
}

function setHeaderSum(bytes: Buffer, at: number, headerBytes: number): void {
  bytes.writeUInt16BE(0, at + 10);
  let sum = 0;
  for (let i = 0; i < headerBytes; i += 2) sum += bytes.readUInt16BE(at + i);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  bytes.writeUInt16BE(~sum & 0xffff, at + 10);
}
