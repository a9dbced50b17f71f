/** Whether there is anything to measure. @module */
import { spawn } from 'node:child_process';
import { FanwayError } from '../errors.ts';
import { formatIpv4 } from '../net/ipv4.ts';
import { type Place, runEcho } from '../traffic/run.ts';
import { deviceOf, type Pair } from './pair.ts';
import type { Way } from './protocol.ts';

export const ECHO_TIMEOUT_MS = 1000;

/** This process's own namespace. */
export const here: Place = { spawn: (command, args, options) => spawn(command, args, options) };

/**
 * A tunnel that carries nothing is told at once, and not after a row of timeouts.
 * @throws FanwayError `tunnel-silent`
 */
export async function checkReach(pair: Pair): Promise<void> {
  const answered = async (way: Way) => {
    const count = { count: 3, interval: 20, timeout: ECHO_TIMEOUT_MS, ...deviceOf(pair, way) };
    const { targets } = await runEcho(here, [formatIpv4(pair.far[way])], count);
    return (targets[0]?.received ?? 0) > 0;
  };
  const underlay = await answered('underlay');
  if (!(await answered('tunnel')) && underlay) {
    const { tunnel } = pair.far;
    throw new FanwayError(
      'tunnel-silent',
      `${formatIpv4(pair.far.underlay)} answers echo requests, but nothing comes back through the tunnel from ${formatIpv4(tunnel)}: compare fanway status on both hosts (encapsulation, port, VNI), see fanway counters, and whether a firewall lets the tunnel in`,
    );
  }
}
