import t from 'tap';
import { parseUnderlay } from '../../../src/config/link/sides.ts';
import {
  type NetworkRequest,
  networkRequest,
  networkRequestOf,
} from '../../../src/config/network.ts';
import { boundChains, releaseText } from '../../../src/control/change/kinds/firewall/bound.ts';
import { planNetwork } from '../../../src/control/links/plan-network.ts';
import { link, plainHost } from '../snapshots.ts';

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
