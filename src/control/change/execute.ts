/**
 * Making, repairing and taking back the changes of one link, with the journal ahead of each step.
 * @module
 */
import { ENCAPS } from '../../encap/encap.ts';
import { codeOf, FanwayError, messageOf } from '../../errors.ts';
import { type AnyRecord, aliasOf, portsBeside } from '../host/snapshot.ts';
import { isKernels } from '../store/link-spec.ts';
import { type Change, describeChange, kindOf } from './change.ts';
import { JOURNAL_VERSION, type Journal, type JournalEntry, type JournalStore } from './journal.ts';
import { dropTables } from './kinds/firewall/chains.ts';
import type { Context } from './kinds/kind.ts';

/** A journal in which nothing has been done yet. */
export function newJournal(link: AnyRecord, changes: readonly Change[]): Journal {
  return {
    version: JOURNAL_VERSION,
    request: link.request,
    spec: link.spec,
    entries: changes.map((change) => ({ change, state: 'planned', memo: {} })),
  };
}

/** What to do about an error whose name alone does not say. */
function hintOf(change: Change, error: unknown): string {
  if (change.kind !== 'tunnel') return '';
  const { spec } = change;
  switch (codeOf(error)) {
    case 'EADDRINUSE':
      return `; something else has UDP port ${spec.port}, perhaps a VXLAN device of the kernel: end it, or choose another --port on every host`;
    case 'EEXIST':
      // The kernel keeps it for the namespace that it was made in.
      return isKernels(spec)
        ? `; another such device is there, or ${spec.device} itself in another network namespace, where somebody moved it: delete it`
        : '';
    case 'EBUSY':
      return `; another process holds ${spec.device}`;
    case 'EACCES':
      return '; fanway must be allowed to open /dev/net/tun (mode 0666 is safe)';
    case 'ENOENT':
      return '; load the tun module (modprobe tun), or pass /dev/net/tun into the container';
    case 'EPERM':
      return `; it takes CAP_NET_ADMIN${ENCAPS[spec.encap].udp ? '' : ' and CAP_NET_RAW'}`;
    default:
      return '';
  }
}

/**
 * Makes changes in order. The journal names all of them before the first one is made, and what came of
 * them after the last: a crash in between leaves entries that may or may not be there, which whoever
 * makes or takes them back expects of any entry that is `doing`.
 * @throws FanwayError `change-failed`; those that were not begun are `planned` again.
 */
async function make(
  entries: readonly JournalEntry[],
  journal: Journal,
  store: JournalStore,
  context: Context,
): Promise<void> {
  if (entries.length === 0) return;
  for (const { change, memo } of entries) kindOf(change).prepare?.(change, memo, context);
  for (const entry of entries) entry.state = 'doing';
  store.write(journal);
  for (const [i, entry] of entries.entries()) {
    try {
      await kindOf(entry.change).apply(entry.change, entry.memo, context);
    } catch (error) {
      for (const later of entries.slice(i + 1)) later.state = 'planned';
      throw new FanwayError(
        'change-failed',
        `could not ${describeChange(entry.change)}: ${messageOf(error)}${hintOf(entry.change, error)}`,
        { cause: error },
      );
    }
    entry.state = 'done';
  }
  store.write(journal);
}

/**
 * Makes every change in order. When one fails, those before it are taken back and the journal is
 * gone again.
 * @throws FanwayError `change-failed`.
 */
export async function makeAll(
  journal: Journal,
  store: JournalStore,
  context: Context,
): Promise<void> {
  const missing = journal.entries.filter(({ state }) => state !== 'done');
  try {
    await make(missing, journal, store, context);
  } catch (error) {
    try {
      await undoAll(journal, store, context);
    } catch (leftover) {
      context.log.error('undo', messageOf(leftover));
    }
    throw error;
  }
}

/**
 * Takes back every change, last one first, and forgets the journal. A step that fails does not
 * keep the others from being taken back; the journal then stays with what is left.
 * @throws FanwayError `undo-failed` naming what is left.
 */
export async function undoAll(
  journal: Journal,
  store: JournalStore,
  context: Context,
): Promise<void> {
  const failures: string[] = [];
  const left: JournalEntry[] = [];
  for (const entry of [...journal.entries].reverse()) {
    if (entry.state === 'planned') continue;
    try {
      await kindOf(entry.change).undo(entry.change, entry.memo, context);
    } catch (error) {
      left.unshift(entry);
      failures.push(`${describeChange(entry.change)} (${messageOf(error)})`);
    }
  }
  if (failures.length === 0) {
    store.remove(journal.spec.name);
    return;
  }
  journal.entries = left;
  store.write(journal);
  throw new FanwayError(
    'undo-failed',
    `${journal.spec.name}: could not take back: ${failures.join('; ')}; what caused it may be gone by the next fanway down`,
  );
}

/**
 * Takes back some changes of a link that goes on, the last one first.
 * @throws FanwayError `undo-failed` naming what is left, which stays in the journal
 */
export async function undoSome(
  journal: Journal,
  which: (entry: JournalEntry) => boolean,
  store: JournalStore,
  context: Context,
): Promise<void> {
  const failures: string[] = [];
  for (const entry of journal.entries.filter(which).reverse()) {
    try {
      if (entry.state !== 'planned') {
        await kindOf(entry.change).undo(entry.change, entry.memo, context);
      }
      journal.entries = journal.entries.filter((one) => one !== entry);
      store.write(journal);
    } catch (error) {
      failures.push(`${describeChange(entry.change)} (${messageOf(error)})`);
    }
  }
  if (failures.length === 0) return;
  const left = failures.join('; ');
  throw new FanwayError('undo-failed', `${journal.spec.name}: could not take back: ${left}`);
}

/**
 * Makes again what is missing of a link that should be up.
 * `adopt`: the process that made it is gone, so sockets and data processes are missing for sure.
 * @returns one line for each piece that had to be made again.
 * @throws FanwayError `change-failed`; nothing is taken back.
 */
export async function repair(
  journal: Journal,
  store: JournalStore,
  context: Context,
  options: { adopt: boolean },
): Promise<string[]> {
  const repaired: string[] = [];
  let bridgeIndex: number | undefined;
  for (const entry of journal.entries) {
    const { kind } = entry.change;
    let lost: string[] | undefined;
    const adopting = options.adopt && kind === 'tunnel';
    // dnsmasq holds sockets on the bridge by its index: a new bridge needs a new dnsmasq.
    const moved = kind === 'dhcp' && bridgeIndex !== undefined;
    if (!adopting && !moved && entry.state === 'done') {
      const kind = kindOf(entry.change);
      if (await kind.refresh?.(entry.change, entry.memo, context)) store.write(journal);
      lost = await kind.missing(entry.change, entry.memo, context);
      if (lost.length === 0) continue;
    }
    // Forgetting the index makes the tunnel attach anew instead of trusting what it finds.
    if (adopting) delete entry.memo.index;
    // What was never there was taken away by nobody.
    else if (entry.state !== 'planned') repaired.push(...(lost ?? [describeChange(entry.change)]));
    const before = entry.memo.index;
    await make([entry], journal, store, context);
    if (kind === 'bridge' && before !== entry.memo.index) bridgeIndex = entry.memo.index;
  }
  return repaired;
}

/**
 * Removes what bears the mark of a link whose journal cannot be read. Addresses, routes and
 * settings of those devices go with them.
 */
export async function removeMarked(linkName: string, context: Context): Promise<void> {
  const { host } = context;
  const links = await host.links();
  for (const link of links) {
    if (link.alias !== aliasOf(linkName)) continue;
    // Containers are on it: the next fan takes it over.
    if (portsBeside(link, links).length === 0) await host.deleteLink(link.index);
  }
  await dropTables(linkName, host);
  await host.stopDhcp(linkName, undefined);
}
