import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { GossipStatus } from '../../src/api/gossip.ts';
import type { MemberJson } from '../../src/api/members.ts';
import type { PeerWay, RouterStatus } from '../../src/api/status.ts';
import { judgeUnderlays } from '../../src/cli/doctor/doctor-underlays.ts';
import { showText } from '../../src/cli/fans/show.ts';
import { statusOrOtherBuild, statusText } from '../../src/cli/inspect/status.ts';
import { tableText } from '../../src/cli/inspect/table.ts';
import { keysText } from '../../src/cli/members/key.ts';
import { eventText, membersText } from '../../src/cli/members/members.ts';
import { peersText } from '../../src/cli/members/peers.ts';
import { byAddress } from '../../src/cli/networks/mac.ts';
import { percentText, timeText } from '../../src/cli/verb/quantities.ts';
import { distDirectory } from '../../src/sys/host/paths.ts';

const folder = mkdtempSync(join(tmpdir(), 'fanway-cli-'));
t.teardown(() => rmSync(folder, { recursive: true }));

function fanway(args: string[], input = ''): { code: number | null; out: string; err: string } {
  const program = join(distDirectory(), 'fanway.js');
  const env = { ...process.env, FANWAY_RUN_DIR: join(folder, 'run') };
  const run = spawnSync(process.execPath, [program, ...args], { encoding: 'utf8', input, env });
  return { code: run.status, out: run.stdout, err: run.stderr };
}

t.test('keygen makes a private file, once', async (t) => {
  const file = join(folder, 'new.key');
  const made = fanway(['keygen', '--out', file, '--json']);
  t.equal(made.code, 0, made.err);
  const { id } = JSON.parse(made.out) as { id: string };
  t.match(id, /^[0-9a-f]{8}$/);
  t.equal(statSync(file).mode & 0o777, 0o600);
  const text = readFileSync(file, 'utf8');
  const key = /^([A-Za-z0-9+/]{43}=) use$/m.exec(text)?.[1] ?? '';
  t.equal(Buffer.from(key, 'base64').length, 32);
  t.notMatch(made.out, key, 'the key itself is not shown');
  const again = fanway(['keygen', '--out', file]);
  t.not(again.code, 0);
  t.match(again.err, /is there already/);
  t.equal(readFileSync(file, 'utf8'), text);
  const printed = fanway(['keygen', '--out', '-']);
  t.match(printed.out, /^[A-Za-z0-9+/]{43}= use$/m);
  t.notMatch(printed.out, key, 'another one each time');
});

t.test('a key file that others can read is refused, with what to do', async (t) => {
  const file = join(folder, 'wide.key');
  fanway(['keygen', '--out', file]);
  for (const mode of [0o644, 0o640, 0o604]) {
    chmodSync(file, mode);
    const { code, err } = fanway(['key', 'add', file]);
    t.equal(code, 3);
    t.match(err, /others may have read it: chmod 600/);
  }
  const nonsense = join(folder, 'nonsense.key');
  writeFileSync(nonsense, 'not a key\n', { mode: 0o600 });
  t.match(fanway(['key', 'add', nonsense]), { code: 2, err: /nonsense\.key:1: / });
  t.match(fanway(['key', 'add', join(folder, 'none')]), { code: 3, err: /fanway keygen --out/ });
  t.match(fanway(['key', 'add', '-'], 'rubbish'), { code: 2, err: /standard input:1: / });
});

t.test('wrong words touch nothing', async (t) => {
  for (const [args, said] of [
    [['join', 'a:b:c'], /no seed/],
    [['join', '1.2.3'], /not an address/],
    [['join', '--port', '0'], /from 1 to 65535/],
    [['join', '--bind', 'eth0'], /not an address/],
    [['join', '--name', 'two words'], /without blanks/],
    [['join', '--frob'], /not an option of join/],
    [['join', '--key', '/k', '--insecure-plaintext'], /contradict/],
    [['announce'], /name an address/],
    [['key'], /key list/],
    [['key', 'use'], /key list/],
    [['key', 'list', 'x'], /key list/],
    [['table', '--kind', 'route'], /--kind is one of/],
    [['table', '--vni', '-1'], /--vni is a number/],
    [['members', 'x'], /one word too many for members/],
  ] as const) {
    const { code, err } = fanway([...args]);
    t.equal(code, 2, args.join(' '));
    t.match(err, said);
  }
  for (const verb of ['peers', 'members', 'table', 'leave', 'announce 250.0.0.1', 'key list']) {
    const { code, out } = fanway([...verb.split(' '), '--json']);
    t.equal(code, 5, verb);
    t.match(JSON.parse(out), { error: { code: 'not-running' } });
  }
});

const member: MemberJson = {
  ...{ id: 'b'.repeat(32), name: 'host-b', state: 'alive', underlay: '172.30.1.27:7946' },
  ...{ endpoints: ['172.30.1.27:7946'], encaps: ['vxlan:4789', 'ipip'], mtu: 1500, vnis: [1, 2] },
  ...{ fans: [], version: '0.1.0', rttMs: 0.42, loss: 0.125, lastHeardMs: 1500, sinceMs: 90_000 },
  ...{ epoch: 3, sequence: 7, self: false },
};

t.test('tables and times as people read them', async (t) => {
  t.equal(
    peersText([member]),
    [
      'name    state  underlay          encap            VNIs   MTU     RTT  loss  last seen  version',
      '------  -----  ----------------  ---------------  ----  ----  ------  ----  ---------  -------',
      'host-b  alive  172.30.1.27:7946  vxlan:4789,ipip  1,2   1500  0.4 ms  13 %  1 s ago    0.1.0',
      '',
    ].join('\n'),
  );
  const fans = [{ overlay: '250.0.0.0/8', underlay: '172.30.0.0/16', local: '172.30.1.27' }];
  const way: PeerWay = {
    ...{ peer: '172.30.1.27', address: '172.31.1.27', state: 'up', cause: '', preferred: true },
    ...{ used: true, delayMs: 0.3, lostPercent: 0, losses: 0, forMs: 5, told: true },
    ...{ mtu: 1500, downDelayMs: 120, upDelayMs: 1000 },
  };
  const underlay = (device: string, used: boolean) => {
    const about = { device, address: '172.31.0.28/16', carrier: true, mtu: 1500 };
    return { ...about, found: 'arithmetic' as const, peers: [{ ...way, used }] };
  };
  const underlays = [underlay('eth0', true), underlay('eth1', false)];
  t.match(
    peersText([{ ...member, fans }], [], [{ underlays, nat: undefined }]),
    / by *\n(?:.|\n)*eth0 0\.3 ms, eth1 lost *\n/,
    'which underlays lead there',
  );
  const lossy = { ...underlay('eth0', true), peers: [{ ...way, lostPercent: 7, mtu: 1400 }] };
  t.match(
    peersText([{ ...member, fans }], [], [{ underlays: [lossy], nat: undefined }]),
    /eth0 0\.3 ms 7 % lost MTU 1400 *\n/,
  );
  const judged = judgeUnderlays([{ name: 'fan-250', underlays: [lossy, underlay('eth1', true)] }]);
  t.match(judged, { isSeveral: true, wrong: ['fan-250 by eth0: 7 % lost'] });
  t.equal(judged.well[1], 'fan-250 by eth1: MTU 1500, 1 host, up to 0.3 ms');
  t.match(peersText([]), /fanway join/);
  const seed = { seed: 'host-z', addresses: ['10.0.0.1'], error: '', answered: false, reason: '' };
  t.match(
    peersText([], [seed]),
    /^no peers\n1 seed, no answer yet: host-z: is its port open .*fanway status over there says so\n$/,
  );
  t.match(peersText([member], [{ ...seed, answered: true }]), /0\.1\.0 *\n$/);
  t.match(
    membersText([member, { ...member, id: 'c' }]),
    /\n2 members are called host-b \(b+, c\): .*--name ANOTHER\n$/,
  );
  const unknown = { ...member, name: '', underlay: '', rttMs: null, lastHeardMs: null };
  t.match(membersText([{ ...member, self: true }, unknown]), /^\* {2}host-b .*\n {3}- /m);
  t.match(membersText([]), /^no members: .* not in the gossip .*fanway join HOST/);
  t.equal(
    eventText({ number: 1, id: 'x', name: 'b', from: 'alive', to: 'suspect', why: 'a says so' }),
    'b: alive -> suspect: a says so\n',
  );
  const entry = { vni: 5, owner: member.id, name: 'host-b', rank: 1, self: false };
  const entries = tableText([
    { ...entry, kind: 'prefix', prefix: '250.1.27.9/32' },
    { ...entry, kind: 'mac+ip', mac: '02:00:00:00:00:01', address: '10.0.0.1' },
    { ...entry, kind: 'flood', name: '' },
  ]);
  t.match(entries, /prefix {2}5 {4}250\.1\.27\.9\/32 /);
  t.match(entries, /mac\+ip {2}5 {4}02:00:00:00:00:01 10\.0\.0\.1 /);
  t.match(entries, new RegExp(`flood   5    - +${member.id}`));
  t.equal(keysText([{ id: '01234567', inUse: true }]), '01234567  in use\n');
  for (const [ms, text] of [
    [null, '-'],
    [0.04, '0.0 ms'],
    [12.6, '13 ms'],
    [61_000, '1 min'],
    [7_200_000, '2 h'],
    [200_000_000, '2 d'],
  ] as const) {
    t.equal(timeText(ms), text);
  }
  t.equal(percentText(0.005), '1 %');
});

t.test('show has every underlay, and what is not well', async (t) => {
  const link = {
    ...{
      name: 'fan-250',
      overlay: '250.0.0.0/8',
      underlay: '172.30.0.28/16',
      state: 'up' as const,
    },
    ...{ dhcp: false, hostReserve: 1, auto: false, bridgeGiven: false },
  };
  const underlays = ['172.30.0.28/16', '172.31.0.28/16'].map((address) => ({ address }));
  const [, first, second] = showText([link, { ...link, underlays, state: 'degraded' }]).split('\n');
  t.match(first, /250\.0\.0\.0\/8 +172\.30\.0\.28\/16 +host-reserve 1$/);
  t.match(second, / 172\.30\.0\.28\/16,172\.31\.0\.28\/16 host-reserve 1 degraded$/);
});

t.test('arp and mac are in order', async (t) => {
  const row = (network: string, address: string) => {
    const about = { mac: '02:00:00:00:00:01', host: '', source: 'local' as const, name: '' };
    return { ...about, network, address, kernel: false };
  };
  const rows = [
    row('red', '10.0.0.1'),
    row('blue', 'fd00::1'),
    row('blue', '10.0.0.10'),
    row('blue', '10.0.0.9'),
  ];
  t.same(
    byAddress(rows).map(({ network, address }) => `${network} ${address}`),
    ['blue 10.0.0.9', 'blue 10.0.0.10', 'blue fd00::1', 'red 10.0.0.1'],
  );
});

t.test('status shows plaintext and conflicts in red', async (t) => {
  const gossip: GossipStatus = {
    ...{ state: 'up', reason: '', id: 'a'.repeat(32), name: 'host-a', label: 'fanway', epoch: 1 },
    ...{ port: 7946, endpoints: [], plaintext: true, keys: [], announced: [], hash: '00' },
    seeds: [
      { seed: 'host-z', addresses: [], error: 'no such name', answered: false, reason: '' },
      { seed: '10.0.0.9', addresses: ['10.0.0.9'], error: '', answered: false, reason: 'ONE' },
      { seed: '10.0.0.8', addresses: ['10.0.0.8'], error: '', answered: true, reason: '' },
    ],
    taken: [{ prefix: '250.0.28.1/32', link: 'fan-250-0-28', owner: 'b', name: 'host-b' }],
    sameNames: [{ name: 'twin', ids: ['c', 'd'] }],
    refused: [{ address: '10.0.0.9', cause: 'unknown-key', reason: 'TWO', count: 1, ageMs: 5000 }],
    members: { alive: 2, suspect: 0, dead: 1, left: 0 },
    conflicts: [
      {
        ...{ what: 'fan-slice', subject: '250.0.28.0/24' },
        winner: { id: 'a', name: 'host-a' },
        loser: { id: 'b', name: 'host-b' },
        advice: 'DO THIS',
      },
    ],
  };
  const status: RouterStatus = {
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
      gossip,
      bgp: null,
    },
  };
  const text = statusText(status);
  t.match(text, 'PLAINTEXT: whoever reaches the port is a member');
  t.match(
    text,
    'CONFLICT: fan-slice 250.0.28.0/24 is claimed by host-a (a), which has it, and host-b',
  );
  t.match(text, 'members: 2 alive, 0 suspect, 1 dead, 0 left');
  t.match(text, '2 seeds, no answer yet: host-z (no such name), 10.0.0.9: ONE');
  t.match(text, '250.0.28.1/32 of fan-250-0-28 is announced by host-b (b): ');
  t.match(text, '2 members are called twin (c, d): ');
  t.match(text, 'refused, 1 datagram, the last 5 s ago: TWO');
  t.notMatch(text, '\u001b', 'no colours for programs');
  const red = statusText(status, true);
  t.match(red, '\u001b[1;31mPLAINTEXT: whoever reaches the port is a member\u001b[0m');
  t.match(red, '\u001b[1;31mCONFLICT\u001b[0m');
  t.same(statusOrOtherBuild(status), status);
  const older: Partial<RouterStatus> = { ...status };
  delete older.table;
  t.throws(
    () => statusOrOtherBuild(older),
    /version 0, pid 1\) is of another build .*kill -9 1 has it/,
    'a router from before an upgrade',
  );
  const stopped = { ...gossip, state: 'stopped' as const, reason: 'no key' };
  t.match(statusText({ ...status, gossip: stopped }), 'gossip: stopped (no key)');
  t.notMatch(statusText({ ...status, gossip: null }), 'gossip');
});
