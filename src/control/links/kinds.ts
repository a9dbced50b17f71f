/**
 * Kinds of link: what a router does with a link is the same for all, and here is in what they differ.
 * @module
 */

import type { NetworkRequest } from '../../config/network.ts';
import type { Family } from '../../net/underlay-address.ts';
import type { Change } from '../change/change.ts';
import type { Journal } from '../change/journal.ts';
import { depthOf, depthOfNetwork, type SnapshotDepth } from '../host/read-snapshot.ts';
import type { AnyRequest, Snapshot } from '../host/snapshot.ts';
import { type AnySpec, isFan, isNetwork, type NetworkSpec } from '../store/link-spec.ts';
import { type Obstacles, obstaclesOf, wireObstacles } from './obstacles.ts';
import { innerMtuOf, type Plan, placeholderSpec, planFan } from './plan.ts';
import { changesOf } from './plan-changes.ts';
import { networkChanges, networkMtuOf, placeholderNetwork, planNetwork } from './plan-network.ts';
import { resolvePlace } from './underlay/place.ts';
import {
  type Keep,
  type Refusal,
  type ResolvedUnderlay,
  resolveUnderlay,
} from './underlay/resolve.ts';

/** A kind of link, for one request of it. */
export type LinkKind = {
  /** `had`: the link as it was when it was up last. */
  plan(snapshot: Snapshot, keep?: Keep, had?: AnySpec): Plan<AnySpec>;
  /** What stands for it while it cannot be. */
  placeholder(): AnySpec;
  /** How deep a picture of the host a plan needs; undefined = as deep as any. Rules are for the router to add. */
  readonly depth: SnapshotDepth | undefined;
  /** Where this host is on its underlay, or why it is nowhere; `had` as above. */
  where(snapshot: Snapshot, keep: Keep, had: AnySpec): ResolvedUnderlay | Refusal;
  /** The inner MTU over an underlay of so many bytes and a family. */
  innerMtu(underlayMtu: number, family: Family): number;
  /** All changes that make it on the host as it is now. */
  changes(spec: AnySpec, snapshot: Snapshot): Change[];
  obstacles(spec: AnySpec, snapshot: Snapshot, journal: Journal): Obstacles;
};

function isNetworkRequest(request: AnyRequest): request is NetworkRequest {
  return 'network' in request;
}

function networkOf(spec: AnySpec | undefined): NetworkSpec | undefined {
  return spec !== undefined && isNetwork(spec) ? spec : undefined;
}

const NO_OBSTACLES: Obstacles = { obstacles: [], notes: [] };

/** The kind that a request is of. */
export function linkKind(request: AnyRequest): LinkKind {
  if (isNetworkRequest(request)) {
    return {
      plan: (snapshot, keep, had) => planNetwork(request, snapshot, keep, networkOf(had)),
      placeholder: () => placeholderNetwork(request),
      depth: depthOfNetwork(request),
      where: (snapshot, keep, had) => resolvePlace(request, snapshot, networkOf(had), keep),
      innerMtu: (underlayMtu, family) => networkMtuOf(request, underlayMtu, family),
      changes: (spec, snapshot) => (isNetwork(spec) ? networkChanges(spec, snapshot) : []),
      obstacles: (spec, snapshot, journal) => wireObstacles(spec, snapshot, journal),
    };
  }
  return {
    plan: (snapshot, keep) => planFan(request, snapshot, keep),
    placeholder: () => placeholderSpec(request),
    depth: depthOf(request, false),
    where: (snapshot, keep) => resolveUnderlay(request.underlay, snapshot, keep),
    innerMtu: (underlayMtu, family) => innerMtuOf(request, underlayMtu, family),
    changes: (spec, snapshot) => (isFan(spec) ? changesOf(request, spec, snapshot) : []),
    obstacles: (spec, snapshot, journal) =>
      isFan(spec) ? obstaclesOf(spec, snapshot, journal) : NO_OBSTACLES,
  };
}
