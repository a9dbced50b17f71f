/**
 * The little of the Docker Engine API that is needed, over its unix socket: HTTP with JSON. Spoken by
 * dockerd 20.10 to 29 and by what imitates it.
 * @module
 */
import { codeOf, ExitCode, FanwayError, messageOf, usageError } from '../../errors.ts';
import { printable } from '../../log.ts';
import { callSocket, fieldOf, type HttpAnswer } from '../unix-http.ts';

const SOCKET_DEFAULT = '/var/run/docker.sock';

/**
 * Where the daemon listens, as `docker` itself finds it.
 * @throws FanwayError (exit code 2) for a DOCKER_HOST that is no unix socket.
 */
export function dockerSocketOf(env: NodeJS.ProcessEnv): string {
  const host = env['DOCKER_HOST'] ?? '';
  if (host === '') return SOCKET_DEFAULT;
  if (host.startsWith('unix:///')) return host.slice('unix://'.length);
  throw usageError(
    'docker-host',
    `DOCKER_HOST is ${printable(host)}: only a daemon of this host (unix:///...) can use its fan`,
  );
}

/** A dockerd, spoken to in its own version of the API. */
export class DockerApi {
  readonly #socket: string;
  readonly #prefix: string;
  /** `20.10.24`. */
  readonly server: string;
  /** The API's version, `1.41`. */
  readonly version: string;

  private constructor(socket: string, version: string, server: string) {
    this.#socket = socket;
    this.version = version;
    this.server = server;
    this.#prefix = `/v${version}`;
  }

  /** @throws FanwayError when no daemon answers there, or what answers is none. */
  static async open(env: NodeJS.ProcessEnv): Promise<DockerApi> {
    const socket = dockerSocketOf(env);
    const { status, body } = await call(socket, 'GET', '/version');
    const version = fieldOf(body, 'ApiVersion');
    if (status !== 200 || typeof version !== 'string' || !/^[0-9]+\.[0-9]+$/.test(version)) {
      throw new FanwayError('no-docker', `what answers at ${socket} is no Docker Engine`);
    }
    return new DockerApi(socket, version, String(fieldOf(body, 'Version') ?? ''));
  }

  /** Whether its API is at least this new, `1.44`. */
  isAtLeast(version: string): boolean {
    const [major = 0, minor = 0] = this.version.split('.').map(Number);
    const [wantedMajor = 0, wantedMinor = 0] = version.split('.').map(Number);
    return major > wantedMajor || (major === wantedMajor && minor >= wantedMinor);
  }

  /** One call; what is no success is for the caller to judge. */
  call(method: 'GET' | 'POST' | 'DELETE', path: string, body?: unknown): Promise<HttpAnswer> {
    return call(this.#socket, method, `${this.#prefix}${path}`, body);
  }
}

/** What the daemon says of a call that it refused, one line. */
export function complaintOf({ status, body }: HttpAnswer): string {
  const message = fieldOf(body, 'message');
  return typeof message === 'string' ? printable(message.replace(/\s+/g, ' ')) : `HTTP ${status}`;
}

async function call(
  socket: string,
  method: string,
  path: string,
  body?: unknown,
): Promise<HttpAnswer> {
  try {
    return await callSocket(socket, { method, path, body, host: 'docker' });
  } catch (error) {
    throw unreachable(socket, error);
  }
}

function unreachable(socket: string, error: unknown): FanwayError {
  const code = codeOf(error);
  if (code === 'ENOENT' || code === 'ECONNREFUSED') {
    return new FanwayError(
      'no-docker',
      `no Docker runs here (${socket}): start it, or set DOCKER_HOST=unix:///... to its socket`,
    );
  }
  if (code === 'EACCES' || code === 'EPERM') {
    const message = `${socket} is not yours to open: run as root, or join the group docker`;
    return new FanwayError('not-permitted', message, { exitCode: ExitCode.NotPermitted });
  }
  return new FanwayError('docker-silent', `Docker at ${socket} failed: ${messageOf(error)}`);
}
