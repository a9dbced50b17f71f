import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { distDirectory } from '../../src/sys/host/paths.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { skipLong } from '../support/long.ts';

const skip = skipWithoutTun();

function bench(args: readonly string[]): Promise<{ code: number | null; text: string }> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [join(distDirectory(), 'bench.js'), ...args]);
    let text = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        text += chunk.toString();
      });
    }
    child.on('close', (code) => resolve({ code, text }));
  });
}

// That it runs, keeps and compares; how fast anything is here is nobody's business.
t.test(
  'a run writes figures, page and charts',
  { skip: skipLong || skip, timeout: 600_000 },
  async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'fanway-bench-test-'));
    t.teardown(() => rmSync(folder, { recursive: true, force: true }));
    const args = ['--quick', '--variants', 'kernel,fou', '--only', 'echo,tcp', '--out', folder];
    const first = await bench(args);
    t.equal(first.code, 0, first.text);
    t.match(first.text, /TCP, 1 stream +Gb\/s +[\d.]+ +[\d.]+/);
    t.match(first.text, /No earlier kept result/);
    t.same(readdirSync(join(folder, 'quick')).sort(), [
      'README.md',
      'cpuPerGb.svg',
      'echo.svg',
      'results.json',
      'tcp1.svg',
    ]);
    const results = JSON.parse(readFileSync(join(folder, 'quick', 'results.json'), 'utf8'));
    t.equal(results.format, 1);
    t.ok(results.samples.echo.fou[0] > 0);
    t.ok(results.samples.startMs.fou[0] > 0, 'the start was timed');
    const second = await bench(args);
    t.match(second.text, new RegExp(`Against the result of ${results.date}`));
  },
);

t.test('the arguments are checked', async (t) => {
  for (const [args, code, want] of [
    [['--help'], 0, /npm run bench/],
    [['--rounds', '0'], 2, /--rounds must be/],
    [['--variants', 'gre'], 2, /gre is not known/],
    [['--nonsense'], 2, /--nonsense/],
  ] as const) {
    const result = await bench(args);
    t.equal(result.code, code);
    t.match(result.text, want);
  }
});
