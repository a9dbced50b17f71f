/**
 * What the kernel believes of the ways to peers that carry less than their device promises. Its programs tell of it
 * when a packet was sent back, and ICMP messages when they come (path-reports.ts); it is asked for again while it
 * holds, and what ICMP made of it is doubted.
 * @module
 */

import { codeOf } from '../../../errors.ts';
import type { Netlink } from '../../../sys/netlink/netlink.ts';
import { Beat } from '../../../sys/process/beat.ts';
import { MtuSource, type PathRecord, Segmentation } from '../../../table/paths.ts';
import type { PathReports } from './path-reports.ts';

/** Peers that are remembered; the one that was told of longest ago gives way. */
const PEERS_MAX = 256;
/** Peers that are asked about at a time: an answer may take its time. */
const ASKS_MAX = 32;
const ASK_AGAIN_MS = 1000;
/** What was not answered is asked again after this, ms. */
const DOUBT_AGAIN_MS = 30_000;
/** What no route says (a device on the way out is smaller) is believed for so long after it was told, ms. */
const TOLD_MS = 60_000;

type Way = { record: PathRecord; toldMs: number; doubtedMs: number };

/** What ICMP said of a path. */
export type Judgement = 'believed' | 'refuted';

export type KernelPathsOptions = {
  netlink: Pick<Netlink, 'routeTo' | 'routeMatching'>;
  reports: () => Pick<PathReports, 'carries' | 'forget'>;
  /** What the device promises, bytes of outer packet. */
  underlayMtu: () => number;
  judged: (what: Judgement) => void;
};

export class KernelPaths {
  readonly #options: KernelPathsOptions;
  readonly #ways = new Map<number, Way>();
  #timer: Beat | undefined;
  #isAsking = false;
  #again = false;
  #isClosed = false;

  constructor(options: KernelPathsOptions) {
    this.#options = options;
  }

  /** Packets to `peer` (u32) are of at most `mtu` bytes, outside, from now on: one was sent back, or ICMP says so. */
  told(peer: number, mtu: number): void {
    if (mtu >= this.#options.underlayMtu()) return;
    const known = this.#ways.get(peer);
    this.#ways.delete(peer);
    for (const oldest of this.#ways.keys()) {
      if (this.#ways.size < PEERS_MAX) break;
      this.#ways.delete(oldest);
    }
    const isNews = known?.record.mtu !== mtu;
    const way = isNews || known === undefined ? newWay(peer, mtu) : known;
    way.toldMs = performance.now();
    this.#ways.set(peer, way);
    this.#timer ??= new Beat(ASK_AGAIN_MS, () => void this.look()).unref();
    if (isNews) void this.look();
  }

  /** Peers whose way is another one than their device promises. */
  records(): PathRecord[] {
    return [...this.#ways.values()].map(({ record }) => record);
  }

  /** Asks the kernel what it goes by now; once more where it was called meanwhile. */
  async look(): Promise<void> {
    this.#again = true;
    if (this.#isAsking) return;
    this.#isAsking = true;
    try {
      while (this.#again) {
        this.#again = false;
        const ways = [...this.#ways];
        for (let at = 0; at < ways.length; at += ASKS_MAX) {
          const some = ways.slice(at, at + ASKS_MAX);
          await Promise.all(some.map(([peer, way]) => this.#ask(peer, way)));
        }
      }
    } finally {
      this.#isAsking = false;
    }
    if (this.#ways.size === 0) this.#rest();
  }

  async #ask(peer: number, way: Way): Promise<void> {
    const { netlink } = this.#options;
    const { record } = way;
    try {
      const { mtu, oif } = await netlink.routeTo(peer);
      const configured = (await netlink.routeMatching(peer, oif))?.mtu ?? 0;
      if (mtu !== 0 && mtu !== record.mtu) {
        record.mtu = mtu;
        record.mtuSinceMs = Date.now();
      }
      if (mtu !== 0 && mtu !== configured) {
        record.mtuSource = MtuSource.Icmp;
        await this.#doubt(peer, way);
      } else {
        record.mtuSource = mtu === 0 ? MtuSource.Send : MtuSource.Route;
        if (mtu === 0 && performance.now() - way.toldMs > TOLD_MS) this.#forget(peer, way);
      }
    } catch (error) {
      // There is no way at all just now: nothing is known of it.
      if (['ENETUNREACH', 'EHOSTUNREACH', 'EACCES', 'EINVAL'].includes(codeOf(error))) {
        this.#forget(peer, way);
      } else if (codeOf(error) !== 'ECLOSED') throw error;
    }
  }

  /** The way may carry all the same: then whoever said that it does not is not believed. */
  async #doubt(peer: number, way: Way): Promise<void> {
    const { reports, underlayMtu, judged } = this.#options;
    if (performance.now() - way.doubtedMs < DOUBT_AGAIN_MS) return;
    const isFirst = way.doubtedMs === Number.NEGATIVE_INFINITY;
    way.doubtedMs = performance.now();
    const carries = await reports().carries(peer, underlayMtu());
    if (this.#isClosed) return;
    if (!carries) {
      if (isFirst) judged('believed');
      return;
    }
    if (!reports().forget(peer, way.record.mtu)) {
      way.doubtedMs = Number.NEGATIVE_INFINITY;
      return;
    }
    judged('refuted');
    // It forgets for all of them; what is so is told again.
    for (const [one, { record }] of this.#ways) {
      if (record.mtuSource === MtuSource.Icmp) this.#ways.delete(one);
    }
  }

  /** Unless it was told of anew meanwhile. */
  #forget(peer: number, way: Way): void {
    if (this.#ways.get(peer) === way) this.#ways.delete(peer);
  }

  #rest(): void {
    this.#timer?.close();
    this.#timer = undefined;
  }

  /** Nothing is judged any more, not even what is being asked. */
  close(): void {
    this.#isClosed = true;
    this.#rest();
  }
}

function newWay(peer: number, mtu: number): Way {
  const record: PathRecord = {
    ...{ peer, mtu, mtuSource: MtuSource.Send, mtuSinceMs: Date.now() },
    ...{ segmentation: Segmentation.Unknown, segmentErrno: 0, refusedSinceMs: 0 },
    ...{ portUnreachable: 0, portUnreachableAtMs: 0, largeAtMs: 0, usedAtMs: 0 },
  };
  return { record, toldMs: 0, doubtedMs: Number.NEGATIVE_INFINITY };
}
