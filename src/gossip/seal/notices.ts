/**
 * What the operator should know about datagrams that were refused: sentences for the log, each
 * cause at most once in ten seconds.
 * @module
 */
import { formatHostAddress, type UnderlayAddress } from '../../net/underlay-address.ts';
import type { NodeId } from '../../wire/gossip/types.ts';
import { formatKeyId, type Keyring } from '../base/keyring.ts';

export const NOTICE_MS = 10_000;
/** A refusal that did not come again for so long is no longer shown. */
export const REFUSAL_SHOWN_MS = 60_000;
/** Refusals that are remembered, by cause and address; forged addresses fill no memory. */
export const REFUSALS_MAX = 64;

/** Somebody whose datagrams are refused. */
export type SealRefusal = {
  cause: string;
  /** Source address; nobody has proved that it is theirs. */
  address: UnderlayAddress;
  /** What is wrong and how it may be mended. */
  sentence: string;
  count: number;
  /** Since the last one. */
  ageMs: number;
};

/** Takes a short stable word and a sentence. */
export type Notice = (cause: string, sentence: string) => void;

export class Notices {
  readonly #tell: Notice;
  readonly #toldMs = new Map<string, number>();
  /** By cause and address, the one that came longest ago first. */
  readonly #refusals = new Map<string, Omit<SealRefusal, 'ageMs'> & { lastMs: number }>();

  constructor(tell: Notice) {
    this.#tell = tell;
  }

  plaintext(address: UnderlayAddress, nowMs: number): void {
    this.#refused('plaintext', address, nowMs, () => {
      return `${formatHostAddress(address)} gossips in plaintext, which is refused: give that host a key of this cluster`;
    });
  }

  unknownKey(address: UnderlayAddress, keyId: number, { keys }: Keyring, nowMs: number): void {
    this.#refused('unknown-key', address, nowMs, () => {
      const have = keys.map(({ id }) => formatKeyId(id)).join(', ');
      return `${formatHostAddress(address)} seals with key ${formatKeyId(keyId)}, and the keys here are ${have}: if that host is a member, bring whichever is behind up to date with fanway key add`;
    });
  }

  tag(address: UnderlayAddress, keyId: number, label: string, nowMs: number): void {
    this.#refused('tag', address, nowMs, () => {
      return `${formatHostAddress(address)} names key ${formatKeyId(keyId)} but sent what it does not open: damaged or forged, or that host has another label than ${label}`;
    });
  }

  imposter(address: UnderlayAddress, sender: NodeId, nowMs: number): void {
    this.#refused('imposter', address, nowMs, () => {
      return `${formatHostAddress(address)} has a key of this cluster and claims to be ${sender}, but cannot sign for it: find out who runs that host, and change the key`;
    });
  }

  behind(teller: NodeId, nowMs: number): void {
    this.#say('behind', nowMs, () => {
      return `${teller} has seen a counter that this node has not reached: this machine was set back to an earlier state, or a member speaks in its name; a new session begins`;
    });
  }

  sealed(address: UnderlayAddress, nowMs: number): void {
    this.#refused('sealed', address, nowMs, () => {
      return `${formatHostAddress(address)} seals its gossip and this node has no key: give it one, or the two will never meet`;
    });
  }

  label(address: UnderlayAddress, label: string, nowMs: number): void {
    this.#refused('label', address, nowMs, () => {
      return `${formatHostAddress(address)} has another cluster label than ${label}`;
    });
  }

  /** Who is refused lately, the last one first. */
  refusals(nowMs: number): SealRefusal[] {
    return [...this.#refusals.values()]
      .filter(({ lastMs }) => nowMs - lastMs <= REFUSAL_SHOWN_MS)
      .map(({ lastMs, ...refusal }) => ({ ...refusal, ageMs: nowMs - lastMs }))
      .reverse();
  }

  #refused(cause: string, address: UnderlayAddress, nowMs: number, sentence: () => string): void {
    const key = `${cause} ${address}`;
    const known = this.#refusals.get(key);
    if (known !== undefined || this.#hasRoom(nowMs)) {
      this.#refusals.delete(key);
      const text = known?.sentence ?? sentence();
      const count = (known?.count ?? 0) + 1;
      this.#refusals.set(key, { cause, address, sentence: text, count, lastMs: nowMs });
    }
    this.#say(cause, nowMs, sentence);
  }

  /** Forgets the refusal that came longest ago if it is no longer shown. */
  #hasRoom(nowMs: number): boolean {
    if (this.#refusals.size < REFUSALS_MAX) return true;
    for (const [key, { lastMs }] of this.#refusals) {
      if (nowMs - lastMs <= REFUSAL_SHOWN_MS) return false;
      return this.#refusals.delete(key);
    }
    return true;
  }

  #say(cause: string, nowMs: number, sentence: () => string): void {
    const toldMs = this.#toldMs.get(cause);
    if (toldMs !== undefined && nowMs - toldMs < NOTICE_MS) return;
    this.#toldMs.set(cause, nowMs);
    this.#tell(cause, sentence());
  }
}
