/**
 * The listener's end of a router's events.
 * @module
 */
import { request } from 'node:http';
import { EVENTS_PATH, type RouterEvent, readEvent } from '../../api/events.ts';
import { FanwayError, messageOf } from '../../errors.ts';
import type { RunDirectory } from '../store/run-directory.ts';
import { ADMIN_HOST } from './admin.ts';

/** A line that is longer is none of ours. */
const LINE_CHARACTERS_MAX = 64 * 1024;

export type Follower = {
  event(event: RouterEvent): void;
  /** The router ended, cut us off, refused, or sent what is no event; nothing comes after it. */
  end(error: FanwayError): void;
};

/** Listens until `end` is called, or the result is. */
export function followRouter(run: RunDirectory, follower: Follower): () => void {
  let isOver = false;
  const end = (message: string): void => {
    if (isOver) return;
    isOver = true;
    call.destroy();
    follower.end(new FanwayError('events', message));
  };
  const call = request(
    { socketPath: run.socket, path: EVENTS_PATH, headers: { host: ADMIN_HOST }, agent: false },
    (response) => {
      if (response.statusCode !== 200) return end('the router refused to tell its events');
      let rest = '';
      response.setEncoding('utf8');
      response.on('data', (text: string) => {
        const lines = (rest + text).split('\n');
        rest = lines.pop() ?? '';
        if (rest.length > LINE_CHARACTERS_MAX) return end('the router sent a line without end');
        for (const line of lines) {
          if (line === '' || isOver) continue;
          try {
            follower.event(readEvent(JSON.parse(line)));
          } catch (error) {
            return end(`the router sent what is no event: ${messageOf(error)}`);
          }
        }
      });
      response.on('error', (error) => end(messageOf(error)));
      response.on('close', () => end('the router has ended'));
    },
  );
  call.on('error', (error) => end(messageOf(error)));
  call.end();
  return () => {
    isOver = true;
    call.destroy();
  };
}
