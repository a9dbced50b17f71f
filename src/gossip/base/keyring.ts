/**
 * The cluster's keys. One seals, all of them open, so a key can be changed without a moment at
 * which two nodes do not understand each other: add the new one everywhere, use it everywhere,
 * remove the old one. A member that was away for all of it is still understood as long as its
 * key is in the others' rings.
 * @module
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { FanwayError, usageError } from '../../errors.ts';

export const CLUSTER_KEY_BYTES = 32;
/** A rotation needs two. */
export const KEYS_MAX = 8;

/** A key and its number on the wire, which says nothing about it to who does not have it. */
export type ClusterKey = { readonly id: number; readonly bytes: Uint8Array };

/** The key number of what is not sealed. */
export const NO_KEY = 0;

/** First four bytes of SHA-256 of the key behind a name of its own; never {@link NO_KEY}. */
function keyIdOf(bytes: Uint8Array): number {
  const hash = createHash('sha256').update('fanway gossip key id 1').update(bytes).digest();
  return hash.readUInt32BE(0) || 1;
}

/** The eight digits by which people tell keys apart. */
export function formatKeyId(id: number): string {
  return id.toString(16).padStart(8, '0');
}

export class Keyring {
  /** The key that seals comes first. */
  readonly #keys: ClusterKey[] = [];

  private constructor(keys: readonly Uint8Array[]) {
    for (const bytes of keys) this.add(bytes);
  }

  /** A ring with one new key; `random` gives as many bytes as it is asked for. */
  static generate(random: (bytes: number) => Uint8Array): Keyring {
    return new Keyring([random(CLUSTER_KEY_BYTES)]);
  }

  /**
   * Reads a key file: a key a line in base64, the one that seals marked with `use` behind it (a
   * single key needs no mark), `#` before a comment.
   * @throws FanwayError `key-file`, naming `source` and the line but never a key
   */
  static parse(text: string, source: string): Keyring {
    const found: { bytes: Uint8Array; use: boolean }[] = [];
    for (const [index, line] of text.split(/\r?\n/).entries()) {
      const where = `${source}:${index + 1}`;
      const [encoded, mark, ...rest] = line.replace(/#.*$/, '').trim().split(/\s+/);
      if (encoded === undefined || encoded === '') continue;
      if (rest.length > 0 || (mark !== undefined && mark !== 'use')) {
        throw keyError(`${where}: a key may have the word use behind it, nothing else`);
      }
      const bytes = decodeKey(encoded);
      if (bytes === undefined) {
        throw keyError(`${where}: not ${CLUSTER_KEY_BYTES} bytes in base64, as keygen prints them`);
      }
      found.push({ bytes, use: mark === 'use' });
    }
    const used = found.filter(({ use }) => use);
    if (found.length === 0) throw keyError(`${source}: there is no key; fanway keygen makes one`);
    if (found.length > 1 && used.length !== 1) {
      throw keyError(`${source}: exactly one of ${found.length} keys needs the word use behind it`);
    }
    const inOrder = [...used, ...found.filter(({ use }) => !use)];
    return new Keyring(inOrder.map(({ bytes }) => bytes));
  }

  /** The text of a key file; {@link parse} reads it. */
  format(): string {
    const lines = this.#keys.map(({ bytes }, index) => `${encodeKey(bytes)}${index ? '' : ' use'}`);
    return `# Keys of the gossip channel. Whoever has one is a member.\n${lines.join('\n')}\n`;
  }

  /** The key that seals. */
  get inUse(): ClusterKey {
    const key = this.#keys[0];
    if (key === undefined) throw new Error('a keyring is never empty');
    return key;
  }

  /** All, the one that seals first. */
  get keys(): readonly ClusterKey[] {
    return this.#keys;
  }

  get(id: number): ClusterKey | undefined {
    return this.#keys.find((key) => key.id === id);
  }

  /**
   * Opens with one more key from now on; a key that is there already changes nothing.
   * @throws FanwayError `key-refused` beyond {@link KEYS_MAX}
   */
  add(bytes: Uint8Array): ClusterKey {
    if (bytes.length !== CLUSTER_KEY_BYTES) {
      throw new RangeError(`a cluster key has ${CLUSTER_KEY_BYTES} bytes, not ${bytes.length}`);
    }
    const id = keyIdOf(bytes);
    const known = this.get(id);
    if (known !== undefined) {
      if (timingSafeEqual(known.bytes, bytes)) return known;
      throw refused(`another key has the id ${formatKeyId(id)} already: make a new key`);
    }
    if (this.#keys.length >= KEYS_MAX) {
      throw refused(`a keyring has at most ${KEYS_MAX} keys: remove one first`);
    }
    const key = { id, bytes: Uint8Array.from(bytes) };
    this.#keys.push(key);
    return key;
  }

  /** Seals with this key from now on. @throws FanwayError `key-refused` when it is not there */
  use(id: number): void {
    const key = this.#find(id);
    this.#keys.splice(this.#keys.indexOf(key), 1);
    this.#keys.unshift(key);
  }

  /**
   * Opens with this key no longer.
   * @throws FanwayError `key-refused` when it is not there, or seals
   */
  remove(id: number): void {
    const key = this.#find(id);
    if (key === this.inUse) {
      throw refused(`key ${formatKeyId(id)} is in use: add and use another one first`);
    }
    this.#keys.splice(this.#keys.indexOf(key), 1);
  }

  #find(id: number): ClusterKey {
    const key = this.get(id);
    if (key !== undefined) return key;
    const have = this.#keys.map((one) => formatKeyId(one.id)).join(', ');
    throw refused(`there is no key ${formatKeyId(id)}; the ring has ${have}`);
  }
}

function keyError(message: string): FanwayError {
  return usageError('key-file', message);
}

function refused(message: string): FanwayError {
  return new FanwayError('key-refused', message);
}

/** A key as text, for a key file or for `fanway key add`. */
export function encodeKey(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}

/** The key that {@link encodeKey} wrote; undefined when the text is none. */
export function decodeKey(text: string): Uint8Array | undefined {
  const bytes = Buffer.from(text, 'base64');
  const exact = bytes.length === CLUSTER_KEY_BYTES && bytes.toString('base64') === text;
  return exact && bytes.some((byte) => byte !== 0) ? Uint8Array.from(bytes) : undefined;
}

/** The key number of eight hex digits; undefined when the text is none. */
export function parseKeyId(text: string): number | undefined {
  return /^[0-9a-f]{8}$/.test(text) ? Number.parseInt(text, 16) : undefined;
}
