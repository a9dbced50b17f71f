/**
 * Real time for the BGP speaker. A timer does not keep the process alive.
 * @module
 */
import type { Timers } from '../../../bgp/base/api.ts';

export const realTimers: Timers = {
  nowMs: () => performance.now(),
  after(delayMs, action) {
    const timer = setTimeout(action, delayMs);
    timer.unref();
    return () => clearTimeout(timer);
  },
};
