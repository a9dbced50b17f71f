/**
 * What the loop waits for.
 * @module
 */

/** What a descriptor in the poll set is for. */
export const Role = {
  ...{ Wake: 0, Parent: 1, Changes: 2, Device: 3, Receive: 4, Errors: 5 },
  Handover: 6,
} as const;
/** The first two are there from the start, in this order. */
export const WAKE_PLACE = 0;
export const PARENT_PLACE = 1;
