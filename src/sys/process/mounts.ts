/** Mounts of this process's own mount namespace (mount(2)). @module */
import { check, libc } from '../libc/libc.ts';

const MS_BIND = 0x1000;

/** Puts one file in another's place for whoever shares this mount namespace. @throws SystemError */
export function bindMount(file: string, at: string): void {
  check('mount', libc.mount(file, at, 'none', MS_BIND, 0), at);
}
