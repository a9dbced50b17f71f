import t from 'tap';
import { pauseAfter } from '../../src/control/supervise.ts';

t.test('pauseAfter() waits as the supervising shell does', async (t) => {
  const table: [code: number, livedS: number, delayS: number, pause: number | undefined][] = [
    [0, 100, 0, undefined],
    [2, 1, 7, undefined],
    [1, 1, 0, 0],
    [1, 1, 31, 31],
    [1, 5, 31, 0],
    [137, 1, 31, 1],
    [137, 1, 0, 0],
  ];
  for (const [code, livedS, delayS, pause] of table) {
    t.equal(pauseAfter(code, livedS, delayS), pause, `exit ${code} after ${livedS} s`);
  }
});
