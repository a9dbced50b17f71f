/**
 * The program for what comes in by a container's port: what the bridge would send to the tunnel's device goes
 * there at once, or straight to the underlay.
 * @module
 */
import { reg } from '../assembler.ts';
import { mayBypass, portOf, sourceIsKnown } from '../bypass.ts';
import { Register, SKB, TC_NEXT } from '../instructions.ts';
import { ETHERNET_BYTES, ETHERTYPE, type LinkProgram, STACK } from '../link-program.ts';

const { R0, R1, R2, R3, R6, R9, FP } = Register;

const SOURCE_OFFSET = 6;
/** Where the receiver's MAC is a key; what else is there is of IPv6 alone. */
const RECEIVER = STACK.neighbour;
const SOURCE = { key: STACK.macKey, bridgedNs: STACK.station, port: STACK.station + 8 };

/** Has the Ethernet header on the stack; goes to `bridge` where it is not whole, or no sender has such a MAC. */
function takeHeader({ asm }: LinkProgram, bridge: string): void {
  asm.load(4, R2, R6, SKB.data).load(4, R3, R6, SKB.dataEnd);
  asm.move(R1, reg(R2)).alu('add', R1, ETHERNET_BYTES).jumpIf(R1, 'above', reg(R3), bridge);
  asm.load(8, R1, R2, SOURCE_OFFSET).store(8, FP, STACK.sourceMac, reg(R1));
  asm.jumpIf(R1, 'anyBit', 1, bridge);
  asm.load(4, R1, R2, 0).store(4, FP, RECEIVER, reg(R1));
  asm.load(2, R1, R2, 4).store(4, FP, RECEIVER + 4, reg(R1));
}

/**
 * The program as the kernel takes it.
 * @param tunnel ifindex of the tunnel's device
 * @param straight sends what is no super-packet straight to the underlay, or goes to the label that it is given
 */
export function portProgram(
  program: LinkProgram,
  tunnel: number,
  straight?: (device: string) => void,
): Uint8Array<ArrayBuffer> {
  const { asm, maps, path } = program;
  const [bridge, device, plain] = ['bridge', 'device', 'plain'];
  asm.move(R6, reg(R1));
  mayBypass(asm, maps, bridge);
  asm.load(4, R1, R6, SKB.vlanPresent).jumpIf(R1, 'notEqual', 0, bridge);
  takeHeader(program, bridge);
  asm.load(4, R9, R6, SKB.deviceIndex);
  program.takeMac();
  sourceIsKnown(asm, maps, SOURCE, bridge);
  asm.load(2, R1, FP, STACK.etherType).fromNetwork(R1, 16);
  asm.jumpIf(R1, 'notEqual', ETHERTYPE.ipv4, bridge);
  portOf(asm, maps, { ...SOURCE, key: RECEIVER }, bridge);
  asm.jumpIf(R1, 'notEqual', tunnel, bridge);
  asm.load(4, R1, R6, SKB.gsoSize).jumpIf(R1, 'equal', 0, plain);
  asm.label(device).move(R1, tunnel).move(R2, 0).call('redirect').exit();
  asm.label(bridge).move(R0, TC_NEXT).exit();
  // What does not fit is the bridge's to judge.
  asm.label(plain).load(4, R1, R6, SKB.length);
  asm.jumpIf(R1, 'above', path.innerMtu + ETHERNET_BYTES, bridge);
  if (straight === undefined) asm.jump(device);
  else straight(device);
  return program.build();
}
