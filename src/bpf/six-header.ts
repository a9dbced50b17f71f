/**
 * IPv6 in the programs of a fan: the header, and what stands between it and what it carries, judged as
 * wire/classify.ts and wire/six/extensions.ts judge them.
 * @module
 */
import { IPV6_EXTENSIONS_MAX, isTunnelProtocol } from '../wire/classify.ts';
import { PROTOCOL_TCP } from '../wire/ipv4.ts';
import {
  IPV6_DESTINATION_OFFSET,
  IPV6_HEADER_BYTES,
  IPV6_NEXT_HEADER_OFFSET,
  IPV6_PAYLOAD_OFFSET,
  IPV6_SOURCE_OFFSET,
  NEXT_AUTHENTICATION,
  NEXT_DESTINATION_OPTIONS,
  NEXT_FRAGMENT,
  NEXT_HOP_BY_HOP,
  NEXT_ROUTING,
} from '../wire/ipv6.ts';
import { reg } from './assembler.ts';
import { Register, SKB } from './instructions.ts';
import { ETHERNET_BYTES, type LinkProgram, STACK } from './link-program.ts';

const { R0, R1, R2, R3, R4, R5, R6, FP } = Register;

/** Where the two addresses are. */
export const SOURCE = STACK.ipv6 + IPV6_SOURCE_OFFSET;
export const DESTINATION = STACK.ipv6 + IPV6_DESTINATION_OFFSET;

const EXTENSION_BYTES = 8;
const TCP_HEADER_BYTES = 20;
const PAYLOAD_BYTES_MAX = 65_535;
const OFFSET_MASK = 0xfff8;
const MORE = 1;
const MULTICAST = 0xff;

/** Copies bytes of the packet, from `at` (R2, from its IPv6 header on) to the stack. Loses R0 to R5. */
export function copyAt(program: LinkProgram, to: number, bytes: number, short: string): void {
  const { asm } = program;
  asm.alu('add', R2, ETHERNET_BYTES).move(R1, reg(R6));
  asm.move(R3, reg(FP)).alu('add', R3, to).move(R4, bytes).call('skbLoadBytes');
  asm.jumpIf(R0, 'notEqual', 0, short);
}

/** Has the header, and judges the lengths that it tells. */
function takeHeader(program: LinkProgram): void {
  const { asm } = program;
  const malformed = program.drop('drop.malformed');
  const [payload, plain, sized] = [asm.fresh('payload'), asm.fresh('plain'), asm.fresh('sized')];
  program.copy(ETHERNET_BYTES, STACK.ipv6, IPV6_HEADER_BYTES, program.drop('drop.runt'));
  asm.load(1, R1, FP, STACK.ipv6).alu32('shiftRight', R1, 4).jumpIf(R1, 'notEqual', 6, malformed);
  asm.load(1, R1, FP, STACK.ipv6 + IPV6_NEXT_HEADER_OFFSET).store(8, FP, STACK.next, reg(R1));
  asm.load(2, R2, FP, STACK.ipv6 + IPV6_PAYLOAD_OFFSET).fromNetwork(R2, 16);
  asm.load(4, R3, R6, SKB.length).alu('add', R3, -ETHERNET_BYTES);
  // Super-packets may be longer than the field can say.
  asm.load(4, R4, R6, SKB.gsoSize).jumpIf(R4, 'equal', 0, plain).move(R2, reg(R3)).jump(sized);
  asm.label(plain).jumpIf(R2, 'notEqual', 0, payload);
  // RFC 2675 §2: this announces a jumbogram.
  asm.jumpIf(R1, 'equal', NEXT_HOP_BY_HOP, malformed);
  asm.label(payload).alu('add', R2, IPV6_HEADER_BYTES).jumpIf(R2, 'above', reg(R3), malformed);
  asm.label(sized).store(8, FP, STACK.end, reg(R2)).store(4, FP, STACK.totalBytes, reg(R2));
}

/** A fragment header in hand: on to `later` where what it carries is no beginning; R3 = where it ends. */
function takeFragment(program: LinkProgram, later: string): void {
  const { asm } = program;
  const malformed = program.drop('drop.malformed');
  const [more, bounded] = [asm.fresh('more'), asm.fresh('bounded')];
  asm.store(8, FP, STACK.isFragment, 1);
  // R1 the word of offset and flag, R3 the offset, R5 how many bytes it carries.
  asm.load(2, R1, FP, STACK.extension + 2).fromNetwork(R1, 16);
  asm.move(R3, reg(R1)).alu32('and', R3, OFFSET_MASK);
  asm.load(8, R2, FP, STACK.nextAt).load(8, R5, FP, STACK.end);
  asm.alu('sub', R5, reg(R2)).alu('sub', R5, EXTENSION_BYTES).jumpIf(R5, 'equal', 0, malformed);
  asm.jumpIf(R1, 'anyBit', MORE, more).jump(bounded);
  asm.label(more).jumpIf(R5, 'anyBit', 7, malformed).jumpIf(R3, 'notEqual', 0, bounded);
  asm.store(8, FP, STACK.pieceBytes, reg(R5));
  asm.label(bounded).move(R0, reg(R3)).alu('add', R0, reg(R5));
  asm.jumpIf(R0, 'above', PAYLOAD_BYTES_MAX, malformed).jumpIf(R3, 'notEqual', 0, later);
  asm.move(R3, reg(R2)).alu('add', R3, EXTENSION_BYTES);
}

/** One header of the chain; on to `walked` where it is no extension header. */
function takeExtension(program: LinkProgram, count: number, walked: string): void {
  const { asm } = program;
  const malformed = program.drop('drop.malformed');
  const labels = ['extension', 'fragment', 'authentication', 'step', 'moved'].map((name) =>
    asm.fresh(name),
  );
  const [extension = '', fragment = '', authentication = '', step = '', moved = ''] = labels;
  const one = count < IPV6_EXTENSIONS_MAX ? extension : malformed;
  asm.load(8, R1, FP, STACK.next).jumpIf(R1, 'equal', NEXT_ROUTING, malformed);
  // First or not at all (RFC 8200 §4.3).
  asm.jumpIf(R1, 'equal', NEXT_HOP_BY_HOP, count === 0 ? extension : malformed);
  for (const next of [NEXT_FRAGMENT, NEXT_DESTINATION_OPTIONS, NEXT_AUTHENTICATION]) {
    asm.jumpIf(R1, 'equal', next, one);
  }
  asm.jump(walked);
  if (count === IPV6_EXTENSIONS_MAX) return;
  asm.label(extension).load(8, R2, FP, STACK.nextAt).load(8, R4, FP, STACK.end);
  asm.move(R3, reg(R2)).alu('add', R3, EXTENSION_BYTES).jumpIf(R3, 'above', reg(R4), malformed);
  copyAt(program, STACK.extension, EXTENSION_BYTES, malformed);
  asm.load(8, R1, FP, STACK.next).jumpIf(R1, 'equal', NEXT_FRAGMENT, fragment);
  // RFC 4302 §2.2 counts in 4-byte units minus 2, RFC 8200 in 8-byte units minus 1.
  asm.load(1, R2, FP, STACK.extension + 1).load(8, R3, FP, STACK.nextAt);
  asm.jumpIf(R1, 'equal', NEXT_AUTHENTICATION, authentication);
  asm.alu('add', R2, 1).alu('shiftLeft', R2, 3).jump(step);
  asm.label(authentication).alu('add', R2, 2).alu('shiftLeft', R2, 2);
  asm.label(step).alu('add', R3, reg(R2)).jump(moved);
  asm.label(fragment);
  takeFragment(program, walked);
  asm.label(moved).load(8, R4, FP, STACK.end).jumpIf(R3, 'above', reg(R4), malformed);
  asm.store(8, FP, STACK.nextAt, reg(R3));
  asm.load(1, R1, FP, STACK.extension).store(8, FP, STACK.next, reg(R1));
}

/**
 * Has the header and judges the chain behind it: whole, no routing header, hop-by-hop options first,
 * fragments as honest ones are cut. Then `STACK.next` says what it carries and `STACK.headerBytes` where that
 * begins. Loses R0 to R5.
 */
export function takeIpv6(program: LinkProgram): void {
  const { asm } = program;
  const [walked, whole] = [asm.fresh('walked'), asm.fresh('whole')];
  takeHeader(program);
  asm.store(8, FP, STACK.nextAt, IPV6_HEADER_BYTES).store(8, FP, STACK.isFragment, 0);
  asm.store(8, FP, STACK.pieceBytes, PAYLOAD_BYTES_MAX);
  for (let count = 0; count <= IPV6_EXTENSIONS_MAX; count++) takeExtension(program, count, walked);
  asm.label(walked).load(8, R2, FP, STACK.nextAt).store(4, FP, STACK.headerBytes, reg(R2));
  // The first piece holds the transport header (RFC 7112 §5).
  asm.load(8, R1, FP, STACK.next).jumpIf(R1, 'notEqual', PROTOCOL_TCP, whole);
  asm.load(8, R2, FP, STACK.pieceBytes);
  asm.jumpIf(R2, 'below', TCP_HEADER_BYTES, program.drop('drop.malformed'));
  asm.label(whole);
}

/** Nothing of a fan goes to many but what neighbours ask. Loses R1. */
export function unicastOnly6(program: LinkProgram): void {
  const { asm } = program;
  asm.load(1, R1, FP, DESTINATION).jumpIf(R1, 'equal', MULTICAST, program.drop('drop.multicast'));
  asm.load(1, R1, FP, STACK.frame).jumpIf(R1, 'anyBit', 1, program.drop('drop.broadcast'));
}

/** Tunnels inside of this one are dropped. Loses R1. */
export function noTunnels6(program: LinkProgram): void {
  const { asm } = program;
  const nested = program.drop('drop.nested');
  asm.load(8, R1, FP, STACK.next);
  for (let protocol = 0; protocol < 256; protocol++) {
    if (isTunnelProtocol(protocol)) asm.jumpIf(R1, 'equal', protocol, nested);
  }
}
