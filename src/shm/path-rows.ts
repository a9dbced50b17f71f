/**
 * Size of the rows in which a data process tells control of its peers' paths (table/paths.ts).
 * @module
 */

/** Peers that it tells of at a time. */
export const PATHS_MAX = 4096;
/** One row, bytes. */
export const PATH_BYTES = 72;
/** All rows, bytes. */
export const PATH_ROWS_BYTES = PATHS_MAX * PATH_BYTES;
