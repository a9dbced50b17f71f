/**
 * The door to a network namespace, from outside: asks its keeper, and gets devices from it.
 * @module
 */

import { rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { count, fields } from '../../api/reader.ts';
import { codeOf, FanwayError, messageOf } from '../../errors.ts';
import { AF_UNIX, SOCK_CLOEXEC, SOCK_DGRAM } from '../../sys/libc/constants.ts';
import { addressOf, check, libc } from '../../sys/libc/libc.ts';
import { receiveDescriptors } from '../../sys/sockets/fdpass.ts';
import { localAddress } from '../../sys/sockets/local-sockets.ts';
import { LocalStream } from '../../sys/sockets/local-stream.ts';
import type { DeviceOpener, OpenDevice } from '../plane/devices.ts';
import type { RunDirectory } from '../store/run-directory.ts';
import {
  DOOR_EVENTS,
  type DoorAnswer,
  type DoorEvent,
  type DoorState,
  errorOf,
  LINE_BYTES_MAX,
  Lines,
  parseLine,
} from './protocol.ts';

/** How long a question that is waited for may take, ms: one setting, one device. */
const ANSWER_MS = 10_000;

const readState = fields<DoorState>({ pid: count, namespace: count, holders: count });

/** Nobody is there any more. */
function goneError(): FanwayError {
  return new FanwayError('namespace-gone', 'the network namespace of this router is gone');
}

export class Door {
  readonly #run: RunDirectory;
  readonly #socket: Socket;
  readonly #waiting = new Map<number, (answer: DoorAnswer | undefined) => void>();
  readonly #listeners = new Map<DoorEvent, Set<(news: unknown) => void>>();
  #stream: LocalStream | undefined;
  #lastId = 0;
  #isGone = false;
  #resolveGone: () => void = () => undefined;
  /** Resolves when the keeper has ended, and the namespace with it. */
  readonly gone: Promise<void>;

  private constructor(run: RunDirectory, socket: Socket) {
    this.#run = run;
    this.#socket = socket;
    this.gone = new Promise((resolve) => {
      this.#resolveGone = resolve;
    });
    const lines = new Lines();
    socket.setEncoding('utf8');
    socket.on('data', (text) => {
      try {
        lines.take(String(text), (line) => this.#heard(parseLine(line)));
      } catch (error) {
        socket.destroy(error instanceof Error ? error : new Error(messageOf(error)));
      }
    });
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.#closed());
  }

  /** @throws FanwayError `no-namespace` when there is none behind this run directory. */
  static async open(run: RunDirectory): Promise<Door> {
    const socket = connect(run.door);
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', (error) => {
        // ECONNRESET: it was ending when we came.
        const isNone = ['ENOENT', 'ECONNREFUSED', 'ECONNRESET'].includes(codeOf(error));
        const none = new FanwayError('no-namespace', `there is no namespace behind ${run.path}`);
        reject(isNone ? none : error);
      });
    });
    return new Door(run, socket);
  }

  /** Whether the namespace is gone; it is an empty machine then. */
  get isGone(): boolean {
    return this.#isGone;
  }

  #heard(line: Record<string, unknown>): void {
    const event = DOOR_EVENTS.find((name) => name === line['event']);
    if (event !== undefined) {
      for (const listener of this.#listeners.get(event) ?? []) listener(line['news']);
      return;
    }
    const answer = line as DoorAnswer;
    const waiting = this.#waiting.get(answer.id);
    this.#waiting.delete(answer.id);
    waiting?.(answer);
  }

  #closed(): void {
    this.#isGone = true;
    this.#stream?.close();
    this.#stream = undefined;
    for (const waiting of this.#waiting.values()) waiting(undefined);
    this.#waiting.clear();
    this.#resolveGone();
  }

  /** Asks the keeper. @throws what it says is wrong; FanwayError `namespace-gone`. */
  async ask(ask: string, ...args: unknown[]): Promise<unknown> {
    if (this.#isGone) throw goneError();
    const id = ++this.#lastId;
    const answer = await new Promise<DoorAnswer | undefined>((resolve) => {
      this.#waiting.set(id, resolve);
      this.#socket.write(`${JSON.stringify({ id, ask, args })}\n`);
    });
    return answered(answer);
  }

  /** Asks and waits for the answer: for what has to be known at once. */
  askNow(ask: string, ...args: unknown[]): unknown {
    if (this.#isGone) throw goneError();
    const id = ++this.#lastId;
    let line: string;
    try {
      this.#stream ??= LocalStream.connect(this.#run.door, ANSWER_MS);
      line = this.#stream.ask(JSON.stringify({ id, ask, args }), LINE_BYTES_MAX);
    } catch (error) {
      // A half-read answer would be taken for the next one.
      this.#stream?.close();
      this.#stream = undefined;
      throw new FanwayError(
        'namespace-gone',
        `the namespace does not answer: ${messageOf(error)}`,
        {
          cause: error,
        },
      );
    }
    return answered(parseLine(line) as DoorAnswer);
  }

  /** Keeps the namespace for as long as this door is open. */
  async hold(): Promise<DoorState> {
    await this.ask('hold');
    return this.state();
  }

  /** What it holds now. @throws FanwayError, ShapeError */
  async state(): Promise<DoorState> {
    return readState(await this.ask('state'), 'state');
  }

  /** Calls `listener` on every such event; returns how to end it. */
  on(event: DoorEvent, listener: (news: unknown) => void): () => void {
    const listeners = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, listeners.add(listener));
    const question = event === 'bridges' ? 'watch-bridges' : 'watch';
    if (!this.#isGone) void this.ask(question).catch(() => undefined);
    return () => listeners.delete(listener);
  }

  /** Opens a device in the namespace; its descriptor is ours. */
  readonly openDevice: DeviceOpener = (name, options) => {
    const path = this.#run.passage;
    rmSync(path, { force: true });
    const socket = check('socket', libc.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    try {
      const address = localAddress(path);
      check('bind', libc.bind(socket, addressOf(address), address.length), path);
      const device = this.askNow('device', { name, options, to: path }) as OpenDevice;
      const [fd, ...more] = receiveDescriptors(socket, 256)?.descriptors ?? [];
      for (const one of more) libc.close(one);
      if (fd === undefined)
        throw new FanwayError('no-device', `${name} did not come out of its namespace`);
      return { ...device, fd };
    } finally {
      libc.close(socket);
      rmSync(path, { force: true });
    }
  };

  close(): void {
    this.#socket.destroy();
  }
}

function answered(answer: DoorAnswer | undefined): unknown {
  if (answer === undefined) throw goneError();
  if (answer.wrong !== undefined) throw errorOf(answer.wrong);
  return answer.value;
}
