import t from 'tap';
import { missingOf, type Seen } from '../../src/cli/inspect/wait.ts';
import { Lab } from '../../src/demo/lab.ts';
import { fanway } from '../control/lab-router.ts';
import { skipWithoutTun } from '../netns/privileges.ts';

// Real processes on a busy machine.
t.setTimeout(1_200_000);

const skip = skipWithoutTun();

t.test(
  'wait returns when links and members are there, and says what is not',
  { skip },
  async (t) => {
    const lab = await Lab.create({ hosts: 2 });
    t.teardown(() => lab.close());
    const [a, b] = [lab.host(0), lab.host(1)];
    t.match(await fanway(a, 'wait', '--timeout', '1'), {
      code: 5,
      err: /not up after 1 s\nfanway: no router runs here/,
    });
    // Begun before there is anything to wait for.
    const early = fanway(a, 'wait', 'fan-250-0-28', '--timeout', '120', '--json');
    t.equal((await fanway(a, 'up', '250', 'eth0')).code, 0);
    const { code, out } = await early;
    t.equal(code, 0);
    t.match(JSON.parse(out), { up: true });
    t.match(await fanway(a, 'wait', 'fan-9-9-9', '--timeout', '1'), {
      code: 1,
      err: /fan-9-9-9 is not there/,
    });
    t.match(await fanway(a, 'wait', '--members', '1', '--timeout', '1'), {
      code: 1,
      err: /gossip does not run here: fanway join/,
    });
    t.equal((await fanway(a, 'join', '--insecure-plaintext')).code, 0);
    t.match(await fanway(a, 'wait', '--members', '1', '--timeout', '1'), {
      code: 1,
      err: /0 of 1 member alive/,
    });
    const member = fanway(a, 'wait', '--members', '1', '--timeout', '120');
    t.equal((await fanway(b, 'join', '172.30.0.28', '--insecure-plaintext')).code, 0);
    t.match(await member, { code: 0, err: '' });
    for (const words of [
      ['--members', '0'],
      ['--timeout', 'x'],
      ['--tiemout', '3'],
    ]) {
      t.equal((await fanway(a, 'wait', ...words)).code, 2, words.join(' '));
    }
  },
);

t.test('missingOf() takes a degraded link for one that is up', async (t) => {
  const link = { name: 'fan-1', state: 'degraded', reason: 'drops' } as const;
  const status: Seen = { links: [link], gossip: null, bgp: null };
  const stopped: Seen = {
    ...status,
    links: [{ ...link, state: 'stopped', reason: 'no address' }],
  };
  t.same(missingOf(status, { bridges: [], members: 0 }), []);
  t.same(missingOf(stopped, { bridges: ['fan-1'], members: 0 }), ['fan-1 is stopped: no address']);
  t.same(missingOf({ ...status, links: [] }, { bridges: [], members: 0 }), ['no link is there']);
});
