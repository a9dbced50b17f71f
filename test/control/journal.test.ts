import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { FanRequest } from '../../src/config/request.ts';
import { makeAll, newJournal, repair, undoAll } from '../../src/control/change/execute.ts';
import { type Journal, JournalStore, parseJournal } from '../../src/control/change/journal.ts';
import type { Context } from '../../src/control/change/kinds/kind.ts';
import { readSnapshot } from '../../src/control/host/read-snapshot.ts';
import { isFanRecord } from '../../src/control/host/snapshot.ts';
import { planFan } from '../../src/control/links/plan.ts';
import { recover } from '../../src/control/links/recover.ts';
import { RunDirectory, writeAtomically } from '../../src/control/store/run-directory.ts';
import { silentLog } from '../../src/log.ts';
import { FakeHost, Killed } from './fake-host.ts';
import { link, plainHost, request } from './snapshots.ts';

function makeRun(): RunDirectory {
  // Hundreds of runs that are cut: what counts is the order of steps, and not the disk's time.
  const ground = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
  const folder = mkdtempSync(join(ground, 'fanway-journal-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const run = new RunDirectory(folder);
  run.create();
  return run;
}

function contextOf(host: FakeHost, others: Journal[] = []): Context {
  return { host, tunnels: host, log: silentLog, others: () => others };
}

/** A store that is as dead as its process. */
function storeOf(run: RunDirectory, host: FakeHost): JournalStore {
  const store = new JournalStore(run);
  return new Proxy(store, {
    get(target, key: keyof JournalStore) {
      const method = target[key].bind(target) as (...args: unknown[]) => unknown;
      return (...args: unknown[]) => {
        if (host.dead) throw new Killed('killed');
        return method(...args);
      };
    },
  });
}

/** Brings a fan up on the fake host; a kill on the way shows as host.dead. */
async function bringUp(host: FakeHost, run: RunDirectory, wanted: FanRequest): Promise<Journal> {
  const plan = planFan(wanted, await readSnapshot(host, []));
  if (plan.outcome !== 'changes') throw new Error(JSON.stringify(plan));
  const journal = newJournal({ request: wanted, spec: plan.spec }, plan.changes);
  await makeAll(journal, storeOf(run, host), contextOf(host)).catch((error: unknown) => {
    if (!host.dead) throw error;
  });
  return journal;
}

const FANS: [name: string, request: FanRequest][] = [
  ['vxlan', request('250', 'eth0', { dhcp: true, hostReserve: 2 })],
  ['ipip', request('250', 'eth0', { encap: 'ipip', dhcp: true })],
];

t.test('up then down leaves the host as it was', async (t) => {
  for (const [name, wanted] of FANS) {
    const host = new FakeHost();
    const before = host.picture();
    const run = makeRun();
    const journal = await bringUp(host, run, wanted);
    t.notSame(host.picture(), before, `${name}: something was made`);
    await undoAll(journal, new JournalStore(run), contextOf(host));
    t.same(host.picture(), before, name);
    t.same(readdirSync(run.journals), [], `${name}: no journal left`);
  }
});

t.test('killed at any step, the next command takes everything back', async (t) => {
  for (const [name, wanted] of FANS) {
    const whole = new FakeHost();
    await bringUp(whole, makeRun(), wanted);
    t.ok(whole.steps > 12, `${name}: ${whole.steps} steps`);
    for (let step = 1; step <= whole.steps; step++) {
      for (const when of ['before', 'after'] as const) {
        const host = new FakeHost();
        const before = host.picture();
        const run = makeRun();
        host.killAt(step, when);
        await bringUp(host, run, wanted);
        host.revive();
        await recover(run, host, silentLog);
        t.same(host.picture(), before, `${name}: killed ${when} step ${step}`);
        t.same(readdirSync(run.journals), []);
      }
    }
  }
});

t.test('killed at any step of the taking back, the next command finishes it', async (t) => {
  for (const [name, wanted] of FANS) {
    for (let step = 1; step <= 12; step++) {
      const host = new FakeHost();
      const before = host.picture();
      const run = makeRun();
      const journal = await bringUp(host, run, wanted);
      host.killAt(host.steps + step, 'after');
      await undoAll(journal, storeOf(run, host), contextOf(host)).catch(() => undefined);
      host.revive();
      await recover(run, host, silentLog);
      t.same(host.picture(), before, `${name}: killed at step ${step}`);
    }
  }
});

t.test('killed at any step, a restart can also finish the work', async (t) => {
  const [, wanted] = FANS[0] ?? [];
  if (wanted === undefined) return;
  const whole = new FakeHost();
  await bringUp(whole, makeRun(), wanted);
  const shape = (host: FakeHost): string =>
    JSON.stringify(
      host.state.links.map(({ index: _index, master, ...rest }) => ({ ...rest, port: master > 0 })),
    );
  for (let step = 1; step <= whole.steps; step++) {
    const host = new FakeHost();
    const run = makeRun();
    host.killAt(step, 'after');
    await bringUp(host, run, wanted);
    host.revive();
    const store = new JournalStore(run);
    const [found] = store.readAll();
    if (found?.journal === undefined) {
      t.fail(`step ${step}: no journal`);
      continue;
    }
    await repair(found.journal, store, contextOf(host), { adopt: true });
    t.equal(shape(host), shape(whole), `step ${step}: every device once`);
    t.equal(host.state.addresses.length, whole.state.addresses.length);
    t.equal(host.dhcpServers.size, 1);
  }
});

t.test('what somebody else made is not touched', async (t) => {
  const host = new FakeHost(plainHost({ links: [...plainHost().links, link(9, 'br0')] }));
  const run = makeRun();
  const journal = await bringUp(host, run, request('250', 'eth0'));
  // Somebody replaced our bridge by their own of the same name, and turned forwarding their way.
  const bridge = host.state.links.find(({ name }) => name === journal.spec.name);
  if (bridge === undefined) throw new Error('no bridge');
  Object.assign(bridge, { index: 77, alias: 'theirs' });
  host.state.sysctls['net/ipv4/ip_forward'] = '2';
  await recover(run, host, silentLog);
  t.ok(
    host.state.links.some(({ index }) => index === 77),
    'their bridge',
  );
  t.ok(host.state.links.some(({ name }) => name === 'br0'));
  t.notOk(
    host.state.links.some(({ kind }) => kind === 'tun'),
    'our device is gone',
  );
  t.equal(host.state.sysctls['net/ipv4/ip_forward'], '2');
  t.equal(host.state.sysctls['net/ipv4/conf/all/send_redirects'], '0', 'br0 may rely on it');
});

t.test('a setting that two fans need is restored with the second', async (t) => {
  for (const order of [0, 1]) {
    const host = new FakeHost();
    const store = new JournalStore(makeRun());
    const journals: Journal[] = [];
    for (const overlay of ['250', '251']) {
      const fans = journals.flatMap(({ request, spec }) => {
        const record = { request, spec };
        return isFanRecord(record) ? [record] : [];
      });
      const wanted = request(overlay, 'eth0');
      const plan = planFan(wanted, await readSnapshot(host, fans));
      if (plan.outcome !== 'changes') throw new Error(JSON.stringify(plan));
      const journal = newJournal({ request: wanted, spec: plan.spec }, plan.changes);
      await makeAll(journal, store, contextOf(host, journals));
      journals.push(journal);
    }
    const [first, second] = order === 0 ? journals : [...journals].reverse();
    if (first === undefined || second === undefined) throw new Error('two fans');
    await undoAll(first, store, contextOf(host, [second]));
    t.equal(host.state.sysctls['net/ipv4/ip_forward'], '1', 'still needed');
    await undoAll(second, store, contextOf(host, []));
    t.equal(host.state.sysctls['net/ipv4/ip_forward'], '0', 'as it was before the first');
    t.equal(host.state.sysctls['net/ipv4/conf/all/send_redirects'], '1');
  }
});

t.test('a journal cut at any byte is no obstacle', async (t) => {
  const wanted = request('250', 'eth0', { encap: 'ipip' });
  const template = new FakeHost();
  const run = makeRun();
  const journal = await bringUp(template, run, wanted);
  const up = structuredClone(template.state);
  const name = journal.spec.name;
  const whole = readFileSync(join(run.journals, `${name}.json`));
  t.equal(parseJournal(whole.toString())?.spec.name, name);
  const before = new FakeHost().picture();
  for (let length = 0; length < whole.length; length++) {
    // The main copy cut: the other one restores everything.
    writeFileSync(join(run.journals, `${name}.json`), whole.subarray(0, length));
    writeFileSync(join(run.journals, `${name}.copy`), whole);
    const host = new FakeHost(up);
    host.tables = structuredClone(template.tables);
    await recover(run, host, silentLog);
    // One assertion a byte would be thousands: only what is wrong is reported.
    if (JSON.stringify(host.picture()) !== JSON.stringify(before)) t.fail(`cut at ${length}`);
  }
  for (let length = 0; length < whole.length - 1; length += 7) {
    // Both cut: the marks on the devices lead to them, and the journal is kept aside.
    for (const suffix of ['json', 'copy']) {
      writeFileSync(join(run.journals, `${name}.${suffix}`), whole.subarray(0, length));
    }
    const host = new FakeHost(up);
    await recover(run, host, silentLog);
    if (host.state.links.length !== 2) t.fail(`both cut at ${length}: a device is left`);
    if (!readdirSync(run.journals).includes(`${name}.damaged`)) t.fail('not set aside');
    rmSync(join(run.journals, `${name}.damaged`));
  }
  t.pass(`${whole.length} lengths`);
});

t.test('writeAtomically() never shows half a file and survives a leftover', async (t) => {
  const run = makeRun();
  const path = join(run.path, 'x');
  writeFileSync(`${path}.new`, 'left by a crash');
  writeAtomically(path, 'one');
  writeAtomically(path, 'two');
  t.equal(readFileSync(path, 'utf8'), 'two');
  t.same(readdirSync(run.path).sort(), ['journal', 'x']);
});

t.test('a lock is held by one at a time, also across descriptors', async (t) => {
  const run = makeRun();
  const first = run.lock('lock', { wait: false });
  t.ok(first);
  t.equal(run.lock('lock', { wait: false }), undefined);
  first?.release();
  first?.release();
  const second = run.lock('lock', { wait: false });
  t.ok(second);
  second?.release();
});
