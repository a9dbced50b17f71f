/**
 * Exceptions to the fan's arithmetic: prefixes of the overlay that live on another host than their
 * address says. The longest prefix that contains an address wins.
 *
 * One open-addressing hash table over all lengths; a look-up asks it once for each length in use,
 * longest first. In practice that is once: workloads move as single addresses.
 * @module
 */
import { maskOf } from '../net/prefix.ts';

/** `peer`: underlay address of the host that has the prefix. All are u32 in host order. */
export type Exception = { address: number; length: number; peer: number };

/** A slot holds nothing: no peer has the address 0. */
const EMPTY = 0;

export class ExceptionTable {
  readonly #slotMask: number;
  readonly #networks: Uint32Array;
  readonly #slotLengths: Uint8Array;
  readonly #peers: Uint32Array;
  /** Lengths in use, longest first, and their masks. */
  readonly #lengths: Uint8Array;
  readonly #masks: Uint32Array;

  /** Of two exceptions with one prefix the last counts. Peers are never 0. */
  constructor(exceptions: readonly Exception[]) {
    let slots = 16;
    // At most half full: a look-up that finds nothing ends after a probe or two.
    while (slots < 2 * exceptions.length) slots *= 2;
    this.#slotMask = slots - 1;
    this.#networks = new Uint32Array(slots);
    this.#slotLengths = new Uint8Array(slots);
    this.#peers = new Uint32Array(slots);
    for (const { address, length, peer } of exceptions) {
      const network = (address & maskOf(length)) >>> 0;
      const slot = this.#slotOf(network, length);
      this.#networks[slot] = network;
      this.#slotLengths[slot] = length;
      this.#peers[slot] = peer;
    }
    this.#lengths = Uint8Array.from(new Set(exceptions.map(({ length }) => length)))
      .sort()
      .reverse();
    this.#masks = Uint32Array.from(this.#lengths, maskOf);
  }

  /** The slot that holds this prefix, or the empty one where it would go. */
  #slotOf(network: number, length: number): number {
    let slot = (Math.imul(network ^ length, 0x9e3779b1) >>> 8) & this.#slotMask;
    while (
      this.#peers[slot] !== EMPTY &&
      (this.#networks[slot] !== network || this.#slotLengths[slot] !== length)
    ) {
      slot = (slot + 1) & this.#slotMask;
    }
    return slot;
  }

  /** Underlay address of the host that has `address` by exception; 0 when the arithmetic holds. */
  find(address: number): number {
    for (let i = 0; i < this.#lengths.length; i++) {
      const network = (address & (this.#masks[i] as number)) >>> 0;
      const peer = this.#peers[this.#slotOf(network, this.#lengths[i] as number)] as number;
      if (peer !== EMPTY) return peer;
    }
    return EMPTY;
  }
}
