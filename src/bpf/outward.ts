/**
 * What a frame that leaves the bridge is given, whatever it carries: its sender noted, a tunnel key, its end.
 * @module
 */
import { egressIndex } from '../table/counters.ts';
import { EventKind } from '../table/events.ts';
import { isTunnelProtocol } from '../wire/classify.ts';
import { PROTOCOL_UDP } from '../wire/ipv4.ts';
import { UDP_HEADER_BYTES } from '../wire/udp.ts';
import { type Operand, reg } from './assembler.ts';
import type { FrameProgram } from './frame-program.ts';
import {
  Register,
  SKB,
  TC_OK,
  TUNNEL_DONT_FRAGMENT,
  TUNNEL_KEY,
  TUNNEL_KEY_BYTES,
} from './instructions.ts';
import { FRAGMENT_MASK, IPV4, type LinkProgram, STACK } from './link-program.ts';
import { dropTold, type Subject } from './news.ts';

const { R0, R1, R2, R3, R4, R6, R9, FP } = Register;

/**
 * A bit of the tunnel's number that the header has no place for: what comes in with it never was on the wire, but is
 * the device's own answer to what it was given and could not send (RFC 1191 §4, RFC 4443 §3.2).
 */
export const OWN_ANSWER = 1 << 24;
/** FOU_BPF_ENCAP_FOU of the kernel's net/ipv4/fou_bpf.c: nothing between UDP and the packet. */
const ENCAP_FOU = 0;
/** RFC 1700's, as the sockets of the data process have it. */
export const OUTER_TTL = 64;

/** Protocols that carry packets of their own. */
export const TUNNEL_PROTOCOLS: readonly number[] = Array.from(
  { length: 256 },
  (_, protocol) => protocol,
).filter(isTunnelProtocol);

/** Tunnels inside of this one, and packets of this very tunnel, are dropped. Loses R0 to R5. */
export function noTunnels(program: LinkProgram): void {
  const { asm, path } = program;
  const nested = program.drop('drop.nested');
  const sound = asm.fresh('sound');
  asm.load(1, R1, FP, STACK.l3 + IPV4.protocol);
  for (const protocol of TUNNEL_PROTOCOLS) asm.jumpIf(R1, 'equal', protocol, nested);
  if (path.port === 0) return;
  asm.jumpIf(R1, 'notEqual', PROTOCOL_UDP, sound);
  asm.load(2, R1, FP, STACK.l3 + IPV4.fragment).fromNetwork(R1, 16);
  asm.jumpIf(R1, 'anyBit', FRAGMENT_MASK, sound);
  asm.load(4, R2, FP, STACK.headerBytes).load(4, R1, FP, STACK.totalBytes);
  asm.move(R3, reg(R2)).alu('add', R3, UDP_HEADER_BYTES).jumpIf(R1, 'below', reg(R3), sound);
  asm.alu('add', R2, program.linkBytes + 2);
  asm.move(R1, reg(R6)).move(R3, reg(FP)).alu('add', R3, STACK.scratch).move(R4, 2);
  asm.call('skbLoadBytes').jumpIf(R0, 'notEqual', 0, sound);
  asm.load(2, R1, FP, STACK.scratch).fromNetwork(R1, 16);
  asm.jumpIf(R1, 'equal', path.port, nested);
  asm.label(sound);
}

/** Notes that the frame's sender is behind a port of this host. Loses R0 to R5. */
export function noteSender(program: FrameProgram): void {
  const { asm, maps, path } = program;
  if (!path.frames) return;
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

/** Where a packet ends that is for, or asks for, an address that nobody has. */
export function missed(
  program: LinkProgram,
  name: 'drop.outside_overlay' | 'drop.broadcast',
  address: Subject['address'] & {},
): string {
  const detail = egressIndex(name);
  return dropTold(program, detail, {
    ...{ kind: EventKind.Miss, detail, address },
    ...(program.path.frames && { mac: STACK.sourceMac }),
  });
}

/** The host in R0, which has `address`, must be another one; its address is R9 then. */
export function mustBePeer(program: FrameProgram, address: Subject['address'] & {}): void {
  const { asm, path } = program;
  const here = program.dropAt(egressIndex('drop.local_destination'));
  asm.jumpIf32(R0, 'equal', path.local, here).move(R9, reg(R0));
  program.mustBeStation(R0, program.underlayMask, missed(program, 'drop.broadcast', address));
}

/** What of a tunnel key is the same wherever the frame goes; the outer DSCP is in `tos`. */
export function beginTunnelKey(program: LinkProgram, tos?: Register): void {
  const { asm, path } = program;
  const at = STACK.tunnelKey;
  for (let i = 0; i < TUNNEL_KEY_BYTES; i += 4) asm.store(4, FP, at + i, 0);
  if (tos !== undefined) asm.store(1, FP, at + TUNNEL_KEY.tos, reg(tos));
  asm.store(4, FP, at + TUNNEL_KEY.localIpv4, path.local);
  asm.store(1, FP, at + TUNNEL_KEY.ttl, OUTER_TTL);
}

/**
 * Tells the device where the frame goes: to R9, under the number `vni`; to `failed` where it cannot be told. Loses
 * R0 to R5.
 */
export function giveTunnelKey(program: LinkProgram, vni: Operand, failed: string): void {
  const { asm } = program;
  const at = STACK.tunnelKey;
  asm.store(4, FP, at + TUNNEL_KEY.vni, vni);
  asm.store(4, FP, at + TUNNEL_KEY.remoteIpv4, reg(R9));
  asm.move(R1, reg(R6)).move(R2, reg(FP)).alu('add', R2, at).move(R3, TUNNEL_KEY_BYTES);
  asm.move(R4, TUNNEL_DONT_FRAGMENT).call('setTunnelKey').jumpIf(R0, 'notEqual', 0, failed);
}

/** Tells the device where the frame goes: to R9 in the network `vni`, with the outer DSCP in `tos`. */
export function setTunnelKey(program: LinkProgram, vni: number, tos?: Register): void {
  const { asm, path } = program;
  beginTunnelKey(program, tos);
  const failed = program.dropAt(egressIndex('drop.send_error'));
  giveTunnelKey(program, path.frames ? vni | OWN_ANSWER : 0, failed);
  if (path.fou === undefined) return;
  // No source port: the device takes one by the flow.
  for (const [i, byte] of [0, 0, path.port >>> 8, path.port & 0xff].entries()) {
    asm.store(1, FP, STACK.fouPorts + i, byte);
  }
  asm.move(R1, reg(R6)).move(R2, reg(FP)).alu('add', R2, STACK.fouPorts).move(R3, ENCAP_FOU);
  asm.callKernel(path.fou.set).jumpIf(R0, 'notEqual', 0, failed);
}

/** An IP packet that has its tunnel key goes, if it fits. */
export function sendOff(program: LinkProgram): void {
  const { asm, path } = program;
  const fits = asm.fresh('fits');
  asm.load(4, R1, R6, SKB.gsoSize).jumpIf(R1, 'notEqual', 0, fits);
  asm.load(4, R1, FP, STACK.totalBytes).jumpIf(R1, 'belowOrEqual', path.innerMtu, fits);
  // The device cannot send it, and tells its sender so (RFC 1191 §4, RFC 4443 §3.2) as only it can: it goes on.
  program.count(program.index('drop.too_big'));
  asm.move(R0, TC_OK).exit();
  asm.label(fits);
  program.deliver(TC_OK);
}
