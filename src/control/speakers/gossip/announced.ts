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
import {
  ADDRESS_BITS,
  familyOf,
  formatHostPrefix,
  holdsHost,
  hostNetworkOf,
  parseHostAddress,
  parseHostPrefix,
  type UnderlayPrefix,
} from '../../../net/underlay-address.ts';
import {
  type Announcement,
  ItemKind,
  type NodeId,
  type Prefix6Item,
  type PrefixItem,
} from '../../../wire/gossip/types.ts';
import { type LinkSpec, sideOf } from '../../store/link-spec.ts';

/** Whether what is announced is a prefix, of either family. */
export function isPrefixItem(item: Announcement): item is PrefixItem | Prefix6Item {
  return item.kind === ItemKind.Prefix || item.kind === ItemKind.Prefix6;
}

type UnrankedPrefix = Omit<PrefixItem, 'rank'> | Omit<Prefix6Item, 'rank'>;

/** A prefix as it is announced for a link; undefined = for any. */
export function prefixItemOf(
  { address, length }: UnderlayPrefix,
  spec: LinkSpec | undefined,
): UnrankedPrefix {
  if (typeof address === 'number') {
    return { kind: ItemKind.Prefix, vni: spec?.vni ?? 0, address, length };
  }
  return { kind: ItemKind.Prefix6, vni: spec?.six?.vni ?? 0, address, length };
}

/** Where a prefix belongs; `from` says whom each was taken from, by its text. */
export function placed(
  prefix: UnderlayPrefix,
  specs: readonly LinkSpec[],
  from: ReadonlyMap<string, string>,
): Placed {
  const text = formatHostPrefix(prefix);
  return { prefix: text, link: linkOf(prefix, specs)?.name ?? '', from: from.get(text) ?? '' };
}

function alone(text: string): UnderlayPrefix {
  const address = parseHostAddress(text);
  return { address, length: ADDRESS_BITS[familyOf(address)] };
}

/** An address or prefix from the command line. @throws FanwayError (exit code 2). */
export function parseAnnouncement(text: unknown): UnderlayPrefix {
  try {
    if (typeof text !== 'string') throw new TypeError();
    const prefix = text.includes('/') ? parseHostPrefix(text) : alone(text);
    const network = hostNetworkOf(prefix);
    if (network === prefix.address) return prefix;
    const meant = formatHostPrefix({ address: network, length: prefix.length });
    throw usageError('bad-prefix', `${text} has bits below its mask: the prefix is ${meant}`);
  } catch (error) {
    if (error instanceof Error && 'exitCode' in error) throw error;
    const shown = JSON.stringify(String(text).slice(0, 40));
    throw usageError(
      'bad-prefix',
      `${shown} is no address or prefix like 250.1.27.10 or fd00:fa:1b::10`,
    );
  }
}

/** The link whose fan a prefix belongs to, undefined when none that is up has it. */
export function linkOf(prefix: UnderlayPrefix, specs: readonly LinkSpec[]): LinkSpec | undefined {
  return specs.find((spec) => {
    const side = sideOf(spec, prefix.address);
    if (side === undefined || prefix.length < side.slice.length) return false;
    return prefix.length >= side.overlay.length && holdsHost(side.overlay, prefix.address);
  });
}

/**
 * The link to announce a prefix in. It may lie in this host's own slice: what had moved away and
 * comes back is taken over from whoever announces it.
 * @throws FanwayError when no fan here has it, or it is wider than a slice.
 */
export function requireLink(prefix: UnderlayPrefix, specs: readonly LinkSpec[]): LinkSpec {
  const text = formatHostPrefix(prefix);
  const link = linkOf(prefix, specs);
  if (link !== undefined) return link;
  for (const spec of specs) {
    const side = sideOf(spec, prefix.address);
    if (side === undefined || !holdsHost(side.overlay, prefix.address)) continue;
    throw refusedError(
      'too-wide',
      `${text} is wider than a slice of ${spec.name} (/${side.slice.length}): announce parts of it`,
    );
  }
  throw refusedError('no-fan', `${text} is in no fan that is up here; fanway show lists them`);
}

type Told = UnrankedPrefix;

/** What is to be announced, and what of it the node was told. */
export class Announced {
  readonly #prefixes = new Map<string, UnderlayPrefix>();
  /** By prefix and VNI. */
  readonly #told = new Map<string, Told>();

  constructor(prefixes: readonly UnderlayPrefix[] = []) {
    for (const prefix of prefixes.slice(0, ITEMS_PER_OWNER_MAX)) {
      this.#prefixes.set(formatHostPrefix(prefix), prefix);
    }
  }

  list(): UnderlayPrefix[] {
    return [...this.#prefixes.values()];
  }

  /** Adds all or none. @throws FanwayError `too-many` */
  add(prefixes: readonly UnderlayPrefix[]): void {
    const fresh = new Map(prefixes.map((prefix) => [formatHostPrefix(prefix), prefix]));
    const count = new Set([...this.#prefixes.keys(), ...fresh.keys()]).size;
    if (count > ITEMS_PER_OWNER_MAX) {
      throw refusedError('too-many', `a host announces at most ${ITEMS_PER_OWNER_MAX} prefixes`);
    }
    for (const [text, prefix] of fresh) this.#prefixes.set(text, prefix);
  }

  /** Removes all or none. @throws FanwayError `not-announced` */
  remove(prefixes: readonly UnderlayPrefix[]): void {
    const texts = prefixes.map(formatHostPrefix);
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
    if (change.type !== 'set' || !isPrefixItem(change.item)) return undefined;
    if (change.before !== self || change.owner === self) return undefined;
    const { vni } = change.item;
    const text = formatHostPrefix(change.item);
    this.#told.delete(`${text} ${vni}`);
    return this.#prefixes.delete(text) ? text : undefined;
  }

  /** Makes what the node announces that part of it which belongs to links that are up. */
  tell(node: GossipNode, specs: readonly LinkSpec[]): void {
    const wanted = new Map<string, Told>();
    for (const [text, prefix] of this.#prefixes) {
      const link = linkOf(prefix, specs);
      if (link === undefined) continue;
      const item = prefixItemOf(prefix, link);
      wanted.set(`${text} ${item.vni}`, item);
    }
    for (const [key, item] of [...this.#told]) {
      if (wanted.has(key)) continue;
      this.#told.delete(key);
      node.withdraw(item);
    }
    for (const [key, item] of wanted) {
      if (this.#told.has(key)) continue;
      this.#told.set(key, item);
      node.announce(item);
    }
  }

  /** The node is gone, and the next one knows nothing yet. */
  untell(): void {
    this.#told.clear();
  }
}
