/**
 * What people of this host had announced: addresses and prefixes that live here although the
 * arithmetic has them elsewhere.
 * @module
 */
import type { Placed } from '../../../api/announce.ts';
import { refusedError, usageError } from '../../../errors.ts';
import type { EntryEvent } from '../../../gossip/base/api.ts';
import { ITEMS_PER_OWNER_MAX } from '../../../gossip/base/limits.ts';
import type { GossipNode } from '../../../gossip/node.ts';
import { parseIpv4 } from '../../../net/ipv4.ts';
import {
  broadcastOf,
  contains,
  formatPrefix,
  networkOf,
  type Prefix,
  parsePrefix,
} from '../../../net/prefix.ts';
import { ItemKind, type NodeId } from '../../../wire/gossip/types.ts';
import type { LinkSpec } from '../../store/link-spec.ts';

/** Where a prefix belongs; `from` says whom each was taken from, by its text. */
export function placed(
  prefix: Prefix,
  specs: readonly LinkSpec[],
  from: ReadonlyMap<string, string>,
): Placed {
  const text = formatPrefix(prefix);
  return { prefix: text, link: linkOf(prefix, specs)?.name ?? '', from: from.get(text) ?? '' };
}

/** An address or prefix from the command line. @throws FanwayError (exit code 2). */
export function parseAnnouncement(text: unknown): Prefix {
  try {
    if (typeof text !== 'string') throw new TypeError();
    const prefix = text.includes('/')
      ? parsePrefix(text)
      : { address: parseIpv4(text), length: 32 };
    const network = networkOf(prefix);
    if (network === prefix.address) return prefix;
    const meant = formatPrefix({ address: network, length: prefix.length });
    throw usageError('bad-prefix', `${text} has bits below its mask: the prefix is ${meant}`);
  } catch (error) {
    if (error instanceof Error && 'exitCode' in error) throw error;
    const shown = JSON.stringify(String(text).slice(0, 40));
    throw usageError('bad-prefix', `${shown} is no address or prefix like 250.1.27.10`);
  }
}

/** The link whose fan a prefix belongs to, undefined when none that is up has it. */
export function linkOf(prefix: Prefix, specs: readonly LinkSpec[]): LinkSpec | undefined {
  return specs.find(
    ({ overlay, slice }) =>
      prefix.length >= slice.length &&
      contains(overlay, prefix.address) &&
      contains(overlay, broadcastOf(prefix)),
  );
}

/**
 * The link to announce a prefix in. It may lie in this host's own slice: what had moved away and
 * comes back is taken over from whoever announces it.
 * @throws FanwayError when no fan here has it, or it is wider than a slice.
 */
export function requireLink(prefix: Prefix, specs: readonly LinkSpec[]): LinkSpec {
  const text = formatPrefix(prefix);
  const link = linkOf(prefix, specs);
  if (link === undefined) {
    const wide = specs.find(({ overlay }) => contains(overlay, prefix.address));
    throw wide === undefined
      ? refusedError('no-fan', `${text} is in no fan that is up here; fanway show lists them`)
      : refusedError(
          'too-wide',
          `${text} is wider than a slice of ${wide.name} (/${wide.slice.length}): announce parts of it`,
        );
  }
  return link;
}

type Told = { prefix: Prefix; vni: number };

/** What is to be announced, and what of it the node was told. */
export class Announced {
  readonly #prefixes = new Map<string, Prefix>();
  /** By prefix and VNI. */
  readonly #told = new Map<string, Told>();

  constructor(prefixes: readonly Prefix[] = []) {
    for (const prefix of prefixes.slice(0, ITEMS_PER_OWNER_MAX)) {
      this.#prefixes.set(formatPrefix(prefix), prefix);
    }
  }

  list(): Prefix[] {
    return [...this.#prefixes.values()];
  }

  /** Adds all or none. @throws FanwayError `too-many` */
  add(prefixes: readonly Prefix[]): void {
    const fresh = new Map(prefixes.map((prefix) => [formatPrefix(prefix), prefix]));
    const count = new Set([...this.#prefixes.keys(), ...fresh.keys()]).size;
    if (count > ITEMS_PER_OWNER_MAX) {
      throw refusedError('too-many', `a host announces at most ${ITEMS_PER_OWNER_MAX} prefixes`);
    }
    for (const [text, prefix] of fresh) this.#prefixes.set(text, prefix);
  }

  /** Removes all or none. @throws FanwayError `not-announced` */
  remove(prefixes: readonly Prefix[]): void {
    const texts = prefixes.map(formatPrefix);
    const missing = texts.find((text) => !this.#prefixes.has(text));
    if (missing !== undefined) {
      throw refusedError('not-announced', `${missing} is not announced by this host`);
    }
    for (const text of texts) this.#prefixes.delete(text);
  }

  /**
   * What of this host's announcements another host has taken over by a change of the table, as text.
   * It is no longer announced here.
   */
  movedOn(change: EntryEvent, self: NodeId | undefined): string | undefined {
    if (change.type !== 'set' || change.item.kind !== ItemKind.Prefix) return undefined;
    if (change.before !== self || change.owner === self) return undefined;
    const { address, length, vni } = change.item;
    const text = formatPrefix({ address, length });
    this.#told.delete(`${text} ${vni}`);
    return this.#prefixes.delete(text) ? text : undefined;
  }

  /** Makes what the node announces that part of it which belongs to links that are up. */
  tell(node: GossipNode, specs: readonly LinkSpec[]): void {
    const wanted = new Map<string, Told>();
    for (const [text, prefix] of this.#prefixes) {
      const link = linkOf(prefix, specs);
      if (link !== undefined) wanted.set(`${text} ${link.vni}`, { prefix, vni: link.vni });
    }
    for (const [key, { prefix, vni }] of [...this.#told]) {
      if (wanted.has(key)) continue;
      this.#told.delete(key);
      node.withdraw({ kind: ItemKind.Prefix, vni, ...prefix });
    }
    for (const [key, told] of wanted) {
      if (this.#told.has(key)) continue;
      this.#told.set(key, told);
      node.announce({ kind: ItemKind.Prefix, vni: told.vni, ...told.prefix });
    }
  }

  /** The node is gone, and the next one knows nothing yet. */
  untell(): void {
    this.#told.clear();
  }
}
