import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import t from 'tap';
import { networkJson } from '../../../src/api/networks.ts';
import { networkText } from '../../../src/cli/networks/network-text.ts';
import { parseUnderlay } from '../../../src/config/link/sides.ts';
import {
  type NetworkRequest,
  networkRequest,
  networkRequestOf,
} from '../../../src/config/network.ts';
import { boundChains, releaseText } from '../../../src/control/change/kinds/firewall/bound.ts';
import type { Snapshot } from '../../../src/control/host/snapshot.ts';
import { placeholderSpec, planFan } from '../../../src/control/links/plan.ts';
import { planNetwork } from '../../../src/control/links/plan-network.ts';
import { Router } from '../../../src/control/links/router.ts';
import { RunDirectory } from '../../../src/control/store/run-directory.ts';
import { createLog } from '../../../src/log.ts';
import { FakeHost } from '../fake-host.ts';
import { request as fan, link, plainHost } from '../snapshots.ts';

const UNDERLAY = parseUnderlay('eth0/16');

function request(more: Partial<NetworkRequest> = {}): NetworkRequest {
  return networkRequest({ network: 'blue', vni: 100, underlay: UNDERLAY, ...more });
}

/** The words of every reason why not. */
function refused(more: Partial<NetworkRequest>, host = plainHost()): string[] {
  const plan = planNetwork(request(more), host);
  return plan.outcome === 'refused' ? plan.refusals.map(({ code }) => code) : [plan.outcome];
}

t.test('a network is a bridge, a device and its port', async (t) => {
  const plan = planNetwork(request(), plainHost());
  if (plan.outcome !== 'changes') throw new Error(JSON.stringify(plan));
  const { spec, changes } = plan;
  t.match(spec, { name: 'br-blue', device: 'fwn-100', vni: 100, port: 4789, innerMtu: 1450 });
  t.strictSame(
    changes.map(({ kind }) => kind).filter((kind) => kind !== 'sysctl'),
    ['bridge', 'tunnel', 'port', 'answers', 'inside', 'between'],
  );
  const running = plainHost({ networks: [{ request: request(), spec }] });
  t.equal(planNetwork(request(), running).outcome, 'same', 'asked for again');
  t.strictSame(refused({ vni: 101 }, running), ['network-differs']);
  const rated = request({ rate: 95e6, flowKeys: ['tunnel-src'] });
  const live = planNetwork(rated, running);
  if (live.outcome !== 'changes') throw new Error(JSON.stringify(live));
  t.match(live, { joined: rated, changes: [], spec: { rate: 95e6, flowKeys: ['tunnel-src'] } });
  const without = planNetwork(
    request(),
    plainHost({ networks: [{ request: rated, spec: live.spec }] }),
  );
  t.equal(without.outcome === 'changes' && 'rate' in without.spec, false, 'and none again');
});

t.test('a strict port holds MACs, in the kernel', async (t) => {
  const change = { kind: 'bound', link: 'br-blue', device: 'fwn-100' } as const;
  const strict = planNetwork(request({ guard: 'strict' }), plainHost());
  if (strict.outcome !== 'changes') throw new Error(JSON.stringify(strict));
  t.same(
    strict.changes.filter(({ kind }) => kind === 'bound'),
    [change],
  );
  const chains = boundChains(change, { ports: ['fwn-100', 'veth-1'], byBridge: false });
  const hooked = chains.flatMap(({ hook, rules }) => (hook === '' ? [] : rules));
  t.strictSame(hooked, ['iifname "fwn-100" accept', 'iifname { "veth-1" } goto bind']);
  const none = boundChains(change, { ports: ['fwn-100'], byBridge: false });
  t.strictSame(none.at(-1)?.rules, [], 'without ports nothing is asked');
  t.match(
    releaseText('br-blue', [{ mac: 0x0200_0000_0001, port: 7 }]),
    /^add element .*\n.*\ndelete element bridge \S+ macs \{ 02:00:00:00:00:01 \}\n.* bound \{ 02:00:00:00:00:01 \. 7 \}\n$/,
  );
});

t.test("somebody's bridge is used, and keeps its MAC", async (t) => {
  const bridge = link(5, 'br-lan', { kind: 'bridge', address: 0x02_00_00_00_00_77 });
  const host = plainHost();
  host.links.push(bridge);
  const plan = planNetwork(request({ bridge: 'br-lan' }), host);
  if (plan.outcome !== 'changes') throw new Error(JSON.stringify(plan));
  t.equal(plan.spec.mac, bridge.address);
  const [first] = plan.changes;
  t.match(first, { kind: 'bridge', adopt: { foreign: true } });
  const answers = (made: typeof plan) => made.changes.filter(({ kind }) => kind === 'answers');
  t.strictSame(answers(plan), [], 'and answers ARP only where it is asked to');
  const asked = planNetwork(request({ bridge: 'br-lan', arp: 'kernel' }), host);
  if (asked.outcome !== 'changes') throw new Error(JSON.stringify(asked));
  t.match(answers(asked), [{ device: 'fwn-100', bridge: 'br-lan' }]);
  t.match(asked.warnings, [/br-lan is somebody else's: .* answers ARP/]);
});

t.test('the data path answers ARP where it is asked to, or all is flooded', async (t) => {
  for (const more of [{ arp: 'userspace' }, { bum: 'learn' }] as const) {
    const plan = planNetwork(request(more), plainHost());
    if (plan.outcome !== 'changes') throw new Error(JSON.stringify(plan));
    t.notOk(plan.changes.some(({ kind }) => kind === 'answers'));
    t.equal(plan.spec.kernelArp, undefined);
    const running = plainHost({ networks: [{ request: request(more), spec: plan.spec }] });
    t.equal(planNetwork(request(more), running).outcome, 'same', 'asked for again');
  }
  const words = new Map<string, unknown>([
    ['name', 'blue'],
    ['vni', 100],
    ['bum', 'learn'],
    ['arp', 'kernel'],
  ]);
  t.match(networkRequestOf(words).problems, [
    { key: 'arp', message: /does not go with bum learn/ },
  ]);
});

t.test('a server is named by its MAC, or is the host itself', async (t) => {
  const plan = planNetwork(request({ dhcpServers: [0, 5], routers: [0] }), plainHost());
  if (plan.outcome !== 'changes') throw new Error(JSON.stringify(plan));
  const { spec } = plan;
  t.match(spec, { dhcpServers: [spec.mac, 5], routers: [spec.mac] });
  const running = plainHost({ networks: [{ request: request(), spec }] });
  t.strictSame(refused({}, running), ['network-differs']);
});

t.test('what cannot be is said', async (t) => {
  const host = plainHost();
  host.links.push(link(5, 'br-blue', { kind: 'dummy' }));
  t.strictSame(refused({}, host), ['name-taken']);
  t.strictSame(refused({ mtu: 9000 }), ['mtu-too-large']);
  t.equal(refused({ underlay: parseUnderlay('eth7/16') }).length, 1, 'no such device');
});

t.test('a VNI is that of one network, which is named', async (t) => {
  const blue = planNetwork(request(), plainHost());
  if (blue.outcome !== 'changes') throw new Error(blue.outcome);
  const there = plainHost({ networks: [{ spec: blue.spec }] });
  there.links.push(link(8, 'br-blue', { kind: 'bridge' }), link(9, 'fwn-100', { kind: 'tun' }));
  for (const more of [{}, { port: 4790 }]) {
    const green = planNetwork(request({ network: 'green', bridge: 'br-green', ...more }), there);
    if (green.outcome !== 'refused') throw new Error(green.outcome);
    t.match(
      green.refusals.map(({ message }) => message),
      [/^VNI 100 is that of network blue \(br-blue\) already: choose another with --vni/],
    );
    t.equal(green.refusals.length, 1, 'and nothing else is wrong');
  }
  const onBlue = request({ network: 'green', vni: 101, bridge: 'br-blue' });
  const same = planNetwork(onBlue, there);
  t.match(same, { refusals: [{ message: /br-blue is that of network blue .*--bridge/ }] });
});

/** A host whose routes lead nowhere but to its underlay. */
const islet = (more: Partial<Snapshot> = {}): Snapshot => plainHost({ routes: [], ...more });

t.test('a network keeps the place that it took from a fan', async (t) => {
  const wanted = request({ underlay: null });
  const wish = fan('250.0.0.0/8', 'eth0/16');
  const up = planFan(wish, islet());
  if (up.outcome !== 'changes') throw new Error(up.outcome);
  const fans = [{ request: wish, spec: up.spec }];
  const first = planNetwork(wanted, islet({ fans }));
  if (first.outcome !== 'changes') throw new Error(JSON.stringify(first));
  const { spec } = first;
  t.match(spec, { local: 0xac1e001c, underlay: { length: 16 }, placeFan: 'fan-250-0-28' });
  t.match(planNetwork(wanted, islet(), undefined, spec), { outcome: 'changes', spec });
  t.equal(planNetwork(wanted, islet({ networks: [{ spec }] })).outcome, 'same', 'asked for again');
  const elsewhere = plainHost({ addresses: [] });
  for (const [what, plan, why] of [
    ['it never had one', planNetwork(wanted, islet()), /^nothing says where .*--underlay; it has/],
    [
      'the address has gone',
      planNetwork(wanted, { ...elsewhere, routes: [] }, undefined, spec),
      /^its place was that of fan fan-250-0-28, 172\.30\.0\.28\/16, which has gone.*--underlay/,
    ],
    [
      'the fan is stopped, and was never up',
      planNetwork(
        wanted,
        islet({ fans: [{ request: wish, spec: placeholderSpec(wish), stopped: true }] }),
      ),
      /^its place is that of fan fan-250, which is stopped/,
    ],
  ] as const) {
    if (plan.outcome !== 'refused') throw new Error(`${what}: ${plan.outcome}`);
    t.match(plan.refusals[0]?.message, why, what);
    t.notMatch(plan.refusals[0]?.message, /`default`/, 'nobody wrote that');
  }
});

/** A host without nft, where little more is made than devices. */
class BareHost extends FakeHost {
  override hasNft(): boolean {
    return false;
  }
}

/** One look at everything, as an event of the kernel causes it. */
async function look(router: Router): Promise<void> {
  await setImmediate();
  const settled = once(router, 'settled');
  router.scheduleReconcile();
  await settled;
}

t.test('the fan goes, and the network stays: also over a restart', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'fanway-place-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const run = new RunDirectory(folder);
  run.create();
  const host = new BareHost(islet());
  const lines: string[] = [];
  const log = createLog({ write: (line) => void lines.push(line) });
  const routerOf = () => new Router({ run, host, tunnels: host, log, now: () => 0 });
  const router = routerOf();
  const wish = fan('250.0.0.0/8', 'eth0/16');
  await router.up(wish);
  const wanted = request({ underlay: null, arp: 'userspace' });
  await router.addNetwork(wanted);
  const stateOf = ({ links }: Router) => {
    const found = links.find(({ spec }) => spec.name === 'br-blue');
    return found && { state: found.state, reason: found.reason, local: found.spec.local };
  };
  const up = { state: 'up', reason: '', local: 0xac1e001c };
  t.strictSame(stateOf(router), up);
  const { index } = await indexOf(host, 'br-blue');

  const { notes } = await router.down('fan-250-0-28', { force: true });
  t.match(notes, [/^network blue stays at 172\.30\.0\.28\/16, as long as .*--underlay/]);
  await look(router);
  t.strictSame(stateOf(router), up);
  // As a reload does that changes the fan.
  await router.want({ ...wish, mtu: 1400 });
  await look(router);
  t.strictSame(stateOf(router), up);
  await router.down('fan-250-0-28', { force: true });

  const next = routerOf();
  await next.adopt();
  await look(next);
  t.strictSame(stateOf(next), up, 'another router goes on with it');
  t.equal((await indexOf(host, 'br-blue')).index, index, 'as it was made');

  const { addresses } = host.state;
  host.state.addresses = [];
  await look(next);
  t.match(stateOf(next), { state: 'stopped', reason: /^its place was that of fan fan-250-0-28/ });
  const kernel = await next.look(wanted, (snapshot) =>
    planFan({ ...wish, datapath: 'kernel' }, { ...snapshot, addresses }),
  );
  t.equal(kernel.outcome, 'changes', 'its port is free meanwhile');
  t.match(await next.addNetwork(wanted), {
    outcome: 'refused',
    refusals: [{ message: /^blue: asked for already, and stopped: its place was that of fan/ }],
  });
  host.state.addresses = addresses;
  t.match(await next.addNetwork(wanted), { outcome: 'same', message: /^blue: already there/ });
  t.strictSame(stateOf(next), up, 'and back with its address');
  t.notMatch(lines.join(''), /`default`/);
});

async function indexOf(host: FakeHost, name: string): Promise<{ index: number }> {
  const found = await host.link(name);
  if (found === undefined) throw new Error(`no ${name}`);
  return found;
}

t.test('a network that is stopped shows nothing that is not there', async (t) => {
  const none = { asked: 0, found: 0, damped: 0, limited: 0, looked: 0, refused: 0 };
  const arp = { asked: 'auto', by: 'kernel', addresses: 0, answered: 0, reason: '' };
  const blue = (state: string) =>
    networkJson(
      {
        ...{ network: 'blue', bridge: 'br-blue', vni: 100, state, reason: '', bum: 'none' },
        ...{ guard: 'learn', device: 'fwn-100', underlay: '172.30.0.28/16', port: 4789 },
        ...{ innerMtu: 1450, underlayMtu: 1500, rate: null, offloads: [], members: [] },
        ...{ memberCount: 0, macs: { local: 0, remote: 0, silent: 0, frozen: 0, refused: 0 } },
        ...{ addresses: 0, waiting: 0, servers: { dhcp: null, router: null }, arp },
        ...{ serviceNode: null, search: none, rules: 0, drift: 0, floods: {}, drops: [] },
        rates: { egressPackets: 0, egressBits: 0, ingressPackets: 0, ingressBits: 0 },
        ...{ lostPorts: [], notes: [], repairs: 0, repaired: [] },
      },
      '',
    );
  t.match(networkText(blue('up')).join('\n'), /from 172\.30\.0\.28\/16.*\n.*device fwn-100/);
  const stopped = networkText(blue('stopped')).join('\n');
  t.match(stopped, /^network blue: stopped\n {2}VNI 100 on bridge br-blue, UDP port 4789$/);
});
