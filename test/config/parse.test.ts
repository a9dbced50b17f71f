import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { exampleConfig } from '../../src/config/example.ts';
import { CONFIG_BYTES_MAX, readConfigFile } from '../../src/config/file.ts';
import { gossipSettings } from '../../src/config/gossip.ts';
import { parseConfig } from '../../src/config/parse.ts';
import { SETTINGS } from '../../src/config/schema.ts';
import { FanwayError } from '../../src/errors.ts';

const GOOD = `[router]
log-level = debug
queues = 2

[fan]
overlay = 250.0.0.0/8
underlay = eth0/16   # where we are
dhcp = yes
[fan]
overlay = 251
underlay = default
encap = fou
port = 6000
`;

t.test('parseConfig() reads a good file', async (t) => {
  const { config, problems } = parseConfig(GOOD);
  t.same(problems, []);
  t.match(config, { logLevel: 'debug', queues: 2 });
  t.equal(config?.fans.length, 2);
  t.match(config?.fans[0], {
    dhcp: true,
    encap: 'vxlan',
    underlay: { device: 'eth0', length: 16 },
  });
  t.match(config?.fans[1], { encap: 'fou', port: 6000, underlay: { kind: 'default' } });
});

t.test('the example names every setting and is right', async (t) => {
  const example = exampleConfig();
  for (const setting of SETTINGS) t.match(example, new RegExp(`^#?${setting.key} = `, 'm'));
  t.same(parseConfig(example).problems, []);
  t.equal(parseConfig(example).config?.gossip, undefined, 'gossip is for those who ask for it');
  t.equal(parseConfig(example).config?.bgp, undefined, 'and so is BGP');
  const text = example
    .replace('#[gossip]', '[gossip]')
    .replace('#[bgp]', '[bgp]\nas = 65000')
    .replace('#[bgp-neighbor]', '[bgp-neighbor]\naddress = 172.30.255.1\nas = 65000')
    .replace('#[bgp-network]', '[bgp-network]\nvni = 100')
    .replace('#[network]', '[network]\nname = blue\nvni = 100');
  t.same(parseConfig(text).config?.gossip, gossipSettings());
  // With every default written out it says the same.
  const explicit = text.replace(
    /^#([a-z-]+ = (?:yes|no|auto|pipe|pool|vxlan|none|info|1))$/gm,
    '$1',
  );
  t.same(parseConfig(explicit).config, parseConfig(text).config);
});

t.test('parseConfig() tells every problem at once, in order of lines', async (t) => {
  const { config, problems } = parseConfig(`[fan]
overlay = 250.0.0.1/8
frob = 1
underlay = eth0
underlay = eth1
[fna]
overlay = 1
[fan]
encap = gre
port = http
`);
  t.equal(config, undefined);
  t.same(
    problems.map(({ line }) => line),
    [2, 3, 5, 6, 8, 8, 9, 10],
  );
  t.match(problems[1]?.message, /"frob" is not a setting of \[fan\]/);
  t.match(problems[2]?.message, /set twice, first on line 4/);
});

/** A small generator, so that the hostile files are the same in every run. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Two hundred files, each with one thing wrong. */
function hostileFiles(): [name: string, text: string][] {
  const fan = (extra: string): string =>
    `[fan]\noverlay = 250.0.0.0/8\nunderlay = eth0\n${extra}\n`;
  const files: [string, string][] = [];
  const bad: Record<string, string[]> = {
    overlay: [
      '/8',
      '250',
      '0/0',
      '250.0.0.0',
      '250.0.0.0/',
      '250.0.0.0/08',
      '1.2.3.4.5/8',
      '::1/8',
    ],
    underlay: ['', '/16', 'eth0/', 'eth0/-1', 'eth0/129', '../x', 'a b', 'x'.repeat(99), '$(id)'],
    bridge: [
      '',
      '..',
      '.',
      'a/b',
      'A',
      'all',
      'default',
      '-x',
      '`id`',
      'x'.repeat(16),
      'é',
      'a\0b',
    ],
    encap: ['', 'VXLAN', 'gre', 'vxlan,ipip', '1', 'vxlan ipip'],
    port: ['0', '-1', '65536', '1e3', '0x10', '4789.0', 'NaN', '٣', '04789', ' '],
    vni: ['-1', '16777216', '1e6', 'null', '0x1', '1_0'],
    mtu: ['0', '575', '65536', 'auto', '1500 bytes', '9'.repeat(400)],
    dhcp: ['maybe', 'YES', '2', 'yes no', 'null', '[]'],
    'host-reserve': ['0', '65', '-4', '1.5', 'all', ''],
    offload: ['on', '', 'none'],
    dscp: ['copy', '', 'PIPE'],
    'source-port': ['0', 'random', ''],
    compat: ['docker', '', 'LXD'],
    enabled: ['perhaps', ''],
    force: ['always', ''],
    masquerade: ['nat', ''],
  };
  for (const [key, values] of Object.entries(bad)) {
    for (const value of values) {
      if (key === 'overlay' && value === '250') continue;
      const text = ['overlay', 'underlay'].includes(key)
        ? fan('').replace(new RegExp(`^${key} = .*$`, 'm'), () => `${key} = ${value}`)
        : fan(`${key} = ${value}`);
      files.push([`${key} = ${JSON.stringify(value)}`, text]);
    }
  }
  files.push(
    ['overlay /0', fan('').replace('250.0.0.0/8', '0.0.0.0/0')],
    ['overlay 0/8', fan('').replace('250.0.0.0/8', '0.0.0.0/8')],
    ['overlay 127/8', fan('').replace('250.0.0.0/8', '127')],
    ['overlay multicast', fan('').replace('250.0.0.0/8', '224.0.0.0/4')],
    ['underlay inside overlay', fan('').replace('eth0', '250.1.2.3/16')],
    ['underlay wider than overlay', fan('').replace('eth0', 'eth0/4')],
    ['no usable host', fan('').replace('eth0', 'eth0/8')],
    ['no section', 'overlay = 250.0.0.0/8\n'],
    ['router twice', '[router]\n[router]\n'],
    ['router: queues 0', '[router]\nqueues = 0\n'],
    ['router: queues 9', '[router]\nqueues = 9\n'],
    ['router: level', '[router]\nlog-level = loud\n'],
    ['router: fan key', '[router]\noverlay = 250.0.0.0/8\n'],
    ['json', '{"fan": {"overlay": "250.0.0.0/8"}}'],
    ['deep json', `${'['.repeat(10_000)}${']'.repeat(10_000)}`],
    ['yaml', 'fan:\n  - overlay: 250.0.0.0/8\n'],
    ['binary', Buffer.from([...Array(256).keys()]).toString('latin1')],
    ['same overlay twice', fan('') + fan('')],
    ['same overlay, other spelling', fan('') + fan('').replace('250.0.0.0/8', '250')],
    ['same bridge twice', fan('bridge = x') + fan('bridge = x').replace('250.', '251.')],
    ['a fan without anything', '[fan]\n'],
    ['vni on ipip', fan('encap = ipip\nvni = 4')],
    ['port on ipip', fan('encap = ipip\nport = 4')],
    ['compat on fou', fan('encap = fou\ncompat = lxd')],
    ['prototype key', fan('__proto__ = 1')],
    ['constructor key', fan('constructor = 1')],
    ['no equals sign', fan('dhcp yes')],
    ['empty key', fan('= yes')],
    [
      'too many fans',
      Array.from({ length: 70 }, (_, i) => fan('').replace('250', `${i + 1}`)).join(''),
    ],
    ['a long line', fan(`bridge = ${'a'.repeat(200_000)}`)],
    ['many problems', fan('frob = 1\n'.repeat(1000))],
    ['section with junk', '[fan] x\noverlay = 250.0.0.0/8\n'],
    ['nested section', '[[fan]]\n'],
    ['carriage returns in a value', fan('bridge = a\rb')],
  );
  const next = random(7);
  const characters = '[]=#;fan \n\toverlay0123456789./$`"\\\u0000é';
  while (files.length < 200) {
    let junk = '[fan]\nx';
    const length = 5 + Math.floor(next() * 200);
    for (let i = 0; i < length; i++) junk += characters[Math.floor(next() * characters.length)];
    files.push([`junk ${files.length}`, junk]);
  }
  return files;
}

t.test('parseConfig() reads a [gossip] section', async (t) => {
  const section = (lines: string) => parseConfig(`[gossip]\n${lines}`);
  t.same(section('').config?.gossip, gossipSettings(), 'the section alone is gossip by defaults');
  const { config } = section(
    [
      'seeds = 172.30.0.28, host-b.example:7000  host_c',
      'port = 7000\nbind = 172.30.0.28\nadvertise = 172.30.0.28, 10.0.0.1',
      'name = a.example\nlabel = blue\nkey-file = /etc/fanway/gossip.key',
      'state-dir = /var/lib/blue\ninsecure-plaintext = yes',
    ].join('\n'),
  );
  t.same(config?.gossip, {
    seeds: [
      { host: '172.30.0.28', port: 7946 },
      { host: 'host-b.example', port: 7000 },
      { host: 'host_c', port: 7946 },
    ],
    port: 7000,
    bind: 0xac1e001c,
    advertise: [0xac1e001c, 0x0a000001],
    name: 'a.example',
    label: 'blue',
    keyFile: '/etc/fanway/gossip.key',
    stateDirectory: '/var/lib/blue',
    plaintext: true,
  });
  for (const [line, said] of [
    ['seeds =', /seeds is empty/],
    ['seeds = a:b', /"a:b" is no seed/],
    ['seeds = a:0', /no seed/],
    ['seeds = a:65536', /no seed/],
    ['seeds = a:1:2', /no seed/],
    ['seeds = 1.2.3', /"1.2.3" is not an address/],
    ['seeds = 224.0.0.1', /not the address of a host/],
    ['seeds = $(reboot)', /no seed/],
    [`seeds = ${'a,'.repeat(33)}`, /33 entries; at most 32/],
    ['bind = 10.0.0.1 10.0.0.2', /2 entries; at most 1/],
    ['advertise = host-a', /not an address/],
    ['name = two words', /without blanks/],
    [`label = ${'x'.repeat(64)}`, /1 to 63 printable/],
    ['key-file = gossip.key', /an absolute path/],
    ['port = 0', /from 1 to 65535/],
    ['frob = 1', /not a setting of \[gossip\]/],
    ['[gossip]', /\[gossip\] is there twice/],
  ] as const) {
    const { config, problems } = section(line);
    t.equal(config, undefined, line);
    t.match(problems, [{ line: 2, message: said }], line);
  }
});

t.test('200 hostile files are each refused with a line and a sentence', async (t) => {
  const files = hostileFiles();
  t.equal(files.length, 200);
  for (const [name, text] of files) {
    const { config, problems } = parseConfig(text);
    const sound =
      config === undefined &&
      problems.length > 0 &&
      problems.length <= 102 &&
      problems.every(
        ({ line, message }) => line >= 1 && message.length > 5 && message.length < 600,
      );
    if (!sound) t.fail(name, { problems: problems.slice(0, 3) });
  }
});

t.test('mutated files end in a configuration or in problems, never in an exception', async (t) => {
  const next = random(42);
  const bytes = Buffer.from(GOOD);
  for (let run = 0; run < 20_000; run++) {
    const copy = Buffer.from(bytes);
    const changes = 1 + Math.floor(next() * 4);
    for (let i = 0; i < changes; i++) copy[Math.floor(next() * copy.length)] = next() * 256;
    const { config, problems } = parseConfig(copy.toString('latin1'));
    if ((config === undefined) === (problems.length === 0)) t.fail(`run ${run}`);
  }
  t.pass('20,000 mutations');
});

t.test('readConfigFile() takes only files that nobody else can change', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'fanway-config-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const path = (name: string): string => join(folder, name);
  const refuses = (name: string, message: RegExp): void => {
    try {
      readConfigFile(path(name));
      t.fail(`${name} was read`);
    } catch (error) {
      t.ok(error instanceof FanwayError && error.exitCode === 2, `${name}: exit code 2`);
      t.match((error as Error).message, message);
      t.match((error as Error).message, path(name), 'names the file');
    }
  };
  writeFileSync(path('good'), GOOD, { mode: 0o600 });
  t.equal(readConfigFile(path('good')), GOOD);
  for (const mode of [0o666, 0o620, 0o602]) {
    writeFileSync(path(`mode-${mode}`), GOOD);
    chmodSync(path(`mode-${mode}`), mode);
    refuses(`mode-${mode}`, /chmod go-w/);
  }
  symlinkSync(path('good'), path('link'));
  refuses('link', /symbolic link/);
  mkdirSync(path('folder'));
  refuses('folder', /not a regular file/);
  refuses('missing', /is not there/);
  writeFileSync(path('large'), '', { mode: 0o600 });
  truncateSync(path('large'), 10 * 1024 * 1024);
  refuses('large', new RegExp(`at most ${CONFIG_BYTES_MAX}`));
  writeFileSync(path('latin1'), Buffer.from([0x23, 0xe9, 0x0a]), { mode: 0o600 });
  refuses('latin1', /not UTF-8/);
});

t.test('parseConfig() reads BGP, and tells what is wrong with it', async (t) => {
  const bgp = '[bgp]\nas = 4200000001\nvteps = 172.30.0.0/16, fd00::/8\nvnis = 100 200\n';
  const near = '[bgp-neighbor]\naddress = FD00:0::1\nas = 65000\nimport = all\n';
  const { config, problems } = parseConfig(bgp + near);
  t.same(problems, []);
  t.match(config?.bgp, {
    ...{ as: 4200000001, vteps: ['172.30.0.0/16', 'fd00::/8'], vnis: [100, 200], transit: false },
    neighbours: [{ address: 'fd00::1', as: 65000, import: 'all', export: undefined }],
  });
  const wrong: [string, RegExp][] = [
    [near, /^\[bgp-neighbor\] without a \[bgp\] section/],
    ['[bgp]\n', /^as is missing/],
    [`${bgp}[bgp-neighbor]\nas = 1\n`, /^address is missing/],
    [`${bgp}${near}${near}`, /^fd00::1 is there twice/],
    [`${bgp}${bgp}`, /^\[bgp\] is there twice/],
    [`${bgp}${near}hold-time = 2\n`, /^hold-time is 0, or 3 and more/],
    [`${bgp}router-id = fd00::1\n`, /^router-id is an IPv4 address/],
    [`${bgp}vtep = fd00::1\n`, /^with a vtep of IPv6 router-id must be given/],
    ['[bgp-network]\nvni = 1\n', /^\[bgp-network\] without a \[bgp\] section/],
    [`${bgp}[bgp-network]\nrd = 1:1\n`, /^vni is missing/],
    [`${bgp}[bgp-network]\nvni = 1\n[bgp-network]\nvni = 1\n`, /^VNI 1 is there twice/],
    [`${bgp}[bgp-network]\nvni = 1\nrd = *:1\n`, /^rd is 65000:100/],
    [`${bgp}[bgp-network]\nvni = 1\nimport-targets = 1:2, 3\n`, /"3" is no route target/],
    [`${bgp}[bgp-network]\nvni = 1\nexport-targets = *:1\n`, /cannot be sent/],
    ['[bgp]\nas = 0\n', /^as is a number from 1 to 4294967295/],
    ['[bgp]\nas = 1\nvteps = 10.0.0.0/33\n', /is no prefix/],
    ['[bgp]\nas = 1\nvteps = \n', /^vteps is empty/],
    ['[bgp]\nas = 1\nvnis = 0\n', /is no VNI/],
    ['[bgp]\nas = 1\nbind = 1.2.3\n', /^bind is an address like/],
  ];
  for (const [text, message] of wrong) {
    t.match(parseConfig(text).problems[0]?.message, message, JSON.stringify(text));
  }
});

t.test('[network] sections, and what two of them must not share', async (t) => {
  const one = '[network]\nname = blue\nvni = 100\nbum = service-node\nservice-nodes = 172.30.0.9\n';
  const two = '[network]\nname = red\nvni = 200\nbridge = docker0\nmtu = 1400\nguard = strict\n';
  t.match(parseConfig(`${one}${two}`).config?.networks, [
    {
      network: 'blue',
      vni: 100,
      bridge: 'br-blue',
      bum: 'service-node',
      serviceNodes: [0xac1e0009],
    },
    { network: 'red', vni: 200, bridge: 'docker0', mtu: 1400, guard: 'strict', underlay: null },
  ]);
  const told = (text: string): string[] => parseConfig(text).problems.map(({ message }) => message);
  t.match(told(`${one}${one}`), [/the name blue/, /the bridge br-blue/, /VNI 100/]);
  const servers = 'dhcp-server = auto, 02:42:0a:01:00:35\nrouter = 02:42:0a:01:00:01\n';
  t.match(parseConfig(`${two}${servers}`).config?.networks, [
    { dhcpServers: [0, 0x02420a010035], routers: [0x02420a010001] },
  ]);
  t.match(told(`${two}router = 01:00:5e:00:00:01\n`), [/router is MACs of servers/]);
  t.match(told(`${two}router = 00:00:00:00:00:00\n`), [/router is MACs of servers/]);
  t.match(told('[network]\nname = blue\n'), [/vni is missing/]);
  t.match(told('[network]\nname = blue\nvni = 0\n'), [/1 to 16777215/]);
  t.match(told('[network]\nname = a-long-name-1\nvni = 1\n'), [/br-a-long-name-1/]);
  t.match(told('[network]\nname = blue\nvni = 1\nbum = service-node\n'), [/service-nodes/]);
  t.same(told('[network]\nname = blue\nvni = 1\nunderlay = eth0,eth1\n'), []);
  t.match(told('[network]\nname = blue\nvni = 1\nunderlay-mode = latency\n'), [
    /several underlays/,
  ]);
  t.same(told('[network]\nname = blue\nvni = 1\nunderlay = eth0\n'), []);
});
