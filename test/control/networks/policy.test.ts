/**
 * Rules that go with a workload: three hosts, one network, and a server whose connection goes on while it
 * moves, with its MAC, its address and its rules.
 * @module
 */
import t from 'tap';
import type { PolicyJson } from '../../../src/api/network/policy.ts';
import type { LabContainer, LabHost } from '../../../src/demo/lab.ts';
import { skipLong } from '../../support/long.ts';
import { PATIENCE, until } from '../../support/patience.ts';
import { fanway, statusOf } from '../lab-router.ts';
import { plug, run, skipWithoutPing, startHosts } from './lab.ts';

const SERVER = '10.1.0.9';
const MAC = '02:00:00:00:00:09';
const ALLOW = `allow to ${SERVER} tcp port 5000`;
const DENY_TO = `deny to ${SERVER} order 2000`;
const DENY_FROM = `deny from ${SERVER} order 2000`;

/** Answers every line with the same line. */
const SERVE = `require('net').createServer((s) => { s.on('error', () => {}); s.pipe(s); }).listen(5000, '${SERVER}', () => console.log('up'));`;
/** Sends a line each 20 ms over one connection, and says how many came back, or that it ended. */
const ASK = `let n = 0; const s = require('net').connect(5000, '${SERVER}', () => {
  setInterval(() => s.write('x\\n'), 20); setInterval(() => console.log(n), 50); });
  s.on('data', (d) => { n += d.length / 2; }); s.on('error', (e) => console.log('error ' + e.code)); s.on('close', () => { console.log('closed'); process.exit(); });`;

function node(at: LabContainer, code: string): { lines: string[]; end: () => void } {
  const child = at.spawn(process.execPath, ['-e', code], { stdio: ['ignore', 'pipe', 'inherit'] });
  const lines: string[] = [];
  child.stdout?.on('data', (chunk: Buffer) => lines.push(...chunk.toString().trim().split('\n')));
  return { lines, end: () => child.kill('SIGKILL') };
}

/** Whether a connection can be opened. */
function opens(from: LabContainer, to: string, port: number): Promise<boolean> {
  const code = `const s = require('net').connect(${port}, '${to}', () => process.exit(0));
    s.on('error', () => process.exit(1)); setTimeout(() => process.exit(1), 700);`;
  return new Promise((resolve) => {
    const child = from.spawn(process.execPath, ['-e', code], { stdio: 'ignore' });
    child.on('close', (status) => resolve(status === 0));
  });
}

async function rulesAt(host: LabHost): Promise<PolicyJson> {
  return JSON.parse(await run(host, 'net', 'rules', 'blue', '--json')) as PolicyJson;
}

async function untilRules(host: LabHost, wanted: readonly string[]): Promise<void> {
  await until(`${wanted.length} rules at ${host.name}`, 8000, async () => {
    const { rules } = await rulesAt(host);
    return rules.map(({ rule }) => rule).join() === wanted.join();
  });
}

t.test(
  'a server moves, its rules and its open connection go with it',
  { skip: skipLong || skipWithoutPing },
  async (t) => {
    const { lab, hosts } = await startHosts(t, { hosts: 3, containersPerHost: 1, ipv6: true });
    const [first, old, young] = hosts;
    if (first === undefined || old === undefined || young === undefined) throw new Error('hosts');
    for (const host of hosts) {
      await run(host, 'net', 'add', 'blue', '--vni', '100', '--underlay', 'eth0/16');
    }
    const [client, server] = [lab.container(0, 0), lab.container(1, 0)];
    await plug(client, 'br-blue', '02:00:00:00:00:01', 0x0a010001);
    await plug(server, 'br-blue', MAC, 0x0a010009);
    const speak = (at: LabContainer): void => {
      // A word of its own, as a guest says it that comes up; whether it is answered does not matter.
      at.spawn('ping', ['-n', '-c', '1', '-W', '1', '10.1.0.200'], { stdio: 'ignore' });
    };
    const serve = node(server, SERVE);
    t.teardown(serve.end);
    await until('the server is up and known', 8000, async () => {
      speak(server);
      speak(client);
      return serve.lines.includes('up') && (await opens(client, SERVER, 5000));
    });

    for (const rule of [ALLOW, DENY_TO, DENY_FROM]) {
      t.match(await run(old, 'net', ...rule.split(' ').toSpliced(1, 0, 'blue')), /in force/);
    }
    const wanted = [ALLOW, DENY_FROM, DENY_TO];
    for (const host of hosts) await untilRules(host, wanted);
    t.ok(await opens(client, SERVER, 5000), 'what is allowed');
    t.notOk(await opens(client, SERVER, 5001), 'what is not');
    t.notOk(await opens(server, '10.1.0.1', 5000), 'and the server begins nothing');
    const told = await fanway(first, 'explain', '10.1.0.1', 'to', SERVER, 'tcp', 'port', '22');
    t.equal(told.code, 1);
    t.match(told.out, /network blue: .*is dropped .* by the rule "deny to 10\.1\.0\.9 order 2000"/);
    t.match(
      told.out,
      /leaves host1 [\s\S]*DIES: the rule "deny to [\s\S]*egress\.drop\.policy/,
      'here',
    );
    t.match(
      told.out,
      /arrives at host2 [\s\S]*DIES: the rule [\s\S]*ingress\.drop\.policy/,
      'and there',
    );
    t.match(
      await run(first, 'explain', '10.1.0.1', 'to', SERVER, 'tcp', 'port', '5000'),
      /passes, by the rule "allow to 10\.1\.0\.9 tcp port 5000"/,
    );
    const here = await rulesAt(first);
    t.ok(
      (here.rules.find(({ rule }) => rule === DENY_TO)?.hits ?? 0) > 0,
      'counted where it was sent',
    );

    const ask = node(client, ASK);
    t.teardown(ask.end);
    const count = (): number => Number(ask.lines.at(-1));
    await until('the connection carries', 8000, async () => count() > 10);
    const before = count();
    await young.netlink.deleteLink((await young.netlink.link(server.hostEnd)).index);
    await old.netlink.setLink(server.hostEnd, { up: false, master: 0 });
    await old.netlink.setLink(server.hostEnd, { netnsFd: young.namespace.fd });
    await young.netlink.setLink(server.hostEnd, { master: 'br-blue', up: true });
    const movedMs = performance.now();
    speak(server);
    await until('the connection goes on at its new host', 8000, async () => {
      return count() > before + 40;
    });
    t.comment(`${Math.round(performance.now() - movedMs)} ms`);
    t.notOk(
      ask.lines.some((line) => /error|closed/.test(line)),
      'and was not reset',
    );
    await until('the rules are told by the new host alone', 8000, async () => {
      const { rules } = await rulesAt(young);
      return rules.every(({ here, by }) => here === 'carried' && by.length === 0);
    });
    t.notOk(await opens(client, SERVER, 5001), 'they hold as before');
    t.notOk(await opens(server, '10.1.0.1', 5000));

    // The host that it came from goes for good.
    await run(old, 'net', 'rm', 'blue');
    await run(old, 'leave');
    await new Promise((resolve) => setTimeout(resolve, 500 * PATIENCE));
    await untilRules(first, wanted);
    await untilRules(young, wanted);
    t.ok(count() > before, 'the connection still carries');

    // Control of the new host dies: its rules come back with it.
    const { pid } = await statusOf(young);
    process.kill(pid, 'SIGKILL');
    await until('control is there again, with its rules', 10_000, async () => {
      const { rules } = await rulesAt(young).catch(() => ({ rules: [] }));
      return rules.length === wanted.length;
    });
    t.notOk(await opens(client, SERVER, 5001), 'and they hold');

    await run(first, 'net', 'revoke', 'blue', ...DENY_TO.split(' '));
    for (const host of [first, young]) await untilRules(host, [ALLOW, DENY_FROM]);
  },
);
