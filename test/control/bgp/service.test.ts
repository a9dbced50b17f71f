import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { BgpEntryJson, NeighbourJson, Page, RouteJson } from '../../../src/api/bgp.ts';
import {
  bgpStatusText,
  isBgpWell,
  neighboursText,
  ribText,
  routesText,
  upDownText,
} from '../../../src/cli/inspect/bgp-text.ts';
import { type BgpSettings, bgpNeighbourOf, bgpSettingsOf } from '../../../src/config/bgp.ts';
import type { SettingValue } from '../../../src/config/schema.ts';
import type { Route } from '../../../src/control/admin/admin.ts';
import { EntryService } from '../../../src/control/entries/entry-service.ts';
import { sixOf } from '../../../src/control/links/six.ts';
import { bgpRoutes, bgpStatus } from '../../../src/control/speakers/bgp/routes.ts';
import { BgpService } from '../../../src/control/speakers/bgp/service.ts';
import type { LinkSpec } from '../../../src/control/store/link-spec.ts';
import { silentLog } from '../../../src/log.ts';
import { parsePrefix } from '../../../src/net/prefix.ts';
import { parsePrefix6 } from '../../../src/net/prefix6.ts';
import {
  formatHostPrefix,
  parseHostPrefix,
  type UnderlayPrefix,
} from '../../../src/net/underlay-address.ts';
import { findRoot } from '../../style/sources.ts';
import { until } from '../../support/patience.ts';
import { type ApiDocument, misfits } from './json-schema.ts';

const PORT = 41_000 + (process.pid % 20_000);
const folder = mkdtempSync(join(tmpdir(), 'fanway-bgp-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));

const FAN: LinkSpec = {
  ...{ name: 'fan-250-0-1', encap: 'vxlan', device: 'fw-250-0-1', vni: 0xfa0000, port: 4789 },
  ...{ overlay: parsePrefix('250.0.0.0/8'), underlay: parsePrefix('127.0.0.0/16') },
  ...{ local: 0x7f000001, slice: parsePrefix('250.0.1.0/24'), gateway: 0xfa000101 },
  ...{ underlayMtu: 1500, innerMtu: 1450, dscp: 'pipe', sourcePorts: 16, offload: 'auto' },
};
const FAN_2: LinkSpec = { ...FAN, local: 0x7f000002, slice: parsePrefix('250.0.2.0/24') };
/** The same fan with IPv6 inside too. */
const dual = (fan: LinkSpec): LinkSpec => {
  return { ...fan, six: sixOf(parsePrefix6('fd00:fa::/32'), fan.underlay, fan.local) };
};

type Side = {
  service: BgpService;
  moved: Map<string, number>;
  path: string;
  announced: UnderlayPrefix[];
};

function make(name: string, specs: LinkSpec[] = []): Side {
  const moved = new Map<string, number>();
  const entries = new EntryService({
    writer: {
      setEntry: (_link, prefix, peer) => void moved.set(formatHostPrefix(prefix), Number(peer)),
      deleteEntry: (_link, prefix) => void moved.delete(formatHostPrefix(prefix)),
    },
    log: silentLog,
  });
  const announced: UnderlayPrefix[] = [];
  const path = join(folder, `${name}.json`);
  const service = new BgpService({
    ...{ path, log: silentLog, entries },
    specs: () => specs,
    announced: () => announced,
    ...{ networks: () => [], followers: [] },
  });
  return { service, moved, path, announced };
}

/** The settings of 127.0.0.`own`, whose neighbour is 127.0.0.`other`. */
function settings(own: number, other: number, more: Partial<BgpSettings> = {}): BgpSettings {
  const near = new Map<string, SettingValue>([
    ['address', `127.0.0.${other}`],
    ['as', 65000],
    ['port', PORT],
    ['connect-retry', 1],
  ]);
  const values = new Map<string, SettingValue>([
    ['as', 65000],
    ['bind', `127.0.0.${own}`],
    ['port', PORT],
    ['vteps', ['127.0.0.0/8']],
    ['vnis', [100]],
  ]);
  return { ...bgpSettingsOf(values, [bgpNeighbourOf(near)]), ...more };
}

async function pair(t: Test, of = (fan: LinkSpec) => fan): Promise<[Side, Side]> {
  const [a, b] = [make('a', [of(FAN)]), make('b', [of(FAN_2)])];
  t.teardown(() => Promise.all([a.service.stop(), b.service.stop()]));
  await Promise.all([a.service.configure(settings(1, 2)), b.service.configure(settings(2, 1))]);
  await until('a session', 5000, () =>
    [a, b].every(({ service }) => bgpStatus(service)?.neighbors.established === 1),
  );
  return [a, b];
}

const call = async <T>(routes: readonly Route[], path: string, body?: unknown): Promise<T> => {
  const route = routes.find((each) => each.path === path);
  if (route === undefined) throw new Error(`no ${path}`);
  return JSON.parse(JSON.stringify(await route.handle(body))) as T;
};

const MAC = { kind: 'mac', vni: 100, mac: '02:00:00:00:00:01', ip: '10.0.0.1', sequence: 2 };

t.test('fans tell their slices, programs their routes, and all of it arrives', async (t) => {
  const [a, b] = await pair(t);
  const [ours, theirs] = [bgpRoutes(a.service), bgpRoutes(b.service)];
  await call(ours, '/v1/bgp/announce', { routes: [MAC, { kind: 'flood', vni: 100 }] });
  const rib = (vni: number | null): Promise<Page<BgpEntryJson>> =>
    call(theirs, '/v1/bgp/rib', { vni });
  await until('all there', 5000, async () => (await rib(null)).entries.length === 4);
  t.match((await rib(100)).entries, [
    { kind: 'mac', entry: '02:00:00:00:00:01', vtep: '127.0.0.1', label: 100, sequence: 2 },
    { kind: 'address', entry: '10.0.0.1', mac: '02:00:00:00:00:01' },
    { kind: 'flood', entry: '127.0.0.1' },
  ]);
  t.match((await rib(0xfa0000)).entries, [{ kind: 'prefix', entry: '250.0.1.0/24' }]);
  t.same([...b.moved], [], 'a slice is where the arithmetic has it');
  a.announced.push(parsePrefix('250.0.9.7/32'));
  await a.service.refresh();
  await until('what moved', 5000, () => b.moved.size === 1);
  t.same([...b.moved], [['250.0.9.7/32', 0x7f000001]]);
  await call(ours, '/v1/bgp/withdraw', { routes: [MAC] });
  await until('withdrawn', 2000, async () => (await rib(100)).entries.length === 1);
  await a.service.stop();
  await until('a clean stop takes all of it back', 2000, () => b.moved.size === 0);
  t.equal((await rib(null)).entries.length, 0);
  t.equal(existsSync(a.path), false, 'and leaves nothing');
});

t.test('a fan of both families: prefixes of IPv6 go both ways, each in its network', async (t) => {
  const [a, b] = await pair(t, dual);
  const [ours, theirs] = [bgpRoutes(a.service), bgpRoutes(b.service)];
  const vni6 = dual(FAN).six?.vni ?? 0;
  const rib = async (): Promise<Page<BgpEntryJson>> => call(theirs, '/v1/bgp/rib', { vni: vni6 });
  a.announced.push(parseHostPrefix('fd00:fa:9::7/128'), parsePrefix('250.0.9.7/32'));
  await a.service.refresh();
  await until('what moved', 5000, () => b.moved.size === 2);
  t.match((await rib()).entries, [
    { kind: 'prefix', entry: 'fd00:fa:1::/48', vtep: '127.0.0.1', label: vni6 },
    { kind: 'prefix', entry: 'fd00:fa:9::7/128', vtep: '127.0.0.1', label: vni6 },
  ]);
  t.same([...b.moved].sort(), [
    ['250.0.9.7/32', 0x7f000001],
    ['fd00:fa:9::7/128', 0x7f000001],
  ]);
  // A program may tell one too; one that is wider than a slice, or of another fan, moves nothing.
  const route = (prefix: string) => ({ kind: 'prefix', vni: vni6, prefix });
  const given = ['fd00:fa:9:1::/64', 'fd00:fa::/40', 'fd00:fb:9::/64'].map(route);
  await call(ours, '/v1/bgp/announce', { routes: given });
  await until('all told', 5000, async () => (await rib()).entries.length === 5);
  t.same(
    [...b.moved.keys()].filter((text) => text.includes('/64')),
    ['fd00:fa:9:1::/64'],
  );
  t.equal(b.moved.size, 3);
  a.announced.splice(0);
  await a.service.refresh();
  await until('taken back', 5000, () => b.moved.size === 1);
});

const skipApi = findRoot() === '' && 'the sources are not beside the tests';
t.test(
  'answers are what docs/bgp-api.json says, and all is in it',
  { skip: skipApi },
  async (t) => {
    const text = readFileSync(join(findRoot(), 'docs/bgp-api.json'), 'utf8');
    const api = JSON.parse(text) as ApiDocument;
    const [a, b] = await pair(t);
    const routes = bgpRoutes(a.service);
    const written = Object.entries(api.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    t.same(routes.map(({ method, path }) => `${method} ${path}`).sort(), written.sort());
    await call(bgpRoutes(b.service), '/v1/bgp/announce', {
      routes: [MAC, { kind: 'prefix', vni: 100, prefix: 'fd00::/64' }],
    });
    await until('routes', 5000, () => (a.service.speaker?.imports.size ?? 0) >= 4);
    const own = { routes: [{ kind: 'flood', vni: 100 }] };
    const bodies: Record<string, unknown> = {
      '/v1/bgp/routes': { from: 0, type: null },
      '/v1/bgp/rib': {},
      '/v1/bgp/announce': own,
      '/v1/bgp/withdraw': own,
      '/v1/bgp/refresh': { neighbor: '127.0.0.2' },
      '/v1/bgp/reset': { neighbor: '127.0.0.2' },
    };
    for (const { method, path } of routes) {
      const operation = api.paths[path]?.[method.toLowerCase()];
      const body = bodies[path];
      const wanted = operation?.requestBody?.content['application/json'].schema;
      t.equal(wanted === undefined, body === undefined, `${path}: a body`);
      if (wanted !== undefined) t.same(misfits(api, wanted, body), [], `${path}: the body`);
      const answer = await call<unknown>(routes, path, body);
      const schema = operation?.responses['200']?.content['application/json'].schema ?? {};
      t.same(misfits(api, schema, answer), [], `${path}: the answer`);
    }
    const done = { $ref: '#/components/schemas/Done' };
    t.same(misfits(api, done, { done: 1 }), ['$.done: integer, not boolean'], 'the check itself');
  },
);

t.test('a network is marked as its section says, and sessions go on when it changes', async (t) => {
  const [a, b] = await pair(t);
  await call(bgpRoutes(a.service), '/v1/bgp/announce', { routes: [MAC] });
  const rib = (): number => [...(b.service.speaker?.imports.entries(100) ?? [])].length;
  await until('there', 5000, () => rib() === 2);
  const marks = { vni: 100, rd: '65000:7', importTargets: ['*:7'], exportTargets: ['65000:9'] };
  const networks = [{ ...marks, gateway: false }];
  await a.service.configure(settings(1, 2, { networks }));
  await until('another target is another network', 5000, () => rib() === 0);
  const page = (): Promise<Page<RouteJson>> =>
    call(bgpRoutes(b.service), '/v1/bgp/routes', { type: 2 });
  t.match((await page()).entries, [{ rd: '65000:7', labels: [100] }]);
  t.match((await page()).entries[0]?.communities, ['RT:65000:9']);
  const [other] = networks;
  const wanted = other && [{ ...other, importTargets: ['10.0.0.1:5', '65000:9'] }];
  await b.service.configure(settings(2, 1, { networks: wanted ?? [] }));
  t.equal(rib(), 2, 'who imports that target has it');
  t.equal(a.service.speaker?.neighbours[0]?.counters.established, 1, 'one session all the while');
});

t.test('wrong routes are refused with a sentence, and none of the call is taken', async (t) => {
  const [a] = await pair(t);
  const routes = bgpRoutes(a.service);
  const wrong: [unknown, RegExp][] = [
    [undefined, /list of at most 256/],
    [Array(257).fill(MAC), /list of at most 256/],
    [[1], /a route is an object/],
    [[{ kind: 'x', vni: 1 }], /kind is mac, flood or prefix/],
    [[{ ...MAC, vni: -1 }], /vni is a number/],
    [[{ ...MAC, vni: 0x1000000 }], /vni is a number/],
    [[{ ...MAC, mac: 'x' }], /not a MAC/],
    [[{ ...MAC, mac: '01:00:5e:00:00:01' }], /one station/],
    [[{ ...MAC, ip: '1.2.3' }], /not an IPv4/],
    [[{ ...MAC, sequence: 2 ** 32 }], /sequence is a number/],
    [[MAC, { ...MAC, vni: 7 }], /VNI 7 is no network here/],
    [[{ kind: 'prefix', vni: 100, prefix: '10.0.0.1/24' }], /bits below its mask/],
    [[{ kind: 'prefix', vni: 100, prefix: '10.0.0.0/33' }], /no prefix/],
  ];
  for (const [given, message] of wrong) {
    await t.rejects(call(routes, '/v1/bgp/announce', { routes: given }), { message });
  }
  const missing = call(routes, '/v1/bgp/withdraw', { routes: [MAC] });
  await t.rejects(missing, { message: /not given here/ });
  const stranger = call(routes, '/v1/bgp/reset', { neighbor: '10.9.9.9' });
  await t.rejects(stranger, { message: /no neighbour here/ });
  const page = call(routes, '/v1/bgp/routes', { from: -1 });
  await t.rejects(page, { message: /from is not a whole number/ });
  t.equal(a.service.speaker?.own.length, 1, 'only the slice');
});

t.test('given routes outlive a control process that had no clean end', async (t) => {
  const [a, b] = await pair(t);
  await call(bgpRoutes(a.service), '/v1/bgp/announce', { routes: [MAC] });
  await until('kept', 2000, () => readFileSync(a.path, 'utf8').includes(MAC.mac));
  const copy = readFileSync(a.path);
  await a.service.stop();
  writeFileSync(a.path, copy);
  const again = make('a', [FAN]);
  t.teardown(() => again.service.stop());
  await again.service.configure(settings(1, 2));
  await until('back', 10_000, () => (b.service.speaker?.imports.size ?? 0) === 3);
  writeFileSync(join(folder, 'damaged.json'), '{');
  const damaged = make('damaged');
  t.teardown(() => damaged.service.stop());
  await damaged.service.configure(settings(9, 1, { vtep: '127.0.0.9' }));
  t.equal(bgpStatus(damaged.service)?.state, 'up', 'a damaged file costs the routes only');
});

t.test('what keeps it from running is said, and tried again', async (t) => {
  const side = make('stopped');
  t.teardown(() => side.service.stop());
  t.equal(bgpStatus(side.service), undefined);
  await t.rejects(side.service.announce([]), { message: /no \[bgp\] section/ });
  await side.service.configure(settings(3, 4));
  t.match(bgpStatus(side.service), { state: 'stopped', reason: /no fan or network is up/ });
  const server = createServer().listen(PORT, '127.0.0.3');
  await new Promise((resolve) => server.once('listening', resolve));
  const vtep = '127.0.0.3';
  await side.service.configure(settings(3, 4, { vtep }));
  t.match(bgpStatus(side.service), { reason: /EADDRINUSE/ });
  await new Promise((resolve) => server.close(resolve));
  await side.service.refresh();
  t.match(bgpStatus(side.service), { state: 'up', reason: '' });
  const neighbours = settings(3, 4).neighbours.map((near) => {
    return { ...near, md5File: join(folder, 'no.key') };
  });
  await side.service.configure(settings(3, 4, { vtep, neighbours }));
  t.match(bgpStatus(side.service), { state: 'stopped', reason: /no\.key is not there/ });
});

t.test('text in the columns that others have', async (t) => {
  const [a, b] = await pair(t);
  await call(bgpRoutes(b.service), '/v1/bgp/announce', { routes: [MAC] });
  await until('routes', 5000, () => (a.service.speaker?.imports.size ?? 0) === 3);
  const routes = bgpRoutes(a.service);
  const neighbours = await call<NeighbourJson[]>(routes, '/v1/bgp/neighbors');
  const text = neighboursText(neighbours);
  t.match(text, /Neighbor +AS +MsgRcvd +MsgSent +OutQ +Up\/Down +State\/PfxRcd +PfxSnt +Desc\n/);
  t.match(text, /127\.0\.0\.2 +65000 .* +00:00:0\d +2 +1 +-/);
  const lastEnd = 'Hold Timer Expired';
  const down = neighbours.map((each) => ({ ...each, state: 'Active', lastEnd }));
  t.match(neighboursText(down), /127\.0\.0\.2 is down: Hold Timer Expired/);
  const page = await call<Page<RouteJson>>(routes, '/v1/bgp/routes', { neighbor: '127.0.0.2' });
  const network = '\\[rd:127.0.0.2:100\\]:\\[2\\]:\\[0\\]:\\[48\\]:\\[02:00:00:00:00:01\\]';
  const rest = ' +100 +127.0.0.2 +i .*LocPrf:100 RT:65000:100 ET:8 \\(VXLAN\\) MM:2';
  t.match(routesText(page.entries), new RegExp(`\\*> +${network}:\\[32\\]:\\[10.0.0.1\\]${rest}`));
  const rib = await call<Page<BgpEntryJson>>(routes, '/v1/bgp/rib', {});
  const entry = /100 +address +10\.0\.0\.1 +127\.0\.0\.2 +100 +02:00:00:00:00:01 +2/;
  t.match(ribText(rib.entries), entry);
  const status = bgpStatus(a.service);
  t.ok(status && isBgpWell(status));
  const lines = status === undefined ? [] : bgpStatusText(status);
  t.match(lines, ['bgp: up', /AS 65000, router id 127\.0\.0\.1/, /1 of 1 neighbour established/]);
  const ages = [0, 61_000, 86_400_000 + 7_200_000, 8 * 86_400_000].map(upDownText);
  t.same(ages, ['00:00:00', '00:01:01', '1d02h', '1w1d']);
});
