/**
 * Keeping descriptors that were inherited from being inherited further.
 * @module
 */
import { readdirSync } from 'node:fs';
import { libc } from '../libc/libc.ts';

const F_GETFD = 1;
const F_SETFD = 2;
const FD_CLOEXEC = 1;
const FIRST_BEYOND_STDIO = 3;

/**
 * Marks every descriptor beyond the standard three as ours alone, so that programs started from now
 * on get those that they are given and no others: a lock of the caller's that lived on in a router
 * would stay held until the router ends. What is meant for a child (its `stdio` list) still gets
 * there.
 * @returns how many were not marked yet, which somebody else left open for us
 */
export function keepDescriptorsFromChildren(): number {
  let marked = 0;
  let names: string[];
  try {
    names = readdirSync('/proc/self/fd');
  } catch {
    return 0; // Without /proc nothing here gets far enough to start a program.
  }
  for (const name of names) {
    const fd = Number(name);
    if (fd < FIRST_BEYOND_STDIO) continue;
    // −1: the one that the list itself was read through is closed by now.
    const flags = libc.fcntl(fd, F_GETFD, 0);
    if (flags === -1 || (flags & FD_CLOEXEC) !== 0) continue;
    if (libc.fcntl(fd, F_SETFD, flags | FD_CLOEXEC) === 0) marked++;
  }
  return marked;
}
