import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import t from 'tap';
import type { DoctorFinding } from '../../src/cli/doctor/doctor.ts';
import { type Io, runVerb, takeFlags } from '../../src/cli/verb/verb.ts';
import { VERBS } from '../../src/cli/verbs.ts';
import { distDirectory } from '../../src/sys/host/paths.ts';

function fanway(...args: string[]): { code: number | null; out: string; err: string } {
  const program = join(distDirectory(), 'fanway.js');
  const run = spawnSync(process.execPath, [program, ...args], { encoding: 'utf8' });
  return { code: run.status, out: run.stdout, err: run.stderr };
}

t.test('every verb has help with usage and examples', async (t) => {
  const { out, code } = fanway('--help');
  t.equal(code, 0);
  for (const verb of VERBS) {
    t.match(out, new RegExp(`^  ${verb.name} `, 'm'), `--help lists ${verb.name}`);
    let text = '';
    const write = (words: string): void => {
      text += words;
    };
    const io: Io = { out: write, err: write, outBytes: () => false, env: {} };
    t.equal(await runVerb(verb, ['--help'], io), 0, verb.name);
    t.match(text, new RegExp(`^Usage:\\n  fanway ${verb.name}`, 'm'));
    t.match(text, /^Examples:\n {2}# .+\n {2}fanway /m, `${verb.name} has an example`);
    for (const line of text.split('\n')) t.ok(line.length <= 100, line);
  }
  t.match(out, /demo/);
  t.notMatch(out, /__control/, 'what is not for people is not listed');
});

t.test('help, version and slips of the fingers', async (t) => {
  t.equal(fanway('help', 'down').out, fanway('down', '--help').out);
  t.match(fanway('help', 'demo').out, /^Usage:\n {2}fanway demo/m);
  t.equal(fanway('help').out, fanway('--help').out);
  t.equal(fanway('version').out, fanway('--version').out);
  for (const [words, expected] of [
    ['shwo', /"shwo" is no verb; .*; did you mean show\?/],
    ['help shwo', /did you mean show\?/],
    ['dwon 250 eth0', /did you mean down\?/],
    ['zebra', /"zebra" is no verb; fanway --help lists them\n$/],
    ['show --jsno', /"--jsno" is not an option of show; .*; did you mean --json\?/],
    ['show fan-250', /"fan-250" is one word too many for show; see fanway show --help\n$/],
    ['check my.conf', /name the file with -c: fanway check -c my\.conf\n$/],
    ['check -c /nonexistent', /is not there: write it first, or name another\n$/],
    ['explain', /fanway explain 250\.1\.27\.10\)/],
    ['bgp neighbours', /see --help; did you mean neighbors\?/],
    ['capture --cuont 5', /did you mean --count\?/],
  ] as const) {
    const { code, err } = fanway(...words.split(' '));
    t.equal(code, 2, words);
    t.match(err, expected, words);
  }
});

t.test('capture writes no packets to a terminal', async (t) => {
  const program = join(distDirectory(), 'fanway.js');
  const command = `${process.execPath} ${program} capture`;
  const run = spawnSync('script', ['-qec', command, '/dev/null'], { encoding: 'utf8' });
  if (run.error !== undefined) return void t.plan(0, 'script (util-linux) is not installed');
  t.equal(run.status, 2);
  t.match(run.stdout, /rubbish on a terminal: fanway capture > packets\.pcapng/);
});

t.test('without a verb it shows the help and fails', async (t) => {
  const { code, out, err } = fanway();
  t.equal(code, 2);
  t.equal(out, '');
  t.match(err, /Usage: fanway VERB/);
  // A build outside of its checkout has no package.json to read.
  t.match(fanway('--version').out, /^fanway (\d+\.\d+\.\d+|unknown)\n$/);
});

t.test('explain is arithmetic and needs no router', async (t) => {
  const { out, code } = fanway('explain', '99.224.81.9', '99', '10.99.224.0/20');
  t.equal(code, 0);
  t.match(out, '99.224.81.9 is in fan 99.0.0.0/8, slice 99.224.80.0/20 of host 10.99.238.5: ');
  const json = fanway('explain', '250.0.28.255', '250', '172.30.0.0/16', '--json');
  t.match(JSON.parse(json.out), { role: 'broadcast', host: '172.30.0.28' });
  t.equal(fanway('explain', '9.9.9.9', '250', '172.30.0.0/16').code, 1);
});

t.test('doctor tells what is there and what its absence costs', async (t) => {
  const findings = JSON.parse(fanway('doctor', '--json').out) as DoctorFinding[];
  for (const name of [
    ...['CAP_NET_ADMIN', '/dev/net/tun', 'virtio-net header', 'TCP segmentation', 'UDP_SEGMENT'],
    ...['UDP_GRO', 'raw sockets', 'nft', 'dnsmasq', 'network namespaces', 'user namespaces'],
    ...['kernel VXLAN', 'UDP segmentation'],
  ]) {
    const finding = findings.find((finding) => finding.name === name);
    t.ok(finding, name);
    t.ok((finding?.cost.length ?? 0) > 10, `${name}: its cost`);
  }
  t.match(fanway('doctor').out, /^ {2}(yes|no|unknown)/);
});

t.test('takeFlags() takes its flags from anywhere', async (t) => {
  const spec = { '--json': 'switch', '--file': 'value', '-c': 'value' } as const;
  const taken = takeFlags(['a', '--json', '--file=x=y', 'b', '-c', '--json2', 'd'], spec);
  t.same(taken.rest, ['a', 'b', 'd']);
  t.same(
    [...taken.flags],
    [
      ['--json', ''],
      ['--file', 'x=y'],
      ['-c', '--json2'],
    ],
  );
  t.same(takeFlags(['--', '--json'], spec).rest, ['--json'], 'after -- nothing is a flag');
  t.same(takeFlags(['--toString', 'constructor'], spec).rest, ['--toString', 'constructor']);
  t.throws(() => takeFlags(['--json=1'], spec), /takes no value/);
  t.throws(() => takeFlags(['--file'], spec), /needs a value/);
  t.throws(() => takeFlags(['--json', '--json'], spec), /given twice/);
});
