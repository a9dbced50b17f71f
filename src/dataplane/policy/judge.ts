/**
 * Asks the rules of a network in their order about the ends of the packet in hand: the first that fits
 * decides, and what none fits is allowed.
 * @module
 */

import { RULES_PER_LINK_MAX } from '../../limits.ts';
import { type PolicyReader, ROW_WORDS, RuleFlag, RuleWord, ruleCount } from '../../table/policy.ts';
import { ETHERNET_SOURCE_OFFSET } from '../../wire/ethernet.ts';
import type { FlowKey } from './flow-key.ts';

/** Looks at rules that change meanwhile, before the packet is refused. */
const LOOKS_MAX = 8;
/** No rule fits. */
const NO_RULE = -1;

export class Judge {
  readonly #view: DataView;
  readonly #rules: PolicyReader;
  readonly #key: FlowKey;
  readonly #hits: Float64Array;
  /** Labels of both ends of the frame in hand. */
  #fromLabels = 0;
  #toLabels = 0;
  /** Slot of the rule that denied last. */
  #denied = 0;

  constructor(view: DataView, rules: PolicyReader, key: FlowKey, hits: Float64Array) {
    this.#view = view;
    this.#rules = rules;
    this.#key = key;
    this.#hits = hits;
  }

  /** Takes the labels of both ends of the frame at `frame`. */
  readLabels(link: number, frame: number): void {
    this.#toLabels = this.#labelsOf(link, frame);
    this.#fromLabels = this.#labelsOf(link, frame + ETHERNET_SOURCE_OFFSET);
  }

  #labelsOf(link: number, mac: number): number {
    const view = this.#view;
    return this.#rules.labelsOf(link, view.getUint16(mac), view.getUint32(mac + 2));
  }

  /** What is asked for next goes the other way than the frame. */
  swapLabels(): void {
    const labels = this.#fromLabels;
    this.#fromLabels = this.#toLabels;
    this.#toLabels = labels;
  }

  /**
   * Whether the source may open a connection to the destination; `swapped`: the destination to the source.
   * False too when the rules never stand still.
   */
  allows(link: number, swapped: boolean): boolean {
    const { words } = this.#rules;
    for (let look = 0; look < LOOKS_MAX; look++) {
      const head = this.#rules.head(link);
      const row = this.#find(this.#rules.rowsOf(link, head), ruleCount(head), swapped);
      const denies = row !== NO_RULE && ((words[row] as number) & RuleFlag.Deny) !== 0;
      const slot = row === NO_RULE ? 0 : (words[row + RuleWord.Slot] as number);
      if (this.#rules.head(link) !== head) continue;
      if (denies && !swapped) this.#denied = slot;
      else if (!denies && row !== NO_RULE) this.#count(link, slot);
      return !denies;
    }
    return false;
  }

  /** What was refused last ends here: it counts for the rule. */
  countDenial(link: number): void {
    this.#count(link, this.#denied);
  }

  #count(link: number, slot: number): void {
    const at = link * RULES_PER_LINK_MAX + slot;
    this.#hits[at] = (this.#hits[at] as number) + 1;
  }

  #find(rows: number, count: number, swapped: boolean): number {
    const end = rows + count * ROW_WORDS;
    for (let row = rows; row < end; row += ROW_WORDS) if (this.#fits(row, swapped)) return row;
    return NO_RULE;
  }

  #fits(row: number, swapped: boolean): boolean {
    const { words } = this.#rules;
    const key = this.#key;
    const flags = words[row] as number;
    if ((flags & (key.isSix ? RuleFlag.Ipv4 : RuleFlag.Ipv6)) !== 0) return false;
    if ((flags & RuleFlag.Protocol) !== 0) {
      if (words[row + RuleWord.Protocol] !== key.protocol) return false;
      const ports = words[row + RuleWord.Ports] as number;
      const port = swapped ? key.fromPort : key.toPort;
      if (port < ports >>> 16 || port > (ports & 0xffff)) return false;
    }
    const from = swapped ? key.to : key.from;
    const to = swapped ? key.from : key.to;
    const lengths = words[row + RuleWord.Lengths] as number;
    return (
      this.#hasLabel(row + RuleWord.FromLabels, swapped ? this.#toLabels : this.#fromLabels) &&
      this.#hasLabel(row + RuleWord.ToLabels, swapped ? this.#fromLabels : this.#toLabels) &&
      this.#isInside(row + RuleWord.From, lengths >>> 8, from) &&
      this.#isInside(row + RuleWord.To, lengths & 0xff, to)
    );
  }

  #hasLabel(word: number, labels: number): boolean {
    const wanted = this.#rules.words[word] as number;
    return wanted === 0 || (wanted & labels) !== 0;
  }

  /** Whether the address at arena offset `address` is inside the prefix whose words are at `word`. */
  #isInside(word: number, length: number, address: number): boolean {
    const { words } = this.#rules;
    for (let bits = length, i = 0; bits > 0; bits -= 32, i++) {
      const differing = this.#view.getInt32(address + 4 * i) ^ (words[word + i] as number);
      if (differing >>> Math.max(32 - bits, 0) !== 0) return false;
    }
    return true;
  }
}
