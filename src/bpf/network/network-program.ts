/**
 * What the two programs of a layer-2 network have in common beside what those of all links have: where a MAC is,
 * which MAC an address has, rates, and word to control of a packet that goes on.
 *
 * More of the stack, by offset from its top (link-program.ts has the rest):
 *
 * ```
 *   -392  what the neighbours have of an address (BINDING)
 *   -400  where the FDB has the sender: host, then flags
 *   -404  VNI of the target
 *   -408  class of the outer header
 *   -498  a frame that answers, 86 bytes
 *
 * and in place of keys of a fan's entries:
 *
 *   -52   of what comes in, what is known of the host that sent it
 *   -56   whether whoever asks would like to have the address; of what comes in, whether it is of a service
 *   -304  how many more options are looked at
 *   -308  the host that gets none
 *   -296  the outer TOS byte that the packet came with
 * ```
 * @module
 */
import { eventIndex } from '../../table/counters.ts';
import type { Service } from '../../table/flood.ts';
import { reg } from '../assembler.ts';
import { Register, SKB, TUNNEL_KEY, TUNNEL_KEY_BYTES } from '../instructions.ts';
import { type Direction, LinkProgram, STACK } from '../link-program.ts';
import { endTold, LIMIT, type Subject, writeNews } from '../news.ts';
import { BINDING, FDB_PLACE, FLOOD, type NetworkMaps, type NetworkPath } from './network-path.ts';

const { R0, R1, R2, R3, R4, R6, R9, FP } = Register;

export const PLACES = {
  binding: -392,
  sourceHost: -400,
  sourceFlags: -396,
  vni: -404,
  outerClass: -408,
  answer: -498,
  isProbe: -56,
  vtepFlags: -52,
  isService: -56,
  optionsLeft: -304,
  exceptHost: -308,
  savedTos: -296,
} as const;

/** In the packet's first free word: it is one of ours, made of another one here. */
const OWN = 0x66616e77;
/** Verdicts that stand for places where packets go on; real ones are small. */
const GOES_ON = 1000;
/** A second, nearly: 2^30 ns. */
const SECOND_SHIFT = 30;
const LIMITED = eventIndex('neighbour_limited');
/** Of which a burst is let pass. */
const ANSWERS_PER_SECOND = 20_000;

export class NetworkProgram extends LinkProgram<NetworkPath, NetworkMaps> {
  readonly goesOn = new Map<number, string>();

  constructor(direction: Direction, path: NetworkPath, maps: NetworkMaps) {
    super(direction, path, maps);
  }

  /** R0 = the value of a key on the stack, 0 = it has none. Loses R1 to R5. */
  find(map: number, key: number): void {
    this.asm.loadMap(R1, map).move(R2, reg(FP)).alu('add', R2, key).call('mapLookup');
  }

  /** The MAC at an even place becomes the key of the MACs. Loses R1 and R2. */
  takeMacAt(at: number): void {
    const { asm } = this;
    asm.load(2, R1, FP, at).store(2, FP, STACK.macKey, reg(R1));
    asm.load(2, R1, FP, at + 2).store(2, FP, STACK.macKey + 2, reg(R1));
    asm.load(2, R1, FP, at + 4).store(2, FP, STACK.macKey + 4, reg(R1));
    asm.store(2, FP, STACK.macKey + 6, 0);
  }

  /** R0 = what the FDB has of the MAC that was taken last, 0 = nothing. Loses R1 to R5. */
  findPlace(): void {
    this.find(this.maps.fdb, STACK.macKey);
  }

  /** Keeps what the FDB has of the sender, which is at R0. Loses R1 and R2: its host and its flags. */
  keepSource(): void {
    const { asm } = this;
    asm.load(4, R1, R0, FDB_PLACE.host).store(4, FP, PLACES.sourceHost, reg(R1));
    asm.load(4, R2, R0, FDB_PLACE.flags).store(4, FP, PLACES.sourceFlags, reg(R2));
  }

  /** Goes to `without` unless the FDB says of the sender that it has a flag. Loses R1. */
  mustHaveFlag(flag: number, without: string): void {
    const { asm } = this;
    asm.load(4, R1, FP, PLACES.sourceFlags).alu32('and', R1, flag);
    asm.jumpIf(R1, 'equal', 0, without);
  }

  /**
   * Finds which MAC the address at a place has: goes to `unknown`, or has it at {@link PLACES.binding} and R0 its
   * flags. Loses R1 to R5.
   */
  findBinding(at: number, bytes: 4 | 16, unknown: string): void {
    const { asm, maps } = this;
    this.find(bytes === 4 ? maps.neighbours : maps.neighbours6, at);
    asm.jumpIf(R0, 'equal', 0, unknown);
    asm.load(8, R1, R0, BINDING.mac).store(8, FP, PLACES.binding, reg(R1));
    asm.load(2, R0, FP, PLACES.binding + BINDING.flags);
  }

  /** Goes to `other` unless the binding that was found is of the frame's sender. Loses R1 and R2. */
  mustBeSenders(other: string): void {
    const { asm } = this;
    asm.load(8, R1, FP, PLACES.binding).alu('shiftLeft', R1, 16);
    asm.load(8, R2, FP, STACK.sourceMac).alu('shiftLeft', R2, 16);
    asm.jumpIf(R1, 'notEqual', reg(R2), other);
  }

  /** Goes to `other` unless the MAC at an even place is the frame's sender. Loses R1 and R2. */
  mustBeSenderMac(at: number, other: string): void {
    const { asm } = this;
    for (let i = 0; i < 6; i += 2) {
      asm.load(2, R1, FP, at + i).load(2, R2, FP, STACK.sourceMac + i);
      asm.jumpIf(R1, 'notEqual', reg(R2), other);
    }
  }

  /** Tells control of a packet that goes on then. Loses R0 to R5 and R9. */
  tell(subject: Subject, againNs?: number): void {
    const { asm } = this;
    const on = asm.fresh('on');
    const verdict = GOES_ON + this.goesOn.size;
    this.goesOn.set(verdict, on);
    writeNews(asm, subject);
    endTold(this, verdict, undefined, againNs);
    asm.label(on);
    this.takeSegments();
  }

  /** Goes to `over` once a second's share of what a counter is about is used up. Loses R0 to R5. */
  withinRate(place: number, perSecond: number, over: string): void {
    const { asm, maps } = this;
    const [found, same, may] = [asm.fresh('found'), asm.fresh('same'), asm.fresh('may')];
    asm.call('ktimeCoarseNs').alu('shiftRight', R0, SECOND_SHIFT).store(8, FP, STACK.time, reg(R0));
    asm.store(4, FP, STACK.scratch, place);
    this.find(maps.limits, STACK.scratch);
    asm.jumpIf(R0, 'notEqual', 0, found).jump(over).label(found);
    asm.load(8, R1, FP, STACK.time).load(8, R2, R0, LIMIT.second);
    asm.jumpIf(R2, 'equal', reg(R1), same);
    asm.store(8, R0, LIMIT.second, reg(R1)).store(8, R0, LIMIT.count, 0).label(same);
    asm.load(8, R2, R0, LIMIT.count).jumpIf(R2, 'aboveOrEqual', perSecond, over).label(may);
    asm.alu('add', R2, 1).store(8, R0, LIMIT.count, reg(R2));
  }

  /** The same for answers, of which those too many are counted. */
  mayAnswer(otherwise: string): void {
    const { asm } = this;
    const [limited, may] = [asm.fresh('limited'), asm.fresh('answer')];
    this.withinRate(LIMITED, ANSWERS_PER_SECOND, limited);
    asm.jump(may).label(limited);
    this.count(LIMITED);
    asm.jump(otherwise).label(may);
  }

  /** R9 and the VNI at {@link PLACES.vni} = who has a service; goes to `nobody`. Loses R1. */
  findService(service: Service, nobody: string): void {
    const { asm, maps } = this;
    const at = FLOOD.services + service * FLOOD.target.bytes;
    asm.loadMapValue(R1, maps.floods).load(4, R9, R1, at).jumpIf(R9, 'equal', 0, nobody);
    asm.load(4, R1, R1, at + FLOOD.target.vni).store(4, FP, PLACES.vni, reg(R1));
  }

  /** Goes to `elsewhere` unless a service is here. Loses R1 and R2. */
  mustServe(service: Service, elsewhere: string): void {
    const { asm, maps, path } = this;
    asm.loadMapValue(R1, maps.floods);
    asm.load(4, R2, R1, FLOOD.services + service * FLOOD.target.bytes);
    asm.jumpIf32(R2, 'notEqual', path.local, elsewhere);
  }

  /** Marks the packet as one of our own making, for the programs that it meets next. Loses R1. */
  markOwn(): void {
    this.asm.move(R1, OWN).store(4, R6, SKB.note, reg(R1));
  }

  /** It goes on as what it was. Loses R1. */
  unmark(): void {
    this.asm.move(R1, 0).store(4, R6, SKB.note, reg(R1));
  }

  /**
   * Before all else: goes to `own` where the packet, at R1, was marked as one of our own making. What others left in
   * that word may look the same: so `own` looks at the tunnel key too.
   */
  branchIfOwn(own: string): void {
    const { asm } = this;
    const other = asm.fresh('other');
    asm.load(4, R2, R1, SKB.note).jumpIf32(R2, 'notEqual', OWN, other).move(R6, reg(R1));
    this.takeTunnelKey();
    asm.jump(own).label(other);
  }

  /** Has the packet's tunnel key; R0 is not 0 where it has none. Loses R1 to R5. */
  takeTunnelKey(): void {
    const { asm } = this;
    const at = STACK.tunnelKey;
    asm.move(R1, reg(R6)).move(R2, reg(FP)).alu('add', R2, at).move(R3, TUNNEL_KEY_BYTES);
    asm.move(R4, 0).call('getTunnelKey');
  }

  /** R9 = the host that it came from, by its tunnel key. */
  takeHost(): void {
    this.asm.load(4, R9, FP, STACK.tunnelKey + TUNNEL_KEY.remoteIpv4);
  }
}
