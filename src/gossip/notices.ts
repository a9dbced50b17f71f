/**
 * What the operator should know about datagrams that were refused: sentences for the log, each
 * cause at most once in ten seconds.
 * @module
 */
import { formatIpv4 } from '../net/ipv4.ts';
import type { NodeId } from '../wire/gossip/types.ts';
import { formatKeyId, type Keyring } from './keyring.ts';

export const NOTICE_MS = 10_000;

/** Takes a short stable word and a sentence. */
export type Notice = (cause: string, sentence: string) => void;

export class Notices {
  readonly #tell: Notice;
  readonly #toldMs = new Map<string, number>();

  constructor(tell: Notice) {
    this.#tell = tell;
  }

  plaintext(address: number, nowMs: number): void {
    this.#say('plaintext', nowMs, () => {
      return `${formatIpv4(address)} gossips in plaintext, which is refused: give that host a key of this cluster`;
    });
  }

  unknownKey(address: number, keyId: number, { keys }: Keyring, nowMs: number): void {
    this.#say('unknown-key', nowMs, () => {
      const have = keys.map(({ id }) => formatKeyId(id)).join(', ');
      return `${formatIpv4(address)} seals with key ${formatKeyId(keyId)}, and the keys here are ${have}: if that host is a member, bring whichever is behind up to date with fanway key add`;
    });
  }

  tag(address: number, keyId: number, label: string, nowMs: number): void {
    this.#say('tag', nowMs, () => {
      return `${formatIpv4(address)} names key ${formatKeyId(keyId)} but sent what it does not open: damaged or forged, or that host has another label than ${label}`;
    });
  }

  imposter(address: number, sender: NodeId, nowMs: number): void {
    this.#say('imposter', nowMs, () => {
      return `${formatIpv4(address)} has a key of this cluster and claims to be ${sender}, but cannot sign for it: find out who runs that host, and change the key`;
    });
  }

  behind(teller: NodeId, nowMs: number): void {
    this.#say('behind', nowMs, () => {
      return `${teller} has seen a counter that this node has not reached: this machine was set back to an earlier state, or a member speaks in its name; a new session begins`;
    });
  }

  sealed(address: number, nowMs: number): void {
    this.#say('sealed', nowMs, () => {
      return `${formatIpv4(address)} seals its gossip and this node has no key: give it one, or the two will never meet`;
    });
  }

  label(address: number, label: string, nowMs: number): void {
    this.#say('label', nowMs, () => {
      return `${formatIpv4(address)} has another cluster label than ${label}`;
    });
  }

  #say(cause: string, nowMs: number, sentence: () => string): void {
    const toldMs = this.#toldMs.get(cause);
    if (toldMs !== undefined && nowMs - toldMs < NOTICE_MS) return;
    this.#toldMs.set(cause, nowMs);
    this.#tell(cause, sentence());
  }
}
