/**
 * A kernel setting of the host or of a device.
 * @module
 */
import { messageOf } from '../../../errors.ts';
import { forwardersOf, whoMayForward } from '../../host/reliance.ts';
import type { Kind } from './kind.ts';

/** `shared` ones belong to the host and are restored with the last fan. */
export type SysctlChange = { kind: 'sysctl'; key: string; value: string; shared: boolean };

function isSysctl(change: { readonly kind: string }): change is SysctlChange {
  return change.kind === 'sysctl';
}

export const sysctl: Kind<SysctlChange> = {
  fields: { key: 'string', value: 'string', shared: 'boolean' },
  describe(change, now) {
    const state =
      now === undefined || now === null ? '' : now === change.value ? ' (is so)' : ` (now ${now})`;
    return `set sysctl ${change.key.replaceAll('/', '.')} = ${change.value}${state}`;
  },
  prepare(change, memo, { host, others, left }) {
    const shared = others()
      .flatMap((journal) => journal.entries)
      .find((entry) => isSysctl(entry.change) && entry.change.key === change.key)?.memo;
    const now = host.readSysctl(change.key);
    // What a fan before has left is ours still, and not how the host was.
    const known = shared ?? (change.shared ? left?.get(change.key, now) : undefined);
    memo.previous ??= known?.previous ?? now;
    if (known?.before !== undefined) memo.before ??= known.before;
  },
  async apply(change, memo, { host, log }) {
    delete memo.problem;
    const now = host.readSysctl(change.key);
    if (now === change.value) return;
    // A kernel without IPv6 has no IPv6 settings.
    memo.foreign = now === null;
    if (now === null) return;
    if (change.shared) memo.before ??= await forwardersOf(host);
    try {
      host.writeSysctl(change.key, change.value);
    } catch (error) {
      // A read-only /proc/sys (containers) costs something, but not the overlay.
      memo.foreign = true;
      const key = change.key.replaceAll('/', '.');
      memo.problem = `${key} stays ${now}: ${messageOf(error)}; set it to ${change.value} yourself, or traffic that this host must forward stays here`;
      log.warn('sysctl', memo.problem);
    }
  },
  async missing(change, memo, { host }) {
    const now = host.readSysctl(change.key);
    if (now === change.value) delete memo.problem;
    if (memo.foreign === true) return [];
    const key = change.key.replaceAll('/', '.');
    return now === change.value ? [] : [`sysctl ${key} = ${change.value} (was ${now ?? 'gone'})`];
  },
  async undo(change, memo, { host, log, others, left }) {
    // What belongs to our own devices goes with them.
    if (!change.shared || memo.foreign === true) return;
    const needed = others().some((journal) =>
      journal.entries.some(
        (entry) =>
          isSysctl(entry.change) && entry.change.key === change.key && entry.state !== 'planned',
      ),
    );
    const previous = memo.previous;
    if (needed || previous === undefined || previous === null || previous === change.value) return;
    if (host.readSysctl(change.key) !== change.value) return left?.forget(change.key);
    const { before } = memo;
    const who = await whoMayForward(host, before);
    if (who === '') {
      host.writeSysctl(change.key, previous);
      return left?.forget(change.key);
    }
    left?.keep(change.key, { value: change.value, previous, ...(before && { before }) });
    const key = change.key.replaceAll('/', '.');
    log.warn(
      'left',
      `${key} stays ${change.value}, it was ${previous} before: ${who} may rely on it by now; if nobody does: sysctl -w ${key}=${previous}`,
    );
  },
};
