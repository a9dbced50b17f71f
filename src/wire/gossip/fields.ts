/**
 * Tables of fields: one description of a record from which it is both written and read. Fields
 * have numbers, which are append-only; a number that a reader does not know is skipped, so that a
 * later version may add fields. Values that are always written together (an address and its port)
 * are arrays, to which a later version may append.
 * @module
 */
import type { CborValue } from '../cbor.ts';

/** Why bytes are no block and no message. */
export type GossipFormatCode =
  /** Not the CBOR that is used here; `cause` says more. */
  | 'cbor'
  | 'missing-field'
  /** A value of another type than the field has. */
  | 'field-type'
  /** A number, a length or a count beyond its bounds. */
  | 'bound'
  /** Text that is not printable ASCII. */
  | 'text'
  /** Ranges that are empty or end beyond what they may name. */
  | 'ranges'
  /** A prefix with bits set behind its length. */
  | 'host-bits';

/** The one error of the gossip formats, on reading and on writing. */
export class GossipFormatError extends Error {
  readonly code: GossipFormatCode;

  constructor(code: GossipFormatCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'GossipFormatError';
    this.code = code;
  }
}

export function refuse(code: GossipFormatCode, message: string): never {
  throw new GossipFormatError(code, message);
}

/** How one kind of value is written and read. Both throw {@link GossipFormatError}. */
export type Codec<T> = {
  readonly encode: (value: T) => CborValue;
  readonly decode: (value: CborValue) => T;
};

/** A codec whose values look the same on both sides, by its check. */
function checked<T extends CborValue>(check: (value: CborValue) => T): Codec<T> {
  return { encode: check, decode: check };
}

/** Whole numbers `min` to `max`. */
export function uint(max: number, min = 0): Codec<number> {
  return checked((value) => {
    if (typeof value !== 'number') refuse('field-type', 'a number was expected');
    if (!Number.isInteger(value) || value < min || value > max) {
      refuse('bound', `${value} is not ${min} to ${max}`);
    }
    return value;
  });
}

export const flag: Codec<boolean> = checked((value) => {
  if (typeof value !== 'boolean') refuse('field-type', 'true or false was expected');
  return value;
});

/** Printable ASCII, `min` to `max` characters. */
export function text(max: number, min = 0): Codec<string> {
  return checked((value) => {
    if (typeof value !== 'string') refuse('field-type', 'text was expected');
    if (value.length < min || value.length > max) refuse('bound', `a text of ${value.length}`);
    if (!/^[ -~]*$/.test(value)) refuse('text', 'not printable ASCII');
    return value;
  });
}

/** Byte strings of `min` to `max` bytes. */
export function bytes(max: number, min = max): Codec<Uint8Array> {
  return checked((value) => {
    if (!(value instanceof Uint8Array)) refuse('field-type', 'bytes were expected');
    if (value.length < min || value.length > max)
      refuse('bound', `a byte string of ${value.length}`);
    return value;
  });
}

/** A codec whose decoding gives undefined for what a later version may have added. */
export type SkippingCodec<T> = {
  readonly encode: (value: T) => CborValue;
  readonly decode: (value: CborValue) => T | undefined;
};

/** At most `max` values, without those that the element's codec skips. */
export function list<T>(
  element: SkippingCodec<T>,
  max: number,
): { encode: (values: readonly T[]) => CborValue; decode: (value: CborValue) => T[] } {
  return {
    encode(values) {
      if (values.length > max) refuse('bound', `a list of ${values.length}`);
      return values.map(element.encode);
    },
    decode(value) {
      if (!Array.isArray(value)) refuse('field-type', 'a list was expected');
      if (value.length > max) refuse('bound', `a list of ${value.length}`);
      const values: T[] = [];
      for (const each of value) {
        const decoded = element.decode(each);
        if (decoded !== undefined) values.push(decoded);
      }
      return values;
    },
  };
}

/** `absent` is the value of a field that is not there; without it the field must be there. */
type Field<T> = { number: number; codec: Codec<T>; absent?: T };

/** Field `number`. A value that equals `absent` is not written. */
export function field<T>(number: number, codec: Codec<T>, absent?: T): Field<T> {
  return absent === undefined ? { number, codec } : { number, codec, absent };
}

type Fields<T> = { readonly [K in keyof T]-?: Field<T[K]> };

/** Map of field numbers to values. `fields` are in the order of their numbers. */
export function record<T extends object>(fields: Fields<T>): Codec<T> {
  const entries = Object.entries(fields) as [keyof T & string, Field<T[keyof T]>][];
  return {
    encode(value) {
      const map = new Map<number, CborValue>();
      for (const [name, { number, codec, absent }] of entries) {
        if (absent === undefined || value[name] !== absent) {
          map.set(number, codec.encode(value[name]));
        }
      }
      return map;
    },
    decode(value) {
      if (!(value instanceof Map)) refuse('field-type', 'a record was expected');
      const decoded: { [name: string]: unknown } = {};
      for (const [name, { number, codec, absent }] of entries) {
        const found = value.get(number);
        if (found !== undefined) decoded[name] = codec.decode(found);
        else if (absent !== undefined) decoded[name] = absent;
        else refuse('missing-field', `field ${number}, ${name}, is missing`);
      }
      return decoded as T;
    },
  };
}

/** Array of values in the order of `parts`; elements behind them are skipped. */
export function tuple<T extends object>(
  parts: {
    readonly [K in keyof T]-?: Codec<T[K]>;
  },
): Codec<T> {
  const entries = Object.entries(parts) as [keyof T & string, Codec<T[keyof T]>][];
  return {
    encode: (value) => entries.map(([name, codec]) => codec.encode(value[name])),
    decode(value) {
      if (!Array.isArray(value)) refuse('field-type', 'an array was expected');
      const decoded: { [name: string]: unknown } = {};
      entries.forEach(([name, codec], index) => {
        const found = value[index];
        if (found === undefined) refuse('missing-field', `${name} is missing`);
        decoded[name] = codec.decode(found);
      });
      return decoded as T;
    },
  };
}
