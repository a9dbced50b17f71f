import t from 'tap';
import { explainCall, tableCall } from '../../src/api/entries.ts';
import { membersCall } from '../../src/api/members.ts';
import {
  count,
  fields,
  list,
  nullable,
  record,
  ShapeError,
  text,
  word,
} from '../../src/api/reader.ts';

t.test('a reader names the place of what is wrong', async (t) => {
  const reader = fields<{ name: string; rows: { n: number }[] }>({
    name: text,
    rows: list(fields<{ n: number }>({ n: count })),
  });
  const good = { name: 'a', rows: [{ n: 1, later: 'kept' }] };
  t.same(reader(good, ''), good, 'what a later build adds is kept');
  for (const [value, message] of [
    [undefined, 'it is not an object'],
    [[], 'it is not an object'],
    [{ rows: [] }, 'name is not text'],
    [{ name: 'a', rows: 1 }, 'rows is not a list'],
    [{ name: 'a', rows: [{ n: 1 }, { n: -1 }] }, 'rows[1].n is not a whole number from 0 up'],
  ] as const) {
    t.throws(() => reader(value, ''), { message, name: 'ShapeError' });
  }
  t.equal(nullable(text)(null, 'x'), null);
  t.same(record(count)({ a: 1 }, ''), { a: 1 });
  t.throws(
    () => record(count)({ a: '1' }, 'of'),
    new ShapeError('of.a is not a whole number from 0 up'),
  );
  t.throws(
    () => word('up', 'down')('left', 'state'),
    new ShapeError('state is not one of up, down'),
  );
  t.throws(
    () => list(text, 1)(['a', 'b'], 'all'),
    new ShapeError('all is not a list of at most 1'),
  );
});

t.test('contracts read their own answers and refuse others', async (t) => {
  const answer = {
    prefix: '250.0.1.7/32',
    host: '10.0.0.2',
    source: 'gossip',
    owner: 'a',
    name: 'b',
  };
  t.same(explainCall.answer(answer, ''), answer);
  t.equal(explainCall.answer(null, ''), null);
  t.throws(() => explainCall.answer({ ...answer, source: 'rumour' }, ''), ShapeError);
  t.throws(() => explainCall.request({ link: 'fan', address: '1' }, ''), ShapeError);
  const entry = {
    kind: 'prefix',
    vni: 0,
    prefix: '250.0.1.7/32',
    owner: 'a',
    name: 'b',
    rank: 1,
    self: true,
  };
  t.same(tableCall.answer({ entries: [entry], next: null }, ''), { entries: [entry], next: null });
  t.throws(() => tableCall.request({ kind: 'word', vni: null, from: 0 }, ''), ShapeError);
  t.throws(() => membersCall.answer([{ id: 'a' }], ''), { message: '[0].name is not text' });
});
