/**
 * Overlay → underlay: a frame that leaves the bridge for another host gets the tunnel key of that
 * host, or is dropped for a reason. The order of the checks is that of dataplane/egress/egress.ts.
 * @module
 */
import { hasIpv4 } from '../../net/fan.ts';
import { egressIndex, ingressIndex } from '../../table/counters.ts';
import { EventKind } from '../../table/events.ts';
import { DSCP_MASK } from '../../wire/ecn.ts';
import { reg } from '../assembler.ts';
import type { FanMaps, FanPath } from '../fan-path.ts';
import { FrameProgram } from '../frame-program.ts';
import { Register, TC_OK } from '../instructions.ts';
import { ARP, type Direction, IPV4, STACK } from '../link-program.ts';
import { dropTold } from '../news.ts';
import { missed, mustBePeer, noTunnels, noteSender, sendOff, setTunnelKey } from '../outward.ts';
import { sixEgress } from '../six-egress.ts';

const { R1, R2, FP } = Register;

/** The address that was taken last. */
const IN_HAND = { at: STACK.address, bytes: 4 } as const;

/** The host of the address at a place of the stack must be another one; its address is R9 then. */
function findPeer(program: FrameProgram, at: number): void {
  program.takeAddress(at);
  program.mustBeInside(missed(program, 'drop.outside_overlay', IN_HAND));
  program.hostOf();
  mustBePeer(program, IN_HAND);
}

/** The sender at a place of the stack must be ours. */
function checkSender(program: FrameProgram, at: number): void {
  const foreign = dropTold(program, program.index('drop.foreign_source'), {
    ...{ kind: EventKind.Dropped, detail: program.index('drop.foreign_source') },
    ...{ address: IN_HAND, ...(program.path.frames && { mac: STACK.sourceMac }) },
  });
  program.takeAddress(at);
  program.mustBeInside(foreign);
  program.hostOf();
  program.mustBeHere(foreign);
  noteSender(program);
}

function ipv4(program: FrameProgram): void {
  const { asm, path } = program;
  const [source, destination] = [STACK.l3 + IPV4.source, STACK.l3 + IPV4.destination];
  program.ipv4Lengths();
  program.unicastOnly();
  checkSender(program, source);
  findPeer(program, destination);
  program.mustBeWorkload(destination, program.drop('drop.broadcast'));
  noTunnels(program);
  let tos: Register | undefined;
  if (path.dscp === 'uniform') {
    tos = R1;
    asm.load(1, R1, FP, STACK.l3 + IPV4.tos).alu32('and', R1, DSCP_MASK);
  }
  setTunnelKey(program, path.vni, tos);
  sendOff(program);
}

/** ARP goes to the host that has its target, as it is. */
function arp(program: FrameProgram): void {
  const { asm } = program;
  const [sender, target] = [STACK.l3 + ARP.sender, STACK.l3 + ARP.target];
  program.arp();
  checkSender(program, sender);
  program.takeAddress(sender);
  asm.load(4, R2, FP, STACK.l3 + ARP.target).fromNetwork(R2, 32);
  // It announces itself: there is nobody in particular to tell.
  asm.jumpIf32(R1, 'equal', reg(R2), program.dropAt(egressIndex('drop.local_destination')));
  findPeer(program, target);
  setTunnelKey(program, program.path.vni);
  program.deliver(TC_OK);
}

/** The program for what leaves by the device, as the kernel takes it. */
export function fanEgress(path: FanPath, maps: FanMaps): Uint8Array<ArrayBuffer> {
  const program = new FrameProgram('egress', path, maps);
  program.begin();
  if (!path.frames) {
    program.packet();
    ipv4(program);
    return program.build();
  }
  program.frame({ arp: 'arp', ipv6: 'ipv6' });
  if (hasIpv4(path.overlay)) {
    ipv4(program);
    program.asm.label('arp');
    arp(program);
  } else {
    program.asm.label('arp').jump(program.drop('drop.foreign_source'));
  }
  program.asm.label('ipv6');
  sixEgress(program);
  return program.build();
}

/**
 * What stands where the programs of a fan should, of either direction, once somebody has taken those away:
 * it drops and counts all that it is given.
 */
export function fanClosed(
  direction: Direction,
  path: FanPath,
  maps: FanMaps,
): Uint8Array<ArrayBuffer> {
  const program = new FrameProgram(direction, path, maps);
  program.begin();
  program.asm.jump(
    program.dropAt(
      direction === 'egress' ? egressIndex('drop.send_error') : ingressIndex('drop.device_down'),
    ),
  );
  return program.build();
}
