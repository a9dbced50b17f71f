import { existsSync } from 'node:fs';
import t from 'tap';
import type { Datapath } from '../../src/config/link/modes.ts';
import { parseUnderlay } from '../../src/config/link/sides.ts';
import { type NetworkRequest, networkRequest } from '../../src/config/network.ts';
import { type FanRequest, fanRequest, joinFans } from '../../src/config/request.ts';
import type { SnapshotLink } from '../../src/control/host/snapshot.ts';
import { movedSpec } from '../../src/control/links/datapath/choose.ts';
import { type Plan, planFan } from '../../src/control/links/plan.ts';
import { planNetwork } from '../../src/control/links/plan-network.ts';
import { Lab } from '../../src/demo/lab.ts';
import { NO_OVERLAY } from '../../src/net/fan.ts';
import { parsePrefix6 } from '../../src/net/prefix6.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { fanway, fanwayUnder } from './lab-router.ts';
import { plainHost, request } from './snapshots.ts';

const LOCKED = 'this process may not load programs (no lockdown)';
const fan = (more: Parameters<typeof request>[2] = {}) =>
  request('250.0.0.0/8', 'eth0/16', { datapath: 'auto', ...more });

/** Why the kernel does not forward; '' where it does. */
function why(plan: Plan): string {
  if (plan.outcome !== 'changes') return `outcome ${plan.outcome}`;
  if (plan.spec.datapath === 'kernel') return '';
  const { notKernel = 'nobody says' } = plan.spec;
  return plan.warnings.some((text) => text.includes(notKernel)) ? notKernel : 'no warning';
}

/** Somebody's device. */
function stray(name: string, kind: Pick<SnapshotLink, 'vxlan' | 'ipip'>): SnapshotLink {
  return {
    ...{ index: 77, name, kind: Object.keys(kind).join(), up: true, carrier: true, mtu: 1500 },
    ...{ master: 0, address: 2, alias: '', gsoIpv4MaxSize: 0, txQueueLen: 1000, ...kind },
  };
}

const vxlan = (port: number) => stray('vxlan77', { vxlan: { port, external: true } });

t.test('auto takes the kernel where it can, and says why not', async (t) => {
  const host = plainHost();
  t.equal(why(planFan(fan(), host)), '');
  for (const [what, reason, plan] of [
    [
      'fou',
      /takes IPv4 alone/,
      planFan(fan({ encap: 'fou', overlay6: parsePrefix6('fd00:fa::/32') }), host),
    ],
    [
      'a listener',
      /somebody else's for FOU/,
      planFan(fan({ encap: 'fou' }), { ...host, fouPorts: [5555] }),
    ],
    ['an MTU', /--mtu/, planFan(fan({ mtu: 1400 }), host)],
    ['one source port', /source port/, planFan(fan({ sourcePort: 'fixed' }), host)],
    ['no offloads', /--offload off/, planFan(fan({ offload: 'off' }), host)],
    ['a rate', /--rate/, planFan(fan({ rate: 1e9 }), host)],
    ['a kernel that is locked down', /lockdown/, planFan(fan(), { ...host, kernelPath: LOCKED })],
    ['what this machine lacks', /CAP_BPF/, planFan(fan(), { ...host, kernelPath: 'CAP_BPF' })],
    [
      'a device on its port',
      /UDP port 4789 is that of the VXLAN device vxlan77/,
      planFan(fan(), { ...host, links: [...host.links, vxlan(4789)] }),
    ],
  ] as const) {
    t.match(why(plan), reason, what);
  }
  for (const encap of ['ipip', 'fou'] as const) {
    t.match(planFan(fan({ encap }), host), { spec: { datapath: 'kernel', encap } });
  }
  const other = { ...host, fouPorts: [5556] };
  t.equal(why(planFan(fan({ encap: 'fou' }), other)), '', 'a listener at another port');
  const elsewhere = { ...host, links: [...host.links, vxlan(8472)] };
  t.equal(why(planFan(fan(), elsewhere)), '', "another port is nobody's business");
});

t.test('a real device on its port is seen', { skip: skipWithoutTun() }, async (t) => {
  const lab = await Lab.create({ hosts: 1 });
  t.teardown(() => lab.close());
  const host = lab.host(0);
  const planned = async (...words: string[]): Promise<string> => {
    const { out, err } = await fanway(host, 'plan', '250.0.0.0/8', 'eth0/16', ...words);
    return out + err;
  };
  const auto = ['--datapath', 'auto'];
  t.notMatch(await planned(...auto), /forwarded by fanway/);
  // The plan knows the networks that run, as `up` does.
  const red = await fanway(host, 'net', 'add', 'red', '--vni', '7', '--underlay', 'eth0/16');
  t.equal(red.code, 0, red.err);
  t.match(await planned(...auto), /UDP port 4789 is that of network red \(br-red\)/);
  t.match(await planned('--datapath', 'kernel'), /^refused: .* that of network red \(br-red\)/);
  const [{ out }, { err, code }] = [
    await fanway(host, 'plan', '250.0.0.0/8', 'eth0/16', '--datapath', 'kernel'),
    await fanway(host, 'up', '250.0.0.0/8', 'eth0/16', '--datapath', 'kernel'),
  ];
  t.equal(code, 3, err);
  t.match(err, out.replace('refused: ', '').trim(), 'in the words of up');
  t.equal((await fanway(host, 'net', 'rm', 'red')).code, 0);
  await host.netlink.createExternalVxlan('vx0', { port: 4789, mtu: 1450 });
  t.match(await planned(...auto), /forwarded by fanway, not by the kernel: UDP port 4789 .* vx0/);
  t.notMatch(await planned(...auto, '--port', '4790'), /forwarded by fanway/);
});

const noTools = !['setpriv', 'unshare'].every((tool) => existsSync(`/usr/bin/${tool}`));
const skipLess = skipWithoutTun() || (noTools && 'needs setpriv and unshare');

t.test('who may not load programs is told so', { skip: skipLess }, async (t) => {
  const lab = await Lab.create({ hosts: 1, containersPerHost: 0 });
  t.teardown(() => lab.close());
  const less = '-bpf,-perfmon,-sys_admin';
  for (const [what, ...words] of [
    ['without capabilities', 'setpriv', '--bounding-set', less, '--inh-caps', less],
    ['in a user namespace', 'unshare', '--user', '--map-root-user'],
  ]) {
    const plan = ['plan', '250.0.0.0/8', 'eth0/16', '--datapath'];
    const auto = await fanwayUnder(lab.host(0), words, ...plan, 'auto');
    const why = /not by the kernel: this process may not load programs \(CAP_BPF/;
    t.match(auto.out + auto.err, why, `auto, ${what}`);
    const kernel = await fanwayUnder(lab.host(0), words, ...plan, 'kernel');
    t.match(kernel.out + kernel.err, /^refused: .* may not load programs/, `kernel, ${what}`);
  }
});

t.test('kernel is refused where it cannot be, in the same words', async (t) => {
  const taken = { ...plainHost(), fouPorts: [5555] };
  t.match(planFan(fan({ datapath: 'kernel', encap: 'fou' }), taken), {
    outcome: 'refused',
    refusals: [{ code: 'no-kernel-datapath', message: /ip fou del port 5555.*--datapath auto/ }],
  });
});

t.test('a fan that runs goes over when another data path is asked for', async (t) => {
  const host = plainHost();
  const first = planFan(fan({ datapath: 'kernel' }), host);
  if (first.outcome !== 'changes') throw new Error(first.outcome);
  const running = { request: fan({ datapath: 'kernel' }), spec: first.spec };
  const fans = { ...host, fans: [running] };
  t.match(planFan(fan({ datapath: 'kernel' }), fans), { outcome: 'same' });
  const noted = { outcome: 'changes', joined: fan(), changes: [] };
  t.match(planFan(fan(), fans), noted, 'auto has what it wants');
  t.match(planFan(request('250.0.0.0/8', 'eth0/16'), fans), { outcome: 'same' }, 'nobody says');
  const rated = planFan(request('250.0.0.0/8', 'eth0/16', { rate: 95e6 }), fans);
  t.match(rated, { outcome: 'refused', refusals: [{ message: /--rate/ }] }, 'nor is it moved so');
  const plain = request('250.0.0.0/8', 'eth0/16', { datapath: 'userspace' });
  const back = planFan(plain, fans);
  t.match(back, { outcome: 'changes', joined: plain, changes: [{ kind: 'tunnel' }] });
  if (back.outcome !== 'changes') throw new Error(back.outcome);
  t.equal(back.spec.datapath, undefined);
  const inUserspace = { ...host, fans: [{ request: plain, spec: back.spec }] };
  const unsaid = planFan(request('250.0.0.0/8', 'eth0/16'), inUserspace);
  t.match(unsaid, { outcome: 'same' });

  const taken = planFan(fan(), { ...host, links: [...host.links, vxlan(4789)] });
  if (taken.outcome !== 'changes') throw new Error(taken.outcome);
  const without = { ...host, fans: [{ request: fan(), spec: taken.spec }] };
  t.match(planFan(request('250.0.0.0/8', 'eth0/16'), without), { outcome: 'same' });
  t.match(
    planFan(fan(), without),
    { outcome: 'changes', spec: { datapath: 'kernel' }, changes: [{ kind: 'tunnel' }] },
    'asked again, auto takes the kernel once nothing is in the way',
  );

  const beside = planFan(request('251.0.0.0/8', 'eth0/16', { datapath: 'auto' }), fans);
  t.match(beside, { outcome: 'refused', refusals: [{ code: 'port-taken' }] });
  const apart = planFan(request('251.0.0.0/8', 'eth0/16', { port: 4790, datapath: 'auto' }), fans);
  t.equal(why(apart), '', 'a port of its own');
});

/** A fan of IPv6 on the bridge fan0. */
function sixBeside(more: Partial<FanRequest>): FanRequest {
  const overlay6 = parsePrefix6('fd00:fa::/32');
  const sides = { overlay: NO_OVERLAY, underlay: parseUnderlay('eth0/16') };
  return fanRequest({ ...sides, overlay6, bridge: 'fan0', masquerade: false, ...more });
}

t.test('there is one device for all that is IP in IP, and it takes IPv4', async (t) => {
  const host = plainHost();
  const more = { encap: 'ipip', datapath: 'kernel', bridge: 'fan0' } as const;
  const kernel = request('250.0.0.0/8', 'eth0/16', more);
  const first = planFan(kernel, host);
  if (first.outcome !== 'changes') throw new Error(JSON.stringify(first));
  const fans = { ...host, fans: [{ request: kernel, spec: first.spec }] };
  const other = request('251.0.0.0/8', 'eth0/16', { encap: 'ipip' });
  t.match(planFan(other, fans), { refusals: [{ code: 'port-taken', message: /IP in IP.*fan0/ }] });
  const { datapath: _, ...spec } = first.spec;
  const beside = { request: other, spec: { ...spec, name: 'fan1' } };
  t.match(planFan(kernel, { ...host, fans: [beside] }), {
    refusals: [{ message: /fan1 has ipip too/ }],
  });
  const device = stray('ipip7', { ipip: { external: true } });
  t.match(planFan(kernel, { ...host, links: [...host.links, device] }), {
    refusals: [{ message: /ipip7 is there/ }],
  });
  for (const datapath of [undefined, 'kernel', 'auto'] as const) {
    const six = sixBeside({ encap: 'ipip', ...(datapath && { datapath }) });
    const { outcome, ...rest } = planFan(six, fans);
    t.equal(outcome, 'refused');
    t.match(JSON.stringify(rest), /IPv4 alone.*--datapath userspace/, datapath ?? 'unsaid');
  }
});

t.test('a network takes the kernel as a fan does', async (t) => {
  const host = plainHost();
  const net = (more: Partial<NetworkRequest> = {}) =>
    networkRequest({
      ...{ network: 'red', vni: 7, underlay: parseUnderlay('eth0/16'), datapath: 'auto' },
      ...more,
    });
  const planned = (more: Partial<NetworkRequest>, snapshot = host) => {
    const plan = planNetwork(net(more), snapshot);
    if (plan.outcome !== 'changes') throw new Error(JSON.stringify(plan));
    return plan;
  };
  t.equal(planned({}).spec.datapath, 'kernel');
  t.equal(planned({ bum: 'replicate', guard: 'strict' }).spec.datapath, 'kernel', 'all modes');
  for (const [what, reason, plan] of [
    ['a rate', /--rate/, planned({ rate: 1e9 })],
    ['an MTU', /--mtu/, planned({ mtu: 1400 })],
    ['another address', /--outer/, planned({ outer: 0x0a000001 })],
    ['rules', /rules/, planned({}, { ...host, isRuled: true })],
    ['a kernel that is locked down', /lockdown/, planned({}, { ...host, kernelPath: LOCKED })],
    ['a device', /vxlan77/, planned({}, { ...host, links: [...host.links, vxlan(4789)] })],
  ] as const) {
    t.equal(plan.spec.datapath, undefined, what);
    t.match(plan.spec.notKernel, reason, what);
    t.match(plan.warnings.join(), reason, what);
  }
  t.match(planNetwork(net({ datapath: 'kernel', mtu: 1400 }), host), {
    refusals: [{ code: 'no-kernel-datapath', message: /for this network: .*--datapath auto/ }],
  });

  const request = net({ datapath: 'kernel' });
  const { spec } = planned({ datapath: 'kernel' });
  const running = { ...host, networks: [{ request, spec }] };
  t.equal(planNetwork(request, running).outcome, 'same');
  const { datapath: _, ...unsaid } = net();
  t.equal(planNetwork(unsaid, running).outcome, 'same', 'nobody says');
  const back = planNetwork(net({ datapath: 'userspace' }), running);
  t.match(back, { outcome: 'changes', changes: [{ kind: 'tunnel' }], joined: { network: 'red' } });
  const blue = net({ network: 'blue', bridge: 'br-blue', vni: 8, datapath: 'userspace' });
  t.match(planNetwork(blue, running), {
    refusals: [{ code: 'port-taken', message: /4789 is that of network red \(br-red\)/ }],
  });
  t.equal(planNetwork({ ...blue, port: 4790 }, running).outcome, 'changes');
  const left = movedSpec(spec, { notKernel: 'it has rules' });
  const ruled = { ...host, networks: [{ request, spec: left }] };
  t.equal(planNetwork(unsaid, ruled).outcome, 'same', 'it does not go back by itself');
  t.match(planNetwork(request, ruled), { spec: { datapath: 'kernel' } }, 'but when asked to');
});

t.test('both families of a fan have one data path', async (t) => {
  const host = plainHost();
  const bridge = 'fan0';
  const four = (datapath: 'userspace' | 'kernel') =>
    request('250.0.0.0/8', 'eth0/16', { bridge, datapath });
  const six = (datapath?: Datapath): FanRequest => sixBeside({ ...(datapath && { datapath }) });
  for (const [now, other] of [
    ['userspace', 'kernel'],
    ['kernel', 'userspace'],
  ] as const) {
    const alone = planFan(four(now), host);
    if (alone.outcome !== 'changes') throw new Error(alone.outcome);
    const first = { request: four(now), spec: alone.spec };
    const only = { ...host, fans: [first] };
    t.match(
      planFan(six(other), only),
      {
        refusals: [{ message: /IPv6 beside it too.*fanway up 250.0.0.0\/8 eth0\/16 bridge fan0/ }],
      },
      `${other} beside ${now}`,
    );
    const both = planFan(six(), only);
    if (both.outcome !== 'changes' || both.joined === undefined) throw new Error(both.outcome);
    t.equal(planFan(six(now), only).outcome, 'changes', 'the same');
    const { joined, spec } = both;
    const fans = [{ request: joined, spec }];
    t.equal(planFan(six(), { ...host, fans }).outcome, 'same', 'nobody says');
    t.equal(planFan(six(now), { ...host, fans }).outcome, 'same');
    const moved = planFan(six(other), { ...host, fans });
    if (moved.outcome !== 'changes') throw new Error(JSON.stringify(moved));
    t.match(moved, { joined: { ...joined, datapath: other }, changes: [{ kind: 'tunnel' }] });
    t.strictSame(moved.spec.six, spec.six, 'with its IPv6 side');
    t.equal(moved.spec.datapath ?? 'userspace', other);
  }
  const kernel = planFan(four('kernel'), host);
  if (kernel.outcome !== 'changes') throw new Error(kernel.outcome);
  const only = { ...host, fans: [{ request: four('kernel'), spec: kernel.spec }] };
  t.equal(planFan(six('auto'), only).outcome, 'changes', 'auto is content with the kernel');
});

t.test('the two sections of a file say it once, or the same', async (t) => {
  const [four, six] = [
    request('250.0.0.0/8', 'eth0/16', { bridge: 'fan0' }),
    sixBeside({ datapath: 'kernel' }),
  ];
  t.match(joinFans([four, six]), [{ datapath: 'kernel', overlay6: six.overlay6 }]);
  t.match(joinFans([six, { ...four, datapath: 'kernel' }]), [{ datapath: 'kernel' }]);
  t.equal(
    joinFans([{ ...four, datapath: 'userspace' }, six]).length,
    2,
    'not joined, and told why',
  );
});

t.test("what is stopped, and has nothing on the host, is in nobody's way", async (t) => {
  const host = plainHost();
  const red = networkRequest({ network: 'red', vni: 7, underlay: parseUnderlay('eth0/16') });
  const network = planNetwork(red, host);
  if (network.outcome !== 'changes') throw new Error(network.outcome);
  const { spec } = network;
  const kernel = fan({ datapath: 'kernel' });
  t.match(planFan(kernel, { ...host, networks: [{ spec }] }), {
    refusals: [{ message: /UDP port 4789 is that of network red \(br-red\)/ }],
  });
  const stopped = true;
  const up = planFan(kernel, { ...host, networks: [{ spec, stopped }] });
  if (up.outcome !== 'changes') throw new Error(JSON.stringify(up));
  const fans = [{ request: kernel, spec: up.spec }];
  t.match(planNetwork(red, { ...host, fans }), { refusals: [{ code: 'port-taken' }] });
  const other = { ...host, fans: [{ request: kernel, spec: up.spec, stopped }] };
  t.equal(planNetwork(red, other).outcome, 'changes', 'nor is a fan');
});
