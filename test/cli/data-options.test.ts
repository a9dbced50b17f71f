import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { autoQueues, dataArguments, readDataOptions } from '../../src/cli/fans/data-options.ts';
import { Lab } from '../../src/demo/lab.ts';
import { processesIn } from '../../src/demo/processes.ts';
import { distDirectory } from '../../src/sys/host/paths.ts';
import { fanway, picture, statusOf } from '../control/lab-router.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { until } from '../support/patience.ts';

// Real processes on a busy machine.
t.setTimeout(1_200_000);

const skip = skipWithoutTun();
// The next router that is started here takes it from us.
process.env['FANWAY_WARM_UP'] = '0';

/** How a data process was told to begin. */
function lastWordOf(pid = 0): string | undefined {
  return readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0').at(-2);
}

t.test('what the flags say, and back to arguments', async (t) => {
  const read = (...words: [string, string][]) => readDataOptions(new Map(words));
  t.same(read(), {});
  t.same(read(['--queues', '3'], ['--busy-poll', '50']), { queues: 3, busyPollUs: 50 });
  t.same(read(['--queues', 'auto']), { queues: autoQueues(availableParallelism()) });
  t.same(dataArguments({ queues: 3, busyPollUs: 0 }), ['--queues', '3', '--busy-poll', '0']);
  t.same(read(['--priority', 'realtime']), { priority: 'realtime' });
  t.same(dataArguments({ priority: 'normal' }), ['--priority', 'normal']);
  t.same(dataArguments({}), []);
  for (const wrong of ['high', '', 'Auto', '-10']) {
    t.throws(() => read(['--priority', wrong]), { code: 'usage' }, `priority '${wrong}'`);
  }
  for (const wrong of ['0', '9', '1.5', '', '0x2', ' 2', 'Auto']) {
    t.throws(() => read(['--queues', wrong]), { code: 'usage', exitCode: 2 }, `queues '${wrong}'`);
  }
  for (const wrong of ['-1', '100001', '1e3', '']) {
    t.throws(() => read(['--busy-poll', wrong]), { code: 'usage' }, `busy-poll '${wrong}'`);
  }
});

t.test('auto is half the cores, one at least and eight at most', async (t) => {
  const cores = [1, 2, 3, 4, 8, 16, 64];
  t.same(cores.map(autoQueues), [1, 1, 1, 2, 4, 8, 8]);
});

t.test('up starts a router with them, and says when one runs otherwise', { skip }, async (t) => {
  const lab = await Lab.create({ hosts: 1 });
  t.teardown(() => lab.close());
  const host = lab.host(0);
  const before = await picture(host);
  const up = await fanway(
    host,
    'up',
    '250',
    'eth0',
    '--queues',
    '2',
    '--busy-poll=50',
    '--priority=normal',
  );
  t.equal(up.code, 0, up.err);
  const status = await statusOf(host);
  t.match(status, { queues: 2, busyPollUs: 50, priority: 'normal' });
  t.equal(lastWordOf(status.processes[0]?.pid), 'cold', 'where the environment wants it so');
  t.match(status.processes[0], { priority: { wanted: 'normal', reason: '' } });
  t.equal(status.processes.length, 2);

  const with250 = await picture(host);
  const other = await fanway(host, 'up', '251', 'eth0', '--queues', '1', '--busy-poll', '0');
  t.equal(other.code, 3);
  t.match(other.err, /runs with 2 queues, not 1 and busy-poll 50 µs, not 0.*fanway down -e/);
  t.same(await picture(host), with250, 'and nothing was done');
  const same = await fanway(host, 'up', '251', 'eth0', '--queues', '2', '--busy-poll', '50');
  t.equal(same.code, 0, same.err);
  t.equal((await fanway(host, 'up', '252', 'eth0')).code, 0, 'whoever does not ask, does not mind');

  process.kill(status.pid, 'SIGKILL');
  await until('the next control process answers', 20_000, async () => {
    const next = await statusOf(host).catch(() => undefined);
    return next !== undefined && next.pid !== status.pid && next.links.length === 3;
  });
  const next = await statusOf(host);
  t.match(next, { queues: 2, busyPollUs: 50 }, 'a restart keeps them');
  t.equal(next.processes.length, 2);

  t.equal((await fanway(host, 'down', '-e')).code, 0);
  await until('the router has ended', 10_000, async () => {
    return processesIn(host.namespace.inode).length === 0;
  });
  t.same(await picture(host), before);

  const program = join(distDirectory(), 'fanway.js');
  const words = ['up', '250', 'eth0', '--foreground', '--queues', '3'];
  const child = host.spawn(process.execPath, [program, ...words], {
    env: { ...host.environment, FANWAY_WARM_UP: '1' },
    stdio: 'ignore',
  });
  const running = await until('the router in the foreground runs', 20_000, async () => {
    const status = await statusOf(host).catch(() => undefined);
    const pids = status?.processes.map(({ pid }) => pid) ?? [];
    return pids.length === 3 && pids.every((pid) => pid > 0) && status;
  });
  t.equal(running.queues, 3);
  t.equal(lastWordOf(running.processes[0]?.pid), 'beside', 'it warms up unless told not to');
  child.kill('SIGTERM');
  const [code] = await once(child, 'exit');
  t.equal(code, 0);
  t.same(await picture(host), before);
});
