/**
 * Rules where the data path never sees a packet: between two containers of one host, and between two
 * networks that one host routes. Somebody undoes them, and control dies, in the middle.
 * @module
 */
import { execFileSync } from 'node:child_process';
import t, { type Test } from 'tap';
import type { PolicyJson } from '../../../src/api/network/policy.ts';
import type { LabContainer, LabHost } from '../../../src/demo/lab.ts';
import { writeSysctl } from '../../../src/sys/host/sysctl.ts';
import { until } from '../../support/patience.ts';
import { fanway, picture, statusOf } from '../lab-router.ts';
import { networkOf, ping, plug, run, skipWithoutPing, startHosts } from './lab.ts';

const [A, B, RED] = ['10.1.0.1', '10.1.0.2', '10.2.0.2'];
const skip = skipWithoutPing || (!hasNft() && 'there is no nft here');

function hasNft(): boolean {
  try {
    execFileSync('nft', ['--version']);
    return true;
  } catch {
    return false;
  }
}

function tables(host: LabHost): string {
  return host.run(() => execFileSync('nft', ['list', 'tables'], { encoding: 'utf8' }));
}

/**
 * A program for a container: answers over TCP and UDP at two ports, and asks others. A line `udp ADDRESS PORT`
 * is answered by `yes` or `no`.
 */
const TALKER = `const dgram = require('dgram'), net = require('net');
for (const port of [5000, 5001]) {
  net.createServer((s) => { s.on('error', () => {}); s.pipe(s); }).listen(port, '0.0.0.0');
  const u = dgram.createSocket('udp4'); u.on('message', (m, r) => u.send(m, r.port, r.address)); u.bind(port);
}
require('readline').createInterface({ input: process.stdin }).on('line', (line) => {
  const [how, to, port] = line.split(' ');
  let isOver = false;
  const u = dgram.createSocket('udp4');
  const s = how === 'tcp' ? net.connect(Number(port), to) : undefined;
  const end = (word) => { if (isOver) return; isOver = true; console.log(word); s?.destroy(); u.close(); };
  s?.on('error', () => end('no')); s?.on('data', () => end('yes')); s?.write('x');
  u.on('message', () => end('yes'));
  if (how === 'udp') u.send('x', Number(port), to);
  setTimeout(() => end('no'), 400);
});
console.log('up');`;

type Talker = (how: 'tcp' | 'udp', to: string, port: number) => Promise<boolean>;

async function talker(at: LabContainer): Promise<Talker> {
  const stdio = ['pipe', 'pipe', 'inherit'] as const;
  const child = at.spawn(process.execPath, ['-e', TALKER], { stdio: [...stdio] });
  const next = (): Promise<string> =>
    new Promise((resolve) => child.stdout?.once('data', (chunk) => resolve(String(chunk).trim())));
  await next();
  return async (how, to, port) => {
    const answer = next();
    child.stdin?.write(`${how} ${to} ${port}\n`);
    return (await answer) === 'yes';
  };
}

/** Each is found, told, and mended. */
async function audit(t: Test, host: LabHost, a: LabContainer): Promise<void> {
  const tool = (name: string, ...args: string[]): string =>
    host.run(() => execFileSync(name, args, { encoding: 'utf8' }));
  await until('it is known', 5000, async () => {
    // Who knows the other still asks nobody, and is not heard.
    a.run(() => execFileSync('ip', ['neigh', 'flush', 'dev', 'eth0']));
    return (await ping(a, B)) >= 0 && new RegExp(A).test(await run(host, 'arp', 'blue'));
  });
  const broken: [string, string[], RegExp][] = [
    [
      'ip',
      ['neigh', 'replace', A, 'lladdr', '02:00:00:00:00:99', 'dev', 'br-blue', 'nud', 'permanent'],
      /10\.1\.0\.1 is 02:00:00:00:00:01, and a permanent neighbour/,
    ],
    [
      'bridge',
      // One that is not sticky goes with the next word of the workload.
      ['fdb', 'replace', '02:00:00:00:00:01', 'dev', 'fwn-100', 'master', 'static', 'sticky'],
      /static entry of the bridge sends 02:00:00:00:00:01 into the tunnel/,
    ],
  ];
  for (const [name, args, told] of broken) {
    tool(name, ...args);
    await until(`${name} ${args.join(' ')} is found`, 5000, async () => {
      const { code, out } = await fanway(host, 'audit');
      return code === 1 && told.test(out);
    });
    t.match(await run(host, 'audit', '--repair'), told);
    await until('nothing differs', 5000, async () => (await fanway(host, 'audit')).code === 0);
  }
  await until('it is where it was', 5000, async () => {
    await ping(a, B);
    return /02:00:00:00:00:01 +here/.test(await run(host, 'mac', 'show', 'blue'));
  });
  t.match(tool('bridge', 'fdb', 'show', 'br', 'br-blue'), /02:00:00:00:00:01 dev veth-c1 /);
}

t.test('rules between containers of one host, and between its networks', { skip }, async (t) => {
  const at = await startHosts(t, { hosts: 1, containersPerHost: 3, ipv6: true });
  const { lab } = at;
  const host = lab.host(0);
  host.run(() => writeSysctl('net/ipv4/ip_forward', '1'));
  const before = await picture(host);
  for (const [name, vni, address] of [
    ['blue', '100', '10.1.0.254/24'],
    ['red', '200', '10.2.0.254/24'],
  ] as const) {
    const words = ['--underlay', 'eth0/16', '--address', address];
    await run(host, 'net', 'add', name, '--vni', vni, ...words);
  }
  const [a, b, red] = [lab.container(0, 0), lab.container(0, 1), lab.container(0, 2)];
  for (const [container, bridge, mac, address, via] of [
    [a, 'br-blue', '02:00:00:00:00:01', 0x0a010001, '10.1.0.254'],
    [b, 'br-blue', '02:00:00:00:00:02', 0x0a010002, '10.1.0.254'],
    [red, 'br-red', '02:00:00:00:00:03', 0x0a020002, '10.2.0.254'],
  ] as const) {
    await plug(container, bridge, mac, address);
    container.run(() => execFileSync('ip', ['route', 'add', 'default', 'via', via]));
  }
  const [fromA, fromB, fromRed] = await Promise.all([talker(a), talker(b), talker(red)]);
  const rule = (...words: string[]) => run(host, 'net', ...words);
  const hits = async (text: string): Promise<number> => {
    const json = JSON.parse(await run(host, 'net', 'rules', 'blue', '--json')) as PolicyJson;
    return json.rules.find((one) => one.rule === text)?.hits ?? 0;
  };
  const passes = async (what: string, look: () => Promise<boolean>): Promise<void> => {
    t.ok(await until(what, 5000, look), what);
  };
  const isHeld = (): Promise<boolean> =>
    until('the rule holds', 5000, async () => !(await fromA('tcp', B, 5000)));

  await passes('without rules everybody talks', () => fromA('tcp', B, 5000));
  t.notMatch(tables(host), /fanway-rules/, 'and nothing is asked of the bridge');

  await rule('deny', 'blue', 'to', B);
  await rule('allow', 'blue', 'to', B, 'tcp', 'port', '5001');
  await isHeld();
  await passes('what is allowed', () => fromA('tcp', B, 5001));
  await passes('the other way round, with its answers', () => fromB('tcp', A, 5000));
  await passes('UDP too', () => fromB('udp', A, 5000));
  t.notOk(await fromA('udp', B, 5000), 'and not that way');
  t.equal(await ping(a, B), 0, 'no ping there');
  await passes('but from there', async () => (await ping(b, A)) === 1);
  await passes('the host answers', async () => (await ping(b, '10.1.0.254')) === 1);
  // Rules that are loaded anew count anew.
  await passes('what the bridge stopped is counted', async () => {
    await fromA('udp', B, 5000);
    return (await hits(`deny to ${B}`)) > 0;
  });
  t.strictSame((await networkOf(host, 'blue')).notes, [], 'nothing is left out');

  // A label is a MAC.
  await rule('revoke', 'blue', 'deny', 'to', B);
  await until('it is gone', 5000, async () => fromA('tcp', B, 5000));
  await rule('label', 'blue', '02:00:00:00:00:02', 'db');
  await rule('deny', 'blue', 'to', 'label:db', 'tcp', 'port', '5000');
  await isHeld();
  await passes('as before', () => fromA('udp', B, 5000));
  await passes('as before', () => fromB('tcp', A, 5000));

  await t.test('networks are apart, but for what a rule allows', async (t) => {
    t.notOk(await fromRed('tcp', B, 5001), 'denied by default');
    t.notOk(await fromB('tcp', RED, 5000), 'both ways');
    t.match(await run(host, 'net', 'rules', 'blue'), /deny to and from other networks/);
    await rule('allow', 'blue', 'from', 'network:red', 'to', B, 'tcp', 'port', '5001');
    await passes('what is allowed passes', () => fromRed('tcp', B, 5001));
    t.notOk(await fromRed('tcp', A, 5001), 'and no more');
    t.notOk(await fromB('tcp', RED, 5000), 'nor the other way round');
  });

  await t.test('somebody flushes the ruleset, and control dies', async (t) => {
    host.run(() => execFileSync('nft', ['flush', 'ruleset']));
    await isHeld();
    await until('networks are apart again', 5000, async () => !(await fromRed('tcp', A, 5001)));
    const { repaired } = await networkOf(host, 'blue');
    t.match(repaired.map(({ what }) => what).join(), /rules between containers/);
    const { pid } = await statusOf(host);
    process.kill(pid, 'SIGKILL');
    t.notOk(await fromA('tcp', B, 5000), 'while control is away they hold');
    await until('control is there again', 10_000, async () => {
      return (await statusOf(host).catch(() => ({ pid }))).pid !== pid;
    });
    t.notOk(await fromA('tcp', B, 5000), 'and after');
    await passes('what is allowed still is', () => fromRed('tcp', B, 5001));
  });

  await t.test('other tools undo it, and an audit puts it right', (t) => audit(t, host, a));

  for (const container of lab.containers) await container.detach();
  for (const name of ['blue', 'red']) await run(host, 'net', 'rm', name);
  t.notMatch(tables(host), /fanway/, 'nothing is left');
  const plain = (lines: string[]) => lines.filter((line) => !line.includes('veth-c'));
  t.strictSame(plain(await picture(host)), plain(before));
});
