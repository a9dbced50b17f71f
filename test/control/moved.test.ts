import t from 'tap';
import type { LinkSpec } from '../../src/control/link-spec.ts';
import {
  applyMovedRoutes,
  exceptionsOf,
  type MovedPrefix,
  movedRoutes,
} from '../../src/control/moved.ts';
import { planFan } from '../../src/control/plan.ts';
import { parseIpv4 } from '../../src/net/ipv4.ts';
import { formatPrefix, parsePrefix } from '../../src/net/prefix.ts';
import { FakeHost } from './fake-host.ts';
import { link, plainHost, request, route } from './snapshots.ts';

const UNDERLAY = parsePrefix('172.30.0.0/16');
const OVERLAY = parsePrefix('250.0.0.0/8');
const HERE = parseIpv4('172.30.0.28');
const THERE = parseIpv4('172.30.0.29');

/** The link of 172.30.0.28, whose slice is 250.0.28.0/24. */
function specOf(encap: 'vxlan' | 'ipip' | 'fou'): LinkSpec {
  const plan = planFan(request('250.0.0.0/8', 'eth0/16', { encap }), plainHost());
  if (plan.outcome !== 'changes') throw new Error(`the plan is ${plan.outcome}`);
  return plan.spec;
}

function moved(prefix: string, local: number, more: Partial<MovedPrefix> = {}): MovedPrefix {
  const fans = [{ overlay: OVERLAY, underlay: UNDERLAY, local }];
  return { prefix: parsePrefix(prefix), vni: 0, fans, ...more };
}

t.test('exceptionsOf() takes what is in this very fan', async (t) => {
  const spec = specOf('vxlan');
  const peer = (one: MovedPrefix): number | undefined => exceptionsOf(spec, [one])[0]?.peer;
  t.equal(peer(moved('250.0.30.7/32', THERE)), THERE);
  t.equal(peer(moved('250.0.30.0/24', THERE)), THERE, 'a whole slice');
  t.equal(peer(moved('250.0.30.7/32', THERE, { vni: spec.vni })), THERE);
  t.equal(peer(moved('250.0.30.7/32', THERE, { vni: 7 })), undefined, 'another VNI');
  t.equal(peer(moved('250.0.0.0/16', THERE)), undefined, 'wider than a slice');
  t.equal(peer(moved('251.0.30.7/32', THERE)), undefined, 'outside the overlay');
  t.equal(peer(moved('250.0.30.7/32', parseIpv4('10.0.0.1'))), undefined, 'outside the underlay');
  const other = [{ overlay: OVERLAY, underlay: parsePrefix('172.30.0.0/24'), local: THERE }];
  t.equal(peer(moved('250.0.30.7/32', THERE, { fans: other })), undefined, 'another fan');
  t.equal(peer(moved('250.0.30.7/32', THERE, { fans: [] })), undefined, 'a host without fans');
});

t.test('movedRoutes() leads to the bridge what came, into the tunnel what went', async (t) => {
  for (const encap of ['ipip', 'fou'] as const) {
    const spec = specOf(encap);
    const routes = (prefix: string, local: number): string[] =>
      movedRoutes(spec, exceptionsOf(spec, [moved(prefix, local)])).map(
        ({ destination, device }) => `${formatPrefix(destination)} ${device}`,
      );
    t.same(routes('250.0.30.7/32', HERE), [`250.0.30.7/32 ${spec.name}`], 'came here');
    t.same(routes('250.0.28.7/32', THERE), [`250.0.28.7/32 ${spec.device}`], 'went away');
    t.same(routes('250.0.28.7/32', HERE), [], 'at home');
    t.same(routes('250.0.30.7/32', THERE), [], 'between others: the overlay route leads there');
  }
  const spec = specOf('vxlan');
  t.same(movedRoutes(spec, exceptionsOf(spec, [moved('250.0.30.7/32', HERE)])), [], 'bridged');
});

t.test('applyMovedRoutes() adds what is missing and removes what is over', async (t) => {
  const spec = specOf('ipip');
  const own = [
    route('250.0.28.0/24', 20, { src: spec.gateway }),
    route('250.0.0.0/8', 21, { src: spec.gateway }),
  ];
  const base = plainHost();
  const host = new FakeHost({
    ...base,
    links: [...base.links, link(20, spec.name), link(21, spec.device)],
    routes: [...base.routes, ...own],
    sysctls: { ...base.sysctls, [`net/ipv4/conf/${spec.name}/proxy_arp`]: '0' },
  });
  const before = host.picture();
  const apply = (...list: MovedPrefix[]): Promise<void> =>
    applyMovedRoutes(spec, exceptionsOf(spec, list), host);
  const more = (): string[] =>
    host.state.routes.slice(base.routes.length + own.length).map(({ dst, oif }) => {
      return `${formatPrefix(dst)} ${oif}`;
    });
  const proxyArp = (): string | null | undefined =>
    host.state.sysctls[`net/ipv4/conf/${spec.name}/proxy_arp`];

  await apply(moved('250.0.30.7/32', HERE), moved('250.0.28.9/32', THERE));
  t.same(more(), ['250.0.30.7/32 20', '250.0.28.9/32 21']);
  t.equal(proxyArp(), '1', 'neighbours of what went away are answered');
  const { steps } = host;
  await apply(moved('250.0.30.7/32', HERE), moved('250.0.28.9/32', THERE));
  t.equal(host.steps, steps, 'nothing to do the second time');
  await apply(moved('250.0.30.7/32', HERE));
  t.same(more(), ['250.0.30.7/32 20']);
  t.equal(proxyArp(), '0');
  await apply();
  t.same(host.picture(), before, 'all back');
});
