import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { distDirectory } from '../../src/sys/host/paths.ts';
import { skipLong } from '../support/long.ts';

function micro(args: readonly string[]): { code: number | null; text: string } {
  const program = join(distDirectory(), 'micro.js');
  const run = spawnSync(process.execPath, [program, ...args], { encoding: 'utf8' });
  return { code: run.status, text: `${run.stdout}${run.stderr}` };
}

// Each case compares the data path with a plain version of it before it is timed.
t.test(
  'every piece comes to what the plain version comes to',
  { skip: skipLong, timeout: 700_000 },
  async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'fanway-micro-test-'));
    t.teardown(() => rmSync(folder, { recursive: true, force: true }));
    const { code, text } = micro(['--quick', '--out', folder]);
    t.equal(code, 0, text);
    t.match(text, /checksum of 1450 bytes +dataplane\/wasm\/packet\.ts +[\d.]+/);
    const charts = ['entries.svg', 'hosts.svg', 'links.svg', 'size.svg'];
    t.same(readdirSync(folder).sort(), [...charts, 'results.json'].sort());
    const results = JSON.parse(readFileSync(join(folder, 'results.json'), 'utf8'));
    t.ok(results.cases.length > 20);
    t.match(results.v8Flags, [/./], 'timed as a data process runs');
    for (const { key, fast } of results.cases) t.ok(fast.median > 0, key);
  },
);

t.test('what it does not know it says', async (t) => {
  t.match(micro(['--only', 'nothing']), { code: 2, text: /there is no nothing/ });
  t.match(micro(['--whatever', '1']), { code: 2, text: /unknown option --whatever/ });
});
