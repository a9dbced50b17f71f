/**
 * The one place that knows where each word of the memory between control and one data process lies.
 * What all data processes share, the tables of who is where, is another segment (table/segment.ts).
 *
 * ```
 * 0     header      one writer each: control (generation, counts, epoch), data (worker words)
 * 256   endpoints   32 × 128 bytes, written by control
 * 4352  links       256 × 128 bytes, written by control
 * 37120 counters    256 columns × 192 doubles, written by the data process only
 * then   MAC rings   claims, written by the data process, and forgotten, written by control
 * then   paths       4096 × 64 bytes, written by the data process only (table/paths.ts)
 * then   events      what it tells of layer-2 networks, a ring (table/events.ts)
 * ```
 *
 * Records change under a seqlock: control makes `generation` odd, writes, makes it even; the data
 * process copies the records and tries again, a few times, when the generation was odd or has moved.
 * Words are little endian (every machine that Node supports here is).
 * @module
 */

import { MAC_RING_BYTES, MacRing } from './mac-ring.ts';
import type { NetworkWords } from './network.ts';
import { PATH_ROWS_BYTES } from './path-rows.ts';
import { RING_BYTES, RingReader, RingWriter } from './ring.ts';
import { Turn } from './turn.ts';
import type { WorkerStatus } from './worker.ts';

export const LAYOUT_MAGIC = 0x66616e77; // 'fanw'
export const LAYOUT_VERSION = 6;

export const ENDPOINTS_MAX = 32;
export const LINKS_MAX = 256;
/** Most sockets of an endpoint: the one that listens and the pool of source ports. */
export const SOCKETS_MAX = 24;

/** How often a reader looks for a moment in which nobody writes. */
const READ_ATTEMPTS = 64;

const HEADER_BYTES = 256;
const ENDPOINT_BYTES = 128;
const LINK_BYTES = 128;
const ENDPOINTS_OFFSET = HEADER_BYTES;
const LINKS_OFFSET = ENDPOINTS_OFFSET + ENDPOINTS_MAX * ENDPOINT_BYTES;
export const COUNTERS_OFFSET = LINKS_OFFSET + LINKS_MAX * LINK_BYTES;
const COUNTERS_PER_COLUMN = 192;
const CLAIMS_OFFSET = COUNTERS_OFFSET + LINKS_MAX * COUNTERS_PER_COLUMN * 8;
const PATHS_OFFSET = CLAIMS_OFFSET + 2 * MAC_RING_BYTES;
const EVENTS_OFFSET = PATHS_OFFSET + PATH_ROWS_BYTES;
/** Size of the whole segment, bytes; pages that are never touched cost nothing. */
export const LAYOUT_BYTES = EVENTS_OFFSET + RING_BYTES;

// Header words, offsets in bytes.
const MAGIC = 0;
const VERSION = 4;
const GENERATION = 8;
const LINK_COUNT = 12;
const ENDPOINT_COUNT = 16;
const BUSY_POLL_US = 24;
const QUEUES = 28;
// Written by the data process only.
const WORKER_STATE = 64;
const WORKER_ERRNO = 68;
const WORKER_ERROR_SITE = 72;
const WORKER_HEARTBEAT = 80;
const WORKER_ERROR_COUNT = 88;
const WORKER_BEAT_AT_MS = 104;

export const EndpointKind = { Udp: 1, Ipip: 2 } as const;
export const LinkEncap = { Vxlan: 1, Ipip: 2, Fou: 3 } as const;

/** Offload bits of a link or endpoint. */
export const Offload = { VnetHeader: 1, Tso: 2, Uso: 4, Segment: 8, Gro: 16 } as const;

/** A set of underlay sockets on one local address. File descriptors are the data process's own. */
export type EndpointRecord = {
  kind: number;
  localAddress: number;
  localPort: number;
  offloads: number;
  /** Descriptors: the first listens, and sends only where there are no others. */
  sockets: readonly number[];
};

/** One overlay link as the data process sees it. Addresses are host-order u32, sizes bytes. */
export type LinkRecord = {
  id: number;
  encap: number;
  deviceFd: number;
  offloads: number;
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
} & Partial<NetworkWords>;

const LINK_WORDS = [
  'id',
  'encap',
  'deviceFd',
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
] as const satisfies readonly (keyof LinkRecord)[];

/** All that control publishes, in one step. */
export type Tables = {
  endpoints: readonly EndpointRecord[];
  links: readonly LinkRecord[];
};

/** An idle loop still beats this often, ms, so that control can tell idle from stuck. */
export const IDLE_BEAT_MS = 1000;

/** Typed access to a mapped segment; both sides use it. */
export class Layout {
  readonly #view: DataView;
  readonly #words: Int32Array;
  readonly #buffer: ArrayBuffer;
  /** Whose turn it is to move packets. */
  readonly turn: Turn;
  /** Data tells: MACs of our own ports that somebody claims from outside. */
  readonly claims: MacRing;
  /** Control tells: MACs that are not at our own ports any more. */
  readonly forgotten: MacRing;

  constructor(buffer: ArrayBuffer) {
    this.#buffer = buffer;
    this.claims = new MacRing(buffer, CLAIMS_OFFSET);
    this.forgotten = new MacRing(buffer, CLAIMS_OFFSET + MAC_RING_BYTES);
    this.#view = new DataView(buffer);
    this.#words = new Int32Array(buffer, 0, HEADER_BYTES / 4);
    this.turn = new Turn(this.#words);
  }

  /** Control: stamps a fresh segment. */
  initialize(): void {
    this.#view.setUint32(MAGIC, LAYOUT_MAGIC, true);
    this.#view.setUint32(VERSION, LAYOUT_VERSION, true);
  }

  /** Data: refuses a segment of another build. */
  isCompatible(): boolean {
    return (
      this.#view.getUint32(MAGIC, true) === LAYOUT_MAGIC &&
      this.#view.getUint32(VERSION, true) === LAYOUT_VERSION
    );
  }

  /** Control: replaces all records in one step, as readers see it. */
  publish({ endpoints, links }: Tables): void {
    if (endpoints.length > ENDPOINTS_MAX) throw new RangeError(`over ${ENDPOINTS_MAX} endpoints`);
    if (links.length > LINKS_MAX) throw new RangeError(`over ${LINKS_MAX} links`);
    // Atomics order the odd generation before, and the even one after, every plain store between.
    Atomics.add(this.#words, GENERATION / 4, 1);
    for (const [i, endpoint] of endpoints.entries()) this.#writeEndpoint(i, endpoint);
    for (const [i, link] of links.entries()) this.#writeLink(i, link);
    this.#view.setUint32(ENDPOINT_COUNT, endpoints.length, true);
    this.#view.setUint32(LINK_COUNT, links.length, true);
    Atomics.add(this.#words, GENERATION / 4, 1);
  }

  /** Data: the generation now; odd while control writes. */
  generation(): number {
    return Atomics.load(this.#words, GENERATION / 4);
  }

  /**
   * Data: a consistent copy of all records, or undefined when control was writing at each of
   * {@link READ_ATTEMPTS} looks. It may have been stopped or killed there, so that waiting has no
   * end; control rings once it has finished.
   */
  read(): (Tables & { generation: number }) | undefined {
    for (let attempt = 0; attempt < READ_ATTEMPTS; attempt++) {
      const tables = this.#readOnce();
      if (tables !== undefined) return tables;
    }
    return undefined;
  }

  #readOnce(): (Tables & { generation: number }) | undefined {
    const generation = this.generation();
    if (generation % 2 !== 0) return undefined;
    const endpointCount = Math.min(this.#view.getUint32(ENDPOINT_COUNT, true), ENDPOINTS_MAX);
    const linkCount = Math.min(this.#view.getUint32(LINK_COUNT, true), LINKS_MAX);
    const endpoints: EndpointRecord[] = [];
    for (let i = 0; i < endpointCount; i++) endpoints.push(this.#readEndpoint(i));
    const links: LinkRecord[] = [];
    for (let i = 0; i < linkCount; i++) links.push(this.#readLink(i));
    const tables = { endpoints, links, generation };
    return this.generation() === generation ? tables : undefined;
  }

  #writeEndpoint(index: number, endpoint: EndpointRecord): void {
    if (endpoint.sockets.length > SOCKETS_MAX) throw new RangeError(`over ${SOCKETS_MAX} sockets`);
    const at = ENDPOINTS_OFFSET + index * ENDPOINT_BYTES;
    this.#view.setUint32(at, endpoint.kind, true);
    this.#view.setUint32(at + 4, endpoint.localAddress >>> 0, true);
    this.#view.setUint32(at + 8, endpoint.localPort, true);
    this.#view.setUint32(at + 12, endpoint.offloads, true);
    this.#view.setUint32(at + 16, endpoint.sockets.length, true);
    for (const [i, fd] of endpoint.sockets.entries()) {
      this.#view.setInt32(at + 20 + i * 4, fd, true);
    }
  }

  #readEndpoint(index: number): EndpointRecord {
    const at = ENDPOINTS_OFFSET + index * ENDPOINT_BYTES;
    const socketCount = Math.min(this.#view.getUint32(at + 16, true), SOCKETS_MAX);
    const sockets: number[] = [];
    for (let i = 0; i < socketCount; i++) sockets.push(this.#view.getInt32(at + 20 + i * 4, true));
    return {
      kind: this.#view.getUint32(at, true),
      localAddress: this.#view.getUint32(at + 4, true),
      localPort: this.#view.getUint32(at + 8, true),
      offloads: this.#view.getUint32(at + 12, true),
      sockets,
    };
  }

  #writeLink(index: number, link: LinkRecord): void {
    const at = LINKS_OFFSET + index * LINK_BYTES;
    for (const [i, word] of LINK_WORDS.entries()) {
      this.#view.setUint32(at + i * 4, (link[word] ?? 0) >>> 0, true);
    }
  }

  #readLink(index: number): LinkRecord {
    const at = LINKS_OFFSET + index * LINK_BYTES;
    const word = (name: keyof LinkRecord): number =>
      this.#view.getUint32(at + LINK_WORDS.indexOf(name) * 4, true);
    return {
      id: word('id'),
      encap: word('encap'),
      deviceFd: word('deviceFd'),
      offloads: word('offloads'),
      endpoint: word('endpoint'),
      overlayAddress: word('overlayAddress'),
      overlayLength: word('overlayLength'),
      overlay6Word0: word('overlay6Word0'),
      overlay6Word1: word('overlay6Word1'),
      overlay6Word2: word('overlay6Word2'),
      overlay6Word3: word('overlay6Word3'),
      overlay6Length: word('overlay6Length'),
      vni6: word('vni6'),
      underlayAddress: word('underlayAddress'),
      underlayLength: word('underlayLength'),
      localAddress: word('localAddress'),
      vni: word('vni'),
      peerPort: word('peerPort'),
      innerMtu: word('innerMtu'),
      underlayMtu: word('underlayMtu'),
      gateway: word('gateway'),
      superBytesToHost: word('superBytesToHost'),
      superBytesToPorts: word('superBytesToPorts'),
      dscpUniform: word('dscpUniform'),
      kind: word('kind'),
      bum: word('bum'),
      guard: word('guard'),
      networkFlags: word('networkFlags'),
      floodsPerSecond: word('floodsPerSecond'),
    };
  }

  /** Link `id`'s counter column: 192 doubles, written only by the data process. */
  counters(id: number): Float64Array {
    if (id < 0 || id >= LINKS_MAX) throw new RangeError(`link ${id}`);
    return new Float64Array(
      this.#buffer,
      COUNTERS_OFFSET + id * COUNTERS_PER_COLUMN * 8,
      COUNTERS_PER_COLUMN,
    );
  }

  /** Data: tells what happens on layer-2 networks. */
  eventWriter(): RingWriter {
    return new RingWriter(this.#buffer, EVENTS_OFFSET);
  }

  /** Control: hears it. */
  eventReader(): RingReader {
    return new RingReader(this.#buffer, EVENTS_OFFSET);
  }

  /** What the data process knows of its peers' paths: one writer, the process. */
  paths(): DataView {
    return new DataView(this.#buffer, PATHS_OFFSET, PATH_ROWS_BYTES);
  }

  /** Microseconds to spin on an idle poll before sleeping; 0 = never spin. */
  get busyPollUs(): number {
    return this.#view.getUint32(BUSY_POLL_US, true);
  }

  set busyPollUs(value: number) {
    this.#view.setUint32(BUSY_POLL_US, value, true);
  }

  /** How many data processes share the links, this one included. */
  get queues(): number {
    return this.#view.getUint32(QUEUES, true);
  }

  set queues(value: number) {
    this.#view.setUint32(QUEUES, value, true);
  }

  /** Data: announces a new state of the worker. */
  setWorkerState(state: number): void {
    this.#view.setUint32(WORKER_STATE, state, true);
  }

  /** Data: one more round of the loop. `nowMs` is the kernel's monotonic clock, all processes' own. */
  beat(nowMs: number): void {
    const view = this.#view;
    view.setFloat64(WORKER_HEARTBEAT, view.getFloat64(WORKER_HEARTBEAT, true) + 1, true);
    view.setFloat64(WORKER_BEAT_AT_MS, nowMs, true);
  }

  /** When a data process last began a round, monotonic ms; 0 = none ever did. */
  get beatAtMs(): number {
    return this.#view.getFloat64(WORKER_BEAT_AT_MS, true);
  }

  /** Data: keeps the last failed call for `status`. */
  recordError(site: number, errnoValue: number): void {
    this.#view.setUint32(WORKER_ERRNO, errnoValue, true);
    this.#view.setUint32(WORKER_ERROR_SITE, site, true);
    this.#view.setFloat64(
      WORKER_ERROR_COUNT,
      this.#view.getFloat64(WORKER_ERROR_COUNT, true) + 1,
      true,
    );
  }

  workerStatus(): WorkerStatus {
    return {
      state: this.#view.getUint32(WORKER_STATE, true),
      heartbeat: this.#view.getFloat64(WORKER_HEARTBEAT, true),
      errno: this.#view.getUint32(WORKER_ERRNO, true),
      errorSite: this.#view.getUint32(WORKER_ERROR_SITE, true),
      errorCount: this.#view.getFloat64(WORKER_ERROR_COUNT, true),
    };
  }
}
