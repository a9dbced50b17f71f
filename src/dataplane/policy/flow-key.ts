/**
 * The ends of the packet in hand, as rules and the set of known connections ask for them, and its
 * fingerprint: the same number for both ways of a connection, but for a last bit that says which end opened
 * it. Offsets are the arena's.
 * @module
 */
import { HalfSip } from '../../shm/half-sip.ts';
import { ICMP_IDENTIFIER_OFFSET } from '../../wire/icmp.ts';
import {
  IPV4_DESTINATION_OFFSET,
  IPV4_SOURCE_OFFSET,
  PROTOCOL_ICMP,
  PROTOCOL_ICMPV6,
  PROTOCOL_SCTP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from '../../wire/ipv4.ts';
import { IPV6_DESTINATION_OFFSET, IPV6_SOURCE_OFFSET } from '../../wire/ipv6.ts';

/** Which kind of thing a fingerprint is of. */
const Kind = { Connection: 0, Pieces: 1 } as const;

export class FlowKey {
  readonly #view: DataView;
  readonly #sip: HalfSip;
  isSix = false;
  protocol = 0;
  /** Where the addresses stand. */
  from = 0;
  to = 0;
  /** 0 where the protocol has none; of ICMP's echo its identifier, both. */
  fromPort = 0;
  toPort = 0;
  /** The fingerprint that was made last. */
  low = 0;
  high = 0;
  /** Of a connection: what the fingerprint has at its end when the source of the packet opened it, 0 or 1. */
  opener = 0;

  /** @param key0, key1 nobody outside should know them */
  constructor(view: DataView, key0: number, key1: number) {
    this.#view = view;
    this.#sip = new HalfSip(key0, key1);
  }

  /** Takes the ends of an IP packet at `l3` whose transport header is at `l4`, with `l4Bytes` of it here. */
  read(l3: number, l4: number, l4Bytes: number, protocol: number): void {
    const view = this.#view;
    this.isSix = view.getUint8(l3) >>> 4 === 6;
    this.protocol = protocol;
    this.from = l3 + (this.isSix ? IPV6_SOURCE_OFFSET : IPV4_SOURCE_OFFSET);
    this.to = l3 + (this.isSix ? IPV6_DESTINATION_OFFSET : IPV4_DESTINATION_OFFSET);
    this.fromPort = 0;
    this.toPort = 0;
    if (protocol === PROTOCOL_TCP || protocol === PROTOCOL_UDP || protocol === PROTOCOL_SCTP) {
      if (l4Bytes < 4) return;
      this.fromPort = view.getUint16(l4);
      this.toPort = view.getUint16(l4 + 2);
    } else if (protocol === PROTOCOL_ICMP || protocol === PROTOCOL_ICMPV6) {
      if (l4Bytes < ICMP_IDENTIFIER_OFFSET + 2) return;
      this.fromPort = view.getUint16(l4 + ICMP_IDENTIFIER_OFFSET);
      this.toPort = this.fromPort;
    }
  }

  /** Makes the fingerprint of the connection on a link, under rules of one generation. */
  ofConnection(link: number, generation: number): void {
    const swaps = this.#order() > 0;
    this.opener = swaps ? 1 : 0;
    const ports = swaps ? (this.toPort << 16) | this.fromPort : (this.fromPort << 16) | this.toPort;
    this.#make(Kind.Connection, link, generation, ports, swaps);
  }

  /** The same of the pieces of one packet, by its identification. */
  ofPieces(link: number, generation: number, identification: number): void {
    this.#make(Kind.Pieces, link, generation, identification, false);
  }

  #make(kind: number, link: number, generation: number, word: number, swaps: boolean): void {
    const sip = this.#sip;
    const protocol = kind === Kind.Pieces ? 0 : this.protocol;
    sip.begin();
    sip.word((kind << 24) | (Number(this.isSix) << 16) | (protocol << 8) | link);
    sip.word(generation);
    sip.word(word);
    this.#address(swaps ? this.to : this.from);
    this.#address(swaps ? this.from : this.to);
    sip.end();
    this.low = sip.low;
    this.high = sip.high & ~1;
  }

  #address(at: number): void {
    const words = this.isSix ? 4 : 1;
    for (let i = 0; i < words; i++) this.#sip.word(this.#view.getInt32(at + 4 * i));
  }

  /** Above 0 when the source is the second of both ends, by address and then port. */
  #order(): number {
    const words = this.isSix ? 4 : 1;
    for (let i = 0; i < words; i++) {
      const difference =
        this.#view.getUint32(this.from + 4 * i) - this.#view.getUint32(this.to + 4 * i);
      if (difference !== 0) return difference;
    }
    return this.fromPort - this.toPort;
  }
}
