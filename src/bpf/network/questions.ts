/**
 * ARP and Neighbour Discovery out of a port of a layer-2 network: what they say of their sender is heard, what they
 * ask is answered where it is known. The order of the checks is that of dataplane/egress/network/arp.ts, nd.ts and
 * questions.ts.
 * @module
 */
import { BumMode } from '../../shm/network.ts';
import { egressIndex } from '../../table/counters.ts';
import { EventKind, Snooped } from '../../table/events.ts';
import { FdbFlag } from '../../table/fdb.ts';
import { Service } from '../../table/flood.ts';
import { NeighbourFlag } from '../../table/neighbours.ts';
import { ARP_REPLY } from '../../wire/arp.ts';
import { ND_NEIGHBOUR_ADVERT, ND_NEIGHBOUR_SOLICIT, ND_ROUTER_SOLICIT } from '../../wire/six/nd.ts';
import { reg } from '../assembler.ts';
import { Register } from '../instructions.ts';
import { ARP, STACK } from '../link-program.ts';
import { branchIfUnspecified, TARGET } from '../neighbour.ts';
import { dropTold } from '../news.ts';
import { SOURCE } from '../six-header.ts';
import { answerArp, answerNeighbour } from './answers.ts';
import { claim, mustBeUnspecified, type StackAddress } from './claims.ts';
import { byDestination, ofRouter, toService } from './forward.ts';
import { takeNd } from './nd.ts';
import { FDB_PLACE } from './network-path.ts';
import { type NetworkProgram, PLACES } from './network-program.ts';

const { R0, R1, R2, FP } = Register;

const SENDER_MAC = STACK.l3 + 8;
const ARP_SENDER: StackAddress = { at: STACK.l3 + ARP.sender, bytes: 4 };
const ARP_TARGET: StackAddress = { at: STACK.l3 + ARP.target, bytes: 4 };
const ND_SOURCE: StackAddress = { at: SOURCE, bytes: 16 };
const ND_TARGET: StackAddress = { at: TARGET, bytes: 16 };

/** What is for all to hear: control has heard it, and tells those who are elsewhere. */
function hush(program: NetworkProgram): string {
  if (program.path.bum === BumMode.Learn) return plain(program);
  return program.dropAt(egressIndex('drop.suppressed'));
}

/** Where the message goes on as any other frame, of which nothing is too large. */
function plain(program: NetworkProgram): string {
  return program.tail('plain', () => {
    program.asm.store(4, FP, STACK.totalBytes, 0).jump(byDestination(program));
  });
}

/** Goes to `elsewhere` where the frame is for one whose MAC is at a peer. Loses R0 to R5. */
function branchIfElsewhere(program: NetworkProgram, elsewhere: string): void {
  const { asm } = program;
  const not = asm.fresh('not');
  asm.load(1, R1, FP, STACK.frame).jumpIf(R1, 'anyBit', 1, not);
  program.takeMacAt(STACK.frame);
  program.findPlace();
  asm.jumpIf(R0, 'equal', 0, not).load(4, R1, R0, FDB_PLACE.host);
  asm.jumpIf(R1, 'notEqual', 0, elsewhere).label(not);
}

/** Who has an address? `answer` has the answer, the binding in hand and R0 its flags. Ends the packet. */
function ask(program: NetworkProgram, address: StackAddress, answer: () => void): void {
  const { asm, path } = program;
  const [unknown, others] = [asm.fresh('unknown'), asm.fresh('others')];
  const [rest, missed] = [asm.fresh('rest'), asm.fresh('missed')];
  const mac = STACK.sourceMac;
  program.findBinding(address.at, address.bytes, unknown);
  asm.alu32('and', R0, NeighbourFlag.Local);
  asm.jumpIf(R0, 'notEqual', 0, program.dropAt(egressIndex('drop.local_destination')));
  program.mustBeSenders(others);
  asm.jump(hush(program)).label(others);
  program.takeMacAt(PLACES.binding);
  program.findPlace();
  asm.jumpIf(R0, 'equal', 0, rest).load(4, R1, R0, FDB_PLACE.host).jumpIf(R1, 'equal', 0, rest);
  program.mayAnswer(rest);
  if (address.bytes === 4 && path.tellsAnswers) {
    program.tell({ kind: EventKind.Answered, mac, address });
  }
  asm.load(2, R0, FP, PLACES.binding + 6);
  answer();
  asm.label(unknown).load(4, R1, FP, PLACES.isProbe).jumpIf(R1, 'equal', 0, missed);
  program.tell({ kind: EventKind.Binding, detail: Snooped.Tentative, mac, address });
  asm.jump(hush(program)).label(missed);
  const miss = { kind: EventKind.Miss, mac, address };
  const nobody = egressIndex('drop.unknown_neighbour');
  if (path.bum === BumMode.None) {
    asm
      .jump(dropTold(program, nobody, miss))
      .label(rest)
      .jump(program.dropAt(nobody));
    return;
  }
  program.tell(miss);
  asm.label(rest).jump(plain(program));
}

/** The ARP message of a sender who may have its MAC. */
export function arp(program: NetworkProgram): void {
  const { asm } = program;
  const [says, heard, asks] = [asm.fresh('says'), asm.fresh('heard'), asm.fresh('asks')];
  program.arp();
  program.mustBeSenderMac(SENDER_MAC, program.drop('drop.bad_mac'));
  asm.store(4, FP, PLACES.isProbe, 1);
  mustBeUnspecified(program, ARP_SENDER, says);
  asm.jump(heard).label(says).store(4, FP, PLACES.isProbe, 0);
  claim(program, ARP_SENDER, Snooped.Arp);
  asm.label(heard);
  branchIfElsewhere(program, plain(program));
  asm.load(2, R1, FP, STACK.l3 + ARP.operation).fromNetwork(R1, 16);
  asm.jumpIf(R1, 'equal', ARP_REPLY, hush(program));
  for (let i = 0; i < 4; i += 2) {
    asm.load(2, R1, FP, ARP_SENDER.at + i).load(2, R2, FP, ARP_TARGET.at + i);
    asm.jumpIf(R1, 'notEqual', reg(R2), asks);
  }
  asm.jump(hush(program)).label(asks);
  ask(program, ARP_TARGET, () => answerArp(program));
}

/** The message of Neighbour Discovery of such a one. */
export function neighbours(program: NetworkProgram): void {
  const { asm } = program;
  const [asks, advert, ofOne] = [asm.fresh('asks'), asm.fresh('advert'), asm.fresh('router')];
  takeNd(program, program.drop('drop.bad_mac'));
  asm.load(1, R1, FP, STACK.neighbour).jumpIf(R1, 'equal', ND_NEIGHBOUR_SOLICIT, asks);
  asm.jumpIf(R1, 'equal', ND_NEIGHBOUR_ADVERT, advert);
  asm.jumpIf(R1, 'notEqual', ND_ROUTER_SOLICIT, ofOne);
  asm.load(1, R1, FP, STACK.frame).alu32('and', R1, 1);
  asm.jumpIf(R1, 'equal', 0, byDestination(program)).jump(toService(program, Service.Router));
  asm.label(ofOne);
  program.mustHaveFlag(FdbFlag.Router, program.drop('drop.rogue_router'));
  asm.jump(ofRouter(program));
  asm.label(asks);
  solicitation(program);
  asm.label(advert);
  claim(program, ND_TARGET, Snooped.Nd);
  // An answer to a question of control's own comes here too: it was heard.
  branchIfElsewhere(program, byDestination(program));
  asm.jump(hush(program));
}

function solicitation(program: NetworkProgram): void {
  const { asm } = program;
  const probe = asm.fresh('probe');
  asm.store(4, FP, PLACES.isProbe, 1);
  branchIfUnspecified(program, probe);
  asm.store(4, FP, PLACES.isProbe, 0);
  claim(program, ND_SOURCE, Snooped.Nd);
  asm.label(probe);
  branchIfElsewhere(program, byDestination(program));
  ask(program, ND_TARGET, () => answerNeighbour(program));
}
