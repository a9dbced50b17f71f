/**
 * Underlay → overlay: a frame from another host goes to the bridge if its outer source and what is
 * inside belong together, and is dropped for a reason otherwise. The order of the checks is that of
 * dataplane/ingress/ingress.ts.
 *
 * Before it the kernel has judged the outer headers and the VXLAN header, and has put the outer ECN
 * mark into the packet or dropped it (RFC 6040 §4.2).
 * @module
 */
import { hasIpv4 } from '../../net/fan.ts';
import { ingressIndex } from '../../table/counters.ts';
import { EventKind, MovedTo } from '../../table/events.ts';
import { reg } from '../assembler.ts';
import type { FanMaps, FanPath } from '../fan-path.ts';
import { checkFragment, checkHeader, checkSize, takeTos } from '../four-header.ts';
import { FrameProgram } from '../frame-program.ts';
import { Register, TC_SHOT, TUNNEL_KEY, TUNNEL_KEY_BYTES } from '../instructions.ts';
import { deliver, ownAnswer } from '../inward.ts';
import { ARP, IPV4, STACK } from '../link-program.ts';
import { dropTold, endTold, writeNews } from '../news.ts';
import { noTunnels, OWN_ANSWER } from '../outward.ts';
import { sixIngress } from '../six-ingress.ts';

const { R0, R1, R2, R3, R4, R6, R9, FP } = Register;

/** Drops that control hears of; who sent the packet is known by then, and in R9. */
const TOLD_DROPS = [
  ...(['drop.stranger', 'drop.wrong_vni', 'drop.foreign_source'] as const),
  ...(['drop.foreign_destination', 'drop.too_big', 'drop.nested'] as const),
].map(ingressIndex);
/**
 * A MAC that was silent for this long may be somewhere else: 300 s, the ageing time of bridges, in
 * units of 2^30 ns.
 */
const LOCAL_MAC_LIFETIME = 279;
const LIFETIME_SHIFT = 30;

/** Who sent it must be a peer, on this network, and have meant this host; R9 becomes its address. */
function checkOuter(program: FrameProgram): void {
  const { asm, path } = program;
  const at = STACK.tunnelKey;
  asm.move(R1, reg(R6)).move(R2, reg(FP)).alu('add', R2, at).move(R3, TUNNEL_KEY_BYTES);
  asm.move(R4, 0).call('getTunnelKey');
  asm.jumpIf(R0, 'notEqual', 0, program.dropAt(ingressIndex('drop.bad_header')));
  checkPort(program);
  asm.load(4, R9, FP, at + TUNNEL_KEY.remoteIpv4);
  asm.jumpIf32(R9, 'equal', path.local, program.dropAt(ingressIndex('drop.own_source')));
  if (path.frames) {
    asm.load(4, R1, FP, at + TUNNEL_KEY.vni).jumpIf(R1, 'anyBit', OWN_ANSWER, ownAnswer(program));
  }
  const stranger = program.dropAt(ingressIndex('drop.stranger'));
  asm.move(R1, reg(R9)).alu32('and', R1, program.underlayMask);
  asm.jumpIf32(R1, 'notEqual', program.underlayBase, stranger).move(R1, reg(R9));
  program.mustBeStation(R1, program.underlayMask, stranger);
  if (path.frames) checkNetwork(program);
  asm.load(4, R1, FP, at + TUNNEL_KEY.localIpv4);
  asm.jumpIf32(
    R1,
    'notEqual',
    path.local,
    program.dropAt(ingressIndex('drop.foreign_destination')),
  );
}

/**
 * The device takes all that is IP in IP, with UDP around it or without, by whichever port: it must have come by the
 * fan's. Loses R0 to R5.
 */
function checkPort(program: FrameProgram): void {
  const { asm, path } = program;
  if (path.fou === undefined) return;
  const other = program.dropAt(ingressIndex('drop.bad_header'));
  asm.move(R1, reg(R6)).move(R2, reg(FP)).alu('add', R2, STACK.fouPorts);
  asm.callKernel(path.fou.get).jumpIf(R0, 'notEqual', 0, other);
  // What came without UDP has no ports: zeros.
  asm.load(2, R1, FP, STACK.fouPorts + 2).fromNetwork(R1, 16);
  asm.jumpIf(R1, 'notEqual', path.port, other);
}

/** It must be of a network of the fan's. Loses R1. */
function checkNetwork(program: FrameProgram): void {
  const { asm, path } = program;
  asm.load(4, R1, FP, STACK.tunnelKey + TUNNEL_KEY.vni);
  const known = asm.fresh('vni');
  if (path.six !== undefined) asm.jumpIf32(R1, 'equal', path.six.vni, known);
  asm.jumpIf32(R1, 'notEqual', path.vni, program.dropAt(ingressIndex('drop.wrong_vni')));
  asm.label(known);
}

/** Each family has its own network, where a fan has both. Loses R1. */
function mustBeOfNetwork(program: FrameProgram, vni: number): void {
  const { asm, path } = program;
  if (path.six === undefined || path.six.vni === path.vni) return;
  const wrong = program.dropAt(ingressIndex('drop.wrong_vni'));
  asm.load(4, R1, FP, STACK.tunnelKey + TUNNEL_KEY.vni).jumpIf32(R1, 'notEqual', vni, wrong);
}

/** Nobody outside may have a MAC of ours; that somebody claimed one is told to control. */
function checkMac(program: FrameProgram): void {
  const { asm, maps } = program;
  const bad = program.drop('drop.bad_mac');
  const free = asm.fresh('free');
  asm.load(1, R1, FP, STACK.sourceMac).jumpIf(R1, 'anyBit', 1, bad);
  program.takeMac();
  program.findMac(maps.localMacs);
  asm.jumpIf(R0, 'equal', 0, free);
  asm.load(8, R1, R0, 0).store(8, FP, STACK.time, reg(R1)).call('ktimeCoarseNs');
  asm.load(8, R1, FP, STACK.time);
  // Another processor may have written the time after this one read the clock.
  const ours = asm.fresh('ours');
  asm.jumpIf(R1, 'above', reg(R0), ours);
  asm.move(R2, reg(R0)).alu('sub', R2, reg(R1)).alu('shiftRight', R2, LIFETIME_SHIFT);
  asm.jumpIf(R2, 'above', LOCAL_MAC_LIFETIME, free);
  asm.label(ours).jump(
    dropTold(program, program.index('drop.bad_mac'), {
      ...{ kind: EventKind.Moved, detail: MovedTo.Peer, mac: STACK.sourceMac, host: true },
    }),
  );
  asm.label(free);
}

/** The address at a place of the stack must be the sender's. */
function mustBeFromPeer(program: FrameProgram, at: number): void {
  const foreign = program.drop('drop.foreign_source');
  program.takeAddress(at);
  program.mustBeInside(foreign);
  program.hostOf();
  program.asm.jumpIf32(R0, 'notEqual', reg(R9), foreign);
}

/** The address at a place of the stack must be at this host. */
function mustBeForUs(program: FrameProgram, at: number): void {
  const foreign = program.dropAt(ingressIndex('drop.foreign_destination'));
  program.takeAddress(at);
  program.mustBeInside(foreign);
  program.hostOf();
  program.mustBeHere(foreign);
}

function ipv4(program: FrameProgram): void {
  const [source, destination] = [STACK.l3 + IPV4.source, STACK.l3 + IPV4.destination];
  program.ipv4Lengths();
  checkHeader(program);
  checkFragment(program);
  program.unicastOnly();
  mustBeFromPeer(program, source);
  program.mustBeWorkload(source, program.drop('drop.foreign_source'));
  mustBeForUs(program, destination);
  program.mustBeWorkload(destination, program.drop('drop.broadcast'));
  noTunnels(program);
  checkSize(program);
  takeTos(program);
  deliver(program, true);
}

function arp(program: FrameProgram): void {
  program.arp();
  mustBeFromPeer(program, STACK.l3 + ARP.sender);
  mustBeForUs(program, STACK.l3 + ARP.target);
  deliver(program, false);
}

/** The program for what comes in by the device, as the kernel takes it. */
export function fanIngress(path: FanPath, maps: FanMaps): Uint8Array<ArrayBuffer> {
  const program = new FrameProgram('ingress', path, maps);
  program.whenDropped(TOLD_DROPS, (detail) => {
    writeNews(program.asm, { kind: EventKind.Dropped, detail, host: true });
    endTold(program, TC_SHOT, detail);
  });
  program.begin();
  checkOuter(program);
  if (!path.frames) {
    program.packet();
    ipv4(program);
    return program.build();
  }
  // Above all else: a frame with a MAC of ours would make the bridge believe that it has moved.
  program.frame({ arp: 'arp', ipv6: 'ipv6' }, () => checkMac(program));
  mustBeOfNetwork(program, path.vni);
  if (hasIpv4(path.overlay)) {
    ipv4(program);
    program.asm.label('arp');
    mustBeOfNetwork(program, path.vni);
    arp(program);
  } else {
    program.asm.label('arp').jump(program.drop('drop.foreign_source'));
  }
  program.asm.label('ipv6');
  mustBeOfNetwork(program, path.six?.vni ?? path.vni);
  sixIngress(program);
  return program.build();
}
