/**
 * Attributes that were read before, by their bytes. Routers send half a million routes one to an
 * UPDATE, and nearly all of those UPDATEs differ in the route alone.
 * @module
 */
import type { Attributes } from './attributes.ts';
import { AttributeCode, AttributeFlag } from './iana.ts';

/** What is kept; more costs the reader time, and nothing else. */
const SETS_MAX = 1024;
/** Longer lists are rare, and read each time. */
const SET_BYTES_MAX = 512;

/** A list of attributes in which exactly one holds routes. Offsets are those of `bytes`. */
export type Split = {
  bytes: Uint8Array;
  start: number;
  end: number;
  /** Of the attribute with the routes. */
  code: number;
  flags: number;
  /** Where it begins, where its value does, and where it ends. */
  at: number;
  valueAt: number;
  next: number;
};

/** undefined where the list has none, or two, or cannot be read to its end. */
export function splitAttributes(bytes: Uint8Array, start: number, end: number): Split | undefined {
  let found: Split | undefined;
  for (let at = start; at < end; ) {
    const flags = bytes[at] ?? 0;
    const code = bytes[at + 1] ?? 0;
    const isLong = (flags & AttributeFlag.ExtendedLength) !== 0;
    const valueAt = at + (isLong ? 4 : 3);
    if (valueAt > end) return undefined;
    const low = bytes[valueAt - 1] ?? 0;
    const next = valueAt + (isLong ? (bytes[valueAt - 2] ?? 0) * 256 + low : low);
    if (next > end) return undefined;
    if (code === AttributeCode.MpReach || code === AttributeCode.MpUnreach) {
      if (found !== undefined) return undefined;
      found = { bytes, start, end, code, flags, at, valueAt, next };
    }
    at = next;
  }
  return found;
}

export type KnownAttributes = {
  /** `borrowed:` by all UPDATEs that have the same; never changed. */
  readonly attributes: Attributes;
  /** Codes that were there, those with routes aside. */
  readonly seen: ReadonlySet<number>;
};

type Row = KnownAttributes & { readonly bytes: Uint8Array };

const FNV_PRIME = 0x0100_0193;
const FNV_START = 0x811c_9dc5;

function hashOf(bytes: Uint8Array, from: number, to: number, start: number): number {
  let hash = start;
  for (let at = from; at < to; at++) hash = Math.imul(hash ^ (bytes[at] ?? 0), FNV_PRIME);
  return hash;
}

function isEqual(row: Uint8Array, rowAt: number, bytes: Uint8Array, from: number, to: number) {
  for (let at = from, other = rowAt; at < to; at++, other++) {
    if (row[other] !== bytes[at]) return false;
  }
  return true;
}

/**
 * Of one session: two sessions may read the same bytes differently. Rows are found by a hash and
 * compared byte by byte; of two with one hash the later stays.
 */
export class AttributeCache {
  readonly #rows = new Map<number, Row>();

  #hash({ bytes, start, at, next, end }: Split): number {
    return hashOf(bytes, next, end, hashOf(bytes, start, at, FNV_START));
  }

  /** What the bytes beside the routes were read as before. */
  find(split: Split): KnownAttributes | undefined {
    const row = this.#rows.get(this.#hash(split));
    if (row === undefined) return undefined;
    const { bytes, start, at, next, end } = split;
    if (row.bytes.length !== at - start + end - next) return undefined;
    const isSame =
      isEqual(row.bytes, 0, bytes, start, at) && isEqual(row.bytes, at - start, bytes, next, end);
    return isSame ? row : undefined;
  }

  /** Remembers what was read, without a fault. */
  keep(split: Split, { attributes, seen }: KnownAttributes): void {
    const { bytes, start, at, next, end } = split;
    const length = at - start + end - next;
    if (length > SET_BYTES_MAX) return;
    if (this.#rows.size >= SETS_MAX) this.#rows.clear();
    const own = new Uint8Array(length);
    own.set(bytes.subarray(start, at));
    own.set(bytes.subarray(next, end), at - start);
    this.#rows.set(this.#hash(split), { bytes: own, attributes, seen });
  }
}
