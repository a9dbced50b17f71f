/**
 * Where a frame goes that came in by the device and is sound: to the bridge, or past it.
 * @module
 */
import { reg } from './assembler.ts';
import { mayBypass, portOf, sourceIsKnown } from './bypass.ts';
import { type FrameProgram, STACK } from './frame-program.ts';
import { Register, SKB, TC_OK } from './instructions.ts';

const { R0, R1, R2, R6, R9, FP } = Register;

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
