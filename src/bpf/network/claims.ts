/**
 * Who speaks for which MAC and address in a layer-2 network, as dataplane/learn/claims.ts has it.
 * @module
 */
import { GuardMode } from '../../shm/network.ts';
import { egressIndex, ingressIndex } from '../../table/counters.ts';
import { EventKind, MovedTo, type Snooped } from '../../table/events.ts';
import { FdbFlag } from '../../table/fdb.ts';
import { NeighbourFlag } from '../../table/neighbours.ts';
import { reg } from '../assembler.ts';
import { Register } from '../instructions.ts';
import { STACK } from '../link-program.ts';
import { dropTold, type Subject } from '../news.ts';
import { type NetworkProgram, PLACES } from './network-program.ts';

const { R0, R1, R2, FP } = Register;

/** An address on the stack, in network order, at an even place. */
export type StackAddress = { at: number; bytes: 4 | 16 };

/** The sender of a frame from our port may have its MAC, or the frame ends. Loses R0 to R5 and R9. */
export function mayHaveMac(program: NetworkProgram): void {
  const { asm, path } = program;
  const [known, ours] = [asm.fresh('known'), asm.fresh('ours')];
  const bad = egressIndex('drop.bad_mac');
  const moved: Subject = {
    ...{ kind: EventKind.Moved, detail: MovedTo.Here, mac: STACK.sourceMac },
  };
  program.takeMac();
  program.findPlace();
  asm.jumpIf(R0, 'notEqual', 0, known);
  asm.store(4, FP, PLACES.sourceHost, 0).store(4, FP, PLACES.sourceFlags, 0);
  program.tell({ kind: EventKind.LocalMac, mac: STACK.sourceMac });
  asm.jump(ours).label(known);
  program.keepSource();
  asm.jumpIf(R1, 'equal', 0, ours);
  // It has moved here, or pretends to; control decides by what the bridge and the others say.
  const refused = dropTold(program, bad, moved);
  if (path.guard === GuardMode.Strict) asm.jump(refused);
  else {
    asm.alu32('and', R2, FdbFlag.Sticky).jumpIf(R2, 'notEqual', 0, refused);
    program.tell(moved);
  }
  asm.label(ours);
}

/** Another one has the address that the sender claims, as was just found, R0 its flags: on to `may`, or the end. */
function refuseDuplicate(program: NetworkProgram, address: StackAddress, may: string): void {
  const { asm, path } = program;
  const duplicate: Subject = { kind: EventKind.Duplicate, mac: STACK.sourceMac, address };
  const refused = dropTold(program, egressIndex('drop.foreign_source'), duplicate);
  if (path.guard === GuardMode.Strict) {
    asm.jump(refused);
    return;
  }
  if (path.guard !== GuardMode.Off) {
    asm.alu32('and', R0, NeighbourFlag.Static).jumpIf(R0, 'notEqual', 0, refused);
  }
  program.tell(duplicate);
  asm.jump(may);
}

/** The sender says, by ARP or the like, that it has an address; the frame ends where it may not. Loses R0 to R5, R9. */
export function claim(
  program: NetworkProgram,
  address: StackAddress,
  snooped: (typeof Snooped)[keyof typeof Snooped],
): void {
  const { asm } = program;
  const [unheard, other] = [asm.fresh('unheard'), asm.fresh('other')];
  const may = asm.fresh('may');
  program.findBinding(address.at, address.bytes, unheard);
  program.mustBeSenders(other);
  asm.alu32('and', R0, NeighbourFlag.Local).jumpIf(R0, 'notEqual', 0, may);
  asm.label(unheard);
  program.tell({ kind: EventKind.Binding, detail: snooped, mac: STACK.sourceMac, address });
  asm.jump(may).label(other);
  refuseDuplicate(program, address, may);
  asm.label(may);
}

/** The sender at our port may send from an address, or the frame ends. Loses R0 to R5, R9. */
export function maySendFrom(program: NetworkProgram, address: StackAddress): void {
  const { asm, path } = program;
  if (path.guard === GuardMode.Off) return;
  const [unknown, other] = [asm.fresh('unknown'), asm.fresh('other')];
  const [may, plain] = [asm.fresh('may'), asm.fresh('plain')];
  program.findBinding(address.at, address.bytes, path.guard === GuardMode.Strict ? unknown : may);
  program.mustBeSenders(other);
  asm.jump(may).label(other);
  refuseDuplicate(program, address, may);
  if (path.guard === GuardMode.Strict) {
    asm.label(unknown);
    // A router speaks for others; and who has no address yet says so.
    program.mustHaveFlag(FdbFlag.Router, plain);
    asm.jump(may).label(plain);
    mustBeUnspecified(program, address, program.drop('drop.foreign_source'));
  }
  asm.label(may);
}

/** Goes to `other` unless all of an address is 0. Loses R1 and R2. */
export function mustBeUnspecified(
  { asm }: NetworkProgram,
  { at, bytes }: StackAddress,
  other: string,
): void {
  asm.load(2, R1, FP, at);
  for (let i = 2; i < bytes; i += 2) asm.load(2, R2, FP, at + i).alu('or', R1, reg(R2));
  asm.jumpIf(R1, 'notEqual', 0, other);
}

/** Nobody else is known to have an address that a peer's frame speaks for, or that ends. Loses R0 to R5. */
export function mustBeFree(program: NetworkProgram, { at, bytes }: StackAddress): void {
  const { asm, path } = program;
  if (path.guard === GuardMode.Off) return;
  const free = asm.fresh('free');
  program.findBinding(at, bytes, free);
  program.mustBeSenders(program.dropAt(ingressIndex('drop.foreign_source')));
  asm.label(free);
}
