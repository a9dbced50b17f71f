/**
 * Messages to the service manager (sd_notify(3)): one datagram to the unix socket that
 * NOTIFY_SOCKET names. Node's dgram has no unix sockets, hence libc.
 * @module
 */

import { AF_UNIX, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_NONBLOCK } from '../libc/constants.ts';
import { addressOf, check, libc } from '../libc/libc.ts';
import { isLocalPath, localAddress } from './local-sockets.ts';

/**
 * Tells the service manager, for example `READY=1`. Does nothing where there is none, and never
 * waits: a manager that reads slowly must not hold up the router.
 * @returns whether there was somebody to tell.
 * @throws SystemError when the socket does not take it; EAGAIN when the manager has not read yet
 *   what it was told before.
 */
export function notifyManager(state: string, socketPath = process.env['NOTIFY_SOCKET']): boolean {
  if (socketPath === undefined || socketPath === '') return false;
  if (!isLocalPath(socketPath)) return false;
  const address = localAddress(socketPath);
  const fd = check('socket', libc.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  try {
    check('connect', libc.connect(fd, addressOf(address), address.length), socketPath);
    const message = Buffer.from(state, 'utf8');
    check('write', libc.write(fd, addressOf(message), message.length), socketPath);
  } finally {
    libc.close(fd);
  }
  return true;
}

/** How often the manager wants to hear `WATCHDOG=1`, in ms; 0 when it does not. */
export function watchdogIntervalMs(env: NodeJS.ProcessEnv = process.env): number {
  const microseconds = Number(env['WATCHDOG_USEC'] ?? 0);
  const pid = env['WATCHDOG_PID'];
  if (pid !== undefined && pid !== String(process.pid)) return 0;
  return Number.isFinite(microseconds) && microseconds > 0 ? microseconds / 1000 : 0;
}
