import { type ChildProcess, spawnSync } from 'node:child_process';
import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { Lab, type LabHost } from '../../src/demo/lab.ts';
import { distDirectory } from '../../src/sys/host/paths.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { sleep, until } from '../support/patience.ts';
import { fanway, picture, statusOf } from './lab-router.ts';

// Real processes on a busy machine.
t.setTimeout(1_200_000);

const skip = skipWithoutTun();
const program = join(distDirectory(), 'fanway.js');

type Foreground = { child: ChildProcess; ended: Promise<number | null> };

/** `up --foreground` under a line of shell that sets its limits first. */
async function foreground(host: LabHost, prepare: string): Promise<Foreground> {
  const script = `${prepare}; exec "$@"`;
  const words = [process.execPath, program, 'up', '250', 'eth0', '--foreground'];
  const child = host.spawn('sh', ['-c', script, 'sh', ...words], {
    env: host.environment,
    stdio: 'ignore',
  });
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  await until('it is up', 15_000, async () => {
    const status = await statusOf(host).catch(() => undefined);
    return status?.links[0]?.state === 'up';
  });
  return { child, ended };
}

t.test('hardly a descriptor free and a thousand clients: links run on', { skip }, async (t) => {
  const lab = await Lab.create({ hosts: 1 });
  t.teardown(() => lab.close());
  const host = lab.host(0);
  const before = await picture(host);
  let running = await foreground(host, ':');
  const used = readdirSync(`/proc/${running.child.pid}/fd`).length;
  running.child.kill('SIGTERM');
  t.equal(await running.ended, 0);

  // More than it needs at rest, because starting nft and the data process takes some for a moment;
  // fewer than the 32 clients that it would take.
  running = await foreground(host, `ulimit -n ${used + 16}`);
  const whole = await picture(host);
  const socket = join(host.runDirectory, 'control.sock');
  const clients = Array.from({ length: 1000 }, () => {
    const client = connect(socket);
    client.on('error', () => undefined);
    client.write('GET /v1/status HTTP/1.1\r\nHost: fan');
    return client;
  });
  await sleep(1500);
  t.equal(running.child.exitCode, null, 'the router lives');
  t.same(await picture(host), whole, 'devices, addresses and routes are untouched');
  for (const client of clients) client.destroy();
  const status = await until('it answers again', 8000, async () =>
    statusOf(host).catch(() => undefined),
  );
  t.equal(status.processes[0]?.alive, true, 'the data process never stopped');
  t.equal(status.processes[0]?.restarts, 0);
  running.child.kill('SIGTERM');
  t.equal(await running.ended, 0);
  t.same(await picture(host), before);
});

const canMount = spawnSync('unshare', ['-m', 'mount', '-t', 'tmpfs', 'none', '/mnt']).status === 0;

t.test('a full disk under the run directory', { skip }, async (t) => {
  if (!canMount)
    return void t.plan(0, 'needs unshare and mount (util-linux) and the right to use them');
  const lab = await Lab.create({ hosts: 1 });
  t.teardown(() => lab.close());
  const host = lab.host(0);
  const before = await picture(host);
  const mount = `mount -t tmpfs -o size=256k none ${host.runDirectory}`;
  // The mount is seen inside its own mount namespace only, and through /proc/PID/root.
  const script = `${mount}; exec "$@"`;
  const words = [process.execPath, program, 'up', '250', 'eth0', '--foreground'];
  const child = host.spawn('unshare', ['-m', 'sh', '-c', script, 'sh', ...words], {
    env: host.environment,
    stdio: 'ignore',
  });
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  await until('the device', 8000, async () => {
    const link = await host.netlink.findLink('fw-250-0-28');
    return link?.up === true && link.master > 0;
  });
  await sleep(500);
  const whole = await picture(host);
  const folder = `/proc/${child.pid}/root${host.runDirectory}`;
  const filler = join(folder, 'filler');
  t.throws(() => writeFileSync(filler, Buffer.alloc(1024 * 1024)), { code: 'ENOSPC' });
  await host.netlink.setLink('fw-250-0-28', { up: false });
  await sleep(2500);
  t.equal(child.exitCode, null, 'the router lives');
  const journal = readdirSync(join(folder, 'journal'));
  t.ok(journal.includes('fan-250-0-28.json'), 'the journal is not cut or lost');
  rmSync(filler);
  await until('it is put right once there is space', 20_000, async () => {
    return JSON.stringify(await picture(host)) === JSON.stringify(whole);
  });
  child.kill('SIGTERM');
  t.equal(await ended, 0);
  t.same(await picture(host), before);
});

t.test(
  'no space from the start: up fails with the reason and leaves nothing',
  { skip },
  async (t) => {
    if (!canMount)
      return void t.plan(0, 'needs unshare and mount (util-linux) and the right to use them');
    const lab = await Lab.create({ hosts: 1 });
    t.teardown(() => lab.close());
    const host = lab.host(0);
    const before = await picture(host);
    const script = `mount -t tmpfs -o size=4k none ${host.runDirectory}; exec "$@"`;
    const words = [process.execPath, program, 'up', '250', 'eth0', '--foreground'];
    const child = host.spawn('unshare', ['-m', 'sh', '-c', script, 'sh', ...words], {
      env: host.environment,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let said = '';
    child.stderr?.on('data', (chunk) => {
      said += String(chunk);
    });
    const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
    t.equal(code, 1);
    t.match(said, /ENOSPC/);
    t.same(await picture(host), before);
    t.match(await fanway(host, 'show'), { code: 0 });
  },
);
