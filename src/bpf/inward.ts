/**
 * Where a frame goes that came in by the device and is sound: to the bridge, or past it.
 * @module
 */
import { DSCP_MASK, ECN_ECT0, ECN_ECT1, ECN_MASK } from '../wire/ecn.ts';
import { reg } from './assembler.ts';
import { mayBypass, portOf, sourceIsKnown } from './bypass.ts';
import { type FrameProgram, STACK } from './frame-program.ts';
import { Register, SKB, TC_OK, TUNNEL_KEY } from './instructions.ts';

const { R0, R1, R2, R4, R5, R6, R9, FP } = Register;

/**
 * R1, which is the class of the packet inside as R2 has it, becomes what the outer header makes of it: ECT(0) is
 * ECT(1) where that says so, and the DSCP is the outer one where that is asked for. To `same` if it stays as it is.
 * Loses R4 and R5.
 */
export function classFromOuter(program: FrameProgram, same: string): void {
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

/** To the bridge, of which frames of IPv4 are told where they may go past it. */
export function deliver(program: FrameProgram, isIpv4: boolean): void {
  const { asm, maps } = program;
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
