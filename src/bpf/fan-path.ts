/**
 * What the programs of a fan are made from, and the maps that they share with control.
 * @module
 */
import type { Prefix } from '../net/prefix.ts';
import type { Prefix6 } from '../net/prefix6.ts';
import { COUNTERS_PER_LINK } from '../table/counters.ts';
import type { KernelFunction } from './assembler.ts';
import { MapType } from './instructions.ts';
import { NEWS_MAPS } from './news.ts';

/**
 * The functions of the kernel by which programs say and hear the UDP ports of a packet of IP in UDP
 * (bpf_skb_set_fou_encap, bpf_skb_get_fou_encap; Linux 6.4).
 */
export type FouFunctions = { readonly set: KernelFunction; readonly get: KernelFunction };

/** One fan over an IPv4 underlay; addresses are u32 in host order, sizes bytes. */
export type FanPath = {
  /** `NO_OVERLAY` where there is no IPv4 inside. */
  overlay: Prefix;
  /** Absent where there is no IPv6 inside. */
  six?: { overlay: Prefix6; vni: number };
  underlay: Prefix;
  /** Our underlay address. */
  local: number;
  /** Whether frames are carried (VXLAN) or packets (IP in IP), which have no MACs, no ARP and no VNI. */
  frames: boolean;
  vni: number;
  /** UDP destination port, 0 where there is none: a datagram of this tunnel inside of it is nobody's. */
  port: number;
  /** Present where packets travel in UDP. */
  fou?: FouFunctions;
  innerMtu: number;
  dscp: 'pipe' | 'uniform';
};

/** Memory of an LPM trie comes with its entries. */
const NO_PREALLOC = 1;

/** A 48-bit MAC in network order and two zeros. */
export const MAC_KEY_BYTES = 8;
/** Prefix length as u32, then the address in network order. */
export const PREFIX_KEY_BYTES = 8;
/** Prefix length as u32, then the address in network order. */
export const PREFIX6_KEY_BYTES = 20;
const ADDRESS6_BYTES = 16;
/** A host's address, u32; a time of the kernel's monotonic clock in nanoseconds. */
const HOST_BYTES = 4;
const TIME_BYTES = 8;

/** Where a station is, {@link STATION} says at which byte what stands. */
const STATION_BYTES = 16;
/**
 * A station: when a frame of it last went through the bridge, u64 as above, and the ifindex of the port
 * by which it came, u32; 0 = it is the bridge's own, and never elsewhere.
 */
export const STATION = { bridgedNs: 0, port: 8 } as const;
/** Times in nanoseconds, u64, and an ifindex, u32, of {@link FAN_MAPS.bypass}. */
export const BYPASS = { untilNs: 0, againNs: 8, validNs: 16, device: 24 } as const;
const BYPASS_BYTES = 32;

/**
 * The maps of one link.
 *
 * - `counters`: one column for each processor, in the order of table/counters.ts;
 * - `entries`: who has an overlay prefix where arithmetic does not say it; written by control;
 * - `entries6`: the same for IPv6;
 * - `homes`: at which host a link-local address is that asked for somebody here (RFC 4861 §7.2.2); the one
 *   that asked longest ago gives way;
 * - `localMacs`: who sent from here, and when last; the one that was silent longest gives way;
 * - `stations`: behind which port each MAC is, as the bridge has learned it by the same frames;
 * - `bypass`: until when frames may pass by the bridge, after how long one of each station goes through it
 *   again, how long a station is believed to be where it was, and by which device of the underlay small packets
 *   may leave at once, 0 = none; written by control;
 * - those of {@link NEWS_MAPS}.
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
  entries6: {
    name: 'fanway_entry6',
    type: MapType.LpmTrie,
    keyBytes: PREFIX6_KEY_BYTES,
    valueBytes: HOST_BYTES,
    entriesMax: 262_144,
    flags: NO_PREALLOC,
  },
  homes: {
    name: 'fanway_homes1',
    type: MapType.LruHash,
    keyBytes: ADDRESS6_BYTES,
    valueBytes: HOST_BYTES,
    entriesMax: 4096,
    flags: 0,
  },
  localMacs: {
    name: 'fanway_macs1',
    type: MapType.LruHash,
    keyBytes: MAC_KEY_BYTES,
    valueBytes: TIME_BYTES,
    entriesMax: 4096,
    flags: 0,
  },
  stations: {
    name: 'fanway_stat1',
    type: MapType.Hash,
    keyBytes: MAC_KEY_BYTES,
    valueBytes: STATION_BYTES,
    entriesMax: 4096,
    flags: 0,
  },
  bypass: {
    name: 'fanway_pass2',
    type: MapType.Array,
    keyBytes: 4,
    valueBytes: BYPASS_BYTES,
    entriesMax: 1,
    flags: 0,
  },
  ...NEWS_MAPS,
} as const;

/** Descriptors of the maps of one link. */
export type FanMaps = { readonly [Name in keyof typeof FAN_MAPS]: number };
