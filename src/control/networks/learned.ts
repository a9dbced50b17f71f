/**
 * MACs that were learned from frames of peers, in networks whose mode is `learn`: claims of the source
 * that is believed least, over when a MAC was silent for {@link LEARNED_LIFETIME_MS}.
 * @module
 */
import { formatHostAddress, type UnderlayAddress } from '../../net/underlay-address.ts';
import type { EntrySink } from '../entries/entry-service.ts';

/** As a kernel bridge ages, ms. */
export const LEARNED_LIFETIME_MS = 300_000;
/** MACs that are learned, of all networks; the one that was silent longest goes first. */
export const LEARNED_MAX = 65_536;

type Row = { link: string; mac: number; host: UnderlayAddress; atMs: number };

export class Learned {
  readonly #sink: EntrySink;
  /** By MAC and link, the one heard of last at the end. */
  readonly #rows = new Map<string, Row>();

  constructor(sink: EntrySink) {
    this.#sink = sink;
  }

  /** A MAC was heard of from a host. */
  seen(link: string, mac: number, host: UnderlayAddress, nowMs: number): void {
    const key = `${mac} ${link}`;
    const known = this.#rows.get(key);
    this.#rows.delete(key);
    this.#rows.set(key, { link, mac, host, atMs: nowMs });
    if (known?.host !== host) {
      const claim = { peer: host, owner: formatHostAddress(host), sequence: 0, mac: 0 };
      this.#sink.update('learned', [{ id: { link, kind: 'mac', mac }, claim }]);
    }
    if (this.#rows.size > LEARNED_MAX) this.#forgetFirst();
  }

  /** Forgets what was silent for too long. */
  age(nowMs: number): void {
    for (const { atMs } of this.#rows.values()) {
      if (nowMs - atMs < LEARNED_LIFETIME_MS) return;
      this.#forgetFirst();
    }
  }

  #forgetFirst(): void {
    const [first] = this.#rows;
    if (first === undefined) return;
    const [key, { link, mac }] = first;
    this.#rows.delete(key);
    this.#sink.update('learned', [{ id: { link, kind: 'mac', mac }, claim: undefined }]);
  }
}
