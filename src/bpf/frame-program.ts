/**
 * What the two programs of a fan have in common beside what those of all links have: from an overlay address to
 * its host.
 * @module
 */
import { maskOf, networkOf } from '../net/prefix.ts';
import { reg } from './assembler.ts';
import type { FanMaps, FanPath } from './fan-path.ts';
import { Register } from './instructions.ts';
import { type Direction, IPV4, LinkProgram, STACK } from './link-program.ts';

const { R0, R1, R2, FP } = Register;

const MULTICAST = 0xe;

export class FrameProgram extends LinkProgram<FanPath, FanMaps> {
  readonly overlayMask: number;
  readonly overlayBase: number;
  readonly underlayMask: number;
  readonly underlayBase: number;

  constructor(direction: Direction, path: FanPath, maps: FanMaps) {
    super(direction, path, maps);
    this.overlayMask = maskOf(path.overlay.length);
    this.overlayBase = networkOf(path.overlay);
    this.underlayMask = maskOf(path.underlay.length);
    this.underlayBase = networkOf(path.underlay);
  }

  /** Nothing of a fan goes to many. */
  unicastOnly(): void {
    const { asm } = this;
    const broadcast = this.drop('drop.broadcast');
    asm.load(4, R1, FP, STACK.l3 + IPV4.destination).fromNetwork(R1, 32);
    asm.move(R2, reg(R1)).alu32('shiftRight', R2, 28);
    asm.jumpIf(R2, 'equal', MULTICAST, this.drop('drop.multicast'));
    asm.jumpIf32(R1, 'equal', 0xffffffff, broadcast);
    if (!this.path.frames) return;
    asm.load(1, R1, FP, STACK.frame).jumpIf(R1, 'anyBit', 1, broadcast);
  }

  /** Has the address at a place of the stack as R1, a number, and in the key of the entries. */
  takeAddress(at: number): void {
    const { asm } = this;
    if (at % 4 === 0) {
      asm.load(4, R1, FP, at).store(4, FP, STACK.address, reg(R1));
    } else {
      asm.load(2, R1, FP, at).store(2, FP, STACK.address, reg(R1));
      asm.load(2, R1, FP, at + 2).store(2, FP, STACK.address + 2, reg(R1));
      asm.load(4, R1, FP, STACK.address);
    }
    asm.fromNetwork(R1, 32);
  }

  /** Goes to `outside` unless the address in hand, R1, is of the overlay. Loses R1. */
  mustBeInside(outside: string): void {
    const { asm } = this;
    asm.alu32('and', R1, this.overlayMask).jumpIf32(R1, 'notEqual', this.overlayBase, outside);
  }

  /** R0 = the host of the address in hand: by entry, else by arithmetic. Loses R1 to R5. */
  hostOf(): void {
    const { asm, path } = this;
    const byRule = asm.fresh('rule');
    const done = asm.fresh('host');
    asm.store(4, FP, STACK.prefixKey, 32);
    asm.loadMap(R1, this.maps.entries).move(R2, reg(FP)).alu('add', R2, STACK.prefixKey);
    asm.call('mapLookup').jumpIf(R0, 'equal', 0, byRule);
    asm.load(4, R0, R0, 0).jump(done);
    asm.label(byRule).load(4, R0, FP, STACK.address).fromNetwork(R0, 32);
    asm.alu32('and', R0, ~this.overlayMask);
    // On 64 bits a shift by 32 leaves 0, as it should.
    asm.alu('shiftRight', R0, path.underlay.length - path.overlay.length);
    asm.alu32('or', R0, this.underlayBase);
    asm.label(done);
  }

  /** Goes to `other` unless the host in R0 is this one. */
  mustBeHere(other: string): void {
    this.asm.jumpIf32(Register.R0, 'notEqual', this.path.local, other);
  }

  /** Goes to `nobody` where a number's bits under a mask are all 0 or all 1, if there are two at least. */
  mustBeStation(register: Register, mask: number, nobody: string): void {
    const { asm } = this;
    const bits = ~mask >>> 0;
    if (bits <= 1) return;
    asm.alu32('and', register, bits).jumpIf32(register, 'equal', 0, nobody);
    asm.jumpIf32(register, 'equal', bits, nobody);
  }

  /** The address at a place of the stack must be one that a workload can have. Loses R1. */
  mustBeWorkload(at: number, nobody: string): void {
    const { overlay, underlay, frames } = this.path;
    // Where containers of all hosts are in one network, or each host has its own.
    const length = frames ? overlay.length : Math.min(overlay.length + 32 - underlay.length, 32);
    this.asm.load(4, R1, FP, at).fromNetwork(R1, 32);
    this.mustBeStation(R1, maskOf(length), nobody);
  }
}
