/**
 * What a kind of change is: how one is told, made, recognised and taken back. Each kind is a file
 * of its own in `kinds/`.
 * @module
 */
import { codeOf } from '../../../errors.ts';
import type { Log } from '../../../log.ts';
import type { PolicyRule } from '../../../net/policy/rule.ts';
import type { Host, Tunnels } from '../../host/host.ts';
import type { AnyRequest, SnapshotLink } from '../../host/snapshot.ts';
import type { LeftSettings } from '../../store/left-settings.ts';
import type { AnySpec } from '../../store/link-spec.ts';
import type { Memo } from './memo.ts';

/** The rules of a network, in the order in which they are asked, with their texts. */
export type LinkRules = {
  /** About the network alone. */
  rules: readonly NamedRule[];
  /** About it and another one. */
  between: readonly NamedRule[];
  /** The MACs that have a label, by its name. */
  labelled: ReadonlyMap<string, readonly number[]>;
};
/** What rules the networks of a router have. */
export type RuleBook = {
  /** Of a link; undefined while nobody knows them. */
  of(link: string): LinkRules | undefined;
  /** Whether a network has any, also one that does not run. */
  isRuled(request: AnyRequest): boolean;
};
export type NamedRule = { text: string; rule: PolicyRule };

/** What one kind sees of another link's journal. */
export type Journalled = {
  readonly spec: AnySpec;
  readonly entries: readonly {
    readonly change: { readonly kind: string };
    readonly state: 'planned' | 'doing' | 'done';
    readonly memo: Memo;
  }[];
};

export type Context = {
  host: Host;
  tunnels: Tunnels;
  log: Log;
  /** The journals of the other links, for settings that fans share. */
  others(): readonly Journalled[];
  /** Settings that stayed when the last fan went; absent = nobody keeps them. */
  left?: Pick<LeftSettings, 'get' | 'keep' | 'forget'>;
  /** The rules of a network; undefined while nobody knows them (yet). */
  rulesOf?: (link: string) => LinkRules | undefined;
};

/**
 * `apply` may be called again on a change that is there already, wholly or in part. `undo` takes
 * back only what is provably ours: an interface by its index and mark, an address or route by every
 * field, a sysctl only while it still holds our value.
 */
export type Kind<C> = {
  /** What a change of this kind must have (not what it may have) when it comes from a file, as `typeof` tells it. */
  fields: Readonly<Record<string, string>>;
  /** Whether what {@link fields} calls an object is whole; true where there is nothing to ask. */
  isWhole?(change: C): boolean;
  /** One change as a line for people. `now`: a setting's value before, where that is known. */
  describe(change: C, now?: string | null): string;
  /** Fills the memo before the change is journalled as `doing`. */
  prepare?(change: C, memo: Memo, context: Context): void;
  apply(change: C, memo: Memo, context: Context): Promise<void>;
  /** Follows the host where what is made depends on it; true when the memo has changed. */
  refresh?(change: C, memo: Memo, context: Context): Promise<boolean>;
  /** What of it is not there as it should be, a line for each piece; nothing when all is well. */
  missing(change: C, memo: Memo, context: Context): Promise<string[]>;
  undo(change: C, memo: Memo, context: Context): Promise<void>;
};

/** Runs a deletion whose object may be gone already. */
export async function unlessGone(deletion: Promise<void>): Promise<void> {
  try {
    await deletion;
  } catch (error) {
    const gone = ['ENODEV', 'EADDRNOTAVAIL', 'ESRCH', 'ENOENT', 'ENETDOWN', 'ENETUNREACH'];
    if (!gone.includes(codeOf(error))) throw error;
  }
}

/** Runs an addition whose object may be there already. */
export async function unlessThere(addition: Promise<void>): Promise<void> {
  try {
    await addition;
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
  }
}

/** Gives a device of ours its name back. Kernels before 6.2 rename only what is down. */
export async function rename(host: Host, link: SnapshotLink, name: string): Promise<void> {
  if (link.name === name) return;
  try {
    await host.setLink(link.index, { name });
  } catch (error) {
    if (codeOf(error) !== 'EBUSY') throw error;
    await host.setLink(link.index, { up: false });
    await host.setLink(link.index, { name });
    await host.setLink(link.index, { up: true });
  }
}
