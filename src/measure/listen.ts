/**
 * The far end of a measurement. It waits on the underlay addresses of this host's fans and networks for one
 * client at a time, and starts a traffic program for each thing it is asked to do.
 *
 * It cannot be turned against others: who is not allowed gets no byte; data is sent on a TCP connection
 * from the client's own address that the client opened, for seconds in all, and probes go back, no larger,
 * to that address. While its probes run, the client may connect twice more, for data both ways beside them.
 * @module
 */
import { createServer, type Server, type Socket } from 'node:net';
import { codeOf, FanwayError, messageOf, refusedError } from '../errors.ts';
import { formatIpv4, parseIpv4 } from '../net/ipv4.ts';
import { contains, formatPrefix, type Prefix } from '../net/prefix.ts';
import { startTraffic, type TrafficProcess } from '../traffic/run.ts';
import { addressesOf } from './fans.ts';
import { fanPair, type ListenLinks, networkPair } from './listen-links.ts';
import { deviceOf, type HostAddresses, type Pair } from './pair.ts';
import {
  COMMANDS_MAX,
  type FarEndAnswer,
  type FarEndCommand,
  formatAnswer,
  LineReader,
  type LinkCommand,
  parseCommand,
} from './protocol.ts';
import { here } from './reach.ts';

/** Longest stay of one client, also past the end of the listener's own life. */
const SESSION_MS_MAX = 120_000;
/** The client measures something of its own for at most this long before it asks again. */
const SILENCE_MS_MAX = 30_000;
/** Connections of one client whose probes run. */
const SESSIONS_MAX = 3;
/** All the time together in which one connection may have data moved. */
const SESSION_MOVE_MS_MAX = 60_000;
/** For the client's program to start and connect, and for the last data to arrive. */
const GRACE_MS = 8000;

type ListenOptions = ListenLinks & {
  /** Who may connect; empty = the underlay prefixes of fans and networks, and the overlays of fans. */
  allow: readonly Prefix[];
  /** TCP port for commands; data goes to the next, TCP and UDP. */
  port: number;
  /** No new client after this. */
  lifeMs: number;
  /** Says what happens, one line each. */
  say(line: string): void;
  /** Ends it at once. */
  stop: AbortSignal;
};

/**
 * Listens until its life is over or it is stopped; a client that is being served then may finish.
 * @throws FanwayError when there is neither fan nor network, or the port is taken.
 */
export async function listen(options: ListenOptions): Promise<void> {
  const { fans, networks, port, lifeMs, say, stop } = options;
  const locals = [...new Set([...fans, ...networks].map(({ local }) => local))];
  if (locals.length === 0) {
    throw refusedError('no-fan', 'no fan or network is up on this host: see fanway status');
  }
  const host = new Listener(options);
  const servers: Server[] = [];
  try {
    for (const local of locals) {
      servers.push(await serve(local, port, (socket) => host.greet(socket)));
    }
    const where = locals.map((local) => `${formatIpv4(local)}:${port}`).join(' and ');
    say(`listening on ${where} for ${Math.round(lifeMs / 1000)} s`);
    for (const fan of fans) {
      const gateway = formatIpv4(addressesOf(fan, fan.local).tunnel);
      say(`  on another host of ${formatPrefix(fan.overlay)}: fanway bench ${gateway}`);
    }
    for (const { name, local } of networks) {
      say(`  by network ${name}: fanway bench ${formatIpv4(local)} --net ${name}`);
    }
    await until(lifeMs, stop);
  } finally {
    for (const server of servers) server.close();
  }
  if (stop.aborted) host.end();
  stop.addEventListener('abort', () => host.end(), { once: true });
  await host.idle();
}

function serve(local: number, port: number, take: (socket: Socket) => void): Promise<Server> {
  const server = createServer(take);
  // A second client hears that there is one; more are not even answered.
  server.maxConnections = 4;
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      const where = `${formatIpv4(local)}:${port}`;
      const why = codeOf(error) === 'EADDRINUSE' ? 'something listens there' : messageOf(error);
      reject(new FanwayError('listen', `${where}: ${why}; choose another with --port`));
    });
    server.listen({ host: formatIpv4(local), port }, () => resolve(server));
  });
}

function until(ms: number, stop: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    const end = () => {
      clearTimeout(timer);
      resolve();
    };
    if (stop.aborted) end();
    else stop.addEventListener('abort', end, { once: true });
  });
}

/** Lets one allowed client in at a time. */
class Listener {
  readonly #options: ListenOptions;
  readonly #allowed: readonly Prefix[];
  /** By place; a place has a port for data of its own. */
  readonly #sessions: (Session | undefined)[] = Array.from({ length: SESSIONS_MAX });

  constructor(options: ListenOptions) {
    this.#options = options;
    this.#allowed =
      options.allow.length > 0
        ? options.allow
        : [
            ...options.fans.flatMap(({ underlay, overlay }) => [underlay, overlay]),
            ...options.networks.map(({ underlay }) => underlay),
          ];
  }

  greet(socket: Socket): void {
    socket.on('error', () => undefined);
    const { say, port } = this.#options;
    const remote = parseIpv4(socket.remoteAddress ?? '0.0.0.0');
    const shown = formatIpv4(remote);
    if (!this.#allowed.some((prefix) => contains(prefix, remote))) {
      say(`${shown} is not allowed (--allow): hung up`);
      socket.destroy();
      return;
    }
    const place = this.#placeFor(remote);
    if (place === undefined) {
      socket.end(`${formatAnswer({ kind: 'error', text: 'somebody else is measuring' })}\n`);
      setTimeout(() => socket.destroy(), 1000).unref();
      return;
    }
    if (place === 0) say(`${shown} measures`);
    const session = new Session(socket, remote, this.#options, port + 1 + place);
    this.#sessions[place] = session;
    void session.done.then((why) => {
      this.#sessions[place] = undefined;
      if (place === 0) say(`${shown} is done${why === '' ? '' : `: ${why}`}`);
    });
  }

  /** The first place, or one beside the probes of the same client. */
  #placeFor(remote: number): number | undefined {
    const [first] = this.#sessions;
    const isIdle = this.#sessions.every((session) => session === undefined);
    if (isIdle) return 0;
    if (first?.remote !== remote || !first.isReflecting) return undefined;
    const free = this.#sessions.indexOf(undefined);
    return free === -1 ? undefined : free;
  }

  /** Ends the present client's sessions. */
  end(): void {
    for (const session of this.#sessions) session?.hangUp('stopped');
  }

  /** Settles when no client is being served. */
  async idle(): Promise<void> {
    await Promise.all(this.#sessions.map((session) => session?.done));
  }
}

type Moving =
  | { kind: 'tcp'; program: TrafficProcess<'tcp'> }
  | { kind: 'udp-receive' | 'udp-ending'; program: TrafficProcess<'udp-receive'> }
  | { kind: 'reflect' | 'reflect-ending'; program: TrafficProcess<'reflect'> };

/** One client from its greeting to its end. */
class Session {
  /** Settles with why it ended, '' when the client said bye. */
  readonly done: Promise<string>;
  readonly #socket: Socket;
  /** The client's address (u32). */
  readonly remote: number;
  readonly #links: ListenLinks;
  readonly #port: number;
  readonly #reader = new LineReader();
  #isDone: (why: string) => void = () => {};
  #pair: Pair | undefined;
  /** Which link is meant is being found out. */
  #isChoosing = false;
  #moving: Moving | undefined;
  #commands = 0;
  #movedMs = 0;
  #over = false;

  constructor(socket: Socket, remote: number, links: ListenLinks, port: number) {
    this.#socket = socket;
    this.remote = remote;
    this.#links = links;
    this.#port = port;
    this.done = new Promise((resolve) => {
      this.#isDone = resolve;
    });
    const life = setTimeout(() => this.hangUp('its time is over'), SESSION_MS_MAX);
    socket.setTimeout(SILENCE_MS_MAX, () => this.hangUp('it said nothing for too long'));
    socket.on('data', (chunk) => this.#take(chunk));
    socket.on('close', () => {
      clearTimeout(life);
      this.#finish('it hung up');
    });
    this.#answer({ kind: 'greeting' });
  }

  /** Its probes are sent back now. */
  get isReflecting(): boolean {
    return this.#moving?.kind === 'reflect';
  }

  /** Tells the client why, ends its program and the connection. */
  hangUp(why: string): void {
    if (this.#over) return;
    this.#answer({ kind: 'error', text: why });
    this.#socket.end();
    this.#finish(why);
    setTimeout(() => this.#socket.destroy(), 1000).unref();
  }

  #finish(why: string): void {
    if (this.#over) return;
    this.#over = true;
    this.#moving?.program.kill();
    this.#moving = undefined;
    this.#isDone(why);
  }

  #answer(answer: FarEndAnswer): void {
    if (!this.#over) this.#socket.write(`${formatAnswer(answer)}\n`);
  }

  #take(chunk: Uint8Array): void {
    try {
      for (const line of this.#reader.take(chunk)) {
        if (this.#over) return;
        this.#commands += 1;
        if (this.#commands > COMMANDS_MAX) throw new FanwayError('limit', 'too many commands');
        this.#obey(parseCommand(line));
      }
    } catch (error) {
      this.hangUp(messageOf(error));
    }
  }

  #obey(command: FarEndCommand): void {
    if (command.verb === 'bye') {
      this.#finish('');
      this.#socket.end();
      return;
    }
    if (command.verb === 'finish') {
      this.#stopMoving();
      return;
    }
    if (this.#moving !== undefined || this.#isChoosing) {
      throw new FanwayError('order', 'one thing at a time');
    }
    if (command.verb === 'fan') this.#chosen(fanPair(this.#links.fans, command, this.remote));
    else if (command.verb === 'network') void this.#choose(command);
    else this.#start(command);
  }

  /** Nothing moves any more when the result was on its way already: that is the answer, then. */
  #stopMoving(): void {
    const moving = this.#moving;
    if (moving?.kind === 'tcp') moving.program.kill();
    if (moving?.kind === 'reflect') {
      this.#moving = { ...moving, kind: 'reflect-ending' };
      moving.program.finish();
    }
    if (moving?.kind !== 'udp-receive') return;
    this.#moving = { ...moving, kind: 'udp-ending' };
    void this.#report(
      moving.program.finish().then((report) => ({ ...report, amount: report.received })),
    );
  }

  #chosen(pair: Pair): void {
    this.#pair = pair;
    this.#answer({ kind: 'ok' });
  }

  async #choose(command: Extract<LinkCommand, { verb: 'network' }>): Promise<void> {
    this.#isChoosing = true;
    try {
      this.#chosen(await networkPair(this.#links.networks, command, this.remote));
    } catch (error) {
      this.hangUp(messageOf(error));
    } finally {
      this.#isChoosing = false;
    }
  }

  #start(command: Extract<FarEndCommand, { moveMs: number }>): void {
    const pair = this.#pair;
    if (pair === undefined) throw new FanwayError('order', 'name the fan first');
    this.#movedMs += command.moveMs;
    if (this.#movedMs > SESSION_MOVE_MS_MAX) throw new FanwayError('limit', 'moved data enough');
    this.#socket.setTimeout(SILENCE_MS_MAX + command.moveMs);
    if (command.verb === 'reflect') {
      this.#reflect(pair, command.moveMs);
      return;
    }
    const listen = formatIpv4(pair.near[command.way]);
    const peer = formatIpv4(pair.far[command.way]);
    const by = deviceOf(pair, command.way);
    const port = this.#port;
    const boundMs = command.moveMs + GRACE_MS;
    if (command.verb === 'udp-receive') {
      const size = command.payloadBytes;
      const options = { listen, port, ...by, size, seconds: boundMs / 1000 };
      const program = startTraffic(here, 'udp-receive', options, boundMs + 3000);
      this.#moving = { kind: 'udp-receive', program };
      void this.#ready(program.ready);
      return;
    }
    const { streams } = command;
    const options = { listen, port, peer, ...by, streams, timeout: boundMs / 1000 };
    const reverse = command.verb === 'tcp-send';
    const seconds = command.moveMs / 1000;
    const program = startTraffic(here, 'tcp', { ...options, reverse, seconds }, boundMs * 2);
    this.#moving = { kind: 'tcp', program };
    void this.#ready(program.ready);
    void this.#report(program.result.then((report) => ({ ...report, amount: report.bytes })));
  }

  #reflect(pair: Pair, moveMs: number): void {
    const both = ({ tunnel, underlay }: HostAddresses): string =>
      `${formatIpv4(tunnel)},${formatIpv4(underlay)}`;
    const seconds = (moveMs + GRACE_MS) / 1000;
    const ends = { listen: both(pair.near), peer: both(pair.far), port: this.#port };
    const where = { ...ends, ...deviceOf(pair, 'tunnel') };
    const program = startTraffic(here, 'reflect', { ...where, seconds }, moveMs + 2 * GRACE_MS);
    this.#moving = { kind: 'reflect', program };
    void this.#ready(program.ready);
    void this.#report(program.result.then((report) => ({ ...report, amount: report.reflected })));
  }

  async #ready(ready: Promise<void>): Promise<void> {
    try {
      await ready;
      this.#answer({ kind: 'ready', port: this.#port });
    } catch (error) {
      this.#failed(error);
    }
  }

  async #report(result: Promise<{ amount: number; seconds: number }>): Promise<void> {
    try {
      const { amount, seconds } = await result;
      this.#moving = undefined;
      this.#answer({ kind: 'result', amount, seconds });
    } catch (error) {
      this.#failed(error);
    }
  }

  /** Told once, also when both getting ready and the result failed. */
  #failed(error: unknown): void {
    if (this.#moving === undefined) return;
    this.#moving.program.kill();
    this.#moving = undefined;
    this.#answer({ kind: 'failed', text: messageOf(error) });
  }
}
