/**
 * Environment for our long-lived processes: what compiling took at the start goes back to the system
 * at once (mallopt(3)), 6 MB of 72. By itself glibc raises these limits with each large block that
 * is freed, and keeps the next. Other C libraries do not know the words.
 * @module
 */
export const GLIBC_MALLOC: Readonly<Record<string, string>> = {
  MALLOC_ARENA_MAX: '2',
  MALLOC_TRIM_THRESHOLD_: '131072',
  MALLOC_MMAP_THRESHOLD_: '131072',
};
