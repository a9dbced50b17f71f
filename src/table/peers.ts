/**
 * Remote hosts that control names, by number. A row of 64 bytes:
 *
 * ```
 * 0  version   odd while control writes
 * 4  family    4 or 6; 0 = free
 * 8  port      UDP destination, 0 where there is none
 * 12 label     VNI on the wire; 0 = that of the link
 * 16 address   16 bytes in network order, IPv4 in the first four
 * 32 plain     of a row with a label, the number of the same host without one
 * 36 labelled  of one without, how many rows with a label stand for the same host
 * ```
 *
 * A host that has named another VNI for what is sent to it (RFC 8365 §5.1.3) has a row for each, beside
 * the plain one that it is known by when it sends.
 *
 * Whoever keeps something of a row keeps its version too: a row that has another one now is, or may
 * be, another host.
 * @module
 */
import { hostBytes, hostOfBytes, type UnderlayAddress } from '../net/underlay-address.ts';
import { PEER_BYTES, PEERS_MAX, type TableSegment } from './segment.ts';

const ROW_WORDS = PEER_BYTES / 4;
const FAMILY = 1;
const PORT = 2;
const LABEL = 3;
const PLAIN = 8;
const LABELLED = 9;
const ADDRESS_BYTES = 16;
const ADDRESS_OFFSET = 16;
/** How often a reader looks at a row that control is writing. */
const READ_ATTEMPTS = 64;

/** A remote host. `address`: 4 or 16 bytes, network order. */
type PeerRecord = { address: Uint8Array; port: number };

/** The IPv4 address of a u32, as a peer has it. */
export function ipv4Bytes(address: number): Uint8Array {
  return hostBytes(address);
}

export class PeerReader {
  protected readonly words: Int32Array;
  protected readonly view: DataView;

  constructor(segment: TableSegment) {
    const { buffer, offset } = segment.peers;
    this.words = new Int32Array(buffer, offset, PEERS_MAX * ROW_WORDS);
    this.view = new DataView(buffer, offset, PEERS_MAX * PEER_BYTES);
  }

  /** Changes whenever the row does; a plain load, so a change may be seen a moment late. */
  version(index: number): number {
    return this.words[index * ROW_WORDS] as number;
  }

  /** IPv4 address of a peer, u32 in host order; 0 when it has none. */
  ipv4(index: number): number {
    if (this.words[index * ROW_WORDS + FAMILY] !== 4) return 0;
    return this.view.getUint32(index * PEER_BYTES + ADDRESS_OFFSET);
  }

  isIpv6(index: number): boolean {
    return this.words[index * ROW_WORDS + FAMILY] === 6;
  }

  /** A word of a peer's address, u32: 0 to 3 of IPv6's, the highest first. */
  word(index: number, word: number): number {
    return this.view.getUint32(index * PEER_BYTES + ADDRESS_OFFSET + word * 4);
  }

  /** Whether a peer has the IPv6 address at `at`; plain loads, so a change may be seen a moment late. */
  isAt(index: number, view: DataView, at: number): boolean {
    if (this.words[index * ROW_WORDS + FAMILY] !== 6) return false;
    const row = index * PEER_BYTES + ADDRESS_OFFSET;
    for (let i = 0; i < ADDRESS_BYTES; i += 4) {
      if (this.view.getUint32(row + i) !== view.getUint32(at + i)) return false;
    }
    return true;
  }

  /** The last 32 bits, u32, of an IPv6 peer whose first 96 are `high`; 0 for any other. */
  lastWord(index: number, [a, b, c]: readonly [number, number, number]): number {
    if (this.words[index * ROW_WORDS + FAMILY] !== 6) return 0;
    const at = index * PEER_BYTES + ADDRESS_OFFSET;
    const { view } = this;
    if (view.getUint32(at) !== a || view.getUint32(at + 4) !== b || view.getUint32(at + 8) !== c) {
      return 0;
    }
    return view.getUint32(at + 12);
  }

  /** The VNI that is sent to a peer; 0 = that of the link. */
  label(index: number): number {
    return this.words[index * ROW_WORDS + LABEL] as number;
  }

  /** The number of the same host without a label. */
  plainOf(index: number): number {
    return (this.words[index * ROW_WORDS + PLAIN] as number) || index;
  }

  /** Whether a host, by its plain number, has named other VNIs than those of links. */
  hasLabels(index: number): boolean {
    return this.words[index * ROW_WORDS + LABELLED] !== 0;
  }

  /** The row as a whole; undefined when it is free, or control did not finish writing it. */
  read(index: number): (PeerRecord & { version: number }) | undefined {
    if (index <= 0 || index >= PEERS_MAX) return undefined;
    const at = index * ROW_WORDS;
    for (let attempt = 0; attempt < READ_ATTEMPTS; attempt++) {
      const version = Atomics.load(this.words, at);
      if ((version & 1) !== 0) continue;
      const family = this.words[at + FAMILY];
      const port = this.words[at + PORT] as number;
      const address = new Uint8Array(family === 6 ? ADDRESS_BYTES : 4);
      for (let i = 0; i < address.length; i++) {
        address[i] = this.view.getUint8(index * PEER_BYTES + ADDRESS_OFFSET + i);
      }
      if (Atomics.load(this.words, at) !== version) continue;
      return family === 0 ? undefined : { address, port, version };
    }
    return undefined;
  }

  /** The host of a number that is in use. */
  hostOf(index: number): UnderlayAddress | undefined {
    const row = this.read(index);
    return row === undefined ? undefined : hostOfBytes(row.address);
  }
}

function keyOf(address: Uint8Array, port: number, label: number): string {
  return `${address.join('.')}:${port}:${label}`;
}

/** Control: gives hosts their numbers. */
export class PeerWriter extends PeerReader {
  readonly #indexes = new Map<string, number>();
  readonly #users = new Map<number, number>();
  readonly #free: number[] = [];
  #next = 1;

  get count(): number {
    return this.#indexes.size;
  }

  /**
   * The number of a host, the same for the same address, port and label; 0 when the table is full. Each
   * call is one user more, until {@link release}.
   */
  intern(address: Uint8Array, port = 0, label = 0): number {
    const key = keyOf(address, port, label);
    let index = this.#indexes.get(key);
    if (index === undefined) {
      const plain = label === 0 ? 0 : this.intern(address, port);
      if (label !== 0 && plain === 0) return 0;
      index = this.#free.pop() ?? (this.#next < PEERS_MAX ? this.#next++ : 0);
      if (index === 0) {
        if (plain !== 0) this.release(plain);
        return 0;
      }
      this.#indexes.set(key, index);
      this.#write(index, { address, port }, label, plain);
      this.#countLabels(plain, 1);
    }
    this.#users.set(index, (this.#users.get(index) ?? 0) + 1);
    return index;
  }

  /** One user less; after the last one the number may become another host's. */
  release(index: number): void {
    const users = (this.#users.get(index) ?? 0) - 1;
    if (users > 0) {
      this.#users.set(index, users);
      return;
    }
    const row = this.read(index);
    if (row === undefined) return;
    const plain = this.plainOf(index);
    this.#users.delete(index);
    this.#indexes.delete(keyOf(row.address, row.port, this.label(index)));
    this.#write(index, undefined, 0, 0);
    this.#free.push(index);
    if (plain === index) return;
    this.#countLabels(plain, -1);
    this.release(plain);
  }

  #countLabels(plain: number, by: 1 | -1): void {
    if (plain === 0) return;
    const at = plain * ROW_WORDS + LABELLED;
    Atomics.store(this.words, at, (this.words[at] as number) + by);
  }

  #write(index: number, row: PeerRecord | undefined, label: number, plain: number): void {
    const at = index * ROW_WORDS;
    // Atomics order the odd version before, and the even one after, the plain stores between.
    Atomics.add(this.words, at, 1);
    this.words[at + FAMILY] = row === undefined ? 0 : row.address.length === ADDRESS_BYTES ? 6 : 4;
    this.words[at + PORT] = row?.port ?? 0;
    this.words[at + LABEL] = label;
    this.words[at + PLAIN] = plain;
    for (let i = 0; i < ADDRESS_BYTES; i++) {
      this.view.setUint8(index * PEER_BYTES + ADDRESS_OFFSET + i, row?.address[i] ?? 0);
    }
    Atomics.add(this.words, at, 1);
  }
}
