/**
 * From an IPv6 overlay address to its host, as dataplane/ground/fan6.ts finds it. Addresses are 16 bytes at
 * places of the stack.
 * @module
 */
import { maskOf6, networkOf6, type Prefix6 } from '../net/prefix6.ts';
import { reg } from './assembler.ts';
import type { FrameProgram } from './frame-program.ts';
import { Register } from './instructions.ts';
import { STACK } from './link-program.ts';

const { R0, R1, R2, FP } = Register;

const WORDS = [0, 1, 2, 3] as const;
const WORD_BITS = 32;
const ALL_ONES = 0xffffffff;

/** Goes to `outside` unless the address is of the overlay. Loses R1. */
function mustBeInside6(
  { asm }: FrameProgram,
  overlay: Prefix6,
  address: number,
  outside: string,
): void {
  const [mask, base] = [maskOf6(overlay.length), networkOf6(overlay)];
  for (const i of WORDS) {
    if (mask[i] === 0) return;
    asm.load(4, R1, FP, address + 4 * i).fromNetwork(R1, 32);
    if (mask[i] !== ALL_ONES) asm.alu32('and', R1, mask[i]);
    asm.jumpIf32(R1, 'notEqual', base[i], outside);
  }
}

/** R0 = the host of an address of the overlay: by entry, else by arithmetic. Loses R1 to R5. */
function hostOf6(program: FrameProgram, { length }: Prefix6, address: number): void {
  const { asm, maps, path } = program;
  const [byRule, done] = [asm.fresh('rule'), asm.fresh('host')];
  asm.store(4, FP, STACK.prefixKey6, 128);
  for (const i of WORDS) {
    asm.load(4, R1, FP, address + 4 * i).store(4, FP, STACK.prefixKey6 + 4 + 4 * i, reg(R1));
  }
  asm.loadMap(R1, maps.entries6).move(R2, reg(FP)).alu('add', R2, STACK.prefixKey6);
  asm.call('mapLookup').jumpIf(R0, 'equal', 0, byRule).load(4, R0, R0, 0).jump(done);
  asm.label(byRule);
  const hostBits = WORD_BITS - path.underlay.length;
  const word = length >>> 5;
  if (hostBits === 0) asm.move(R0, 0);
  else {
    // Two words beside each other hold the whole host part; what is before it falls off.
    asm
      .load(4, R0, FP, address + 4 * word)
      .fromNetwork(R0, 32)
      .alu('shiftLeft', R0, WORD_BITS);
    if (word < 3) {
      asm
        .load(4, R1, FP, address + 4 * word + 4)
        .fromNetwork(R1, 32)
        .alu('or', R0, reg(R1));
    }
    if (length % WORD_BITS !== 0) asm.alu('shiftLeft', R0, length % WORD_BITS);
    asm.alu('shiftRight', R0, 2 * WORD_BITS - hostBits);
  }
  asm.alu32('or', R0, program.underlayBase).label(done);
}

/** R0 = the host of an address; goes to `outside` where it is not of the overlay. Loses R1 to R5. */
export function findHost6(
  program: FrameProgram,
  overlay: Prefix6,
  address: number,
  outside: string,
): void {
  mustBeInside6(program, overlay, address, outside);
  hostOf6(program, overlay, address);
}
