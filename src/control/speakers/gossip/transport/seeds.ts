/**
 * Seeds are names as people wrote them. They are looked up again and again, because a name may
 * lead somewhere else tomorrow, and a name server that is silent now may speak later.
 * @module
 */
import { lookup } from 'node:dns/promises';
import { formatSeed, type Seed } from '../../../../config/gossip.ts';
import { messageOf } from '../../../../errors.ts';
import { SEED_ADDRESSES_MAX } from '../../../../limits.ts';
import type { Log } from '../../../../log.ts';
import { parseHostAddress, type UnderlayAddress } from '../../../../net/underlay-address.ts';
import type { Endpoint } from '../../../../wire/gossip/types.ts';
import type { SocketCounters } from './socket-counters.ts';

const AGAIN_MS = 30_000;
/** While a name gives nothing, it is asked again sooner. */
const AGAIN_FAILED_MS = 3000;

/** A seed that says nothing for so long is told in the log. */
export const SILENT_MS = 10_000;

export type SeedStatus = {
  seed: string;
  addresses: UnderlayAddress[];
  error: string;
  /** A member has been heard there, or it is this host itself. */
  answered: boolean;
};

export type SeedOptions = {
  /** Called whenever the endpoints are others than before. */
  changed: (endpoints: Endpoint[]) => void;
  counters: SocketCounters;
  log: Log;
  /** Whether a member that was heard is there, or this host is. */
  isKnown: (endpoint: Endpoint) => boolean;
  /** Why nothing may come from an address, '' when nobody can tell. */
  reasonFor: (address: UnderlayAddress) => string;
  /** All addresses of a name; the system's resolver by default. */
  resolve?: (host: string) => Promise<string[]>;
};

type Known = { addresses: UnderlayAddress[]; error: string };

async function resolveBySystem(host: string): Promise<string[]> {
  return (await lookup(host, { all: true })).map(({ address }) => address);
}

function keyOf({ address, port }: Endpoint): string {
  return `${address} ${port}`;
}

/** Why a seed may be silent, for the end of a sentence. Whoever lacks the key gets no answer. */
export function silenceText(reason: string): string {
  if (reason !== '') return `: ${reason}`;
  return ': is its port open to this host (UDP and TCP), and fanway joined there? If key or label differ, fanway status over there says so';
}

export class SeedResolver {
  readonly #options: SeedOptions;
  readonly #known = new Map<string, Known>();
  /** Endpoints of seeds that a member was heard from, as text. */
  readonly #heard = new Set<string>();
  /** By seed: since when it is asked, and whether its silence was told. */
  readonly #asked = new Map<string, { sinceMs: number; told: boolean }>();
  #endpoints: readonly Endpoint[] = [];
  #seeds: readonly Seed[] = [];
  #timer: NodeJS.Timeout | undefined;
  #running = false;
  #again = false;
  #closed = false;
  #last = '';

  constructor(options: SeedOptions) {
    this.#options = options;
  }

  /** Replaces the seeds, and looks the new ones up at once. */
  set(seeds: readonly Seed[]): void {
    this.#seeds = seeds;
    for (const host of [...this.#known.keys()]) {
      if (!seeds.some((seed) => seed.host === host)) this.#known.delete(host);
    }
    const texts = seeds.map(formatSeed);
    for (const text of [...this.#asked.keys()]) {
      if (!texts.includes(text)) this.#asked.delete(text);
    }
    this.#start();
  }

  #start(): void {
    clearTimeout(this.#timer);
    if (this.#closed) return;
    if (this.#running) {
      this.#again = true;
      return;
    }
    this.#running = true;
    void this.#round().then(() => {
      this.#running = false;
      if (this.#again) {
        this.#again = false;
        this.#start();
        return;
      }
      if (this.#closed || this.#seeds.length === 0) return;
      const failed = this.#seeds.some((seed) => this.#known.get(seed.host)?.error !== '');
      this.#timer = setTimeout(() => this.#start(), failed ? AGAIN_FAILED_MS : AGAIN_MS);
      this.#timer.unref();
    });
  }

  /** One name after the other: a resolver that hangs must not take all threads of the process. */
  async #round(): Promise<void> {
    const { counters, log, resolve = resolveBySystem } = this.#options;
    for (const host of new Set(this.#seeds.map((seed) => seed.host))) {
      const before = this.#known.get(host);
      counters.count('seeds.looked_up');
      try {
        const found = (await resolve(host))
          .filter((text) => !text.includes('%'))
          .map(parseHostAddress);
        if (found.length === 0) throw new Error('the name has no address');
        if (found.length > SEED_ADDRESSES_MAX) counters.count('overflow.seed_addresses');
        this.#known.set(host, { addresses: found.slice(0, SEED_ADDRESSES_MAX), error: '' });
      } catch (error) {
        counters.count('seeds.failed');
        const text = messageOf(error);
        if (before?.error !== text) log.warn('seeds', `${host}: ${text}`);
        // What it was before may still be right.
        this.#known.set(host, { addresses: before?.addresses ?? [], error: text });
      }
      if (this.#closed) return;
      this.#tell();
    }
  }

  #tell(): void {
    const endpoints = this.#seeds.flatMap(({ host, port }) =>
      (this.#known.get(host)?.addresses ?? []).map((address) => ({ address, port })),
    );
    const text = JSON.stringify(endpoints);
    if (text === this.#last) return;
    this.#last = text;
    this.#endpoints = endpoints;
    for (const known of [...this.#heard]) {
      if (!endpoints.some((endpoint) => keyOf(endpoint) === known)) this.#heard.delete(known);
    }
    this.#options.changed(endpoints);
  }

  /** Something of a member came from there. */
  heard(from: Endpoint): void {
    const isSeed = this.#endpoints.some(
      ({ address, port }) => address === from.address && port === from.port,
    );
    if (isSeed) this.#heard.add(keyOf(from));
  }

  /** Tells of seeds that have been silent for long, once each. To be called each second or so. */
  review(nowMs: number): void {
    const { log, reasonFor } = this.#options;
    for (const { seed, addresses, answered } of this.status()) {
      const asked = this.#asked.get(seed) ?? { sinceMs: nowMs, told: false };
      this.#asked.set(seed, asked);
      if (answered && asked.told) log.info('seeds', `${seed} answers now`);
      if (answered) asked.told = false;
      if (answered || asked.told || nowMs - asked.sinceMs < SILENT_MS) continue;
      asked.told = true;
      const reasons = addresses.map(reasonFor).filter((reason) => reason !== '');
      log.warn('seeds', `${seed}: no answer yet${silenceText(reasons[0] ?? '')}`);
    }
  }

  status(): SeedStatus[] {
    const { isKnown } = this.#options;
    return this.#seeds.map((seed) => {
      const known = this.#known.get(seed.host);
      const addresses = known?.addresses ?? [];
      const answered = addresses.some((address) => {
        const endpoint = { address, port: seed.port };
        return this.#heard.has(keyOf(endpoint)) || isKnown(endpoint);
      });
      const error = known?.error ?? 'not looked up yet';
      return { seed: formatSeed(seed), addresses, error, answered };
    });
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }
}
