/**
 * The way past the bridge: frames of IPv4 between a container's port and the tunnel's device go from one
 * to the other at once, where the bridge would have sent them too.
 *
 * The programs keep a table of stations as the bridge keeps its own: a frame whose source is not known
 * behind the port by which it came goes through the bridge, which learns it at the same time; so does one
 * every now and then, that the bridge may not forget. What has no station, is no IPv4, has a tag or goes to
 * many is the bridge's, and so is everything once control has not said for a while that this may go on.
 * @module
 */
import { type Assembler, reg } from './assembler.ts';
import { BYPASS, type FanMaps, STATION } from './fan-path.ts';
import { Register } from './instructions.ts';

const { R0, R1, R2, R3, R4, R7, R8, R9, FP } = Register;

/** Where keys and values stand on the stack, each 8 bytes. */
type Places = { key: number; bridgedNs: number; port: number };

type MacMaps = Pick<FanMaps, 'stations' | 'bypass'>;

/** R7 = what control says, R8 = now; goes to `bridge` where it may not be. Loses R0 to R5. */
export function mayBypass(asm: Assembler, { bypass }: MacMaps, bridge: string): void {
  asm.loadMapValue(R7, bypass).call('ktimeCoarseNs').move(R8, reg(R0));
  asm.load(8, R1, R7, BYPASS.untilNs).jumpIf(R8, 'aboveOrEqual', reg(R1), bridge);
}

/**
 * The station whose MAC is in the key must be known behind the port in R9, and the bridge have seen it
 * lately; else goes to `bridge`, as which the frame is noted. Loses R0 to R5.
 */
export function sourceIsKnown(
  asm: Assembler,
  { stations }: MacMaps,
  { key, bridgedNs, port }: Places,
  bridge: string,
): void {
  const [learn, fresh] = [asm.fresh('learn'), asm.fresh('fresh')];
  find(asm, stations, key);
  asm.jumpIf(R0, 'equal', 0, learn).load(4, R1, R0, STATION.port);
  asm.jumpIf(R1, 'equal', 0, bridge).jumpIf(R1, 'notEqual', reg(R9), learn);
  asm.load(8, R1, R0, STATION.bridgedNs).load(8, R2, R7, BYPASS.againNs).alu('add', R1, reg(R2));
  asm.jumpIf(R1, 'above', reg(R8), fresh);
  asm.store(8, R0, STATION.bridgedNs, reg(R8)).jump(bridge);
  asm.label(learn);
  asm.store(8, FP, bridgedNs, reg(R8)).store(8, FP, port, reg(R9));
  asm.loadMap(R1, stations).move(R2, reg(FP)).alu('add', R2, key);
  asm.move(R3, reg(FP)).alu('add', R3, bridgedNs).move(R4, 0).call('mapUpdate').jump(bridge);
  asm.label(fresh);
}

/** R1 = the port behind which the station in the key is; goes to `bridge` where nobody knows. */
export function portOf(
  asm: Assembler,
  { stations }: MacMaps,
  { key }: Places,
  bridge: string,
): void {
  find(asm, stations, key);
  asm.jumpIf(R0, 'equal', 0, bridge);
  asm.load(8, R1, R0, STATION.bridgedNs).load(8, R2, R7, BYPASS.validNs).alu('add', R1, reg(R2));
  asm.jumpIf(R1, 'belowOrEqual', reg(R8), bridge);
  asm.load(4, R1, R0, STATION.port).jumpIf(R1, 'equal', 0, bridge);
}

function find(asm: Assembler, stations: number, key: number): void {
  asm.loadMap(R1, stations).move(R2, reg(FP)).alu('add', R2, key).call('mapLookup');
}
