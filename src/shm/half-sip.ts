/**
 * HalfSipHash-1-3 with 64 bits of output over 32-bit words: a keyed hash that nobody without the key can
 * steer, from additions and rotations alone. It allocates nothing; the result is in `low` and `high`.
 * @module
 */

export class HalfSip {
  readonly #key0: number;
  readonly #key1: number;
  #v0 = 0;
  #v1 = 0;
  #v2 = 0;
  #v3 = 0;
  #words = 0;
  low = 0;
  high = 0;

  constructor(key0: number, key1: number) {
    this.#key0 = key0 | 0;
    this.#key1 = key1 | 0;
  }

  begin(): void {
    this.#v0 = this.#key0;
    this.#v1 = this.#key1 ^ 0xee;
    this.#v2 = 0x6c796765 ^ this.#key0;
    this.#v3 = 0x74656462 ^ this.#key1;
    this.#words = 0;
  }

  /** One more word of the message. */
  word(value: number): void {
    this.#v3 ^= value;
    this.#round();
    this.#v0 ^= value;
    this.#words++;
  }

  end(): void {
    // The last word has the length in its first byte.
    this.word((this.#words * 4) << 24);
    this.#v2 ^= 0xee;
    for (let i = 0; i < 3; i++) this.#round();
    this.low = this.#v1 ^ this.#v3;
    this.#v1 ^= 0xdd;
    for (let i = 0; i < 3; i++) this.#round();
    this.high = this.#v1 ^ this.#v3;
  }

  #round(): void {
    let v0 = this.#v0;
    let v1 = this.#v1;
    let v2 = this.#v2;
    let v3 = this.#v3;
    v0 = (v0 + v1) | 0;
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
    v0 = (v0 << 16) | (v0 >>> 16);
    v2 = (v2 + v3) | 0;
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
    v0 = (v0 + v3) | 0;
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
    v2 = (v2 + v1) | 0;
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
    v2 = (v2 << 16) | (v2 >>> 16);
    this.#v0 = v0;
    this.#v1 = v1;
    this.#v2 = v2;
    this.#v3 = v3;
  }
}
