import t from 'tap';
import {
  type BypassFacts,
  type StraightFacts,
  whyNoBypass,
  whyNotPort,
  whyNotStraight,
} from '../../src/control/plane/kernel/bypass-rules.ts';
import type { PortSettings } from '../../src/sys/netlink/netlink.ts';
import type { NftChain } from '../../src/sys/netlink/nf/tables.ts';

const TUNNEL = 7;

function port(change: Partial<PortSettings> = {}): PortSettings {
  return {
    ...{ index: 9, name: 'veth9', kind: 'veth', address: 2, isElsewhere: true, setting: '' },
    ...{ queues: [], ...change },
  };
}

function facts(
  bridge: Partial<NonNullable<BypassFacts['bridge']>> = {},
  change: Partial<BypassFacts> = {},
): BypassFacts {
  const ports = [port({ index: TUNNEL, name: 'fw', kind: 'vxlan', isElsewhere: false }), port()];
  return {
    bridge: {
      ...{ index: 3, address: 1, ageingMs: 300_000, vlanFiltering: false },
      ...{ spanningTree: false, callsIptables: false, ports, ...bridge },
    },
    ...{ tunnel: TUNNEL, chains: [], meetsIpRules: false, oldTables: { ip: [], bridge: [] } },
    ...change,
  };
}

function chain(family: NftChain['family'], table: string, hook: number): NftChain {
  const base = { type: 'filter', hook, priority: 0, policy: 'accept' } as const;
  return { family, table, name: 'judge', base };
}

t.test('whyNoBypass() finds who has a say at the bridge', async (t) => {
  t.equal(whyNoBypass(facts()), '', 'a plain bridge');
  const isolated = port({ index: TUNNEL, name: 'fw', setting: 'is isolated' });
  const old = (ip: string[], bridge: string[]) => ({ oldTables: { ip, bridge } });
  for (const [what, why, given] of [
    ['no bridge', /no bridge/, facts({}, { bridge: undefined })],
    ['VLANs', /VLANs/, facts({ vlanFiltering: true })],
    ['STP', /spanning tree/, facts({ spanningTree: true })],
    ['a short memory', /after 5 s/, facts({ ageingMs: 5000 })],
    ['no device', /no port/, facts({ ports: [port()] })],
    ['a setting of the device', /device is isolated/, facts({ ports: [isolated] })],
    ['bridge rules', /bridge other judge/, facts({}, { chains: [chain('bridge', 'other', 2)] })],
    [
      "a network's",
      /fanway-rules_x/,
      facts({}, { chains: [chain('bridge', 'fanway-rules_x', 2)] }),
    ],
    ['rules at a device', /netdev/, facts({}, { chains: [chain('netdev', 'other', 0)] })],
    ['ebtables', /ebtables/, facts({}, old([], ['ebtable_nat']))],
    [
      'iptables at the bridge',
      /ip filter/,
      facts({}, { meetsIpRules: true, chains: [chain('ip', 'filter', 2)] }),
    ],
    [
      'of this bridge alone',
      /inet x/,
      facts({ callsIptables: true }, { chains: [chain('inet', 'x', 0)] }),
    ],
    ['the old iptables', /mangle/, facts({}, { meetsIpRules: true, ...old(['mangle'], []) })],
  ] as const) {
    t.match(whyNoBypass(given), why, what);
  }
  for (const [what, given] of [
    ['our guard', facts({}, { chains: [chain('bridge', 'fanway-ports_fan', 0)] })],
    ['rules for IPv4 that bridges do not ask', facts({}, { chains: [chain('ip', 'filter', 2)] })],
    [
      'our own that they ask',
      facts({}, { meetsIpRules: true, chains: [chain('ip', 'fanway_fan', 4)] }),
    ],
    [
      'what comes in to the host itself',
      facts({}, { meetsIpRules: true, chains: [chain('ip', 'filter', 1)] }),
    ],
    ['the old iptables, which bridges do not ask', facts({}, old(['filter'], []))],
  ] as const) {
    t.equal(whyNoBypass(given), '', what);
  }
});

t.test('whyNotPort() lets veths to other namespaces alone', async (t) => {
  t.equal(whyNotPort(port(), false), '');
  t.match(whyNotPort(port(), true), /programs/);
  t.match(whyNotPort(port({ kind: 'tun' }), false), /no veth/);
  t.match(whyNotPort(port({ isElsewhere: false }), false), /here/);
  t.equal(whyNotPort(port({ setting: 'is isolated' }), false), 'is isolated');
  t.match(whyNotPort(port({ queues: ['tbf', 'clsact'] }), false), /tbf and clsact of tc/);
});

t.test('whyNotStraight() finds who has a say of what leaves', async (t) => {
  const eth0 = { name: 'eth0', hardwareType: 1, master: 0 };
  const facts: StraightFacts = {
    ...{ chains: [], oldTables: { ip: [], bridge: [] }, device: eth0, policies: 0 },
    pathMtuMin: 552,
  };
  t.equal(whyNotStraight(facts), '', 'nobody');
  for (const [what, why, change] of [
    ['no device', /no device/, { device: undefined }],
    ['no MACs', /eth0 is no Ethernet/, { device: { ...eth0, hardwareType: 65534 } }],
    ['a part of a VRF', /eth0 belongs/, { device: { ...eth0, master: 9 } }],
    ['IPsec', /IPsec/, { policies: 1 }],
    ['paths that may be tiny', /552/, { pathMtuMin: 512 }],
    ['what leaves', /ip filter judge/, { chains: [chain('ip', 'filter', 3)] }],
    ['what has been routed', /inet x/, { chains: [chain('inet', 'x', 4)] }],
    ['the old iptables', /mangle/, { oldTables: { ip: ['mangle'], bridge: [] } }],
  ] as const) {
    t.match(whyNotStraight({ ...facts, ...change }), why, what);
  }
  for (const [what, ...chains] of [
    ['what is forwarded', chain('ip', 'filter', 2)],
    ['what comes in', chain('inet', 'filter', 1)],
    ['IPv6', chain('ip6', 'filter', 3)],
    ['our own', chain('ip', 'fanway_fan', 4)],
  ] as const) {
    t.equal(whyNotStraight({ ...facts, chains }), '', what);
  }
});
