/**
 * IPv6, overlay → underlay. The order of the checks is that of dataplane/egress/six.ts, and for
 * Neighbour Discovery that of dataplane/answer/nd.ts.
 * @module
 */
import { egressIndex } from '../table/counters.ts';
import { EventKind } from '../table/events.ts';
import { DSCP_MASK } from '../wire/ecn.ts';
import { ND_REDIRECT } from '../wire/six/nd.ts';
import { reg } from './assembler.ts';
import type { FanPath } from './fan-path.ts';
import type { FrameProgram } from './frame-program.ts';
import { Register, TC_OK } from './instructions.ts';
import { STACK } from './link-program.ts';
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
import { dropTold } from './news.ts';
import { missed, mustBePeer, noteSender, sendOff, setTunnelKey } from './outward.ts';
import { findHost6 } from './six-address.ts';
import { DESTINATION, noTunnels6, SOURCE, takeIpv6, unicastOnly6 } from './six-header.ts';

const { R0, R1, R2, R9, FP } = Register;
type Six = NonNullable<FanPath['six']>;

/** The address at a place must be of this host. Loses R0 to R5. */
function mustBeOurs(program: FrameProgram, { overlay }: Six, at: number, foreign: string): void {
  findHost6(program, overlay, at, foreign);
  program.mustBeHere(foreign);
}

/** R9 = the host of the address at a place, another one. Loses R0 to R5. */
function findPeer6(program: FrameProgram, { overlay }: Six, at: number): void {
  const address = { at, bytes: 16 } as const;
  findHost6(program, overlay, at, missed(program, 'drop.outside_overlay', address));
  mustBePeer(program, address);
}

/** Where a packet ends whose source is not of this host. */
function foreignSource(program: FrameProgram): string {
  const detail = program.index('drop.foreign_source');
  return dropTold(program, detail, {
    ...{ kind: EventKind.Dropped, detail, mac: STACK.sourceMac },
    address: { at: SOURCE, bytes: 16 },
  });
}

/** What everything between neighbours must be: of our own, or of nobody in particular. */
function checkAsker(program: FrameProgram, six: Six): void {
  const { asm } = program;
  const anonymous = asm.fresh('anonymous');
  branchIfUnspecified(program, anonymous);
  branchIfLinkLocal(program, SOURCE, anonymous);
  mustBeOurs(program, six, SOURCE, foreignSource(program));
  asm.label(anonymous);
  noteSender(program);
}

/** A question goes to the host of its target, as it is. */
function question(program: FrameProgram, six: Six): void {
  takeNeighbour(program, 'question');
  checkAsker(program, six);
  mustBeAsked(program, program.drop('drop.malformed'));
  // Who has a link-local address is known on its own bridge: all of them ask for their router's.
  branchIfLinkLocal(program, TARGET, program.dropAt(egressIndex('drop.local_destination')));
  findPeer6(program, six, TARGET);
  setTunnelKey(program, six.vni);
  program.deliver(TC_OK);
}

/** An answer goes to who asked: by its address, or where that was heard last. */
function advert(program: FrameProgram, six: Six): void {
  const { asm, maps } = program;
  const [local, send] = [asm.fresh('local'), asm.fresh('send')];
  const [not, ours, toOne] = [asm.fresh('not'), asm.fresh('ours'), asm.fresh('one')];
  const here = program.dropAt(egressIndex('drop.local_destination'));
  takeNeighbour(program, 'advert');
  checkAsker(program, six);
  mustBeOurs(program, six, TARGET, not);
  asm.jump(ours).label(not);
  branchIfLinkLocal(program, TARGET, here);
  asm.jump(program.drop('drop.foreign_source')).label(ours);
  branchUnlessMany(program, toOne);
  // It announces itself: there is nobody in particular to tell.
  mustBeAllNodes(program, program.drop('drop.multicast'));
  asm.jump(here).label(toOne);
  branchIfLinkLocal(program, DESTINATION, local);
  findPeer6(program, six, DESTINATION);
  asm.jump(send);
  asm.label(local).loadMap(R1, maps.homes).move(R2, reg(FP)).alu('add', R2, DESTINATION);
  asm.call('mapLookup').jumpIf(R0, 'equal', 0, here).load(4, R9, R0, 0);
  asm.label(send);
  setTunnelKey(program, six.vni);
  program.deliver(TC_OK);
}

/** What hosts and routers of one bridge say to one another stays there. */
function neighbours(program: FrameProgram, six: Six): void {
  const { asm } = program;
  const rogue = program.drop('drop.rogue_router');
  const [asks, answers] = [asm.fresh('question'), asm.fresh('advert')];
  branchByKind(program, asks, answers);
  asm.jumpIf(R1, 'equal', ND_REDIRECT, rogue);
  branchUnlessMany(program, rogue);
  asm.jump(program.drop('drop.multicast'));
  asm.label(asks);
  question(program, six);
  asm.label(answers);
  advert(program, six);
}

/** Judges an IPv6 frame that leaves, of which the Ethernet header is there. */
export function sixEgress(program: FrameProgram): void {
  const { asm, path } = program;
  const { six } = path;
  if (six === undefined) {
    asm.jump(program.drop('drop.ipv6'));
    return;
  }
  const nd = asm.fresh('nd');
  takeIpv6(program);
  branchToNeighbour(program, nd);
  unicastOnly6(program);
  mustBeOurs(program, six, SOURCE, foreignSource(program));
  noteSender(program);
  findPeer6(program, six, DESTINATION);
  noTunnels6(program);
  if (path.dscp === 'uniform') {
    asm.load(2, R1, FP, STACK.ipv6).fromNetwork(R1, 16).alu32('shiftRight', R1, 4);
    asm.alu32('and', R1, DSCP_MASK);
    setTunnelKey(program, six.vni, R1);
  } else setTunnelKey(program, six.vni);
  sendOff(program);
  asm.label(nd);
  neighbours(program, six);
}
