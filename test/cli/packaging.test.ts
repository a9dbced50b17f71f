import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { manualPages } from '../../src/cli/man.ts';
import { VERB_GROUPS } from '../../src/cli/verbs.ts';
import { exampleConfig } from '../../src/config/example.ts';
import { parseConfig } from '../../src/config/parse.ts';
import { parseFanWords } from '../../src/config/words.ts';
import { findRoot, readSources } from '../style/sources.ts';

const root = findRoot();
const skip = root === '' && 'the sources are not beside the tests';

/** What the unit may be exposed at most, by `systemd-analyze security`. */
const EXPOSURE_MAX = 2.5;

t.test('the example configuration is the one that the settings make', { skip }, async (t) => {
  const text = readFileSync(join(root, 'packaging/fanway.conf.example'), 'utf8');
  t.equal(text, exampleConfig(), 'fanway check --example > packaging/fanway.conf.example');
  t.same(parseConfig(text).problems, []);
});

t.test('npm installs the manual pages of all verbs', { skip }, async (t) => {
  const { man } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { man: string[] };
  // npm links only what is named here one by one.
  const pages = [...manualPages(VERB_GROUPS).keys()].map((name) => `dist/man/${name}`);
  t.same([...man].sort(), pages.sort(), 'one for each verb; add yours to "man" in package.json');
});

t.test('the ifupdown example uses words that exist', { skip }, async (t) => {
  const text = readFileSync(join(root, 'packaging/ifupdown/fan.interfaces'), 'utf8');
  const commands = [...text.matchAll(/^\s+(?:up|down)\s+fanway (?:up|down) (.*)$/gm)];
  t.equal(commands.length, 2);
  for (const [, words = ''] of commands) {
    t.same(parseFanWords(words.split(' '), 'overlay-first').problems, [], words);
  }
});

t.test('the systemd unit asks for little', { skip }, async (t) => {
  const path = join(root, 'packaging/systemd/fanway.service');
  const text = readFileSync(path, 'utf8');
  t.match(text, /^DynamicUser=yes$/m);
  t.match(text, /^CapabilityBoundingSet=CAP_NET_ADMIN CAP_NET_RAW$/m);
  t.match(text, /^Type=notify$/m);
  t.match(text, /^Before=docker\.service .*kubelet\.service/m, 'engines find the bridge');
  t.match(text, /^WatchdogSec=\d+$/m);
  t.notMatch(text, /^MemoryDenyWriteExecute/m, 'it would keep Node from compiling');
  t.test(`its exposure is at most ${EXPOSURE_MAX}`, async (t) => {
    const analysis = spawnSync('systemd-analyze', ['security', '--offline=true', path], {
      encoding: 'utf8',
      env: { ...process.env, LC_ALL: 'C' },
    });
    if (analysis.error !== undefined) {
      return void t.plan(0, 'systemd-analyze is not installed (package systemd)');
    }
    const score = /Overall exposure level for fanway\.service: ([0-9.]+)/.exec(
      analysis.stdout,
    )?.[1];
    if (score === undefined) return void t.plan(0, `no score: ${analysis.stderr.trim()}`);
    t.ok(Number(score) <= EXPOSURE_MAX, `exposure ${score}`);
  });
});

t.test("AppArmor's own parser takes the profile", { skip }, async (t) => {
  const version = spawnSync('apparmor_parser', ['--version'], { encoding: 'utf8' });
  const [, major] = /version (\d+)\./.exec(version.stdout ?? '') ?? [];
  if (major === undefined) return void t.plan(0, 'apparmor_parser is not here (package apparmor)');
  if (Number(major) < 4)
    return void t.plan(0, `AppArmor ${major} knows no rule for user namespaces`);
  const path = join(root, 'packaging/apparmor/fanway');
  const { status, stderr } = spawnSync('apparmor_parser', ['-Q', '-K', path], { encoding: 'utf8' });
  t.equal(status, 0, stderr);
});

t.test('what programs read beside them goes into every form', { skip }, async (t) => {
  const text = readFileSync(join(root, 'packaging/bundle.mjs'), 'utf8');
  const carried = [...(/FILES = \[(.*)\]/.exec(text)?.[1] ?? '').matchAll(/'(.*?)'/g)];
  const read = readSources(root, 'src').flatMap(({ text }) => [
    ...text.matchAll(/\bbuiltFile\('([^']+)'\)/g),
  ]);
  t.ok(read.length > 0);
  const names = (matches: RegExpMatchArray[]) => [...new Set(matches.map((m) => m[1]))].sort();
  t.same(names(carried), names(read), 'add it to FILES in packaging/bundle.mjs');
});

t.test('version --json says what a report of a fault needs', { skip }, async (t) => {
  const run = (...words: string[]) =>
    spawnSync(process.execPath, [join(root, 'dist/fanway.js'), 'version', ...words], {
      encoding: 'utf8',
    });
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  t.strictSame(JSON.parse(run('--json').stdout), {
    version,
    form: 'files',
    node: process.versions.node,
    platform: 'linux',
    arch: process.arch,
  });
  t.equal(run('--jsn').status, 2);
});
