import t from 'tap';
import { RoutedEntries, routeOf } from '../../src/control/entries/routed-entries.ts';
import { planFan } from '../../src/control/links/plan.ts';
import type { LinkSpec } from '../../src/control/store/link-spec.ts';
import { silentLog } from '../../src/log.ts';
import { parseIpv4 } from '../../src/net/ipv4.ts';
import { formatPrefix, parsePrefix } from '../../src/net/prefix.ts';
import { FakeHost } from './fake-host.ts';
import { link, plainHost, request, route } from './snapshots.ts';

const HERE = parseIpv4('172.30.0.28');
const THERE = parseIpv4('172.30.0.29');

/** The link of 172.30.0.28, whose slice is 250.0.28.0/24. */
function specOf(encap: 'vxlan' | 'ipip' | 'fou'): LinkSpec {
  const plan = planFan(request('250.0.0.0/8', 'eth0/16', { encap }), plainHost());
  if (plan.outcome !== 'changes') throw new Error(`the plan is ${plan.outcome}`);
  return plan.spec;
}

t.test('routeOf() leads to the bridge what came, into the tunnel what went', async (t) => {
  for (const encap of ['ipip', 'fou'] as const) {
    const spec = specOf(encap);
    const of = (prefix: string, peer: number): string | undefined =>
      routeOf(spec, parsePrefix(prefix), peer)?.device;
    t.equal(of('250.0.30.7/32', HERE), spec.name, 'came here');
    t.equal(of('250.0.28.7/32', THERE), spec.device, 'went away');
    t.equal(of('250.0.28.7/32', HERE), undefined, 'at home');
    t.equal(of('250.0.30.7/32', THERE), undefined, 'between others: the overlay route leads there');
    t.equal(of('250.0.28.0/24', THERE), undefined, 'the slice has its route');
  }
});

t.test('routes follow each entry, and what others undo', async (t) => {
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
  let specs = [spec];
  const entries = new Map<string, number>();
  const routes = new RoutedEntries({ host, specs: () => specs, log: silentLog });
  const put = async (prefix: string, peer: number | undefined): Promise<void> => {
    if (peer === undefined) entries.delete(prefix);
    else entries.set(prefix, peer);
    routes.change(spec.name, parsePrefix(prefix), peer);
    await routes.settled();
  };
  const refresh = async (): Promise<void> => {
    routes.refresh(() =>
      [...entries].map(([prefix, peer]) => ({
        id: { link: spec.name, kind: 'prefix', ...parsePrefix(prefix) },
        best: { peer, owner: '', source: 'gossip', sequence: 0, mac: 0 },
      })),
    );
    await routes.settled();
  };
  const more = (): string[] =>
    host.state.routes
      .slice(base.routes.length + own.length)
      .map(({ dst, oif }) => `${formatPrefix(dst)} ${oif}`)
      .sort();
  const proxyArp = (): string | null | undefined =>
    host.state.sysctls[`net/ipv4/conf/${spec.name}/proxy_arp`];

  await put('250.0.30.7/32', HERE);
  await put('250.0.28.9/32', THERE);
  t.same(more(), ['250.0.28.9/32 21', '250.0.30.7/32 20']);
  t.equal(proxyArp(), '1', 'neighbours of what went away are answered');
  const { steps } = host;
  await refresh();
  t.equal(host.steps, steps, 'nothing to do the second time');
  await host.deleteRoute({
    ...{ destination: parsePrefix('250.0.28.9/32'), device: spec.device, source: spec.gateway },
  });
  await refresh();
  t.same(more(), ['250.0.28.9/32 21', '250.0.30.7/32 20'], 'somebody deleted one');
  await put('250.0.30.7/32', THERE);
  t.same(more(), ['250.0.28.9/32 21'], 'it moved on');
  await put('250.0.30.7/32', HERE);
  await put('250.0.28.9/32', undefined);
  t.same(more(), ['250.0.30.7/32 20']);
  t.equal(proxyArp(), '1', 'what came is answered about its old neighbours');
  // The host has another underlay address now: what was between others is here.
  const moved = { ...spec, local: THERE };
  await put('250.0.31.7/32', THERE);
  specs = [moved];
  await refresh();
  t.match(more().join(), /250\.0\.31\.7\/32 20/);
  t.notMatch(more().join(), /250\.0\.30\.7/);
  specs = [spec];
  await refresh();
  for (const prefix of [...entries.keys()]) await put(prefix, undefined);
  t.same(host.picture(), before, 'all back');
});
