/**
 * Rules of layer-2 networks in the life of a router.
 *
 * 1. Rules come from this host's file, from commands, and from other hosts over gossip.
 * 2. All that hold are put in order and written for the data path (compile.ts).
 * 3. A workload that comes to this host brings the rules that name its address, and its labels: this host
 *    tells them from then on, and the one that it came from no more.
 * 4. A rule that somebody takes back is taken back everywhere, by word of its own; what a host told that
 *    has vanished stays.
 * @module
 */

import { isDeepStrictEqual } from 'node:util';
import type { NetworkPolicy } from '../../../config/network/policy.ts';
import type { NetworkRequest } from '../../../config/network.ts';
import { messageOf } from '../../../errors.ts';
import type { EntryEvent } from '../../../gossip/base/api.ts';
import type { GossipNode } from '../../../gossip/node.ts';
import type { Log } from '../../../log.ts';
import type { UnderlayAddress } from '../../../net/underlay-address.ts';
import type { RibChange } from '../../../rib/entry.ts';
import { Beat } from '../../../sys/process/beat.ts';
import { type Announcement, ItemKind } from '../../../wire/gossip/types.ts';
import type { EntryService } from '../../entries/entry-service.ts';
import type { PolicyTable } from '../../plane/tables/policy-table.ts';
import type { NetworkSpec } from '../../store/link-spec.ts';
import type { RunDirectory } from '../../store/run-directory.ts';
import { type CompiledPolicy, compilePolicy, NO_POLICY } from './compile.ts';
import { type OwnReason, PolicyBook, subjectsOf, type Teller } from './policy-book.ts';
import { PolicyFile } from './policy-file.ts';
import { hasRules, REVOKED } from './ruled.ts';

/** How often those are looked at that tell something no more, ms. */
const ROUND_MS = 2000;
/** How long a host that has begun anew has to tell again what it told before, ms. */
const AGAIN_MS = 10_000;
/** How long it is told that somebody has taken a rule back, ms. */
const REVOKED_MS = 60_000;
/** Changes come in bursts, ms. */
const SETTLE_MS = 20;

export type PolicyServiceOptions = {
  entries: Pick<EntryService, 'listen' | 'get'>;
  table: () => PolicyTable | undefined;
  run: RunDirectory;
  log: Log;
  /** The networks that are up. */
  specs: () => readonly NetworkSpec[];
  /** The rules of a link are others than before. */
  changed: () => void;
};

type Running = { spec: NetworkSpec; book: PolicyBook; file: PolicyFile; compiled: CompiledPolicy };

export class PolicyService {
  readonly #options: PolicyServiceOptions;
  /** By the link's name. */
  readonly #networks = new Map<string, Running>();
  /** Of the configuration file, by the network's name. */
  #settings: ReadonlyMap<string, NetworkPolicy> = new Map();
  #node: GossipNode | undefined;
  readonly #dirty = new Set<Running>();
  #settle: NodeJS.Timeout | undefined;
  #round: Beat | undefined;

  constructor(options: PolicyServiceOptions) {
    this.#options = options;
    options.entries.listen((changes) => this.#entriesChanged(changes));
  }

  /** What there is of a network; undefined while it is not up. */
  network(link: string): { book: PolicyBook; compiled: CompiledPolicy } | undefined {
    return this.#networks.get(link);
  }

  /** There are tables anew. */
  write(): void {
    for (const [name, { compiled }] of this.#networks) this.#options.table()?.set(name, compiled);
  }

  /** Whether a network has rules, as far as anybody here knows, also one that is not up. */
  isRuled({ network, bridge, vni }: NetworkRequest): boolean {
    const told = this.#node?.table.list({ vni }) ?? [];
    return hasRules(this.#networks.get(bridge)?.compiled, this.#settings.get(network), told);
  }

  /** What the configuration file says from now on. */
  configure(policies: readonly NetworkPolicy[]): void {
    this.#settings = new Map(policies.map((policy) => [policy.network, policy]));
    for (const running of this.#networks.values()) this.#applyFile(running);
  }

  #applyFile(running: Running): void {
    const { spec, book } = running;
    const policy = this.#settings.get(spec.network);
    const rules = new Set(policy?.rules);
    const labels = new Map(policy?.labels);
    for (const [text, reason] of [...book.own]) {
      if (reason === 'file' && !rules.has(text)) this.#drop(running, text);
    }
    for (const [mac, { reason }] of [...book.ownLabels]) {
      if (reason === 'file' && !labels.has(mac)) this.#dropLabels(running, mac);
    }
    for (const text of rules) this.#tell(running, text, 'file');
    for (const [mac, own] of labels) this.#tellLabels(running, mac, own, 'file');
  }

  /** Networks may have come, gone or changed. */
  refresh(): void {
    const wanted = new Map(this.#options.specs().map((spec) => [spec.name, spec]));
    for (const [name, running] of [...this.#networks]) {
      const spec = wanted.get(name);
      if (spec?.vni === running.spec.vni && spec.network === running.spec.network) {
        running.spec = spec;
        continue;
      }
      this.#networks.delete(name);
      this.#dirty.delete(running);
      for (const text of running.book.own.keys()) this.#withdraw(running, text);
      running.file.forget();
      this.#options.table()?.set(name, NO_POLICY);
    }
    for (const spec of wanted.values()) if (!this.#networks.has(spec.name)) this.#begin(spec);
    if (this.#networks.size === 0) return;
    this.#round ??= new Beat(ROUND_MS, () => this.#review()).unref();
  }

  #begin(spec: NetworkSpec): void {
    const { run, log } = this.#options;
    const book = new PolicyBook();
    const file = new PolicyFile(run, spec.name, log);
    file.load(book);
    const running: Running = { spec, book, file, compiled: NO_POLICY };
    this.#networks.set(spec.name, running);
    this.#applyFile(running);
    this.#readAll(running);
    // No packet before its rules.
    this.#compile(running);
  }

  /** The node whose table counts from now on; undefined = gossip says nothing. */
  follow(node: GossipNode | undefined): void {
    if (this.#node === node) return;
    this.#node = node;
    for (const running of this.#networks.values()) this.#readAll(running);
  }

  #readAll(running: Running): void {
    const node = this.#node;
    if (node === undefined) return;
    const { book, spec } = running;
    for (const text of book.own.keys()) this.#announce(running, text);
    for (const [mac, { labels }] of book.ownLabels) this.#announceLabels(running, mac, labels);
    for (const { item, owner } of node.table.list({ vni: spec.vni })) {
      if (owner !== node.id) this.#hear(running, item, owner);
    }
  }

  /** Something else counts for the key of an announcement, or nothing. */
  entryChanged({ item, owner, type }: EntryEvent): void {
    const node = this.#node;
    if (node === undefined || owner === node.id) return;
    if (item.kind !== ItemKind.Rule && item.kind !== ItemKind.Labels) return;
    for (const running of this.#networks.values()) {
      if (running.spec.vni !== item.vni) continue;
      if (type === 'set') this.#hear(running, item, owner);
      else this.#unhear(running, item, owner);
    }
  }

  #hear(running: Running, item: Announcement, owner: string): void {
    const { book } = running;
    const epoch = this.#node?.member(owner)?.epoch ?? 0;
    if (item.kind === ItemKind.Rule) {
      if (item.rule.startsWith(REVOKED)) return this.#revoked(running, item.rule);
      book.hear(item.rule, owner, epoch);
      this.#handOver(running, item.rule);
    } else if (item.kind === ItemKind.Labels) {
      book.hearLabels(item.mac, item.labels.split(','), owner, epoch);
      // Theirs counts, or it would not be told: it is newer.
      if (book.ownLabels.has(item.mac)) this.#dropLabels(running, item.mac);
    } else return;
    this.#changed(running);
  }

  #unhear(running: Running, item: Announcement, owner: string): void {
    const { book } = running;
    const tellers =
      item.kind === ItemKind.Rule ? book.told.get(item.rule) : book.labelTellers(item);
    const teller = tellers?.get(owner);
    if (teller === undefined) return;
    teller.goneMs = performance.now();
    const member = this.#node?.member(owner);
    const isSameLife = member?.state === 'alive' && member.epoch === teller.epoch;
    // Then it has taken it back.
    if (isSameLife) this.#forget(running, item, owner);
  }

  #forget(running: Running, item: Announcement, owner: string): void {
    const { book } = running;
    if (item.kind === ItemKind.Rule) {
      book.unhear(item.rule, owner);
    } else if (item.kind === ItemKind.Labels) book.toldLabels.delete(item.mac);
    this.#changed(running);
  }

  /** Looks at those that told something, have been away, and do not tell it again. */
  #review(): void {
    const node = this.#node;
    if (node === undefined) return;
    const nowMs = performance.now();
    for (const running of this.#networks.values()) {
      const { book, spec } = running;
      const isOver = (owner: string, teller: Teller): boolean => {
        if (teller.goneMs === undefined) return false;
        if (node.member(owner)?.state !== 'alive') teller.goneMs = nowMs;
        return nowMs - teller.goneMs > AGAIN_MS;
      };
      const base = { vni: spec.vni, rank: 0 };
      for (const [rule, tellers] of [...book.told]) {
        for (const [owner, teller] of [...tellers]) {
          if (!isOver(owner, teller)) continue;
          this.#forget(running, { ...base, kind: ItemKind.Rule, rule }, owner);
        }
      }
      for (const [mac, teller] of [...book.toldLabels]) {
        if (!isOver(teller.owner, teller)) continue;
        this.#forget(running, { ...base, kind: ItemKind.Labels, mac, labels: '' }, teller.owner);
      }
    }
  }

  /** Workloads came, or went. */
  #entriesChanged(changes: readonly RibChange[]): void {
    if (this.#networks.size === 0) return;
    for (const { id, after } of changes) {
      const running = this.#networks.get(id.link);
      if (running === undefined || after === undefined) continue;
      const { book } = running;
      const isHere = after.source === 'local';
      if (id.kind === 'mac+ip' && book.told.size > 0 && isHere) {
        for (const text of book.about(id.address)) {
          if (!book.own.has(text)) this.#tell(running, text, 'carried');
        }
      } else if (id.kind === 'mac+ip' && !isHere && book.own.size > 0) {
        for (const text of [...book.own.keys()]) {
          if (subjectsOf(text).includes(id.address)) this.#handOver(running, text);
        }
      } else if (id.kind === 'mac' && isHere) {
        const told = book.toldLabels.get(id.mac);
        if (told !== undefined && !book.ownLabels.has(id.mac)) {
          this.#tellLabels(running, id.mac, told.labels, 'carried');
        }
      }
    }
  }

  /** Leaves a rule to the others that tell it, when all workloads that it names are at other hosts. */
  #handOver(running: Running, text: string): void {
    const { book, spec } = running;
    const reason = book.own.get(text);
    if (reason === undefined || reason === 'file' || !book.isTold(text)) return;
    const { entries } = this.#options;
    const isElsewhere = (address: UnderlayAddress): boolean => {
      const source = entries.get({ link: spec.name, kind: 'mac+ip', address })?.source;
      return source !== undefined && source !== 'local';
    };
    const subjects = subjectsOf(text);
    if (subjects.length > 0 && subjects.every(isElsewhere)) this.#drop(running, text);
  }

  /** Somebody takes a rule back: nobody is to tell it any more. */
  #revoked(running: Running, told: string): void {
    const text = told.slice(REVOKED.length);
    const { book, spec } = running;
    if (book.own.get(text) === 'file') {
      const why = 'it is in the configuration file of this host';
      this.#options.log.warn(spec.network, `${text}: others took it back, but ${why}`);
    } else this.#drop(running, text);
    book.unhearVanished(text);
    this.#changed(running);
  }

  /** This host tells a rule from now on. @returns whether it is new here */
  give(link: string, text: string): boolean {
    const running = this.#networks.get(link);
    if (running === undefined || running.book.own.get(text) === 'file') return false;
    const isNew = running.book.own.get(text) !== 'given';
    this.#withdraw(running, REVOKED + text);
    this.#tell(running, text, 'given');
    return isNew;
  }

  /** Takes a rule back, here and everywhere. False when nobody tells it. */
  revoke(link: string, text: string): boolean {
    const running = this.#networks.get(link);
    if (running === undefined) return false;
    const { book } = running;
    if (!book.own.has(text) && !book.told.has(text)) return false;
    this.#revoked(running, REVOKED + text);
    this.#announce(running, REVOKED + text);
    setTimeout(() => this.#withdraw(running, REVOKED + text), REVOKED_MS).unref();
    return true;
  }

  /** A workload has these labels from now on; none = it has none. */
  label(link: string, mac: number, labels: readonly string[]): void {
    const running = this.#networks.get(link);
    if (running === undefined) return;
    if (labels.length > 0) this.#tellLabels(running, mac, labels, 'given');
    else {
      this.#dropLabels(running, mac);
      running.book.toldLabels.delete(mac);
    }
    this.#changed(running);
  }

  #tell(running: Running, text: string, reason: OwnReason): void {
    const before = running.book.own.get(text);
    if (before === reason) return;
    running.book.own.set(text, reason);
    if (before === undefined) this.#announce(running, text);
    this.#changed(running);
  }

  #announce({ spec: { vni, network } }: Running, rule: string): void {
    this.#attempt(network, () => this.#node?.announce({ kind: ItemKind.Rule, vni, rule }));
  }

  #withdraw({ spec: { vni } }: Running, rule: string): void {
    this.#node?.withdraw({ kind: ItemKind.Rule, vni, rule });
  }

  #drop(running: Running, text: string): void {
    if (!running.book.own.delete(text)) return;
    this.#withdraw(running, text);
    this.#changed(running);
  }

  #tellLabels(running: Running, mac: number, labels: readonly string[], reason: OwnReason): void {
    const before = running.book.ownLabels.get(mac);
    if (isDeepStrictEqual(before, { labels, reason })) return;
    running.book.ownLabels.set(mac, { labels, reason });
    this.#announceLabels(running, mac, labels);
    this.#changed(running);
  }

  #announceLabels({ spec }: Running, mac: number, labels: readonly string[]): void {
    const { vni, network } = spec;
    const item = { kind: ItemKind.Labels, vni, mac, labels: labels.join(',') } as const;
    this.#attempt(network, () => this.#node?.announce(item));
  }

  #dropLabels(running: Running, mac: number): void {
    if (!running.book.ownLabels.delete(mac)) return;
    this.#node?.withdraw({ kind: ItemKind.Labels, vni: running.spec.vni, mac });
    this.#changed(running);
  }

  /** Too many announcements end nothing else: the rule holds here. */
  #attempt(network: string, tell: () => unknown): void {
    try {
      tell();
    } catch (error) {
      this.#options.log.error(network, `others do not hear of a rule: ${messageOf(error)}`);
    }
  }

  #changed(running: Running): void {
    this.#dirty.add(running);
    this.#settle ??= setTimeout(() => {
      this.#settle = undefined;
      for (const each of this.#dirty) this.#compile(each);
      this.#dirty.clear();
    }, SETTLE_MS);
  }

  #compile(running: Running): void {
    const { book, file, spec } = running;
    const compiled = compilePolicy(book.texts(), book.labels());
    file.save(book);
    if (isDeepStrictEqual(compiled, running.compiled)) return;
    for (const problem of compiled.problems) {
      if (!running.compiled.problems.includes(problem)) {
        this.#options.log.warn(spec.network, problem);
      }
    }
    running.compiled = compiled;
    this.#options.table()?.set(spec.name, compiled);
    this.#options.changed();
  }

  close(): void {
    this.#node = undefined;
    clearTimeout(this.#settle);
    this.#round?.close();
    for (const { file } of this.#networks.values()) file.forget();
    this.#networks.clear();
  }
}
