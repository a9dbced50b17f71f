/**
 * The state machine of one connection, RFC 4271 §8.2.2: one method per state, each takes an event
 * and returns the next state; what all states with a connection do alike is one step before theirs.
 * A session that dials begins again after it ended; one that was
 * accepted ends for good. Which of two connections stays, and what routes do, is the neighbour's.
 * @module
 */
import { AttributeCache } from '../../wire/bgp/attribute-cache.ts';
import { type Notification, SessionReset } from '../../wire/bgp/faults.ts';
import { ErrorCode, MessageType, OpenError, StateMachineError } from '../../wire/bgp/iana.ts';
import {
  describeNotification,
  emitMessage,
  emitNotification,
  KEEPALIVE,
  MessageReader,
  parseNotification,
  parseRouteRefresh,
  type RawMessage,
  type RouteRefresh,
} from '../../wire/bgp/message.ts';
import { asOf, emitOpen, type Open, parseOpen } from '../../wire/bgp/open.ts';
import { parseUpdate, type Update } from '../../wire/bgp/update.ts';
import type {
  Connection,
  ConnectionListener,
  NeighbourSettings,
  Timers,
  Transport,
} from '../base/api.ts';
import { Timer } from '../base/timer.ts';
import { HoldTimer } from './hold-timer.ts';
import { expired, unexpected } from './resets.ts';

export type State = 'Idle' | 'Connect' | 'Active' | 'OpenSent' | 'OpenConfirm' | 'Established';

/** How a session ended. */
export type SessionEnd = {
  reason: string;
  /** What was sent or received last; null = the connection was lost without one. */
  notification: Notification | null;
  sent: boolean;
  wasEstablished: boolean;
};

/** What a session tells its neighbour. */
export type SessionListener = {
  /** An OPEN came and is sound; a notification returned refuses it. */
  opened(session: Session, open: Open): Notification | undefined;
  established(session: Session): void;
  update(session: Session, update: Update): void;
  refresh(session: Session, refresh: RouteRefresh): void;
  drained(session: Session): void;
  ended(session: Session, end: SessionEnd): void;
};

export type SessionOptions = {
  neighbour: NeighbourSettings;
  /** Makes the OPEN that is sent. */
  ourOpen: () => Open;
  /** Our AS, to tell inside from outside. */
  as: number;
  timers: Timers;
  /** From 0 up to but not including 1. */
  random: () => number;
  transport: Transport;
  listener: SessionListener;
};

type Event =
  | { type: 'start' }
  | { type: 'connected'; connection: Connection }
  | { type: 'failed'; reason: string }
  | { type: 'lost'; reason: string }
  | { type: 'message'; message: RawMessage }
  | { type: 'hold'; silentMs: number }
  | { type: 'retry' | 'keepalive' };

/** While nothing was agreed, RFC 4271 §8.2.2 suggests four minutes. */
const OPEN_HOLD_MS = 240_000;
const SECOND = 1000;

export class Session {
  readonly #options: SessionOptions;
  readonly #retry: Timer;
  readonly #hold: HoldTimer;
  readonly #keepalive: Timer;
  #state: State = 'Idle';
  #connection: Connection | undefined;
  #cancelDial: (() => void) | undefined;
  #open: Open | undefined;
  #context = { as4: false, internal: false };
  #cache = new AttributeCache();
  readonly dials: boolean;
  readonly messages = { received: 0, sent: 0 };

  constructor(options: SessionOptions, dials: boolean) {
    this.#options = options;
    this.dials = dials;
    this.#retry = new Timer(options.timers, () => this.#handle({ type: 'retry' }));
    this.#hold = new HoldTimer(options.timers, (silentMs) =>
      this.#handle({ type: 'hold', silentMs }),
    );
    this.#keepalive = new Timer(options.timers, () => this.#handle({ type: 'keepalive' }));
  }

  get state(): State {
    return this.#state;
  }
  /** What the other side sent; there from OpenConfirm on. */
  get open(): Open | undefined {
    return this.#open;
  }
  /** Agreed, seconds. */
  get holdSeconds(): number {
    return this.#hold.holdMs / SECOND;
  }
  get queuedBytes(): number {
    return this.#connection?.queuedBytes() ?? 0;
  }

  /** Dials, from Idle. */
  start(): void {
    this.#handle({ type: 'start' });
  }

  /** Takes a connection that came in: OpenSent at once. */
  accept(connection: Connection): ConnectionListener {
    const listener = this.#listen(connection);
    this.#handle({ type: 'connected', connection });
    return listener;
  }

  /** Ends from any state, with a notification if there is somebody to hear it. */
  stop(notification: Notification | null, reason: string): void {
    if (this.#state === 'Idle') return;
    this.#end({ reason, notification, sent: true });
  }

  sendUpdate(body: Uint8Array): void {
    this.#send(MessageType.Update, body);
  }

  sendRefresh(body: Uint8Array): void {
    this.#send(MessageType.RouteRefresh, body);
  }

  #handle(event: Event): void {
    const before = this.#state;
    try {
      this.#state = this.#next(event);
    } catch (error) {
      if (!(error instanceof SessionReset)) throw error;
      this.#end({ reason: error.message, notification: error.notification, sent: true });
    }
    if (before !== 'Established' && this.#state === 'Established') {
      this.#options.listener.established(this);
    }
  }

  #next(event: Event): State {
    switch (this.#state) {
      case 'Idle':
        return this.#inIdle(event);
      case 'Connect':
        return this.#inConnect(event);
      case 'Active':
        return this.#inActive(event);
      default:
        return this.#onConnection(event, this.#state);
    }
  }

  /** What every state with a connection does alike; other messages are for the state itself. */
  #onConnection(event: Event, state: 'OpenSent' | 'OpenConfirm' | 'Established'): State {
    switch (event.type) {
      case 'lost':
        return this.#lost(event.reason);
      case 'hold':
        throw expired(event.silentMs);
      case 'keepalive':
        return this.#sendKeepalive();
      case 'message':
        break;
      default:
        return state;
    }
    const { message } = event;
    if (message.type === MessageType.Notification) return this.#notified(message.body);
    switch (state) {
      case 'OpenSent':
        return this.#inOpenSent(message);
      case 'OpenConfirm':
        return this.#inOpenConfirm(message);
      case 'Established':
        return this.#inEstablished(message);
    }
  }

  #inIdle(event: Event): State {
    if (event.type === 'start') return this.#dial();
    if (event.type === 'connected') return this.#greet(event.connection);
    return 'Idle';
  }

  #inConnect(event: Event): State {
    switch (event.type) {
      case 'connected':
        return this.#greet(event.connection);
      case 'failed':
        // The retry timer runs on: nobody dials faster than it says.
        return 'Active';
      case 'retry':
        return this.#dial();
      default:
        return 'Connect';
    }
  }

  #inActive(event: Event): State {
    if (event.type === 'retry') return this.#dial();
    if (event.type === 'connected') return this.#greet(event.connection);
    return 'Active';
  }

  #inOpenSent({ type, body }: RawMessage): State {
    if (type !== MessageType.Open) throw unexpected(StateMachineError.OpenSent, type);
    return this.#takeOpen(parseOpen(body));
  }

  #inOpenConfirm({ type }: RawMessage): State {
    if (type !== MessageType.Keepalive) throw unexpected(StateMachineError.OpenConfirm, type);
    return 'Established';
  }

  #inEstablished({ type, body }: RawMessage): State {
    const { listener } = this.#options;
    switch (type) {
      case MessageType.Update:
        listener.update(this, parseUpdate(body, this.#context, this.#cache));
        break;
      case MessageType.RouteRefresh:
        listener.refresh(this, parseRouteRefresh(body));
        break;
      case MessageType.Keepalive:
        break;
      default:
        throw unexpected(StateMachineError.Established, type);
    }
    // What was told may have ended the session meanwhile.
    return this.#state;
  }

  #dial(): State {
    const { transport, neighbour, random } = this.#options;
    this.#cancelDial?.();
    // RFC 4271 §10: a quarter of jitter, so that two that lost each other do not meet for ever.
    this.#retry.start(neighbour.connectRetrySeconds * SECOND * (0.75 + random() / 4));
    this.#cancelDial = transport.dial(neighbour, {
      connected: (connection) => {
        this.#cancelDial = undefined;
        const listener = this.#listen(connection);
        this.#handle({ type: 'connected', connection });
        return listener;
      },
      failed: (reason) => {
        this.#cancelDial = undefined;
        this.#handle({ type: 'failed', reason });
      },
    });
    return 'Connect';
  }

  #listen(connection: Connection): ConnectionListener {
    const reader = new MessageReader();
    const isOurs = (): boolean => this.#connection === connection;
    return {
      data: (bytes) => {
        try {
          // Each message is handled before the next is cut: after an end nothing more is read.
          for (const message of reader.push(bytes)) {
            if (!isOurs()) return;
            this.messages.received++;
            this.#hold.heard();
            this.#handle({ type: 'message', message });
          }
        } catch (error) {
          if (!(error instanceof SessionReset)) throw error;
          if (!isOurs()) return;
          this.#end({ reason: error.message, notification: error.notification, sent: true });
        }
      },
      drained: () => {
        if (isOurs()) this.#options.listener.drained(this);
      },
      closed: (reason) => {
        if (isOurs()) this.#handle({ type: 'lost', reason });
      },
    };
  }

  #greet(connection: Connection): State {
    this.#cancelDial?.();
    this.#cancelDial = undefined;
    this.#retry.stop();
    this.#connection = connection;
    this.#open = undefined;
    this.#send(MessageType.Open, emitOpen(this.#options.ourOpen()));
    this.#hold.start(OPEN_HOLD_MS);
    return 'OpenSent';
  }

  #takeOpen(open: Open): State {
    const { neighbour, listener } = this.#options;
    const as = asOf(open);
    if (as !== neighbour.as) {
      const reason = `the neighbour is AS ${as} and not ${neighbour.as}`;
      throw new SessionReset(ErrorCode.Open, OpenError.BadPeerAs, reason);
    }
    this.#open = open;
    const as4 = open.capabilities.some(({ kind }) => kind === 'four-octet-as');
    this.#context = { as4, internal: neighbour.as === this.#options.as };
    this.#cache = new AttributeCache();
    const refused = listener.opened(this, open);
    if (refused !== undefined) {
      const { code, subcode, data } = refused;
      throw new SessionReset(code, subcode, describeNotification(refused), data);
    }
    const holdMs = Math.min(open.holdSeconds, neighbour.holdSeconds) * SECOND;
    this.#hold.start(holdMs);
    return this.#sendKeepalive('OpenConfirm');
  }

  /** Agreed: ours always says that it knows AS numbers of four octets. */
  get context(): { as4: boolean; internal: boolean } {
    return this.#context;
  }

  #sendKeepalive(state: State = this.#state): State {
    const { random } = this.#options;
    this.#connection?.send(KEEPALIVE);
    this.messages.sent++;
    const { holdMs } = this.#hold;
    if (holdMs > 0) this.#keepalive.start((holdMs / 3) * (0.75 + random() / 4));
    return state;
  }

  #send(type: MessageType, body: Uint8Array): void {
    this.messages.sent++;
    this.#connection?.send(emitMessage(type, body));
  }

  #notified(body: Uint8Array): State {
    const notification = parseNotification(body);
    return this.#lost(`the neighbour says ${describeNotification(notification)}`, notification);
  }

  #lost(reason: string, notification: Notification | null = null): State {
    this.#end({ reason, notification, sent: false });
    return 'Idle';
  }

  #end(end: Omit<SessionEnd, 'wasEstablished'>): void {
    const wasEstablished = this.#state === 'Established';
    this.#state = 'Idle';
    for (const timer of [this.#retry, this.#hold, this.#keepalive]) timer.stop();
    this.#cancelDial?.();
    this.#cancelDial = undefined;
    const connection = this.#connection;
    if (connection !== undefined && end.sent && end.notification !== null) {
      this.#send(MessageType.Notification, emitNotification(end.notification));
    }
    this.#connection = undefined;
    connection?.close();
    this.#options.listener.ended(this, { ...end, wasEstablished });
  }
}
