import t from 'tap';
import { parseUnderlay } from '../../src/config/link/sides.ts';
import type { FanRequest } from '../../src/config/request.ts';
import { describeChange } from '../../src/control/change/change.ts';
import type { Snapshot } from '../../src/control/host/snapshot.ts';
import { obstaclesOf } from '../../src/control/links/obstacles.ts';
import { type Plan, planFan } from '../../src/control/links/plan.ts';
import type { NftChain } from '../../src/sys/netlink/nf/tables.ts';
import { address, link, plainHost, request, route } from './snapshots.ts';

const lines = (plan: Plan): string[] =>
  plan.outcome === 'changes'
    ? plan.changes.map((change) => describeChange(change))
    : [plan.outcome];

const refusals = (plan: Plan): string =>
  plan.outcome === 'refused'
    ? plan.refusals.map(({ code, message }) => `${code}: ${message}`).join('\n')
    : plan.outcome;

/** Settings that every fan's bridge gets. */
const OWN_BRIDGE = [
  'set sysctl net.ipv4.conf.fan-250-0-28.forwarding = 1',
  'set sysctl net.ipv4.conf.fan-250-0-28.proxy_arp_pvlan = 0',
  'set sysctl net.ipv6.conf.fan-250-0-28.accept_ra = 0',
  'set sysctl net.ipv6.conf.fan-250-0-28.autoconf = 0',
  'set sysctl net.ipv6.conf.fan-250-0-28.addr_gen_mode = 1',
];

t.test('planFan() makes the bridged layout for vxlan', async (t) => {
  const plan = planFan(request('250', 'eth0/16', { dhcp: true, hostReserve: 2 }), plainHost());
  t.same(lines(plan), [
    'set sysctl net.ipv4.ip_forward = 1',
    'create bridge fan-250-0-28, MTU 1450, MAC 02:fa:fa:00:1c:01',
    'set sysctl net.ipv4.conf.fan-250-0-28.rp_filter = 2',
    ...OWN_BRIDGE,
    'set sysctl net.ipv4.conf.all.send_redirects = 0',
    'set sysctl net.ipv4.conf.fan-250-0-28.send_redirects = 0',
    'create TAP fw-250-0-28 (vxlan, VNI 16384000, UDP port 4789) from 172.30.0.28, MTU 65521',
    'set sysctl net.ipv6.conf.fw-250-0-28.disable_ipv6 = 1',
    'make fw-250-0-28 a port of fan-250-0-28',
    'add address 250.0.28.1/8 to fan-250-0-28',
    'add address 250.0.28.2/8 to fan-250-0-28',
    "keep others from masquerading the tunnel's packets from 172.30.0.28",
    'masquerade 250.0.28.0/24 to everywhere but 250.0.0.0/8',
    'give what goes into 250.0.0.0/8 from outside of it the source 250.0.28.1',
    'stop router advertisements between ports of fan-250-0-28',
    'start dnsmasq on fan-250-0-28: 250.0.28.3 to 250.0.28.254, MTU 1450',
  ]);
});

t.test('planFan() makes the routed layout for ipip and fou', async (t) => {
  for (const [encap, device, mtu] of [
    ['ipip', 'ipip, IP protocols 4 and 41', 1480],
    ['fou', 'fou, UDP port 5555', 1472],
  ] as const) {
    const plan = planFan(request('250', 'eth0', { encap, masquerade: false }), plainHost());
    t.same(lines(plan), [
      'set sysctl net.ipv4.ip_forward = 1',
      `create bridge fan-250-0-28, MTU ${mtu}, MAC 02:fa:fa:00:1c:01`,
      'set sysctl net.ipv4.conf.fan-250-0-28.rp_filter = 2',
      ...OWN_BRIDGE,
      'add address 250.0.28.1/24 to fan-250-0-28',
      `create TUN fw-250-0-28 (${device}) from 172.30.0.28, MTU ${mtu}`,
      'set sysctl net.ipv6.conf.fw-250-0-28.disable_ipv6 = 1',
      'set sysctl net.ipv4.conf.fw-250-0-28.rp_filter = 2',
      'set sysctl net.ipv4.conf.fw-250-0-28.forwarding = 1',
      'add route 250.0.0.0/8 dev fw-250-0-28 src 250.0.28.1',
      'stop router advertisements between ports of fan-250-0-28',
    ]);
  }
});

t.test('planFan() follows what others do with packets', async (t) => {
  const chain = (table: string, base: NftChain['base']): NftChain => ({
    ...{ family: 'ip', table, name: table === 'nat' ? 'POSTROUTING' : 'FORWARD', base },
  });
  const filterWith = (...chains: NftChain[]) =>
    plainHost({ filter: { readable: true, why: '', chains, rules: [] } });
  const wanted = request('250', 'eth0', { encap: 'ipip', masquerade: false });
  const nat = chain('nat', { type: 'nat', hook: 4, priority: 100, policy: 'accept' });
  t.match(lines(planFan(wanted, filterWith(nat))), [
    ...Array.from({ length: 14 }, () => /./),
    "keep others from masquerading the tunnel's packets from 172.30.0.28 and from 250.0.28.0/24 to 250.0.0.0/8",
  ]);
  const forward = (policy: 'accept' | 'drop') =>
    filterWith(chain('filter', { type: 'filter', hook: 2, priority: 0, policy }));
  const open = planFan(wanted, forward('accept'));
  t.notOk(
    lines(open).some((line) => /FORWARD/.test(line)),
    'nothing to do where it accepts',
  );
  const shut = planFan(wanted, forward('drop'));
  t.match(
    lines(shut).at(-1),
    'let fan-250-0-28 and fw-250-0-28 through chain FORWARD of table ip filter, whose policy is drop',
  );
  t.match(shut, { warnings: [/FORWARD of table ip filter has policy drop/] });
  const without = { ...forward('drop'), tools: { nft: false, dnsmasq: true } };
  t.match(planFan(wanted, without), {
    warnings: [/nft insert rule ip filter FORWARD iifname fan-250-0-28 accept/],
  });
  const forwardLegacy = { policy: 'drop' as const, accepted: { iifname: [], oifname: [] } };
  const legacy = plainHost({ legacy: { forward: forwardLegacy, nat: true } });
  t.match(planFan(wanted, legacy), {
    warnings: [/iptables-legacy -I FORWARD -i fan-250-0-28 -j ACCEPT; .*-o fw-250-0-28/],
  });
});

t.test('planFan() finds the underlay in every form', async (t) => {
  const host = plainHost({
    links: [...plainHost().links, link(3, 'wlan0', { mtu: 9000 })],
    addresses: [
      ...plainHost().addresses,
      address(3, '10.1.2.3/24'),
      address(3, '10.1.2.4/24', { secondary: true }),
    ],
  });
  const table: [underlay: string, slice: string, mtu: number][] = [
    ['172.30.0.28', '250.0.28.0/24', 1450],
    ['172.30.0.28/16', '250.0.28.0/24', 1450],
    ['172.30.0.0/16', '250.0.28.0/24', 1450],
    ['172.30.0.0/24', '250.28.0.0/16', 1450],
    ['eth0', '250.0.28.0/24', 1450],
    ['default', '250.0.28.0/24', 1450],
    ['default/24', '250.28.0.0/16', 1450],
    ['wlan0/24', '250.3.0.0/16', 8950],
    ['10.1.2.4/24', '250.4.0.0/16', 8950],
  ];
  for (const [underlay, slice, mtu] of table) {
    const plan = planFan(request('250', underlay), host);
    if (plan.outcome !== 'changes') {
      t.fail(`${underlay}: ${refusals(plan)}`);
      continue;
    }
    const { spec } = plan;
    t.equal(`${spec.slice.address >>> 0}/${spec.slice.length}`, `${toNumber(slice)}`, underlay);
    t.equal(spec.innerMtu, mtu, `${underlay}: MTU`);
  }
});

function toNumber(text: string): string {
  const [dotted = '', length = ''] = text.split('/');
  const value = dotted.split('.').reduce((sum, octet) => sum * 256 + Number(octet), 0);
  return `${value}/${length}`;
}

t.test('planFan() refuses with a reason and a way out', async (t) => {
  const eth1 = link(3, 'eth1');
  const table: [name: string, request: FanRequest, host: Snapshot, expected: RegExp][] = [
    ['uw < ow', request('250.0.0.0/16', 'eth0/8'), plainHost(), /overlay of \/6 or shorter/],
    ['no usable host', request('250', 'eth0/8'), plainHost(), /no address for a container/],
    ['0/8', request('0.0.0.0/8', 'eth0'), plainHost(), /overlay-reserved.*250\.0\.0\.0\/8/],
    ['127/8', request('127', 'eth0'), plainHost(), /never leaves a host/],
    ['224/4', request('224.0.0.0/4', 'eth0/16'), plainHost(), /multicast/],
    ['/0', request('0.0.0.0/0', 'eth0/16'), plainHost(), /overlay-reserved/],
    ['no such device', request('250', 'eth7'), plainHost(), /no device eth7.*there are eth0/],
    ['no address', request('250', 'eth1'), withLink(eth1), /no global IPv4 address/],
    ['not our address', request('250', '172.30.0.29'), plainHost(), /172\.30\.0\.28\/16 on eth0/],
    ['not our network', request('250', '10.0.0.0/8'), plainHost(), /no address in the underlay/],
    ['no default', request('250', 'default'), plainHost({ routes: [] }), /no default route/],
    [
      'several addresses',
      request('250', '172.30.0.0/16'),
      plainHost({ addresses: [...plainHost().addresses, address(2, '172.30.9.9/16')] }),
      /172\.30\.0\.28.*172\.30\.9\.9.*name the one/,
    ],
    ['overlay holds underlay', request('172', 'eth0'), plainHost(), /overlap/],
    [
      'name over 15 characters',
      request('250', '172.30.200.199/20'),
      plainHost({ addresses: [address(2, '172.30.200.199/16')] }),
      /^changes$/,
    ],
    [
      'default name over 15 characters',
      request('250.0.0.0/8', '172.17.200.199/12'),
      plainHost({ addresses: [address(2, '172.17.200.199/12')] }),
      /name-too-long.*15 characters.*bridge NAME/,
    ],
    ['mtu too large', request('250', 'eth0', { mtu: 1451 }), plainHost(), /leaves 1450/],
    [
      'mtu too small',
      request('250', 'eth0'),
      plainHost({ links: [link(2, 'eth0', { mtu: 600 })] }),
      /leaves 550 bytes.*raise/,
    ],
    ['no dnsmasq', request('250', 'eth0', { dhcp: true }), withoutTools(), /dnsmasq-base/],
    [
      'reserve',
      request('250.0.0.0/8', '172.16.3.5/11', { hostReserve: 6, bridge: 'b' }),
      plainHost({ addresses: [address(2, '172.16.3.5/12')] }),
      /slice .* has 6; use at most 5/,
    ],
    [
      'bridge name taken',
      request('250', 'eth0', { bridge: 'br0' }),
      withLink(link(3, 'br0', { kind: 'bridge' })),
      /there is a bridge called br0.*another name/,
    ],
    [
      'device name taken',
      request('250', 'eth0'),
      withLink(link(3, 'fw-250-0-28', { kind: 'tun' })),
      /there is a tun called fw-250-0-28/,
    ],
  ];
  for (const [name, wanted, host, expected] of table) {
    t.match(refusals(planFan(wanted, host)), expected, name);
  }
});

function withLink(extra: Snapshot['links'][number]): Snapshot {
  return plainHost({ links: [...plainHost().links, extra] });
}
function withoutTools(): Snapshot {
  return plainHost({ tools: { nft: false, dnsmasq: false } });
}

t.test(
  'an overlay that hides what the host has is refused, naming both, unless forced',
  async (t) => {
    const host = plainHost({
      links: [...plainHost().links, link(3, 'vpn0')],
      addresses: [...plainHost().addresses, address(3, '250.9.9.9/24')],
      routes: [
        ...plainHost().routes,
        route('250.9.9.0/24', 3),
        route('250.10.0.0/16', 0, { type: 'blackhole', oif: 0 }),
        route('240.0.0.0/4', 3),
        route('250.9.9.9/32', 3, { table: 255, type: 'local' }),
      ],
    });
    const text = refusals(planFan(request('250', 'eth0'), host));
    for (const part of [
      '250.0.0.0/8',
      '250.9.9.9/24 on vpn0',
      '250.9.9.0/24 (vpn0)',
      'blackhole',
    ]) {
      t.ok(text.includes(part), part);
    }
    t.match(text, /--force/);
    const forced = planFan(request('250', 'eth0', { force: true }), host);
    t.equal(forced.outcome, 'changes');
    if (forced.outcome === 'changes') t.match(forced.warnings.join('\n'), /240\.0\.0\.0\/4/);
  },
);

t.test('several fans live on one host, the same one only once', async (t) => {
  const host = plainHost();
  const first = request('250', 'eth0');
  const plan = planFan(first, host);
  if (plan.outcome !== 'changes') throw new Error('no plan');
  const { spec } = plan;
  const running = plainHost({
    links: [
      ...host.links,
      link(5, spec.name, { kind: 'bridge', alias: `fanway:${spec.name}` }),
      link(6, spec.device, { kind: 'tun', alias: `fanway:${spec.name}` }),
    ],
    addresses: [...host.addresses, address(5, '250.0.28.1/8')],
    routes: [...host.routes, route('250.0.0.0/8', 5)],
    fans: [{ request: first, spec }],
  });
  t.equal(planFan(first, running).outcome, 'same');
  t.equal(planFan(request('250', '172.30.0.0/16'), running).outcome, 'same', 'in other words');
  t.match(
    refusals(planFan(request('250', 'eth0', { encap: 'ipip' }), running)),
    /overlay-has-fan.*encap vxlan, not ipip/,
  );
  t.match(refusals(planFan(request('250', 'eth0/24'), running)), /has a fan already/);
  t.equal(planFan(request('251', 'eth0'), running).outcome, 'changes');
  t.match(
    refusals(planFan(request('250.0.0.0/16', 'eth0/24', { bridge: 'b' }), running)),
    /vni-taken: VNI 16384000 is that of fan-250-0-28.*--vni/,
  );
  t.match(
    refusals(planFan(request('251', 'eth0', { encap: 'fou', port: 4789 }), running)),
    /port-taken.*another --port for fou/,
  );
  t.equal(
    planFan(request('250.7.0.0/16', 'eth0/24'), running).outcome,
    'changes',
    'inside another fan: the longer prefix wins',
  );
  t.equal(planFan(request('240.0.0.0/4', 'eth0'), running).outcome, 'changes', 'around it');
});

t.test('planFan() warns where something is missing that it can do without', async (t) => {
  const host = plainHost({
    links: [link(2, 'eth0', { mtu: 1300, up: false })],
    tools: { nft: false, dnsmasq: false },
  });
  const plan = planFan(request('250', 'eth0'), host);
  t.equal(plan.outcome, 'changes');
  if (plan.outcome !== 'changes') return;
  const text = plan.warnings.join('\n');
  t.match(text, /no IPv6 inside/);
  t.match(text, /nft is not here/);
  t.match(text, /eth0 is down: ip link set eth0 up/);
  const obstacles = (more: object): string[] =>
    obstaclesOf(plan.spec, plainHost({ links: [link(2, 'eth0', more)] })).obstacles.map(
      ({ message }) => message,
    );
  t.match(obstacles({ carrier: false }), [/^underlay device eth0 has no carrier: /]);
  t.same(obstacles({}), []);
});

t.test('--compat lxd changes the port', async (t) => {
  const plan = planFan(request('240', 'eth0/24', { compat: 'lxd' }), plainHost());
  t.match(plan, { spec: { port: 8472, vni: 15728640, innerMtu: 1450 } });
});

t.test('several underlays: of the same host bits on each, or members alone are told', async (t) => {
  const two = (more: string): Snapshot => {
    const host = plainHost();
    return {
      ...host,
      links: [...host.links, link(3, 'eth1', { mtu: 1400 })],
      addresses: [...host.addresses, address(3, more)],
    };
  };
  const further = [parseUnderlay('eth1/16')];
  const wanted = request('250.0.0.0/8', 'eth0/16', { further, underlayMode: 'latency' });
  const plan = planFan(wanted, two('172.31.0.28/16'));
  t.match(plan, {
    outcome: 'changes',
    spec: {
      further: [{ local: 0xac1f001c, device: 'eth1', underlay: { address: 0xac1f0000 } }],
      ...{ underlayDevice: 'eth0', underlayMode: 'latency', xmitHashPolicy: 'layer3+4' },
      ...{ underlayMtu: 1400, innerMtu: 1350 },
    },
  });
  t.match(planFan(wanted, two('172.31.0.29/16')), {
    outcome: 'changes',
    spec: { further: [{ local: 0xac1f001d }] },
    warnings: [/only members .*fanway join.* others look for it at 172\.31\.0\.28 /],
  });
  t.match(planFan(wanted, two('172.30.9.9/16')), {
    outcome: 'refused',
    refusals: [{ message: /network of another underlay/ }],
  });
  const narrow = { ...wanted, further: [parseUnderlay('eth1/24')] };
  t.match(planFan(narrow, two('172.31.0.28/24')), {
    refusals: [{ code: 'underlay-width' }],
  });
  t.match(planFan(wanted, plainHost()), { refusals: [{ code: 'underlay-no-device' }] });
  const kernel = planFan({ ...wanted, datapath: 'auto' }, two('172.31.0.28/16'));
  t.match(kernel, { spec: { notKernel: /one underlay/ } });
});
