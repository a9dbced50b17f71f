/**
 * When a flood is over: not while it goes on, however well it is kept up with, and soon where a handful comes.
 */
import t from 'tap';
import { CALM_MS, Lasting } from '../../src/dataplane/pace/lasting.ts';

/** Behind for 40 ms with so many packets a ms, then up to date for a second with so many; ms that it lasts. */
function lastsFor(behindWith: number, thenWith: number): number {
  const lasting = new Lasting();
  let ms = 1000;
  for (const until = ms + 40; ms < until; ms++) lasting.note(ms, true, behindWith);
  const calm = ms;
  while (ms < calm + 1000 && lasting.note(ms, false, thenWith)) ms++;
  return ms - calm;
}

t.test('a flood that is kept up with goes on', async (t) => {
  t.equal(lastsFor(150, 100), 1000);
  t.ok(lastsFor(150, 40) <= CALM_MS + 20, 'until less than half as many come');
});

t.test('a handful is no flood, also where as many go on coming', async (t) => {
  t.ok(lastsFor(1, 1) <= CALM_MS + 20);
  t.ok(lastsFor(1, 9) <= CALM_MS + 20);
  t.equal(lastsFor(12, 12), 1000);
});
