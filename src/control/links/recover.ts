/**
 * Taking back what routers left that were killed with everything that could have restarted them.
 * @module
 */
import { formatSeed } from '../../config/gossip.ts';
import { FanwayError, messageOf } from '../../errors.ts';
import type { Log } from '../../log.ts';
import { formatHostPrefix } from '../../net/underlay-address.ts';
import { removeMarked, undoAll } from '../change/execute.ts';
import { damaged, type Journal, JournalStore } from '../change/journal.ts';
import type { Context } from '../change/kinds/kind.ts';
import { PortRecords, tidyBridges } from '../host/bridge/bridge-ports.ts';
import type { Host, Tunnels } from '../host/host.ts';
import { endOrphans } from '../host/orphans.ts';
import { RecordStore } from '../store/gossip-record.ts';
import { LeftSettings } from '../store/left-settings.ts';
import type { RunDirectory } from '../store/run-directory.ts';

/** For taking back what a dead router left: nothing runs, so nothing can be added. */
export const noTunnels: Tunnels = {
  async addLink() {
    throw new FanwayError('no-data-plane', 'no data plane runs in this process');
  },
  async removeLink() {},
  forgetLink() {},
  async updateLink() {},
  async setSuperBytes() {},
  async missing() {
    return [];
  },
  async moveLink() {
    throw new FanwayError('no-data-plane', 'no data plane runs in this process');
  },
};

/**
 * Undoes every journal of the run directory. The caller holds the router lock, which proves that
 * no router is alive.
 * @param options.force set a journal aside when something of it cannot be undone, so that it is not
 *   tried again; what could not be undone is still reported.
 * @returns the journals that were undone; a damaged one has only its link's name.
 * @throws FanwayError `undo-failed` when something is left; everything else was taken back.
 */
export async function recover(
  run: RunDirectory,
  host: Host,
  log: Log,
  options: { force?: boolean } = {},
): Promise<{ name: string; journal: Journal | undefined }[]> {
  // Data processes outlive their control process; they let go of the devices first.
  await endOrphans(run.data);
  forgetGossip(run, log);
  const store = new JournalStore(run);
  const found = store.readAll();
  const failures: string[] = [];
  const left = new Set(found);
  for (const item of found) {
    const context: Context = {
      host,
      tunnels: noTunnels,
      log,
      left: new LeftSettings(run),
      // Settings that fans share are restored with the last of them.
      others: () =>
        [...left].flatMap((other) =>
          other === item || other.journal === undefined ? [] : [other.journal],
        ),
    };
    try {
      if (item.journal === undefined) {
        const what = damaged(item.name, item.problem);
        log.error('journal', `${what}: set aside, its devices removed`);
        await removeMarked(item.name, context);
        store.setAside(item.name);
      } else {
        await undoAll(item.journal, store, context);
      }
    } catch (error) {
      failures.push(messageOf(error));
      if (options.force === true) store.setAside(item.name);
    }
    left.delete(item);
  }
  await tidyBridges(new PortRecords(run), [], host);
  if (failures.length > 0) throw new FanwayError('undo-failed', failures.join('; '));
  return found;
}

/** The journals that can be read; each that cannot is set aside, and the devices of its link go. */
export async function soundJournals(store: JournalStore, context: Context): Promise<Journal[]> {
  const journals: Journal[] = [];
  for (const { name, journal, problem } of store.readAll()) {
    if (journal !== undefined) {
      journals.push(journal);
      continue;
    }
    context.log.error('journal', `${damaged(name, problem)}: set aside, its devices removed`);
    store.setAside(name);
    await removeMarked(name, context);
  }
  return journals;
}

/** Ends what a killed router kept of its gossip, and says how to have it again. */
function forgetGossip(run: RunDirectory, log: Log): void {
  const store = new RecordStore(run);
  const record = store.read(log);
  store.remove();
  if (record === undefined) return;
  const { settings, announced } = record;
  const join = ['fanway join', ...settings.seeds.map(formatSeed)].join(' ');
  const entries = announced.map(formatHostPrefix).join(', ');
  const announce = announced.length === 0 ? '' : `, and announce what it had: ${entries}`;
  log.warn('gossip', `the killed router was in the cluster ${settings.label}: ${join}${announce}`);
}
