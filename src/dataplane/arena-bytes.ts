/**
 * How much packet memory a loop takes.
 * @module
 */
import { BACKLOGS_BYTES } from './pace/catch-up.ts';
import { CELLS_BYTES } from './queue/cells.ts';

/**
 * Everything the arena holds fits: receive and read slots and peers 4 MB each, headers and iovecs 3 MB; and
 * what may wait for a rate, which takes memory as it is used.
 */
export const ARENA_BYTES = (20 << 20) + CELLS_BYTES + BACKLOGS_BYTES;
