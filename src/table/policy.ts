/**
 * The rules of layer-2 networks as the data path reads them, and which labels each MAC has. A block for
 * each link, in words:
 *
 * ```
 * 0         head     generation << 12 | uses labels << 11 | bank << 10 | count
 * 16 …      banks    two of 256 rows of 16 words: control writes the one that is not read
 * ```
 *
 * A reader takes the head, reads the rows of its bank, and looks at the head again: when it is another, it
 * begins anew. Rows are in the order in which rules are asked.
 * @module
 */
import { ENTRIES_MAX, LINKS_MAX, RULES_PER_LINK_MAX } from '../limits.ts';
import { HashReader, HashWriter, TAG_MIN } from '../shm/hash.ts';
import { POLICY_BLOCK_BYTES, type TableSegment } from './segment.ts';

/** Labels that the rules of one network may name: a bit each. */
export const LABELS_MAX = 29;
/** MACs with labels, of all links together. */
export const LABELLED_MAX = ENTRIES_MAX / 4;

/** What a row says of its fields. */
export const RuleFlag = { Deny: 1, Protocol: 2, Ipv4: 4, Ipv6: 8 } as const;

const BLOCK_WORDS = POLICY_BLOCK_BYTES / 4;
const ROWS = 16;
export const ROW_WORDS = 16;
const BANK_WORDS = RULES_PER_LINK_MAX * ROW_WORDS;
const [COUNT_MASK, BANK_SHIFT, LABELS_SHIFT, GENERATION_SHIFT] = [0x1ff, 10, 11, 12];

/** Words of a row. */
export const RuleWord = {
  Flags: 0,
  Protocol: 1,
  /** Of the destination: first << 16 | last. */
  Ports: 2,
  /** Bits of the prefixes: from << 8 | to. */
  Lengths: 3,
  FromLabels: 4,
  ToLabels: 5,
  /** Four words each; an IPv4 address is the first. */
  From: 6,
  To: 10,
  /** Where its hits are counted. */
  Slot: 14,
} as const;

/** A rule, ready for the table; addresses are four u32, of IPv4 the first one alone. */
export type TableRule = {
  flags: number;
  protocol: number;
  ports: { first: number; last: number };
  from: { words: readonly number[]; length: number; labels: number };
  to: { words: readonly number[]; length: number; labels: number };
  /** 0 to {@link RULES_PER_LINK_MAX} − 1, its own while it is there. */
  slot: number;
};

const LINK_SHIFT = 16;
const TWO_32 = 0x1_0000_0000;

function labelTag(link: number, macHigh: number): number {
  return ((link << LINK_SHIFT) | macHigh) + TAG_MIN;
}

/** Rules of a head. */
export function ruleCount(head: number): number {
  return head & COUNT_MASK;
}

/** Whether any of them asks for labels. */
export function usesLabels(head: number): boolean {
  return ((head >>> LABELS_SHIFT) & 1) !== 0;
}

/** Another number after each change of the rules. */
export function generationOf(head: number): number {
  return head >>> GENERATION_SHIFT;
}

export class PolicyReader {
  /** Rows of all links. */
  readonly words: Int32Array;
  protected readonly labels: HashReader;

  constructor(segment: TableSegment) {
    const { buffer, offset } = segment.policy;
    this.words = new Int32Array(buffer, offset, LINKS_MAX * BLOCK_WORDS);
    const { labels } = segment;
    this.labels = new HashReader(labels.buffer, labels.offset, labels.slots, labels.seed);
  }

  /** What there is of a link; 0 rules = nothing is asked. */
  head(link: number): number {
    return this.words[link * BLOCK_WORDS] as number;
  }

  /** Where the rows of a head begin in {@link words}. */
  rowsOf(link: number, head: number): number {
    return link * BLOCK_WORDS + ROWS + ((head >>> BANK_SHIFT) & 1) * BANK_WORDS;
  }

  /** The labels of a MAC, given as its first 16 and last 32 bits: a bit for each. */
  labelsOf(link: number, macHigh: number, macLow: number): number {
    return this.labels.find(labelTag(link, macHigh), macLow);
  }
}

/** Control: the one writer. */
export class PolicyWriter extends PolicyReader {
  readonly #labels: HashWriter;
  /** Labelled MACs that found no room so far. */
  overflows = 0;

  constructor(segment: TableSegment) {
    super(segment);
    const { buffer, offset, slots, seed } = segment.labels;
    this.#labels = new HashWriter(buffer, offset, slots, seed);
  }

  /** These are the rules of a link from now on, in their order; at most {@link RULES_PER_LINK_MAX}. */
  setRules(link: number, rules: readonly TableRule[]): void {
    if (rules.length > RULES_PER_LINK_MAX) throw new RangeError(`${rules.length} rules`);
    const before = this.head(link);
    const bank = ((before >>> BANK_SHIFT) & 1) ^ 1;
    const { words } = this;
    let hasLabels = 0;
    for (const [i, rule] of rules.entries()) {
      const at = link * BLOCK_WORDS + ROWS + bank * BANK_WORDS + i * ROW_WORDS;
      const { from, to, ports } = rule;
      words[at + RuleWord.Flags] = rule.flags;
      words[at + RuleWord.Protocol] = rule.protocol;
      words[at + RuleWord.Ports] = (ports.first << 16) | ports.last;
      words[at + RuleWord.Lengths] = (from.length << 8) | to.length;
      words[at + RuleWord.FromLabels] = from.labels;
      words[at + RuleWord.ToLabels] = to.labels;
      for (let word = 0; word < 4; word++) {
        words[at + RuleWord.From + word] = from.words[word] ?? 0;
        words[at + RuleWord.To + word] = to.words[word] ?? 0;
      }
      words[at + RuleWord.Slot] = rule.slot;
      if ((from.labels | to.labels) !== 0) hasLabels = 1;
    }
    const head = (hasLabels << LABELS_SHIFT) | (bank << BANK_SHIFT) | rules.length;
    // Last, and whole: from here on the other bank is read.
    const generation = (generationOf(before) + 1) << GENERATION_SHIFT;
    Atomics.store(words, link * BLOCK_WORDS, generation | head);
  }

  /** A MAC (u48) has these labels from now on; 0 = none. False when there is no room. */
  setLabels(link: number, mac: number, labels: number): boolean {
    const tag = labelTag(link, Math.floor(mac / TWO_32));
    const key = mac % TWO_32;
    if (labels === 0) {
      this.#labels.delete(tag, key);
      return true;
    }
    const isFull = this.#labels.count >= LABELLED_MAX && this.#labels.find(tag, key) === 0;
    if (!isFull && this.#labels.set(tag, key, labels)) return true;
    this.overflows++;
    return false;
  }
}
