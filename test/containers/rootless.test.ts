import type { ChildProcess, SpawnOptions } from 'node:child_process';
import { chownSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { RouterStatus } from '../../src/api/status.ts';
import { findWay } from '../../src/cli/run/internet.ts';
import { callRouter } from '../../src/control/admin/admin-client.ts';
import { RunDirectory } from '../../src/control/store/run-directory.ts';
import { Lab } from '../../src/demo/lab.ts';
import { processesIn } from '../../src/sys/process/namespace-processes.ts';
import { runTcpPair } from '../../src/traffic/run.ts';
import type { Outcome } from '../control/lab-router.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { skipLong } from '../support/long.ts';
import { promised, until } from '../support/patience.ts';
import { killIfThere } from '../support/processes.ts';
import { noPing } from '../support/tools.ts';
import { collect, OrdinaryUser } from './user.ts';

t.setTimeout(1_200_000);

const FAN = ['--fan', '250.0.0.0/8', 'eth0/16', '--no-internet'];
const [A, B] = ['250.0.28.1', '250.1.27.1'] as const;
const BYTES = 32 << 20;
/** Pings go on within this after the router was killed, ms. */
const BACK_MS = 2000;

/** One user's network with a command that stays in it. */
class Network {
  readonly user: OrdinaryUser;
  #stay: ChildProcess | undefined;

  constructor(user: OrdinaryUser) {
    this.user = user;
  }

  async start(...more: string[]): Promise<void> {
    const words = ['run', ...FAN, ...more, '--', 'sh', '-c', 'echo here; exec sleep 1000'];
    const child = this.user.fanway(words, { stdio: ['ignore', 'pipe', 'inherit'] });
    this.#stay = child;
    let said = '';
    child.stdout?.on('data', (chunk: Buffer) => {
      said += chunk.toString();
    });
    await until('the command runs', 15_000, () => {
      if (child.exitCode !== null) throw new Error(`fanway run ended with ${child.exitCode}`);
      return said !== '';
    });
  }

  /** A further run in the network that is there. */
  spawn(command: string, args: readonly string[], options: SpawnOptions = {}): ChildProcess {
    return this.user.fanway(['run', '--', command, ...args], options);
  }
  does(command: string, ...args: string[]): Promise<Outcome> {
    return this.user.does('run', '--', command, ...args);
  }

  async status(): Promise<RouterStatus> {
    const run = new RunDirectory(this.user.runDirectory);
    return (await callRouter(run, '/v1/status', undefined, {
      anyNamespace: true,
    })) as RouterStatus;
  }

  /** Ends the command that stays; the network goes with it where it was the last. */
  async end(signal: NodeJS.Signals): Promise<number | null> {
    const child = this.#stay;
    if (child === undefined) return null;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    await ended;
    return child.exitCode;
  }

  /** What of fanway's is left on the host: processes outside of the network, and its door. */
  left(): string[] {
    const pids = processesIn(this.user.host.namespace.inode).map((pid) => `process ${pid}`);
    return [
      ...pids,
      ...['door.sock', 'netns', 'control.sock'].filter((name) => {
        return existsSync(join(this.user.runDirectory, name));
      }),
    ];
  }
}

const ping = ['ping', '-c', '3', '-i', '0.2', '-W', '2'] as const;

t.test(
  'fanway run, an ordinary user on each of two hosts',
  { skip: skipWithoutTun() || noPing() },
  async (t) => {
    const lab = await Lab.create({ hosts: 2, containersPerHost: 0 });
    t.teardown(() => lab.close());
    const [a, b] = lab.hosts.map((host) => new Network(new OrdinaryUser(host)));
    if (a === undefined || b === undefined) throw new Error('two users were asked for');
    t.teardown(() => {
      for (const { user } of [a, b]) user.close();
    });

    await t.test('one command', async (t) => {
      const script = 'id -u; read word; echo "$word"; exit 7';
      const child = a.user.fanway(['run', ...FAN, '--', 'sh', '-c', script], { stdio: 'pipe' });
      child.stdin?.end('typed\n');
      t.match(
        await collect(child),
        { code: 7, out: '0\ntyped\n', err: '' },
        'its exit code is ours',
      );
      t.same(a.left(), [], 'nothing is left');
      t.match(await a.user.does('run', '--', 'true'), { code: 2, err: /name the fan/ });
      t.same(a.left(), [], 'nor after a refusal');
      t.match(await a.user.does('run', ...FAN, '--encap', 'ipip', '--', 'true'), {
        code: 4,
        err: /raw sockets, which only root may open/,
      });
    });

    await a.start();
    await b.start();
    const reaches = async (): Promise<boolean> => (await a.does(...ping, B)).code === 0;
    t.ok(await reaches(), 'from one network to the other');

    await t.test('TCP between them', async (t) => {
      const path = { from: a, to: b, address: B };
      const { sent, received } = await runTcpPair(path, { port: 7000, bytes: BYTES, sha256: true });
      t.equal(received.streams[0]?.bytes, BYTES);
      t.equal(received.streams[0]?.sha256, sent.streams[0]?.sha256, 'what was sent is what came');
    });

    await t.test('the router is killed, and its data process', async (t) => {
      const before = await a.status();
      process.kill(before.pid, 'SIGKILL');
      const killedMs = performance.now();
      const after = await until('another router answers', 10_000, async () => {
        const now = await a.status().catch(() => undefined);
        return now !== undefined && now.pid !== before.pid && now.links[0]?.state === 'up' && now;
      });
      promised(t, 'it is taken over', performance.now() - killedMs, BACK_MS);
      t.ok(await reaches());
      const [data] = after.processes;
      killIfThere(data?.pid ?? 0);
      await until('another data process', 10_000, async () => {
        const [now] = (await a.status()).processes;
        return now?.alive === true && now.pid !== data?.pid;
      });
      t.ok(await reaches());
      t.equal((await a.does(...ping, A)).code, 0, 'its own address');
    });

    await t.test('somebody takes pieces away inside', { skip: skipLong }, async (t) => {
      t.equal((await a.does('ip', 'link', 'del', 'fw-250-0-28')).code, 0);
      await until('the device is back', 10_000, reaches);
      t.equal((await a.does('ip', 'addr', 'flush', 'dev', 'fan-250-0-28')).code, 0);
      await until('the address is back', 10_000, reaches);
      t.ok(((await a.status()).links[0]?.repairs ?? 0) >= 2, 'status counts it');
    });

    await t.test('names of hosts', { skip: skipLong }, async (t) => {
      const { out, err } = await a.user.does('join', '--name', 'alpha');
      const key = join(b.user.home, 'key');
      writeFileSync(key, /^\S+ use$/m.exec(out)?.[0] ?? err, { mode: 0o600 });
      chownSync(key, b.user.uid, b.user.uid);
      // Also where the network is there already.
      const joined = ['--join', '172.30.0.28', '--key', key, '--name', 'beta'];
      const script = 'until grep " alpha$" /etc/hosts; do sleep 0.1; done; ping -c 1 -W 2 alpha';
      const said = await b.user.does('run', ...joined, '--', 'timeout', '20', 'sh', '-c', script);
      t.match(said, { code: 0, out: /^250\.0\.28\.1 alpha$/m, err: '' });
      const machine = readFileSync('/etc/hosts', 'utf8');
      t.notMatch(machine, /alpha/, "in the command's own list");
    });

    await t.test('IPv6', { skip: skipLong }, async (t) => {
      for (const { user } of [a, b]) {
        const six = ['--fan', 'fd00:fa::/32', 'eth0/16', '--vni', '77'];
        t.equal((await user.does('run', ...six, '--', 'true')).code, 0, 'a second fan in it');
      }
      t.equal((await a.does(...ping, 'fd00:fa:11b::1')).code, 0, 'from one network to the other');
    });

    await t.test('a layer-2 network beside them', { skip: skipLong }, async (t) => {
      const net = (address: string): string[] => [
        ...['run', '--net', 'blue', '--vni', '100', '--address', address, '--no-internet'],
        ...['--', 'true'],
      ];
      t.match(await a.user.does('run', '--net', 'blue', '--', 'true'), { code: 2, err: /--vni N/ });
      for (const [{ user }, host] of [
        [a, '1'],
        [b, '2'],
      ] as const) {
        t.match(await user.does(...net(`10.9.0.${host}/24,fd00:9::${host}/64`)), { code: 0 });
      }
      const meets = async (): Promise<boolean> => {
        const four = await a.does('ping', '-c', '1', '-W', '1', '10.9.0.2');
        const six = await a.does('ping', '-c', '1', '-W', '1', 'fd00:9::2');
        return four.code === 0 && six.code === 0;
      };
      await until('IPv4 and IPv6 from one to the other', 10_000, meets);
      const { networks } = await a.status();
      t.match(networks, [{ network: 'blue', state: 'up', memberCount: 1 }]);

      const before = await b.status();
      process.kill(before.pid, 'SIGKILL');
      await until('another router', 10_000, async () => {
        return ((await b.status().catch(() => before)) ?? before).pid !== before.pid;
      });
      await until('what the killed one knew is announced again', 10_000, meets);
      t.equal((await b.does('ip', 'addr', 'flush', 'dev', 'br-blue')).code, 0);
      await until('somebody took the addresses away: they are back', 10_000, meets);
      t.match(await a.user.does(...net('10.9.0.1/24')), { code: 3, err: /addresses 10\.9\.0\.1/ });
    });

    await t.test('killed, and ended', async (t) => {
      t.equal(await b.end('SIGTERM'), 128 + 15, 'a signal reaches the command');
      t.same(b.left(), [], 'nothing is left of the one that was ended');
      await a.end('SIGKILL');
      await until(
        'nothing is left of the one that was killed',
        10_000,
        () => a.left().length === 0,
      );
      t.equal((await a.user.does('run', ...FAN, '--', ...ping, A)).code, 0, 'and it runs again');
    });

    await t.test('a device that root made for the user', { skip: skipLong }, async (t) => {
      const { user } = b;
      const { host } = user;
      const up = ['up', '250.0.0.0/8', 'eth0/16', '--device', 'tap0'];
      const ip = async (...words: string[]): Promise<void> => {
        t.equal((await collect(host.spawn('ip', words))).code, 0, `ip ${words.join(' ')}`);
      };
      t.match(await user.does(...up), { code: 3, err: /ip tuntap add dev tap0 mode tap user/ });
      await ip('tuntap', 'add', 'dev', 'tap0', 'mode', 'tap', 'user', '0');
      t.match(await user.does(...up), { code: 1, err: /TUNSETIFF|tap0/ }, 'of another user');
      await ip('link', 'del', 'tap0');
      await ip('tuntap', 'add', 'dev', 'tap0', 'mode', 'tap', 'user', String(user.uid));
      t.match(await user.does(...up), { code: 0, err: /ip address add 250\.1\.27\.1\/8 dev tap0/ });
      await ip('address', 'add', `${B}/8`, 'dev', 'tap0');
      await ip('link', 'set', 'tap0', 'mtu', '1450', 'up');
      const across = async (): Promise<boolean> => {
        return (await a.user.does('run', ...FAN, '--', ...ping, B)).code === 0;
      };
      t.ok(await across(), 'a network of its own at the other end');
      const before = await b.status();
      process.kill(before.pid, 'SIGKILL');
      await until('another router', 10_000, async () => {
        return ((await b.status().catch(() => before)) ?? before).pid !== before.pid;
      });
      t.ok(await across(), 'after a crash');
      await ip('address', 'flush', 'dev', 'tap0');
      await until('status says what is missing', 10_000, async () => {
        const [link] = (await b.status()).links;
        return link?.reason.includes('no address in the overlay');
      });
      t.match(await user.does('down', '-e'), { code: 0 });
      t.equal((await host.netlink.link('tap0')).kind, 'tun', 'the device stays');
      await ip('link', 'del', 'tap0');
    });

    await t.test('beyond the overlay', { skip: skipLong }, async (t) => {
      const way = findWay();
      if (way === undefined) return void t.plan(0, 'neither pasta nor slirp4netns is installed');
      const [hostA, hostB] = [lab.host(0), lab.host(1)];
      const [from, to] = ['172.30.0.28', '172.30.1.27'];
      // Whoever speaks for the network looks for the machine's own way out.
      await hostA.netlink.addRoute({ dst: { address: 0, length: 0 }, via: hostB.address });
      const serve = `require('http').createServer((q, r) => r.end(q.socket.remoteAddress)).listen(8000, '${to}', () => console.log('here'))`;
      const server = hostB.spawn(process.execPath, ['-e', serve], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      await new Promise((resolve) => server.stdout?.once('data', resolve));
      const look = `fetch('http://${to}:8000/').then((answer) => answer.text()).then(console.log)`;
      const fan = FAN.filter((word) => word !== '--no-internet');
      const said = await a.user.does('run', ...fan, '--', process.execPath, '-e', look);
      t.match(said, { code: 0, out: `${from}\n`, err: '' }, `by ${way.program}`);
      t.same(a.left(), [], 'and it is gone');
    });
  },
);

t.test('fanway run says what is in the way', { skip: skipWithoutTun() }, async (t) => {
  const lab = await Lab.create({ hosts: 1, containersPerHost: 0 });
  t.teardown(() => lab.close());
  const user = new OrdinaryUser(lab.host(0), 0o600);
  t.teardown(() => user.close());
  const said = await user.does('run', ...FAN, '--', 'true');
  t.match(said, { code: 4, err: /\/dev\/net\/tun may not be opened by this user \(mode 0600\)/ });
});
