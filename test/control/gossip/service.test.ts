import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { RouterStatus } from '../../../src/api/status.ts';
import { type GossipSettings, gossipSettings } from '../../../src/config/gossip.ts';
import { gossipSettingsFromJson } from '../../../src/config/gossip-json.ts';
import type { Route } from '../../../src/control/admin/admin.ts';
import { EntryService } from '../../../src/control/entries/entry-service.ts';
import { metricsText } from '../../../src/control/metrics.ts';
import { gossipRoutes, gossipStatus } from '../../../src/control/speakers/gossip/routes.ts';
import { GossipService } from '../../../src/control/speakers/gossip/service.ts';
import type { LinkSpec } from '../../../src/control/store/link-spec.ts';
import { RunDirectory } from '../../../src/control/store/run-directory.ts';
import { FanwayError } from '../../../src/errors.ts';
import { formatKeyId, Keyring } from '../../../src/gossip/base/keyring.ts';
import { silentLog } from '../../../src/log.ts';
import { parseIpv4 } from '../../../src/net/ipv4.ts';
import { formatPrefix, parsePrefix } from '../../../src/net/prefix.ts';
import { formatHostPrefix } from '../../../src/net/underlay-address.ts';
import { until } from '../../support/patience.ts';
import { freePort } from './loopback.ts';

const folder = mkdtempSync(join(tmpdir(), 'fanway-gossip-'));
t.teardown(() => rmSync(folder, { recursive: true }));
let count = 0;

/** Of a host with this underlay address in 172.30.0.0/16. */
function specOf(address: string): LinkSpec {
  const local = parseIpv4(address);
  const slice = { address: (0xfa000000 | ((local & 0xffff) << 8)) >>> 0, length: 24 };
  return {
    ...{ name: 'fan-250', device: 'fw-250', encap: 'vxlan', local, slice },
    overlay: parsePrefix('250.0.0.0/8'),
    underlay: parsePrefix('172.30.0.0/16'),
    ...{ gateway: slice.address + 1, vni: 0xfa0000, port: 4789, underlayMtu: 1500, innerMtu: 1450 },
    ...{ dscp: 'pipe', sourcePorts: 16, offload: 'auto' },
  };
}

class Node {
  readonly run: RunDirectory;
  readonly state: string;
  readonly service: GossipService;
  readonly routes: readonly Route[];
  specs: LinkSpec[];
  /** Hosts by prefix, as the data path would be told. */
  readonly moved = new Map<string, number>();
  readonly entries = new EntryService({
    writer: {
      setEntry: (_link, prefix, peer) =>
        void this.moved.set(formatHostPrefix(prefix), Number(peer)),
      deleteEntry: (_link, prefix) => void this.moved.delete(formatHostPrefix(prefix)),
    },
    log: silentLog,
  });

  constructor(t: Test, spec: LinkSpec, options: { byFile?: boolean; like?: Node } = {}) {
    const path = options.like?.run.path ?? join(folder, String(count++));
    this.run = new RunDirectory(path);
    this.run.create();
    this.state = join(path, 'state');
    this.specs = [spec];
    this.service = new GossipService({
      ...{ run: this.run, log: silentLog, stateDirectory: this.state, entries: this.entries },
      specs: () => this.specs,
      look: async () => ({ links: [], addresses: [], ipv6Addresses: [], routes: [] }),
      answer: () => undefined,
      byFile: options.byFile ?? false,
    });
    this.routes = gossipRoutes(this.service, () => false);
    t.teardown(() => this.service.stop());
  }

  /** As the admin socket would: `GET` without a body. */
  call(path: string, body?: unknown): Promise<unknown> {
    const route = this.routes.find((route) => route.path === `/v1/gossip/${path}`);
    if (route === undefined) throw new Error(path);
    return route.handle(body);
  }

  get status() {
    return gossipStatus(this.service);
  }
}

/** On loopback, with the port of its own that the test needs. */
async function onLoopback(seedPort?: number): Promise<Partial<GossipSettings> & { port: number }> {
  const loopback = parseIpv4('127.0.0.1');
  const seeds = seedPort === undefined ? [] : [{ host: '127.0.0.1', port: seedPort }];
  return { port: await freePort(), bind: loopback, advertise: [loopback], seeds };
}

t.test('two services: join, announce, move, leave', async (t) => {
  const keys = Keyring.generate(randomBytes).format();
  const [a, b] = [new Node(t, specOf('172.30.0.28')), new Node(t, specOf('172.30.1.27'))];
  t.equal(a.status, undefined);
  await t.rejects(a.service.announce([parsePrefix('250.9.9.9/32')]), /fanway join begins it/);
  const settings = await onLoopback();
  await t.rejects(a.service.join(settings, undefined), { code: 'no-key' });
  t.equal(a.status, undefined, 'what failed leaves nothing');
  t.notOk(existsSync(a.run.gossip));
  t.equal(await a.service.join({ ...settings, name: 'a' }, keys), 'started');
  await b.service.join({ ...(await onLoopback(settings.port)), name: 'b' }, keys);
  await until('both see each other', 5000, () =>
    [a, b].every(({ status }) => status?.members.alive === 2),
  );
  t.equal(await a.service.join({ seeds: [{ host: '127.0.0.1', port: 9 }] }, keys), 'extended');
  t.match(a.status?.seeds, [{ seed: '127.0.0.1:9', answered: false }]);
  t.match(b.status?.seeds, [{ answered: true }]);
  await t.rejects(a.service.join({ port: 9 }, undefined), /with other settings/);
  await t.rejects(a.service.join({}, Keyring.generate(randomBytes).format()), {
    code: 'other-key',
  });

  for (const [text, code] of [
    ['10.0.0.1/32', 'no-fan'],
    ['250.1.0.0/16', 'too-wide'],
    ['250.0.0.0/8', 'too-wide'],
  ] as const) {
    await t.rejects(a.service.announce([parsePrefix(text)]), { code }, text);
  }
  const moved = parsePrefix('250.1.27.10/32');
  t.same(await a.service.announce([moved, parsePrefix('250.7.7.0/26')]), [
    { prefix: '250.1.27.10/32', link: 'fan-250', from: '' },
    { prefix: '250.7.7.0/26', link: 'fan-250', from: '' },
  ]);
  await until('b has both', 5000, () => b.moved.size === 2);
  t.equal(b.moved.get(formatPrefix(moved)), parseIpv4('172.30.0.28'));
  const page = await b.call('table', { kind: 'prefix', vni: null, from: 0 });
  t.match(page, { next: null, entries: [{ name: 'a', self: false }, { name: 'a' }] });

  // The link goes down, and comes back at another address: what is announced follows.
  a.specs = [];
  await a.service.refresh();
  await until('nothing holds', 5000, () => b.moved.size === 0);
  t.equal(a.status?.announced.length, 2, 'it is not forgotten');
  a.specs = [specOf('172.30.0.99')];
  await a.service.refresh();
  await until('it holds again', 5000, () => {
    return b.moved.size === 2 && b.moved.get(formatPrefix(moved)) === parseIpv4('172.30.0.99');
  });

  // It moves home. The former owner forgets it, also on disk.
  await b.service.announce([moved]);
  await until('a gives it up', 5000, () => a.status?.announced.join() === '250.7.7.0/26');
  t.notMatch(readFileSync(a.run.gossip, 'utf8'), `${moved.address}`);
  await t.rejects(a.service.withdraw([moved]), { code: 'not-announced' });
  t.same(await b.service.withdraw([moved]), [
    { prefix: formatPrefix(moved), link: 'fan-250', from: '' },
  ]);
  await until('it is gone', 5000, () => a.moved.size === 1);

  const { counters } = a.service.host ?? {};
  t.ok(counters !== undefined);
  const text = metricsText(
    { ...emptyStatus, gossip: a.status ?? null },
    { 'fan-250': { 'egress.drop.runt': 7 } },
    a.service,
  );
  for (const line of text.trimEnd().split('\n')) {
    t.match(line, /^(# TYPE fanway_\w+ (counter|gauge)|fanway_\w+(\{\w+="[^"]*"\})? [0-9.e+-]+)$/);
  }
  t.match(text, /^fanway_egress_drop_runt\{link="fan-250"\} 7$/m);
  t.match(text, /^fanway_gossip_members\{state="alive"\} 2$/m);
  t.match(text, /^fanway_gossip_plaintext 0$/m);
  t.match(text, /^fanway_gossip_blocks_new [1-9]\d*$/m);

  t.equal(await b.service.leave(), true);
  t.equal(await b.service.leave(), false);
  await until('a sees it leave', 5000, () => a.status?.members.left === 1);
  t.notOk(existsSync(b.run.gossip));
  t.match(a.service.events.after(0).events.at(-1), { name: 'b', to: 'left' });
});

const emptyStatus: RouterStatus = {
  ...{ version: '0', pid: 1, runDirectory: '', mode: 'background', uptimeMs: 1 },
  ...{
    networkNamespace: 1,
    priority: 'auto',
    queues: 1,
    busyPollUs: 0,
    links: [],
    networks: [],
    processes: [],
    paths: [],
    table: { entries: 0, peers: 0, waiting: 0, refused: 0, refusals: [], held: [] },
    gossip: null,
    bgp: null,
  },
};

t.test('what belongs to a living host is not taken in silence', async (t) => {
  const keys = Keyring.generate(randomBytes).format();
  const [a, b] = [new Node(t, specOf('172.30.0.28')), new Node(t, specOf('172.30.1.27'))];
  const settings = await onLoopback();
  await a.service.join({ ...settings, name: 'twin' }, keys);
  // Nobody is there yet: nothing says that it lives.
  t.match(await a.service.announce([parsePrefix('250.1.27.1/32')]), [{ from: '' }]);
  await a.service.withdraw([parsePrefix('250.1.27.1/32')]);
  await b.service.join({ ...(await onLoopback(settings.port)), name: 'twin' }, keys);
  await until('a knows the fan of b', 5000, () =>
    a.service.host?.node.members().some(({ isSelf, fans }) => !isSelf && fans.length === 1),
  );
  t.match(a.status?.sameNames, [{ name: 'twin', ids: { length: 2 } }]);
  for (const text of ['250.1.27.0/24', '250.1.27.64/26', '250.1.27.1/32']) {
    const prefix = parsePrefix(text);
    await t.rejects(a.service.announce([prefix]), {
      code: 'taken',
      message: /twin, which is alive/,
    });
    t.same(a.status?.announced, [], 'nothing of it is kept');
  }
  const gateway = parsePrefix('250.1.27.1/32');
  const slice = parsePrefix('250.1.27.0/24');
  t.match(await a.service.announce([slice, gateway], { force: true }), [
    { from: 'twin' },
    { from: 'twin' },
  ]);
  await until('b is told', 5000, () => b.status?.taken.length === 2);
  t.match(b.status?.taken[0], { link: 'fan-250', name: 'twin' });
  t.same(a.status?.taken, []);
  const of = (text: string) =>
    b.entries.get({ link: 'fan-250', kind: 'prefix', ...parsePrefix(text) });
  t.match(of('250.1.27.1/32'), { peer: parseIpv4('172.30.0.28'), source: 'gossip' });
  t.match(of('250.1.27.0/24'), { owner: a.status?.id });
  t.equal(of('250.1.28.9/32'), undefined);
  // Its own slice a host takes back without a word.
  await b.service.announce([slice]);
  await until('a gives it up', 5000, () => a.status?.announced.join() === '250.1.27.1/32');
  await until('b has it', 5000, () => b.status?.taken.length === 1);
});

t.test('what a killed process had is gone on with', async (t) => {
  const keys = Keyring.generate(randomBytes).format();
  const node = new Node(t, specOf('172.30.0.28'));
  await node.service.join({ ...(await onLoopback()), name: 'a' }, keys);
  await node.service.announce([parsePrefix('250.1.27.10/32')]);
  const before = node.status;
  const record = readFileSync(node.run.gossip, 'utf8');
  await node.service.stop();
  writeFileSync(node.run.gossip, record, { mode: 0o600 });

  const next = new Node(t, specOf('172.30.0.28'), { like: node });
  await next.service.resume();
  t.match(next.status, {
    ...{ state: 'up', id: before?.id, name: 'a', port: before?.port },
    epoch: (before?.epoch ?? 0) + 1,
    announced: ['250.1.27.10/32'],
  });
  // While its port is taken by another program it waits, says why, and tries again.
  await next.service.stop();
  writeFileSync(node.run.gossip, record, { mode: 0o600 });
  const thief = createSocket('udp4');
  await new Promise<void>((resolve) => thief.bind(before?.port, '127.0.0.1', resolve));
  const third = new Node(t, specOf('172.30.0.28'), { like: node });
  await third.service.resume();
  t.match(third.status, { state: 'stopped', reason: /another program has port/ });
  thief.close();
  await until('it is up', 5000, () => third.status?.state === 'up');
  t.equal(third.status?.reason, '');
});

t.test('by a configuration file: it waits for its key', async (t) => {
  const node = new Node(t, specOf('172.30.0.28'), { byFile: true });
  await t.rejects(node.service.join({}, undefined), { code: 'by-file' });
  const settings = gossipSettings(await onLoopback());
  await node.service.configure(settings);
  t.match(node.status, { state: 'stopped', reason: /fanway keygen makes one/ });
  const keyring = Keyring.generate(randomBytes);
  t.same(await node.call('key/add', { keys: keyring.format() }), [
    { id: formatKeyId(keyring.inUse.id), inUse: true },
  ]);
  t.match(node.status, { state: 'up', reason: '', epoch: 1 });
  await node.service.configure({ ...settings, seeds: [{ host: '127.0.0.1', port: 9 }] });
  t.match(node.status, { state: 'up', epoch: 1, seeds: [{ seed: '127.0.0.1:9' }] });
  await node.service.configure(undefined);
  t.equal(node.status, undefined, 'without a section there is no gossip');

  await node.service.configure({ ...settings, plaintext: true });
  t.match(node.status, { state: 'up', plaintext: true, keys: [] });
  await t.rejects(node.call('key/add', { keys: keyring.format() }), { code: 'plaintext' });
});

t.test('the admin routes take what they know, and nothing else', async (t) => {
  const node = new Node(t, specOf('172.30.0.28'));
  await node.service.join(await onLoopback(), Keyring.generate(randomBytes).format());
  const before = JSON.stringify({ ...node.status, seeds: [] });
  const bodies: unknown[] = [
    ...[undefined, null, 7, 'text', [], {}, { settings: 7 }, { settings: {}, keys: 7 }],
    { settings: { stateDirectory: '/etc' }, keys: null },
    { settings: { keyFile: '/etc/shadow' }, keys: null },
    { settings: { seeds: 'a' }, keys: null },
    { settings: { seeds: [{ host: '$(id)', port: 1 }] }, keys: null },
    { settings: { seeds: Array(33).fill({ host: 'a', port: 1 }) }, keys: null },
    { settings: { port: 0 }, keys: null },
    { settings: { port: 7946.5 }, keys: null },
    { settings: { bind: '127.0.0.1' }, keys: null },
    { settings: { name: 'two words' }, keys: null },
    { settings: { label: 'x'.repeat(64) }, keys: null },
    { settings: {}, keys: 'no key' },
    { prefixes: 'x' },
    { prefixes: [7] },
    { prefixes: ['250.1.27.10/24'] },
    { prefixes: ['250.1.27.10/33'] },
    { prefixes: ['../../etc/passwd'] },
    { prefixes: Array(2049).fill('250.1.27.10') },
    { id: 7 },
    { id: '../key' },
    { id: '00000000' },
    { keys: '' },
    { keys: {} },
    { from: -1, kind: null, vni: null },
    { from: 0, kind: 'toString', vni: null },
    { from: 0.5, kind: 'prefix', vni: null },
    { after: 'x'.repeat(1000) },
  ];
  let refused = 0;
  for (const { path, method, handle } of node.routes) {
    if (method === 'GET' || path.endsWith('/leave') || path.endsWith('/events')) continue;
    for (const body of bodies) {
      try {
        await handle(body);
      } catch (error) {
        refused++;
        if (!(error instanceof FanwayError)) {
          t.fail(`${path} ${JSON.stringify(body)?.slice(0, 60)}: ${error}`);
        }
      }
    }
  }
  t.ok(refused > 150, `${refused} refused`);
  t.equal(JSON.stringify({ ...node.status, seeds: [] }), before, 'nothing has changed');
  t.throws(() => gossipSettingsFromJson({ __proto__: null, constructor: 1 }), FanwayError);
});
