import t from 'tap';
import { LAYOUT_BYTES, Layout } from '../../src/shm/layout.ts';

t.test('a turn begins when the predecessor has stopped, or has ended without a word', async (t) => {
  const { turn } = new Layout(new ArrayBuffer(LAYOUT_BYTES));
  t.notOk(turn.has(1), 'nobody has been called');
  turn.pass(1, 0);
  t.ok(turn.has(1), 'the first has no predecessor');
  turn.pass(2, 1);
  t.notOk(turn.has(1), 'its turn is over');
  t.notOk(turn.has(2), 'but it may still write');
  turn.stopped(1);
  t.ok(turn.has(2));
  turn.pass(3, 2);
  t.notOk(turn.has(3), 'the word of another does not count');
  turn.pass(3, 0);
  t.ok(turn.has(3), 'control says that it is gone');
});
