/**
 * An IPv6 fan that comes to the bridge of an IPv4 one: not a link of its own, since a bridge learns each
 * container behind one port only, but the IPv6 side of the link that is there.
 * @module
 */
import { impossibleFan, kernelLacks } from '../../config/link/impossible.ts';
import type { Datapath } from '../../config/link/modes.ts';
import { formatUnderlays } from '../../config/link/underlays.ts';
import type { FanRequest } from '../../config/request.ts';
import { hasIpv4 } from '../../net/fan.ts';
import { formatPrefix } from '../../net/prefix.ts';
import { equals6, formatPrefix6, type Prefix6 } from '../../net/prefix6.ts';
import { sameHostPrefix } from '../../net/underlay-address.ts';
import type { Change } from '../change/change.ts';
import { borrowedAliasOf, type FanRecord, type Snapshot } from '../host/snapshot.ts';
import { isKernels, type LinkSpec } from '../store/link-spec.ts';
import { datapathOf, movedSpec, withDatapath } from './datapath/choose.ts';
import type { Plan } from './plan.ts';
import { changesOf6, checkSix, notesOfSix, sixOf } from './six.ts';
import type { Refusal, ResolvedUnderlay } from './underlay/resolve.ts';

/** What `up` would add to a fan that runs; `joined`: what that one is asked for from then on. */
export type BesidePlan =
  | {
      outcome: 'changes';
      spec: LinkSpec;
      changes: Change[];
      warnings: string[];
      joined: FanRequest;
    }
  | { outcome: 'same'; spec: LinkSpec; message: string }
  | { outcome: 'refused'; refusals: Refusal[] };

/** The IPv4 fan that a request for IPv6 alone names by its bridge. */
export function besideOf(request: FanRequest, fans: readonly FanRecord[]): FanRecord | undefined {
  if (request.overlay6 === undefined || hasIpv4(request.overlay)) return undefined;
  return fans.find(({ spec }) => spec.name === request.bridge && hasIpv4(spec.overlay));
}

/**
 * A request for the IPv6 side that a fan has already, and for another data path: that of the whole fan, as both
 * families have one. Undefined where the data path stays.
 */
export function besideMoved(request: FanRequest, running: FanRecord): FanRequest | undefined {
  const [{ overlay6, datapath }, { six }] = [request, running.spec];
  if (overlay6 === undefined || six === undefined || datapath === undefined) return undefined;
  const isElse = equals6(six.overlay, overlay6) && datapath !== datapathOf(running.request);
  return isElse ? { ...running.request, datapath } : undefined;
}

/** Why the IPv6 side cannot have the data path that is asked for it; undefined where it can. */
function checkDatapath(
  asked: FanRequest,
  spec: LinkSpec,
  { request, spec: running }: FanRecord,
  snapshot: Snapshot,
): Refusal | undefined {
  const { datapath } = asked;
  const by = isKernels(running) ? 'the kernel' : "fanway's own processes";
  const differs = (why: string, to: Datapath): Refusal => ({
    code: 'beside-differs',
    message: `the IPv4 fan on bridge ${running.name} is forwarded by ${by}, ${why}: have that go over first (fanway up ${formatPrefix(running.overlay)} ${formatUnderlays(request)} bridge ${running.name} --datapath ${to})`,
  });
  const lacks = isKernels(running) ? kernelLacks(asked) : '';
  if (lacks !== '') return differs(`and ${lacks}`, 'userspace');
  if (datapath === undefined) return undefined;
  const wanted = withDatapath({ ...request, datapath }, movedSpec(spec, {}), snapshot);
  if ('code' in wanted) return wanted;
  if (wanted.datapath === running.datapath) return undefined;
  const { message, ...refusal } = differs('and IPv6 beside it too', datapath);
  return { ...refusal, message: `${message}, or leave --datapath out` };
}

/** What keeps the two from sharing a link, in words. */
function differencesOf(request: FanRequest, { spec }: FanRecord, at: ResolvedUnderlay): string[] {
  const differences: string[] = [];
  if (at.local !== spec.local || !sameHostPrefix(at.underlay, spec.underlay))
    differences.push('underlay');
  if (request.encap !== spec.encap) differences.push(`encap ${spec.encap}`);
  if (request.port !== null && request.port !== spec.port) differences.push(`port ${spec.port}`);
  if (request.mtu !== null && request.mtu !== spec.innerMtu)
    differences.push(`mtu ${spec.innerMtu}`);
  if (request.dhcp) differences.push('dhcp (which is for IPv4)');
  return differences;
}

export function planBeside(
  request: FanRequest & { overlay6: Prefix6 },
  running: FanRecord,
  at: ResolvedUnderlay,
  snapshot: Snapshot,
): BesidePlan {
  const { overlay6 } = request;
  const { name, six: before } = running.spec;
  const text = formatPrefix6(overlay6);
  if (before !== undefined) {
    if (equals6(before.overlay, overlay6)) {
      const message = `${name}: already configured (${text} beside IPv4)`;
      return { outcome: 'same', spec: running.spec, message };
    }
    const there = formatPrefix6(before.overlay);
    return refused(
      'bridge-has-fan',
      `bridge ${name} has the IPv6 overlay ${there} already: take that down first, or use another bridge`,
    );
  }
  const differences = differencesOf(request, running, at);
  if (differences.length > 0) {
    return refused(
      'beside-differs',
      `${text} on bridge ${name} shares the link of the IPv4 fan there, which has another ${differences.join(', ')}: leave it out or make it the same, or use another bridge`,
    );
  }
  const six = sixOf(overlay6, at.underlay, at.local);
  const spec = { ...running.spec, six: { ...six, vni: request.vni ?? six.vni } };
  const otherPath = checkDatapath(request, spec, running, snapshot);
  const refusals = [
    ...impossibleFan(request),
    ...checkSix(request, spec, snapshot),
    ...(otherPath === undefined ? [] : [otherPath]),
  ];
  if (refusals.length > 0) return { outcome: 'refused', refusals };
  return {
    outcome: 'changes',
    spec,
    changes: changesOf6(spec, macOf(spec, snapshot)),
    warnings: notesOfSix(spec, snapshot),
    joined: { ...running.request, overlay6 },
  };
}

function refused(code: string, message: string): BesidePlan {
  return { outcome: 'refused', refusals: [{ code, message }] };
}

/** The MAC of a bridge of ours, a 48-bit number. */
function macOf({ name }: LinkSpec, { links }: Snapshot): number {
  return links.find((link) => link.name === name)?.address ?? 0;
}

/** The MAC of a bridge that somebody else made and this link uses, undefined where it is ours. */
export function borrowedMacOf({ name }: LinkSpec, { links }: Snapshot): number | undefined {
  const alias = borrowedAliasOf(name);
  return links.find((link) => link.name === name && link.alias === alias)?.address;
}

/** Counts what a plan makes among the fans that the next one looks at. */
export function noteFan(
  fans: FanRecord[],
  request: FanRequest,
  { spec, joined }: Extract<Plan, { outcome: 'changes' }>,
): void {
  if (joined === undefined) fans.push({ request, spec });
  else
    fans.splice(
      0,
      fans.length,
      ...fans.map((fan) => (fan.spec.name === spec.name ? { request: joined, spec } : fan)),
    );
}
