import t from 'tap';
import type { MemberChange } from '../../src/gossip/base/api.ts';
import { MEMBERS_MAX } from '../../src/gossip/base/limits.ts';
import { isActive, Members } from '../../src/gossip/members/members.ts';
import type { Version } from '../../src/wire/gossip/types.ts';

const SELF = '00'.repeat(16);
const [A, B, C, D] = ['aa', 'bb', 'cc', 'dd'].map((byte) => byte.repeat(16)) as [
  string,
  string,
  string,
  string,
];
const TIMES = { minMs: 1000, maxMs: 6000, confirmations: 2 };

const at = (sequence: number, epoch = 1): Version => ({ epoch, sequence });

function make() {
  const changes: string[] = [];
  const whys: string[] = [];
  const members = new Members({
    self: SELF,
    ownName: () => 'me',
    times: () => TIMES,
    changed: ({ name, from, to, why }: MemberChange) => {
      changes.push(`${name} ${from} ${to}`);
      whys.push(why);
    },
  });
  return { members, changes, whys };
}

/** A table with four members at version 1.5. */
function known() {
  const made = make();
  for (const id of [A, B, C, D]) made.members.head(id, at(5), false, 0, 0);
  made.changes.length = 0;
  made.whys.length = 0;
  return made;
}

t.test('a head makes a member, alive or left', async (t) => {
  const { members, changes } = make();
  members.head(A, at(1), false, 0, 0);
  members.head(B, at(9), true, 0, 0);
  t.same(changes, ['aaaaaaaa unknown alive', 'bbbbbbbb unknown left']);
  t.same(
    members.active().map(({ id }) => id),
    [A],
  );
  t.equal(members.count, 2, 'ourselves included');
});

t.test(
  'a suspect that shows a newer head is alive again, an equal accusation stays refuted',
  async (t) => {
    const { members, changes, whys } = known();
    t.equal(members.suspect(A, at(5), B, 0, 0), 'new');
    t.equal(members.suspect(A, at(5), B, 0, 0), 'known', 'the same accuser again');
    t.equal(members.suspect(A, at(5), C, 0, 0), 'confirmed');
    members.head(A, at(6), false, 10, 10);
    t.equal(members.suspect(A, at(5), D, 20, 20), 'stale');
    t.equal(members.dead(A, at(5), D, 20, 0), 'stale');
    t.same(changes, ['aaaaaaaa alive suspect', 'aaaaaaaa suspect alive']);
    t.match(whys[0], /bbbbbbbb got no answer/);
    t.match(whys[1], /refuted the accusation with 1\.6/);
    t.same(members.expired(Number.MAX_VALUE), []);
  },
);

t.test('who does not answer in time is dead, and comes back with a newer head', async (t) => {
  const { members, changes, whys } = known();
  members.suspect(A, at(5), SELF, 0, 100);
  members.suspect(A, at(5), B, 0, 150);
  members.suspect(A, at(5), C, 0, 200);
  t.same(members.expired(1099), []);
  const [expired] = members.expired(1100);
  t.equal(expired?.id, A);
  t.equal(members.dead(A, at(5), SELF, 1000, 0), 'new');
  t.equal(members.dead(A, at(5), B, 1000, 0), 'known');
  t.equal(members.suspect(A, at(5), D, 1000, 0), 'known', 'the dead are not accused');
  t.notOk(members.active().some(({ id }) => id === A));
  members.head(A, at(1, 2), false, 2000, 2000);
  t.same(changes.slice(1), ['aaaaaaaa suspect dead', 'aaaaaaaa dead alive']);
  t.match(whys[1], /accusation of me, bbbbbbbb, cccccccc in time/);
  t.match(whys[2], /started again \(epoch 2\)/);
});

t.test('an accusation that names a head which is not here waits for it', async (t) => {
  const { members, changes } = known();
  t.equal(members.dead(A, at(7), B, 0, 0), 'ahead');
  t.equal(members.get(A)?.state, 'alive');
  members.head(A, at(6), false, 10, 10);
  t.equal(members.get(A)?.state, 'alive', 'an older head than it names');
  members.head(A, at(7), false, 20, 20);
  t.equal(members.get(A)?.state, 'suspect', 'whom we know is not buried on a word');
  t.same(members.expired(19 + TIMES.minMs), []);
  t.equal(members.expired(20 + TIMES.minMs)[0]?.id, A, 'but has only the shortest time');
  members.head(A, at(8), false, 30, 30);
  t.equal(members.get(A)?.state, 'alive');
  t.same(changes, ['aaaaaaaa alive suspect', 'aaaaaaaa suspect alive']);
});

t.test('of a node that is not known, the accusation is judged when its head comes', async (t) => {
  const { members, changes } = make();
  t.equal(members.suspect(A, at(5), B, 0, 0), 'ahead');
  members.head(A, at(5), false, 10, 10);
  t.same(changes, ['aaaaaaaa unknown alive', 'aaaaaaaa alive suspect']);
  t.equal(members.suspect(B, at(5), C, 0, 0), 'ahead');
  members.head(B, at(6), false, 10, 10);
  t.equal(members.get(B)?.state, 'alive', 'its head refutes it already');
});

t.test('early accusations are bounded; the oldest give way', async (t) => {
  const { members } = make();
  const idOf = (i: number): string => i.toString(16).padStart(32, '0');
  for (let i = 1; i <= MEMBERS_MAX + 1; i++) members.dead(idOf(i), at(1), A, 0, 0);
  members.head(idOf(1), at(1), false, 0, 0);
  members.head(idOf(2), at(1), false, 0, 0);
  t.equal(members.get(idOf(1))?.state, 'alive');
  t.equal(members.get(idOf(2))?.state, 'dead');
});

t.test('nobody can be accused of what we are, nor of what has left', async (t) => {
  const { members } = known();
  t.equal(members.suspect(SELF, at(1), A, 0, 0), 'self');
  t.equal(members.dead(SELF, at(99), A, 0, 0), 'self');
  members.head(A, at(6), true, 0, 0);
  t.equal(members.dead(A, at(6), B, 0, 0), 'known');
  t.equal(members.get(A)?.state, 'left');
});

t.test('a second goodbye is no news, a later start is', async (t) => {
  const { members, changes } = known();
  members.head(A, at(6), true, 0, 0);
  members.head(A, at(7), true, 0, 0);
  members.head(A, at(1, 2), false, 0, 0);
  t.same(changes, ['aaaaaaaa alive left', 'aaaaaaaa left alive']);
});

t.test('nobody is dead for longer than since it was heard', async (t) => {
  const { members } = known();
  const member = members.get(A);
  if (member === undefined) throw new Error('no member');
  member.lastHeardMs = 40_000;
  members.dead(A, at(5), B, 50_000, 24 * 3600 * 1000);
  t.equal(member.sinceMs, 40_000);
  members.dead(B, at(5), C, 50_000, 30_000);
  t.equal(members.get(B)?.sinceMs, 20_000, 'of one that was never heard the age is believed');
});

t.test('who is gone has been gone since the first of all knew it', async (t) => {
  const { members } = known();
  const HOUR_MS = 3_600_000;
  members.head(A, at(6), true, 2 * HOUR_MS, 0);
  t.equal(members.dead(A, at(6), B, 2 * HOUR_MS, HOUR_MS), 'known');
  t.equal(members.get(A)?.sinceMs, HOUR_MS);
  t.equal(members.get(A)?.state, 'left');
  members.dead(C, at(5), B, 2 * HOUR_MS, 0);
  members.dead(C, at(5), D, 3 * HOUR_MS, 1.5 * HOUR_MS);
  t.equal(members.get(C)?.sinceMs, 1.5 * HOUR_MS);
  members.dead(C, at(5), D, 3 * HOUR_MS, 0);
  t.equal(members.get(C)?.sinceMs, 1.5 * HOUR_MS, 'later news make it no younger');
});

t.test('a forgotten member is told of by its name', async (t) => {
  const { members, changes } = known();
  members.dead(A, at(5), B, 0, 0);
  const member = members.get(A);
  if (member === undefined) throw new Error('no member');
  t.notOk(isActive(member));
  members.forget(member);
  t.equal(members.size, 3);
  t.equal(changes.at(-1), 'aaaaaaaa dead unknown');
});
