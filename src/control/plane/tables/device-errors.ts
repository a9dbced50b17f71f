/**
 * What a device itself could not do with packets, beside what our programs count.
 * @module
 */
import { readFileSync } from 'node:fs';
import { codeOf } from '../../../errors.ts';

/** Packets that came in damaged, and packets that could not be sent, since the device is there. */
export type DeviceErrors = { received: number; sent: number };

/** Columns of /proc/net/dev behind the name: errors of receiving, errors and drops of sending. */
const RECEIVE_ERRORS = 2;
const SEND_ERRORS = 10;
const SEND_DROPS = 11;

type Table = ReadonlyMap<string, DeviceErrors>;

/** What was read in this turn of the event loop: whoever asks for one device asks for all of them, one by one. */
const read = new Map<string, Table>();

function parse(text: string): Table {
  const table = new Map<string, DeviceErrors>();
  for (const line of text.split('\n')) {
    const [name = '', values] = line.split(':');
    if (values === undefined) continue;
    const columns = values.trim().split(/\s+/);
    const column = (index: number): number => Number(columns[index] ?? 0);
    table.set(name.trim(), {
      received: column(RECEIVE_ERRORS),
      sent: column(SEND_ERRORS) + column(SEND_DROPS),
    });
  }
  return table;
}

/** Where a process has ended, its network namespace may have gone with it; and of descriptors there may be none left. */
const NOT_NOW = ['ENOENT', 'ESRCH', 'EINVAL', 'EMFILE', 'ENFILE', 'ENOMEM'];

/** The devices of a process; none where they cannot be read just now. */
function readTable(path: string): Table {
  try {
    return parse(readFileSync(path, 'utf8'));
  } catch (error) {
    if (NOT_NOW.includes(codeOf(error))) return new Map();
    throw error;
  }
}

/**
 * Those of a device, undefined where it is not there.
 * @param pid a process whose main thread is in the device's network namespace; this one unless given
 */
export function deviceErrors(device: string, pid?: number): DeviceErrors | undefined {
  const path = `/proc/${pid ?? 'self'}/net/dev`;
  let table = read.get(path);
  if (table === undefined) {
    table = readTable(path);
    read.set(path, table);
    queueMicrotask(() => read.delete(path));
  }
  return table.get(device);
}
