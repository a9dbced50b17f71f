import t from 'tap';
import { RECONNECTS_PER_SECOND_MAX } from '../../src/gossip/base/limits.ts';
import { Reconnect } from '../../src/gossip/members/reconnect.ts';

const middle = (): number => 0.5;

t.test('tries at 1, 2, 4, 8, 8, 8 ... seconds and never gives up', async (t) => {
  const reconnect = new Reconnect(middle);
  reconnect.add('a', 0);
  const times: number[] = [];
  for (let now = 0; now <= 40_000; now += 100) {
    for (const target of reconnect.due(now)) {
      t.equal(target, 'a');
      times.push(now);
    }
  }
  t.same(times, [1000, 2000, 4000, 8000, 16_000, 24_000, 32_000, 40_000]);
  let tries = 0;
  for (let now = 40_100; now <= 7_240_100; now += 100) tries += reconnect.due(now).length;
  t.equal(tries, 900, 'two hours later still every 8 s');
});

t.test('all targets together keep to the budget, and each gets its turn', async (t) => {
  const reconnect = new Reconnect(middle);
  for (let i = 0; i < 200; i++) reconnect.add(`n${i}`, 0);
  const seen = new Set<string>();
  for (let second = 0; second < 40; second++) {
    let tries = 0;
    for (let now = second * 1000; now < (second + 1) * 1000; now += 100) {
      for (const target of reconnect.due(now)) {
        seen.add(target);
        tries++;
      }
    }
    t.ok(tries <= 2 * RECONNECTS_PER_SECOND_MAX, `${tries} tries in second ${second}`);
  }
  t.equal(seen.size, 200);
});

t.test('when one comes back the others are tried soon', async (t) => {
  const reconnect = new Reconnect(middle);
  for (const name of ['a', 'b', 'c']) reconnect.add(name, 0);
  for (let now = 0; now <= 8500; now += 100) reconnect.due(now);
  reconnect.remove('a');
  t.notOk(reconnect.has('a'));
  reconnect.heal(8500);
  t.same(reconnect.due(9500), ['b', 'c']);
  t.same(reconnect.due(10_500), ['b', 'c'], 'and the back-off begins anew');
});

t.test('what is tried already is not put off by being added again', async (t) => {
  const reconnect = new Reconnect(middle);
  reconnect.add('a', 0, true);
  t.same(reconnect.due(0), ['a']);
  reconnect.add('a', 500);
  t.same(reconnect.due(1000), ['a']);
});
