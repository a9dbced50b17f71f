import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { makeAll, newJournal } from '../../src/control/change/execute.ts';
import { JournalStore, parseJournal } from '../../src/control/change/journal.ts';
import { readSnapshot } from '../../src/control/host/read-snapshot.ts';
import { planFan } from '../../src/control/links/plan.ts';
import { recover } from '../../src/control/links/recover.ts';
import { Router } from '../../src/control/links/router.ts';
import { RunDirectory } from '../../src/control/store/run-directory.ts';
import { createLog, silentLog } from '../../src/log.ts';
import { FakeHost } from './fake-host.ts';
import { request } from './snapshots.ts';

const NAME = 'fan-250-0-28';
const wanted = request('250', 'eth0');

/** A host with a fan whose router was killed. */
async function killedRouter(): Promise<{ run: RunDirectory; host: FakeHost; before: unknown }> {
  // Many runs that wait for the disk at each step: in memory where that can be.
  const ground = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
  const folder = mkdtempSync(join(ground, 'fanway-journal-kinds-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const run = new RunDirectory(folder);
  run.create();
  const host = new FakeHost();
  const before = host.picture();
  const plan = planFan(wanted, await readSnapshot(host, []));
  if (plan.outcome !== 'changes') throw new Error(JSON.stringify(plan));
  const journal = newJournal({ request: wanted, spec: plan.spec }, plan.changes);
  const context = { host, tunnels: host, log: silentLog, others: () => [] };
  await makeAll(journal, new JournalStore(run), context);
  return { run, host, before };
}

function entryOf(text: string, change: (entry: Record<string, unknown>) => void): string {
  const journal = JSON.parse(text) as { entries: Record<string, unknown>[] };
  for (const entry of journal.entries) change(entry);
  return JSON.stringify(journal);
}

/** What may stand where a journal should; each says what its sentence must say. */
const KINDS: [what: string, put: (path: string, text: string) => void, said: RegExp][] = [
  ['a folder', (path) => mkdirSync(path), /is a folder/],
  [
    'a folder with something in it',
    (path) => {
      mkdirSync(path);
      writeFileSync(join(path, 'x'), '');
    },
    /is a folder/,
  ],
  ['a FIFO', (path) => void spawnSync('mkfifo', [path]), /is no plain file/],
  ['a huge file', (path, text) => writeFileSync(path, text + ' '.repeat(5 << 20)), /bytes/],
  ['an empty file', (path) => writeFileSync(path, ''), /cut, damaged/],
  [
    'an entry of an unknown kind',
    (path, text) =>
      writeFileSync(
        path,
        entryOf(text, (entry) => Object.assign(entry, { change: { kind: 'x' } })),
      ),
    /damaged/,
  ],
  [
    'an entry without its memo',
    (path, text) =>
      writeFileSync(
        path,
        entryOf(text, (entry) => delete entry['memo']),
      ),
    /damaged/,
  ],
  [
    'a tunnel without its spec',
    (path, text) =>
      writeFileSync(
        path,
        entryOf(text, (entry) => {
          const change = entry['change'] as { kind: string; spec?: unknown };
          if (change.kind === 'tunnel') change.spec = { name: NAME };
        }),
      ),
    /damaged/,
  ],
];

t.test('whatever stands in place of a journal: set aside, and everything taken back', async (t) => {
  for (const [what, put, said] of KINDS) {
    const { run, host, before } = await killedRouter();
    const text = readFileSync(join(run.journals, `${NAME}.json`), 'utf8');
    for (const suffix of ['json', 'copy']) {
      const path = join(run.journals, `${NAME}.${suffix}`);
      rmSync(path);
      put(path, text);
    }
    const lines: string[] = [];
    await recover(run, host, createLog({ write: (line) => void lines.push(line) }));
    t.match(lines.join(''), said, what);
    t.match(lines.join(''), /set aside, its devices removed/);
    t.same(readdirSync(run.journals), [`${NAME}.damaged`], what);
    // What the marks do not lead to: two settings of the host, which stay.
    host.state.sysctls = { ...(before as { sysctls: Record<string, string> }).sysctls };
    t.same(host.picture(), before, what);
  }
});

t.test('one copy is something else: the other does, also for writing', async (t) => {
  for (const [what, put] of KINDS) {
    const { run, host, before } = await killedRouter();
    const path = join(run.journals, `${NAME}.json`);
    const text = readFileSync(path, 'utf8');
    rmSync(path);
    put(path, text);
    const store = new JournalStore(run);
    const [found] = store.readAll();
    if (found?.journal === undefined) throw new Error(`${what}: ${found?.problem}`);
    store.write(found.journal);
    t.same(parseJournal(readFileSync(path, 'utf8')), found.journal, what);
    await recover(run, host, silentLog);
    t.same(host.picture(), before, what);
  }
});

t.test('a router that starts goes on without it, and brings the fan up again', async (t) => {
  for (const [what, put] of KINDS) {
    const { run, host } = await killedRouter();
    const text = readFileSync(join(run.journals, `${NAME}.json`), 'utf8');
    for (const suffix of ['json', 'copy']) {
      rmSync(join(run.journals, `${NAME}.${suffix}`));
      put(join(run.journals, `${NAME}.${suffix}`), text);
    }
    const router = new Router({ run, host, tunnels: host, log: silentLog });
    await router.adopt();
    await router.want(wanted);
    t.same(
      router.links.map(({ state, reason }) => [state, reason]),
      [['up', '']],
      what,
    );
    await router.stop();
  }
});

t.test('something else in place of the folder of journals', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'fanway-journal-kinds-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, 'journal'), 'a file');
  const run = new RunDirectory(folder);
  run.create();
  t.same(readdirSync(folder).sort(), ['journal', 'journal.damaged']);
  t.same(new JournalStore(run).readAll(), []);
});
