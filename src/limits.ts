/**
 * Limits that several rooms have to agree on, each with its reason. What only one room knows stays
 * in that room.
 * @module
 */

/**
 * Entries (prefixes, MACs and addresses that are told by gossip, BGP or otherwise), of all links and
 * members together: some 120 MB of control's memory when it is full. Half a million MACs is what
 * reflectors of a large fabric tell.
 */
export const ENTRIES_MAX = 524_288;
/** Those of one member: nobody takes more than a thirty-second of the room. */
export const ENTRIES_PER_OWNER_MAX = 16_384;
/** Data processes of a router, each with a queue of every device and sockets of its own. */
export const QUEUES_MAX = 8;
/** Fans in one configuration file; each has a device, a bridge and sockets. */
export const FANS_MAX = 64;
/** Links of a router, whoever asked for them: each has a device, and a row in the shared tables. */
export const LINKS_MAX = 256;
/** Rules of one layer-2 network, whoever gave them: each packet that opens a connection is held against them. */
export const RULES_PER_LINK_MAX = 256;
/** Layer-2 networks in one configuration file; with the fans they are fewer than links. */
export const NETWORKS_MAX = 128;
/** Floods of a layer-2 network a second, each way, unless control says otherwise. */
export const FLOODS_PER_SECOND = 1000;
/** Seeds of a host, as they are written. One that answers is enough; the rest is in case it is down. */
export const SEEDS_MAX = 32;
/** Addresses that are taken from the name of one seed. */
export const SEED_ADDRESSES_MAX = 8;
