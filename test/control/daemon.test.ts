import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { reloadCall } from '../../src/api/fans.ts';
import type { GossipStatus } from '../../src/api/gossip.ts';
import { callRouter } from '../../src/control/admin/admin-client.ts';
import { LoopWatch } from '../../src/control/daemon.ts';
import { Manager as ServiceManager } from '../../src/control/manager.ts';
import { LastError } from '../../src/control/plane/process/last-error.ts';
import { RunDirectory } from '../../src/control/store/run-directory.ts';
import { Lab, type LabHost } from '../../src/demo/lab.ts';
import { silentLog } from '../../src/log.ts';
import { formatIpv4 } from '../../src/net/ipv4.ts';
import { distDirectory } from '../../src/sys/host/paths.ts';
import { SOCK_CLOEXEC, SOCK_DGRAM, SOCK_NONBLOCK } from '../../src/sys/libc/constants.ts';
import { addressOf, check, libc } from '../../src/sys/libc/libc.ts';
import { notifyManager, watchdogIntervalMs } from '../../src/sys/sockets/notify.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { until } from '../support/patience.ts';
import { fanway, picture, statusOf } from './lab-router.ts';

// Real processes on a busy machine.
t.setTimeout(1_200_000);

const skip = skipWithoutTun();

/** The service manager's end of NOTIFY_SOCKET. */
class Manager {
  readonly #fd: number;
  readonly heard: string[] = [];

  constructor(path: string) {
    this.#fd = check('socket', libc.socket(1, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const address = Buffer.alloc(2 + path.length + 1);
    address.writeUInt16LE(1, 0);
    address.write(path, 2);
    check('bind', libc.bind(this.#fd, addressOf(address), address.length));
  }

  listen(): string[] {
    const buffer = Buffer.alloc(4096);
    for (;;) {
      const length = libc.read(this.#fd, addressOf(buffer), buffer.length);
      if (length <= 0) return this.heard;
      this.heard.push(buffer.toString('utf8', 0, length));
    }
  }

  close(): void {
    libc.close(this.#fd);
  }
}

type Daemon = { child: ChildProcess; ended: Promise<number | null>; said: () => string };

function startDaemon(host: LabHost, conf: string, env: NodeJS.ProcessEnv = {}): Daemon {
  const program = join(distDirectory(), 'fanway.js');
  const child = host.spawn(process.execPath, [program, 'daemon', '-c', conf], {
    env: { ...host.environment, ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let text = '';
  child.stderr?.on('data', (chunk) => {
    text += String(chunk);
  });
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  return { child, ended, said: () => text };
}

const fan = (overlay: string, more = ''): string =>
  `[fan]\noverlay = ${overlay}\nunderlay = eth0\n${more}\n`;

t.test('notifyManager() reaches a datagram socket, plain and abstract', async (t) => {
  // The path of a unix socket holds 107 bytes: t.testdir() is often longer.
  const folder = mkdtempSync(join(tmpdir(), 'fanway-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const manager = new Manager(join(folder, 'notify'));
  t.teardown(() => manager.close());
  t.equal(notifyManager('READY=1', join(folder, 'notify')), true);
  t.same(manager.listen(), ['READY=1']);
  t.equal(notifyManager('READY=1', ''), false, 'no manager');
  t.throws(() => notifyManager('READY=1', join(folder, 'nobody')), { code: 'ENOENT' });
  t.equal(watchdogIntervalMs({ WATCHDOG_USEC: '10000000' }), 10_000);
  t.equal(watchdogIntervalMs({ WATCHDOG_USEC: '10000000', WATCHDOG_PID: '1' }), 0, 'not for us');
  t.equal(watchdogIntervalMs({}), 0);
});

t.test('LoopWatch gives every data process its time, however often it is asked', async (t) => {
  const priority = { wanted: 'auto' as const, inForce: '', reason: '' };
  const one = (pid: number, heartbeat: number, alive = true) => {
    return {
      restarts: 0,
      offloads: {},
      sourcePorts: {},
      lastError: '',
      confinementGaps: [],
      priority,
      pid,
      heartbeat,
      alive,
    };
  };
  const watch = new LoopWatch();
  t.equal(watch.look([], 0, 2000), true, 'no link, no loop');
  t.equal(watch.look([one(1, 5), one(2, 9)], 0, 2000), true);
  t.equal(watch.look([one(1, 5), one(2, 9)], 150, 2000), true, 'an idle loop sleeps for a second');
  t.equal(watch.look([one(1, 6), one(2, 9)], 2000, 2000), true);
  t.equal(watch.look([one(1, 7), one(2, 9)], 2001, 2000), false, 'one stands still');
  t.equal(watch.look([one(1, 8), one(2, 10)], 2100, 2000), true, 'and goes on');
  t.equal(watch.look([one(1, 9, false), one(2, 11)], 2200, 2000), false, 'one is not alive');
  t.equal(watch.look([one(3, 9)], 9000, 2000), true, 'a successor begins anew');
});

t.test('an error of a data process is told with its age', async (t) => {
  let nowMs = 5000;
  const last = new LastError(() => nowMs);
  const worker = (errno: number, errorSite: number, errorCount: number) => {
    return { state: 1, heartbeat: 1, errno, errorSite, errorCount };
  };
  last.look(worker(0, 0, 0));
  t.equal(last.text, '');
  // EBADFD of a device that somebody deleted.
  last.look(worker(77, 1, 3));
  t.equal(last.text, 'device read: EBADFD, 0 s ago');
  nowMs += 42_000;
  last.look(worker(77, 1, 3));
  t.equal(last.text, 'device read: EBADFD, 42 s ago', 'over since');
  last.look(worker(77, 1, 4));
  t.equal(last.text, 'device read: EBADFD, 0 s ago', 'and again');
  last.note('the data process ended (signal SIGKILL)');
  nowMs += 1000;
  last.look(worker(77, 1, 4));
  t.equal(last.text, 'the data process ended (signal SIGKILL), 1 s ago', 'what came last');
});

t.test('a manager that does not read holds nobody up, and hears it all later', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'fanway-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'notify');
  const reader = new Manager(path);
  t.teardown(() => reader.close());
  const complaints: string[] = [];
  const log = { ...silentLog, warn: (_cause: string, text: string) => complaints.push(text) };
  const manager = new ServiceManager(log, (state) => notifyManager(state, path));
  t.teardown(() => manager.close());
  // As many as the socket's queue takes (net.unix.max_dgram_qlen) before one would wait.
  let filled = 0;
  t.throws(
    () => {
      for (; filled < 100_000; filled++) notifyManager('filler', path);
    },
    { code: 'EAGAIN' },
    'full, and not waited for',
  );
  for (const state of ['RELOADING=1', 'WATCHDOG=1', 'READY=1']) manager.tell(state);
  t.equal(complaints.length, 1, 'said once');
  t.equal(reader.listen().length, filled);
  await until('the rest', 1000, () => reader.listen().length === filled + 2);
  t.same(reader.heard.slice(filled), ['RELOADING=1', 'READY=1'], 'in order, the beat left out');
  manager.tell('WATCHDOG=1');
  t.equal(reader.listen().at(-1), 'WATCHDOG=1');
});

t.test(
  'a daemon runs its file, tells its manager, reloads, and leaves nothing',
  { skip },
  async (t) => {
    const lab = await Lab.create({ hosts: 1 });
    t.teardown(() => lab.close());
    const host = lab.host(0);
    const before = await picture(host);
    const conf = join(host.runDirectory, 'fanway.conf');
    const write = (text: string): void => writeFileSync(conf, text, { mode: 0o600 });
    const manager = new Manager(join(host.runDirectory, 'notify'));
    t.teardown(() => manager.close());
    write(
      `[router]\nlog-level = info\n${fan('250')}${fan('251', 'encap = ipip')}${fan('249', 'enabled = no')}`,
    );
    const daemon = startDaemon(host, conf, {
      NOTIFY_SOCKET: join(host.runDirectory, 'notify'),
      WATCHDOG_USEC: '300000',
    });
    await until('READY=1', 8000, async () =>
      manager.listen().some((text) => /^READY=1/.test(text)),
    );
    t.match(manager.heard[0], /^READY=1\nSTATUS=2 links/);
    t.same(
      (await statusOf(host)).links.map(({ name, state }) => `${name} ${state}`),
      ['fan-250-0-28 up', 'fan-251-0-28 up'],
    );
    // Fed at a third of the manager's patience, although an idle loop turns once a second only.
    await until('WATCHDOG=1', 3000, async () => {
      return manager.listen().filter((text) => text === 'WATCHDOG=1').length >= 20;
    });
    t.notMatch(daemon.said(), /stands still/);

    const second = await fanway(host, 'daemon', '-c', conf);
    t.equal(second.code, 3);
    t.match(
      second.err,
      /a router runs in .* \(daemon, pid \d+\): systemctl stop fanway, or SIGTERM, ends it/,
    );

    const indexOf = async (name: string): Promise<number> => (await host.netlink.link(name)).index;
    const index = await indexOf('fan-250-0-28');
    write(`${fan('250')}${fan('252', 'encap = fou')}`);
    daemon.child.kill('SIGHUP');
    await until('the new fan', 8000, async () =>
      (await statusOf(host)).links.some(
        ({ name, state }) => name === 'fan-252-0-28' && state === 'up',
      ),
    );
    t.equal(await indexOf('fan-250-0-28'), index, 'what did not change was not touched');
    t.notOk(await host.netlink.findLink('fan-251-0-28'), 'what is gone from the file is gone');

    const good = await picture(host);
    write(`${fan('250')}\n[fan]\noverlay = 253\nfrob = 1\n`);
    daemon.child.kill('SIGHUP');
    await until('the complaint', 5000, async () =>
      daemon.said().includes('"frob" is not a setting'),
    );
    t.match(daemon.said(), `${conf}:8: `);
    t.same(await picture(host), good, 'a wrong file changes nothing');

    write(fan('250'));
    const run = new RunDirectory(host.runDirectory);
    const told = await callRouter(run, reloadCall.path, {}, { anyNamespace: true });
    t.match(reloadCall.answer(told, '').message, /1 link taken down, 0 brought up/);
    await until('one fan', 8000, async () => (await statusOf(host)).links.length === 1);
    write(fan('250', 'datapath = auto'));
    daemon.child.kill('SIGHUP');
    const took = await until('the other data path', 8000, async () => {
      const [link] = (await statusOf(host)).links;
      if (link?.datapath === 'kernel' && link.state === 'up') return 'kernel';
      return link?.notes.find((note) => note.includes('not by the kernel'));
    });
    t.comment(took);
    t.equal(await indexOf('fan-250-0-28'), index, 'the bridge stays, whoever forwards');
    write(fan('250', 'datapath = auto\nrate = 95M'));
    daemon.child.kill('SIGHUP');
    await until('the rate', 8000, async () => {
      const [link] = (await statusOf(host)).links;
      return link?.rate?.asked === '95M' && link.state === 'up';
    });
    t.equal(await indexOf('fan-250-0-28'), index, 'another rate is no other fan');
    daemon.child.kill('SIGTERM');
    t.equal(await daemon.ended, 0);
    t.same(await picture(host), before);
    t.same(readdirSync(join(host.runDirectory, 'journal')), []);
  },
);

t.test('a killed daemon takes its links over when it is started again', { skip }, async (t) => {
  const lab = await Lab.create({ hosts: 1 });
  t.teardown(() => lab.close());
  const host = lab.host(0);
  const before = await picture(host);
  const conf = join(host.runDirectory, 'fanway.conf');
  writeFileSync(conf, `${fan('250')}${fan('251')}`, { mode: 0o600 });
  const first = startDaemon(host, conf);
  const up = async (count: number): Promise<boolean> => {
    const status = await statusOf(host).catch(() => undefined);
    return status?.links.filter(({ state }) => state === 'up').length === count;
  };
  await until('both up', 8000, () => up(2));
  const whole = await picture(host);
  const { index } = await host.netlink.link('fan-250-0-28');
  first.child.kill('SIGKILL');
  await first.ended;
  t.same(await picture(host), whole, 'devices stay while it is away');
  const second = startDaemon(host, conf);
  await until('both up again', 8000, () => up(2));
  t.same(await picture(host), whole);
  t.equal((await host.netlink.link('fan-250-0-28')).index, index, 'taken over, not made anew');

  second.child.kill('SIGKILL');
  await second.ended;
  writeFileSync(conf, fan('251'));
  const third = startDaemon(host, conf);
  await until('one up', 8000, () => up(1));
  t.notOk(await host.netlink.findLink('fan-250-0-28'), 'what the file lacks now was taken back');
  third.child.kill('SIGTERM');
  t.equal(await third.ended, 0);
  t.same(await picture(host), before);
});

t.test('a fan that cannot be yet is waited for', { skip }, async (t) => {
  const lab = await Lab.create({ hosts: 1 });
  t.teardown(() => lab.close());
  const host = lab.host(0);
  await host.netlink.deleteAddress('eth0', host.address, host.length);
  const conf = join(host.runDirectory, 'fanway.conf');
  // The second one is to share the bridge that the first has by itself.
  const six = '[fan]\noverlay = fd00:fa::/32\nunderlay = eth0\nbridge = fan-250-0-28\n';
  writeFileSync(conf, `${fan('250')}${six}`, { mode: 0o600 });
  const daemon = startDaemon(host, conf);
  const links = async () => (await statusOf(host).catch(() => undefined))?.links ?? [];
  await until('both wait', 8000, async () => {
    const now = await links();
    return now.length === 2 && now.every(({ state }) => state === 'stopped');
  });
  const nowhere = { underlay: 'eth0/16', slice: '', gateway: '', six: null, device: '', vni: 0 };
  t.match(
    await links(),
    [
      { ...nowhere, name: 'fan-250', overlay: '250.0.0.0/8' },
      { ...nowhere, name: 'fan-250-0-28', overlay: 'fd00:fa::/32' },
    ],
    'what was asked for is shown, and nothing that is not there',
  );
  t.match((await fanway(host, 'status')).out, /overlay 250\.0\.0\.0\/8 over eth0\/16\n/);
  await host.netlink.addAddress('eth0', host.address, host.length);
  const both = (): Promise<boolean> =>
    until('it is up, with both families', 8000, async () => {
      const now = await links();
      const [link] = now;
      const isDual = link?.overlay === '250.0.0.0/8 and fd00:fa::/32';
      return now.length === 1 && isDual && link.state === 'up';
    });
  await both();
  const { index } = await host.netlink.link('fan-250-0-28');
  const run = new RunDirectory(host.runDirectory);
  const told = await callRouter(run, reloadCall.path, {}, { anyNamespace: true });
  t.match(reloadCall.answer(told, '').message, /0 links taken down, 0 brought up/);
  daemon.child.kill('SIGKILL');
  await daemon.ended;
  const next = startDaemon(host, conf);
  await both();
  t.equal((await host.netlink.link('fan-250-0-28')).index, index, 'taken over as one');
  next.child.kill('SIGTERM');
  t.equal(await next.ended, 0);
});

t.test('gossip by the file: begun, waiting for a key, changed and ended', { skip }, async (t) => {
  const lab = await Lab.create({ hosts: 2, containersPerHost: 0 });
  t.teardown(() => lab.close());
  const [host, other] = [lab.host(0), lab.host(1)];
  const conf = join(host.runDirectory, 'fanway.conf');
  const write = (gossip: string): void => writeFileSync(conf, `${fan('250.0.0.0/8')}${gossip}`);
  write('[gossip]\nname = by-file\n');
  const { child, ended, said } = startDaemon(host, conf);
  const gossip = async (): Promise<GossipStatus | null> => (await statusOf(host)).gossip;
  await until('it waits for a key', 20_000, async () => {
    const status = await gossip().catch(() => null);
    return status?.state === 'stopped' && /fanway keygen/.test(status.reason);
  });
  t.equal((await statusOf(host)).links[0]?.state, 'up', 'the fan does not wait');
  const key = join(host.runDirectory, 'new.key');
  t.equal((await fanway(host, 'keygen', '--out', key)).code, 0);
  t.equal((await fanway(host, 'key', 'add', key)).code, 0);
  t.match(await gossip(), { state: 'up', name: 'by-file', reason: '' });
  t.equal((await fanway(host, 'announce', '250.9.9.9')).code, 0);

  t.equal((await fanway(other, 'join', '--name', 'other', '--key', key)).code, 0);
  write(`[gossip]\nname = by-file\nseeds = ${formatIpv4(other.address)}\n`);
  child.kill('SIGHUP');
  await until('the seed that was added is a member', 20_000, async () => {
    return (await gossip())?.members.alive === 2;
  });
  t.match(await gossip(), { epoch: 1, announced: ['250.9.9.9/32'] });

  // Killed and started again, as a service manager would: it goes on.
  child.kill('SIGKILL');
  await ended;
  const next = startDaemon(host, conf);
  await until('it is a member again', 20_000, async () => {
    const status = await gossip().catch(() => null);
    return status?.members.alive === 2 && status.epoch === 2;
  });
  t.match(await gossip(), { announced: ['250.9.9.9/32'] });

  write('[gossip]\nname = another\n');
  next.child.kill('SIGHUP');
  await until('it says what needs a restart', 20_000, async () =>
    /needs a restart/.test(next.said()),
  );
  write('');
  next.child.kill('SIGHUP');
  await until('it has left', 20_000, async () => (await gossip()) === null);
  next.child.kill('SIGTERM');
  t.equal(await next.ended, 0, said());
  await fanway(other, 'leave');
  await fanway(other, 'down', '-e');
});
