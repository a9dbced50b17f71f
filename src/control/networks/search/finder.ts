/**
 * Addresses that another host of a network asks for: looked for behind the ports of our own bridge, by a
 * question that the workload with that address answers. The data path hears the answer like any other
 * word of a workload, and what is announced of it is what the other host waits for; nothing else is
 * answered, so that who asks in vain learns nothing.
 *
 * Each host that asks has a share, and all that is asked of a bridge has an end: a question is a frame
 * to each port.
 * @module
 */
import { Bucket } from '../../../dataplane/ground/bucket.ts';
import type { UnderlayAddress } from '../../../net/underlay-address.ts';
import { searchFor } from './questions.ts';

/** Addresses a second, and at once, that one host may ask for. */
const PER_HOST = 64;
const PER_HOST_BURST = 128;
/** Hosts whose share is kept; of more the one that asked longest ago begins anew. */
const HOSTS_MAX = 1024;
/** Frames a second, and at once, to ports of one bridge. */
const FRAMES = 1000;
const FRAMES_BURST = 2000;
/** Whoever asks, an address is not looked for again within this, ms. */
const AGAIN_MS = 800;
/** Addresses that were looked for lately. */
const LATELY_MAX = 1024;

/** One network as it is searched. */
export type FinderNetwork = {
  name: string;
  /** Whether somebody is known to have an address: then it is announced already. */
  isKnown: (address: UnderlayAddress) => boolean;
  /** Our host itself has it, on the bridge: it is announced from now on. */
  isOwn: (address: UnderlayAddress) => Promise<boolean>;
  /** ifindexes of the bridge's ports, our own device left out. */
  ports: () => Promise<readonly number[]>;
  send: (port: number, frame: Uint8Array) => void;
};

/** What was done for other hosts. */
export type FinderCounts = {
  /** Addresses that were looked for on our bridge. */
  looked: number;
  /** Questions of others that were too many, or of hosts that do not take part. */
  refused: number;
};

type Bridge = { frames: Bucket; counts: FinderCounts; lately: Map<UnderlayAddress, number> };

export class Finder {
  readonly #hosts = new Map<string, Bucket>();
  readonly #bridges = new Map<string, Bridge>();

  counts(link: string): FinderCounts {
    return this.#of(link).counts;
  }

  #of(link: string): Bridge {
    let bridge = this.#bridges.get(link);
    if (bridge === undefined) {
      bridge = {
        frames: new Bucket(FRAMES, FRAMES_BURST),
        counts: { looked: 0, refused: 0 },
        lately: new Map(),
      };
      this.#bridges.set(link, bridge);
    }
    return bridge;
  }

  /** The host `from` asks for these addresses. */
  async asked(
    network: FinderNetwork,
    from: string,
    addresses: readonly UnderlayAddress[],
    nowMs: number,
  ): Promise<void> {
    const bridge = this.#of(network.name);
    const share = this.#shareOf(from);
    const wanted = addresses.filter((address) => {
      if (network.isKnown(address) || isLately(bridge, address, nowMs)) return false;
      if (share.take(nowMs)) return true;
      bridge.counts.refused++;
      return false;
    });
    if (wanted.length === 0) return;
    const ports = await network.ports();
    for (const address of wanted) {
      if (await network.isOwn(address)) continue;
      if (!bridge.frames.take(nowMs, Math.min(ports.length, FRAMES_BURST))) {
        bridge.counts.refused++;
        continue;
      }
      bridge.counts.looked++;
      note(bridge, address, nowMs);
      const frame = searchFor(address);
      for (const port of ports) network.send(port, frame);
    }
  }

  #shareOf(host: string): Bucket {
    const bucket = this.#hosts.get(host) ?? new Bucket(PER_HOST, PER_HOST_BURST);
    this.#hosts.delete(host);
    this.#hosts.set(host, bucket);
    if (this.#hosts.size > HOSTS_MAX) {
      const [first] = this.#hosts.keys();
      if (first !== undefined) this.#hosts.delete(first);
    }
    return bucket;
  }

  /** A network is no more. */
  forget(link: string): void {
    this.#bridges.delete(link);
  }
}

function isLately({ lately }: Bridge, address: UnderlayAddress, nowMs: number): boolean {
  const atMs = lately.get(address);
  return atMs !== undefined && nowMs - atMs < AGAIN_MS;
}

function note({ lately }: Bridge, address: UnderlayAddress, nowMs: number): void {
  lately.delete(address);
  lately.set(address, nowMs);
  if (lately.size <= LATELY_MAX) return;
  const [first] = lately.keys();
  if (first !== undefined) lately.delete(first);
}
