import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { LinkStatus } from '../../src/api/status.ts';
import { describeChange } from '../../src/control/change/change.ts';
import type { Plan } from '../../src/control/links/plan.ts';
import { Lab, type LabHost } from '../../src/demo/lab.ts';
import { processesIn } from '../../src/demo/processes.ts';
import { distDirectory } from '../../src/sys/host/paths.ts';
import { fanway, picture } from '../control/lab-router.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { until } from '../support/patience.ts';

// Real processes on a busy machine.
t.setTimeout(1_200_000);

const skip = skipWithoutTun();

async function oneHost(t: Test): Promise<LabHost> {
  const lab = await Lab.create({ hosts: 1 });
  t.teardown(() => lab.close());
  return lab.host(0);
}

t.test('plan says what up then does, and does nothing', { skip }, async (t) => {
  const host = await oneHost(t);
  const before = await picture(host);
  for (const encap of ['vxlan', 'ipip', 'fou']) {
    const words = ['250.0.0.0/8', 'eth0/16', 'host-reserve', '2', '--encap', encap];
    const text = await fanway(host, 'plan', ...words);
    t.equal(text.code, 0, text.err);
    t.match(text.out, /fan-250-0-28: 250\.0\.0\.0\/8 over 172\.30\.0\.28\/16/);
    const planned = JSON.parse((await fanway(host, 'plan', ...words, '--json')).out) as Plan;
    t.same(await picture(host), before, `${encap}: nothing was changed`);
    t.notOk(existsSync(join(host.runDirectory, 'journal')));
    const up = await fanway(host, 'up', ...words, '--json');
    t.equal(up.code, 0, up.err);
    const done = JSON.parse(up.out) as Plan;
    t.same(done, planned, `${encap}: up carried out exactly that list`);
    if (planned.outcome === 'changes') {
      for (const change of planned.changes) t.ok(text.out.includes(describeChange(change)));
    }
    t.equal((await fanway(host, 'down', '250', 'eth0')).code, 0);
    t.same(await picture(host), before, `${encap}: down took everything back`);
    t.same(readdirSync(join(host.runDirectory, 'journal')), []);
    const { rmSync } = await import('node:fs');
    rmSync(join(host.runDirectory, 'journal'), { recursive: true });
  }
  t.same(processesIn(host.namespace.inode), [], 'no process is left');
});

t.test('show has fanctl columns; the same fan again is no error', { skip }, async (t) => {
  const host = await oneHost(t);
  const header = 'Bridge           Overlay              Underlay             Flags\n';
  t.same(await fanway(host, 'show'), { code: 0, out: header, err: '' }, 'without any fan');
  t.equal((await fanway(host, 'up', '250.0.0.0/8', '172.30.0.28/16')).code, 0);
  const row = 'fan-250-0-28     250.0.0.0/8          172.30.0.28/16       host-reserve 1\n';
  t.equal((await fanway(host, 'show')).out, header + row);
  for (const words of [
    ['250.0.0.0/8', '172.30.0.28/16'],
    ['250', 'eth0'],
    ['-u', '172.30.0.0/16', '-o', '250.0.0.0/8'],
  ]) {
    const again = await fanway(host, 'up', ...words);
    t.equal(again.code, 0, words.join(' '));
    t.match(again.out, /fan-250-0-28: already configured/);
  }
  const other = await fanway(host, 'up', '250', 'eth0', '--encap', 'ipip');
  t.equal(other.code, 3);
  t.match(other.err, /has a fan already.*encap vxlan, not ipip.*take it down first/);
  const words = ['251', 'eth0', 'bridge', 'br-two', 'auto', '--txqueuelen', '200'];
  t.equal((await fanway(host, 'up', ...words)).code, 0);
  const second = 'br-two           251.0.0.0/8          172.30.0.28/16       ';
  t.equal(
    (await fanway(host, 'show')).out,
    `${header}${row}${second}host-reserve 1 auto bridge br-two\n`,
  );
  const links = JSON.parse((await fanway(host, 'show', '--json')).out) as LinkStatus[];
  t.match(links, [
    { name: 'fan-250-0-28', slice: '250.0.28.0/24', gateway: '250.0.28.1', encap: 'vxlan' },
    { name: 'br-two', device: 'fw-251-0-28', innerMtu: 1450, port: 4789 },
  ]);
  const queueOf = async (name: string) => (await host.netlink.link(name)).txQueueLen;
  t.equal(await queueOf('fw-250-0-28'), 4096, 'as long as it is unless asked');
  t.equal(await queueOf('fw-251-0-28'), 200);
  const longer = await fanway(host, 'up', ...words.with(-1, '300'));
  t.match(longer.err, /txqueuelen 200, not 300; take it down first/);
  await host.netlink.setLink('fw-251-0-28', { txQueueLen: 5 });
  await until('the queue is put back', 10_000, async () => (await queueOf('fw-251-0-28')) === 200);
  t.match((await fanway(host, 'status')).out, /data process \d+: alive/);
  t.match((await fanway(host, 'counters', '--all')).out, /egress\.received/);
  t.match((await fanway(host, 'explain', '250.0.28.9')).out, /this host.*fan-250-0-28/);
  t.match((await fanway(host, 'explain', '250.1.27.9')).out, /of host 172\.30\.1\.27/);
  t.equal((await fanway(host, 'down', '-e')).code, 0);
});

t.test('down refuses while a container is attached, unless forced', { skip }, async (t) => {
  const host = await oneHost(t);
  const [container] = host.containers;
  if (container === undefined) throw new Error('no container');
  await fanway(host, 'up', '250', 'eth0');
  await container.attach({ bridge: 'fan-250-0-28', address: 0xfa001c02, length: 8 });
  const refused = await fanway(host, 'down', '250', 'eth0');
  t.equal(refused.code, 3);
  t.match(refused.err, new RegExp(`in use by ${container.hostEnd}.*--force`));
  const told = await fanway(host, 'down', '-e', '--json');
  t.match(JSON.parse(told.out), {
    ...{ down: [], failures: [/in use by/], stays: '' },
    error: { code: 'down-failed', message: /in use by/, exitCode: told.code },
  });
  t.match((await fanway(host, 'show')).out, /fan-250-0-28/, 'and it still runs');
  const forced = await fanway(host, 'down', '250', 'eth0', '--force');
  t.equal(forced.code, 0);
  t.match(forced.err, `bridge fan-250-0-28 stays for its ports ${container.hostEnd}`);
  const lines = await picture(host);
  t.notOk(lines.some((line) => line.includes('fw-')));
  t.ok(
    lines.some((line) => line.startsWith('link fan-250-0-28 bridge')),
    'a port that is cut off is not lost',
  );
  t.equal((await fanway(host, 'up', '250', 'eth0')).code, 0, 'it is taken over with its port');
  await container.detach();
  t.equal((await fanway(host, 'down', '250', 'eth0')).code, 0);
  t.notOk((await picture(host)).some((line) => /fan-|fw-/.test(line)));
});

t.test('down says what runs, and what keeps the router', { skip }, async (t) => {
  const host = await oneHost(t);
  const expect = async (words: string, code: number, said: RegExp): Promise<void> => {
    const { err, ...outcome } = await fanway(host, ...words.split(' '));
    t.match([outcome.code, err], [code, said], words);
  };
  const up = async (): Promise<void> => {
    t.equal((await fanway(host, 'up', '250', 'eth0')).code, 0);
  };
  await up();
  await expect(
    'down 250.0.0.0/8 eth0/17',
    3,
    /runs over eth0\/16 here: fanway down 250\.0\.0\.0\/8 eth0\/16$/m,
  );
  await expect('down 251', 3, /251: not configured: no fan here has this overlay/);
  await expect('down 250.0.0.0/8', 0, /^$/);
  await up();
  t.equal((await fanway(host, 'net', 'add', 'x', '--vni', '5')).code, 0);
  const config = join(host.runDirectory, 'other.conf');
  writeFileSync(config, '[fan]\noverlay = 250\nunderlay = eth0\n', { mode: 0o600 });
  const ends = /\(background, pid \d+\): fanway down -e and fanway net rm x end it/;
  await expect(`daemon -c ${config}`, 3, ends);
  const stays = 'for network x: fanway net rm x ends it';
  const down = await fanway(host, 'down', '-e', '--json');
  t.match(down, { code: 0, err: `the router stays, ${stays}` });
  t.same(JSON.parse(down.out), { down: ['fan-250-0-28'], failures: [], stays });
  t.match(await fanway(host, 'net', 'rm', 'x'), { code: 0 });
  t.same(processesIn(host.namespace.inode), [], 'with its last network the router ends');
});

t.test('-a takes its fans from a file, all or none', { skip }, async (t) => {
  const host = await oneHost(t);
  const before = await picture(host);
  const file = join(host.runDirectory, 'fan');
  const write = (text: string): void => writeFileSync(file, text, { mode: 0o600 });
  write('250.0.0.0/8 eth0/16\n251.0.0.0/8 eth0/16 frob\n\nx y z\n');
  const wrong = await fanway(host, 'up', '-a', '--file', file);
  t.equal(wrong.code, 2);
  t.match(wrong.err, `${file}:2: `);
  t.match(wrong.err, `${file}:4: `);
  write('250.0.0.0/8 eth0/16\n127.0.0.0/8 eth0/16\n252.0.0.0/8 eth7/16\n');
  const refused = await fanway(host, 'up', '-a', '--file', file);
  t.equal(refused.code, 3);
  t.match(refused.err, `${file}:2: `);
  t.match(refused.err, `${file}:3: `);
  t.same(await picture(host), before, 'not even the good line was carried out');

  write(
    '# ours\n250.0.0.0/8 eth0/16\n251.0.0.0/8 eth0/16 off\n172.30.0.0/16 252.0.0.0/8 --enable\n',
  );
  const up = await fanway(host, 'up', '-a', '--file', file);
  t.equal(up.code, 0, up.err);
  t.equal((await fanway(host, 'up', '253', 'eth0', '--encap', 'fou')).code, 0);
  const bridges = async (): Promise<string[]> =>
    (await fanway(host, 'show')).out
      .split('\n')
      .slice(1, -1)
      .map((line) => line.split(' ')[0] ?? '');
  t.same(await bridges(), ['fan-250-0-28', 'fan-252-0-28', 'fan-253-0-28']);
  t.equal((await fanway(host, 'down', '-a')).code, 0);
  t.same(await bridges(), ['fan-253-0-28'], 'only what -a brought up');
  t.equal((await fanway(host, 'down', '-e')).code, 0);
  t.same(await picture(host), before);
});

t.test('--foreground stays until SIGTERM and undoes itself', { skip }, async (t) => {
  const host = await oneHost(t);
  const before = await picture(host);
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    const program = join(distDirectory(), 'fanway.js');
    const child = host.spawn(process.execPath, [program, 'up', '250', 'eth0', '--foreground'], {
      env: host.environment,
      stdio: 'ignore',
    });
    const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
    await until('the fan is shown', 8000, async () =>
      (await fanway(host, 'show')).out.includes('fan-250-0-28'),
    );
    t.notSame(await picture(host), before);
    child.kill(signal);
    t.equal(await ended, 0, signal);
    t.same(await picture(host), before, `${signal}: everything was taken back`);
  }
});
