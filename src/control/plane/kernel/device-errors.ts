/**
 * What a device itself could not do with packets, beside what our programs count.
 * @module
 */
import { readFileSync } from 'node:fs';

/** Packets that came in damaged, and packets that could not be sent, since the device is there. */
export type DeviceErrors = { received: number; sent: number };

/** Columns of /proc/net/dev behind the name: errors of receiving, errors and drops of sending. */
const RECEIVE_ERRORS = 2;
const SEND_ERRORS = 10;
const SEND_DROPS = 11;

/** Those of a device of the network namespace that the main thread is in; zeros where it is not there. */
export function deviceErrors(device: string): DeviceErrors {
  const lines = readFileSync('/proc/self/net/dev', 'utf8').split('\n');
  const line = lines.find((text) => text.trimStart().startsWith(`${device}:`));
  const columns =
    line
      ?.slice(line.indexOf(':') + 1)
      .trim()
      .split(/\s+/) ?? [];
  const column = (index: number): number => Number(columns[index] ?? 0);
  return {
    received: column(RECEIVE_ERRORS),
    sent: column(SEND_ERRORS) + column(SEND_DROPS),
  };
}
