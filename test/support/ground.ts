/**
 * A target as the ground for probes, and the judgement of one probe.
 * @module
 */
import type { Test } from 'tap';
import { PATIENCE } from './patience.ts';
import type { Ground, Probe } from './probes.ts';
import { CONTAINER_NUMBER, type Effect, type Encapsulation, type Target } from './target.ts';

const OVERHEAD_BYTES: Readonly<Record<Encapsulation, number>> = { vxlan: 50, fou: 28, ipip: 20 };
const PORTS: Readonly<Record<Encapsulation, number>> = { vxlan: 4789, fou: 5555, ipip: 0 };

/** A peer that is not there, in another slice. */
const OTHER_PEER = 0xac1e0219;
/** 203.0.113.9: documentation, in nobody's underlay. */
export const STRANGER = 0xcb007109;
/** How long a datagram may take to reach a counter, and how long we wait for the kernel's drops. */
const REACH_MS = 2000 * PATIENCE;
const KERNEL_MS = 12;

/** What probes need to know of a target. */
export function groundOf(target: Target, encap: Encapsulation): Ground {
  const { victim, attacker } = target;
  return {
    encap,
    victim: victim.address,
    victimMac: target.victimMac,
    attackerMac: target.attackerMac,
    peer: attacker.address,
    otherPeer: OTHER_PEER,
    stranger: STRANGER,
    inner: target.sliceOf(attacker.address) + CONTAINER_NUMBER,
    otherInner: target.sliceOf(OTHER_PEER) + CONTAINER_NUMBER,
    container: target.lab.container(0).address,
    containerMac: target.containerMac,
    slice: target.sliceOf(victim.address),
    port: PORTS[encap],
    vni: target.map.overlay.address >>> 8,
    innerMtu: 1500 - OVERHEAD_BYTES[encap],
  };
}

/** What is wrong with a probe's effect: '' when it met exactly the end that it should. */
export function judge(probe: Probe, effect: Effect): string {
  const faults: string[] = [];
  const expected: Record<string, number> = {};
  const [end = '', kernelCounter] = probe.end.split(':');
  if (end !== 'kernel') {
    expected['ingress.received'] = 1;
    expected[end === 'delivered' ? 'ingress.delivered' : `ingress.drop.${end}`] = 1;
  }
  const wanted = JSON.stringify(Object.entries(expected).sort());
  const seen = JSON.stringify(Object.entries(effect.counters).sort());
  if (seen !== wanted) faults.push(`counters ${seen}, not ${wanted}`);
  if (kernelCounter !== undefined && (effect.kernel[kernelCounter] ?? 0) < 1) {
    faults.push(`${kernelCounter} did not move: ${JSON.stringify(effect.kernel)}`);
  }
  if (end !== 'delivered' && effect.inside.length > 0) {
    faults.push(`came out of the tunnel: ${effect.inside.map((f) => f.toString('hex'))}`);
  }
  if (end === 'delivered' && effect.inside.length !== 1) {
    faults.push(`${effect.inside.length} frames came out of the tunnel`);
  }
  if (effect.answers.length > 0 && probe.answered !== true) {
    faults.push(`answered: ${effect.answers.map((frame) => frame.toString('hex'))}`);
  }
  return faults.join('; ');
}

/** Shoots every probe and asserts that each met its end; then the books must balance. */
export async function runBattery(t: Test, target: Target, probes: readonly Probe[]): Promise<void> {
  t.equal(new Set(probes.map(({ name }) => name)).size, probes.length, 'names are unique');
  for (const probe of probes) {
    const isKernels = probe.end.startsWith('kernel');
    const effect = await target.shoot(probe.frames, isKernels ? KERNEL_MS : REACH_MS);
    t.equal(judge(probe, effect), '', `${probe.name}: ${probe.end}`);
  }
  t.equal(await target.settle(), 0, 'received = delivered + named drops');
  const late = target.underlay.arrived().map((frame) => frame.toString('hex'));
  t.strictSame(late, [], 'no late answer on the underlay');
}
