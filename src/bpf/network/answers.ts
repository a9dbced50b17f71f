/**
 * Questions about who has an address, answered where they are asked: the frame itself becomes the answer and goes
 * back in by the device, as dataplane/answer/bindings.ts writes it.
 * @module
 */
import { egressIndex, eventIndex } from '../../table/counters.ts';
import { NeighbourFlag } from '../../table/neighbours.ts';
import { ARP_REPLY } from '../../wire/arp.ts';
import { PROTOCOL_ICMPV6 } from '../../wire/ipv4.ts';
import { IPV6_HEADER_BYTES } from '../../wire/ipv6.ts';
import { ND_HOP_LIMIT, ND_NEIGHBOUR_ADVERT, ND_SOLICITED } from '../../wire/six/nd.ts';
import { ND_OVERRIDE, ND_ROUTER, NEIGHBOUR_ADVERT_PACKET_BYTES } from '../../wire/six/nd-link.ts';
import { reg } from '../assembler.ts';
import { REDIRECT_INGRESS, Register, SKB, TC_OK } from '../instructions.ts';
import { ARP, ETHERNET_BYTES, ETHERTYPE, STACK } from '../link-program.ts';
import { TARGET } from '../neighbour.ts';
import { SOURCE } from '../six-header.ts';
import type { NetworkProgram } from './network-program.ts';
import { PLACES } from './network-program.ts';

const { R0, R1, R2, R3, R4, R5, R6, FP } = Register;

const MAC_BYTES = 6;
const ARP_FRAME_BYTES = 42;
const SENDER_MAC = 8;
const TARGET_MAC = 18;
const ADVERT_FRAME_BYTES = ETHERNET_BYTES + NEIGHBOUR_ADVERT_PACKET_BYTES;
/** ff02::1 on Ethernet (RFC 2464 §7), and itself, in pieces of two bytes. */
const ALL_NODES_MAC = [0x3333, 0x0000, 0x0001] as const;
const ALL_NODES = [0xff02, 0, 0, 0, 0, 0, 0, 1] as const;
const IPV6_SOURCE = 8;
const TARGET_LINK_ADDRESS = 0x0201;
const RECOMPUTE_SUM = 1;

/** The answer, in network order: two bytes at a time. */
class Answer {
  readonly #program: NetworkProgram;

  constructor(program: NetworkProgram) {
    this.#program = program;
  }

  /** Bytes of the stack. Loses R1. */
  copy(at: number, from: number, bytes: number): void {
    for (let i = 0; i < bytes; i += 2) {
      this.#program.asm.load(2, R1, FP, from + i).store(2, FP, PLACES.answer + at + i, reg(R1));
    }
  }

  /** Numbers of 16 bits. */
  write(at: number, ...words: readonly number[]): void {
    for (const [i, word] of words.entries()) {
      const swapped = ((word & 0xff) << 8) | (word >>> 8);
      this.#program.asm.store(2, FP, PLACES.answer + at + 2 * i, swapped);
    }
  }
}

/** Counts the question, and sends the answer of `bytes` back. */
function sendBack(program: NetworkProgram, bytes: number, counter: number): void {
  const { asm } = program;
  const failed = program.dropAt(egressIndex('drop.send_error'));
  asm.move(R1, reg(R6)).move(R2, bytes).move(R3, 0).call('skbChangeTail');
  asm.jumpIf(R0, 'notEqual', 0, failed);
  asm.move(R1, reg(R6)).move(R2, 0).move(R3, reg(FP)).alu('add', R3, PLACES.answer);
  asm.move(R4, bytes).move(R5, RECOMPUTE_SUM).call('skbStoreBytes');
  asm.jumpIf(R0, 'notEqual', 0, failed);
  program.count(egressIndex('drop.answered'));
  program.count(counter);
  program.markOwn();
  asm.load(4, R1, R6, SKB.deviceIndex).move(R2, REDIRECT_INGRESS).call('redirect').exit();
}

/** The ARP request in hand ends with the answer that its target has the MAC of {@link PLACES.binding}. */
export function answerArp(program: NetworkProgram): void {
  const answer = new Answer(program);
  const arp = ETHERNET_BYTES;
  answer.copy(0, STACK.frame, ARP_FRAME_BYTES);
  answer.copy(0, STACK.sourceMac, MAC_BYTES);
  answer.copy(MAC_BYTES, PLACES.binding, MAC_BYTES);
  answer.write(arp + ARP.operation, ARP_REPLY);
  answer.copy(arp + SENDER_MAC, PLACES.binding, MAC_BYTES);
  answer.copy(arp + ARP.sender, STACK.l3 + ARP.target, 4);
  answer.copy(arp + TARGET_MAC, STACK.sourceMac, MAC_BYTES);
  answer.copy(arp + ARP.target, STACK.l3 + ARP.sender, 4);
  sendBack(program, ARP_FRAME_BYTES, eventIndex('arp_answered'));
}

/** The same for a question of Neighbour Discovery; R0 has the flags of the binding. */
export function answerNeighbour(program: NetworkProgram): void {
  const { asm } = program;
  const [toOne, flagged] = [asm.fresh('one'), asm.fresh('flagged')];
  const answer = new Answer(program);
  const message = ETHERNET_BYTES + IPV6_HEADER_BYTES;
  const source = ETHERNET_BYTES + IPV6_SOURCE;
  // R2 the flags of the answer: who asks from no address is answered before all (RFC 4861 §7.2.4).
  asm.move(R2, ND_OVERRIDE).alu32('and', R0, NeighbourFlag.Router);
  asm.jumpIf(R0, 'equal', 0, flagged).alu32('or', R2, ND_ROUTER).label(flagged);
  answer.write(0, ...ALL_NODES_MAC);
  answer.write(source + 16, ...ALL_NODES);
  asm.load(4, R1, FP, PLACES.isProbe);
  const done = asm.fresh('done');
  asm.jumpIf(R1, 'equal', 0, toOne).jump(done).label(toOne);
  asm.alu32('or', R2, ND_SOLICITED);
  answer.copy(0, STACK.sourceMac, MAC_BYTES);
  answer.copy(source + 16, SOURCE, 16);
  asm.label(done);
  answer.copy(MAC_BYTES, PLACES.binding, MAC_BYTES);
  answer.write(2 * MAC_BYTES, ETHERTYPE.ipv6, 0x6000, 0);
  answer.write(ETHERNET_BYTES + 4, NEIGHBOUR_ADVERT_PACKET_BYTES - IPV6_HEADER_BYTES);
  answer.write(ETHERNET_BYTES + 6, (PROTOCOL_ICMPV6 << 8) | ND_HOP_LIMIT);
  answer.copy(source, TARGET, 16);
  answer.write(message, ND_NEIGHBOUR_ADVERT << 8, 0, 0, 0);
  asm.store(1, FP, PLACES.answer + message + 4, reg(R2));
  answer.copy(message + 8, TARGET, 16);
  answer.write(message + 24, TARGET_LINK_ADDRESS);
  answer.copy(message + 26, PLACES.binding, MAC_BYTES);
  sum(program, PLACES.answer + source, PLACES.answer + message + 2);
  sendBack(program, ADVERT_FRAME_BYTES, eventIndex('nd_answered'));
}

/** The checksum of the message at the end of the answer, whose addresses begin at a place. Loses R0 to R5. */
function sum(program: NetworkProgram, addresses: number, checksum: number): void {
  const { asm } = program;
  const bytes = NEIGHBOUR_ADVERT_PACKET_BYTES - IPV6_HEADER_BYTES;
  asm.move(R1, 0).move(R2, 0).move(R3, reg(FP)).alu('add', R3, addresses);
  // What of the pseudo header is no address (RFC 8200 §8.1), as the words beside it stand in memory.
  asm
    .move(R4, 32 + bytes)
    .move(R5, (bytes + PROTOCOL_ICMPV6) << 8)
    .call('checksumDifference');
  for (let i = 0; i < 2; i++) {
    asm.move(R1, reg(R0)).alu32('and', R1, 0xffff);
    asm.alu32('shiftRight', R0, 16).alu32('add', R0, reg(R1));
  }
  asm.alu32('xor', R0, 0xffff).store(2, FP, checksum, reg(R0));
}

/** Before all else: an answer of ours has no tunnel key, and goes to who asked. The packet is at R1. Loses R0 to R5. */
export function passAnswers(program: NetworkProgram): void {
  const { asm } = program;
  const main = asm.fresh('main');
  program.branchIfOwn(
    program.tail('answer.own', () => {
      asm.move(R1, reg(R6)).jumpIf(R0, 'equal', 0, main);
      program.unmark();
      asm.move(R0, TC_OK).exit();
    }),
  );
  asm.label(main);
}
