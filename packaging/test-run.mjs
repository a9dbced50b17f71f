// `npm test`: runs the test files that were built, four at a time.
//   npm test -- [--save=FILE] [NAME...]
// NAME is a test or a folder of tests below test/, without its ending; FILE gets the files that failed, a line each.
// tap's own command would do, but loads a tracer for coverage into each test: a second of a processor, for hundreds
// of files, most of which need less for what they test.
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import Report from './tap-report.mjs';

const FOLDER = '.build/test';
const ENDING = '.test.js';
/** On two cores: most of a test is waiting. */
const JOBS = 4;
const FILE_SECONDS_MAX = 1500;
const IMPORTS = ['long-until', 'plain-children', 'no-empty-tests'].map(
  (name) => `--import=./packaging/${name}.mjs`,
);

/** Long ones whose turn by name is late, where each would have a processor for itself at the end, and the other none. */
const FIRST = ['sim/sim', 'single/single', 'security/forged-icmp'];

function built() {
  const files = readdirSync(FOLDER, { recursive: true }).filter((name) => name.endsWith(ENDING));
  return files.map((name) => name.slice(0, -ENDING.length)).sort();
}

/** The tests that are meant, in the order in which they begin. @throws Error for a name that none has */
function chosen(words) {
  const all = built();
  const gone = FIRST.filter((name) => !all.includes(name));
  if (gone.length > 0) throw new Error(`FIRST names tests that are not there: ${gone.join(', ')}`);
  const isMeant = (name, word) => name === word || name.startsWith(`${word}/`);
  const nothing = words.find((word) => !all.some((name) => isMeant(name, word)));
  if (nothing !== undefined) throw new Error(`no test is called ${nothing}`);
  return [...FIRST, ...all.filter((name) => !FIRST.includes(name))].filter(
    (name) => words.length === 0 || words.some((word) => isMeant(name, word)),
  );
}

const words = process.argv.slice(2);
const save = words.find((word) => word.startsWith('--save='))?.slice('--save='.length);
const names = chosen(words.filter((word) => !word.startsWith('--save=')));
const failed = [];

// What a test file holds for its own limit, unless it says another one.
process.env.TAP_TIMEOUT ??= String(FILE_SECONDS_MAX);
t.register();
t.setTimeout(0);
t.jobs = JOBS;
t.plan(names.length);
t.pipe(new Report()).pipe(process.stdout);
for (const name of names) {
  const file = join(FOLDER, `${name}${ENDING}`);
  const options = {
    at: null,
    stack: '',
    buffered: true,
    timeout: 1000 * FILE_SECONDS_MAX,
    stdio: 'inherit',
  };
  const args = ['--enable-source-maps', ...IMPORTS, file];
  void t.spawn(process.execPath, args, options, file).then((results) => {
    if (results?.ok === true) return;
    failed.push(file);
    if (save !== undefined) writeFileSync(save, failed.map((one) => `${one}\n`).join(''));
  });
}
