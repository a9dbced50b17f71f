/**
 * What the two programs of a link have in common: a frame copied to the stack, counters, and drops.
 *
 * Registers: R6 the packet, R7 the counters of this processor, R8 packets that it stands for, R9 is
 * the program's own. The stack, by offset from its top:
 *
 * ```
 *   -4    scratch: key of the counters, a UDP port
 *   -8    inner IP header, bytes      (behind an IPv4 header; an ARP message lies here too)
 *   -12   inner IP packet, bytes      (likewise)
 *   -46   the frame: Ethernet header, then an IPv4 header or an ARP message at -32
 *   -56   key of the entries: prefix length, address in network order at -52
 *   -64   key of the MACs
 *   -72   a time
 *   -120  tunnel key
 *   -184  IPv4 header with options
 *   -200  what is written of a station
 *   -256  IPv6 header
 *   -264  beginning of an extension header, or of an option
 *   -288  message of Neighbour Discovery
 *   -312  key of the entries of IPv6: prefix length, then the address in network order
 *   -352  what is known of an IPv6 packet, eight bytes each
 *   -384  what control is told
 * ```
 * @module
 */
import { egressIndex, ingressIndex } from '../table/counters.ts';
import { Assembler, reg } from './assembler.ts';
import type { FanMaps, FanPath } from './fan-path.ts';
import { Register, SKB, TC_SHOT } from './instructions.ts';
import type { NewsMaps } from './news.ts';

const { R0, R1, R2, R3, R4, R6, R7, R8, FP } = Register;

export const STACK = {
  scratch: -4,
  /** Of a packet of IP in UDP: source and destination, each in network order. */
  fouPorts: -4,
  headerBytes: -8,
  totalBytes: -12,
  frame: -46,
  sourceMac: -40,
  etherType: -34,
  l3: -32,
  prefixKey: -56,
  address: -52,
  macKey: -64,
  time: -72,
  tunnelKey: -120,
  longHeader: -184,
  station: -200,
  ipv6: -256,
  extension: -264,
  neighbour: -288,
  prefixKey6: -312,
  /** The header in hand, and where it begins in the packet; then where the packet ends. */
  next: -320,
  nextAt: -328,
  end: -336,
  /** Whether it is a piece, and bytes of the first piece behind the fragment header. */
  isFragment: -344,
  pieceBytes: -352,
  /** A record of table/events.ts. */
  record: -384,
} as const;

export const ETHERNET_BYTES = 14;
const IPV4_BYTES = 20;
const ARP_BYTES = 28;
export const ETHERTYPE = { ipv4: 0x0800, arp: 0x0806, ipv6: 0x86dd } as const;
/** Hardware type Ethernet, protocol IPv4; address lengths 6 and 4. */
const ARP_KIND = 0x0001_0800;
const ARP_LENGTHS = 0x0604;
const ARP_REPLY = 2;
/** Offsets in an ARP message and in an IPv4 header. */
export const ARP = { lengths: 4, operation: 6, sender: 14, target: 24 } as const;
export const IPV4 = {
  tos: 1,
  totalBytes: 2,
  fragment: 6,
  protocol: 9,
  checksum: 10,
  source: 12,
  destination: 16,
} as const;
/** More fragments, or one that is not the first. */
export const FRAGMENT_MASK = 0x3fff;

export type Direction = 'egress' | 'ingress';
/** Names of drops that both directions have. */
type Drop = Parameters<typeof egressIndex>[0] & Parameters<typeof ingressIndex>[0];
type EgressDrop = Parameters<typeof egressIndex>[0];
type IngressDrop = Parameters<typeof ingressIndex>[0];

/** What is asked of a link, whatever it is. */
export type ProgramPath = Pick<
  FanPath,
  'local' | 'frames' | 'vni' | 'port' | 'innerMtu' | 'dscp' | 'fou'
>;
/** Maps that all links have. */
export type ProgramMaps = NewsMaps & Pick<FanMaps, 'counters' | 'stations' | 'bypass'>;

export class LinkProgram<
  Path extends ProgramPath = ProgramPath,
  Maps extends ProgramMaps = ProgramMaps,
> {
  readonly asm = new Assembler();
  readonly path: Path;
  readonly maps: Maps;
  /** Bytes before the IP header. */
  readonly linkBytes: number;
  readonly #direction: Direction;
  readonly #drops = new Map<number, string>();
  /** What stands behind the program, by label. */
  readonly #tails = new Map<string, () => void>();
  readonly #lastTails = new Map<string, () => void>();
  #atDrop: { indexes: readonly number[]; go: (index: number) => void } | undefined;

  constructor(direction: Direction, path: Path, maps: Maps) {
    this.#direction = direction;
    this.path = path;
    this.maps = maps;
    this.linkBytes = path.frames ? ETHERNET_BYTES : 0;
  }

  index(name: EgressDrop | IngressDrop): number {
    return this.#direction === 'egress'
      ? egressIndex(name as EgressDrop)
      : ingressIndex(name as IngressDrop);
  }

  /** Where a packet ends that is dropped for this reason. */
  drop(name: Drop): string {
    return this.dropAt(this.index(name));
  }

  /** The same by counter, for reasons that one direction alone has. */
  dropAt(index: number): string {
    const label = `drop.${index}`;
    this.#drops.set(index, label);
    return label;
  }

  /**
   * What `write` writes stands behind the program, once for each name; jumps to the label lead there.
   * @param isLast it is written when all others are
   */
  tail(name: string, write: () => void, isLast = false): string {
    const label = `tail.${name}`;
    const tails = isLast ? this.#lastTails : this.#tails;
    if (!tails.has(label)) tails.set(label, write);
    return label;
  }

  /** What is dropped for one of these reasons goes on at what `go` writes, once it is counted. */
  whenDropped(indexes: readonly number[], go: (index: number) => void): void {
    this.#atDrop = { indexes, go };
  }

  /** Adds R8 packets to a counter. Loses R1. */
  count(index: number): void {
    this.add(index, R8);
  }

  /** Adds a number to a counter. Loses R1. */
  add(index: number, amount: Register): void {
    const { asm } = this;
    asm
      .load(8, R1, R7, index * 8)
      .alu('add', R1, reg(amount))
      .store(8, R7, index * 8, reg(R1));
  }

  /** Adds the packet's bytes to a counter. Loses R1 and R2. */
  countBytes(index: number): void {
    this.asm.load(4, R2, R6, SKB.length);
    this.add(index, R2);
  }

  /** R7 = the counters of this processor, R6 the packet, which is R1, R8 how many it stands for. Loses R0 to R5. */
  findCounters(): void {
    const { asm } = this;
    const found = asm.fresh('counters');
    asm.move(R6, reg(R1));
    asm.store(4, FP, STACK.scratch, 0);
    asm.loadMap(R1, this.maps.counters).move(R2, reg(FP)).alu('add', R2, STACK.scratch);
    asm.call('mapLookup').jumpIf(R0, 'notEqual', 0, found);
    // All maps are every program's, so that a successor finds them by one (there is always a column).
    for (const map of Object.values(this.maps)) asm.loadMap(R1, map);
    asm.move(R0, TC_SHOT).exit();
    asm.label(found).move(R7, reg(R0));
    this.takeSegments();
  }

  /** R8 = packets on the wire that this one stands for. */
  takeSegments(): void {
    const { asm } = this;
    const one = asm.fresh('segments');
    // What is no super-packet, or one whose segments nobody has counted yet, says 0.
    asm.load(4, R8, R6, SKB.gsoSegments).jumpIf(R8, 'notEqual', 0, one).move(R8, 1).label(one);
  }

  /** Finds the counters and counts the packet as received. */
  begin(): void {
    const { asm } = this;
    this.findCounters();
    this.count(this.index('received'));
    this.countBytes(this.index('receivedBytes'));
    // A tag stands beside the packet: what is in a VLAN is no frame of this network.
    asm.load(4, R1, R6, SKB.vlanPresent);
    asm.jumpIf(R1, 'notEqual', 0, this.drop('drop.unknown_ethertype'));
  }

  /** Copies `bytes` of the packet to the stack; where it has fewer, goes to `short`. */
  copy(from: number, to: number, bytes: number, short: string): void {
    const { asm } = this;
    asm.move(R1, reg(R6)).move(R2, from).move(R3, reg(FP)).alu('add', R3, to).move(R4, bytes);
    asm.call('skbLoadBytes').jumpIf(R0, 'notEqual', 0, short);
  }

  /**
   * Has the frame with the beginning of what it carries, which is IPv4 where it goes on; ARP branches off, and
   * so does IPv6, of which the Ethernet header alone may be there.
   * @param check what is asked of every frame, whatever it carries
   */
  frame(
    to: { arp: string; ipv6: string; other?: string },
    check: () => void = () => undefined,
  ): void {
    const { asm } = this;
    const [short, whole, ipv4] = [asm.fresh('short'), asm.fresh('whole'), asm.fresh('ipv4')];
    const runt = this.drop('drop.runt');
    asm.store(4, FP, STACK.headerBytes, 0);
    this.copy(0, STACK.frame, ETHERNET_BYTES + IPV4_BYTES, short);
    asm.jump(whole);
    asm.label(short).store(4, FP, STACK.headerBytes, 1);
    this.copy(0, STACK.frame, ETHERNET_BYTES, runt);
    asm.label(whole);
    check();
    asm.load(2, R1, FP, STACK.etherType).fromNetwork(R1, 16);
    asm.jumpIf(R1, 'equal', ETHERTYPE.ipv4, ipv4).jumpIf(R1, 'equal', ETHERTYPE.arp, to.arp);
    asm.jumpIf(R1, 'equal', ETHERTYPE.ipv6, to.ipv6);
    asm.jump(to.other ?? this.drop('drop.unknown_ethertype'));
    asm.label(ipv4).load(4, R1, FP, STACK.headerBytes).jumpIf(R1, 'notEqual', 0, runt);
  }

  /** Has the beginning of a packet that comes without a frame, where {@link frame} has it. */
  packet(): void {
    this.copy(0, STACK.l3, IPV4_BYTES, this.drop('drop.runt'));
  }

  /** Judges the lengths that the IPv4 header tells, and keeps them; goes to `six` where it is none of IPv4 but of IPv6. */
  ipv4Lengths(six = this.drop('drop.ipv6')): void {
    const { asm } = this;
    const malformed = this.drop('drop.malformed');
    const sized = asm.fresh('sized');
    asm.load(1, R1, FP, STACK.l3).move(R2, reg(R1)).alu32('shiftRight', R2, 4);
    asm.jumpIf(R2, 'equal', 6, six).jumpIf(R2, 'notEqual', 4, malformed);
    asm.alu32('and', R1, 15).alu32('shiftLeft', R1, 2);
    asm.jumpIf(R1, 'below', IPV4_BYTES, malformed);
    asm.store(4, FP, STACK.headerBytes, reg(R1));
    asm.load(4, R3, R6, SKB.length).alu('add', R3, -this.linkBytes);
    asm.load(2, R2, FP, STACK.l3 + IPV4.totalBytes).fromNetwork(R2, 16);
    // Super-packets may be longer than the field can say.
    const plain = asm.fresh('plain');
    asm.load(4, R4, R6, SKB.gsoSize).jumpIf(R4, 'equal', 0, plain);
    asm.move(R2, reg(R3)).jump(sized);
    asm
      .label(plain)
      .jumpIf(R2, 'below', reg(R1), malformed)
      .jumpIf(R2, 'above', reg(R3), malformed);
    asm.label(sized).store(4, FP, STACK.totalBytes, reg(R2));
    asm.jumpIf(R1, 'above', reg(R3), malformed);
  }

  /** Has a whole ARP message of IPv4 on Ethernet. */
  arp(): void {
    const { asm } = this;
    const malformed = this.drop('drop.malformed');
    this.copy(0, STACK.frame, ETHERNET_BYTES + ARP_BYTES, this.drop('drop.runt'));
    asm.load(4, R1, FP, STACK.l3).fromNetwork(R1, 32).jumpIf32(R1, 'notEqual', ARP_KIND, malformed);
    asm.load(2, R1, FP, STACK.l3 + ARP.lengths).fromNetwork(R1, 16);
    asm.jumpIf(R1, 'notEqual', ARP_LENGTHS, malformed);
    asm.load(2, R1, FP, STACK.l3 + ARP.operation).fromNetwork(R1, 16);
    asm.jumpIf(R1, 'equal', 0, malformed).jumpIf(R1, 'above', ARP_REPLY, malformed);
  }

  /** The frame's source becomes the key of the MACs. Loses R1. */
  takeMac(): void {
    const { asm } = this;
    // Eight bytes, of which the type behind the MAC is shifted out.
    asm.load(8, R1, FP, STACK.sourceMac).alu('shiftLeft', R1, 16).alu('shiftRight', R1, 16);
    asm.store(8, FP, STACK.macKey, reg(R1));
  }

  /** R0 = where the time of a MAC in a map is, 0 = it has none. Loses R1 to R5. */
  findMac(map: number): void {
    const { asm } = this;
    asm.loadMap(R1, map).move(R2, reg(FP)).alu('add', R2, STACK.macKey).call('mapLookup');
  }

  /** Sets the time of a MAC in a map to that on the stack. Loses R0 to R5. */
  setMac(map: number): void {
    const { asm } = this;
    asm.loadMap(R1, map).move(R2, reg(FP)).alu('add', R2, STACK.macKey);
    asm.move(R3, reg(FP)).alu('add', R3, STACK.time).move(R4, 0).call('mapUpdate');
  }

  /** Counts the packet as delivered. Loses R1 and R2. */
  countDelivered(): void {
    this.count(this.index('delivered'));
    this.countBytes(this.index('deliveredBytes'));
  }

  /** The same, and lets it go on. */
  deliver(verdict: number): void {
    this.countDelivered();
    this.asm.move(R0, verdict).exit();
  }

  /** The whole program, with the ends of all drops and the tails behind it. */
  build(): Uint8Array<ArrayBuffer> {
    const { asm } = this;
    const written = new Set<string>();
    // One of them may ask for another; the kernel takes no program with a part that nothing leads to.
    const writeOnce = (label: string, write: () => void): void => {
      if (written.has(label) || !asm.isUsed(label)) return;
      written.add(label);
      asm.label(label);
      write();
    };
    for (let before = -1; before < written.size; ) {
      before = written.size;
      for (const [index, label] of this.#drops) writeOnce(label, () => this.#endDrop(index));
      for (const [label, write] of this.#tails) writeOnce(label, write);
    }
    for (const [label, write] of this.#lastTails) writeOnce(label, write);
    return asm.build();
  }

  #endDrop(index: number): void {
    this.count(index);
    if (this.#atDrop?.indexes.includes(index)) this.#atDrop.go(index);
    else this.asm.move(R0, TC_SHOT).exit();
  }
}
