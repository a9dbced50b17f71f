import t from 'tap';
import type { EngineFan } from '../../src/plugins/fan.ts';
import {
  knowsUnmanaged,
  podmanNetwork,
  readPodmanNetwork,
} from '../../src/plugins/podman/network.ts';
import { lxcConfig, nspawnConfig, subnetEnv } from '../../src/plugins/snippets.ts';

const BRIDGED: EngineFan = {
  ...{ bridge: 'fan-250-0-28', device: 'fw-250-0-28', bridged: true, dhcp: false, mtu: 1450 },
  overlay: { address: 0xfa000000, length: 8 },
  slice: { address: 0xfa001c00, length: 24 },
  network: { address: 0xfa000000, length: 8 },
  ...{ gateway: 0xfa001c01, reserved: [0xfa001c01, 0xfa001c02] },
  ...{ first: 0xfa001c03, last: 0xfa001cfe },
};
const ROUTED: EngineFan = {
  ...BRIDGED,
  ...{ bridged: false, mtu: 1472, network: BRIDGED.slice },
};

t.test('lxcConfig()', async (t) => {
  const text = lxcConfig(BRIDGED, 0xfa001c14);
  t.match(text, /^lxc\.net\.0\.link = fan-250-0-28$/m);
  t.match(text, /^lxc\.net\.0\.mtu = 1450$/m);
  t.match(text, /^lxc\.net\.0\.ipv4\.address = 250\.0\.28\.20\/8$/m);
  t.match(text, /^lxc\.net\.0\.ipv4\.gateway = 250\.0\.28\.1$/m);
  t.match(lxcConfig(ROUTED, 0xfa001c14), /address = 250\.0\.28\.20\/24$/m);
  t.notMatch(lxcConfig(BRIDGED), /ipv4/);
  for (const address of [0xfa001c01, 0xfa001c02, 0xfa001cff, 0xfa011b14]) {
    t.throws(() => lxcConfig(BRIDGED, address), { code: 'address-not-here' });
  }
});

t.test('nspawnConfig()', async (t) => {
  t.match(nspawnConfig(BRIDGED), /^\[Network\]\nBridge=fan-250-0-28$/m);
});

t.test('subnetEnv() is for routed fans', async (t) => {
  t.equal(
    subnetEnv(ROUTED),
    'FLANNEL_NETWORK=250.0.0.0/8\nFLANNEL_SUBNET=250.0.28.1/24\nFLANNEL_MTU=1472\nFLANNEL_IPMASQ=true\n',
  );
  t.throws(() => subnetEnv(BRIDGED), { code: 'not-routed', exitCode: 3 });
});

t.test('podmanNetwork() and readPodmanNetwork()', async (t) => {
  const range = { address: 0xfa001c00, length: 24 };
  const made = podmanNetwork('fan', BRIDGED, range, {
    created: '2026-01-01T00:00:00Z',
    unmanaged: true,
  });
  t.match(made, {
    id: /^[0-9a-f]{64}$/,
    network_interface: 'fan-250-0-28',
    options: { mtu: '1450', mode: 'unmanaged' },
    subnets: [
      {
        ...{ subnet: '250.0.0.0/8', gateway: '250.0.28.1' },
        lease_range: { start_ip: '250.0.28.3', end_ip: '250.0.28.254' },
      },
    ],
  });
  t.same(readPodmanNetwork(JSON.stringify(made)), {
    ...{ ours: true, bridge: 'fan-250-0-28', created: '2026-01-01T00:00:00Z' },
    subnets: ['250.0.0.0/8'],
  });
  const half = { address: 0xfa001c80, length: 25 };
  const part = podmanNetwork('fan', ROUTED, half, { created: '', unmanaged: false });
  t.match(part, {
    subnets: [{ subnet: '250.0.28.0/24', lease_range: { start_ip: '250.0.28.128' } }],
  });
  t.equal(readPodmanNetwork('{"name":"x"}')?.ours, false);
  for (const text of ['', 'null', '[]', '{"name":7}']) t.equal(readPodmanNetwork(text), undefined);
  for (const [version, knows] of [
    ['4.3.1', false],
    ['5.3.9', false],
    ['5.4.0', true],
    ['6.0.1', true],
    ['', false],
  ] as const) {
    t.equal(knowsUnmanaged(version), knows, version);
  }
});
