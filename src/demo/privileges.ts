/**
 * Where the demo may run: as root right here, as an ordinary user inside namespaces of its own, or
 * nowhere, with one sentence that says what is missing.
 * @module
 */
import { platform } from 'node:os';
import { messageOf } from '../errors.ts';
import { NetworkNamespace } from '../sys/process/netns.ts';
import {
  isRootless,
  rerunInUserNamespace,
  rootlessObstacle,
  tunObstacle,
} from '../sys/process/rootless.ts';

/** `here`: go on in this process. `done`: a copy of us did it. `unfit`: not on this machine. */
export type Inside =
  | { kind: 'here' }
  | { kind: 'done'; code: number }
  | { kind: 'unfit'; reason: string };

/** Finds out which; runs this very command again in namespaces of its own when that is the way. */
export async function runInside(): Promise<Inside> {
  if (platform() !== 'linux') {
    return { kind: 'unfit', reason: 'needs Linux: hosts are network namespaces' };
  }
  const tun = tunObstacle();
  if (tun !== undefined) return { kind: 'unfit', reason: tun };
  try {
    NetworkNamespace.create().close();
    return { kind: 'here' };
  } catch (error) {
    if (isRootless()) {
      return { kind: 'unfit', reason: `cannot make network namespaces: ${messageOf(error)}` };
    }
  }
  const obstacle = rootlessObstacle();
  if (obstacle !== undefined) return { kind: 'unfit', reason: obstacle };
  return { kind: 'done', code: await rerunInUserNamespace() };
}
