/**
 * A link that runs becomes another one: it goes from one data path to the other, its device replaced and
 * nothing else, or gets another rate; a fan gets an IPv6 side.
 * @module
 */
import { pickRate, rateDifferences } from '../../../config/link/rate.ts';
import { RULED } from '../../../config/network/kernel.ts';
import { FanwayError, messageOf } from '../../../errors.ts';
import { repair } from '../../change/execute.ts';
import type { Journal, JournalStore } from '../../change/journal.ts';
import type { Context } from '../../change/kinds/kind.ts';
import {
  type AnyRecord,
  type AnyRequest,
  isFanRecord,
  type Snapshot,
} from '../../host/snapshot.ts';
import { type AnySpec, isKernels, isNetwork } from '../../store/link-spec.ts';
import { datapathOf, movedSpec } from './choose.ts';

/** A link that runs, as far as it is changed here. */
type Running = {
  request: AnyRequest;
  spec: AnySpec;
  readonly journal: Journal | undefined;
  readonly record: AnyRecord;
  extend(
    to: AnyRecord,
    store: JournalStore,
    context: Context,
    look: () => Promise<Snapshot>,
  ): Promise<void>;
};

/** What the journal says of the link's device. */
function tunnelOf(journal: Journal): Journal['entries'][number] | undefined {
  return journal.entries.find(({ change }) => change.kind === 'tunnel');
}

/** Writes down that the link is, or is about to be, another one. */
function note(link: Running, to: AnyRecord, store: JournalStore, index: number | undefined): void {
  const { journal } = link;
  const entry = journal && tunnelOf(journal);
  if (journal === undefined || entry?.change.kind !== 'tunnel') return;
  link.request = to.request;
  link.spec = to.spec;
  journal.request = to.request;
  journal.spec = to.spec;
  entry.change.spec = to.spec;
  entry.state = index === undefined ? 'doing' : 'done';
  if (index === undefined) delete entry.memo.index;
  else entry.memo.index = index;
  store.write(journal);
}

/**
 * Has a link that runs become what is asked for now: on the other data path, with another rate, or with an
 * IPv6 side.
 * @throws FanwayError; it goes on as it was
 */
export async function becomeOther(
  link: Running,
  to: AnyRecord,
  store: JournalStore,
  context: Context,
  look: () => Promise<Snapshot>,
): Promise<void> {
  const { record } = link;
  const rates = rateDifferences(record.spec, to.spec);
  if (record.spec.datapath !== to.spec.datapath) {
    return moveDatapath(link, record, to, store, context);
  }
  if (rates.length > 0) return retune(link, to, rates, store, context);
  if (!isFanRecord(to) || datapathOf(record.request) !== datapathOf(to.request)) {
    // Asked for in another way, and there already.
    return note(link, to, store, link.journal && tunnelOf(link.journal)?.memo.index);
  }
  await link.extend(to, store, context, look);
  context.log.info(to.spec.name, 'IPv6 is up');
}

/** Another rate, or other flow keys: what waits goes on as the new ones say. @throws FanwayError */
async function retune(
  link: Running,
  to: AnyRecord,
  rates: readonly string[],
  store: JournalStore,
  { tunnels, log }: Context,
): Promise<void> {
  await tunnels.updateLink(to.spec.name, { rated: pickRate(to.spec) });
  note(link, to, store, link.journal && tunnelOf(link.journal)?.memo.index);
  for (const text of rates) log.info(to.spec.name, text);
}

/**
 * A network with rules that the kernel forwards goes over to processes of ours, which hold connections to them; what
 * it was asked for stays. @throws FanwayError `change-failed`
 */
export async function heedRules(
  link: Running,
  store: JournalStore,
  context: Context,
): Promise<void> {
  const { request, spec } = link;
  const rules = context.rulesOf?.(spec.name)?.rules ?? [];
  if (!isKernels(spec) || !isNetwork(spec) || rules.length === 0) return;
  context.log.warn(spec.name, `it leaves the kernel: ${RULED}`);
  const to = { request, spec: movedSpec(spec, { notKernel: RULED }) };
  await becomeOther(link, to, store, context, () => {
    throw new RangeError('a network has no IPv6 side to look for');
  });
}

/**
 * Replaces the device while traffic flows; only frames within some milliseconds are lost.
 * @throws FanwayError `change-failed`; the link goes on as it was
 */
async function moveDatapath(
  link: Running,
  before: AnyRecord,
  to: AnyRecord,
  store: JournalStore,
  context: Context,
): Promise<void> {
  const { journal } = link;
  if (journal === undefined) return;
  const index = tunnelOf(journal)?.memo.index;
  // Killed from here on, a successor makes the new device and deletes what else bears our mark.
  note(link, to, store, undefined);
  try {
    note(link, to, store, await context.tunnels.moveLink(before.spec, to.spec));
  } catch (error) {
    note(link, before, store, index);
    const where = isKernels(to.spec) ? 'the kernel' : 'fanway';
    throw new FanwayError(
      'change-failed',
      `${to.spec.name} could not go over to ${where}: ${messageOf(error)}; it goes on as it was`,
      { cause: error },
    );
  }
  await repair(journal, store, context, { adopt: false });
  const by = isKernels(to.spec) ? 'the kernel' : "fanway's own processes";
  context.log.info(to.spec.name, `forwarded by ${by} from now on`);
}
