/**
 * The 16 combinations of ECN inside and outside as datagrams, and what has to come of each (RFC 6040 §4.2).
 * @module
 */
import type { Test } from 'tap';
import { ECN_CELLS, ECN_MASK } from '../../src/wire/ecn.ts';
import { judge } from './ground.ts';
import { PATIENCE } from './patience.ts';
import { carry, type Ground, innerUdp, type Probe } from './probes.ts';
import type { Target } from './target.ts';

/** How long a datagram may take to reach a counter, ms. */
const REACH_MS = 2000 * PATIENCE;
/** Another DSCP outside than inside, which stays as it is. */
const [OUTER_DSCP, INNER_DSCP] = [0x28, 0xb8];
const TOS_OFFSET = 15;

/** Shoots all of them. @param dropped where the one ends that must not come through */
export async function shootEcnCells(
  t: Test,
  target: Target,
  ground: Ground,
  dropped: Probe['end'],
): Promise<void> {
  for (const { name, inner, outer, result, drop } of ECN_CELLS) {
    const packet = innerUdp(ground, { tos: INNER_DSCP | inner });
    const frames = [carry(ground, packet, { tos: OUTER_DSCP | outer })];
    const probe: Probe = { name, end: drop ? dropped : 'delivered', frames };
    const effect = await target.shoot(frames, REACH_MS);
    // What is counted of ECN beside is the data process' alone.
    t.equal(judge(probe, effect), '', `${name}: ${probe.end}`);
    const [frame] = effect.inside;
    const tos = frame?.[TOS_OFFSET] ?? 0;
    t.equal(frame === undefined, drop, `${name}: ${drop ? 'nothing' : 'a frame'} comes out`);
    if (drop || frame === undefined) continue;
    t.equal(tos, INNER_DSCP | result, `${name}: ECN ${tos & ECN_MASK} inside`);
    const header = frame.subarray(14, 34);
    let sum = 0;
    for (let i = 0; i < header.length; i += 2) sum += header.readUInt16BE(i);
    t.equal((sum & 0xffff) + (sum >>> 16), 0xffff, `${name}: the header's checksum holds`);
  }
}
