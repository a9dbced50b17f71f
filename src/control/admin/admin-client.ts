/**
 * The other end of the admin socket: how the command line speaks to a running router.
 * @module
 */
import { request } from 'node:http';
import type { Call } from '../../api/call.ts';
import { ShapeError } from '../../api/reader.ts';
import { codeOf, ExitCode, FanwayError } from '../../errors.ts';
import { printable } from '../../log.ts';
import { NetworkNamespace } from '../../sys/process/netns.ts';
import type { RunDirectory } from '../store/run-directory.ts';
import { ADMIN_HOST, ADMIN_NAMESPACE } from './admin.ts';

const ANSWER_BYTES_MAX = 4 * 1024 * 1024;
/** Bringing a link up takes a second or two; a router that says nothing for longer is stuck. */
const ANSWER_TIMEOUT_MS = 60_000;
/** Calls, where the router hears none of those before. */
const CALLS_MAX = 3;

export type CallOptions = {
  /** Speak to the router of whatever network namespace; it refuses commands from another one. */
  anyNamespace?: boolean;
};

/**
 * One call. `body` undefined = GET. What comes back has no control characters in any text. Where the router hung up
 * before it was told anything (EPIPE), as it does on who takes seconds to speak on a machine that is overrun, it is
 * called again.
 * @throws FanwayError `not-running` when nobody listens; `other-namespace` when the router serves
 *   another network namespace than ours; else what the router answered.
 */
export async function callRouter(
  run: RunDirectory,
  path: string,
  body?: unknown,
  options: CallOptions = {},
): Promise<unknown> {
  for (let again = CALLS_MAX - 1; ; again--) {
    try {
      return await callOnce(run, path, body, options);
    } catch (error) {
      const wasUnheard = error instanceof FanwayError && codeOf(error.cause) === 'EPIPE';
      if (!wasUnheard || again === 0) throw error;
    }
  }
}

function callOnce(
  run: RunDirectory,
  path: string,
  body: unknown,
  options: CallOptions,
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const text = body === undefined ? undefined : JSON.stringify(body);
    const call = request(
      {
        socketPath: run.socket,
        path,
        method: text === undefined ? 'GET' : 'POST',
        headers: {
          host: ADMIN_HOST,
          ...(options.anyNamespace === true
            ? {}
            : { [ADMIN_NAMESPACE]: NetworkNamespace.current().inode }),
          ...(text === undefined
            ? {}
            : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
        },
        timeout: ANSWER_TIMEOUT_MS,
        agent: false,
      },
      (response) => {
        const chunks: Buffer[] = [];
        let length = 0;
        response.on('data', (chunk: Buffer) => {
          length += chunk.length;
          if (length > ANSWER_BYTES_MAX) call.destroy(new Error('the answer is too large'));
          chunks.push(chunk);
        });
        response.on('end', () => {
          try {
            const answer = printableAll(JSON.parse(Buffer.concat(chunks).toString('utf8')));
            if (response.statusCode === 200) resolve(answer);
            else reject(errorOf(answer));
          } catch (error) {
            reject(error);
          }
        });
        response.on('error', reject);
      },
    );
    call.on('timeout', () => call.destroy(new Error('the router does not answer')));
    call.on('error', (error) => {
      const code = codeOf(error);
      if (code === 'ENOENT' || code === 'ECONNREFUSED') {
        reject(
          new FanwayError(
            'not-running',
            `no router runs here (${run.path}): fanway up starts one`,
            {
              exitCode: ExitCode.NotRunning,
            },
          ),
        );
      } else if (code === 'EACCES' || code === 'EPERM') {
        reject(
          new FanwayError('not-permitted', `${run.socket} is not yours to open: run as root`, {
            exitCode: ExitCode.NotPermitted,
          }),
        );
      } else if (code === 'EPIPE' || code === 'ECONNRESET') {
        const message = `the router at ${run.socket} hung up: too many ask it at once, it may open no more files, or it was killed and starts anew; see whether it is done (fanway status), try again, and see ${run.log}`;
        reject(new FanwayError('router-silent', message, { cause: error }));
      } else {
        reject(
          new FanwayError(
            'router-silent',
            `the router at ${run.socket} failed: ${error.message}; try again, and see ${run.log}`,
            {
              cause: error,
            },
          ),
        );
      }
    });
    call.end(text);
  });
}

/**
 * One call by its contract.
 * @throws FanwayError as {@link callRouter} does; `router-answer` when what comes back is something else.
 */
export async function ask<Request, Answer>(
  run: RunDirectory,
  call: Call<Request, Answer>,
  ...[body]: undefined extends Request ? [] : [Request]
): Promise<Answer> {
  const answer = await callRouter(run, call.path, body);
  try {
    return call.answer(answer, '');
  } catch (error) {
    if (!(error instanceof ShapeError)) throw error;
    throw new FanwayError(
      'router-answer',
      `the router's answer at ${call.path} is not what this fanway knows: ${error.message}; if it is of another version, restart it`,
      { cause: error },
    );
  }
}

/** A router may be another program, and what it tells comes from other hosts: no text does anything. */
function printableAll(value: unknown): unknown {
  if (typeof value === 'string') return printable(value);
  if (Array.isArray(value)) return value.map(printableAll);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, one]) => [printable(key), printableAll(one)]),
  );
}

function errorOf(answer: unknown): FanwayError {
  const error = (answer as { error?: { code?: unknown; message?: unknown; exitCode?: unknown } })
    .error;
  const exitCode = Object.values(ExitCode).find((code) => code === error?.exitCode);
  return new FanwayError(
    String(error?.code ?? 'router-error'),
    String(error?.message ?? 'the router refused without a reason'),
    { exitCode: exitCode ?? ExitCode.Failed },
  );
}
