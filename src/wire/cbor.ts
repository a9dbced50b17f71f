/**
 * The part of CBOR (RFC 8949) that gossip uses, and nothing else of it: integers that a number can
 * hold, byte strings, text, booleans, arrays, and maps whose keys are unsigned integers. There is
 * exactly one encoding of each value (§4.2.1): shortest integers and lengths, definite lengths,
 * keys ascending. Everything else is refused before anything is built of it: tags, floats, null,
 * bignums, indefinite lengths, other keys, and what goes over the bounds.
 *
 * {@link scan} reads the bytes without making anything; only what it has passed goes to cbor-x,
 * which makes the values. The build of cbor-x taken here neither loads native code nor makes code
 * from text.
 * @module
 */
import { createRequire } from 'node:module';
import type * as CborPackage from 'cbor-x/index-no-eval';

/** As CommonJS: an `import` of it would read all of its text for names first, 40 ms at every start. */
const { Encoder } = createRequire(import.meta.url)('cbor-x/index-no-eval') as typeof CborPackage;

/** Arrays and maps within each other; a number alone has depth 0. */
export const CBOR_DEPTH_MAX = 8;
/** Values in one encoding: arrays, maps, their elements, keys and values each count. */
export const CBOR_ITEMS_MAX = 4096;
/**
 * Arrays, maps and byte strings in one encoding. Each takes about 200 bytes of memory for itself
 * and as little as one byte of a datagram, so that without this a datagram could cost 250 kB.
 */
export const CBOR_OBJECTS_MAX = 224;

export type CborValue =
  | number
  | string
  | boolean
  | Uint8Array
  | CborValue[]
  | Map<number, CborValue>;

export type CborErrorCode =
  /** The bytes end within a value, or a length promises more than there are. */
  | 'truncated'
  /** Bytes behind the value. */
  | 'trailing'
  | 'depth'
  | 'items'
  | 'objects'
  /** An integer or a length that has a shorter encoding, or an indefinite length. */
  | 'not-canonical'
  /** An integer beyond ±(2^53 - 1). */
  | 'range'
  | 'duplicate-key'
  | 'key-order'
  /** A map key that is no unsigned integer. */
  | 'key-type'
  /** A tag, float, null, undefined or another simple value, or additional information 28 to 30. */
  | 'type'
  /** Text that is not UTF-8, or that begins with a byte order mark. */
  | 'text';

/** The one error of this module, for bytes as for values. */
export class CborError extends Error {
  readonly code: CborErrorCode;

  constructor(code: CborErrorCode, message: string) {
    super(message);
    this.name = 'CborError';
    this.code = code;
  }
}

const MAJOR_UNSIGNED = 0;
const MAJOR_NEGATIVE = 1;
const MAJOR_BYTES = 2;
const MAJOR_TEXT = 3;
const MAJOR_ARRAY = 4;
const MAJOR_MAP = 5;
const MAJOR_SIMPLE = 7;
const SIMPLE_FALSE = 20;
const SIMPLE_TRUE = 21;
/** Additional information that says how many bytes of argument follow: 24 to 27. */
const ARGUMENT_8 = 24;
const ARGUMENT_16 = 25;
const ARGUMENT_32 = 26;
const ARGUMENT_64 = 27;
const INDEFINITE = 31;

// `int64AsNumber` is an option that the package's types do not list.
const OPTIONS = {
  useRecords: false,
  mapsAsObjects: false,
  tagUint8Array: false,
  copyBuffers: true,
  int64AsNumber: true,
};
const codec = new Encoder(OPTIONS);
/** Strings that have no UTF-8, or none that we read back. */
const NOT_TEXT = /^\ufeff|\p{Surrogate}/u;
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Where {@link scan} is, in variables of the module so that a scan allocates nothing. */
let source: DataView = new DataView(new ArrayBuffer(0));
let position = 0;
let itemsLeft = 0;
let objectsLeft = 0;

/**
 * Decodes one value that fills `bytes`. What comes out shares no memory with `bytes`.
 * Throws {@link CborError}.
 */
export function decodeCbor(bytes: Uint8Array): CborValue {
  // A plain view: of a Buffer, cbor-x would make Buffers.
  const plain = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  source = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  position = 0;
  itemsLeft = CBOR_ITEMS_MAX;
  objectsLeft = CBOR_OBJECTS_MAX;
  scan(0);
  if (position !== source.byteLength) {
    fail('trailing', `${source.byteLength - position} bytes behind the value`);
  }
  return codec.decode(plain) as CborValue;
}

function fail(code: CborErrorCode, message: string): never {
  throw new CborError(code, `${message} at byte ${position}`);
}

/** Passes one value with all that is in it. `depth` counts the arrays and maps around it. */
function scan(depth: number): void {
  if (itemsLeft-- === 0) fail('items', `more than ${CBOR_ITEMS_MAX} values`);
  if (position >= source.byteLength) fail('truncated', 'a value is missing');
  const initial = source.getUint8(position++);
  const major = initial >> 5;
  if (major === MAJOR_SIMPLE) {
    const simple = initial & 31;
    if (simple !== SIMPLE_FALSE && simple !== SIMPLE_TRUE) fail('type', `simple value ${simple}`);
    return;
  }
  if (major > MAJOR_MAP) fail('type', 'a tag');
  const argument = readArgument(initial & 31, major);
  if (isObject(major) && objectsLeft-- === 0) fail('objects', `more than ${CBOR_OBJECTS_MAX}`);
  switch (major) {
    case MAJOR_UNSIGNED:
    case MAJOR_NEGATIVE:
      // The number is -1 - argument: one more fits than would on the other side of zero.
      if (argument + major > Number.MAX_SAFE_INTEGER) fail('range', 'an integer is too large');
      return;
    case MAJOR_BYTES:
    case MAJOR_TEXT:
      if (argument > source.byteLength - position) fail('truncated', 'a string is cut');
      if (major === MAJOR_TEXT) checkText(argument);
      position += argument;
      return;
    default:
      scanMany(major, argument, depth + 1);
  }
}

/** Whether a value of this major type takes memory that a number or a short text does not. */
function isObject(major: number): boolean {
  return major === MAJOR_BYTES || major === MAJOR_ARRAY || major === MAJOR_MAP;
}

/** Passes the elements of an array, or the keys and values of a map. */
function scanMany(major: number, count: number, depth: number): void {
  if (depth > CBOR_DEPTH_MAX) fail('depth', `more than ${CBOR_DEPTH_MAX} levels`);
  // A count that lies runs into the end of the bytes, or into a bound.
  if (major === MAJOR_ARRAY) {
    for (let element = 0; element < count; element++) scan(depth);
    return;
  }
  let before = -1;
  for (let entry = 0; entry < count; entry++) {
    const key = scanKey();
    if (key === before) fail('duplicate-key', `key ${key} again`);
    if (key < before) fail('key-order', `key ${key} after ${before}`);
    before = key;
    scan(depth);
  }
}

function scanKey(): number {
  if (itemsLeft-- === 0) fail('items', `more than ${CBOR_ITEMS_MAX} values`);
  if (position >= source.byteLength) fail('truncated', 'a key is missing');
  const initial = source.getUint8(position++);
  if (initial >> 5 !== MAJOR_UNSIGNED) fail('key-type', 'a key is no unsigned integer');
  const key = readArgument(initial & 31, MAJOR_UNSIGNED);
  if (key > Number.MAX_SAFE_INTEGER) fail('range', 'a key is too large');
  return key;
}

/** The number in or behind an initial byte. What is above 2^53 is not exact, and too large anyway. */
function readArgument(information: number, major: number): number {
  if (information < ARGUMENT_8) return information;
  if (information > ARGUMENT_64) {
    if (information === INDEFINITE && major >= MAJOR_BYTES) {
      fail('not-canonical', 'an indefinite length');
    }
    fail('type', `additional information ${information}`);
  }
  const bytes = 1 << (information - ARGUMENT_8);
  if (bytes > source.byteLength - position) fail('truncated', 'a number is cut');
  const at = position;
  position += bytes;
  let argument: number;
  let least: number;
  if (information === ARGUMENT_8) {
    argument = source.getUint8(at);
    least = ARGUMENT_8;
  } else if (information === ARGUMENT_16) {
    argument = source.getUint16(at);
    least = 0x100;
  } else if (information === ARGUMENT_32) {
    argument = source.getUint32(at);
    least = 0x1_0000;
  } else {
    argument = source.getUint32(at) * 0x1_0000_0000 + source.getUint32(at + 4);
    least = 0x1_0000_0000;
  }
  if (argument < least) fail('not-canonical', `${argument} in ${bytes} bytes`);
  return argument;
}

function checkText(sizeBytes: number): void {
  let ascii = 0;
  while (ascii < sizeBytes && source.getUint8(position + ascii) < 0x80) ascii++;
  if (ascii === sizeBytes) return;
  const bytes = new Uint8Array(source.buffer, source.byteOffset + position, sizeBytes);
  let read = '';
  try {
    read = utf8.decode(bytes);
  } catch {
    fail('text', 'not UTF-8');
  }
  // cbor-x drops a byte order mark from long texts only; without one, both ways are the same.
  if (read.startsWith('\ufeff')) fail('text', 'a byte order mark');
}

/**
 * Encodes a value. Map keys must come ascending. Throws {@link CborError} for what
 * {@link decodeCbor} would refuse.
 */
export function encodeCbor(value: CborValue): Uint8Array {
  itemsLeft = CBOR_ITEMS_MAX;
  objectsLeft = CBOR_OBJECTS_MAX;
  hasWide = false;
  check(value, 0);
  // A copy: what cbor-x returns lies in a buffer of 8 kB that would live as long as the result.
  return new Uint8Array(codec.encode(hasWide ? widen(value) : value));
}

/** Whether {@link check} saw an integer that cbor-x would write as a float. */
let hasWide = false;

function check(value: CborValue, depth: number): void {
  if (itemsLeft-- === 0) refuse('items', `more than ${CBOR_ITEMS_MAX} values`);
  if (typeof value === 'boolean') return;
  if (typeof value === 'number') return checkInteger(value);
  if (typeof value === 'string') {
    if (NOT_TEXT.test(value)) refuse('text', 'a byte order mark or half a surrogate pair');
    return;
  }
  if (objectsLeft-- === 0) refuse('objects', `more than ${CBOR_OBJECTS_MAX}`);
  if (value instanceof Uint8Array) return;
  if (depth === CBOR_DEPTH_MAX) refuse('depth', `more than ${CBOR_DEPTH_MAX} levels`);
  if (Array.isArray(value)) {
    for (const element of value) check(element, depth + 1);
    return;
  }
  if (!(value instanceof Map)) refuse('type', `${typeof value} has no encoding here`);
  let before = -1;
  for (const [key, element] of value) {
    if (itemsLeft-- === 0) refuse('items', `more than ${CBOR_ITEMS_MAX} values`);
    if (!(key >= 0)) refuse('key-type', `key ${key}`);
    if (key < before) refuse('key-order', `key ${key} after ${before}`);
    before = key;
    checkInteger(key);
    check(element, depth + 1);
  }
}

function checkInteger(value: number): void {
  if (!Number.isSafeInteger(value) || Object.is(value, -0)) refuse('range', `${value}`);
  if (isWide(value)) hasWide = true;
}

/** Beyond 32 bits of argument. */
function isWide(value: number): boolean {
  return value > 0xffff_ffff || value < -0x1_0000_0000;
}

/** The same value with bigints for the integers that cbor-x would write as floats. */
function widen(value: CborValue): unknown {
  if (typeof value === 'number') return isWide(value) ? BigInt(value) : value;
  if (Array.isArray(value)) return value.map(widen);
  if (!(value instanceof Map)) return value;
  return new Map(Array.from(value, ([key, element]) => [widen(key), widen(element)]));
}

function refuse(code: CborErrorCode, message: string): never {
  throw new CborError(code, message);
}

/** Bytes that {@link encodeCbor} makes of a value, without making them. */
export function cborBytes(value: CborValue): number {
  if (typeof value === 'number') return headBytes(value < 0 ? -1 - value : value);
  if (typeof value === 'boolean') return 1;
  if (typeof value === 'string') {
    const length = utf8Bytes(value);
    return headBytes(length) + length;
  }
  if (value instanceof Uint8Array) return headBytes(value.length) + value.length;
  if (Array.isArray(value)) {
    return value.reduce<number>((sum, each) => sum + cborBytes(each), headBytes(value.length));
  }
  let sum = headBytes(value.size);
  for (const [key, element] of value) sum += headBytes(key) + cborBytes(element);
  return sum;
}

/** Bytes of an initial byte with its argument. */
function headBytes(argument: number): number {
  if (argument < ARGUMENT_8) return 1;
  if (argument < 0x100) return 2;
  if (argument < 0x1_0000) return 3;
  return argument < 0x1_0000_0000 ? 5 : 9;
}

function utf8Bytes(text: string): number {
  let sum = 0;
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    sum += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x1_0000 ? 3 : 4;
  }
  return sum;
}
