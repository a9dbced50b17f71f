/**
 * Addresses that somebody here asks for and that nobody is known to have. The other hosts of the network
 * are asked whether it is with them (finder.ts is their side): that is how a workload is found that
 * never said a word.
 *
 * What does not exist must cost little, however many addresses a container invents:
 *
 * 1. An address is asked for at once, then not before 1, 2, 4 … 30 s have passed, and only while
 *    somebody here goes on asking.
 * 2. Each MAC that asks, each network, and the host as a whole have so many questions a second.
 * 3. Questions of one turn share datagrams, one for each host that takes part.
 * @module
 */
import { Bucket } from '../../../dataplane/ground/bucket.ts';
import type { UnderlayAddress } from '../../../net/underlay-address.ts';

/** Addresses that are remembered as asked for, of all networks. */
export const SOUGHT_MAX = 4096;
/** The wait after the first, second … question for one address, ms; the last one goes on. */
const WAITS_MS = [900, 2000, 4000, 8000, 16_000, 30_000] as const;
/** An address that nobody asked for is forgotten after so long, ms. */
const FORGET_MS = 60_000;
/** Addresses a second, and at once, that one MAC may have asked for. */
const PER_ASKER = 8;
const PER_ASKER_BURST = 16;
/** MACs whose share is kept; of more the one that asked longest ago begins anew. */
const ASKERS_MAX = 1024;
/** Addresses a second, and at once, of one network. */
const PER_NETWORK = 32;
const PER_NETWORK_BURST = 64;
/** Datagrams a second, and at once, of all: one question to a cluster of the largest size. */
const DATAGRAMS = 256;
const DATAGRAMS_BURST = 1024;

export type SeekerOptions = {
  /** How many other hosts take part in a network, as far as they can be asked. */
  members: (vni: number) => number;
  /** Asks them all. */
  ask: (vni: number, addresses: readonly UnderlayAddress[]) => void;
  /** Calls later, in the same turn's end. */
  soon: (work: () => void) => void;
};

type Sought = { link: string; address: UnderlayAddress; questions: number; askedMs: number };

/** What the search for silent workloads did, by what; counts since the network came up. */
export type SeekerCounts = {
  /** Questions for an address that went out. */
  asked: number;
  /** Addresses that turned up after they were asked for. */
  found: number;
  /** Questions that were not passed on: the same was asked a moment ago. */
  damped: number;
  /** Questions that were too many. */
  limited: number;
};

export function noSeeks(): SeekerCounts {
  return { asked: 0, found: 0, damped: 0, limited: 0 };
}

export class Seeker {
  readonly #options: SeekerOptions;
  /** By address and link, the one asked for last at the end. */
  readonly #sought = new Map<string, Sought>();
  readonly #askers = new Map<string, Bucket>();
  readonly #networks = new Map<string, { bucket: Bucket; counts: SeekerCounts }>();
  readonly #datagrams = new Bucket(DATAGRAMS, DATAGRAMS_BURST);
  readonly #waiting = new Map<number, UnderlayAddress[]>();

  constructor(options: SeekerOptions) {
    this.#options = options;
  }

  /** Addresses that are remembered. */
  get size(): number {
    return this.#sought.size;
  }

  counts(link: string): SeekerCounts {
    return this.#of(link).counts;
  }

  #of(link: string): { bucket: Bucket; counts: SeekerCounts } {
    let network = this.#networks.get(link);
    if (network === undefined) {
      network = { bucket: new Bucket(PER_NETWORK, PER_NETWORK_BURST), counts: noSeeks() };
      this.#networks.set(link, network);
    }
    return network;
  }

  /** The MAC `asker` asks for an address that nobody is known to have. */
  wanted(
    { name: link, vni }: { name: string; vni: number },
    asker: number,
    address: UnderlayAddress,
    nowMs: number,
  ): void {
    const { bucket, counts } = this.#of(link);
    const key = `${address} ${link}`;
    const known = this.#sought.get(key);
    const questions = known?.questions ?? 0;
    const waitMs = WAITS_MS[Math.min(questions, WAITS_MS.length) - 1] ?? 0;
    if (known !== undefined && nowMs - known.askedMs < waitMs) {
      counts.damped++;
      return;
    }
    const members = this.#options.members(vni);
    if (members === 0) return;
    const isFirst = !this.#waiting.has(vni);
    if (
      !this.#shareOf(`${asker} ${link}`).take(nowMs) ||
      !bucket.take(nowMs) ||
      (isFirst && !this.#datagrams.take(nowMs, members))
    ) {
      counts.limited++;
      return;
    }
    counts.asked++;
    this.#sought.delete(key);
    this.#sought.set(key, { link, address, questions: questions + 1, askedMs: nowMs });
    if (this.#sought.size > SOUGHT_MAX) dropFirst(this.#sought);
    this.#queue(vni, address);
  }

  #shareOf(key: string): Bucket {
    const bucket = this.#askers.get(key) ?? new Bucket(PER_ASKER, PER_ASKER_BURST);
    this.#askers.delete(key);
    this.#askers.set(key, bucket);
    if (this.#askers.size > ASKERS_MAX) dropFirst(this.#askers);
    return bucket;
  }

  #queue(vni: number, address: UnderlayAddress): void {
    const waiting = this.#waiting.get(vni);
    if (waiting !== undefined) {
      waiting.push(address);
      return;
    }
    const addresses = [address];
    this.#waiting.set(vni, addresses);
    this.#options.soon(() => {
      this.#waiting.delete(vni);
      this.#options.ask(vni, addresses);
    });
  }

  /** Somebody is known to have the address. */
  found(link: string, address: UnderlayAddress): void {
    if (this.#sought.delete(`${address} ${link}`)) this.#of(link).counts.found++;
  }

  /** Forgets what nobody asked for lately. */
  age(nowMs: number): void {
    for (const [key, { askedMs }] of this.#sought) {
      if (nowMs - askedMs < FORGET_MS) return;
      this.#sought.delete(key);
    }
  }

  /** A network is no more. */
  forget(link: string): void {
    this.#networks.delete(link);
    for (const [key, sought] of this.#sought) if (sought.link === link) this.#sought.delete(key);
  }
}

function dropFirst(map: Map<string, unknown>): void {
  const [first] = map.keys();
  if (first !== undefined) map.delete(first);
}
