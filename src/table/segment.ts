/**
 * The memory that holds the tables, one for all data processes: control writes entries, everybody
 * reads. This file knows where each table lies; words are little endian.
 *
 * ```
 * 0       header     magic, version, seed of the hashes
 * 64      lengths    for each link the prefix lengths in use: bit 31 = /32 … bit 0 = /1
 * 4160    peers      65,536 × 64 bytes
 * 4198464 prefixes   1,048,576 × 16 bytes
 * then    limits     8,192 × 16 bytes
 * then    fdb        1,048,576 × 16 bytes: layer-2 networks from here on
 * then    neighbours 1,048,576 × 16 bytes, and their rows of 32
 * then    vteps      131,072 × 16 bytes
 * then    flood      a block for each link
 * then    links      256 × 256 bytes
 * then    endpoints  32 × 64 bytes
 * then    policy     a block for each link (table/policy.ts)
 * then    labels     131,072 × 16 bytes
 * then    lengths6   for each link a bit for each length of IPv6 in use: bit 0 of the first word = /1
 * then    prefixes6  524,288 × 16 bytes, and their rows of 32
 * then    underlays  8,192 × 16 bytes
 * then    peer rates 8,192 × 16 bytes
 * then    seats      64 bytes, and 256 rows of 16 (shm/grouped-rows.ts)
 * then    homes      64 bytes, and 4,096 rows of 16 (shm/grouped-rows.ts)
 * ```
 *
 * Pages that are never touched cost nothing.
 * @module
 */
import { ENTRIES_MAX, LINKS_MAX, RULES_PER_LINK_MAX } from '../limits.ts';
import { groupedRowsBytes } from '../shm/grouped-rows.ts';
import { SLOT_BYTES } from '../shm/hash.ts';

/** What the memory is called in /proc. */
export const TABLES_NAME = 'fanway-tables';
const TABLES_MAGIC = 0x66616e74; // 'fant'
const TABLES_VERSION = 10;

const MAGIC = 0;
const VERSION = 4;
const SEED = 8;
const LENGTHS_OFFSET = 64;
const PEERS_OFFSET = LENGTHS_OFFSET + LINKS_MAX * 16;
/** Remote hosts that control may name; number 0 is nobody. */
export const PEERS_MAX = 65_536;
export const PEER_BYTES = 64;
const PREFIXES_OFFSET = PEERS_OFFSET + PEERS_MAX * PEER_BYTES;
/** Twice the entries: a search that finds nothing ends soon. */
const PREFIX_SLOTS = 2 * ENTRIES_MAX;
const LIMITS_OFFSET = PREFIXES_OFFSET + PREFIX_SLOTS * SLOT_BYTES;
const LIMIT_SLOTS = 8192;
const FDB_OFFSET = LIMITS_OFFSET + LIMIT_SLOTS * SLOT_BYTES;
const FDB_SLOTS = 2 * ENTRIES_MAX;
const NEIGHBOURS_OFFSET = FDB_OFFSET + FDB_SLOTS * SLOT_BYTES;
const NEIGHBOUR_SLOTS = 2 * ENTRIES_MAX;
const NEIGHBOUR_ROWS_OFFSET = NEIGHBOURS_OFFSET + NEIGHBOUR_SLOTS * SLOT_BYTES;
export const NEIGHBOUR_ROW_BYTES = 32;
/** Row 0 is none; the spare ones let a full table still change. */
export const NEIGHBOUR_ROWS = ENTRIES_MAX + 4096;
const VTEPS_OFFSET = NEIGHBOUR_ROWS_OFFSET + NEIGHBOUR_ROWS * NEIGHBOUR_ROW_BYTES;
/** Tunnel endpoints that control may admit, those of each link counted by itself. */
export const VTEPS_MAX = 65_536;
const VTEP_SLOTS = 2 * VTEPS_MAX;
const FLOOD_OFFSET = VTEPS_OFFSET + VTEP_SLOTS * SLOT_BYTES;
/** Peers that get a copy of each flood of a link. */
export const FLOOD_TARGETS_MAX = 1024;
export const FLOOD_BLOCK_BYTES = 32 + FLOOD_TARGETS_MAX * 4;
const LINKS_OFFSET = FLOOD_OFFSET + LINKS_MAX * FLOOD_BLOCK_BYTES;
/** One row of a link, bytes. */
export const LINK_ROW_BYTES = 256;
const ENDPOINTS_OFFSET = LINKS_OFFSET + LINKS_MAX * LINK_ROW_BYTES;
/** Sets of underlay sockets, each on an address and port of its own. */
export const ENDPOINTS_MAX = 32;
export const ENDPOINT_ROW_BYTES = 64;
const POLICY_OFFSET = ENDPOINTS_OFFSET + ENDPOINTS_MAX * ENDPOINT_ROW_BYTES;
/** Two banks of rows of 64 bytes, and what says which one counts. */
export const POLICY_BLOCK_BYTES = 64 + 2 * RULES_PER_LINK_MAX * 64;
const LABELS_OFFSET = POLICY_OFFSET + LINKS_MAX * POLICY_BLOCK_BYTES;
const LABEL_SLOTS = 131_072;
const LENGTHS6_OFFSET = LABELS_OFFSET + LABEL_SLOTS * SLOT_BYTES;
/** A bit for each length, 1 to 128. */
const LENGTHS6_BYTES = 16;
/** IPv6 prefixes of all links together. */
export const PREFIXES6_MAX = ENTRIES_MAX;
const PREFIXES6_OFFSET = LENGTHS6_OFFSET + LINKS_MAX * LENGTHS6_BYTES;
const PREFIX6_SLOTS = 2 * PREFIXES6_MAX;
const PREFIX6_ROWS_OFFSET = PREFIXES6_OFFSET + PREFIX6_SLOTS * SLOT_BYTES;
export const PREFIX6_ROW_BYTES = 32;
/** Row 0 is none; the spare ones let a full table still change. */
export const PREFIX6_ROWS = PREFIXES6_MAX + 4096;
const UNDERLAYS_OFFSET = PREFIX6_ROWS_OFFSET + PREFIX6_ROWS * PREFIX6_ROW_BYTES;
const UNDERLAY_SLOTS = 8192;
const PEER_RATES_OFFSET = UNDERLAYS_OFFSET + UNDERLAY_SLOTS * SLOT_BYTES;
const PEER_RATE_SLOTS = 8192;
const SEATS_OFFSET = PEER_RATES_OFFSET + PEER_RATE_SLOTS * SLOT_BYTES;
/** Peers of all links together that are at another address than their own. */
export const SEATS_MAX = 256;
const HOMES_OFFSET = SEATS_OFFSET + groupedRowsBytes(SEATS_MAX);
/** Addresses on further underlays that peers of all links together tell. */
export const HOMES_MAX = 4096;
/** Size of the whole segment, bytes. */
export const TABLES_BYTES = HOMES_OFFSET + groupedRowsBytes(HOMES_MAX);

/** A place in the segment. */
export type Region = { buffer: ArrayBuffer; offset: number; seed: number };

/** The segment as both sides see it. */
export class TableSegment {
  readonly buffer: ArrayBuffer;
  readonly #view: DataView;

  constructor(buffer: ArrayBuffer) {
    this.buffer = buffer;
    this.#view = new DataView(buffer);
  }

  /**
   * Control: stamps a fresh segment.
   * @param seed nobody outside should know it: who does could choose prefixes that meet in one place
   */
  initialize(seed: number): void {
    this.#view.setUint32(MAGIC, TABLES_MAGIC, true);
    this.#view.setUint32(VERSION, TABLES_VERSION, true);
    this.#view.setUint32(SEED, seed >>> 0, true);
  }

  /** Data: refuses a segment of another build. */
  isCompatible(): boolean {
    return (
      this.#view.getUint32(MAGIC, true) === TABLES_MAGIC &&
      this.#view.getUint32(VERSION, true) === TABLES_VERSION
    );
  }

  #at(offset: number): Region {
    return { buffer: this.buffer, offset, seed: this.#view.getUint32(SEED, true) };
  }

  /** One word for each link. */
  get lengths(): Int32Array {
    return new Int32Array(this.buffer, LENGTHS_OFFSET, LINKS_MAX);
  }

  get peers(): Region {
    return this.#at(PEERS_OFFSET);
  }

  get prefixes(): Region & { slots: number } {
    return { ...this.#at(PREFIXES_OFFSET), slots: PREFIX_SLOTS };
  }

  /** Four words for each link. */
  get lengths6(): Int32Array {
    return new Int32Array(this.buffer, LENGTHS6_OFFSET, (LINKS_MAX * LENGTHS6_BYTES) / 4);
  }

  get prefixes6(): Region & { slots: number } {
    return { ...this.#at(PREFIXES6_OFFSET), slots: PREFIX6_SLOTS };
  }

  get prefix6RowsOffset(): number {
    return PREFIX6_ROWS_OFFSET;
  }

  get limits(): Region & { slots: number } {
    return { ...this.#at(LIMITS_OFFSET), slots: LIMIT_SLOTS };
  }

  get underlays(): Region & { slots: number } {
    return { ...this.#at(UNDERLAYS_OFFSET), slots: UNDERLAY_SLOTS };
  }

  get peerRates(): Region & { slots: number } {
    return { ...this.#at(PEER_RATES_OFFSET), slots: PEER_RATE_SLOTS };
  }

  get seats(): Region {
    return this.#at(SEATS_OFFSET);
  }

  get homes(): Region {
    return this.#at(HOMES_OFFSET);
  }

  get fdb(): Region & { slots: number } {
    return { ...this.#at(FDB_OFFSET), slots: FDB_SLOTS };
  }

  get neighbours(): Region & { slots: number } {
    return { ...this.#at(NEIGHBOURS_OFFSET), slots: NEIGHBOUR_SLOTS };
  }

  get neighbourRowsOffset(): number {
    return NEIGHBOUR_ROWS_OFFSET;
  }

  get vteps(): Region & { slots: number } {
    return { ...this.#at(VTEPS_OFFSET), slots: VTEP_SLOTS };
  }

  get flood(): Region & { links: number } {
    return { ...this.#at(FLOOD_OFFSET), links: LINKS_MAX };
  }

  get links(): Region {
    return this.#at(LINKS_OFFSET);
  }

  get policy(): Region {
    return this.#at(POLICY_OFFSET);
  }

  get labels(): Region & { slots: number } {
    return { ...this.#at(LABELS_OFFSET), slots: LABEL_SLOTS };
  }

  get endpoints(): Region {
    return this.#at(ENDPOINTS_OFFSET);
  }
}
