/**
 * The keeper of a network namespace: a process inside it that does there what a router outside asks
 * for, opens devices and passes them out, and ends, with all that runs there, when nobody holds the
 * namespace any more.
 * @module
 */
import { rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { codeOf, messageOf } from '../../errors.ts';
import type { Log } from '../../log.ts';
import { openTun } from '../../sys/host/tun.ts';
import { AF_UNIX, SOCK_CLOEXEC, SOCK_DGRAM } from '../../sys/libc/constants.ts';
import { check, libc } from '../../sys/libc/libc.ts';
import { processesIn } from '../../sys/process/namespace-processes.ts';
import { NetworkNamespace } from '../../sys/process/netns.ts';
import { sendDescriptors } from '../../sys/sockets/fdpass.ts';
import { localAddress } from '../../sys/sockets/local-sockets.ts';
import type { BridgeEvent } from '../host/host.ts';
import { openHost, type RealHost } from '../host/real-host.ts';
import type { RunDirectory } from '../store/run-directory.ts';
import {
  type DeviceQuestion,
  type DoorAnswer,
  type DoorState,
  type FrameQuestion,
  HOST_QUESTIONS,
  Lines,
  NETWORK_QUESTIONS,
  parseLine,
  wrongOf,
} from './protocol.ts';

/** Whoever started the namespace holds it by then, or never. */
const FIRST_HOLD_MS = 15_000;
/** Routers and commands at one time. */
const CONNECTIONS_MAX = 64;
/** What still runs in the namespace is asked to end, and after this made to. */
const END_MS = 1000;
const END_POLL_MS = 20;
/** What a router has not read yet, bytes; past it bridges' news are left out, and it is told so. */
const NEWS_BYTES_MAX = 1 << 20;

/** A device, its descriptor sent to the socket that the question names. */
function openFor({ name, options, to }: DeviceQuestion): object {
  const { fd, ...device } = openTun(name, options);
  try {
    const socket = check('socket', libc.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    try {
      const sent = sendDescriptors(socket, Buffer.from(name), [fd], localAddress(to));
      if (sent === 0) throw new Error(`${to} takes no descriptor`);
    } finally {
      libc.close(socket);
    }
  } finally {
    libc.close(fd);
  }
  return { ...device, ifindex: libc.if_nametoindex(name), pid: process.pid };
}

function tellBridges(socket: Socket, news: BridgeEvent): void {
  if (!socket.destroyed) socket.write(`${JSON.stringify({ event: 'bridges', news })}\n`);
}

export class Keeper {
  readonly #host: RealHost;
  readonly #log: Log;
  readonly #run: RunDirectory;
  readonly #connections = new Set<Socket>();
  readonly #watchers = new Set<Socket>();
  readonly #holders = new Set<Socket>();
  /** Who watches the bridges, and whether news were left out for it. */
  readonly #bridgeWatchers = new Map<Socket, { lost: boolean }>();
  #unwatchBridges: (() => void) | undefined;
  #server: Server | undefined;
  #ending: Promise<void> | undefined;
  #resolveDone: () => void = () => undefined;
  /** Resolves when nobody holds the namespace any more and nothing runs in it. */
  readonly done: Promise<void>;

  private constructor(run: RunDirectory, log: Log) {
    this.#run = run;
    this.#log = log;
    this.#host = openHost(run);
    this.done = new Promise((resolve) => {
      this.#resolveDone = resolve;
    });
  }

  /** Listens at the run directory's door. The namespace's loopback is up then. */
  static async start(run: RunDirectory, log: Log): Promise<Keeper> {
    const keeper = new Keeper(run, log);
    await keeper.#host.setLink('lo', { up: true });
    const tell = (event: string) => (): void => {
      for (const socket of keeper.#watchers) socket.write(`${JSON.stringify({ event })}\n`);
    };
    keeper.#host.watch(tell('links'));
    keeper.#host.watchFilter(tell('filter'));
    rmSync(run.door, { force: true });
    const server = createServer((socket) => keeper.#admit(socket));
    server.maxConnections = CONNECTIONS_MAX;
    keeper.#server = server;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      // The directory is its owner's alone, and so is what is in it.
      server.listen(run.door, resolve);
    });
    setTimeout(() => {
      if (keeper.#holders.size === 0) keeper.end('nobody holds the namespace');
    }, FIRST_HOLD_MS).unref();
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
      process.on(signal, () => keeper.end(signal));
    }
    return keeper;
  }

  #admit(socket: Socket): void {
    this.#connections.add(socket);
    const lines = new Lines();
    /** The tail of its questions: each is answered before the next is asked. */
    let last: Promise<unknown> = Promise.resolve();
    socket.setEncoding('utf8');
    socket.on('data', (text) => {
      try {
        lines.take(String(text), (line) => {
          const question = parseLine(line);
          last = last.then(async () => socket.write(await this.#answer(question, socket)));
        });
      } catch (error) {
        this.#log.warn('door', messageOf(error));
        socket.destroy();
      }
    });
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      this.#connections.delete(socket);
      this.#watchers.delete(socket);
      this.#bridgeWatchers.delete(socket);
      if (this.#bridgeWatchers.size === 0) this.#endWatchingBridges();
      if (this.#holders.delete(socket) && this.#holders.size === 0)
        this.end('its last command ended');
    });
  }

  async #answer(question: Record<string, unknown>, socket: Socket): Promise<string> {
    const { id, ask, args } = question;
    const answer: DoorAnswer = { id: Number(id) };
    try {
      // JSON has no undefined; no question takes null.
      const words = Array.isArray(args) ? args.map((word: unknown) => word ?? undefined) : [];
      answer.value = (await this.#do(String(ask), words, socket)) ?? null;
    } catch (error) {
      answer.wrong = wrongOf(error);
    }
    return `${JSON.stringify(answer)}\n`;
  }

  async #do(ask: string, args: readonly unknown[], socket: Socket): Promise<unknown> {
    switch (ask) {
      case 'state':
        return {
          pid: process.pid,
          namespace: NetworkNamespace.current().inode,
          holders: this.#holders.size,
        } satisfies DoorState;
      case 'hold':
        this.#holders.add(socket);
        return null;
      case 'watch':
        this.#watchers.add(socket);
        return null;
      case 'watch-bridges':
        this.#watchBridges(socket);
        return null;
      case 'frame': {
        const { ifindex, frame } = args[0] as FrameQuestion;
        return this.#host.networks.sendFrame(ifindex, Buffer.from(frame, 'base64'));
      }
      case 'device':
        return openFor(args[0] as DeviceQuestion);
    }
    for (const [names, answers] of [
      [HOST_QUESTIONS, this.#host],
      [NETWORK_QUESTIONS, this.#host.networks],
    ] as const) {
      const known = names.find((name) => name === ask);
      const method: unknown = known === undefined ? undefined : Reflect.get(answers, known);
      if (typeof method === 'function') return Reflect.apply(method, answers, args);
    }
    throw new Error(`nobody here answers ${ask}`);
  }

  /** What happens to bridges is told to a router that reads it; one that is behind reads the tables. */
  #watchBridges(socket: Socket): void {
    this.#bridgeWatchers.set(socket, { lost: false });
    this.#unwatchBridges ??= this.#host.networks.watchBridges((news) => {
      for (const [watcher, state] of this.#bridgeWatchers) {
        const isBehind = watcher.writableLength > NEWS_BYTES_MAX;
        if (isBehind && !state.lost) {
          state.lost = true;
          watcher.once('drain', () => {
            state.lost = false;
            tellBridges(watcher, { kind: 'lost' });
          });
        }
        if (!state.lost) tellBridges(watcher, news);
      }
    });
  }

  #endWatchingBridges(): void {
    this.#unwatchBridges?.();
    this.#unwatchBridges = undefined;
  }

  /** Ends everything that runs in the namespace, then the keeper. */
  end(why: string): void {
    this.#ending ??= this.#end(why);
  }

  async #end(why: string): Promise<void> {
    this.#log.info('door', `${why}: the namespace goes`);
    this.#server?.close();
    const inode = NetworkNamespace.current().inode;
    const startedAtMs = performance.now();
    for (let left = processesIn(inode); left.length > 0; left = processesIn(inode)) {
      const isLate = performance.now() - startedAtMs > END_MS;
      for (const pid of left) {
        try {
          process.kill(pid, isLate ? 'SIGKILL' : 'SIGTERM');
        } catch (error) {
          if (codeOf(error) !== 'ESRCH')
            this.#log.warn('door', `process ${pid}: ${messageOf(error)}`);
        }
      }
      if (performance.now() - startedAtMs > 2 * END_MS) break;
      await new Promise((resolve) => setTimeout(resolve, END_POLL_MS));
    }
    for (const socket of this.#connections) socket.destroy();
    rmSync(this.#run.door, { force: true });
    this.#endWatchingBridges();
    this.#host.close();
    this.#resolveDone();
  }
}
