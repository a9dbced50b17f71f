/**
 * Members as people see them.
 * @module
 */

import type { NodeId, Version } from '../wire/gossip/types.ts';
import type { MemberView, PeerRecord } from './base/api.ts';
import { endpointOf, type Member } from './members/members.ts';

/** Another node; ages as of `nowMs`. */
export function memberView(member: Member, nowMs: number): MemberView {
  const { id, state, version, record, path, lastHeardMs } = member;
  return {
    id,
    name: record?.name ?? '',
    state,
    endpoint: endpointOf(member),
    endpoints: record?.endpoints ?? [],
    encaps: record?.encaps ?? [],
    mtu: record?.mtu ?? 0,
    vnis: record?.vnis ?? [],
    fans: record?.fans ?? [],
    underlays: record?.underlays ?? [],
    version: record?.version ?? '',
    rttMs: path.rttMs,
    loss: path.loss,
    lastHeardMs: lastHeardMs === undefined ? undefined : nowMs - lastHeardMs,
    sinceMs: nowMs - member.sinceMs,
    epoch: version.epoch,
    sequence: version.sequence,
    isSelf: false,
  };
}

/** This node itself. */
export function selfView(
  id: NodeId,
  peer: PeerRecord,
  version: Version,
  left: boolean,
  sinceMs: number,
): MemberView {
  const { name, endpoints, encaps, mtu, vnis, fans, underlays = [] } = peer;
  return {
    id,
    name,
    state: left ? 'left' : 'alive',
    endpoint: endpoints[0],
    endpoints,
    encaps,
    mtu,
    vnis,
    fans,
    underlays,
    version: peer.version,
    rttMs: 0,
    loss: 0,
    lastHeardMs: 0,
    sinceMs,
    epoch: version.epoch,
    sequence: version.sequence,
    isSelf: true,
  };
}
