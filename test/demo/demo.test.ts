import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { distDirectory } from '../../src/sys/host/paths.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { skipLong } from '../support/long.ts';
import { sleep, until } from '../support/patience.ts';
import { killIfThere } from '../support/processes.ts';

const skip = skipWithoutTun();
const PROGRAM = join(distDirectory(), 'fanway.js');
const MARK = 'FANWAY_TEST_MARK';
const DEMO_MS_MAX = 600_000;

/** One run of the demo whose every process and file can be found afterwards. */
class Run {
  readonly folder = mkdtempSync(join(tmpdir(), 'fanway-demo-test-'));
  readonly #mark = randomUUID();
  readonly #child: ChildProcess;
  output = '';
  readonly ended: Promise<number | null>;

  constructor(args: readonly string[], prefix: readonly string[] = []) {
    const [command = '', ...rest] = [...prefix, process.execPath, PROGRAM, 'demo', ...args];
    this.#child = spawn(command, rest, {
      env: { ...process.env, [MARK]: this.#mark, TMPDIR: this.folder },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        this.output += chunk.toString();
      });
    }
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), DEMO_MS_MAX);
    this.ended = new Promise((resolve) => {
      this.#child.on('close', (code) => {
        clearTimeout(timer);
        resolve(code);
      });
    });
  }

  /** Resolves when the demo has printed something that matches; false when it ended without. */
  async until(pattern: RegExp): Promise<boolean> {
    let over = false;
    void this.ended.then(() => {
      over = true;
    });
    while (!pattern.test(this.output)) {
      if (over) return false;
      await sleep(10);
    }
    return true;
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  /** Processes that this run started, its own first process left out. */
  descendants(): number[] {
    return readdirSync('/proc')
      .map(Number)
      .filter((pid) => Number.isInteger(pid) && pid !== this.#child.pid)
      .filter((pid) => {
        try {
          return readFileSync(`/proc/${pid}/environ`, 'utf8').includes(this.#mark);
        } catch {
          return false;
        }
      });
  }

  /** What is still there after the end. */
  leftovers(): string[] {
    const processes = this.descendants().map((pid) => `process ${pid}`);
    return [...processes, ...readdirSync(this.folder)];
  }

  /** Whoever was told to end may take a moment longer than the demo itself. */
  async leavesNothing(t: Pick<Test, 'same'>): Promise<void> {
    await until('all are gone', 5000, () => this.leftovers().length === 0).catch(() => undefined);
    t.same(this.leftovers(), []);
  }

  close(): void {
    this.signal('SIGKILL');
    rmSync(this.folder, { recursive: true, force: true });
  }
}

const options = (skip: string | false) => ({ skip, timeout: DEMO_MS_MAX });

function start(t: Pick<Test, 'teardown'>, args: readonly string[]): Run {
  const run = new Run(args);
  t.teardown(() => run.close());
  return run;
}

t.test('the demo carries everything and leaves nothing', options(skip), async (t) => {
  const names = skipLong === false ? ['vxlan', 'ipip', 'fou'] : ['vxlan'];
  const run = start(t, skipLong === false ? [] : ['--encap', 'vxlan']);
  const code = await run.ended;
  t.equal(code, 0, run.output);
  for (const name of names) {
    t.match(run.output, new RegExp(`fanway ${name} +30/30 +0 % .*equal [0-9a-f]{8}`));
  }
  t.match(run.output, /its fanway \(vxlan\) +[\d,]{4,}/, 'the routers counted');
  t.match(run.output, /Everything arrived; everything was taken down/);
  await run.leavesNothing(t);
});

t.test('--json prints one document', options(skipLong || skip), async (t) => {
  const run = new Run(['--json', '--encap', 'fou']);
  t.teardown(() => run.close());
  t.equal(await run.ended, 0, run.output);
  const report = JSON.parse(run.output.slice(run.output.indexOf('{\n')));
  t.equal(report.overlays[0].overlay, 'fou');
  t.equal(report.overlays[0].result.tcp.equal, true);
  await run.leavesNothing(t);
});

t.test('two tenants and a move', options(skipLong || skip), async (t) => {
  const run = start(t, ['--l2', '--json']);
  t.equal(await run.ended, 0, run.output);
  const report = JSON.parse(run.output.slice(run.output.indexOf('{\n')));
  const all = { pairs: 6, answered: 6 };
  t.match(report.tenants, [
    { network: 'blue', ...all },
    { network: 'red', ...all },
  ]);
  t.equal(report.move.isThere, true, `away for ${report.move.awayMs} ms`);
  t.same(report.flooded, []);
  await run.leavesNothing(t);
});

t.test('Ctrl-C in the middle leaves nothing', options(skip), async (t) => {
  const run = start(t, ['--encap', 'vxlan']);
  t.ok(await run.until(/TCP: 256 MB/), 'it came as far as TCP');
  run.signal('SIGINT');
  t.equal(await run.ended, 130, run.output);
  t.match(run.output, /stopped by SIGINT/);
  await run.leavesNothing(t);
});

t.test('kill -9 of the demo leaves nothing either', options(skipLong || skip), async (t) => {
  const run = start(t, ['--encap', 'vxlan']);
  t.ok(await run.until(/fanway is up on 3 hosts/), 'routers run');
  t.ok(run.descendants().length > 6);
  run.signal('SIGKILL');
  await run.ended;
  await run.leavesNothing(t);
});

t.test(
  'a failure in the middle leaves nothing and is told',
  options(skipLong || skip),
  async (t) => {
    const run = start(t, ['--encap', 'fou']);
    t.ok(await run.until(/TCP: one stream/), 'it came as far as TCP');
    // Whatever runs besides the demo itself: routers and traffic alike.
    for (const pid of run.descendants()) {
      killIfThere(pid);
    }
    t.equal(await run.ended, 1, run.output);
    t.match(run.output, /NOT as it should be/);
    await run.leavesNothing(t);
  },
);

const unshare = ['unshare', '--user', '--map-root-user', '--net'];
const noUserNamespace =
  skip === false && spawnSync(unshare[0] ?? '', [...unshare.slice(1), 'true']).status !== 0
    ? 'needs unshare (util-linux) and user namespaces'
    : skip;

t.test('root of a user namespace is enough', options(skipLong || noUserNamespace), async (t) => {
  const run = new Run(['--encap', 'ipip'], unshare);
  t.teardown(() => run.close());
  t.equal(await run.ended, 0, run.output);
  await run.leavesNothing(t);
});

t.test('the arguments are checked', async (t) => {
  for (const [args, code, want] of [
    [['--help'], 0, /Usage:\n {2}fanway demo/],
    [['--encap', 'gre'], 2, /"gre" is not known: use vxlan, ipip, fou/],
    [['--nonsense'], 2, /unknown argument "--nonsense"/],
  ] as const) {
    const run = start(t, args);
    t.equal(await run.ended, code);
    t.match(run.output, want);
  }
});
