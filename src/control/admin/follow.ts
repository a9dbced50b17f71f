/**
 * The reader's end of what a router tells line by line: its events, and answers that take their time.
 * @module
 */
import { request } from 'node:http';
import { EVENTS_PATH, type RouterEvent, readEvent } from '../../api/events.ts';
import { FanwayError, messageOf } from '../../errors.ts';
import { printable } from '../../log.ts';
import type { RunDirectory } from '../store/run-directory.ts';
import { ADMIN_HOST } from './admin.ts';

/** A line that is longer is none of ours. */
const LINE_CHARACTERS_MAX = 1024 * 1024;

export type LineFollower = {
  /** One line's value. What it throws ends the stream. */
  value(value: unknown): void;
  /** Nothing comes after it; `error` says why, unless the router said all that there was. */
  end(error: FanwayError | undefined): void;
};

/**
 * Reads lines until `end` is called, or the result is.
 * @param body undefined = GET
 */
export function followLines(
  run: RunDirectory,
  path: string,
  body: unknown,
  follower: LineFollower,
): () => void {
  let isOver = false;
  const end = (message: string | undefined): void => {
    if (isOver) return;
    isOver = true;
    call.destroy();
    follower.end(message === undefined ? undefined : new FanwayError('events', message));
  };
  const text = body === undefined ? undefined : JSON.stringify(body);
  const json = { 'content-type': 'application/json' };
  const call = request(
    {
      ...{ socketPath: run.socket, path, agent: false },
      method: text === undefined ? 'GET' : 'POST',
      headers: { host: ADMIN_HOST, ...(text === undefined ? {} : json) },
    },
    (response) => {
      let rest = '';
      let whole = '';
      const isRefused = response.statusCode !== 200;
      response.setEncoding('utf8');
      response.on('data', (part: string) => {
        if (isRefused) {
          whole = (whole + part).slice(0, LINE_CHARACTERS_MAX);
          return;
        }
        const lines = (rest + part).split('\n');
        rest = lines.pop() ?? '';
        if (rest.length > LINE_CHARACTERS_MAX) return end('the router sent a line without end');
        for (const line of lines) {
          if (line === '' || isOver) continue;
          try {
            follower.value(JSON.parse(line));
          } catch (error) {
            return end(`the router sent what this fanway does not know: ${messageOf(error)}`);
          }
        }
      });
      response.on('end', () => end(isRefused ? refusalOf(whole) : undefined));
      response.on('error', (error) => end(messageOf(error)));
      response.on('close', () => end('the router has ended'));
    },
  );
  call.on('error', (error) => end(messageOf(error)));
  call.end(text);
  return () => {
    isOver = true;
    call.destroy();
  };
}

/** The router's own sentence, as far as there is one. */
function refusalOf(answer: string): string {
  try {
    const { error } = JSON.parse(answer) as { error?: { message?: unknown } };
    if (typeof error?.message === 'string') return printable(error.message);
  } catch {
    // No JSON: no sentence.
  }
  return 'the router refused';
}

export type Follower = {
  event(event: RouterEvent): void;
  /** The router ended, cut us off, refused, or sent what is no event; nothing comes after it. */
  end(error: FanwayError): void;
};

/** Listens to what happens until `end` is called, or the result is. */
export function followRouter(run: RunDirectory, follower: Follower): () => void {
  return followLines(run, EVENTS_PATH, undefined, {
    value: (value) => follower.event(readEvent(value)),
    end: (error) => follower.end(error ?? new FanwayError('events', 'the router has ended')),
  });
}
