import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { whoMayForward } from '../../src/control/host/reliance.ts';
import { recover } from '../../src/control/links/recover.ts';
import { Router } from '../../src/control/links/router.ts';
import { RunDirectory } from '../../src/control/store/run-directory.ts';
import { createLog, silentLog } from '../../src/log.ts';
import { FakeHost } from './fake-host.ts';
import { link, plainHost, request } from './snapshots.ts';

const FORWARD = 'net/ipv4/ip_forward';
const REDIRECTS = 'net/ipv4/conf/all/send_redirects';

function makeRun(): RunDirectory {
  const folder = mkdtempSync(join(tmpdir(), 'fanway-reliance-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const run = new RunDirectory(folder);
  run.create();
  return run;
}

/** What may come while a fan is up; `who` as the sentence tells it. */
const COMERS: [what: string, come: (host: FakeHost) => void, who: RegExp][] = [
  [
    'a bridge of an engine',
    (host) => host.state.links.push(link(40, 'docker0', { kind: 'bridge' })),
    /docker0/,
  ],
  ['a VPN', (host) => host.state.links.push(link(41, 'wg0', { kind: 'wireguard' })), /wg0/],
  ['a second card', (host) => host.state.links.push(link(42, 'eth1')), /uses eth1 may/],
  ['a table that translates', (host) => host.others.push('ip nat'), /packet filter's ip nat/],
];

t.test('a setting stays when somebody came who may rely on it', async (t) => {
  for (const [what, come, who] of COMERS) {
    for (const how of ['down', 'stop', 'recover'] as const) {
      const host = new FakeHost();
      const run = makeRun();
      const lines: string[] = [];
      const log = createLog({ write: (line) => void lines.push(line) });
      const router = new Router({ run, host, tunnels: host, log });
      await router.want(request('250', 'eth0'));
      t.equal(host.state.sysctls[FORWARD], '1');
      come(host);
      if (how === 'recover') await recover(run, host, log);
      if (how === 'down') {
        const { notes } = await router.down('fan-250-0-28', { force: false });
        t.match(notes.join('\n'), who, 'told to whoever asked');
      }
      if (how !== 'recover') await router.stop();
      t.equal(host.state.sysctls[FORWARD], '1', `${what}, ${how}`);
      t.equal(host.state.sysctls[REDIRECTS], '0');
      t.match(lines.join(''), /net\.ipv4\.ip_forward stays 1, it was 0 before/);
      t.match(lines.join(''), who);
    }
  }
});

t.test(
  'it is taken back when nobody can: who was there before did without, what is down counts for none',
  async (t) => {
    const idle = [link(43, 'sit0', { up: false }), link(44, 'veth-c1', { up: false })];
    const there = [link(45, 'eth1'), link(46, 'br0', { kind: 'bridge' })];
    const plain = new FakeHost(plainHost({ links: [...plainHost().links, ...idle] }));
    t.equal(await whoMayForward(plain), '', 'nothing was noted: one card is no reason');
    const host = new FakeHost(plainHost({ links: [...plainHost().links, ...idle, ...there] }));
    t.match(await whoMayForward(host), /eth1, br0/, 'nothing was noted: three may be one');
    const router = new Router({ run: makeRun(), host, tunnels: host, log: silentLog });
    await router.want(request('250', 'eth0'));
    t.same((await router.down('fan-250-0-28', { force: false })).notes, []);
    t.equal(host.state.sysctls[FORWARD], '0');
    t.equal(host.state.sysctls[REDIRECTS], '1');
    await router.stop();
  },
);

t.test('containers on a bridge that stays need what they had', async (t) => {
  const host = new FakeHost(plainHost({ links: [...plainHost().links, link(9, 'vca')] }));
  const router = new Router({ run: makeRun(), host, tunnels: host, log: silentLog });
  await router.want(request('250', 'eth0'));
  await host.setLink('vca', { master: 'fan-250-0-28' });
  const { notes } = await router.down('fan-250-0-28', { force: true });
  t.match(notes.join('\n'), /ip_forward stays 1, .*containers on fan-250-0-28 may rely on it/);
  t.equal(host.state.sysctls[FORWARD], '1');
  await router.stop();
});

t.test('what stays is remembered: told again, and put back by a later fan', async (t) => {
  const host = new FakeHost(plainHost({ links: [...plainHost().links, link(9, 'vca')] }));
  const run = makeRun();
  const [bridge, stays] = ['fan-250-0-28', /ip_forward stays 1, it was 0 before/];
  const upAndDown = async (use: () => Promise<void>): Promise<string> => {
    const router = new Router({ run, host, tunnels: host, log: silentLog });
    await router.want(request('250', 'eth0'));
    await use();
    const { notes } = await router.down(bridge, { force: true });
    await router.stop();
    return notes.join('\n');
  };
  t.match(await upAndDown(() => host.setLink('vca', { master: bridge })), stays);
  t.match(await upAndDown(async () => undefined), stays, 'the port is there still');
  const clear = async (): Promise<void> => {
    const all = host.state.links.filter(({ name }) => name === bridge || name === 'vca');
    for (const { index } of all) await host.deleteLink(index);
  };
  await clear();
  t.equal(await upAndDown(async () => undefined), '', 'nobody is left');
  t.strictSame([host.state.sysctls[FORWARD], host.state.sysctls[REDIRECTS]], ['0', '1']);
  t.notOk(existsSync(run.left));

  host.state.links.push(link(9, 'vca'));
  t.match(await upAndDown(() => host.setLink('vca', { master: bridge })), stays);
  // Somebody sets it anew: it is the host's own from then on.
  host.state.sysctls[FORWARD] = '0';
  await upAndDown(async () => {
    host.state.sysctls[FORWARD] = '0';
  });
  t.equal(host.state.sysctls[FORWARD], '0');
  rmSync(run.left, { force: true });
  host.state.sysctls[FORWARD] = '1';
  await clear();
  await upAndDown(async () => undefined);
  t.equal(host.state.sysctls[FORWARD], '1', 'one that was on before stays on');
});
