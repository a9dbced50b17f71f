/**
 * An entry: one thing that is at one place on one link, and the claims of those who say where.
 * @module
 */

import { maskOf } from '../net/prefix.ts';
import {
  hostNetworkOf,
  type UnderlayAddress,
  type UnderlayPrefix,
} from '../net/underlay-address.ts';

/**
 * Who may say it, the most trusted first. What nobody claims is where the fan's arithmetic has it, so
 * the fan itself is no source here. `kept`: the data path had it when a control process took over, and
 * nobody has said yet whether it is still so.
 */
export const CLAIM_SOURCES = ['static', 'local', 'gossip', 'bgp', 'learned', 'kept'] as const;
export type ClaimSource = (typeof CLAIM_SOURCES)[number];

/**
 * What an entry is about. `link` is the name of the link or network. Addresses are of either family, MACs
 * u48; bits of `address` below `length` do not count.
 */
export type EntryId =
  | { link: string; kind: 'prefix'; address: UnderlayAddress; length: number }
  | { link: string; kind: 'mac'; mac: number }
  | { link: string; kind: 'mac+ip'; address: UnderlayAddress }
  /** `member`: underlay address of a host that takes floods; each host is an entry of its own. */
  | { link: string; kind: 'flood'; member: UnderlayAddress }
  /** `member`: underlay address of a host that takes part in a network; each is an entry of its own. */
  | { link: string; kind: 'vtep'; member: UnderlayAddress };

/** Moves of an entry are a u32 (RFC 7432 §7.7); whoever reaches it stays there, and the lower tunnel endpoint wins. */
export const MOVES_COUNT_MAX = 0xffff_ffff;

/** One source's word on an entry. */
export type Claim = {
  /** Underlay address of the host that has it. */
  peer: UnderlayAddress;
  /** Who announces it: a node id, a tunnel endpoint. The share of the table goes by it. */
  owner: string;
  /** Moves so far: gossip's rank, BGP's mobility sequence. The higher one is newer. */
  sequence: number;
  /** The MAC of a `mac+ip` entry, 0 in all others. */
  mac: number;
  /** It never moves (RFC 7432 §15.2); absent = no. */
  isSticky?: boolean;
  /** Of a `vtep`: it copies floods for others; absent = no. */
  isReplicator?: boolean;
  /** Told for somebody else: whoever hears it does not pass it on; absent = no. */
  isRelayed?: boolean;
  /** It routes: the network's gateway (RFC 7432 §10.1), or a router (RFC 9047); absent = no. */
  isRouter?: boolean;
  /** Of a `mac`: it may answer DHCP clients; absent = no. */
  isDhcpServer?: boolean;
  /** Of a `mac` or `flood`: the VNI that is sent there (RFC 8365 §5.1.3); absent = the link's own. */
  label?: number;
};

/** A claim that holds from now on; undefined takes back what the source said before. */
export type ClaimUpdate = { id: EntryId; claim: Claim | Best | undefined };

/** The claim that counts, with its source. */
export type Best = Claim & { source: ClaimSource };

/** What became of an entry. One of `before` and `after` is there at least. */
export type RibChange = { id: EntryId; before: Best | undefined; after: Best | undefined };

const LENGTH_FACTOR = 64;

/** A prefix as one number, or text for IPv6; bits below its length do not count. */
export function slotOfPrefix({ address, length }: UnderlayPrefix): number | string {
  if (typeof address === 'number')
    return ((address & maskOf(length)) >>> 0) * LENGTH_FACTOR + length;
  return `${hostNetworkOf({ address, length })}/${length}`;
}

/** What {@link slotOfPrefix} has put together. */
export function prefixOfSlot(slot: number | string): UnderlayPrefix {
  if (typeof slot === 'number') {
    return { address: Math.floor(slot / LENGTH_FACTOR), length: slot % LENGTH_FACTOR };
  }
  const [address = '', length = ''] = slot.split('/');
  return { address, length: Number(length) };
}

/** The part of an id within its link and kind: a number, or the digits of an IPv6 address. */
export function slotOfEntry(id: EntryId): number | string {
  switch (id.kind) {
    case 'prefix':
      return slotOfPrefix(id);
    case 'mac':
      return id.mac;
    case 'mac+ip':
      return id.address;
    case 'flood':
    case 'vtep':
      return id.member;
  }
}

/** The id of which {@link slotOfEntry} makes `slot`, in the table of a link's entries of one kind. */
export function idOfSlot(
  { link, kind }: Pick<EntryId, 'link' | 'kind'>,
  slot: number | string,
): EntryId {
  switch (kind) {
    case 'prefix':
      return { link, kind, ...prefixOfSlot(slot) };
    case 'mac':
      return { link, kind, mac: Number(slot) };
    case 'mac+ip':
      return { link, kind, address: slot };
    default:
      return { link, kind, member: slot };
  }
}

/** Names one entry, unique among all. */
export function keyOfEntry(id: EntryId): string {
  return `${slotOfEntry(id)} ${id.kind} ${id.link}`;
}

/** Whether the data path sees a difference between two claims. */
export function samePlace(a: Best | undefined, b: Best | undefined): boolean {
  return (
    a?.peer === b?.peer &&
    a?.mac === b?.mac &&
    a?.isSticky === b?.isSticky &&
    a?.isReplicator === b?.isReplicator &&
    a?.isRouter === b?.isRouter &&
    a?.isDhcpServer === b?.isDhcpServer &&
    a?.label === b?.label
  );
}
