/**
 * The one place that knows where each word of the memory between control and one data process lies.
 * What all data processes share, the tables of who is where, is another segment (table/segment.ts).
 *
 * ```
 * 0      header     one writer each: control (epoch), data (worker words)
 * 256    counters   256 columns × 192 doubles, written by the data process only
 * then   MAC rings  claims, written by the data process, and forgotten, written by control
 * then   paths      4096 × 72 bytes, written by the data process only (table/paths.ts)
 * then   events     what it tells of layer-2 networks, a ring (table/events.ts)
 * then   hits       256 × 256 doubles: how often each rule of a network decided, written by the process
 * ```
 *
 * Words are little endian (every machine that Node supports here is).
 * @module
 */
import { LINKS_MAX, RULES_PER_LINK_MAX } from '../limits.ts';
import { MAC_RING_BYTES, MacRing } from './mac-ring.ts';
import { PATH_ROWS_BYTES } from './path-rows.ts';
import { RING_BYTES, RingReader, RingWriter } from './ring.ts';
import { Turn } from './turn.ts';
import type { WorkerStatus } from './worker.ts';

export const LAYOUT_MAGIC = 0x66616e77; // 'fanw'
export const LAYOUT_VERSION = 9;

const HEADER_BYTES = 256;
export const COUNTERS_OFFSET = HEADER_BYTES;
const COUNTERS_PER_COLUMN = 192;
const CLAIMS_OFFSET = COUNTERS_OFFSET + LINKS_MAX * COUNTERS_PER_COLUMN * 8;
const PATHS_OFFSET = CLAIMS_OFFSET + 2 * MAC_RING_BYTES;
const EVENTS_OFFSET = PATHS_OFFSET + PATH_ROWS_BYTES;
const RULE_HITS_OFFSET = EVENTS_OFFSET + RING_BYTES;
const RULE_HITS = LINKS_MAX * RULES_PER_LINK_MAX;
/** Size of the whole segment, bytes; pages that are never touched cost nothing. */
export const LAYOUT_BYTES = RULE_HITS_OFFSET + RULE_HITS * 8;

// Header words, offsets in bytes.
const MAGIC = 0;
const VERSION = 4;
const BUSY_POLL_US = 24;
const QUEUES = 28;
// Written by the data process only.
const WORKER_STATE = 64;
const WORKER_ERRNO = 68;
const WORKER_ERROR_SITE = 72;
const WORKER_HEARTBEAT = 80;
const WORKER_ERROR_COUNT = 88;
const WORKER_BEAT_AT_MS = 104;
const CHANGE_SEQUENCE = 112;
const CHANGE_ERRNO = 116;
const WORKER_BEHIND = 120;

/** An idle loop still beats this often, ms, so that control can tell idle from stuck. */
export const IDLE_BEAT_MS = 1000;

/** Typed access to a mapped segment; both sides use it. */
export class Layout {
  readonly #view: DataView;
  readonly #words: Int32Array;
  readonly #buffer: ArrayBuffer;
  /** Columns that were asked for, by link: they are again and again. */
  readonly #columns: (Float64Array | undefined)[] = [];
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

  /** Link `id`'s counter column: 192 doubles, written only by the data process. */
  counters(id: number): Float64Array {
    if (id < 0 || id >= LINKS_MAX) throw new RangeError(`link ${id}`);
    const from = COUNTERS_OFFSET + id * COUNTERS_PER_COLUMN * 8;
    const column = this.#columns[id] ?? new Float64Array(this.#buffer, from, COUNTERS_PER_COLUMN);
    this.#columns[id] = column;
    return column;
  }

  /** How often the rules of networks decided, those of all links one after the other; live. */
  ruleHits(): Float64Array {
    return new Float64Array(this.#buffer, RULE_HITS_OFFSET, RULE_HITS);
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

  /** Data tells: more small packets come than it finds time for. Control decides who gets the processor. */
  get isBehind(): boolean {
    return this.#view.getUint32(WORKER_BEHIND, true) !== 0;
  }

  set isBehind(isBehind: boolean) {
    this.#view.setUint32(WORKER_BEHIND, isBehind ? 1 : 0, true);
  }

  /** Data: the change of that number is served, or was refused for a reason (errno; 0 = it is done). */
  answerChange(sequence: number, errno: number): void {
    Atomics.store(this.#words, CHANGE_ERRNO / 4, errno);
    // Last: whoever sees the number sees what came of it.
    Atomics.store(this.#words, CHANGE_SEQUENCE / 4, sequence);
  }

  /** Control: what came of change `sequence` (errno, 0 = done); undefined while there is no answer. */
  changeAnswer(sequence: number): number | undefined {
    if (Atomics.load(this.#words, CHANGE_SEQUENCE / 4) !== sequence) return undefined;
    return Atomics.load(this.#words, CHANGE_ERRNO / 4);
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
