/**
 * Containers that left for another host and kept their MAC. The data path refuses a frame from
 * outside that bears the MAC of a container here, and says so; whether that container is still here
 * the bridge knows: it forgets a MAC with its port. Then the data path hears that too.
 *
 * Asked only when somebody claims a MAC, so that nothing need be watched, and nothing be missed.
 * @module
 */

import { messageOf } from '../../errors.ts';
import type { Log } from '../../log.ts';
import { formatMac } from '../../net/mac.ts';
import { Beat } from '../../sys/process/beat.ts';
import type { RealHost } from '../host/real-host.ts';
import type { LinkSpec } from '../store/link-spec.ts';
import type { TunnelSet } from './tunnel-set.ts';

/** How often the data processes' mailbox is looked into, ms: a word of memory. */
const LOOK_MS = 250;
/** Claims that are looked into at a time; more are claimed again if they matter. */
const CLAIMS_MAX = 16;

export type MovedMacsOptions = {
  host: Pick<RealHost, 'bridgeHolds'>;
  tunnels: Pick<TunnelSet, 'takeClaims' | 'forgetMac'>;
  /** The links that are up. */
  specs: () => readonly LinkSpec[];
  log: Log;
};

export class MovedMacs {
  readonly #options: MovedMacsOptions;
  #beat: Beat | undefined;
  #busy = false;

  constructor(options: MovedMacsOptions) {
    this.#options = options;
  }

  start(): void {
    this.#beat ??= new Beat(LOOK_MS, () => void this.look()).unref();
  }

  stop(): void {
    this.#beat?.close();
    this.#beat = undefined;
  }

  /** Looks into what was claimed since the last time. Never throws. */
  async look(): Promise<void> {
    if (this.#busy) return;
    const { host, tunnels, specs, log } = this.#options;
    const claims = tunnels.takeClaims().slice(-CLAIMS_MAX);
    if (claims.length === 0) return;
    this.#busy = true;
    for (const claim of claims) {
      const spec = specs().find(({ name }) => name === claim.name);
      if (spec === undefined) continue;
      try {
        if (await host.bridgeHolds(spec.name, claim.mac, spec.device)) continue;
        tunnels.forgetMac(claim);
        log.info(spec.name, `${formatMac(claim.mac)} is on another host now`);
      } catch (error) {
        // It stays ours, and will be claimed again.
        log.warn(spec.name, `${formatMac(claim.mac)}: ${messageOf(error)}`);
      }
    }
    this.#busy = false;
  }
}
