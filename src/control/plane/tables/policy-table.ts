/**
 * The rules of layer-2 networks as the data path reads them, and the connections that it knows. As in
 * network-table.ts, what is told belongs to a link's name, also while the link does not run.
 * @module
 */
import { randomInt } from 'node:crypto';
import { RULES_PER_LINK_MAX } from '../../../limits.ts';
import { FLOW_SET_BYTES, FlowSet } from '../../../shm/flow-set.ts';
import { SharedMemory } from '../../../sys/libc/memory.ts';
import { PolicyWriter, type TableRule } from '../../../table/policy.ts';
import type { TableSegment } from '../../../table/segment.ts';

/** A connection that is silent for one to two of these is forgotten, ms. */
const TURN_MS = 600_000;

/** A rule as the data path reads it, by its canonical text. */
export type NamedRow = { text: string; row: Omit<TableRule, 'slot'> };
export type PolicyRows = {
  /** In the order in which they are asked. */
  rules: readonly NamedRow[];
  /** A bit for each label, by MAC. */
  labels: ReadonlyMap<number, number>;
};

type LinkPolicy = PolicyRows & {
  /** Number of the running link, −1 while it does not run. */
  id: number;
  /** Where each rule's hits are counted, and what stood there when it came. */
  slots: Map<string, { slot: number; before: number }>;
  /** MACs whose labels are in the table. */
  written: Map<number, number>;
};

export class PolicyTable {
  readonly #writer: PolicyWriter;
  readonly #memory = SharedMemory.create('fanway-flows', FLOW_SET_BYTES);
  readonly #flows = new FlowSet(this.#memory.buffer);
  readonly #links = new Map<string, LinkPolicy>();
  readonly #timer: NodeJS.Timeout;
  /** What all data processes together have counted at an index of their hits. */
  readHits: (index: number) => number = () => 0;

  constructor(segment: TableSegment) {
    this.#writer = new PolicyWriter(segment);
    this.#flows.initialize(randomInt(2 ** 32), randomInt(2 ** 32));
    this.#timer = setInterval(() => this.#flows.turn(), TURN_MS);
    this.#timer.unref();
  }

  /** Descriptor of the memory with the connections; data processes write to it. */
  get flowsFd(): number {
    return this.#memory.fd;
  }

  #of(name: string): LinkPolicy {
    let link = this.#links.get(name);
    if (link === undefined) {
      link = { id: -1, rules: [], labels: new Map(), slots: new Map(), written: new Map() };
      this.#links.set(name, link);
    }
    return link;
  }

  /** The link runs from now on, as number `id`, with the rules that were told for it. */
  bind(name: string, id: number): void {
    const link = this.#of(name);
    link.id = id;
    if (link.rules.length > 0) this.#write(link);
  }

  /** It runs no more; call it once no data process reads it. */
  unbind(name: string): void {
    const link = this.#links.get(name);
    if (link === undefined || link.id < 0) return;
    this.#writer.setRules(link.id, []);
    for (const mac of link.written.keys()) this.#writer.setLabels(link.id, mac, 0);
    link.id = -1;
    link.slots.clear();
    link.written.clear();
    if (link.rules.length === 0) this.#links.delete(name);
  }

  /** These are the rules of a link from now on. Connections are held against them anew. */
  set(name: string, { rules, labels }: PolicyRows): void {
    const link = this.#of(name);
    Object.assign(link, { rules, labels });
    if (link.id >= 0) this.#write(link);
    else if (rules.length === 0) this.#links.delete(name);
  }

  #write(link: LinkPolicy): void {
    const { id, rules, labels, slots, written } = link;
    const texts = new Set(rules.map(({ text }) => text));
    for (const text of [...slots.keys()]) if (!texts.has(text)) slots.delete(text);
    const taken = new Set([...slots.values()].map(({ slot }) => slot));
    let vacant = 0;
    const rows = rules.map(({ text, row }): TableRule => {
      let place = slots.get(text);
      if (place === undefined) {
        while (taken.has(vacant)) vacant++;
        taken.add(vacant);
        place = { slot: vacant, before: this.readHits(id * RULES_PER_LINK_MAX + vacant) };
        slots.set(text, place);
      }
      return { ...row, slot: place.slot };
    });
    // Labels first: a rule that asks for one finds it.
    for (const [mac, mask] of labels) {
      if (written.get(mac) === mask) continue;
      if (this.#writer.setLabels(id, mac, mask)) written.set(mac, mask);
    }
    this.#writer.setRules(id, rows);
    for (const mac of [...written.keys()]) {
      if (labels.has(mac)) continue;
      this.#writer.setLabels(id, mac, 0);
      written.delete(mac);
    }
  }

  /** How often each rule of a link decided, by its text. */
  hits(name: string): Map<string, number> {
    const hits = new Map<string, number>();
    const link = this.#links.get(name);
    if (link === undefined || link.id < 0) return hits;
    for (const [text, { slot, before }] of link.slots) {
      hits.set(text, this.readHits(link.id * RULES_PER_LINK_MAX + slot) - before);
    }
    return hits;
  }

  /** MACs with labels that found no room so far. */
  get overflows(): number {
    return this.#writer.overflows;
  }

  close(): void {
    clearInterval(this.#timer);
    this.#memory.close();
  }
}
