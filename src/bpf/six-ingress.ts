/**
 * IPv6, underlay → overlay. The order of the checks is that of dataplane/ingress/six.ts, and for
 * Neighbour Discovery that of dataplane/answer/nd.ts.
 * @module
 */
import { ingressIndex } from '../table/counters.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../wire/ipv4.ts';
import { IPV6_HEADER_BYTES } from '../wire/ipv6.ts';
import { UDP_HEADER_BYTES } from '../wire/udp.ts';
import { reg } from './assembler.ts';
import type { FanPath } from './fan-path.ts';
import type { FrameProgram } from './frame-program.ts';
import { Register, SKB } from './instructions.ts';
import { classFromOuter, deliver } from './inward.ts';
import { ETHERNET_BYTES, type LinkProgram, STACK } from './link-program.ts';
import {
  branchByKind,
  branchIfLinkLocal,
  branchIfUnspecified,
  branchToNeighbour,
  branchUnlessMany,
  mustBeAllNodes,
  mustBeAsked,
  TARGET,
  takeNeighbour,
} from './neighbour.ts';
import { findHost6 } from './six-address.ts';
import { copyAt, DESTINATION, noTunnels6, SOURCE, takeIpv6, unicastOnly6 } from './six-header.ts';

const { R0, R1, R2, R3, R4, R5, R6, R9, FP } = Register;
type Six = NonNullable<FanPath['six']>;

/** Flag of the kernel's: what it knows of the packet's sum stays right. */
const RECOMPUTE_SUM = 1;
const DESTINATION_PORT_OFFSET = 2;
/** What of the first two bytes of the header is no traffic class. */
const NO_CLASS = 0xf00f;
const CLASS_SHIFT = 4;

/** The address at a place must be the sender's. Loses R0 to R5. */
function mustBeFromPeer6(program: FrameProgram, { overlay }: Six, at: number): void {
  const foreign = program.drop('drop.foreign_source');
  findHost6(program, overlay, at, foreign);
  program.asm.jumpIf32(R0, 'notEqual', reg(R9), foreign);
}

/** The address at a place must be at this host. Loses R0 to R5. */
function mustBeForUs6(program: FrameProgram, { overlay }: Six, at: number): void {
  const foreign = program.dropAt(ingressIndex('drop.foreign_destination'));
  findHost6(program, overlay, at, foreign);
  program.mustBeHere(foreign);
}

/** Packets of this very tunnel are dropped. Loses R0 to R5. */
function notThisTunnel(program: FrameProgram): void {
  const { asm, path } = program;
  const sound = asm.fresh('sound');
  noTunnels6(program);
  asm.jumpIf(R1, 'notEqual', PROTOCOL_UDP, sound);
  asm.load(8, R1, FP, STACK.isFragment).jumpIf(R1, 'notEqual', 0, sound);
  asm.load(8, R2, FP, STACK.nextAt).load(8, R1, FP, STACK.end).alu('sub', R1, reg(R2));
  asm.jumpIf(R1, 'below', UDP_HEADER_BYTES, sound).alu('add', R2, DESTINATION_PORT_OFFSET);
  copyAt(program, STACK.extension, 2, sound);
  asm.load(2, R1, FP, STACK.extension).fromNetwork(R1, 16);
  asm.jumpIf(R1, 'equal', path.port, program.drop('drop.nested')).label(sound);
}

/** Nothing of a link is larger than its MTU; only plain TCP can be cut to size again. */
export function checkSize6(program: LinkProgram): void {
  const { asm, path } = program;
  const tooBig = program.drop('drop.too_big');
  const fits = asm.fresh('fits');
  asm.load(4, R1, R6, SKB.gsoSize).jumpIf(R1, 'notEqual', 0, fits);
  asm.load(4, R1, FP, STACK.totalBytes).jumpIf(R1, 'belowOrEqual', path.innerMtu, fits);
  asm.load(8, R1, FP, STACK.next).jumpIf(R1, 'notEqual', PROTOCOL_TCP, tooBig);
  asm.load(8, R1, FP, STACK.nextAt).jumpIf(R1, 'notEqual', IPV6_HEADER_BYTES, tooBig).label(fits);
}

/** What the kernel leaves of the outer TOS byte, as `takeTos` of four-header.ts takes it for IPv4. */
export function takeClass(program: LinkProgram): void {
  const { asm } = program;
  const same = asm.fresh('same');
  // R3 the two bytes, R2 the class as it is, R1 as it becomes.
  asm.load(2, R3, FP, STACK.ipv6).fromNetwork(R3, 16).move(R2, reg(R3));
  asm.alu32('shiftRight', R2, CLASS_SHIFT).alu32('and', R2, 0xff).move(R1, reg(R2));
  classFromOuter(program, same);
  asm.alu32('shiftLeft', R1, CLASS_SHIFT).alu32('and', R3, NO_CLASS).alu32('or', R3, reg(R1));
  asm.fromNetwork(R3, 16).store(2, FP, STACK.ipv6, reg(R3));
  asm.move(R1, reg(R6)).move(R2, ETHERNET_BYTES).move(R3, reg(FP)).alu('add', R3, STACK.ipv6);
  asm.move(R4, 2).move(R5, RECOMPUTE_SUM).call('skbStoreBytes').label(same);
}

/** A question about somebody here; who asks without an address of the fan's is remembered. */
function question(program: FrameProgram, six: Six): void {
  const { asm, maps } = program;
  const [local, noted] = [asm.fresh('local'), asm.fresh('noted')];
  mustBeForUs6(program, six, TARGET);
  mustBeAsked(program, program.drop('drop.malformed'));
  branchIfLinkLocal(program, SOURCE, local);
  asm.jump(noted).label(local).store(4, FP, STACK.scratch, reg(R9)).loadMap(R1, maps.homes);
  asm.move(R2, reg(FP)).alu('add', R2, SOURCE).move(R3, reg(FP)).alu('add', R3, STACK.scratch);
  asm.move(R4, 0).call('mapUpdate').label(noted);
  takeClass(program);
  deliver(program, false);
}

function advert(program: FrameProgram, six: Six): void {
  const { asm } = program;
  const [toOne, ours] = [asm.fresh('one'), asm.fresh('ours')];
  mustBeFromPeer6(program, six, TARGET);
  branchUnlessMany(program, toOne);
  mustBeAllNodes(program, program.drop('drop.multicast'));
  asm.jump(ours).label(toOne);
  branchIfLinkLocal(program, DESTINATION, ours);
  mustBeForUs6(program, six, DESTINATION);
  asm.label(ours);
  takeClass(program);
  deliver(program, false);
}

/** Who says it must be of the sender's, unless it is of nobody in particular. */
function checkAsker(program: FrameProgram, six: Six): void {
  const { asm } = program;
  const anonymous = asm.fresh('anonymous');
  branchIfUnspecified(program, anonymous);
  branchIfLinkLocal(program, SOURCE, anonymous);
  mustBeFromPeer6(program, six, SOURCE);
  asm.label(anonymous);
}

function neighbours(program: FrameProgram, six: Six): void {
  const { asm } = program;
  const [asks, answers] = [asm.fresh('question'), asm.fresh('advert')];
  branchByKind(program, asks, answers);
  asm.jump(program.drop('drop.rogue_router'));
  asm.label(asks);
  takeNeighbour(program, 'question');
  checkAsker(program, six);
  question(program, six);
  asm.label(answers);
  takeNeighbour(program, 'advert');
  checkAsker(program, six);
  advert(program, six);
}

/** Judges an IPv6 frame that came in, of which the Ethernet header is there. */
export function sixIngress(program: FrameProgram): void {
  const { asm } = program;
  const { six } = program.path;
  if (six === undefined) {
    asm.jump(program.drop('drop.ipv6'));
    return;
  }
  const nd = asm.fresh('nd');
  takeIpv6(program);
  branchToNeighbour(program, nd);
  unicastOnly6(program);
  mustBeFromPeer6(program, six, SOURCE);
  mustBeForUs6(program, six, DESTINATION);
  notThisTunnel(program);
  checkSize6(program);
  takeClass(program);
  deliver(program, false);
  asm.label(nd);
  neighbours(program, six);
}
