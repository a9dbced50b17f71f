/**
 * Descriptors of other processes (pidfd_getfd(2)), for tests that stand between control and a data process.
 * @module
 */
import { libc } from '../../src/sys/libc/libc.ts';

/** pidfd_open(2), pidfd_getfd(2): the same number on every machine. */
const PIDFD_OPEN = 434;
const PIDFD_GETFD = 438;

/** A copy of a descriptor of another process; −1 where this machine does not let us. */
export function take(pid: number, fd: number): number {
  const process = libc.syscall(PIDFD_OPEN, pid, 0, 0, 0, 0);
  if (process < 0) return -1;
  const copy = libc.syscall(PIDFD_GETFD, process, fd, 0, 0, 0);
  libc.close(process);
  return copy;
}

/** Why nothing can be taken here, or false. */
export function skipWithoutTaking(): string | false {
  const copy = take(process.pid, 1);
  if (copy < 0) return 'pidfd_getfd(2) is refused here';
  libc.close(copy);
  return false;
}
