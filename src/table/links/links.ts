/**
 * What each link is, and each set of underlay sockets: rows in the memory that all data processes
 * read, written by control. Descriptors are not among it: they are a process's own, and travel by
 * another way (link-change.ts).
 *
 * ```
 * row:  version | incarnation | fields
 * ```
 *
 * A row changes under its version (a seqlock): odd while control writes. Readers try again a few
 * times and then leave it: control may have been stopped or killed there. The incarnation is another
 * one for each link that ever was, 0 in a free row: numbers are used again, and nobody is to take a
 * successor for the link that it has.
 * @module
 */
import { LINKS_MAX } from '../../limits.ts';
import type { NetworkWords } from '../../shm/network.ts';
import {
  ENDPOINT_ROW_BYTES,
  ENDPOINTS_MAX,
  LINK_ROW_BYTES,
  type TableSegment,
} from '../segment.ts';

/** Most sockets of an endpoint: the one that listens and the pool of source ports. */
export const SOCKETS_MAX = 24;

/** How often a reader looks for a moment in which nobody writes. */
const READ_ATTEMPTS = 64;
const VERSION = 0;
const INCARNATION = 1;
const FIRST_FIELD = 2;

export const EndpointKind = { Udp: 1, Ipip: 2 } as const;

/** Offload bits of a link or endpoint. */
export const Offload = { VnetHeader: 1, Tso: 2, Uso: 4, Segment: 8, Gro: 16 } as const;

const ENDPOINT_FIELDS = [
  'kind',
  'localAddress',
  'localPort',
  'offloads',
  'isIpv6',
  'localWord0',
  'localWord1',
  'localWord2',
] as const;
const LINK_FIELDS = [
  'encap',
  'offloads',
  'endpoint',
  'overlayAddress',
  'overlayLength',
  'overlay6Word0',
  'overlay6Word1',
  'overlay6Word2',
  'overlay6Word3',
  'overlay6Length',
  'vni6',
  'underlayAddress',
  'underlayLength',
  'localAddress',
  'vni',
  'peerPort',
  'innerMtu',
  'underlayMtu',
  'gateway',
  'superBytesToHost',
  'superBytesToPorts',
  'dscpUniform',
  'kind',
  'bum',
  'guard',
  'networkFlags',
  'floodsPerSecond',
  'rateBytes',
  'flowKeys',
  'peerRates',
  'underlayMode',
  'xmitHashPolicy',
  'endpoint1',
  'endpoint2',
  'endpoint3',
  'network1',
  'network2',
  'network3',
  'nat',
  'derivesMacs',
] as const;

/** A set of underlay sockets on one local address. */
export type EndpointRow = {
  kind: number;
  /** An IPv4 address, or the last word of an IPv6 one. */
  localAddress: number;
  /** 1 = of IPv6: the first three words of our address, the highest first. */
  isIpv6?: number;
  localWord0?: number;
  localWord1?: number;
  localWord2?: number;
  localPort: number;
  offloads: number;
};

/**
 * One overlay link. Addresses are host-order u32, sizes bytes. Over IPv6 the underlay's are the last 32
 * bits of its addresses, and the length is what goes beyond 96: the bits before are those of the
 * endpoint's own address.
 */
export type LinkRow = {
  encap: number;
  offloads: number;
  /** Number of its endpoint. */
  endpoint: number;
  overlayAddress: number;
  overlayLength: number;
  /** An IPv6 overlay beside it, or alone; length 0 = none. The words of its address, the highest first. */
  overlay6Word0?: number;
  overlay6Word1?: number;
  overlay6Word2?: number;
  overlay6Word3?: number;
  overlay6Length?: number;
  /** VXLAN network of the IPv6 overlay. */
  vni6?: number;
  underlayAddress: number;
  underlayLength: number;
  localAddress: number;
  vni: number;
  peerPort: number;
  innerMtu: number;
  underlayMtu: number;
  /** Our own address in the overlay, which the host answers for. */
  gateway: number;
  /** Longest TCP packet that the device may be given in one piece, for the host and for others. */
  superBytesToHost: number;
  superBytesToPorts: number;
  /** 1 = DSCP uniform model, 0 = pipe (RFC 2983). */
  dscpUniform: number;
  /** What it may send in a second, bytes as the underlay's device counts them; 0 = no limit. */
  rateBytes?: number;
  /** By which fields of inner packets its flows are told apart, bits (net/flow-keys.ts). */
  flowKeys?: number;
  /** Hosts that have a rate of their own (peer-rates.ts). */
  peerRates?: number;
  /** How it chooses among its underlays, and what it hashes (net/underlay-modes.ts). */
  underlayMode?: number;
  xmitHashPolicy?: number;
  /** Its further underlays: the number of each one's endpoint plus one, 0 = none, and its network. */
  endpoint1?: number;
  endpoint2?: number;
  endpoint3?: number;
  network1?: number;
  network2?: number;
  network3?: number;
  /** 1 = a NAT may be between it and its peers (seats.ts); IPv4, one underlay. */
  nat?: number;
  /** 1 = what has an address of a fan has the MAC that follows from it: ARP is answered at home. */
  derivesMacs?: number;
} & Partial<NetworkWords>;

/** Numbers of a link's endpoints, one for each of its underlays. */
export function endpointsOf(row: LinkRow): number[] {
  const { endpoint, endpoint1 = 0, endpoint2 = 0, endpoint3 = 0 } = row;
  return [endpoint, ...[endpoint1, endpoint2, endpoint3].filter(Boolean).map((one) => one - 1)];
}

/** An endpoint as a data process has it. */
export type EndpointRecord = EndpointRow & {
  /** Descriptors: the first listens, and sends only where there are no others. */
  sockets: readonly number[];
};

/** A link as a data process has it. */
export type LinkRecord = LinkRow & { id: number; deviceFd: number };

/** A row and which of those that ever had its number it is. */
export type Numbered<R> = { row: R; incarnation: number; version: number };

/** Rows of one kind, as words. */
class Rows<F extends string> {
  readonly #words: Int32Array;
  readonly #rowWords: number;
  readonly #fields: readonly F[];

  constructor(
    region: { buffer: ArrayBuffer; offset: number },
    fields: readonly F[],
    rowBytes: number,
    rows: number,
  ) {
    if ((FIRST_FIELD + fields.length) * 4 > rowBytes) throw new RangeError('a row is too short');
    this.#words = new Int32Array(region.buffer, region.offset, (rows * rowBytes) / 4);
    this.#rowWords = rowBytes / 4;
    this.#fields = fields;
  }

  version(index: number): number {
    return Atomics.load(this.#words, index * this.#rowWords + VERSION);
  }

  read(index: number): Numbered<Record<F, number>> | undefined {
    if (!(index >= 0 && index * this.#rowWords < this.#words.length)) return undefined;
    for (let attempt = 0; attempt < READ_ATTEMPTS; attempt++) {
      const version = this.version(index);
      if ((version & 1) !== 0) continue;
      const at = index * this.#rowWords;
      const incarnation = (this.#words[at + INCARNATION] as number) >>> 0;
      const row = {} as Record<F, number>;
      for (const [i, field] of this.#fields.entries()) {
        row[field] = (this.#words[at + FIRST_FIELD + i] as number) >>> 0;
      }
      if (this.version(index) !== version) continue;
      return incarnation === 0 ? undefined : { row, incarnation, version };
    }
    return undefined;
  }

  /** Writes a row where it differs from what is there. */
  write(index: number, incarnation: number, row: Readonly<Partial<Record<F, number>>>): void {
    const at = index * this.#rowWords;
    const words = [incarnation, ...this.#fields.map((field) => row[field] ?? 0)];
    if (words.every((word, i) => this.#words[at + INCARNATION + i] === (word | 0))) return;
    // Atomics order the odd version before, and the even one after, every plain store between.
    Atomics.add(this.#words, at + VERSION, 1);
    for (const [i, word] of words.entries()) this.#words[at + INCARNATION + i] = word;
    Atomics.add(this.#words, at + VERSION, 1);
  }

  clear(index: number): void {
    const at = index * this.#rowWords;
    Atomics.add(this.#words, at + VERSION, 1);
    this.#words.fill(0, at + INCARNATION, at + this.#rowWords);
    Atomics.add(this.#words, at + VERSION, 1);
  }
}

/** Data: looks at the rows. */
export class LinkReader {
  protected readonly links: Rows<(typeof LINK_FIELDS)[number]>;
  protected readonly endpoints: Rows<(typeof ENDPOINT_FIELDS)[number]>;

  constructor(segment: TableSegment) {
    this.links = new Rows(segment.links, LINK_FIELDS, LINK_ROW_BYTES, LINKS_MAX);
    this.endpoints = new Rows(
      segment.endpoints,
      ENDPOINT_FIELDS,
      ENDPOINT_ROW_BYTES,
      ENDPOINTS_MAX,
    );
  }

  /** Link number `id`; undefined when there is none, or control did not finish writing it. */
  link(id: number): Numbered<LinkRow> | undefined {
    return this.links.read(id);
  }

  /** Changes whenever the row does; odd while control writes it. */
  linkVersion(id: number): number {
    return this.links.version(id);
  }

  /** Endpoint number `index`, likewise. */
  endpoint(index: number): Numbered<EndpointRow> | undefined {
    return this.endpoints.read(index);
  }
}

/** Control: the one writer. */
export class LinkWriter extends LinkReader {
  /** Writes a row where it differs from what is there. `incarnation` is above 0. */
  setLink(id: number, incarnation: number, row: LinkRow): void {
    this.links.write(id, incarnation, row);
  }

  clearLink(id: number): void {
    this.links.clear(id);
  }

  setEndpoint(index: number, incarnation: number, row: EndpointRow): void {
    this.endpoints.write(index, incarnation, row);
  }

  clearEndpoint(index: number): void {
    this.endpoints.clear(index);
  }
}
