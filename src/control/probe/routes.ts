/**
 * Measuring paths on the admin socket.
 * @module
 */

import { EVENTS_TYPE } from '../../api/events.ts';
import { ShapeError } from '../../api/reader.ts';
import { farCountersCall, TEST_PATH, type TestLine, testRequest } from '../../api/test.ts';
import { messageOf, refusedError, usageError } from '../../errors.ts';
import type { Log } from '../../log.ts';
import { type LineSink, type Route, StreamAnswer } from '../admin/admin.ts';
import { answerTo } from '../admin/answer-to.ts';
import type { PathTest } from './path-test.ts';

/** Tests of this router's commands at one time: each keeps every member busy. */
const TESTS_MAX = 1;

export function probeRoutes(test: PathTest, log: Log): Route[] {
  let running = 0;
  const run = async (only: string[], sink: LineSink, isOver: () => boolean): Promise<void> => {
    const tell = (line: TestLine): void => sink.line(JSON.stringify(line));
    // The answer's head goes out first.
    await Promise.resolve();
    const { names, reports } = test.start(only);
    tell({ kind: 'hosts', names });
    for await (const report of reports) {
      if (isOver()) return;
      tell({ kind: 'report', report });
    }
    sink.end();
  };
  return [
    answerTo(farCountersCall, async ({ member, overlay }) => {
      try {
        return await test.countersOf(member, overlay);
      } catch (error) {
        throw refusedError('no-answer', `${member} does not tell: ${messageOf(error)}`);
      }
    }),
    {
      method: 'POST',
      path: TEST_PATH,
      handle: async (body) => {
        const { only } = readRequest(body);
        if (running >= TESTS_MAX) throw refusedError('busy', 'another test runs here: wait for it');
        // Whoever is meant has to be there: refused before the answer begins.
        test.check(only);
        return new StreamAnswer(EVENTS_TYPE, (sink) => {
          running++;
          let isOver = false;
          run(only, sink, () => isOver)
            .catch((error: unknown) => {
              log.error('test', messageOf(error));
              sink.end();
            })
            .finally(() => running--);
          return () => {
            isOver = true;
          };
        });
      },
    },
  ];
}

function readRequest(body: unknown): { only: string[] } {
  try {
    return testRequest(body, '');
  } catch (error) {
    if (error instanceof ShapeError) throw usageError('bad-request', error.message);
    throw error;
  }
}
