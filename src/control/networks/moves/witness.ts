/**
 * Answers other hosts that see a MAC which we have: whether it is still here. A port that is gone or without
 * carrier says no at once; else the workload is asked behind its port, and what the bridge hears of it
 * then, whatever it is, says yes.
 * @module
 */
import { Bucket } from '../../../dataplane/ground/bucket.ts';
import { linkLocalOf } from '../../../net/fan6.ts';
import { bytesOfIpv6 } from '../../../net/prefix6.ts';
import { hostOfBytes, type UnderlayAddress } from '../../../net/underlay-address.ts';
import type { NetworkHost } from '../../host/host.ts';
import type { LocalNetwork } from '../local/local-network.ts';
import { questionFor } from '../search/questions.ts';

/** When the bridge is looked at after the question, ms. */
const LOOKS_MS = [20, 40, 80, 160];
/** The kernel tells times in hundredths of a second. */
const TICK_MS = 10;
/** Addresses that a workload is asked for. */
const ADDRESSES_MAX = 4;
/** Questions a second, and at once, that are looked into; to more of them the answer is yes. */
const PER_SECOND = 64;
const BURST = 128;

export class Witness {
  readonly #host: () => NetworkHost;
  readonly #share = new Bucket(PER_SECOND, BURST);

  constructor(host: () => NetworkHost) {
    this.#host = host;
  }

  /** Whether a MAC is behind a port of ours, and says so. */
  async isHere(local: LocalNetwork, mac: number): Promise<boolean> {
    const host = this.#host();
    const station = local.stations.get(mac);
    const port = station?.port ?? (await host.bridgeHeard(local.bridge, mac))?.port;
    if (port === undefined || port === local.device) return false;
    if (port === local.bridge) return true;
    const link = await host.link(port);
    if (link?.master !== local.bridge || !link.up || !link.carrier) return false;
    // Whoever asks for more than can be looked into is told to wait.
    if (!this.#share.take(performance.now())) return true;
    const askedMs = performance.now();
    const addresses: UnderlayAddress[] = [...(station?.addresses.values() ?? [])];
    const known = addresses.slice(-ADDRESSES_MAX);
    for (const address of [...known, hostOfBytes(bytesOfIpv6(linkLocalOf(mac)))]) {
      host.sendFrame(port, questionFor(mac, address));
    }
    for (const ms of LOOKS_MS) {
      await new Promise((resolve) => setTimeout(resolve, ms));
      const heard = await host.bridgeHeard(local.bridge, mac);
      if (heard?.port !== port) continue;
      if (performance.now() - heard.quietMs >= askedMs - TICK_MS) return true;
    }
    return false;
  }
}
