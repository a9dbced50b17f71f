/**
 * IPv4 in what came in by a link, judged as wire/classify.ts judges it, and what the outer header makes of its TOS byte.
 * @module
 */
import { reg } from './assembler.ts';
import { Register, SKB } from './instructions.ts';
import { classFromOuter } from './inward.ts';
import { FRAGMENT_MASK, IPV4, type LinkProgram, STACK } from './link-program.ts';

const { R0, R1, R2, R3, R4, R5, R6, FP } = Register;

const IPV4_BYTES = 20;
const IPV4_BYTES_MAX = 60;
const PACKET_BYTES_MAX = 65_535;
const FRAGMENT_OFFSET_MASK = 0x1fff;
const MORE_FRAGMENTS = 0x2000;
const PROTOCOL_TCP = 6;
const TCP_HEADER_BYTES = 20;
const OPTION = { end: 0, nop: 1, looseRoute: 131, strictRoute: 137 } as const;

/** The header's checksum, and its options where it has any (RFC 791 §3.1, RFC 7126 §4.3). */
export function checkHeader(program: LinkProgram): void {
  const { asm } = program;
  const malformed = program.drop('drop.malformed');
  const plain = asm.fresh('plain');
  const summed = asm.fresh('summed');
  asm.load(4, R4, FP, STACK.headerBytes).jumpIf(R4, 'equal', IPV4_BYTES, plain);
  for (let i = 0; i < IPV4_BYTES_MAX; i += 4) asm.store(4, FP, STACK.longHeader + i, 0);
  // Bounds that the kernel's checker follows.
  asm.jumpIf(R4, 'above', IPV4_BYTES_MAX, malformed).jumpIf(R4, 'below', IPV4_BYTES, malformed);
  asm.move(R1, reg(R6)).move(R2, program.linkBytes);
  asm.move(R3, reg(FP)).alu('add', R3, STACK.longHeader);
  asm.call('skbLoadBytes').jumpIf(R0, 'notEqual', 0, malformed);
  checkOptions(program);
  asm.move(R3, reg(FP)).alu('add', R3, STACK.longHeader).move(R4, IPV4_BYTES_MAX).jump(summed);
  asm.label(plain);
  asm.move(R3, reg(FP)).alu('add', R3, STACK.l3).move(R4, IPV4_BYTES);
  asm.label(summed);
  asm.move(R1, 0).move(R2, 0).move(R5, 0).call('checksumDifference');
  for (let i = 0; i < 2; i++) {
    asm.move(R1, reg(R0)).alu32('and', R1, 0xffff);
    asm.alu32('shiftRight', R0, 16).alu32('add', R0, reg(R1));
  }
  asm.jumpIf32(R0, 'notEqual', 0xffff, malformed);
}

/** Options whose lengths add up, and no source route. */
function checkOptions(program: LinkProgram): void {
  const { asm } = program;
  const malformed = program.drop('drop.malformed');
  const next = asm.fresh('option');
  const one = asm.fresh('nop');
  const done = asm.fresh('options');
  // R2 where we are, R4 the end.
  asm.move(R2, IPV4_BYTES).load(4, R4, FP, STACK.headerBytes);
  asm.label(next).jumpIf(R2, 'aboveOrEqual', reg(R4), done);
  asm.jumpIf(R2, 'above', IPV4_BYTES_MAX - 1, done);
  asm.move(R3, reg(FP)).alu('add', R3, reg(R2)).load(1, R1, R3, STACK.longHeader);
  asm.jumpIf(R1, 'equal', OPTION.end, done).jumpIf(R1, 'equal', OPTION.nop, one);
  asm.jumpIf(R1, 'equal', OPTION.looseRoute, malformed);
  asm.jumpIf(R1, 'equal', OPTION.strictRoute, malformed);
  asm.move(R5, reg(R2)).alu('add', R5, 1).jumpIf(R5, 'aboveOrEqual', reg(R4), malformed);
  asm.jumpIf(R5, 'above', IPV4_BYTES_MAX - 1, malformed);
  asm.move(R3, reg(FP)).alu('add', R3, reg(R5)).load(1, R1, R3, STACK.longHeader);
  asm.jumpIf(R1, 'below', 2, malformed).alu('add', R2, reg(R1));
  asm.jumpIf(R2, 'above', reg(R4), malformed).jump(next);
  asm.label(one).alu('add', R2, 1).jump(next);
  asm.label(done);
}

/** Fragments that only an attacker cuts so (wire/classify.ts, checkIpv4Fragment). */
export function checkFragment(program: LinkProgram): void {
  const { asm } = program;
  const malformed = program.drop('drop.malformed');
  const sound = asm.fresh('sound');
  const last = asm.fresh('last');
  asm
    .load(2, R1, FP, STACK.l3 + IPV4.fragment)
    .fromNetwork(R1, 16)
    .move(R2, reg(R1));
  asm.alu32('and', R2, FRAGMENT_MASK).jumpIf(R2, 'equal', 0, sound);
  // R2 where its payload begins, R3 how long that is.
  asm.load(4, R3, FP, STACK.totalBytes).load(4, R4, FP, STACK.headerBytes);
  asm.alu('sub', R3, reg(R4)).jumpIf(R3, 'equal', 0, malformed);
  asm.move(R2, reg(R1)).alu32('and', R2, FRAGMENT_OFFSET_MASK).alu32('shiftLeft', R2, 3);
  asm.alu32('and', R1, MORE_FRAGMENTS).jumpIf(R1, 'equal', 0, last);
  asm.jumpIf(R3, 'anyBit', 7, malformed);
  asm.label(last).move(R4, reg(R2)).alu('add', R4, reg(R3));
  asm.jumpIf(R4, 'above', PACKET_BYTES_MAX - IPV4_BYTES, malformed);
  asm.load(1, R1, FP, STACK.l3 + IPV4.protocol).jumpIf(R1, 'notEqual', PROTOCOL_TCP, sound);
  asm.jumpIf(R2, 'equal', 8, malformed).jumpIf(R2, 'notEqual', 0, sound);
  asm.jumpIf(R3, 'below', TCP_HEADER_BYTES, malformed);
  asm.label(sound);
}

/**
 * What the kernel leaves of the outer TOS byte: ECT(1) outside goes over ECT(0) inside (RFC 6040 §4.2), and
 * by the uniform model (RFC 2983) the outer DSCP becomes the packet's.
 */
export function takeTos(program: LinkProgram): void {
  const { asm } = program;
  const same = asm.fresh('same');
  // R2 as it is, R1 as it becomes.
  asm.load(2, R3, FP, STACK.l3).load(1, R2, FP, STACK.l3 + IPV4.tos);
  asm.move(R1, reg(R2));
  classFromOuter(program, same);
  // The checksum first, from the two bytes that hold it as they are to those that they become.
  asm.store(1, FP, STACK.l3 + IPV4.tos, reg(R1)).load(2, R4, FP, STACK.l3);
  asm
    .move(R1, reg(R6))
    .move(R2, program.linkBytes + IPV4.checksum)
    .move(R5, 2);
  asm.call('l3ChecksumReplace');
  asm.move(R1, reg(R6)).move(R2, program.linkBytes + IPV4.tos);
  asm
    .move(R3, reg(FP))
    .alu('add', R3, STACK.l3 + IPV4.tos)
    .move(R4, 1)
    .move(R5, 0);
  asm.call('skbStoreBytes');
  asm.label(same);
}

/** Nothing of a link is larger than its MTU; only TCP can be cut to size again. */
export function checkSize(program: LinkProgram): void {
  const { asm, path } = program;
  const tooBig = program.drop('drop.too_big');
  const fits = asm.fresh('fits');
  asm.load(4, R1, R6, SKB.gsoSize).jumpIf(R1, 'notEqual', 0, fits);
  asm.load(4, R1, FP, STACK.totalBytes).jumpIf(R1, 'belowOrEqual', path.innerMtu, fits);
  asm.load(1, R1, FP, STACK.l3 + IPV4.protocol).jumpIf(R1, 'notEqual', PROTOCOL_TCP, tooBig);
  asm.load(2, R1, FP, STACK.l3 + IPV4.fragment).fromNetwork(R1, 16);
  asm.jumpIf(R1, 'anyBit', FRAGMENT_MASK, tooBig);
  asm.label(fits);
}
