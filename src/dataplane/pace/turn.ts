/**
 * The change of data processes. A successor sets itself up while its predecessor forwards; then control
 * passes the turn, the predecessor says that it has stopped, and the successor begins. Nobody waits for
 * a process to end, and never do two write the counters.
 * @module
 */
import type { Turn } from '../../shm/turn.ts';
import { POLLERR, POLLHUP, POLLIN } from '../../sys/libc/constants.ts';
import type { Arena } from '../ground/arena.ts';
import type { Waiting } from '../ground/ports.ts';

/** How often a successor whose turn has come looks whether its predecessor has stopped, ms. */
const STOPPED_POLL_MS = 1;
/** How often one that waits looks by itself whether its turn has come: control rings, this is for luck. */
const TURN_POLL_MS = 500;

/**
 * Sleeps until it is `epoch`'s turn. False when control, who would pass it, is gone.
 * @param pollfd arena offset of a `struct pollfd` of the parent pipe, into which control rings
 */
export function awaitTurn(
  arena: Arena,
  waiting: Waiting,
  turn: Turn,
  epoch: number,
  pollfd: number,
): boolean {
  const { view } = arena;
  const descriptor = view.getInt32(pollfd, true);
  const byte = arena.allocate(8);
  while (!turn.has(epoch)) {
    const timeoutMs = turn.epoch === epoch ? STOPPED_POLL_MS : TURN_POLL_MS;
    if (waiting.poll(pollfd, 1, timeoutMs) <= 0) continue;
    const revents = view.getUint16(pollfd + 6, true);
    if ((revents & (POLLHUP | POLLERR)) !== 0) return false;
    if ((revents & POLLIN) !== 0) waiting.takeRing(descriptor, byte);
  }
  return true;
}
