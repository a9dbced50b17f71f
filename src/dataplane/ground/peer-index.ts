/**
 * Remote hosts by number: what the data path knows a peer by. A number stands for an address and a
 * port; where it comes from (a fan's arithmetic, an entry of control's) makes no difference.
 *
 * Numbers are given on first use, for packets that leave; nobody from outside can ask for one. The
 * table is as large as the largest fan and ages in two generations: a number that was used in neither
 * this one nor the one before may become another host's once there are no new ones. Where all are
 * in use, the one that was silent for longest among a few gives way, but never one of the burst in hand,
 * whose trains hold it, nor one that packets wait for.
 * @module
 */
import type { Arena } from './arena.ts';
import {
  addressHash,
  emitSockaddr,
  getSockaddrIpv4,
  isSameHost,
  isSockaddrIpv6,
  SOCKADDR_BYTES,
  SOCKADDR_IN_BYTES,
  SOCKADDR_IN6_BYTES,
} from './sockaddr.ts';

/** Hosts that are known at one time: a fan of 65,534 and as many others. */
export const PEERS_KNOWN_MAX = 131_072;
/** Room that there is from the start; it doubles while it is too small. */
const CAPACITY_FIRST = 1024;
/** Length of a generation, ms. */
const GENERATION_MS = 60_000;
/** Numbers that are looked at for one that may be given away. */
const LOOKS_MAX = 64;

/** `longer` with what `shorter` holds at its beginning. */
export function lengthened<T extends Uint8Array | Uint16Array | Uint32Array | Float64Array>(
  shorter: T,
  longer: T,
): T {
  longer.set(shorter);
  return longer;
}

export class PeerIndex {
  readonly #view: DataView;
  readonly #names: number;
  /** Numbers that there is room for now, and at most. */
  #capacity: number;
  readonly #capacityMax: number;
  readonly #family: number;
  #slots = new Int32Array(0);
  #mask = 0;
  #shift = 0;
  /** IPv4 address, or what {@link addressHash} makes of an IPv6 one, which stands in the arena. */
  #address = new Uint32Array(0);
  #port = new Uint16Array(0);
  #isIpv6 = new Uint8Array(0);
  /** The burst and the generation that used a number last. */
  #burst = new Uint32Array(0);
  #generation = new Uint32Array(0);
  /** How many packets wait that go to it. */
  #held = new Uint16Array(0);
  /** Numbers given so far; 0 is nobody's. */
  #given = 0;
  #hand = 0;
  #thisBurst = 1;
  #thisGeneration = 2;
  #generationSinceMs = 0;
  #last = 0;
  readonly #onForget: (index: number) => void;

  /**
   * @param capacityMax a power of two
   * @param family of the socket addresses of IPv4 hosts
   * @param onForget a number is about to become another host's
   */
  constructor(
    arena: Arena,
    capacityMax: number,
    family: number,
    onForget: (index: number) => void,
  ) {
    this.#family = family;
    this.#view = arena.view;
    this.#names = arena.allocate(capacityMax * SOCKADDR_BYTES);
    this.#capacityMax = capacityMax;
    this.#capacity = Math.min(CAPACITY_FIRST, capacityMax);
    this.#onForget = onForget;
    this.#makeRoom();
  }

  /** Numbers that there is room for now: columns of whoever keeps something of them have as many. */
  get capacity(): number {
    return this.#capacity;
  }

  /** Makes the columns as long as the capacity says, and the hash anew. */
  #makeRoom(): void {
    const capacity = this.#capacity;
    this.#address = lengthened(this.#address, new Uint32Array(capacity));
    this.#port = lengthened(this.#port, new Uint16Array(capacity));
    this.#isIpv6 = lengthened(this.#isIpv6, new Uint8Array(capacity));
    this.#burst = lengthened(this.#burst, new Uint32Array(capacity));
    this.#generation = lengthened(this.#generation, new Uint32Array(capacity));
    this.#held = lengthened(this.#held, new Uint16Array(capacity));
    this.#slots = new Int32Array(2 * capacity);
    this.#mask = 2 * capacity - 1;
    this.#shift = Math.clz32(capacity);
    for (let index = 1; index <= this.#given; index++) {
      this.#slots[this.#slotOfIndex(index)] = index;
    }
  }

  /** Numbers that were ever given, 0 included: columns need not be read beyond. */
  get size(): number {
    return this.#given + 1;
  }

  /** A new burst begins: what the last one used may give way again. */
  nextBurst(nowMs: number): void {
    this.#thisBurst = (this.#thisBurst + 1) >>> 0;
    if (nowMs - this.#generationSinceMs < GENERATION_MS) return;
    this.#generationSinceMs = nowMs;
    this.#thisGeneration++;
  }

  #home(address: number, port: number): number {
    const mixed = Math.imul(address ^ Math.imul(port, 0x85ebca6b), 0x9e3779b1);
    return mixed >>> this.#shift;
  }

  /** The slot that holds this IPv4 host, or the empty one where it would go. */
  #slotOf(address: number, port: number): number {
    let slot = this.#home(address, port);
    for (;;) {
      const index = this.#slots[slot] as number;
      if (index === 0) return slot;
      if (
        this.#address[index] === address &&
        this.#port[index] === port &&
        this.#isIpv6[index] === 0
      ) {
        return slot;
      }
      slot = (slot + 1) & this.#mask;
    }
  }

  /** The same for the IPv6 host that the socket address at `name` names, its port aside. */
  #slotOfName(name: number, port: number): number {
    const hash = addressHash(this.#view, name);
    let slot = this.#home(hash, port);
    for (;;) {
      const index = this.#slots[slot] as number;
      if (index === 0 || this.#isNamed(index, hash, name, port)) return slot;
      slot = (slot + 1) & this.#mask;
    }
  }

  #slotOfIndex(index: number): number {
    const port = this.#port[index] as number;
    return this.#isIpv6[index] === 0
      ? this.#slotOf(this.#address[index] as number, port)
      : this.#slotOfName(this.nameOf(index), port);
  }

  #isNamed(index: number, hash: number, name: number, port: number): boolean {
    return (
      this.#address[index] === hash &&
      this.#port[index] === port &&
      this.#isIpv6[index] === 1 &&
      isSameHost(this.#view, this.nameOf(index), name)
    );
  }

  /** The number of the host at an IPv4 address (u32) and port; it has one from now on. */
  intern(address: number, port: number): number {
    let index = this.#last;
    if (
      this.#address[index] !== address ||
      this.#port[index] !== port ||
      this.#isIpv6[index] !== 0 ||
      index === 0
    ) {
      index = this.#slots[this.#slotOf(address, port)] as number;
      if (index === 0) index = this.#give(address, port);
      this.#last = index;
    }
    this.#burst[index] = this.#thisBurst;
    this.#generation[index] = this.#thisGeneration;
    return index;
  }

  /** The same for the IPv6 socket address at `name`, and the port in it. */
  internName(name: number): number {
    const port = this.#view.getUint16(name + 2);
    let index = this.#last;
    if (index === 0 || !this.#isNamed(index, addressHash(this.#view, name), name, port)) {
      index = this.#slots[this.#slotOfName(name, port)] as number;
      if (index === 0) index = this.#giveName(name, port);
      this.#last = index;
    }
    this.#burst[index] = this.#thisBurst;
    this.#generation[index] = this.#thisGeneration;
    return index;
  }

  /** The number of the host that the socket address at `name` names, 0 when it has none. */
  find(name: number, port: number): number {
    const slot = isSockaddrIpv6(this.#view, name)
      ? this.#slotOfName(name, port)
      : this.#slotOf(getSockaddrIpv4(this.#view, name), port);
    return this.#slots[slot] as number;
  }

  #give(address: number, port: number): number {
    const index = this.#take();
    this.#address[index] = address;
    this.#port[index] = port;
    this.#isIpv6[index] = 0;
    emitSockaddr(this.#view, this.nameOf(index), address, port, this.#family);
    this.#slots[this.#slotOf(address, port)] = index;
    return index;
  }

  #giveName(name: number, port: number): number {
    const index = this.#take();
    const to = this.nameOf(index);
    for (let at = 0; at < SOCKADDR_BYTES; at += 4) {
      this.#view.setUint32(to + at, this.#view.getUint32(name + at));
    }
    this.#address[index] = addressHash(this.#view, name);
    this.#port[index] = port;
    this.#isIpv6[index] = 1;
    this.#slots[this.#slotOfName(name, port)] = index;
    return index;
  }

  /** A packet for this number waits: it stays whose it is until {@link letGo}. */
  hold(index: number): void {
    this.#held[index] = (this.#held[index] as number) + 1;
  }

  letGo(index: number): void {
    this.#held[index] = (this.#held[index] as number) - 1;
  }

  /** A number that is nobody's. */
  #take(): number {
    if (this.#given + 1 === this.#capacity && this.#capacity < this.#capacityMax) {
      // Seldom, and a fan of a thousand hosts never comes here: a copy of some kilobytes.
      this.#capacity *= 2;
      this.#makeRoom();
    }
    return this.#given + 1 < this.#capacity ? ++this.#given : this.#reclaim();
  }

  /** A number that may become another host's. */
  #reclaim(): number {
    let best = 0;
    let bestAge = -1;
    // Beyond the first looks only as long as everything belongs to the burst in hand.
    for (let look = 0; look < LOOKS_MAX || best === 0; look++) {
      this.#hand = (this.#hand % this.#given) + 1;
      const index = this.#hand;
      if (this.#burst[index] === this.#thisBurst || this.#held[index] !== 0) continue;
      const age = this.#thisGeneration - (this.#generation[index] as number);
      if (age > bestAge) {
        best = index;
        bestAge = age;
      }
      if (age > 1) break;
    }
    this.#onForget(best);
    this.#remove(best);
    if (this.#last === best) this.#last = 0;
    return best;
  }

  /** Takes a number out of the hash and closes the gap. */
  #remove(index: number): void {
    let gap = this.#slotOfIndex(index);
    let slot = gap;
    for (;;) {
      slot = (slot + 1) & this.#mask;
      const other = this.#slots[slot] as number;
      if (other === 0) break;
      const home = this.#home(this.#address[other] as number, this.#port[other] as number);
      if (((slot - home) & this.#mask) < ((slot - gap) & this.#mask)) continue;
      this.#slots[gap] = other;
      gap = slot;
    }
    this.#slots[gap] = 0;
  }

  /** Arena offset of a peer's ready socket address, and its length. */
  nameOf(index: number): number {
    return this.#names + index * SOCKADDR_BYTES;
  }

  nameBytes(index: number): number {
    return this.#isIpv6[index] === 0 ? SOCKADDR_IN_BYTES : SOCKADDR_IN6_BYTES;
  }

  isIpv6(index: number): boolean {
    return this.#isIpv6[index] !== 0;
  }

  port(index: number): number {
    return this.#port[index] as number;
  }
}
