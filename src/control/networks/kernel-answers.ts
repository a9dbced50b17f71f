/**
 * ARP for addresses of other hosts, answered by the kernel's bridge: some 25 µs where the data path, which
 * has to be woken, takes 90. The bridge is told on demand, so that it never has much to forget:
 *
 * 1. The first question for an address is answered by the data path, which says so; then the bridge is told.
 * 2. What the bridge answers does not reach the data path. So its questions are read here: they keep an
 *    address with the bridge, and say whose the asker's own address is.
 * 3. An address that nobody asked for lately is taken back. Then a station's own look whether its
 *    neighbour is still there, which Linux takes no sooner than 20 s after its question, finds the
 *    neighbour itself.
 * 4. An address that has another MAC now, or none, or whose MAC is here, is taken back at once. A MAC that
 *    moves between other hosts changes nothing here: where it is is the data path's to know.
 *
 * 5. An address that somebody wrote over, with another MAC or in another state, is taken back at once: the
 *    data path answers for it alone for a while.
 *
 * Whatever the bridge cannot answer, or was made to forget, reaches the data path as before, and is told
 * here again.
 * @module
 */
import { Bucket } from '../../dataplane/ground/bucket.ts';
import { codeOf, messageOf } from '../../errors.ts';
import type { Log } from '../../log.ts';
import { formatIpv4 } from '../../net/ipv4.ts';
import { formatMac } from '../../net/mac.ts';
import type { Best, EntryId, RibChange } from '../../rib/entry.ts';
import type { AnswersHost, ArpQuestions } from '../host/arp/answers.ts';
import type { LocalNetwork } from './local/local-network.ts';
import { holderOf } from './whose.ts';

/** Addresses that the bridge of one network answers for; of more the one asked for longest ago goes. */
export const ANSWERS_MAX = 256;
/** An address goes when it was not asked for so long, ms: less than 15 s of REACHABLE and 5 s of DELAY. */
export const LIFETIME_MS = 15_000;
/** Addresses a second, and at once, that the bridge is told of: three messages to the kernel each. */
const TOLD_PER_SECOND = 64;
const TOLD_BURST = 128;
/** How often the questions are read, ms, and how many at a time; the kernel drops what there is no room for. */
const LISTEN_MS = 50;
const QUESTIONS_MAX = 256;
/** Questions that the bridge was told of and did not answer are no fault for so long, ms. */
const SETTLE_MS = 500;
/** So often the bridge is told again; after that the address is left to the data path for a while, ms. */
const TRIES_MAX = 5;
const REFUSED_MS = 60_000;

/** One network, as far as it matters here. */
export type AnsweringNetwork = { name: string; bridge: number; device: number };

export type KernelAnswersOptions = {
  /** undefined where a bridge cannot be had to answer. */
  host: () => AnswersHost | undefined;
  log: Log;
  nowMs: () => number;
  /** What counts for an entry. */
  best: (id: EntryId) => Best | undefined;
  /** What is here of a network. */
  local: (link: string) => Pick<LocalNetwork, 'seen' | 'duplicate'> | undefined;
};

/** What was put right lately is told by audits for so long, ms, and so many of it. */
const RIGHTED_TOLD_MS = 3_600_000;
const RIGHTED_MAX = 16;

type Entry = { mac: number; askedMs: number; toldMs: number; tries: number };

type Running = AnsweringNetwork & {
  /** The one asked for last at the end. */
  entries: Map<number, Entry>;
  /** What the bridge has of us, as of the last message to the kernel: MACs by address. */
  given: Map<number, number>;
  /** What others wrote over and was put right, oldest first. */
  righted: { text: string; atMs: number }[];
  /** Addresses that are left to the data path, until when. */
  refused: Map<number, number>;
  told: Bucket;
  questions: ArpQuestions | undefined;
  answered: number;
  /** Why the bridge answers nothing, '' = it may. */
  reason: string;
  last: Promise<void>;
};

/** What is shown of a network. `answered`: questions since it came up. */
export type AnswersView = { addresses: number; answered: number; reason: string };

export class KernelAnswers {
  readonly #options: KernelAnswersOptions;
  readonly #networks = new Map<string, Running>();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: KernelAnswersOptions) {
    this.#options = options;
  }

  /** The bridge of a network may answer from now on. What a router before left there goes. */
  begin(network: AnsweringNetwork): void {
    const host = this.#options.host();
    if (host === undefined) return;
    const { bridge } = network;
    const running: Running = {
      ...network,
      ...{ entries: new Map(), given: new Map(), righted: [], refused: new Map() },
      told: new Bucket(TOLD_PER_SECOND, TOLD_BURST),
      ...{ questions: undefined, answered: 0, reason: '', last: Promise.resolve() },
    };
    this.#networks.set(network.name, running);
    this.#queue(running, async () => {
      for (const { address } of await host.list(bridge)) await host.remove(bridge, address);
    });
  }

  /** The network has another device from now on: what the bridge answers by it goes there. */
  deviceIs(name: string, device: number): void {
    const running = this.#networks.get(name);
    if (running !== undefined) running.device = device;
  }

  async #remove({ bridge, given }: Running, address: number): Promise<void> {
    await this.#options.host()?.remove(bridge, address);
    given.delete(address);
  }

  /** Messages to the kernel go one after the other, in the order of what is decided. */
  #queue(running: Running, work: () => Promise<void>): void {
    running.last = running.last.then(work).catch((error: unknown) => {
      // The bridge is gone, and everything with it.
      if (codeOf(error) === 'ENODEV') return;
      this.#options.log.warn(running.name, `answers of the bridge: ${messageOf(error)}`);
    });
  }

  /** The data path answered a question for an address: the bridge is to answer the next one. */
  answeredByUs(link: string, address: number): void {
    const running = this.#networks.get(link);
    if (running === undefined || running.reason !== '') return;
    const { entries, refused, told } = running;
    const nowMs = this.#options.nowMs();
    const known = entries.get(address);
    if (known !== undefined) {
      this.#isAsked(running, address, known, nowMs);
      if (nowMs - known.toldMs < SETTLE_MS) return;
      if (known.tries >= TRIES_MAX) return this.#refuse(running, address);
    }
    if ((refused.get(address) ?? 0) > nowMs || !told.take(nowMs)) return;
    const mac = this.#macElsewhere(link, address);
    if (mac === undefined || !this.#listen(running)) return;
    const tries = (known?.tries ?? 0) + 1;
    entries.set(address, { mac, askedMs: nowMs, toldMs: nowMs, tries });
    if (entries.size > ANSWERS_MAX) this.#takeFirst(running);
    this.#queue(running, () => this.#tell(running, address, mac));
  }

  /** The MAC (u48) at another host that has an address; undefined = nobody there has it. */
  #macElsewhere(link: string, address: number): number | undefined {
    const { best } = this.#options;
    const binding = best({ link, kind: 'mac+ip', address });
    if (binding === undefined || binding.source === 'local') return undefined;
    const at = best({ link, kind: 'mac', mac: binding.mac });
    return at === undefined || at.source === 'local' ? undefined : binding.mac;
  }

  /** A MAC here speaks for an address, as the data path would have told it. */
  #claimed(link: string, mac: number, address: number): void {
    const { best, local } = this.#options;
    const binding = best({ link, kind: 'mac+ip', address });
    if (binding === undefined || binding.mac === mac) {
      if (binding?.source !== 'local') local(link)?.seen(mac, address);
      return;
    }
    local(link)?.duplicate(mac, address, holderOf(best, link, address));
  }

  /** What others have changed since it was decided comes after this in the queue. */
  async #tell(running: Running, address: number, mac: number): Promise<void> {
    const { bridge, device, entries } = running;
    if (entries.get(address)?.mac !== mac) return;
    const isTold = await this.#options.host()?.add(bridge, device, address, mac);
    if (isTold === true) running.given.set(address, mac);
    if (isTold !== true && entries.get(address)?.mac === mac) this.#refuse(running, address);
  }

  /** The address is left to the data path for a while. */
  #refuse(running: Running, address: number): void {
    const { refused } = running;
    refused.delete(address);
    refused.set(address, this.#options.nowMs() + REFUSED_MS);
    const [first] = refused.keys();
    if (refused.size > ANSWERS_MAX && first !== undefined) refused.delete(first);
    this.#take(running, address);
  }

  #takeFirst(running: Running): void {
    const [first] = running.entries.keys();
    if (first !== undefined) this.#take(running, first);
  }

  #take(running: Running, address: number): void {
    if (!running.entries.delete(address)) return;
    this.#queue(running, async () => {
      // It may have been told anew meanwhile.
      if (running.entries.has(address)) return;
      await this.#remove(running, address);
    });
  }

  #isAsked(running: Running, address: number, entry: Entry, nowMs: number): void {
    entry.askedMs = nowMs;
    running.entries.delete(address);
    running.entries.set(address, entry);
  }

  /** Whether the questions of a network's bridge are heard: nothing may be answered unheard. */
  #listen(running: Running): boolean {
    if (running.questions !== undefined) return true;
    try {
      running.questions = this.#options.host()?.questions(running.bridge);
    } catch (error) {
      running.reason = `its questions cannot be heard: ${messageOf(error)}`;
      this.#options.log.warn(running.name, `ARP stays with the data path: ${running.reason}`);
    }
    if (running.questions === undefined) return false;
    this.#timer ??= setInterval(() => this.#hear(), LISTEN_MS);
    this.#timer.unref();
    return true;
  }

  #hear(): void {
    const nowMs = this.#options.nowMs();
    for (const running of this.#networks.values()) {
      const { questions, entries, name } = running;
      if (questions === undefined) continue;
      try {
        for (const { mac, sender, target } of questions.take(QUESTIONS_MAX)) {
          const entry = entries.get(target);
          // All others have reached the data path.
          if (entry === undefined) continue;
          running.answered++;
          this.#isAsked(running, target, entry, nowMs);
          if (sender !== 0) this.#claimed(name, mac, sender);
        }
      } catch (error) {
        this.#options.log.info(name, `questions to its bridge: ${messageOf(error)}`);
        this.#takeAll(running);
      }
    }
  }

  /** Forgets what nobody asked for lately. */
  age(): void {
    // What waited meanwhile counts.
    this.#hear();
    const nowMs = this.#options.nowMs();
    for (const running of this.#networks.values()) {
      for (const [address, { askedMs }] of running.entries) {
        if (nowMs - askedMs < LIFETIME_MS) break;
        this.#take(running, address);
      }
      if (running.entries.size === 0) this.#deafen(running);
    }
  }

  #deafen(running: Running): void {
    running.questions?.close();
    running.questions = undefined;
    for (const { questions } of this.#networks.values()) if (questions !== undefined) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** What counts has changed. */
  note(changes: readonly RibChange[]): void {
    for (const { id, after } of changes) {
      const running = this.#networks.get(id.link);
      if (running === undefined || running.entries.size === 0) continue;
      if (id.kind === 'mac+ip' && typeof id.address === 'number') {
        const mac = running.entries.get(id.address)?.mac;
        if (mac === undefined || (after?.mac === mac && after.source !== 'local')) continue;
        this.#take(running, id.address);
      } else if (id.kind === 'mac' && (after === undefined || after.source === 'local')) {
        for (const [address, { mac }] of running.entries) {
          if (mac === id.mac) this.#take(running, address);
        }
      }
    }
  }

  /** Whether the bridge of a network was told to answer for an address. */
  has(link: string, address: number): boolean {
    return this.#networks.get(link)?.entries.has(address) === true;
  }

  /** Addresses and MACs that a network's bridge was told, once it knows them. */
  async told(link: string): Promise<ReadonlyMap<number, number>> {
    const running = this.#networks.get(link);
    if (running === undefined) return new Map();
    await running.last;
    return new Map([...running.entries].map(([address, { mac }]) => [address, mac]));
  }

  /** What the bridge has is not what it was told: the address is the data path's until it is asked for again. */
  drop(link: string, address: number): void {
    const running = this.#networks.get(link);
    if (running === undefined) return;
    this.#options.log.info(link, `the bridge answers no more for ${formatIpv4(address)}`);
    running.entries.delete(address);
    this.#queue(running, () => this.#remove(running, address));
  }

  /** A neighbour of a bridge that bears our mark was written: is it what we wrote, once all that waits is done? */
  written(bridge: number, address: number): void {
    for (const running of this.#networks.values()) {
      if (running.bridge === bridge) this.#queue(running, () => this.#check(running, address));
    }
  }

  async #check(running: Running, address: number): Promise<void> {
    const { bridge, given, refused, righted, name } = running;
    const all = await this.#options.host()?.list(bridge);
    const has = all?.find((one) => one.address === address);
    if (has === undefined || (has.isAsWritten && has.mac === given.get(address))) return;
    const nowMs = this.#options.nowMs();
    // Somebody who writes it again and again is told of once a while, and put right each time.
    const isNews = (refused.get(address) ?? 0) <= nowMs;
    this.#refuse(running, address);
    await this.#remove(running, address);
    const text = `somebody wrote over the bridge's neighbour ${formatIpv4(address)}: it answers for ${formatMac(has.mac)}`;
    righted.push({ text, atMs: nowMs });
    if (righted.length > RIGHTED_MAX) righted.shift();
    if (isNews) {
      this.#options.log.warn(name, `${text}; taken out, the data path answers alone for a while`);
    }
  }

  /** What others wrote over lately and was put right at once, in words. */
  righted(link: string): string[] {
    const nowMs = this.#options.nowMs();
    const all = this.#networks.get(link)?.righted ?? [];
    return all
      .filter(({ atMs }) => nowMs - atMs < RIGHTED_TOLD_MS)
      .map(({ text, atMs }) => `${text}; put right ${Math.round((nowMs - atMs) / 1000)} s ago`);
  }

  /** undefined: the bridge of this network answers nothing by itself. */
  view(link: string): AnswersView | undefined {
    const running = this.#networks.get(link);
    if (running === undefined) return undefined;
    const { entries, answered, reason } = running;
    return { addresses: entries.size, answered, reason };
  }

  #takeAll(running: Running): void {
    for (const address of [...running.entries.keys()]) this.#take(running, address);
    this.#deafen(running);
  }

  /** A network runs no more. */
  forget(link: string): void {
    const running = this.#networks.get(link);
    if (running === undefined) return;
    this.#takeAll(running);
    this.#networks.delete(link);
  }

  /** The router ends: what bridges were told goes with the journal, or with the router that comes after. */
  close(): void {
    for (const running of this.#networks.values()) this.#deafen(running);
    this.#networks.clear();
  }
}
