import { spawn } from 'node:child_process';
import t, { type Test } from 'tap';
import { Lab, type LabHost } from '../../src/demo/lab.ts';
import { killAllIn, processesIn } from '../../src/demo/processes.ts';
import { hasNft } from '../../src/sys/host/nft.ts';
import { fanway, fanwayWith, type Outcome, picture } from '../control/lab-router.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { until } from '../support/patience.ts';
import { readableProgram } from '../support/readable.ts';

// Real processes on a busy machine.
t.setTimeout(1_200_000);

const skip = skipWithoutTun();

async function oneHost(t: Test): Promise<LabHost> {
  const lab = await Lab.create({ hosts: 1 });
  t.teardown(() => lab.close());
  return lab.host(0);
}

t.test('what cannot be is refused with its exit code, and nothing happens', { skip }, async (t) => {
  const host = await oneHost(t);
  await host.netlink.createBridge('br0', { up: true });
  await host.netlink.addAddress('br0', 0xfa090909, 24);
  const before = await picture(host);
  const table: [words: string, code: number, expected: RegExp][] = [
    ['up 250 eth0', 3, /250\.9\.9\.9\/24 on br0 and the route 250\.9\.9\.0\/24/],
    ['up 251 eth9', 3, /no device eth9/],
    ['up 251 172.30.0.99', 3, /not an address of this host/],
    ['up 127 eth0', 3, /never leaves a host/],
    ['up 251.0.0.0/16 eth0/8', 3, /no slice for each/],
    ['up 251 eth0 bridge br0', 3, /called br0/],
    ['up 251 default', 3, /no default route/],
    ['up 251', 2, /underlay of the fan is missing/],
    ['up 251 eth0 bridge a-name-of-17-chars', 2, /Linux takes 15/],
    ['up 251 eth0 --frob', 2, /not an option/],
    ['net add x --vni 9 --behind-nat', 2, /--behind-nat is for fans.*--outer/],
    ['up 251 eth0 --queues 0', 2, /--queues 0: choose a number from 1 to 8, or auto/],
    ['up 251 eth0 --queues many', 2, /--queues many: choose/],
    ['up 251 eth0 --queues 9', 2, /from 1 to 8/],
    ['up 251 eth0 --busy-poll -1', 2, /--busy-poll -1: choose a number from 0 to 100000/],
    ['up 251 eth0 --busy-poll', 2, /--busy-poll needs a value/],
    ['up -a --file /nowhere', 2, /\/nowhere: is not there/],
    ['down', 2, /name a fan/],
    ['down 251 eth0', 3, /not configured/],
    ['down fan-251-0-28', 3, /not configured/],
    ['frob', 2, /is no verb/],
    ['show x', 2, /one word too many for show/],
    ['status', 5, /no router runs/],
    ['counters', 5, /fanway up starts one/],
    ['explain 250.0.0.x', 2, /not an IPv4 address/],
    ['check', 2, /name the file/],
    ['daemon -c /nowhere', 2, /is not there/],
    ['capture', 5, /no router runs/],
    ['capture --count x', 2, /is a number of packets: fanway capture/],
  ];
  for (const [words, code, expected] of table) {
    const outcome = await fanway(host, ...words.split(' '));
    t.equal(outcome.code, code, words);
    t.match(outcome.err, expected, words);
  }
  const json = await fanway(host, 'up', '251', 'eth9', '--json');
  t.match(JSON.parse(json.out), { error: { code: 'underlay-no-device', exitCode: 3 } });
  t.same(await picture(host), before);
  t.same(processesIn(host.namespace.inode), [], 'no router was started for it');
  t.match(await fanway(host, 'up', '251', 'eth0', 'off'), { code: 0, out: /^off: / });
  t.equal((await fanway(host, 'up', '250', 'eth0', '--force')).code, 0, '--force goes on');
  t.equal((await fanway(host, 'down', '-e')).code, 0);
  t.same(await picture(host), before);
});

t.test('two namespaces and one run directory: the second is refused', { skip }, async (t) => {
  const lab = await Lab.create({ hosts: 2, containersPerHost: 0 });
  t.teardown(() => lab.close());
  const [first, second] = [lab.host(0), lab.host(1)];
  const before = await picture(first);
  const foreign = (...args: string[]): Promise<Outcome> =>
    fanwayWith(second, first.environment, ...args);
  t.equal((await fanway(first, 'up', '250', 'eth0')).code, 0);
  const [up, empty] = [await picture(first), await picture(second)];
  for (const words of [
    'up 250 eth0',
    'up 251 eth0',
    'down -e --force',
    'status',
    'join',
    'plan 251 eth0',
  ]) {
    const { code, err } = await foreign(...words.split(' '));
    t.equal(code, 3, words);
    t.match(
      err,
      /router of another network namespace .*FANWAY_RUN_DIR=\/run\/fanway-\d+ fanway /,
      words,
    );
  }
  t.same(await picture(first), up, 'the other host lost nothing');
  t.same(await picture(second), empty, 'and nothing was made here');
  // What a killed router left is no more the second one's to take.
  killAllIn(first.namespace.inode);
  const keeper = first.spawn('sleep', ['600']);
  t.match(await foreign('down', '-e', '--force'), { code: 3, err: /another network namespace/ });
  t.same(await picture(first), up);
  t.equal((await fanway(first, 'down', '-e')).code, 0);
  keeper.kill('SIGKILL');
  t.same(await picture(first), before);
  t.match(
    await foreign('up', '250', 'eth0'),
    { code: 0 },
    'nothing is left there: it changes hands',
  );
  t.match(await foreign('down', '-e'), { code: 0 });
  t.same(await picture(second), empty);
});

t.test('masquerading is there with the fan and gone with it', async (t) => {
  if (skip !== false) return void t.plan(0, skip);
  if (!hasNft()) return void t.plan(0, 'nft is not installed (package nftables)');
  const host = await oneHost(t);
  const rules = (): Promise<string> =>
    new Promise((resolve) => {
      const child = host.spawn('nft', ['list', 'ruleset'], { stdio: ['ignore', 'pipe', 'ignore'] });
      let text = '';
      child.stdout?.on('data', (chunk) => {
        text += String(chunk);
      });
      child.on('close', () => resolve(text));
    });
  await fanway(host, 'up', '250', 'eth0');
  t.match(await rules(), /ip saddr 250\.0\.28\.0\/24 ip daddr != 250\.0\.0\.0\/8.*masquerade/);
  await fanway(host, 'up', '251', 'eth0', '--no-masquerade');
  t.notMatch(await rules(), /251\.0/);
  // Another tool clears everything: it is back within ten seconds.
  const flushed = await new Promise((resolve) => {
    host.spawn('nft', ['flush', 'ruleset']).once('close', resolve);
  });
  t.equal(flushed, 0);
  await until('masquerading is back', 10_000, async () => /masquerade/.test(await rules()));
  t.equal((await fanway(host, 'down', '-e')).code, 0);
  t.equal(await rules(), '');
});

t.test('a port that something else has: the reason, and nothing is left', { skip }, async (t) => {
  const host = await oneHost(t);
  const before = await picture(host);
  const script = `require('node:dgram').createSocket('udp4').bind(4789, () => console.log('bound'))`;
  const other = host.spawn(process.execPath, ['-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await new Promise((resolve) => other.stdout?.once('data', resolve));
  const up = await fanway(host, 'up', '250', 'eth0');
  t.equal(up.code, 1);
  t.match(up.err, /EADDRINUSE; something else has UDP port 4789.*--port/);
  t.same(await picture(host), before, 'what had been made was taken back');
  t.equal((await fanway(host, 'up', '250', 'eth0', '--port', '4790')).code, 0);
  t.equal((await fanway(host, 'down', '-e')).code, 0);
  t.same(await picture(host), before);
});

t.test('two commands at once do not disturb each other', { skip }, async (t) => {
  const host = await oneHost(t);
  const before = await picture(host);
  const outcomes = await Promise.all([
    fanway(host, 'up', '250', 'eth0'),
    fanway(host, 'up', '250', 'eth0'),
    fanway(host, 'up', '251', 'eth0'),
  ]);
  for (const { code, err } of outcomes) t.equal(code, 0, err);
  t.equal((await fanway(host, 'show')).out.trim().split('\n').length, 3);
  const downs = await Promise.all([
    fanway(host, 'down', '250', 'eth0'),
    fanway(host, 'down', '251', 'eth0'),
  ]);
  for (const { code, err } of downs) t.equal(code, 0, err);
  t.same(await picture(host), before);
  t.same(processesIn(host.namespace.inode), []);
});

t.test('without the right to change the network it says so', { skip }, async (t) => {
  if (process.getuid?.() !== 0) return void t.plan(0, 'needs root to become somebody else');
  const host = await oneHost(t);
  const run = (...args: string[]): Promise<{ code: number | null; err: string }> =>
    new Promise((resolve) => {
      const child = host.run(() =>
        spawn(process.execPath, [readableProgram(), ...args], {
          env: { ...process.env, FANWAY_RUN_DIR: '/tmp/fanway-nobody' },
          stdio: ['ignore', 'ignore', 'pipe'],
          uid: 65534,
          gid: 65534,
        }),
      );
      let err = '';
      child.stderr?.on('data', (chunk) => {
        err += String(chunk);
      });
      child.on('error', (error) => resolve({ code: -1, err: error.message }));
      child.on('close', (code) => resolve({ code, err }));
    });
  const up = await run('up', '250', 'eth0');
  t.equal(up.code, 4, up.err);
  t.match(up.err, /needs CAP_NET_ADMIN: run it as root/);
  t.equal((await run('plan', '250', 'eth0')).code, 0, 'planning needs no right');
  const net = await run('net', 'plan', 'blue', '--vni', '100', '--underlay', 'eth0/16');
  t.equal(net.code, 0, net.err);
});
