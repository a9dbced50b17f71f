/** rtnetlink messages as they are written. @module */
import { LITTLE } from './socket.ts';

/** Builds a message body: a fixed header, then attributes (rtnetlink(7), padded to 4 bytes). */
export class MessageWriter {
  #parts: Buffer[];

  constructor(header: Buffer = Buffer.alloc(0)) {
    this.#parts = [header];
  }

  bytes(type: number, value: Buffer): this {
    const attribute = Buffer.alloc((4 + value.length + 3) & ~3);
    const view = new DataView(attribute.buffer, attribute.byteOffset);
    view.setUint16(0, 4 + value.length, LITTLE);
    view.setUint16(2, type, LITTLE);
    value.copy(attribute, 4);
    this.#parts.push(attribute);
    return this;
  }
  u8(type: number, value: number): this {
    return this.bytes(type, Buffer.of(value));
  }
  /** Host order. */
  u16(type: number, value: number): this {
    const bytes = Buffer.alloc(2);
    if (LITTLE) bytes.writeUInt16LE(value);
    else bytes.writeUInt16BE(value);
    return this.bytes(type, bytes);
  }
  /** Host order. */
  u32(type: number, value: number): this {
    return this.bytes(type, u32Bytes(value));
  }
  /** Network order: IPv4 addresses. */
  be32(type: number, value: number): this {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(value >>> 0);
    return this.bytes(type, bytes);
  }
  /** Network order: ports. */
  be16(type: number, value: number): this {
    const bytes = Buffer.alloc(2);
    bytes.writeUInt16BE(value);
    return this.bytes(type, bytes);
  }
  mac(type: number, value: number): this {
    const bytes = Buffer.alloc(6);
    bytes.writeUIntBE(value, 0, 6);
    return this.bytes(type, bytes);
  }
  text(type: number, value: string): this {
    return this.bytes(type, Buffer.from(`${value}\0`));
  }
  nested(type: number, fill: (inner: MessageWriter) => void, header?: Buffer): this {
    const inner = new MessageWriter(header);
    fill(inner);
    return this.bytes(type, inner.build());
  }
  build(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

/** A number in host order, 4 bytes. */
export function u32Bytes(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  if (LITTLE) bytes.writeUInt32LE(value >>> 0);
  else bytes.writeUInt32BE(value >>> 0);
  return bytes;
}
