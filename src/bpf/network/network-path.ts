/**
 * What the programs of a layer-2 network are made from, and the maps that they share with control.
 * @module
 */
import { ENTRIES_MAX } from '../../limits.ts';
import type { BumMode, GuardMode } from '../../shm/network.ts';
import { FLOOD_TARGETS_MAX, VTEPS_MAX } from '../../table/segment.ts';
import { FAN_MAPS, type FanPath, MAC_KEY_BYTES } from '../fan-path.ts';
import { MapType } from '../instructions.ts';

type ValueOf<T> = T[keyof T];

/**
 * One network over an IPv4 underlay; addresses are u32 in host order, sizes bytes. All of it is written into the
 * programs: what changes makes other ones.
 */
export type NetworkPath = Pick<FanPath, 'local' | 'vni' | 'port' | 'innerMtu' | 'dscp'> & {
  frames: true;
  bum: ValueOf<typeof BumMode>;
  guard: ValueOf<typeof GuardMode>;
  /** Floods of members go on to the other members from here. */
  isReplicator: boolean;
  /** Control wants to know which questions of ARP were answered. */
  tellsAnswers: boolean;
  /** Floods that are let pass, each way. */
  floodsPerSecond: number;
};

/** Memory comes with the entries. */
const NO_PREALLOC = 1;
const { counters, stations, bypass, events, told, limits } = FAN_MAPS;

/**
 * Where a MAC is: the host, u32 in host order, 0 = at our own bridge; the VNI that is sent there, u32, the
 * network's own unless that host has named another; the FdbFlags of table/fdb.ts, u32.
 */
export const FDB_PLACE = { host: 0, vni: 4, flags: 8 } as const;
const PLACE_BYTES = 16;
/** The MAC that an address has, 6 bytes in network order, then the NeighbourFlags of table/neighbours.ts, u16. */
export const BINDING = { mac: 0, flags: 6 } as const;
const BINDING_BYTES = 8;
/** The VtepFlags of table/vteps.ts, u32. */
const VTEP_BYTES = 4;
/**
 * Where floods go: how many targets there are, u32; at `services` one target for each Service of table/flood.ts;
 * at `targets` those that get a copy each. A target: host, u32 in host order, 0 = vacant, our own = here (services
 * alone); then the VNI that it gets, u32.
 */
export const FLOOD = { count: 0, services: 8, targets: 24, target: { bytes: 8, vni: 4 } } as const;

/**
 * The maps of one network, all written by control but for those that a fan has too (FAN_MAPS).
 *
 * - `fdb`: where each MAC is, by the MAC in network order and two zeros, {@link FDB_PLACE};
 * - `neighbours`, `neighbours6`: which MAC each address has, by the address in network order, {@link BINDING};
 * - `vteps`: hosts that may send to us, u32 in host order, with their flags;
 * - `floods`: {@link FLOOD}.
 */
export const NETWORK_MAPS = {
  counters,
  fdb: {
    name: 'fanway_fdb1',
    type: MapType.Hash,
    keyBytes: MAC_KEY_BYTES,
    valueBytes: PLACE_BYTES,
    entriesMax: ENTRIES_MAX,
    flags: NO_PREALLOC,
  },
  neighbours: {
    name: 'fanway_neigh4',
    type: MapType.Hash,
    keyBytes: 4,
    valueBytes: BINDING_BYTES,
    entriesMax: ENTRIES_MAX,
    flags: NO_PREALLOC,
  },
  neighbours6: {
    name: 'fanway_neigh6',
    type: MapType.Hash,
    keyBytes: 16,
    valueBytes: BINDING_BYTES,
    entriesMax: ENTRIES_MAX,
    flags: NO_PREALLOC,
  },
  vteps: {
    name: 'fanway_vtep1',
    type: MapType.Hash,
    keyBytes: 4,
    valueBytes: VTEP_BYTES,
    entriesMax: VTEPS_MAX,
    flags: NO_PREALLOC,
  },
  floods: {
    name: 'fanway_flood1',
    type: MapType.Array,
    keyBytes: 4,
    valueBytes: FLOOD.targets + FLOOD_TARGETS_MAX * FLOOD.target.bytes,
    entriesMax: 1,
    flags: 0,
  },
  ...{ stations, bypass, events, told, limits },
} as const;

/** Descriptors of the maps of one network. */
export type NetworkMaps = { readonly [Name in keyof typeof NETWORK_MAPS]: number };
