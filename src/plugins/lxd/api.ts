/**
 * The little of the REST API of LXD and Incus that is needed, over their unix socket. Both have the same,
 * as one was made of the other.
 * @module
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { codeOf, ExitCode, FanwayError, messageOf } from '../../errors.ts';
import { printable } from '../../log.ts';
import { callSocket, fieldOf, type HttpAnswer } from '../unix-http.ts';

/** A manager of system containers, by the name of its command. */
export type ContainerManager = 'lxd' | 'incus';

/** What differs: the environment's words, where it listens, its client, how it is named. */
const MANAGERS: Readonly<
  Record<
    ContainerManager,
    { env: string; sockets: readonly string[]; client: string; title: string }
  >
> = {
  lxd: {
    ...{ env: 'LXD', client: 'lxc', title: 'LXD' },
    sockets: ['/var/snap/lxd/common/lxd/unix.socket', '/var/lib/lxd/unix.socket'],
  },
  incus: {
    ...{ env: 'INCUS', client: 'incus', title: 'Incus' },
    // Later ones have moved it.
    sockets: ['/run/incus/unix.socket', '/var/lib/incus/unix.socket'],
  },
};

/** `lxc` or `incus`: the command that people type. */
export function clientOf(manager: ContainerManager): string {
  return MANAGERS[manager].client;
}
export function titleOf(manager: ContainerManager): string {
  return MANAGERS[manager].title;
}

/** Where it listens, as its own client finds it. */
function socketOf(manager: ContainerManager, env: NodeJS.ProcessEnv): string {
  const { env: prefix, sockets } = MANAGERS[manager];
  const given = env[`${prefix}_SOCKET`] ?? '';
  if (given !== '') return given;
  const directory = env[`${prefix}_DIR`] ?? '';
  if (directory !== '') return join(directory, 'unix.socket');
  return sockets.find((path) => existsSync(path)) ?? sockets.at(-1) ?? '';
}

export class LxdApi {
  readonly manager: ContainerManager;
  /** Its version, `5.0.2`. */
  readonly server: string;
  readonly #socket: string;

  private constructor(manager: ContainerManager, socket: string, server: string) {
    this.manager = manager;
    this.#socket = socket;
    this.server = server;
  }

  /** @throws FanwayError when none answers there, or this user is not trusted by it. */
  static async open(manager: ContainerManager, env: NodeJS.ProcessEnv): Promise<LxdApi> {
    const socket = socketOf(manager, env);
    const { title } = MANAGERS[manager];
    const { status, body } = await callLxd(manager, socket, 'GET', '/1.0');
    const metadata = fieldOf(body, 'metadata');
    if (status !== 200 || typeof fieldOf(metadata, 'api_status') !== 'string') {
      throw new FanwayError(`no-${manager}`, `what answers at ${socket} is no ${title}`);
    }
    if (fieldOf(metadata, 'auth') !== 'trusted') throw notYours(socket, manager);
    const version = fieldOf(fieldOf(metadata, 'environment'), 'server_version');
    return new LxdApi(manager, socket, typeof version === 'string' ? printable(version) : '');
  }

  /** One call; what is no success is for the caller to judge. */
  call(
    method: 'GET' | 'POST' | 'PUT' | 'DELETE',
    path: string,
    body?: unknown,
  ): Promise<HttpAnswer> {
    return callLxd(this.manager, this.#socket, method, `/1.0${path}`, body);
  }
}

/** What it says of a call that it refused, one line. */
export function complaintOf({ status, body }: HttpAnswer): string {
  const error = fieldOf(body, 'error');
  const isText = typeof error === 'string' && error !== '';
  return isText ? printable(error.replace(/\s+/g, ' ')) : `HTTP ${status}`;
}

function notYours(socket: string, manager: ContainerManager): FanwayError {
  const group = manager === 'lxd' ? 'lxd' : 'incus-admin';
  const message = `${socket} is not yours to open: run as root, or join the group ${group}`;
  return new FanwayError('not-permitted', message, { exitCode: ExitCode.NotPermitted });
}

async function callLxd(
  manager: ContainerManager,
  socket: string,
  method: string,
  path: string,
  body?: unknown,
): Promise<HttpAnswer> {
  const { title, env } = MANAGERS[manager];
  try {
    return await callSocket(socket, { method, path, body, host: manager });
  } catch (error) {
    const code = codeOf(error);
    if (code === 'ENOENT' || code === 'ECONNREFUSED') {
      throw new FanwayError(
        `no-${manager}`,
        `no ${title} runs here (${socket}): start it, set ${env}_SOCKET to its socket, or print what it is to be told: fanway ${manager} preseed`,
        { cause: error },
      );
    }
    if (code === 'EACCES' || code === 'EPERM') throw notYours(socket, manager);
    throw new FanwayError(`${manager}-silent`, `${title} at ${socket}: ${messageOf(error)}`, {
      cause: error,
    });
  }
}
