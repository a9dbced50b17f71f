/**
 * Messages of Neighbour Discovery in the programs of a fan, judged as wire/six/nd.ts judges them, but for
 * their checksum: that is the receiver's to see.
 * @module
 */
import { PROTOCOL_ICMPV6 } from '../wire/ipv4.ts';
import { IPV6_HOP_LIMIT_OFFSET } from '../wire/ipv6.ts';
import {
  ND_HOP_LIMIT,
  ND_NEIGHBOUR_ADVERT,
  ND_NEIGHBOUR_BYTES,
  ND_NEIGHBOUR_SOLICIT,
  ND_REDIRECT,
  ND_ROUTER_SOLICIT,
  ND_SOLICITED,
  ndTarget,
} from '../wire/six/nd.ts';
import { reg } from './assembler.ts';
import { Register } from './instructions.ts';
import { type LinkProgram, STACK } from './link-program.ts';
import { copyAt, DESTINATION, SOURCE } from './six-header.ts';

const { R1, R2, R3, R4, FP } = Register;

/** Where the address is that a message is about. */
export const TARGET = ndTarget(STACK.neighbour);
const ICMP_HEADER_BYTES = 8;
const OPTION_UNIT_SHIFT = 3;
const SOURCE_LINK_ADDRESS = 1;
/** Honest messages have one or two; a program has no loop without an end. */
const OPTIONS_MAX = 8;
const MULTICAST = 0xff;
const ALL_NODES = [0xff020000, 0, 0, 1] as const;
/** ff02::1:ff00:0/104 (RFC 4291 §2.7.1). */
const SOLICITED_NODE = [0xff020000, 0, 1] as const;

/** Goes to `nd` with a whole ICMPv6 message that is one of Neighbour Discovery. Loses R0 to R5. */
export function branchToNeighbour(program: LinkProgram, nd: string): void {
  const { asm } = program;
  const other = asm.fresh('other');
  asm.load(8, R1, FP, STACK.next).jumpIf(R1, 'notEqual', PROTOCOL_ICMPV6, other);
  asm.load(8, R1, FP, STACK.isFragment).jumpIf(R1, 'notEqual', 0, other);
  asm.load(8, R2, FP, STACK.nextAt).load(8, R1, FP, STACK.end).alu('sub', R1, reg(R2));
  asm.jumpIf(R1, 'below', ICMP_HEADER_BYTES, other);
  copyAt(program, STACK.neighbour, ICMP_HEADER_BYTES, program.drop('drop.malformed'));
  asm.load(1, R1, FP, STACK.neighbour).jumpIf(R1, 'below', ND_ROUTER_SOLICIT, other);
  asm.jumpIf(R1, 'belowOrEqual', ND_REDIRECT, nd).label(other);
}

/** Goes to `other` unless the 16 bytes at a place are `words`, the first ones of them. Loses R1. */
function mustBeWords(
  { asm }: LinkProgram,
  address: number,
  words: readonly number[],
  other: string,
): void {
  for (const [i, word] of words.entries()) {
    asm
      .load(4, R1, FP, address + 4 * i)
      .fromNetwork(R1, 32)
      .jumpIf32(R1, 'notEqual', word, other);
  }
}

/** Goes to `other` unless the destination is ff02::1. Loses R1. */
export function mustBeAllNodes(program: LinkProgram, other: string): void {
  mustBeWords(program, DESTINATION, ALL_NODES, other);
}

/** Goes to `other` unless the destination is the group that the target is in. Loses R1 and R2. */
export function mustBeSolicitedNode(program: LinkProgram, other: string): void {
  const { asm } = program;
  mustBeWords(program, DESTINATION, SOLICITED_NODE, other);
  asm.load(4, R1, FP, DESTINATION + 12).fromNetwork(R1, 32);
  asm
    .load(4, R2, FP, TARGET + 12)
    .fromNetwork(R2, 32)
    .alu32('or', R2, 0xff000000);
  asm.jumpIf32(R1, 'notEqual', reg(R2), other);
}

/** Goes to `other` unless a question is asked of its target, or of the group that it is in. */
export function mustBeAsked(program: LinkProgram, other: string): void {
  const { asm } = program;
  const [group, asked] = [asm.fresh('group'), asm.fresh('asked')];
  for (const half of [0, 8]) {
    asm.load(8, R1, FP, DESTINATION + half).load(8, R2, FP, TARGET + half);
    asm.jumpIf(R1, 'notEqual', reg(R2), group);
  }
  asm.jump(asked).label(group);
  mustBeSolicitedNode(program, other);
  asm.label(asked);
}

/** Goes to `local` where an address is link-local (fe80::/10). Loses R1. */
export function branchIfLinkLocal({ asm }: LinkProgram, address: number, local: string): void {
  asm.load(2, R1, FP, address).fromNetwork(R1, 16).alu32('and', R1, 0xffc0);
  asm.jumpIf32(R1, 'equal', 0xfe80, local);
}

/** Goes to `one` unless the destination is a group (ff00::/8). Loses R1. */
export function branchUnlessMany({ asm }: LinkProgram, one: string): void {
  asm.load(1, R1, FP, DESTINATION).jumpIf(R1, 'notEqual', MULTICAST, one);
}

/** Goes to `nobody` where the source is `::`. Loses R1 and R2. */
export function branchIfUnspecified({ asm }: LinkProgram, nobody: string): void {
  asm
    .load(8, R1, FP, SOURCE)
    .load(8, R2, FP, SOURCE + 8)
    .alu('or', R1, reg(R2));
  asm.jumpIf(R1, 'equal', 0, nobody);
}

/** Goes to `question` or `advert` by what the message is; goes on where it is of routers. Loses R1. */
export function branchByKind({ asm }: LinkProgram, question: string, advert: string): void {
  asm.load(1, R1, FP, STACK.neighbour);
  asm.jumpIf(R1, 'equal', ND_NEIGHBOUR_SOLICIT, question);
  asm.jumpIf(R1, 'equal', ND_NEIGHBOUR_ADVERT, advert);
}

/** Options that fill what is left of the message whole; where `maySayWho` is false, none says who sent it. */
function checkOptions(program: LinkProgram, maySayWho: boolean): void {
  const { asm } = program;
  const malformed = program.drop('drop.malformed');
  const done = asm.fresh('options');
  asm.load(8, R2, FP, STACK.nextAt).alu('add', R2, ND_NEIGHBOUR_BYTES);
  asm.store(8, FP, STACK.nextAt, reg(R2));
  for (let i = 0; i <= OPTIONS_MAX; i++) {
    asm.load(8, R2, FP, STACK.nextAt).load(8, R4, FP, STACK.end);
    asm.jumpIf(R2, 'equal', reg(R4), done);
    if (i === OPTIONS_MAX) break;
    asm.move(R3, reg(R2)).alu('add', R3, 1 << OPTION_UNIT_SHIFT);
    asm.jumpIf(R3, 'above', reg(R4), malformed);
    copyAt(program, STACK.extension, 2, malformed);
    asm.load(1, R3, FP, STACK.extension + 1).jumpIf(R3, 'equal', 0, malformed);
    asm.alu('shiftLeft', R3, OPTION_UNIT_SHIFT);
    asm.load(8, R2, FP, STACK.nextAt).alu('add', R2, reg(R3));
    asm.load(8, R4, FP, STACK.end).jumpIf(R2, 'above', reg(R4), malformed);
    asm.store(8, FP, STACK.nextAt, reg(R2));
    if (maySayWho) continue;
    asm.load(1, R1, FP, STACK.extension).jumpIf(R1, 'equal', SOURCE_LINK_ADDRESS, malformed);
  }
  asm.jump(malformed).label(done);
}

/** Has a whole question or advertisement as RFC 4861 §7.1.1 and §7.1.2 want it. Loses R0 to R5. */
export function takeNeighbour(program: LinkProgram, kind: 'question' | 'advert'): void {
  const { asm } = program;
  const malformed = program.drop('drop.malformed');
  asm.load(8, R2, FP, STACK.nextAt).load(8, R1, FP, STACK.end).alu('sub', R1, reg(R2));
  asm.jumpIf(R1, 'below', ND_NEIGHBOUR_BYTES, malformed);
  copyAt(program, STACK.neighbour, ND_NEIGHBOUR_BYTES, malformed);
  asm.load(1, R1, FP, STACK.ipv6 + IPV6_HOP_LIMIT_OFFSET);
  asm.jumpIf(R1, 'notEqual', ND_HOP_LIMIT, malformed);
  asm.load(1, R1, FP, STACK.neighbour + 1).jumpIf(R1, 'notEqual', 0, malformed);
  asm.load(1, R1, FP, TARGET).jumpIf(R1, 'equal', MULTICAST, malformed);
  const [probe, checked] = [asm.fresh('probe'), asm.fresh('checked')];
  if (kind === 'question') {
    branchIfUnspecified(program, probe);
    checkOptions(program, true);
    // Duplicate address detection asks the group, and does not say who asks (RFC 4862 §5.4.2).
    asm.jump(checked).label(probe);
    mustBeSolicitedNode(program, malformed);
    checkOptions(program, false);
    asm.label(checked);
  } else {
    branchIfUnspecified(program, malformed);
    branchUnlessMany(program, checked);
    asm.load(1, R1, FP, STACK.neighbour + 4).jumpIf(R1, 'anyBit', ND_SOLICITED, malformed);
    asm.label(checked);
    checkOptions(program, true);
  }
  mustAgree(program);
}

/** A frame to many carries what goes to many, and one to one what goes to one. Loses R1 and R2. */
function mustAgree(program: LinkProgram): void {
  const { asm } = program;
  const broadcast = program.drop('drop.broadcast');
  const [group, agreed] = [asm.fresh('group'), asm.fresh('agreed')];
  asm.load(1, R2, FP, STACK.frame).load(1, R1, FP, DESTINATION);
  asm.jumpIf(R1, 'equal', MULTICAST, group).jumpIf(R2, 'anyBit', 1, broadcast).jump(agreed);
  asm.label(group).alu32('and', R2, 1).jumpIf(R2, 'equal', 0, broadcast);
  asm.label(agreed);
}
