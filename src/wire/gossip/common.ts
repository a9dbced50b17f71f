/**
 * Values that several gossip records have, and the way between bytes and records.
 * @module
 */
import { CborError, type CborValue, decodeCbor, encodeCbor } from '../cbor.ts';
import { LIVE_RANGES_MAX, SEQUENCE_MAX } from './bounds.ts';
import { bytes, type Codec, GossipFormatError, list, refuse, tuple, uint } from './fields.ts';
import type { Endpoint, SequenceRange } from './types.ts';

export const ipv4Address = uint(0xffff_ffff);
export const port = uint(0xffff);

const sixteenBytes = bytes(16);
/** 16 bytes of IPv6 as 32 hex digits. */
export const ipv6Host: Codec<string> = {
  encode(value) {
    if (!/^[0-9a-f]{32}$/.test(value)) refuse('bound', 'no IPv6 address');
    return Uint8Array.from({ length: 16 }, (_, at) =>
      Number.parseInt(value.slice(2 * at, 2 * at + 2), 16),
    );
  },
  decode: (value) =>
    Array.from(sixteenBytes.decode(value), (byte) => byte.toString(16).padStart(2, '0')).join(''),
};

/** IPv4 as a number, IPv6 as bytes. */
export const hostAddress: Codec<number | string> = {
  encode: (value) =>
    typeof value === 'number' ? ipv4Address.encode(value) : ipv6Host.encode(value),
  decode: (value) => (typeof value === 'number' ? ipv4Address : ipv6Host).decode(value),
};

const sixBytes = bytes(6);
/** MAC addresses as six bytes (RFC 9542 §2.4, without its tag). */
export const mac: Codec<number> = {
  encode(value) {
    if (!Number.isInteger(value) || value < 0 || value > 0xffff_ffff_ffff) {
      refuse('bound', `${value} is no MAC`);
    }
    const encoded = new DataView(new ArrayBuffer(6));
    encoded.setUint16(0, Math.floor(value / 0x1_0000_0000));
    encoded.setUint32(2, value % 0x1_0000_0000);
    return new Uint8Array(encoded.buffer);
  },
  decode(value) {
    const six = sixBytes.decode(value);
    const view = new DataView(six.buffer, six.byteOffset);
    return view.getUint16(0) * 0x1_0000_0000 + view.getUint32(2);
  },
};

const hearingPort = uint(0xffff, 1);
export type Ipv4Endpoint = { address: number; port: number };
export type Ipv6Endpoint = { address: string; port: number };
export const ipv4Endpoint = tuple<Ipv4Endpoint>({
  address: ipv4Address,
  port: hearingPort,
});
export const ipv6Endpoint = tuple<Ipv6Endpoint>({
  address: ipv6Host,
  port: hearingPort,
});

/** [address, port], the address a number or 16 bytes; a port of 0 hears nothing. */
export const endpoint: Codec<Endpoint> = {
  encode({ address, port }) {
    return typeof address === 'number'
      ? ipv4Endpoint.encode({ address, port })
      : ipv6Endpoint.encode({ address, port });
  },
  decode(value) {
    const isIpv6 = Array.isArray(value) && value[0] instanceof Uint8Array;
    return isIpv6 ? ipv6Endpoint.decode(value) : ipv4Endpoint.decode(value);
  },
};

/** A number that never changes, such as a record's kind. */
export function constant<N extends number>(number: N): Codec<N> {
  return { encode: () => number, decode: () => number };
}

/** Field 0 of a record that comes in several kinds: which one it is. */
export function kindOf(value: CborValue): number {
  if (!(value instanceof Map)) refuse('field-type', 'a record was expected');
  const kind = value.get(0);
  if (kind === undefined) refuse('missing-field', 'a record without its kind');
  if (typeof kind !== 'number') refuse('field-type', 'a kind that is no number');
  return kind;
}

const steps = list(uint(SEQUENCE_MAX), 2 * LIVE_RANGES_MAX);

/**
 * Ranges of sequence numbers from 1 up, ascending and disjoint, as a flat list of steps: for each
 * range how many numbers are left out before it, and how many follow its first.
 * [1, 3], [5, 5] is [0, 2, 1, 0].
 */
export const ranges: Codec<readonly SequenceRange[]> = {
  encode(value) {
    const flat: number[] = [];
    let next = 1;
    for (const [first, last] of value) {
      if (first < next || last < first) refuse('ranges', `${first} to ${last} after ${next - 1}`);
      flat.push(first - next, last - first);
      next = last + 1;
    }
    return steps.encode(flat);
  },
  decode(value) {
    const flat = steps.decode(value);
    if (flat.length % 2 !== 0) refuse('ranges', 'half a range');
    const decoded: SequenceRange[] = [];
    let next = 1;
    for (let at = 0; at < flat.length; at += 2) {
      const first = next + (flat[at] ?? 0);
      const last = first + (flat[at + 1] ?? 0);
      decoded.push([first, last]);
      next = last + 1;
    }
    if (next - 1 > SEQUENCE_MAX) refuse('ranges', `a range ends with ${next - 1}`);
    return decoded;
  },
};

/** {@link encodeCbor} with the error of the gossip formats. */
export function toBytes(value: CborValue): Uint8Array {
  try {
    return encodeCbor(value);
  } catch (error) {
    throw inFormat(error);
  }
}

/** {@link decodeCbor} with the error of the gossip formats. */
export function fromBytes(bytes: Uint8Array): CborValue {
  try {
    return decodeCbor(bytes);
  } catch (error) {
    throw inFormat(error);
  }
}

function inFormat(error: unknown): unknown {
  if (!(error instanceof CborError)) return error;
  return new GossipFormatError('cbor', error.message, { cause: error });
}

/** A prefix of IPv6 that has no bits set behind its length. */
export function withoutIpv6HostBits<T extends { address: string; length: number }>(
  codec: Codec<T>,
): Codec<T> {
  const check = (value: T): T => {
    for (let bit = value.length; bit < 128; bit++) {
      const digit = Number.parseInt(value.address[bit >> 2] ?? '0', 16);
      if ((digit & (8 >> (bit & 3))) !== 0) {
        refuse('host-bits', `${value.address} has bits behind the first ${value.length}`);
      }
    }
    return value;
  };
  return {
    encode: (value) => codec.encode(check(value)),
    decode: (value) => check(codec.decode(value)),
  };
}

/** The same of IPv4. */
export function withoutHostBits<T extends { address: number; length: number }>(
  codec: Codec<T>,
): Codec<T> {
  const check = (value: T): T => {
    if (value.address % 2 ** (32 - value.length) !== 0) {
      refuse('host-bits', `${value.address} has bits behind the first ${value.length}`);
    }
    return value;
  };
  return {
    encode: (value) => codec.encode(check(value)),
    decode: (value) => check(codec.decode(value)),
  };
}
