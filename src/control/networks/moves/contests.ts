/**
 * MACs that show up here while another host has them. That is a move only if it is gone there: so the other
 * host is asked first (witness.ts on its side), and says so at once where its port is gone, or after a
 * question to the workload itself. Who does not answer is down, cut off or older than this: then it is
 * believed as before.
 *
 * While it is alive there, it is a conflict: the host that had it keeps it, both ends say so, and it is
 * asked for again as long as the MAC is seen here.
 * @module
 */
import type { Log } from '../../../log.ts';
import { formatMac } from '../../../net/mac.ts';
import { formatHostAddress, type UnderlayAddress } from '../../../net/underlay-address.ts';
import type { Best, EntryId } from '../../../rib/entry.ts';

/** How long the other host may take; it answers after three tenths of a second at the latest. */
const ANSWER_MS = 500;
/** A conflict is asked about again after this, and told for as long as it goes on and this, ms. */
const AGAIN_MS = 2000;
const TOLD_MS = 60_000;
/** MACs that are asked about at a time, and conflicts that are kept in mind. */
export const ASKED_MAX = 1024;

/** Whoever can ask another host. */
export type WitnessSpeaker = {
  /** False when nobody knows where it is heard. */
  askWitness(vni: number, owner: string, mac: number): boolean;
  testify(vni: number, owner: string, mac: number, isHere: boolean): void;
};

/** Two hosts that both have a MAC. */
export type Conflict = { mac: number; host: UnderlayAddress; atMs: number };

type Known = Conflict & {
  link: string;
  /** When it may be asked about again, and is looked at again. */
  askMs: number;
  lookMs: number;
};

type Asked = {
  promise: Promise<boolean>;
  settle: (isMove: boolean) => void;
  timer: NodeJS.Timeout;
  best: Best;
};

export type ContestsOptions = {
  best: (id: EntryId) => Best | undefined;
  log: Log;
  nowMs: () => number;
  /** Both ends tell what they found. */
  note: (link: string, mac: number, text: string) => void;
};

function keyOf(link: string, mac: number): string {
  return `${mac} ${link}`;
}

export class Contests {
  readonly #options: ContestsOptions;
  readonly #asked = new Map<string, Asked>();
  /** By link and MAC, the one heard of last at the end. */
  readonly #conflicts = new Map<string, Known>();
  speaker: WitnessSpeaker | undefined;

  constructor(options: ContestsOptions) {
    this.#options = options;
  }

  /** Conflicts of a network that go on, or did a minute ago. */
  of(link: string): Conflict[] {
    const since = this.#options.nowMs() - TOLD_MS;
    return [...this.#conflicts.values()].filter((one) => one.link === link && one.atMs >= since);
  }

  /**
   * Whether a MAC that is seen here has moved. undefined: nobody has to be asked. One question is under way
   * for each, whoever wants to know; while a conflict is fresh, and for more MACs than can be asked about, the
   * answer is no.
   */
  ask(link: string, vni: number, mac: number): Promise<boolean> | undefined {
    const { best: bestOf, nowMs } = this.#options;
    const best = bestOf({ link, kind: 'mac', mac });
    if (best?.source !== 'gossip' || best.isRelayed === true) return undefined;
    const key = keyOf(link, mac);
    const conflict = this.#conflicts.get(key);
    const under = this.#asked.get(key);
    if (under !== undefined) return under.promise;
    if (this.#asked.size >= ASKED_MAX || (conflict !== undefined && nowMs() < conflict.askMs)) {
      return Promise.resolve(false);
    }
    if (this.speaker?.askWitness(vni, best.owner, mac) !== true) return undefined;
    let resolve: (isMove: boolean) => void = () => undefined;
    const promise = new Promise<boolean>((settled) => {
      resolve = settled;
    });
    const settle = (isMove: boolean): void => {
      clearTimeout(timer);
      this.#asked.delete(key);
      if (isMove) this.#conflicts.delete(key);
      resolve(isMove);
    };
    const timer = setTimeout(() => settle(true), ANSWER_MS);
    this.#asked.set(key, { promise, settle, timer, best });
    return promise;
  }

  /** The member `from` says whether it still has a MAC. */
  answered(link: string, from: string, mac: number, isHere: boolean): void {
    const asked = this.#asked.get(keyOf(link, mac));
    if (asked === undefined || asked.best.owner !== from) return;
    if (isHere) this.conflict(link, mac, asked.best.peer);
    asked.settle(!isHere);
  }

  /** A MAC is here and there: told once, and kept in mind. */
  conflict(link: string, mac: number, host: UnderlayAddress): void {
    const { log, note, nowMs } = this.#options;
    const key = keyOf(link, mac);
    const atMs = nowMs();
    const before = this.#conflicts.get(key);
    if (before === undefined || atMs - before.atMs > TOLD_MS) {
      const text = `here and at ${formatHostAddress(host)}, and both answer`;
      log.warn(link, `${formatMac(mac)} is ${text}: it stays where it was first`);
      note(link, mac, text);
    }
    this.#conflicts.delete(key);
    const againMs = atMs + AGAIN_MS;
    this.#conflicts.set(key, { link, mac, host, atMs, askMs: againMs, lookMs: againMs });
    if (this.#conflicts.size <= ASKED_MAX) return;
    const [oldest] = this.#conflicts.keys();
    if (oldest !== undefined) this.#conflicts.delete(oldest);
  }

  /** Conflicts that are to be looked at again now, each once. */
  due(): { link: string; mac: number }[] {
    const now = this.#options.nowMs();
    const due = [...this.#conflicts.values()].filter(
      ({ lookMs, atMs }) => lookMs <= now && now - atMs < TOLD_MS,
    );
    for (const one of due) one.lookMs = now + AGAIN_MS;
    return due;
  }

  /** Whoever had a MAC has it no more. True when it was seen elsewhere too. */
  left(link: string, mac: number): boolean {
    const key = keyOf(link, mac);
    const wasContested = this.#conflicts.delete(key);
    this.#asked.get(key)?.settle(true);
    return wasContested;
  }

  close(): void {
    for (const { timer } of this.#asked.values()) clearTimeout(timer);
    this.#asked.clear();
  }
}
