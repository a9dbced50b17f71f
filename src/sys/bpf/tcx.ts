/**
 * Programs on a device by bpf(2) alone (tcx, Linux 6.6 and later): they run before the filters of tc, and
 * nothing that is done to those touches them. They go with the device.
 * @module
 */
import { codeOf } from '../../errors.ts';
import type { Hook } from '../netlink/tc.ts';
import { attachToDevice, detachFromDevice, programsOnDevice } from './bpf.ts';

/** How often a list that others change meanwhile is read anew. */
const TRIES = 8;

/** Numbers of the programs at a hook, the first to run first; undefined where the kernel has no tcx. */
export function tcxPrograms(index: number, hook: Hook): number[] | undefined {
  try {
    return programsOnDevice(index, hook);
  } catch (error) {
    if (codeOf(error) === 'EINVAL') return undefined;
    throw error;
  }
}

/**
 * Has a program run at a hook before all others, and takes away those behind it as far as they may be:
 * what is held by a link of bpf(2) stays, and never runs. No packet meets none. @throws SystemError
 */
export function attachTcx(index: number, hook: Hook, fd: number, id: number): void {
  attachToDevice(index, hook, fd);
  for (let i = 0; i < TRIES; i++) {
    const programs = programsOnDevice(index, hook);
    if (programs.length <= 1 || programs.at(-1) === id) return;
    try {
      detachFromDevice(index, hook);
    } catch (error) {
      if (codeOf(error) === 'EBUSY') return;
      throw error;
    }
  }
}
