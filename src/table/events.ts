/**
 * What the data path tells control, a data process of layer-2 networks and of train tests, the kernel's programs of
 * their link. Events are hints: the tables that control writes say what is true, and what an event was lost of
 * comes again while it matters.
 *
 * ```
 * record (32 bytes):  kind u16 | link u16 | MAC, first 16 bits | peer u16 | MAC, last 32 bits
 *                     | detail u32 | address, 16 bytes
 * ```
 * @module
 */
import { RECORD_BYTES, type RingReader, type RingWriter } from '../shm/ring.ts';

/** What an event says. Numbers are append-only. */
export const EventKind = {
  /** A frame came from our port with this source, which the FDB does not have here. */
  LocalMac: 1,
  /** `address` is at the MAC behind our port, which the neighbours do not have so. `detail`: {@link Snooped}. */
  Binding: 2,
  /**
   * A frame was for this MAC, or a question of this MAC for `address`, which nobody is known to have; by the kernel's
   * programs also an IP packet of this MAC, and `detail` as of {@link EventKind.Dropped}.
   */
  Miss: 3,
  /** The MAC here claims `address`, which the neighbours have at another one, at `peer` (0 = here). */
  Duplicate: 4,
  /** The MAC was seen at one place and the FDB has it at another. `detail`: {@link MovedTo}. */
  Moved: 5,
  /** The MAC came from `peer`, on a network that learns. Told again while it talks. */
  RemoteMac: 6,
  /**
   * A datagram of a train test is here, whole, from the host at `address`: `mac` is its token, `peer` its
   * shape × 256 + index (wire/lan/train-test.ts). Of any link.
   */
  TrainTest: 7,
  /**
   * A keep-alive came (wire/lan/keep-alive.ts), or the answer to one: `mac` is seat and number, `address`
   * the outer source address and 12 bytes of tag, `peer` the outer source port; of an answer, as they
   * were seen there. Of any link.
   */
  KeepAlive: 8,
  KeepAliveAnswer: 9,
  /** The MAC asked by ARP for `address`, which is at a peer, and was answered by us. */
  Answered: 10,
  /**
   * A packet was dropped for the reason whose counter is at `detail` in a link's column: one from the host at
   * `address`, or, on its way out, one of the MAC here from `address`. By the kernel's programs, the first
   * few of each reason.
   */
  Dropped: 11,
  /** The kernel sent a packet back: to the host at `address` go packets of at most `detail` bytes inside. */
  PathMtu: 12,
} as const;
export type EventKind = (typeof EventKind)[keyof typeof EventKind];

/** How an address was found to be at a MAC. */
export const Snooped = {
  Arp: 1,
  Nd: 2,
  /** By an acknowledgement of a DHCP server. */
  Dhcp: 3,
  /** Duplicate address detection asks for it: it will be, unless somebody objects. */
  Tentative: 4,
} as const;

/** Where a MAC was seen that the FDB has elsewhere. */
export const MovedTo = {
  /** At our own port; the FDB has it at `peer`. */
  Here: 0,
  /** It came from `peer`; the FDB has it here. */
  Peer: 1,
} as const;

/**
 * One event. `link` is the id of the link, `mac` u48, `address` 0, 4 or 16 bytes in network order. The kernel's programs,
 * which know neither ids nor numbers of peers, leave `link` and `peer` 0; of {@link EventKind.Moved} they
 * have the peer's address.
 */
export type NetEvent = {
  kind: EventKind;
  link: number;
  mac: number;
  peer: number;
  detail: number;
  address: Uint8Array<ArrayBuffer>;
};

/** An event, and the name of the link that it is of. */
export type LinkEvent = NetEvent & { name: string };

export const EVENT_BYTES = RECORD_BYTES;
/** Offsets in a record; the upper byte of `detail` holds how many bytes of the address count. */
export const EVENT = {
  ...{ kind: 0, link: 2, macHigh: 4, peer: 6, macLow: 8, detail: 12, address: 16 },
} as const;
const { link: LINK, macHigh: MAC_HIGH, peer: PEER, macLow: MAC_LOW, detail: DETAIL } = EVENT;
const { address: ADDRESS } = EVENT;
const ADDRESS_BYTES = RECORD_BYTES - ADDRESS;
export const LENGTH_SHIFT = 24;
const DETAIL_MASK = 0xff_ffff;
const TWO_32 = 0x1_0000_0000;

/** The data process tells; no event allocates. */
export class EventWriter {
  readonly #ring: RingWriter;
  /** Events were told since {@link takeAsleep} was asked last. */
  #told = false;

  constructor(ring: RingWriter) {
    this.#ring = ring;
  }

  /** An event without an address. False when the ring is full. */
  push(
    kind: EventKind,
    link: number,
    macHigh: number,
    macLow: number,
    peer: number,
    detail = 0,
  ): boolean {
    const at = this.#begin(kind, link, macHigh, macLow);
    if (at < 0) return false;
    this.#ring.view.setUint16(at + PEER, peer, true);
    this.#ring.view.setUint32(at + DETAIL, detail & DETAIL_MASK, true);
    this.#commit();
    return true;
  }

  /** The same about the `bytes` (4 or 16) of address at `from` in `view`. */
  pushAddress(
    event: { kind: EventKind; link: number; peer: number; detail: number },
    macHigh: number,
    macLow: number,
    view: DataView,
    from: number,
    bytes: 4 | 16,
  ): boolean {
    const at = this.#begin(event.kind, event.link, macHigh, macLow);
    if (at < 0) return false;
    const ring = this.#ring.view;
    ring.setUint16(at + PEER, event.peer, true);
    ring.setUint32(at + DETAIL, (event.detail & DETAIL_MASK) | (bytes << LENGTH_SHIFT), true);
    for (let i = 0; i < bytes; i += 4) ring.setUint32(at + ADDRESS + i, view.getUint32(from + i));
    this.#commit();
    return true;
  }

  #begin(kind: number, link: number, macHigh: number, macLow: number): number {
    const at = this.#ring.reserve();
    if (at < 0) return -1;
    const { view } = this.#ring;
    view.setUint16(at, kind, true);
    view.setUint16(at + LINK, link, true);
    view.setUint16(at + MAC_HIGH, macHigh, true);
    view.setUint32(at + MAC_LOW, macLow, true);
    return at;
  }

  #commit(): void {
    this.#ring.commit();
    this.#told = true;
  }

  /** Whether control is to be woken now: something was told, and it sleeps. */
  takeAsleep(): boolean {
    if (!this.#told) return false;
    this.#told = false;
    return this.#ring.takeAsleep();
  }
}

/** Control listens. */
export class EventReader {
  readonly #ring: RingReader;

  constructor(ring: RingReader) {
    this.#ring = ring;
  }

  /** Events that found no room so far; wraps after 2³². */
  get lost(): number {
    return this.#ring.lost;
  }

  /** Takes up to `max` events, the oldest first. */
  take(max: number): NetEvent[] {
    const events: NetEvent[] = [];
    while (events.length < max) {
      const at = this.#ring.peek();
      if (at < 0) break;
      events.push(readEvent(this.#ring.view, at));
      this.#ring.release();
    }
    return events;
  }

  /** Asks to be woken for the next event. False when one is there already. */
  sleep(): boolean {
    return this.#ring.sleep();
  }
}

/** The record at `at`, which is {@link EVENT_BYTES} long. */
export function readEvent(view: DataView, at: number): NetEvent {
  const detail = view.getUint32(at + DETAIL, true);
  const address = new Uint8Array(Math.min(detail >>> LENGTH_SHIFT, ADDRESS_BYTES));
  for (let i = 0; i < address.length; i++) address[i] = view.getUint8(at + ADDRESS + i);
  return {
    kind: view.getUint16(at, true) as EventKind,
    link: view.getUint16(at + LINK, true),
    mac: view.getUint16(at + MAC_HIGH, true) * TWO_32 + view.getUint32(at + MAC_LOW, true),
    peer: view.getUint16(at + PEER, true),
    detail: detail & DETAIL_MASK,
    address,
  };
}
