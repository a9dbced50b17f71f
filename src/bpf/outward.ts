/**
 * What a frame that leaves the bridge is given, whatever it carries: its sender noted, a tunnel key, its end.
 * @module
 */
import { egressIndex } from '../table/counters.ts';
import { EventKind } from '../table/events.ts';
import { isTunnelProtocol } from '../wire/classify.ts';
import { reg } from './assembler.ts';
import { type FrameProgram, STACK } from './frame-program.ts';
import {
  Register,
  SKB,
  TC_OK,
  TUNNEL_DONT_FRAGMENT,
  TUNNEL_KEY,
  TUNNEL_KEY_BYTES,
} from './instructions.ts';
import { dropTold, type Subject } from './news.ts';

const { R0, R1, R2, R3, R4, R6, R9, FP } = Register;

/**
 * A bit of the tunnel's number that the header has no place for: what comes in with it never was on the wire, but is
 * the device's own answer to what it was given and could not send (RFC 1191 §4, RFC 4443 §3.2).
 */
export const OWN_ANSWER = 1 << 24;
/** RFC 1700's, as the sockets of the data process have it. */
const OUTER_TTL = 64;

/** Protocols that carry packets of their own. */
export const TUNNEL_PROTOCOLS: readonly number[] = Array.from(
  { length: 256 },
  (_, protocol) => protocol,
).filter(isTunnelProtocol);

/** Notes that the frame's sender is behind a port of this host. Loses R0 to R5. */
export function noteSender(program: FrameProgram): void {
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

/** Where a packet ends that is for, or asks for, an address that nobody has. */
export function missed(
  program: FrameProgram,
  name: 'drop.outside_overlay' | 'drop.broadcast',
  address: Subject['address'] & {},
): string {
  const detail = egressIndex(name);
  return dropTold(program, detail, {
    ...{ kind: EventKind.Miss, detail, mac: STACK.sourceMac, address },
  });
}

/** The host in R0, which has `address`, must be another one; its address is R9 then. */
export function mustBePeer(program: FrameProgram, address: Subject['address'] & {}): void {
  const { asm, path } = program;
  const here = program.dropAt(egressIndex('drop.local_destination'));
  asm.jumpIf32(R0, 'equal', path.local, here).move(R9, reg(R0));
  program.mustBeStation(R0, program.underlayMask, missed(program, 'drop.broadcast', address));
}

/** Tells the device where the frame goes: to R9 in the network `vni`, with the outer DSCP in `tos`. */
export function setTunnelKey(program: FrameProgram, vni: number, tos?: Register): void {
  const { asm, path } = program;
  const at = STACK.tunnelKey;
  for (let i = 0; i < TUNNEL_KEY_BYTES; i += 4) asm.store(4, FP, at + i, 0);
  if (tos !== undefined) asm.store(1, FP, at + TUNNEL_KEY.tos, reg(tos));
  asm.store(4, FP, at + TUNNEL_KEY.vni, vni | OWN_ANSWER);
  asm.store(4, FP, at + TUNNEL_KEY.remoteIpv4, reg(R9));
  asm.store(4, FP, at + TUNNEL_KEY.localIpv4, path.local);
  asm.store(1, FP, at + TUNNEL_KEY.ttl, OUTER_TTL);
  asm.move(R1, reg(R6)).move(R2, reg(FP)).alu('add', R2, at).move(R3, TUNNEL_KEY_BYTES);
  asm.move(R4, TUNNEL_DONT_FRAGMENT).call('setTunnelKey');
  asm.jumpIf(R0, 'notEqual', 0, program.dropAt(egressIndex('drop.send_error')));
}

/** An IP packet that has its tunnel key goes, if it fits. */
export function sendOff(program: FrameProgram): void {
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
