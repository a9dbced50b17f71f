import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import t from 'tap';
import { ALLOWED_CALLS } from '../../src/sys/process/seccomp.ts';
import { testProgram } from '../netns/relay.ts';
import { findRoot } from '../style/sources.ts';

const skip = !/^Seccomp:/m.test(readFileSync('/proc/self/status', 'utf8')) && 'no seccomp here';

t.test('what a confined process may still do, in every thread', { skip }, async (t) => {
  const run = spawnSync(process.execPath, [testProgram('sys/confined-main.js')], {
    encoding: 'utf8',
    timeout: 60_000,
  });
  t.equal(run.status, 0, run.stderr);
  const seen = JSON.parse(run.stdout) as { reason: string; tries: Record<string, string>[] };
  t.equal(seen.reason, '', 'the filter is in force');
  t.equal(seen.tries.length, 2, 'in the first thread and in one that was there before');
  for (const tries of seen.tries) {
    for (const [call, result] of Object.entries(tries)) {
      if (call.startsWith('may ')) t.equal(result, 'ok', call);
      else t.equal(result, 'EPERM', call);
    }
  }
});

const root = findRoot();

t.test('the document lists every call', { skip: root === '' && 'no sources' }, async (t) => {
  const text = readFileSync(`${root}/docs/security.md`, 'utf8');
  for (const call of ALLOWED_CALLS) t.match(text, new RegExp(`\`${call}\``), call);
});
