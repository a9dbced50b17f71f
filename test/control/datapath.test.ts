import t from 'tap';
import type { Snapshot } from '../../src/control/host/snapshot.ts';
import { type Plan, planFan } from '../../src/control/links/plan.ts';
import { Lab } from '../../src/demo/lab.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { fanway } from './lab-router.ts';
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

const vxlan = (port: number): Snapshot['links'][number] => ({
  ...{ index: 77, name: 'vxlan77', kind: 'vxlan', up: true, carrier: true, mtu: 1500, master: 0 },
  ...{
    address: 2,
    alias: '',
    gsoIpv4MaxSize: 0,
    txQueueLen: 1000,
    vxlan: { port, external: true },
  },
});

t.test('auto takes the kernel where it can, and says why not', async (t) => {
  const host = plainHost();
  t.equal(why(planFan(fan(), host)), '');
  for (const [what, reason, plan] of [
    ['ipip', /ipip/, planFan(fan({ encap: 'ipip' }), host)],
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
  await host.netlink.createExternalVxlan('vx0', { port: 4789, mtu: 1450 });
  t.match(await planned(...auto), /forwarded by fanway, not by the kernel: UDP port 4789 .* vx0/);
  t.notMatch(await planned(...auto, '--port', '4790'), /forwarded by fanway/);
});

t.test('kernel is refused where it cannot be, in the same words', async (t) => {
  t.match(planFan(fan({ datapath: 'kernel', encap: 'fou' }), plainHost()), {
    outcome: 'refused',
    refusals: [{ code: 'no-kernel-datapath', message: /fou.*--datapath auto/ }],
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
  const plain = request('250.0.0.0/8', 'eth0/16');
  const back = planFan(plain, fans);
  t.match(back, { outcome: 'changes', joined: plain, changes: [{ kind: 'tunnel' }] });
  t.equal(back.outcome === 'changes' && back.spec.datapath, undefined);

  const beside = planFan(request('251.0.0.0/8', 'eth0/16', { datapath: 'auto' }), fans);
  t.match(beside, { outcome: 'refused', refusals: [{ code: 'port-taken' }] });
  const apart = planFan(request('251.0.0.0/8', 'eth0/16', { port: 4790, datapath: 'auto' }), fans);
  t.equal(why(apart), '', 'a port of its own');
});
