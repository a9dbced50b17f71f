/**
 * One neighbour: its sessions (one that dials, those it opened), which of two connections stays,
 * what its routes do when it goes and comes back.
 * @module
 */

import { isZeroIp } from '../wire/bgp/address.ts';
import { Writer } from '../wire/bgp/bytes.ts';
import type { Notification } from '../wire/bgp/faults.ts';
import { Afi, CeaseError, ErrorCode, Safi } from '../wire/bgp/iana.ts';
import { emitRouteRefresh, hardReset, type RouteRefresh } from '../wire/bgp/message.ts';
import type { Open } from '../wire/bgp/open.ts';
import type { Update } from '../wire/bgp/update.ts';
import type {
  Connection,
  ConnectionListener,
  NeighbourSettings,
  SpeakerEvents,
  SpeakerSettings,
  Timers,
  Transport,
} from './base/api.ts';
import { type NeighbourCounters, neighbourCounters } from './base/counters.ts';
import { Timer } from './base/timer.ts';
import { mayTell, outgoingAttributes } from './rib/outgoing.ts';
import type { AttributePool, Path, PathSource } from './rib/path.ts';
import { RibIn } from './rib/rib-in.ts';
import { RibOut } from './rib/rib-out.ts';
import type { Table } from './rib/table.ts';
import {
  cease,
  isEvpn,
  keepsForwarding,
  keepsOnNotification,
  makeOpen,
  type Restart,
  refusalOf,
  restartOf,
  survives,
} from './session/our-open.ts';
import { Session, type SessionEnd, type State } from './session/session.ts';

/** Before the first dial after a loss; doubled for each further one. */
const IDLE_HOLD_MS_MIN = 1000;
const IDLE_HOLD_MS_MAX = 60_000;
/** After too many routes: somebody has to look first. */
const PREFIX_HOLD_MS = 300_000;
/** Of the maximum; a warning comes here. */
const PREFIX_WARN_SHARE = 0.75;
const SECOND = 1000;
const STATES: readonly State[] = ['Established', 'OpenConfirm', 'OpenSent', 'Connect', 'Active'];

export type NeighbourOptions = {
  settings: NeighbourSettings;
  speaker: SpeakerSettings;
  table: Table;
  pool: AttributePool;
  timers: Timers;
  random: () => number;
  transport: Transport;
  events: SpeakerEvents;
  /** The neighbour's routes are all there, or are not waited for any longer. */
  settled: () => void;
};

export class Neighbour {
  readonly settings: NeighbourSettings;
  readonly source: PathSource;
  readonly counters: NeighbourCounters = neighbourCounters();
  readonly #options: NeighbourOptions;
  readonly ribIn: RibIn;
  readonly ribOut: RibOut;
  readonly #sessions = new Set<Session>();
  readonly #dialer: Session;
  readonly #idle: Timer;
  /** Runs while stale routes are kept: first until the session is back, then until it is filled. */
  readonly #staleTimer: Timer;
  readonly #outgoing = new WeakMap<object, ReturnType<typeof outgoingAttributes>>();
  #current: Session | undefined;
  #restart: Restart | undefined;
  #losses = 0;
  #isStopped = true;
  #isHeld = false;
  #hasWarned = false;
  #wasUp = false;
  #sinceMs: number;
  /** Why the last session ended, '' before the first did. */
  lastEnd = '';
  /** It has sent everything: it said so, or was waited for long enough. */
  hasEnded = false;

  constructor(options: NeighbourOptions) {
    const { settings, speaker, timers, table } = options;
    this.#options = options;
    this.settings = settings;
    const kind = settings.as === speaker.as ? 'internal' : 'external';
    this.source = { kind, address: settings.address, identifier: 0 };
    const fallback = kind === 'internal' ? 'all' : 'none';
    this.ribIn = new RibIn({
      ...{ table, pool: options.pool, source: this.source, counters: this.counters },
      ...{ as: speaker.as, routerId: speaker.routerId, vtep: speaker.vtep },
      neighbourAs: settings.as,
      isOpen: (settings.import ?? fallback) === 'all',
      timers,
    });
    const mayExport = (settings.export ?? fallback) === 'all' && !isZeroIp(speaker.vtep);
    const mayBeTold = (path: Path): boolean =>
      mayExport && mayTell(path, this.source, speaker.transit);
    this.ribOut = new RibOut({
      timers,
      pathOf: (key) => {
        const path = table.best(key);
        return path && mayBeTold(path) ? path : undefined;
      },
      mayTell: mayBeTold,
      attributesOf: (path) => this.#attributesOf(path),
      context: () => this.#current?.context ?? { as4: true, internal: kind === 'internal' },
      send: (body) => this.#current?.sendUpdate(body),
      queuedBytes: () => this.#current?.queuedBytes ?? 0,
    });
    this.#dialer = this.#makeSession(true);
    this.#sessions.add(this.#dialer);
    this.#idle = new Timer(timers, () => this.#dial());
    this.#staleTimer = new Timer(timers, () => this.#waitedEnough());
    this.#sinceMs = timers.nowMs();
  }

  #makeSession(dials: boolean): Session {
    const { timers, random, transport, speaker } = this.#options;
    const listener = {
      opened: (session: Session, open: Open) => this.#opened(session, open),
      established: (session: Session) => this.#established(session),
      update: (_: Session, update: Update) => this.#update(update),
      refresh: (_: Session, refresh: RouteRefresh) => this.#refreshed(refresh),
      drained: (session: Session) => {
        if (session === this.#current) this.ribOut.flush();
      },
      ended: (session: Session, end: SessionEnd) => this.#ended(session, end),
    };
    const { settings: neighbour } = this;
    const ourOpen = (): Open => {
      const isBack = speaker.isRestarting && !this.#wasUp;
      return makeOpen(speaker, neighbour.holdSeconds, isBack);
    };
    return new Session(
      { neighbour, ourOpen, as: speaker.as, timers, random, transport, listener },
      dials,
    );
  }

  /** The state of the session that is furthest. */
  get state(): State {
    const states = [...this.#sessions].map(({ state }) => state);
    return STATES.find((state) => states.includes(state)) ?? 'Idle';
  }
  /** Since the session is up, or down. */
  get sinceMs(): number {
    return this.#sinceMs;
  }
  get session(): Session | undefined {
    return this.#current;
  }
  /** Held down because it told too many routes. */
  get isHeld(): boolean {
    return this.#isHeld;
  }

  start(): void {
    this.#isStopped = false;
    this.#isHeld = false;
    this.#idle.stop();
    this.#dial();
  }

  /** Ends for good: the neighbour drops our routes at once. */
  stop(subcode: number): void {
    this.#isStopped = true;
    this.#end(subcode, 'stopped here');
    this.#staleTimer.stop();
    this.ribIn.dropAll();
  }

  /** Ends and begins again. */
  reset(): void {
    this.#end(CeaseError.AdministrativeReset, 'reset here');
    if (!this.#isStopped) this.start();
  }

  /** Asks for all routes once more (RFC 2918). @returns false when there is nobody to ask. */
  refresh(): boolean {
    const session = this.#current;
    if (session?.open?.capabilities.some(({ kind }) => kind === 'route-refresh') !== true) {
      return false;
    }
    session.sendRefresh(emitRouteRefresh({ afi: Afi.L2vpn, safi: Safi.Evpn, subtype: 0 }));
    return true;
  }

  #end(subcode: number, reason: string): void {
    this.#idle.stop();
    for (const session of [...this.#sessions]) {
      // Without the hard form a neighbour that knows RFC 8538 would keep our routes.
      const { speaker } = this.#options;
      const isSoft = session === this.#current && keepsOnNotification(this.#restart, speaker);
      session.stop(isSoft ? hardReset(cease(subcode)) : cease(subcode), reason);
    }
  }

  #dial(): void {
    if (this.#isStopped || this.settings.passive) return;
    this.#isHeld = false;
    if ([...this.#sessions].every(({ state }) => state === 'Idle')) this.#dialer.start();
  }

  /** A connection from the neighbour; undefined refuses it. */
  accept(connection: Connection): ConnectionListener | undefined {
    if (this.#isStopped || this.#isHeld) {
      this.counters.connectionsRefused++;
      return undefined;
    }
    // One that is not through yet makes room: the neighbour has given it up, or it is a stranger's.
    for (const session of [...this.#sessions]) {
      if (!session.dials && session !== this.#current) session.stop(null, 'a newer one came');
    }
    const session = this.#makeSession(false);
    this.#sessions.add(session);
    return session.accept(connection);
  }

  #opened(session: Session, open: Open): Notification | undefined {
    const refused = refusalOf(open, this.#options.speaker, this.source.kind === 'internal');
    return refused ?? this.#collide(session, open.identifier);
  }

  /** RFC 4271 §6.8: of two connections that which the higher identifier dialled stays. */
  #collide(session: Session, identifier: number): Notification | undefined {
    const collision = cease(CeaseError.CollisionResolution);
    for (const other of [...this.#sessions]) {
      if (other === session) continue;
      if (other.state === 'Established') {
        // RFC 4724 §4.2: it restarted, and the old connection does not know yet.
        if (session.dials || this.#restart === undefined) return collision;
        other.stop(null, 'the neighbour came back on a new connection');
      }
      if (other.state === 'OpenConfirm') {
        const keepsDialled = this.#options.speaker.routerId > identifier;
        if (keepsDialled !== session.dials) return collision;
        other.stop(collision, 'the other connection stays');
      }
    }
    return undefined;
  }

  #established(session: Session): void {
    const { timers, speaker, table, events } = this.#options;
    this.#current = session;
    this.#idle.stop();
    for (const other of [...this.#sessions]) {
      if (other === session) continue;
      other.stop(cease(CeaseError.CollisionResolution), 'another connection stays');
    }
    this.#losses = 0;
    this.#wasUp = true;
    this.#hasWarned = false;
    this.hasEnded = false;
    this.#sinceMs = timers.nowMs();
    this.counters.established++;
    this.source.identifier = session.open?.identifier ?? 0;
    this.#restart = restartOf(session.open);
    if (!keepsForwarding(this.#restart)) this.#dropStale('after a restart that kept nothing');
    // Also where nothing is stale: a neighbour that never says that it is done is not waited for.
    this.#staleTimer.start(speaker.staleSeconds * SECOND);
    this.ribOut.open(table.bests());
    events.log('info', this.settings.address, `established, hold time ${session.holdSeconds} s`);
  }

  #ended(session: Session, end: SessionEnd): void {
    const { timers, random, events, speaker } = this.#options;
    if (!session.dials) this.#sessions.delete(session);
    if (session === this.#current) {
      this.#current = undefined;
      this.#sinceMs = timers.nowMs();
      this.counters.dropped++;
      this.ribOut.close();
      const isOver = this.#isStopped || this.#isHeld;
      if (!isOver && survives(this.#restart, speaker, end.notification)) {
        this.ribIn.markStale();
        this.#staleTimer.start((this.#restart?.seconds ?? 0) * SECOND);
      } else {
        this.#staleTimer.stop();
        this.ribIn.dropAll();
      }
      events.log('warn', this.settings.address, `down: ${end.reason}`);
    }
    const isFault = end.sent && end.notification !== null;
    if (isFault && end.notification?.code !== ErrorCode.Cease) this.counters.resets++;
    this.lastEnd = end.reason;
    if (this.#isStopped || this.settings.passive || this.#current !== undefined) return;
    const holdMs = Math.min(IDLE_HOLD_MS_MIN * 2 ** this.#losses++, IDLE_HOLD_MS_MAX);
    if (this.#isHeld) this.#idle.start(PREFIX_HOLD_MS);
    else if (!this.#idle.isRunning) this.#idle.start(holdMs * (0.75 + random() / 4));
  }

  #update(update: Update): void {
    this.ribIn.take(update);
    if (update.isEndOfRib) this.#filled();
    this.#checkMaximum();
  }

  #filled(): void {
    this.hasEnded = true;
    this.#dropStale('by the time it had sent everything');
    this.#staleTimer.stop();
    this.#options.settled();
  }

  /** Stale routes were kept as long as they may be; some speakers never say that they are done. */
  #waitedEnough(): void {
    this.#dropStale('in time');
    if (this.#current === undefined) return;
    this.hasEnded = true;
    this.#options.settled();
  }

  #dropStale(when: string): void {
    const count = this.ribIn.dropStale();
    if (count > 0) {
      const text = `${count} routes were not sent again ${when}: dropped`;
      this.#options.events.log('info', this.settings.address, text);
    }
  }

  #checkMaximum(): void {
    const { settings, ribIn } = this;
    if (ribIn.size > settings.maxPrefixes) {
      this.#isHeld = true;
      const limit = new Writer().u16(Afi.L2vpn).u8(Safi.Evpn).u32(settings.maxPrefixes).finish();
      const reason = `more than ${settings.maxPrefixes} routes: raise max-prefixes, or look who sends them`;
      this.#current?.stop(cease(CeaseError.MaximumPrefixes, limit), reason);
    } else if (!this.#hasWarned && ribIn.size > settings.maxPrefixes * PREFIX_WARN_SHARE) {
      this.#hasWarned = true;
      const text = `${ribIn.size} routes, of ${settings.maxPrefixes} that it may tell`;
      this.#options.events.log('warn', settings.address, text);
    }
  }

  #refreshed({ afi, safi, subtype }: RouteRefresh): void {
    if (!isEvpn({ afi, safi }) || subtype !== 0) return;
    this.ribOut.again(this.#options.table.bests());
  }

  #attributesOf(path: Path): ReturnType<typeof outgoingAttributes> {
    const known = this.#outgoing.get(path.attributes);
    if (known !== undefined) return known;
    const made = outgoingAttributes(path, this.source.kind, this.#options.speaker.as);
    this.#outgoing.set(path.attributes, made);
    return made;
  }
}
