import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import t from 'tap';
import type { FanRequest } from '../../src/config/request.ts';
import {
  BridgePorts,
  comparePorts,
  PortRecords,
} from '../../src/control/host/bridge/bridge-ports.ts';
import type { Snapshot } from '../../src/control/host/snapshot.ts';
import { planFan } from '../../src/control/links/plan.ts';
import { recover } from '../../src/control/links/recover.ts';
import { Router } from '../../src/control/links/router.ts';
import { RunDirectory } from '../../src/control/store/run-directory.ts';
import { createLog, silentLog } from '../../src/log.ts';
import { FakeHost } from './fake-host.ts';
import { address, link, plainHost, request } from './snapshots.ts';

const BRIDGE = 'fan-250-0-28';

function makeRun(): RunDirectory {
  const folder = mkdtempSync(join(tmpdir(), 'fanway-bridge-ports-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const run = new RunDirectory(folder);
  run.create();
  return run;
}

function routerOf(run: RunDirectory, host: FakeHost, lines: string[] = []): Router {
  const log = createLog({ write: (line) => void lines.push(line) });
  return new Router({ run, host, tunnels: host, log, now: () => 0 });
}

type FakeLink = Snapshot['links'][number];

function find(host: FakeHost, name: string): FakeLink {
  const found = host.state.links.find((link) => link.name === name);
  if (found === undefined) throw new Error(`no ${name}`);
  return found;
}

/** A fan that is up with a container's port on its bridge. */
async function withPort(wanted: FanRequest = request('250', 'eth0')) {
  const run = makeRun();
  const host = new FakeHost(plainHost({ links: [...plainHost().links, link(9, 'vca')] }));
  const lines: string[] = [];
  const router = routerOf(run, host, lines);
  await router.want(wanted);
  find(host, 'vca').master = find(host, BRIDGE).index;
  await look(router);
  return { run, host, lines, router };
}

/** One look at everything, as an event of the kernel causes it. */
async function look(router: Router): Promise<void> {
  // What was done before has settled by then.
  await setImmediate();
  const settled = once(router, 'settled');
  router.scheduleReconcile();
  await settled;
}

/** The bridge that the port is on, '' for none. */
function masterOf(host: FakeHost, name: string): string {
  const { master } = find(host, name);
  return host.state.links.find(({ index }) => index === master)?.name ?? '';
}

t.test('a port comes back: fan down and up, bridge deleted, port pulled off', async (t) => {
  for (const encap of ['vxlan', 'ipip'] as const) {
    const wanted = request('250', 'eth0', { encap });
    const { run, host, router } = await withPort(wanted);
    const { index } = find(host, BRIDGE);

    await host.setLink('vca', { master: 0 });
    await look(router);
    t.equal(masterOf(host, 'vca'), BRIDGE, `${encap}: pulled off, put back`);

    await host.deleteLink(index);
    await look(router);
    t.equal(masterOf(host, 'vca'), BRIDGE, 'on the bridge that was made anew');
    const anew = find(host, BRIDGE).index;
    t.not(anew, index);

    const { notes } = await router.down(BRIDGE, { force: true });
    t.match(notes.join('\n'), /bridge fan-250-0-28 stays for its ports vca/);
    t.equal(masterOf(host, 'vca'), BRIDGE, 'still on it while the fan is down');
    t.ok(
      host.state.addresses.some((one) => one.index === anew && one.address === 0xfa001c01),
      'the gateway too',
    );
    t.notOk(host.state.links.some(({ kind }) => kind === 'tun'));

    // Also when it is another router that comes.
    await router.stop();
    const next = routerOf(run, host);
    await next.adopt();
    await next.want(wanted);
    t.equal(next.links[0]?.state, 'up', String(next.links[0]?.reason));
    t.equal(find(host, BRIDGE).index, anew, 'the same bridge');

    // Somebody took it off while no router ran.
    await next.stop();
    await host.setLink('vca', { master: 0 });
    const last = routerOf(run, host);
    await last.want(wanted);
    t.equal(masterOf(host, 'vca'), BRIDGE);
    host.state.links = host.state.links.filter(({ name }) => name !== 'vca');
    await last.down(BRIDGE, { force: false });
    t.notOk(
      host.state.links.some(({ name }) => name === BRIDGE),
      'without ports it goes',
    );
    t.same(readdirSync(run.journals), []);
    await last.stop();
  }
});

t.test('a kept bridge goes with its last port', async (t) => {
  for (const who of ['the router', 'the next command'] as const) {
    const { run, host, router } = await withPort();
    await router.down(BRIDGE, { force: true });
    t.ok(host.state.links.some(({ name }) => name === BRIDGE));
    host.state.links = host.state.links.filter(({ name }) => name !== 'vca');
    if (who === 'the router') await look(router);
    await router.stop();
    await recover(run, host, silentLog);
    t.notOk(
      host.state.links.some(({ name }) => name === BRIDGE),
      who,
    );
    t.same(readdirSync(run.journals), [], who);
  }
});

t.test('another underlay address: the bridge goes on under its new name', async (t) => {
  const { host, router, lines } = await withPort();
  const { index } = find(host, BRIDGE);
  const [, own] = host.state.addresses;
  if (own === undefined) throw new Error('no address');
  own.address = 0xac1e0028;
  await look(router);
  const now = find(host, 'fan-250-0-40');
  t.equal(now.index, index);
  t.equal(masterOf(host, 'vca'), 'fan-250-0-40');
  t.same(
    host.state.addresses.filter((one) => one.index === index).map((one) => one.address),
    [0xfa002801],
    'the former slice is gone from it',
  );
  t.match(lines.join(''), /bridge fan-250-0-28 goes on as fan-250-0-40, with its ports/);
  own.address = 0xac1e001c;
  await look(router);
  t.equal(find(host, BRIDGE).index, index, 'and back');
  await host.setLink('vca', { master: 0 });
  await look(router);
  t.equal(masterOf(host, 'vca'), BRIDGE, 'what was known of its ports went along');
  await router.stop();
});

t.test('what cannot be put back is told, and what sits elsewhere is left', async (t) => {
  const { host, router, lines } = await withPort();
  const [link] = router.links;
  const setLink = host.setLink.bind(host);
  host.setLink = async (ref, change) => {
    if (ref === 9 && change.master !== undefined && change.master !== 0) {
      throw Object.assign(new Error('EBUSY'), { code: 'EBUSY' });
    }
    return setLink(ref, change);
  };
  await setLink('vca', { master: 0 });
  await look(router);
  t.same(link?.lostPorts, [{ index: 9, name: 'vca' }]);
  t.match(lines.join(''), /vca has lost fan-250-0-28: EBUSY/);
  host.setLink = setLink;
  await look(router);
  t.same(link?.lostPorts, []);
  t.equal(masterOf(host, 'vca'), BRIDGE);

  // Pulled off again and again: a contest ends.
  for (let round = 0; round < 8; round++) {
    await setLink('vca', { master: 0 });
    await look(router);
  }
  t.same(link?.lostPorts, [{ index: 9, name: 'vca' }], 'told instead');
  t.match(lines.join(''), /pulls it off again and again/);

  await host.createBridge('br0', 0x0242_0000_0002);
  await setLink('vca', { master: 'br0' });
  await look(router);
  t.same(link?.lostPorts, []);
  t.equal(masterOf(host, 'vca'), 'br0');
  t.match(lines.join(''), /vca sits on br0 now, no more on fan-250-0-28: left there/);
  await router.stop();
  t.equal(masterOf(host, 'vca'), 'br0');
});

t.test('a port that was put down as it was taken off stays off', async (t) => {
  const { host, router } = await withPort();
  await host.setLink('vca', { master: 0, up: false });
  await look(router);
  t.equal(masterOf(host, 'vca'), '');
  t.same(router.links[0]?.lostPorts, []);
  await router.down(BRIDGE, { force: false });
  t.notOk(host.state.links.some(({ name }) => name === BRIDGE));
  await router.stop();
});

t.test('a bridge that an engine made first is used, and left when the fan goes', async (t) => {
  const bridge = link(20, BRIDGE, { kind: 'bridge', address: 0x0242_0000_0001, mtu: 1500 });
  for (const [encap, length] of [
    ['vxlan', 8],
    ['ipip', 24],
  ] as const) {
    const base = plainHost();
    const host = new FakeHost(
      plainHost({
        links: [...base.links, bridge, link(9, 'vca', { master: 20 })],
        addresses: [...base.addresses, address(20, `250.0.28.1/${length}`)],
      }),
    );
    const wanted = request('250', 'eth0', { encap, hostReserve: 2 });
    const router = routerOf(makeRun(), host);
    await router.want(wanted);
    t.equal(router.links[0]?.state, 'up', String(router.links[0]?.reason));
    const used = find(host, BRIDGE);
    t.equal(used.index, 20);
    t.equal(used.address, 0x0242_0000_0001, 'containers know its MAC');
    t.match(used.alias, /^fanway:.*borrowed/);
    t.equal(host.state.addresses.filter(({ index }) => index === 20).length, 2);
    await router.stop();
    const left = find(host, BRIDGE);
    t.equal(left.alias, '', 'without our mark');
    t.same(
      host.state.addresses.filter(({ index }) => index === 20).map((one) => one.address),
      [0xfa001c01],
      'with its own address alone',
    );
    t.equal(masterOf(host, 'vca'), BRIDGE);
  }
});

t.test('a bridge of that name with another address is refused, with the way out', (t) => {
  const base = plainHost();
  const host = plainHost({
    links: [...base.links, link(20, BRIDGE, { kind: 'bridge' })],
    addresses: [...base.addresses, address(20, '10.9.8.1/24')],
  });
  const plan = planFan(request('250', 'eth0', { bridge: BRIDGE }), host);
  t.match(plan, {
    outcome: 'refused',
    refusals: [{ code: 'name-taken', message: /or give it the address 250\.0\.28\.1\/8/ }],
  });
  t.end();
});

t.test('comparePorts() knows a port by index and name', (t) => {
  const bridge = link(20, BRIDGE, { kind: 'bridge' });
  const links = [
    bridge,
    link(1, 'on', { master: 20 }),
    link(2, 'off'),
    link(3, 'other', { master: 30 }),
    link(4, 'reused'),
    link(5, 'fw-250-0-28', { master: 20, alias: `fanway:${BRIDGE}` }),
    link(30, 'br0', { kind: 'bridge' }),
  ];
  const known = [1, 2, 3, 6].map((index) => ({
    index,
    name: links.find((link) => link.index === index)?.name ?? 'gone',
  }));
  t.same(comparePorts([...known, { index: 4, name: 'before' }], bridge, links), {
    attached: [{ index: 1, name: 'on' }],
    pulled: [{ index: 2, name: 'off' }],
    elsewhere: [{ index: 3, name: 'other', master: 'br0' }],
  });
  t.end();
});

t.test('a record that is none is set aside', async (t) => {
  const run = makeRun();
  const records = new PortRecords(run);
  const path = join(run.journals, `${BRIDGE}.ports`);
  for (const put of [
    () => mkdirSync(path),
    () => writeFileSync(path, '{"version":1,"ports":[{"index":"1"}]}'),
    () => writeFileSync(path, 'x'),
  ]) {
    put();
    t.same(records.read(BRIDGE), []);
    t.same(records.names(), []);
  }
  const ports = new BridgePorts(records);
  const host = new FakeHost();
  await ports.mend(BRIDGE, host, silentLog, 0);
  t.same(ports.lost, []);
  t.throws(() => records.read('../x'), RangeError);
});
