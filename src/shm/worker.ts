/**
 * What a data process says of itself in the header of the shared memory.
 * @module
 */

export const WorkerState = { Starting: 0, Ready: 1, Stopped: 2 } as const;
/** Which call the worker's last errno came from. */
export const ErrorSite = { None: 0, DeviceRead: 1, DeviceWrite: 2, Send: 3, Receive: 4 } as const;
export const ERROR_SITE_NAMES = ['', 'device read', 'device write', 'send', 'receive'] as const;

/** What the worker last said of itself. `heartbeat` counts loop rounds, idle ones included. */
export type WorkerStatus = {
  state: number;
  heartbeat: number;
  errno: number;
  errorSite: number;
  errorCount: number;
};
