/**
 * Messages of Neighbour Discovery as a switch sees them, judged as wire/six/nd-link.ts judges them, but for their
 * checksum: that is the receiver's to see.
 * @module
 */
import { PROTOCOL_ICMPV6 } from '../../wire/ipv4.ts';
import { IPV6_HEADER_BYTES, IPV6_HOP_LIMIT_OFFSET } from '../../wire/ipv6.ts';
import {
  ND_HOP_LIMIT,
  ND_NEIGHBOUR_ADVERT,
  ND_NEIGHBOUR_BYTES,
  ND_NEIGHBOUR_SOLICIT,
  ND_REDIRECT,
  ND_ROUTER_ADVERT,
  ND_ROUTER_SOLICIT,
  ND_SOLICITED,
} from '../../wire/six/nd.ts';
import { reg } from '../assembler.ts';
import { Register } from '../instructions.ts';
import { STACK } from '../link-program.ts';
import {
  branchIfUnspecified,
  branchUnlessMany,
  mustBeSolicitedNode,
  TARGET,
} from '../neighbour.ts';
import { copyAt } from '../six-header.ts';
import { type NetworkProgram, PLACES } from './network-program.ts';

const { R1, R2, R3, R4, FP } = Register;

const ICMP_HEADER_BYTES = 8;
const OPTION_UNIT_BYTES = 8;
const OPTION_UNIT_SHIFT = 3;
const LINK_ADDRESS = { source: 1, target: 2 } as const;
const MULTICAST = 0xff;
/** A router tells of prefixes, routes and servers; a program has no loop without an end. */
const OPTIONS_MAX = 16;
/** Bytes without options of those that are not about a neighbour. */
const FIXED_BYTES = [
  [ND_ROUTER_SOLICIT, 8],
  [ND_ROUTER_ADVERT, 16],
  [ND_REDIRECT, 40],
] as const;
/** Where the kind of option is kept that names the sender's MAC; 0 = none may. */
const WANTED = STACK.longHeader;

/** Goes to `nd` with an IPv6 packet in hand that is a message of Neighbour Discovery. Loses R0 to R5. */
export function branchToNd(program: NetworkProgram, nd: string): void {
  const { asm } = program;
  const other = asm.fresh('other');
  const malformed = program.drop('drop.malformed');
  asm.load(8, R1, FP, STACK.next).jumpIf(R1, 'notEqual', PROTOCOL_ICMPV6, other);
  asm.load(8, R2, FP, STACK.nextAt).load(8, R1, FP, STACK.end).alu('sub', R1, reg(R2));
  asm.jumpIf(R1, 'equal', 0, other);
  copyAt(program, STACK.neighbour, 1, malformed);
  asm.load(1, R1, FP, STACK.neighbour).jumpIf(R1, 'below', ND_ROUTER_SOLICIT, other);
  asm.jumpIf(R1, 'above', ND_REDIRECT, other);
  // RFC 6980 §5: never in fragments; and nobody honest hides it behind other headers.
  asm.load(8, R1, FP, STACK.nextAt).jumpIf(R1, 'equal', IPV6_HEADER_BYTES, nd).jump(malformed);
  asm.label(other);
}

/** Has a whole message, which names its frame's sender or nobody: else it ends, or goes to `foreign`. Loses R0 to R5. */
export function takeNd(program: NetworkProgram, foreign: string): void {
  const { asm } = program;
  const malformed = program.drop('drop.malformed');
  const [neighbour, fixed] = [asm.fresh('neighbour'), asm.fresh('fixed')];
  asm.load(8, R2, FP, STACK.nextAt).load(8, R4, FP, STACK.end).alu('sub', R4, reg(R2));
  asm.jumpIf(R4, 'below', ICMP_HEADER_BYTES, malformed);
  copyAt(program, STACK.neighbour, ICMP_HEADER_BYTES, malformed);
  asm.load(1, R1, FP, STACK.ipv6 + IPV6_HOP_LIMIT_OFFSET);
  asm.jumpIf(R1, 'notEqual', ND_HOP_LIMIT, malformed);
  asm.load(1, R1, FP, STACK.neighbour + 1).jumpIf(R1, 'notEqual', 0, malformed);
  asm.store(8, FP, WANTED, LINK_ADDRESS.source);
  asm.load(1, R1, FP, STACK.neighbour).move(R3, ND_NEIGHBOUR_BYTES);
  asm.jumpIf(R1, 'equal', ND_NEIGHBOUR_SOLICIT, neighbour);
  asm.jumpIf(R1, 'equal', ND_NEIGHBOUR_ADVERT, neighbour);
  for (const [type, bytes] of FIXED_BYTES) {
    asm.move(R3, bytes).jumpIf(R1, 'equal', type, fixed);
  }
  asm.jump(malformed).label(neighbour);
  checkNeighbour(program);
  asm.move(R3, ND_NEIGHBOUR_BYTES).label(fixed);
  asm.load(8, R2, FP, STACK.nextAt).alu('add', R2, reg(R3)).load(8, R4, FP, STACK.end);
  asm.jumpIf(R2, 'above', reg(R4), malformed).store(8, FP, STACK.nextAt, reg(R2));
  checkOptions(program, foreign);
}

/** A question or an advertisement as RFC 4861 §7.1.1 and §7.1.2 want it; what it may name. Loses R0 to R5. */
function checkNeighbour(program: NetworkProgram): void {
  const { asm } = program;
  const malformed = program.drop('drop.malformed');
  const [advert, checked, probe] = [asm.fresh('advert'), asm.fresh('checked'), asm.fresh('probe')];
  asm.load(8, R2, FP, STACK.nextAt).load(8, R4, FP, STACK.end).alu('sub', R4, reg(R2));
  asm.jumpIf(R4, 'below', ND_NEIGHBOUR_BYTES, malformed);
  copyAt(program, STACK.neighbour, ND_NEIGHBOUR_BYTES, malformed);
  asm.load(1, R1, FP, TARGET).jumpIf(R1, 'equal', MULTICAST, malformed);
  asm.load(1, R1, FP, STACK.neighbour).jumpIf(R1, 'equal', ND_NEIGHBOUR_ADVERT, advert);
  branchIfUnspecified(program, probe);
  asm.jump(checked).label(probe);
  // Duplicate address detection asks the group, and does not say who asks (RFC 4862 §5.4.2).
  mustBeSolicitedNode(program, malformed);
  asm.store(8, FP, WANTED, 0).jump(checked).label(advert);
  asm.store(8, FP, WANTED, LINK_ADDRESS.target);
  branchIfUnspecified(program, malformed);
  branchUnlessMany(program, checked);
  asm.load(1, R1, FP, STACK.neighbour + 4).jumpIf(R1, 'anyBit', ND_SOLICITED, malformed);
  asm.label(checked);
}

/** Options that fill what is left of the message whole. Loses R0 to R5. */
function checkOptions(program: NetworkProgram, foreign: string): void {
  const { asm } = program;
  const malformed = program.drop('drop.malformed');
  const [next, done] = [asm.fresh('option'), asm.fresh('options')];
  const [other, named] = [asm.fresh('other'), asm.fresh('named')];
  const count = PLACES.optionsLeft;
  asm.move(R1, OPTIONS_MAX).store(8, FP, count, reg(R1)).label(next);
  asm.load(8, R2, FP, STACK.nextAt).load(8, R4, FP, STACK.end).jumpIf(R2, 'equal', reg(R4), done);
  asm.load(8, R1, FP, count).jumpIf(R1, 'equal', 0, malformed).alu('sub', R1, 1);
  asm.store(8, FP, count, reg(R1));
  asm.move(R3, reg(R2)).alu('add', R3, OPTION_UNIT_BYTES);
  asm.jumpIf(R3, 'above', reg(R4), malformed);
  copyAt(program, STACK.extension, OPTION_UNIT_BYTES, malformed);
  asm.load(1, R3, FP, STACK.extension + 1).jumpIf(R3, 'equal', 0, malformed);
  asm.load(1, R1, FP, STACK.extension).load(8, R2, FP, WANTED);
  asm.jumpIf(R2, 'notEqual', 0, named).jumpIf(R1, 'equal', LINK_ADDRESS.source, malformed);
  asm.jump(other).label(named).jumpIf(R1, 'notEqual', reg(R2), other);
  asm.jumpIf(R3, 'notEqual', 1, other);
  program.mustBeSenderMac(STACK.extension + 2, foreign);
  asm
    .label(other)
    .load(1, R3, FP, STACK.extension + 1)
    .alu('shiftLeft', R3, OPTION_UNIT_SHIFT);
  asm.load(8, R2, FP, STACK.nextAt).alu('add', R2, reg(R3)).load(8, R4, FP, STACK.end);
  asm.jumpIf(R2, 'above', reg(R4), malformed).store(8, FP, STACK.nextAt, reg(R2)).jump(next);
  asm.label(done);
}
