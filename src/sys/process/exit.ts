/** The end of a process. @module */
import { libc } from '../libc/libc.ts';

/** Ends the process here and now: nothing that waits in the runtime gets its turn. */
export function exitAtOnce(code: number): void {
  libc._exit(code);
}
