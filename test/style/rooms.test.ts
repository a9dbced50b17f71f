import { dirname, join, normalize } from 'node:path';
import t from 'tap';
import { findRoot, importsOf, readSources, type Source } from './sources.ts';

const root = findRoot();
const skip = root === '' && 'the sources are not beside the tests';

/** Which rooms a room may import from, itself aside. A room that is not here may not exist. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  single: [],
  net: [],
  wire: [],
  shm: [],
  gossip: ['wire', 'net'],
  table: ['shm', 'net'],
  rib: ['net'],
  encap: ['wire'],
  bgp: ['wire', 'net'],
  bpf: ['table', 'wire', 'shm', 'net'],
  sys: ['net'],
  dataplane: ['encap', 'table', 'sys', 'wire', 'shm', 'net'],
  config: ['encap', 'net'],
  api: ['config', 'net'],
  web: ['api', 'config'],
  control: [
    'api',
    'config',
    'gossip',
    'bgp',
    'rib',
    'dataplane',
    'bpf',
    'encap',
    'table',
    'sys',
    'wire',
    'shm',
    'net',
  ],
  plugins: ['api', 'config', 'control', 'sys', 'wire', 'net'],
  cli: ['api', 'plugins', 'measure', 'encap', 'config', 'control', 'gossip', 'sys', 'wire', 'net'],
  traffic: ['sys', 'wire', 'net'],
  measure: ['traffic', 'sys', 'net'],
  demo: ['measure', 'encap', 'traffic', 'sys', 'net', 'cli', 'config'],
};

/**
 * Where a room may see only a part of another. Plugins ask the router through its socket like any
 * other client: of control they know the client, the values that travel, and the address book.
 */
const ONLY: Readonly<Record<string, readonly string[]>> = {
  'plugins>control': [
    ...['admin/admin-client.ts', 'store/run-directory.ts', 'store/address-book.ts'],
    ...['store/namespace.ts', 'store/link-spec.ts', 'host/bridge/adoption.ts', 'host/snapshot.ts'],
  ],
};

/** Files of `src` itself that any room but the pure ones may use; they know nobody. */
const SHARED = ['errors.ts', 'log.ts', 'version.ts', 'single-file.ts', 'clock.ts', 'limits.ts'];
/** Rooms of plain arithmetic: of the shared files only numbers, nothing of Node but its loader. */
const PURE = ['net', 'wire', 'shm', 'table', 'encap', 'rib', 'bpf'];
const NUMBERS = 'limits.ts';
/** Packages, and the only room that may touch each. */
const PACKAGES: Readonly<Record<string, string>> = {
  'cbor-x': 'wire',
  'ip-address': 'net',
  koffi: 'sys',
  netlink: 'sys',
};
/** The programs: they put rooms together. */
const PROGRAMS = ['src/main.ts', 'src/index.ts'];

/** What is wrong with one import, or ''. */
function judge(source: Source, specifier: string): string {
  if (PROGRAMS.includes(source.path)) return '';
  if (specifier.startsWith('node:')) {
    // By the loader a package that is CommonJS is had quicker; it brings nothing else.
    if (!PURE.includes(source.room) || specifier === 'node:module') return '';
    return `${source.room}/ is pure and may not use ${specifier}`;
  }
  if (!specifier.startsWith('.')) {
    const name = specifier.split('/')[0] ?? '';
    if (PACKAGES[name] === source.room) return '';
    return `package ${specifier} belongs to ${PACKAGES[name] ?? 'nobody'}`;
  }
  if (!specifier.endsWith('.ts')) return `${specifier}: relative imports end in .ts`;
  const target = normalize(join(dirname(source.path), specifier)).split('/');
  if (target[0] !== 'src') return `${specifier} leads out of src/`;
  if (target.length === 2) {
    const file = target[1] ?? '';
    if (!SHARED.includes(file)) return `${file} is a program, not a library`;
    const isApart = PURE.includes(source.room) && file !== NUMBERS;
    return isApart ? `${source.room}/ knows nobody, not even ${file}` : '';
  }
  const room = target[1] ?? '';
  if (source.room === '') return `${source.path} is shared by all and may not import ${room}/`;
  if (room === source.room) return '';
  const only = ONLY[`${source.room}>${room}`];
  const file = target.slice(2).join('/');
  if (only !== undefined && !only.includes(file)) return `${source.room}/ may not import ${file}`;
  if (MAY_IMPORT[source.room]?.includes(room)) return '';
  return `${source.room}/ may not import ${room}/`;
}

t.test('imports point one way', { skip }, async (t) => {
  const sources = readSources(root, 'src');
  t.ok(sources.length > 20, `${sources.length} files read`);
  for (const source of sources) {
    if (source.room !== '' && !(source.room in MAY_IMPORT)) t.fail(`unknown room ${source.room}/`);
    const faults = source.imports.map((specifier) => judge(source, specifier)).filter(Boolean);
    t.same(faults, [], source.path);
  }
});

t.test('nobody outside encap/ asks an encapsulation for its name', { skip }, async (t) => {
  const asks = /[!=]==? '(vxlan|ipip|fou)'|'(vxlan|ipip|fou)' [!=]==?|case '(vxlan|ipip|fou)'/;
  for (const { path, room, text } of readSources(root, 'src')) {
    if (room !== 'encap') t.notMatch(text, asks, path);
  }
  t.match("if (encap === 'fou') {", asks, 'the gate sees what it should see');
});

t.test('the data path calls the C library in one file', { skip }, async (t) => {
  for (const { path, room, text } of readSources(root, 'src')) {
    if (room === 'dataplane' && !path.endsWith('/ports.ts'))
      t.notMatch(text, /\blibc\.(?!ts)/, path);
  }
});

t.test('no room can reach itself through others', async (t) => {
  const reach = (room: string, seen: Set<string>): Set<string> => {
    for (const next of MAY_IMPORT[room] ?? []) {
      if (!seen.has(next)) reach(next, seen.add(next));
    }
    return seen;
  };
  for (const room of Object.keys(MAY_IMPORT)) t.notOk(reach(room, new Set()).has(room), room);
  for (const above of ['control', 'cli', 'config', 'demo', 'traffic', 'gossip']) {
    t.notOk(reach('dataplane', new Set()).has(above), `the data process cannot reach ${above}/`);
  }
});

/** A folder with more files than this holds more than one thing. */
const FOLDER_FILES_MAX = 15;

t.test(`no folder of src holds more than ${FOLDER_FILES_MAX} files`, { skip }, async (t) => {
  const counts = new Map<string, number>();
  for (const { path } of readSources(root, 'src')) {
    const folder = dirname(path);
    counts.set(folder, (counts.get(folder) ?? 0) + 1);
  }
  for (const [folder, count] of counts) {
    t.ok(count <= FOLDER_FILES_MAX, `${folder}: ${count} files`);
  }
});

/** For each folder, the folders of its own room that its files import from. */
function waysBetween(sources: readonly Source[]): Map<string, Set<string>> {
  const ways = new Map<string, Set<string>>();
  for (const { path, room, imports } of sources) {
    const from = dirname(path);
    const to = ways.get(from) ?? new Set();
    ways.set(from, to);
    for (const specifier of imports.filter((name) => name.startsWith('.'))) {
      const target = dirname(normalize(join(from, specifier)));
      if (target !== from && `${target}/`.startsWith(`src/${room}/`)) to.add(target);
    }
  }
  return ways;
}

/** A way on which a folder reaches itself through others, or ''. */
function circleFrom(start: string, ways: ReadonlyMap<string, ReadonlySet<string>>): string {
  const seen = new Set<string>();
  const walk = (folder: string): string => {
    for (const next of ways.get(folder) ?? []) {
      if (next === start) return `${folder} -> ${next}`;
      if (seen.has(next)) continue;
      seen.add(next);
      const rest = walk(next);
      if (rest !== '') return `${folder} -> ${rest}`;
    }
    return '';
  };
  return walk(start);
}

t.test('the rooms inside a room import one way too', { skip }, async (t) => {
  const ways = waysBetween(readSources(root, 'src').filter(({ room }) => room !== ''));
  for (const folder of ways.keys()) t.equal(circleFrom(folder, ways), '', folder);
  const source = (path: string, text: string): Source => {
    const room = path.split('/')[1] ?? '';
    return { path, text, room, imports: importsOf(text) };
  };
  const circle = waysBetween([
    source('src/control/host/a.ts', "import { b } from '../plane/b.ts';"),
    source('src/control/plane/b.ts', "import { a } from '../host/a.ts';"),
  ]);
  t.not(circleFrom('src/control/host', circle), '', 'the gate sees what it should see');
});

t.test('the gate sees what it should see', async (t) => {
  const make = (path: string, text: string): string[] => {
    const room = path.split('/').length > 2 ? (path.split('/')[1] ?? '') : '';
    const source = { path, text, room, imports: importsOf(text) };
    return source.imports.map((specifier) => judge(source, specifier)).filter(Boolean);
  };
  t.same(
    make('src/wire/a.ts', "import { b } from './b.ts';\nimport type { c } from '../wire/c.ts';"),
    [],
  );
  t.match(make('src/wire/a.ts', "import {\n  parse,\n  format,\n} from '../net/ipv4.ts';"), [
    /may not import net/,
  ]);
  t.match(make('src/wire/a.ts', "export * from '../errors.ts';"), [/knows nobody/]);
  t.match(make('src/net/a.ts', "import { readFileSync } from 'node:fs';"), [/pure/]);
  t.match(make('src/control/a.ts', "const x = await import('../cli/up.ts');"), [
    /may not import cli/,
  ]);
  t.match(make('src/control/a.ts', "import koffi from 'koffi';"), [/belongs to sys/]);
  t.match(make('src/control/a.ts', "import 'left-pad';"), [/belongs to nobody/]);
  t.match(make('src/cli/a.ts', "import { x } from '../main.ts';"), [/program/]);
  t.match(make('src/cli/a.ts', "import { x } from './up.js';"), [/end in \.ts/]);
  t.match(make('src/cli/a.ts', "import { x } from '../../test/a.ts';"), [/out of src/]);
  t.match(make('src/plugins/a.ts', "import { x } from '../control/router.ts';"), [
    /may not import router/,
  ]);
  t.match(make('src/errors.ts', "import { x } from './net/ipv4.ts';"), [/shared by all/]);
});
