import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { gossipSettings } from '../../../src/config/gossip.ts';
import { KeyFile } from '../../../src/control/speakers/gossip/key-file.ts';
import { StateDirectory } from '../../../src/control/speakers/gossip/transport/state-directory.ts';
import { RecordStore } from '../../../src/control/store/gossip-record.ts';
import {
  createPrivateFile,
  PRIVATE_FILE_BYTES_MAX,
  readPrivateFile,
} from '../../../src/control/store/private-file.ts';
import { RunDirectory } from '../../../src/control/store/run-directory.ts';
import { formatKeyId, Keyring } from '../../../src/gossip/base/keyring.ts';
import { silentLog } from '../../../src/log.ts';

const folder = mkdtempSync(join(tmpdir(), 'fanway-state-'));
t.teardown(() => rmSync(folder, { recursive: true }));
let count = 0;
const fresh = (): string => join(folder, String(count++));

/** Keys that differ and are the same in every run. */
let seed = 0;
const bytes = (length: number): Uint8Array => new Uint8Array(length).fill(++seed);

t.test('readPrivateFile() reads what only its owner can read', async (t) => {
  const path = fresh();
  t.equal(readPrivateFile(path), undefined, 'not there');
  createPrivateFile(path, 'secret\n');
  t.equal(statSync(path).mode & 0o777, 0o600);
  t.equal(readPrivateFile(path), 'secret\n');
  for (const mode of [0o640, 0o604, 0o620, 0o601, 0o644, 0o666, 0o777]) {
    chmodSync(path, mode);
    t.throws(() => readPrivateFile(path), /others may have read it: chmod 600/, mode.toString(8));
  }
  chmodSync(path, 0o400);
  t.equal(readPrivateFile(path), 'secret\n', 'read-only is enough');
  const link = fresh();
  symlinkSync(path, link);
  t.throws(() => readPrivateFile(link), /symbolic link/);
  t.throws(() => readPrivateFile(folder), /not a regular file/);
  const large = fresh();
  createPrivateFile(large, 'x'.repeat(PRIVATE_FILE_BYTES_MAX + 1));
  t.throws(() => readPrivateFile(large), /larger than/);
});

t.test('createPrivateFile() never overwrites', async (t) => {
  const path = join(fresh(), 'deep', 'key');
  createPrivateFile(path, 'one');
  t.equal(statSync(join(path, '..')).mode & 0o777, 0o700, 'its directory is private');
  t.throws(() => createPrivateFile(path, 'two'), /is there already/);
  t.equal(readFileSync(path, 'utf8'), 'one');
});

t.test('an epoch is on disk before it is used, and goes up at each start', async (t) => {
  const path = fresh();
  for (const epoch of [1, 2, 3]) {
    const state = StateDirectory.open(path);
    t.equal(state.nextEpoch(), epoch);
    t.equal(readFileSync(join(path, 'epoch'), 'utf8'), `${epoch}\n`);
    t.equal(statSync(join(path, 'epoch')).mode & 0o777, 0o600);
    state.close();
  }
  const state = StateDirectory.open(path);
  state.persistEpoch(77);
  t.equal(state.nextEpoch(), 78, 'one that was raised holds');
  for (const bad of [0, -1, 1.5, 2 ** 32]) t.throws(() => state.persistEpoch(bad), RangeError);
  for (const damage of ['', '7', 'seven\n', '-3\n', '99999999999\n', '1\n2\n']) {
    writeFileSync(join(path, 'epoch'), damage);
    t.equal(state.nextEpoch(), 1, `${JSON.stringify(damage)}: begins anew`);
    t.equal(readFileSync(join(path, 'epoch.damaged'), 'utf8'), damage, 'and is kept to look at');
  }
  state.close();
});

t.test('a state directory belongs to one router, and to nobody else', async (t) => {
  const path = fresh();
  const state = StateDirectory.open(path);
  t.equal(statSync(path).mode & 0o777, 0o700);
  t.throws(() => StateDirectory.open(path), /used by another router/);
  let made = 0;
  const make = (): string => `identity ${++made}`;
  t.equal(state.identity(make), 'identity 1');
  t.equal(state.identity(make), 'identity 1', 'it stays');
  t.equal(made, 1);
  chmodSync(state.identityPath, 0o640);
  t.throws(() => state.identity(make), /chmod 600/, 'one that others could read is refused');
  state.close();
  StateDirectory.open(path).close();
  chmodSync(path, 0o770);
  t.throws(() => StateDirectory.open(path), /nobody else may write/);
  const file = fresh();
  writeFileSync(file, '');
  t.throws(() => StateDirectory.open(file), /cannot make/);
});

t.test('a change of keys is on disk before it counts', async (t) => {
  const path = join(fresh(), 'gossip.key');
  mkdirSync(join(path, '..'));
  t.throws(() => KeyFile.open(path, undefined), { code: 'no-key' });
  const one = Keyring.generate(bytes);
  const two = Keyring.generate(bytes);
  const file = KeyFile.open(path, one.format());
  t.equal(statSync(path).mode & 0o777, 0o600);
  t.same(file.list(), [{ id: formatKeyId(one.inUse.id), inUse: true }]);
  file.change((keyring) => keyring.add(two.inUse.bytes));
  t.same(KeyFile.open(path, undefined).list(), file.list());
  t.equal(file.list().length, 2);
  file.change((keyring) => keyring.use(two.inUse.id));
  t.same(KeyFile.open(path, undefined).list(), file.list());
  const before = file.list();
  t.throws(() => file.change((keyring) => keyring.remove(two.inUse.id)), { code: 'key-refused' });
  t.same(file.list(), before, 'what is refused changes nothing');
  file.requireAll(one);
  t.throws(() => file.requireAll(Keyring.generate(bytes)), { code: 'other-key' });

  rmSync(join(path, '..'), { recursive: true });
  t.throws(
    () => file.change((keyring) => keyring.remove(one.inUse.id)),
    /the keys stay as they were/,
  );
  t.same(file.list(), before, 'what cannot be written changes nothing');
});

t.test('another key file takes the place of the first, which is kept', async (t) => {
  const path = join(fresh(), 'gossip.key');
  mkdirSync(join(path, '..'));
  const [one, two] = [Keyring.generate(bytes), Keyring.generate(bytes)];
  KeyFile.open(path, one.format());
  KeyFile.open(path, one.format());
  t.throws(() => readFileSync(`${path}.old`), { code: 'ENOENT' }, 'the same again is no change');
  t.equal(KeyFile.open(path, two.format()).list()[0]?.id, formatKeyId(two.inUse.id));
  t.equal(readFileSync(`${path}.old`, 'utf8'), one.format());
  t.throws(() => KeyFile.open(path, 'nonsense'), { code: 'key-file' });
  t.equal(readFileSync(path, 'utf8'), two.format(), 'nonsense replaces nothing');
  KeyFile.extend(path, one.format());
  t.same(
    KeyFile.open(path, undefined)
      .list()
      .map(({ inUse }) => inUse),
    [true, false],
    'extended, it uses what it used',
  );
});

t.test('the record of how gossip runs survives, or counts as none', async (t) => {
  const run = new RunDirectory(fresh());
  run.create();
  const store = new RecordStore(run);
  t.equal(store.read(silentLog), undefined);
  const record = {
    settings: gossipSettings({ seeds: [{ host: 'a', port: 1 }] }),
    announced: [{ address: 0xfa000001, length: 32 }],
  };
  store.write(record);
  t.same(store.read(silentLog), record);
  const text = readFileSync(run.gossip, 'utf8');
  for (const damage of [
    text.slice(0, 40),
    '{}',
    'null',
    '[]',
    text.replace('"version":1', '"version":2'),
  ]) {
    writeFileSync(run.gossip, damage);
    t.equal(store.read(silentLog), undefined, damage.slice(0, 20));
    t.equal(readFileSync(`${run.gossip}.damaged`, 'utf8'), damage, 'kept to look at');
  }
  store.write(record);
  store.remove();
  t.equal(store.read(silentLog), undefined);
});
