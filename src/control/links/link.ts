/**
 * One link of a router through its life: made, watched, repaired, moved to another underlay
 * address, stopped with a reason, taken down.
 * @module
 */
import type { SuperBytes } from '../../api/status.ts';
import { MTU_BYTES_MIN } from '../../config/link/device.ts';
import { messageOf } from '../../errors.ts';
import { formatPrefix } from '../../net/prefix.ts';
import { familyOf } from '../../net/underlay-address.ts';
import { type Change, describeChange } from '../change/change.ts';
import { makeAll, newJournal, repair, undoAll, undoSome } from '../change/execute.ts';
import type { Journal, JournalStore } from '../change/journal.ts';
import { stoppedFrames } from '../change/kinds/firewall/guard.ts';
import type { Context } from '../change/kinds/kind.ts';
import { BridgePorts, type PortMark, type PortRecords } from '../host/bridge/bridge-ports.ts';
import type { SnapshotDepth } from '../host/read-snapshot.ts';
import type { AnyRecord, AnyRequest, Snapshot } from '../host/snapshot.ts';
import { SUPER_BYTES_PLAIN, superBytesOf } from '../host/super-bytes.ts';
import { type AnySpec, isFan } from '../store/link-spec.ts';
import { heedRules } from './datapath/move.ts';
import { type LinkKind, linkKind } from './kinds.ts';
import type { Obstacles } from './obstacles.ts';
import { hostOf, type Plan } from './plan.ts';
import { isSameThing } from './plan-changes.ts';
import { isOfSix } from './six.ts';
import { lowestMtu } from './underlay/further.ts';
import { isResolved, type Keep, type ResolvedUnderlay } from './underlay/resolve.ts';

const RETRY_MS_MIN = 250;
const RETRY_MS_MAX = 30_000;
/** Repairs that are remembered by name, for whoever asks why traffic stood still. */
const REPAIRED_MAX = 8;

/** `up`: running. `stopped`: wanted, but `reason` keeps it from running; it is tried again. */
type LinkState = 'up' | 'stopped';

/** Reads the host, its routing table only as deep as is asked. */
export type Look = (depth?: SnapshotDepth) => Promise<Snapshot>;

/** A plan that is to be carried out. */
export type ChangesPlan = Extract<Plan<AnySpec>, { outcome: 'changes' }>;
/** Has the link that a plan is about become what it says. */
type Join = (plan: ChangesPlan) => Promise<void>;

export class ManagedLink {
  request: AnyRequest;
  journal: Journal | undefined;
  spec: AnySpec;
  state: LinkState = 'stopped';
  /** Why it is stopped, or what was last wrong; '' when nothing ever was. */
  reason = '';
  /** Pieces that had to be made again, ever. */
  repairs = 0;
  /** The latest of them, oldest first; when, in ms on the router's clock. */
  readonly repaired: { what: string; atMs: number }[] = [];
  /** What of the host is in its way, and what else is worth knowing; as of the last look. */
  obstacles: Obstacles = { obstacles: [], notes: [] };
  /** Frames that rules for ports of its bridge stopped; null where nothing counts them. */
  stopped: number | null = null;
  /** Longest TCP packets that the device is given in one piece. */
  superBytes: SuperBytes = SUPER_BYTES_PLAIN;
  /** When it may next be tried, ms on the router's clock. */
  retryAtMs = 0;
  #retryDelayMs = RETRY_MS_MIN;
  #record: AnyRecord | undefined;
  readonly #ports: BridgePorts;
  readonly #now: () => number;
  /** The underlay address that it has, or had when it was up last; unknown until seen. */
  #keep: Keep | undefined;

  /** @param now milliseconds on the router's clock */
  constructor(link: AnyRecord, records: PortRecords, now: () => number) {
    this.request = link.request;
    this.spec = link.spec;
    this.#ports = new BridgePorts(records);
    this.#now = now;
  }

  /** Ports that have lost the bridge, and could not be put back so far. */
  get lostPorts(): readonly PortMark[] {
    return this.#ports.lost;
  }

  /** Whether a change of a kind is in the kernel: made, and not refused there. */
  isMade(kind: Change['kind']): boolean {
    const entries = this.journal?.entries ?? [];
    return entries.some(
      ({ change, state, memo }) =>
        change.kind === kind && state === 'done' && memo.foreign !== true,
    );
  }

  get #kind(): LinkKind {
    return linkKind(this.request);
  }

  /** Whether a device is one of the link's own, by ifindex or name. */
  has(index: number, name?: string): boolean {
    if (name !== undefined && (name === this.spec.name || name === this.spec.device)) return true;
    return index > 0 && (this.journal?.entries ?? []).some(({ memo }) => memo.index === index);
  }

  /** One object for as long as it says the same: every look at any link asks all links for theirs. */
  get record(): AnyRecord {
    const { request, spec } = this;
    const stopped = this.state === 'stopped' && this.journal === undefined ? true : undefined;
    const known = this.#record;
    if (known?.request === request && known.spec === spec && known.stopped === stopped) {
      return known;
    }
    const record = { request, spec, ...(stopped && { stopped }) };
    this.#record = record;
    return record;
  }

  /** Makes everything of a plan. @throws FanwayError; what was made is taken back. */
  async make(
    plan: { spec: AnySpec; changes: Parameters<typeof newJournal>[1] },
    store: JournalStore,
    context: Context,
  ): Promise<void> {
    this.spec = plan.spec;
    for (const { name, was } of adopted(plan.changes)) {
      if (was === name) continue;
      this.#ports.renamed(was, name);
      if (!isFan(plan.spec)) continue;
      const slice = formatPrefix(plan.spec.slice);
      context.log.warn(
        name,
        `bridge ${was} goes on as ${name}, with its ports: containers with an address of the former slice need one of ${slice}`,
      );
    }
    const journal = newJournal(this.record, plan.changes);
    this.journal = journal;
    try {
      await makeAll(journal, store, context);
    } catch (error) {
      this.journal = undefined;
      throw error;
    }
    this.state = 'up';
    await this.#mendPorts(context);
    this.#succeeded();
  }

  /**
   * Takes over from a process that was killed. The link counts as up even when something cannot be
   * made: containers hang on what is there, so it is mended rather than made anew.
   * @throws FanwayError what could not be made; it is tried again.
   */
  async adopt(journal: Journal, store: JournalStore, context: Context): Promise<void> {
    this.journal = journal;
    this.spec = journal.spec;
    this.state = 'up';
    await repair(journal, store, context, { adopt: true });
    await this.#mendPorts(context);
  }

  #mendPorts({ host, log }: Context): Promise<void> {
    return this.#ports.mend(this.spec.name, host, log, this.#now());
  }

  /** Takes over another request and spec, of the same device, sockets and bridge. */
  async #become(link: AnyRecord, store: JournalStore, { tunnels }: Context): Promise<void> {
    const { journal } = this;
    if (journal === undefined) return;
    const six = isFan(link.spec) ? link.spec.six : undefined;
    this.request = link.request;
    this.spec = { ...link.spec, innerMtu: this.spec.innerMtu, underlayMtu: this.spec.underlayMtu };
    journal.request = link.request;
    setJournalMtu(journal, this.spec);
    store.write(journal);
    await tunnels.updateLink(this.spec.name, { six });
  }

  /**
   * Gets an IPv6 side while it runs.
   * @throws FanwayError; then it is as it was before
   */
  async extend(
    link: AnyRecord,
    store: JournalStore,
    context: Context,
    look: () => Promise<Snapshot>,
  ): Promise<void> {
    const { journal } = this;
    if (journal === undefined) return;
    const before = this.record;
    const snapshot = await look();
    try {
      await this.#become(link, store, context);
      for (const change of this.#kind.changes(this.spec, snapshot)) {
        const known = journal.entries.find((entry) => isSameThing(entry.change, change));
        if (known === undefined) journal.entries.push({ change, state: 'planned', memo: {} });
        else if (change.kind === 'sysctl') known.change = change;
      }
      await repair(journal, store, context, { adopt: false });
    } catch (error) {
      await this.reduce(before, store, context, look);
      throw error;
    }
  }

  /** Loses its IPv6 side while it runs. @throws FanwayError `undo-failed` */
  async reduce(
    link: AnyRecord,
    store: JournalStore,
    context: Context,
    look: () => Promise<Snapshot>,
  ): Promise<void> {
    const { journal } = this;
    if (journal === undefined) return;
    const wanted = linkKind(link.request).changes(link.spec, await look());
    await undoSome(
      journal,
      ({ change }) => isOfSix(change) && !wanted.some((one) => isSameThing(one, change)),
      store,
      context,
    );
    for (const entry of journal.entries) {
      const { change } = entry;
      const now = change.kind === 'sysctl' && wanted.find((one) => isSameThing(one, change));
      if (now) entry.change = now;
    }
    await this.#become(link, store, context);
    await repair(journal, store, context, { adopt: false });
  }

  /** Takes everything back. @throws FanwayError `undo-failed`. */
  async undo(store: JournalStore, context: Context): Promise<void> {
    const journal = this.journal;
    if (journal !== undefined) {
      await this.#ports.note(this.spec.name, context.host);
      await undoAll(journal, store, context);
    }
    this.journal = undefined;
    this.state = 'stopped';
  }

  /**
   * Compares what should be with what is, and makes it so: another underlay address, another
   * MTU, a device that somebody deleted, renamed or put down. Never throws: what went wrong is the
   * link's reason, and the next try comes later and later.
   */
  async reconcile(
    look: Look,
    store: JournalStore,
    context: Context,
    nowMs: number,
    join: Join,
  ): Promise<void> {
    if (nowMs < this.retryAtMs) return;
    try {
      if (this.state === 'up') await this.#check(look, store, context, nowMs, join);
      else await this.#start(look, store, context, join);
    } catch (error) {
      this.reason = messageOf(error);
      this.retryAtMs = nowMs + this.#retryDelayMs;
      this.#retryDelayMs = Math.min(this.#retryDelayMs * 2, RETRY_MS_MAX);
      context.log.warn(this.spec.name, this.reason);
    }
  }

  #succeeded(): void {
    this.reason = '';
    this.retryAtMs = 0;
    this.#retryDelayMs = RETRY_MS_MIN;
  }

  async #start(look: Look, store: JournalStore, context: Context, join: Join): Promise<void> {
    // Something may be left that could not be taken back when it was stopped.
    await this.undo(store, context);
    let plan = this.#kind.plan(await look(), this.#keep, this.spec);
    const { depth } = this.#kind;
    // Only for a fan that could be is the routing table looked through.
    if (plan.outcome === 'changes' && depth !== undefined) {
      plan = this.#kind.plan(await look(depth), this.#keep, this.spec);
    }
    // It is another link's IPv6 side from now on, on the bridge that both mean.
    if (plan.outcome === 'changes' && plan.joined !== undefined) return join(plan);
    if (plan.outcome !== 'changes') {
      const reason =
        plan.outcome === 'same'
          ? plan.message
          : plan.refusals.map((refusal) => refusal.message).join('; ');
      if (reason !== this.reason) context.log.warn(this.spec.name, `stopped: ${reason}`);
      this.reason = reason;
      return;
    }
    await this.make(plan, store, context);
    context.log.info(this.spec.name, `up: ${hostOf(this.spec)}, ${this.spec.encap}`);
  }

  async #check(
    look: Look,
    store: JournalStore,
    context: Context,
    nowMs: number,
    join: Join,
  ): Promise<void> {
    const journal = this.journal;
    if (journal === undefined) return;
    const snapshot = await look();
    const at = this.#whereNow(snapshot);
    if (typeof at === 'string' || at.local !== this.spec.local) {
      const why = typeof at === 'string' ? at : `the underlay address is another one now`;
      context.log.warn(this.spec.name, `given up: ${why}`);
      await this.undo(store, context);
      this.reason = why;
      if (typeof at !== 'string') await this.#start(look, store, context, join);
      return;
    }
    const underlayMtu = lowestMtu(at.device.mtu, this.spec, snapshot);
    if (underlayMtu !== this.spec.underlayMtu) {
      const innerMtu = this.#kind.innerMtu(underlayMtu, familyOf(at.local));
      if (innerMtu < MTU_BYTES_MIN) {
        await this.undo(store, context);
        this.reason = `${at.device.name} has MTU ${underlayMtu} now, which leaves ${innerMtu} bytes inside: raise it`;
        return;
      }
      const change = { underlayMtu, innerMtu };
      await context.tunnels.updateLink(this.spec.name, change);
      context.log.info(this.spec.name, `underlay MTU ${underlayMtu}, inner MTU ${innerMtu}`);
      this.spec = { ...this.spec, ...change };
      setJournalMtu(journal, this.spec);
      store.write(journal);
      await repair(journal, store, context, { adopt: false });
    }
    this.superBytes = superBytesOf(this.spec, snapshot.links);
    await context.tunnels.setSuperBytes(this.spec.name, this.superBytes);
    this.#complete(journal, snapshot, context);
    await heedRules(this, store, context);
    const repaired = await repair(journal, store, context, { adopt: false });
    this.obstacles = this.#kind.obstacles(this.spec, snapshot, journal);
    this.stopped = stoppedFrames(this.spec.name, snapshot.filter) ?? null;
    if (repaired.length > 0) {
      this.repairs += repaired.length;
      this.repaired.push(...repaired.map((what) => ({ what, atMs: nowMs })));
      this.repaired.splice(0, this.repaired.length - REPAIRED_MAX);
      context.log.warn(
        this.spec.name,
        `somebody undid our work; made again: ${repaired.join('; ')}`,
      );
    }
    await this.#mendPorts(context);
    this.#succeeded();
  }

  /** What the link needs since the host has changed, or since another version made it. */
  #complete(journal: Journal, snapshot: Snapshot, context: Context): void {
    for (const change of this.#kind.changes(this.spec, snapshot)) {
      if (journal.entries.some((entry) => isSameThing(entry.change, change))) continue;
      journal.entries.push({ change, state: 'planned', memo: {} });
      context.log.info(this.spec.name, `also needed now: ${describeChange(change)}`);
    }
  }

  /** Where this host is on the underlay now, or the reason why it is nowhere. */
  #whereNow(snapshot: Snapshot): ResolvedUnderlay | string {
    const keep = this.#keep ?? { local: this.spec.local, floating: false };
    const now = this.#kind.where(snapshot, keep, this.spec);
    if (!isResolved(now)) return now.message;
    if (now.local === this.spec.local) this.#keep = { local: now.local, floating: now.floating };
    return now;
  }
}

/** The bridges of a plan that are taken over, each with the name it had. */
function adopted(changes: readonly Change[]): { name: string; was: string }[] {
  return changes.flatMap((change) =>
    change.kind === 'bridge' && change.adopt !== undefined
      ? [{ name: change.name, was: change.adopt.name }]
      : [],
  );
}

/** Puts a new MTU into every change that carries one, so that the repair makes it so. */
function setJournalMtu(journal: Journal, spec: AnySpec): void {
  journal.spec = spec;
  for (const { change } of journal.entries) {
    if (change.kind === 'bridge') change.mtu = spec.innerMtu;
    else if (change.kind === 'tunnel') change.spec = spec;
    else if (change.kind === 'dhcp') change.dhcp.mtu = spec.innerMtu;
    else if (change.kind === 'adverts') change.adverts.mtu = spec.innerMtu;
  }
}
