/**
 * Where a frame goes that came in by the device and is sound: to the bridge, or past it.
 * @module
 */
import { egressIndex, eventIndex } from '../table/counters.ts';
import { EVENT, EventKind, LENGTH_SHIFT } from '../table/events.ts';
import { DSCP_MASK, ECN_ECT0, ECN_ECT1, ECN_MASK } from '../wire/ecn.ts';
import { IPV6_HEADER_BYTES } from '../wire/ipv6.ts';
import { reg } from './assembler.ts';
import { mayBypass, portOf, sourceIsKnown } from './bypass.ts';
import { Register, SKB, TC_OK, TUNNEL_KEY } from './instructions.ts';
import { ETHERNET_BYTES, ETHERTYPE, type LinkProgram, STACK } from './link-program.ts';
import { endTold, writeNews } from './news.ts';

const TYPE_OFFSET = 12;
const { R0, R1, R2, R3, R4, R5, R6, R9, FP } = Register;

/**
 * R1, which is the class of the packet inside as R2 has it, becomes what the outer header makes of it: ECT(0) is
 * ECT(1) where that says so, and the DSCP is the outer one where that is asked for. To `same` if it stays as it is.
 * Loses R4 and R5.
 */
export function classFromOuter(program: LinkProgram, same: string): void {
  const { asm } = program;
  const ecn = asm.fresh('ecn');
  asm.load(1, R4, FP, STACK.tunnelKey + TUNNEL_KEY.tos);
  asm.move(R5, reg(R4)).alu32('and', R5, ECN_MASK).jumpIf(R5, 'notEqual', ECN_ECT1, ecn);
  asm.move(R5, reg(R1)).alu32('and', R5, ECN_MASK).jumpIf(R5, 'notEqual', ECN_ECT0, ecn);
  asm.alu32('xor', R1, ECN_ECT0 ^ ECN_ECT1).label(ecn);
  if (program.path.dscp === 'uniform') {
    asm.alu32('and', R1, ECN_MASK).alu32('and', R4, DSCP_MASK).alu32('or', R1, reg(R4));
  }
  asm.jumpIf(R1, 'equal', reg(R2), same);
}

/** To the bridge, of which frames of IPv4 are told where they may go past it; a packet without a frame to the host. */
export function deliver(program: LinkProgram, isIpv4: boolean): void {
  const { asm, maps, path } = program;
  if (!path.frames) return program.deliver(TC_OK);
  const bridge = asm.fresh('bridge');
  const places = { key: STACK.macKey, bridgedNs: STACK.station, port: STACK.station + 8 };
  program.countDelivered();
  mayBypass(asm, maps, bridge);
  asm.load(4, R9, R6, SKB.deviceIndex);
  program.takeMac();
  sourceIsKnown(asm, maps, places, bridge);
  if (isIpv4) {
    // The receiver's, of which only two bytes at a time are aligned.
    for (let i = 0; i < 6; i += 2) {
      asm.load(2, R1, FP, STACK.frame + i).store(2, FP, STACK.macKey + i, reg(R1));
    }
    portOf(asm, maps, places, bridge);
    asm.jumpIf(R1, 'equal', reg(R9), bridge).move(R2, 0).call('redirectPeer').exit();
  }
  asm.label(bridge).move(R0, TC_OK).exit();
}

/**
 * The device's own answer to a packet that does not fit the way to the host in R9, as the bridge's next frame:
 * where the answer begins behind the Ethernet header, what in it says how much would fit, and how long the packet
 * was that it quotes.
 */
const ANSWERS = [
  { etherType: ETHERTYPE.ipv4, mtu: { at: 26, bits: 16 }, quotedBytes: 30, more: 0 },
  {
    etherType: ETHERTYPE.ipv6,
    mtu: { at: 44, bits: 32 },
    quotedBytes: 52,
    more: IPV6_HEADER_BYTES,
  },
] as const;

/**
 * Where the device's own answer goes ({@link OWN_ANSWER}): to who sent what is too large. Control is told of it
 * where it is the way's limit that it met, not the device's.
 */
export function ownAnswer(program: LinkProgram): string {
  return program.tail('answer', () => {
    const { asm, path } = program;
    const pass = asm.fresh('pass');
    program.countDelivered();
    program.count(eventIndex('packet_too_big_sent'));
    program.copy(TYPE_OFFSET, STACK.etherType, 2, pass);
    asm.load(2, R1, FP, STACK.etherType).fromNetwork(R1, 16);
    for (const { etherType, mtu, quotedBytes, more } of ANSWERS) {
      const [other, counted] = [asm.fresh('other'), asm.fresh('counted')];
      asm.jumpIf(R1, 'notEqual', etherType, other);
      program.copy(ETHERNET_BYTES + mtu.at, STACK.ipv6, quotedBytes + 2 - mtu.at, pass);
      asm.load(mtu.bits === 16 ? 2 : 4, R2, FP, STACK.ipv6).fromNetwork(R2, mtu.bits);
      asm.jumpIf(R2, 'aboveOrEqual', path.innerMtu, pass);
      asm.load(2, R3, FP, STACK.ipv6 + quotedBytes - mtu.at).fromNetwork(R3, 16);
      // What is longer than the device carries was counted when it came to it.
      asm.alu('add', R3, more).jumpIf(R3, 'above', path.innerMtu, counted);
      program.count(egressIndex('drop.send_too_big'));
      asm.label(counted);
      writeNews(asm, { kind: EventKind.PathMtu, host: true });
      asm.alu32('or', R2, 4 << LENGTH_SHIFT).store(4, FP, STACK.record + EVENT.detail, reg(R2));
      endTold(program, TC_OK);
      asm.label(other);
    }
    asm.label(pass).move(R0, TC_OK).exit();
  });
}
