/**
 * Overlay → underlay: a frame that leaves the bridge for another host gets the tunnel key of that
 * host, or is dropped for a reason. The order of the checks is that of dataplane/egress/egress.ts.
 * @module
 */
import { egressIndex } from '../table/counters.ts';
import { isTunnelProtocol } from '../wire/classify.ts';
import { DSCP_MASK } from '../wire/ecn.ts';
import { reg } from './assembler.ts';
import type { FanMaps, FanPath } from './fan-path.ts';
import { ARP, FrameProgram, IPV4, STACK } from './frame-program.ts';
import {
  Register,
  SKB,
  TC_OK,
  TUNNEL_DONT_FRAGMENT,
  TUNNEL_KEY,
  TUNNEL_KEY_BYTES,
} from './instructions.ts';

const { R0, R1, R2, R3, R4, R6, R9, FP } = Register;

/** RFC 1700's, as the sockets of the data process have it. */
const OUTER_TTL = 64;

/** Protocols that carry packets of their own. */
export const TUNNEL_PROTOCOLS: readonly number[] = Array.from(
  { length: 256 },
  (_, protocol) => protocol,
).filter(isTunnelProtocol);

/** Notes that the frame's sender is behind a port of this host. */
function noteSender(program: FrameProgram): void {
  const { asm, maps } = program;
  const known = asm.fresh('known');
  const noted = asm.fresh('noted');
  program.takeMac();
  asm.call('ktimeCoarseNs').store(8, FP, STACK.time, reg(R0));
  program.findMac(maps.localMacs);
  asm.jumpIf(R0, 'notEqual', 0, known);
  program.setMac(maps.localMacs);
  asm.jump(noted);
  asm.label(known).load(8, R1, FP, STACK.time).store(8, R0, 0, reg(R1)).label(noted);
}

/** The host of the address at a place of the stack must be another one; its address is R9 then. */
function findPeer(program: FrameProgram, at: number): void {
  const { asm } = program;
  const here = program.dropAt(egressIndex('drop.local_destination'));
  program.takeAddress(at);
  program.mustBeInside(program.dropAt(egressIndex('drop.outside_overlay')));
  program.hostOf();
  asm.jumpIf32(R0, 'equal', program.path.local, here).move(R9, reg(R0));
  program.mustBeStation(R0, program.underlayMask, program.drop('drop.broadcast'));
}

/** The sender at a place of the stack must be ours. */
function checkSender(program: FrameProgram, at: number): void {
  const foreign = program.drop('drop.foreign_source');
  program.takeAddress(at);
  program.mustBeInside(foreign);
  program.hostOf();
  program.mustBeHere(foreign);
  noteSender(program);
}

/** Tells the device where the frame goes: to R9, with the outer DSCP in `tos`. */
function setTunnelKey(program: FrameProgram, tos: Register | undefined): void {
  const { asm, path } = program;
  const at = STACK.tunnelKey;
  for (let i = 0; i < TUNNEL_KEY_BYTES; i += 4) asm.store(4, FP, at + i, 0);
  if (tos !== undefined) asm.store(1, FP, at + TUNNEL_KEY.tos, reg(tos));
  asm.store(4, FP, at + TUNNEL_KEY.vni, path.vni);
  asm.store(4, FP, at + TUNNEL_KEY.remoteIpv4, reg(R9));
  asm.store(4, FP, at + TUNNEL_KEY.localIpv4, path.local);
  asm.store(1, FP, at + TUNNEL_KEY.ttl, OUTER_TTL);
  asm.move(R1, reg(R6)).move(R2, reg(FP)).alu('add', R2, at).move(R3, TUNNEL_KEY_BYTES);
  asm.move(R4, TUNNEL_DONT_FRAGMENT).call('setTunnelKey');
  asm.jumpIf(R0, 'notEqual', 0, program.dropAt(egressIndex('drop.send_error')));
}

function ipv4(program: FrameProgram): void {
  const { asm, path } = program;
  const [source, destination] = [STACK.l3 + IPV4.source, STACK.l3 + IPV4.destination];
  program.ipv4Lengths();
  program.unicastOnly();
  checkSender(program, source);
  findPeer(program, destination);
  program.mustBeWorkload(destination, program.drop('drop.broadcast'));
  program.noTunnels(TUNNEL_PROTOCOLS);
  let tos: Register | undefined;
  if (path.dscp === 'uniform') {
    tos = R1;
    asm.load(1, R1, FP, STACK.l3 + IPV4.tos).alu32('and', R1, DSCP_MASK);
  }
  setTunnelKey(program, tos);
  const fits = asm.fresh('fits');
  asm.load(4, R1, R6, SKB.gsoSize).jumpIf(R1, 'notEqual', 0, fits);
  asm.load(4, R1, FP, STACK.totalBytes).jumpIf(R1, 'belowOrEqual', path.innerMtu, fits);
  // The device cannot send it, and tells its sender so (RFC 1191 §4) as only it can: it goes on.
  program.count(program.index('drop.too_big'));
  asm.move(R0, TC_OK).exit();
  asm.label(fits);
  program.deliver(TC_OK);
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
  setTunnelKey(program, undefined);
  program.deliver(TC_OK);
}

/** The program for what leaves by the device, as the kernel takes it. */
export function fanEgress(path: FanPath, maps: FanMaps): Uint8Array<ArrayBuffer> {
  const program = new FrameProgram('egress', path, maps);
  program.begin();
  program.frame('arp');
  ipv4(program);
  program.asm.label('arp');
  arp(program);
  return program.build();
}
