/**
 * What the programs of a fan are made from, and the maps that they share with control.
 * @module
 */
import type { Prefix } from '../net/prefix.ts';
import { COUNTERS_PER_LINK } from '../table/counters.ts';

/** One fan over an IPv4 underlay; addresses are u32 in host order, sizes bytes. */
export type FanPath = {
  overlay: Prefix;
  underlay: Prefix;
  /** Our underlay address. */
  local: number;
  vni: number;
  /** UDP destination port: a datagram of this tunnel inside of it is nobody's. */
  port: number;
  innerMtu: number;
  dscp: 'pipe' | 'uniform';
};

/** Kinds of map (linux/bpf.h). */
export const MapType = { PerCpuArray: 6, LruHash: 9, LpmTrie: 11 } as const;
/** Memory of an LPM trie comes with its entries. */
const NO_PREALLOC = 1;

/** A 48-bit MAC in network order and two zeros. */
export const MAC_KEY_BYTES = 8;
/** Prefix length as u32, then the address in network order. */
export const PREFIX_KEY_BYTES = 8;
/** A host's address, u32; a time of the kernel's monotonic clock in nanoseconds. */
const HOST_BYTES = 4;
const TIME_BYTES = 8;

/**
 * The maps of one link.
 *
 * - `counters`: one column for each processor, in the order of table/counters.ts;
 * - `entries`: who has an overlay prefix where arithmetic does not say it; written by control;
 * - `localMacs`: who sent from here, and when last; the one that was silent longest gives way;
 * - `claims`: which of those somebody claimed from outside; control takes them out.
 */
export const FAN_MAPS = {
  counters: {
    name: 'fanway_count1',
    type: MapType.PerCpuArray,
    keyBytes: 4,
    valueBytes: COUNTERS_PER_LINK * 8,
    entriesMax: 1,
    flags: 0,
  },
  entries: {
    name: 'fanway_entry1',
    type: MapType.LpmTrie,
    keyBytes: PREFIX_KEY_BYTES,
    valueBytes: HOST_BYTES,
    entriesMax: 262_144,
    flags: NO_PREALLOC,
  },
  localMacs: {
    name: 'fanway_macs1',
    type: MapType.LruHash,
    keyBytes: MAC_KEY_BYTES,
    valueBytes: TIME_BYTES,
    entriesMax: 4096,
    flags: 0,
  },
  claims: {
    name: 'fanway_claim1',
    type: MapType.LruHash,
    keyBytes: MAC_KEY_BYTES,
    valueBytes: TIME_BYTES,
    entriesMax: 256,
    flags: 0,
  },
} as const;

/** Descriptors of the maps of one link. */
export type FanMaps = { readonly [Name in keyof typeof FAN_MAPS]: number };
