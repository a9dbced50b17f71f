/**
 * Which queue a packet belongs to: a hash of the fields of the inner header that the link goes by. A packet
 * without ports (ICMP, ESP, a piece of a larger one) has zeros there, so its flow is that of its addresses.
 * @module
 */
import { randomInt } from 'node:crypto';
import { FlowKey } from '../../net/flow-keys.ts';
import { absorb, finish, hasPorts } from '../../wire/flow-hash.ts';
import { getIpVersion, IPV4_DESTINATION_OFFSET, IPV4_SOURCE_OFFSET } from '../../wire/ipv4.ts';
import { IPV6_DESTINATION_OFFSET, IPV6_SOURCE_OFFSET } from '../../wire/ipv6.ts';

/** What of a packet is known when it is sorted; offsets are the arena's, lengths bytes. */
export type Sorted = {
  frame: number;
  l3: number;
  headerBytes: number;
  totalBytes: number;
  protocol: number;
  isFragment: boolean;
  /** TOS byte or traffic class. */
  tos: number;
};

/** A secret to hash flows with, so that nobody can choose whom a packet shares its queue with. */
export function flowSeed(): number {
  return randomInt(0x1_0000_0000) | 0;
}

function absorbAddress(view: DataView, at: number, bytes: 4 | 16, state: number): number {
  let mixed = state;
  for (let word = 0; word < bytes; word += 4) mixed = absorb(mixed, view.getUint32(at + word));
  return mixed;
}

/**
 * Hash (u32) of a checked inner packet.
 * @param keys bits of {@link FlowKey}
 * @param seed secret, so that nobody from outside can fill the queue of another
 */
export function flowKeyHash(view: DataView, of: Sorted, keys: number, seed: number): number {
  const { l3 } = of;
  const isSix = getIpVersion(view, l3) === 6;
  const bytes = isSix ? 16 : 4;
  let state = seed;
  if ((keys & FlowKey.Source) !== 0) {
    state = absorbAddress(
      view,
      l3 + (isSix ? IPV6_SOURCE_OFFSET : IPV4_SOURCE_OFFSET),
      bytes,
      state,
    );
  }
  if ((keys & FlowKey.Destination) !== 0) {
    const at = l3 + (isSix ? IPV6_DESTINATION_OFFSET : IPV4_DESTINATION_OFFSET);
    state = absorbAddress(view, at, bytes, state);
  }
  if ((keys & FlowKey.Protocol) !== 0) state = absorb(state, of.protocol);
  const l4 = l3 + of.headerBytes;
  const isReadable = !of.isFragment && hasPorts(of.protocol) && of.totalBytes - of.headerBytes >= 4;
  const ports = isReadable ? view.getUint32(l4) : 0;
  if ((keys & FlowKey.SourcePort) !== 0) state = absorb(state, ports >>> 16);
  if ((keys & FlowKey.DestinationPort) !== 0) state = absorb(state, ports & 0xffff);
  return finish(state);
}
