/**
 * What stands where the programs of a fan should, once somebody has taken those away: nothing passes
 * that nobody has judged.
 * @module
 */
import { egressIndex, ingressIndex } from '../table/counters.ts';
import type { FanMaps, FanPath } from './fan-path.ts';
import { type Direction, FrameProgram } from './frame-program.ts';

/** The program that drops and counts all that it is given. */
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
