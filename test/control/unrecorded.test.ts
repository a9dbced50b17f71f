// A data process that cannot be noted for a successor of control.
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { EntryTable } from '../../src/control/plane/entry-table.ts';
import { DataProcess } from '../../src/control/plane/process/data-process.ts';
import { silentLog } from '../../src/log.ts';
import { until } from '../support/patience.ts';

/** Processes that this one has started and not seen end. */
function children(): string[] {
  return readdirSync('/proc/self/task').flatMap((thread) =>
    readFileSync(`/proc/self/task/${thread}/children`, 'latin1').split(' ').filter(Boolean),
  );
}

/** Sockets and namespaces of mounts that are open here. */
function held(): string[] {
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return /^(socket|mnt):/.test(readlinkSync(`/proc/self/fd/${fd}`));
    } catch {
      // The one that the list was read by.
      return false;
    }
  });
}

t.test('a data process that cannot be noted ends', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'fanway-noted-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  // As on a full disk: there is no folder to note it in, and none can be made.
  const file = join(folder, 'file');
  writeFileSync(file, '');
  const entries = new EntryTable();
  const nothing = (): void => undefined;
  const data = new DataProcess({
    ...{ log: silentLog, onRestart: nothing, onEvents: nothing, recordDirectory: file },
    ...{ tablesFd: entries.fd, flowsFd: entries.policy.flowsFd },
    ...{ queues: 1, busyPollUs: 0, priority: 'normal', crowded: false },
  });
  const before = children().length;
  const open = held().length;
  await t.rejects(data.prepare(), { code: 'EEXIST' });
  await until('it has ended', 5000, () => children().length === before);
  await until('nothing of it stays open', 5000, () => held().length === open);
  await data.close();
  entries.close();
  t.equal(children().length, before);
});
