/**
 * Where a frame of a layer-2 network goes that has passed its checks, as dataplane/egress/network/forward.ts has it.
 * @module
 */
import { BumMode } from '../../shm/network.ts';
import { egressIndex, eventIndex } from '../../table/counters.ts';
import { EventKind } from '../../table/events.ts';
import type { Service } from '../../table/flood.ts';
import { reg } from '../assembler.ts';
import { Register, SKB, TC_SHOT } from '../instructions.ts';
import { STACK } from '../link-program.ts';
import { giveTunnelKey, OWN_ANSWER, sendOff } from '../outward.ts';
import { beginNetworkKey, sendCopies } from './copies.ts';
import { FDB_PLACE, FLOOD } from './network-path.ts';
import { type NetworkProgram, PLACES } from './network-program.ts';

const { R0, R1, R2, R6, R8, R9, FP } = Register;

/** Kinds of flood: the counter of a frame that nobody gets, and that of one that is carried. */
const FLOODS = {
  unknown: ['drop.unknown_unicast', 'flooded_unknown'],
  broadcast: ['drop.broadcast', 'flooded_broadcast'],
  multicast: ['drop.multicast', 'flooded_multicast'],
  // What a router says to all goes to all that take part, also where nothing is flooded.
  router: ['drop.multicast', 'service_carried'],
} as const;
const FLOOD_LIMITED = egressIndex('drop.flood_limited');

/** Where the frame goes on to where its destination is. */
export function byDestination(program: NetworkProgram): string {
  return program.tail('destination', () => {
    const { asm } = program;
    asm.load(1, R1, FP, STACK.frame).jumpIf(R1, 'anyBit', 1, byPolicy(program));
    program.takeMacAt(STACK.frame);
    program.findPlace();
    asm.jumpIf(R0, 'notEqual', 0, toPlace(program));
    program.tell({ kind: EventKind.Miss, mac: STACK.frame });
    byFlood(program, 'unknown');
  });
}

/** The same for the MAC that was taken last, whatever the frame itself says; else by policy. */
export function byMac(program: NetworkProgram): void {
  program.findPlace();
  program.asm.jumpIf(R0, 'equal', 0, byPolicy(program)).jump(toPlace(program));
}

/** Where a frame, for everybody, goes on to the one that has a service; else by policy. */
export function toService(program: NetworkProgram, service: Service): string {
  return program.tail(`service.${service}`, () => {
    const { asm, path } = program;
    program.findService(service, byPolicy(program));
    // Then the bridge has delivered it.
    asm.jumpIf32(R9, 'equal', path.local, program.dropAt(egressIndex('drop.local_destination')));
    program.count(eventIndex('service_carried'));
    asm.jump(toHost(program));
  });
}

/** Where the frame of a router that may speak as one goes on. */
export function ofRouter(program: NetworkProgram): string {
  if (program.path.bum !== BumMode.None) return byDestination(program);
  return program.tail('router', () => {
    const { asm } = program;
    asm.load(1, R1, FP, STACK.frame).alu32('and', R1, 1);
    asm.jumpIf(R1, 'equal', 0, byDestination(program));
    flood(program, 'router');
  });
}

/** Where a frame that is for everybody goes on as the network's policy has it. */
export function byPolicy(program: NetworkProgram): string {
  return program.tail('policy', () => {
    const { asm } = program;
    const multicast = asm.fresh('multicast');
    for (const at of [0, 2, 4]) {
      asm.load(2, R1, FP, STACK.frame + at).jumpIf(R1, 'notEqual', 0xffff, multicast);
    }
    byFlood(program, 'broadcast');
    asm.label(multicast);
    byFlood(program, 'multicast');
  });
}

/** The frame ends as the network's policy for floods has it. */
function byFlood(program: NetworkProgram, kind: keyof typeof FLOODS): void {
  const { asm, path } = program;
  if (path.bum === BumMode.None) asm.jump(program.dropAt(egressIndex(FLOODS[kind][0])));
  else flood(program, kind);
}

/** The frame ends with a copy for each flood target. */
function flood(program: NetworkProgram, kind: keyof typeof FLOODS): void {
  const { asm, maps } = program;
  const [drop, carried] = FLOODS[kind];
  asm.loadMapValue(R1, maps.floods).load(4, R1, R1, FLOOD.count);
  asm.jumpIf(R1, 'equal', 0, program.dropAt(egressIndex(drop)));
  mayFlood(program);
  program.count(eventIndex(carried));
  asm.jump(copies(program));
}

/** What is too large, or one too many of this second, ends. Loses R0 to R5. */
function mayFlood(program: NetworkProgram): void {
  const { asm, path } = program;
  const fits = asm.fresh('fits');
  asm.load(4, R1, R6, SKB.gsoSize).jumpIf(R1, 'notEqual', 0, fits);
  asm.load(4, R1, FP, STACK.totalBytes);
  asm.jumpIf(R1, 'above', path.innerMtu, program.drop('drop.too_big')).label(fits);
  program.withinRate(FLOOD_LIMITED, path.floodsPerSecond, program.dropAt(FLOOD_LIMITED));
}

/** Where the frame goes on to where the FDB has a MAC, at R0. */
function toPlace(program: NetworkProgram): string {
  return program.tail('place', () => {
    const { asm } = program;
    const here = program.dropAt(egressIndex('drop.local_destination'));
    asm.load(4, R9, R0, FDB_PLACE.host).jumpIf(R9, 'equal', 0, here);
    asm.load(4, R1, R0, FDB_PLACE.vni).store(4, FP, PLACES.vni, reg(R1)).jump(toHost(program));
  });
}

/** Where the frame leaves for the host in R9, in the network at {@link PLACES.vni}. */
function toHost(program: NetworkProgram): string {
  return program.tail('host', () => {
    const { asm } = program;
    beginNetworkKey(program);
    asm.load(4, R2, FP, PLACES.vni).alu32('or', R2, OWN_ANSWER);
    giveTunnelKey(program, reg(R2), program.dropAt(egressIndex('drop.send_error')));
    sendOff(program);
  });
}

/** Where a copy of the frame leaves for each flood target. Each ends by itself, and counts as a packet of its own. */
function copies(program: NetworkProgram): string {
  return program.tail('copies', () => {
    const { asm } = program;
    asm.move(R2, 0).alu('sub', R2, reg(R8));
    program.add(egressIndex('received'), R2);
    asm.store(4, FP, PLACES.exceptHost, 0);
    sendCopies(program, 'flood');
    asm.move(R0, TC_SHOT).exit();
  });
}
