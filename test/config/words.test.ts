import t from 'tap';
import { FAN_OPTIONS } from '../../src/cli/fans/fan-requests.ts';
import { parseFanFile } from '../../src/config/fan-file.ts';
import { formatUnderlay } from '../../src/config/link/underlays.ts';
import type { FanRequest } from '../../src/config/request.ts';
import { SETTINGS } from '../../src/config/schema.ts';
import { parseFanWords } from '../../src/config/words.ts';
import { formatPrefix } from '../../src/net/prefix.ts';

const shown = (request: FanRequest | undefined): string =>
  request === undefined
    ? 'refused'
    : `${formatPrefix(request.overlay)} ${formatUnderlay(request.underlay)}`;

t.test('parseFanWords() reads every form of overlay and underlay', async (t) => {
  const table: [words: string, expected: string][] = [
    ['250.0.0.0/8 172.30.0.28/16', '250.0.0.0/8 172.30.0.28/16'],
    ['250.0.0.0/8 172.30.0.28', '250.0.0.0/8 172.30.0.28/16'],
    ['15 10.1.0.1', '15.0.0.0/8 10.1.0.1/16'],
    ['250.0.0.0/8 eth0', '250.0.0.0/8 eth0/16'],
    ['250.0.0.0/8 eth0/24', '250.0.0.0/8 eth0/24'],
    ['250.0.0.0/8 enP2p1s0.7/20', '250.0.0.0/8 enP2p1s0.7/20'],
    ['250.0.0.0/8 default', '250.0.0.0/8 default/16'],
    ['250.0.0.0/8 default/16', '250.0.0.0/8 default/16'],
    ['-u eth0/16 -o 250.0.0.0/8', '250.0.0.0/8 eth0/16'],
    ['-o 250.0.0.0/8 -u eth0/16', '250.0.0.0/8 eth0/16'],
    ['--underlay=172.30.0.0/16 --overlay=250.0.0.0/8', '250.0.0.0/8 172.30.0.0/16'],
    ['-o 250 eth0', '250.0.0.0/8 eth0/16'],
    ['-u eth0 250', '250.0.0.0/8 eth0/16'],
    ['250 eth0 dhcp off auto', '250.0.0.0/8 eth0/16'],
  ];
  for (const [words, expected] of table) {
    t.equal(shown(parseFanWords(words.split(' '), 'overlay-first').request), expected, words);
  }
});

t.test('parseFanWords() reads every option in both styles', async (t) => {
  const read = (words: string) => parseFanWords(words.split(' '), 'overlay-first').request;
  const base = '250.0.0.0/8 eth0/16';
  t.match(read(`${base} dhcp host-reserve 4 bridge br-fan`), {
    dhcp: true,
    hostReserve: 4,
    bridge: 'br-fan',
    off: false,
    auto: false,
  });
  t.match(read(`${base} --dhcp --host-reserve=4 --bridge=br-fan --enable`), {
    dhcp: true,
    hostReserve: 4,
    bridge: 'br-fan',
    off: false,
  });
  t.match(read(`${base} off auto`), { off: true, auto: true });
  t.match(read(`${base} --encap fou --port 6000 --mtu 1400 --offload off`), {
    encap: 'fou',
    port: 6000,
    mtu: 1400,
    offload: 'off',
  });
  t.match(read(`${base} --compat lxd --vni 7 --dscp uniform --source-port fixed --force`), {
    compat: 'lxd',
    vni: 7,
    dscp: 'uniform',
    sourcePort: 'fixed',
    force: true,
  });
  t.match(read(base), { hostReserve: 1, encap: 'vxlan', port: null, vni: null, mtu: null });
});

t.test('every setting of a fan is a flag that up explains', async (t) => {
  const settings = SETTINGS.filter(({ section }) => section === 'fan');
  t.ok(settings.length > 15, `${settings.length} settings`);
  const help = FAN_OPTIONS.map(([words]) => words).join('\n');
  for (const { key, type } of settings) {
    // The sides of a fan are its first words; --off says of a line that it is not enabled.
    const flag = key === 'enabled' ? '--off' : `--${key}`;
    if (key === 'overlay') continue;
    t.ok(help.includes(flag) || help.includes(`--no-${key}`), `up --help names ${flag}`);
    const { problems } = parseFanWords(['250.0.0.0/8', 'eth0/16', flag], 'overlay-first');
    if (type !== 'boolean') t.match(problems.join(), `${flag} needs a value after it`);
    else t.notMatch(problems.join(), 'is not an option here', flag);
  }
});

t.test('parseFanWords() says what is wrong, all of it', async (t) => {
  const table: [words: string, expected: RegExp][] = [
    ['', /overlay and the underlay of the fan are missing/],
    ['eth0/16 250.0.0.0/8', /overlay comes first, then the underlay: 250\.0\.0\.0\/8 eth0\/16/],
    ['default 250 dhcp', /overlay comes first, then the underlay: 250 default/],
    ['172.30.0.28/16 250.0.0.0/8', /overlay comes first/],
    ['250.0.0.0/8 eth0 dhpc', /"dhpc" is one word too many; did you mean dhcp\?/],
    ['250.0.0.0/8 eth0 dpch', /"dpch" is one word too many; did you mean dhcp\?/],
    ['250.0.0.0/8 eth0 --prot 4790', /^"--prot" is not an option [^\n]*did you mean --port\?$/],
    ['--prot 4790 250.0.0.0/8 eth0', /^"--prot" is not an option [^\n]*did you mean --port\?$/],
    ['250.0.0.0/8 eth0 --prot=4790 x', /--prot=4790" is not[\s\S]*"x" is one word too many$/],
    ['250.0.0.0/8 eth0 --encpa fou', /"--encpa" is not an option.*did you mean --encap\?/],
    ['250.0.0.0/8', /underlay of the fan is missing/],
    ['250.0.0.0/8 eth0 eth1', /"eth1" is one word too many/],
    ['250.1.0.0/8 eth0', /bits below its mask: the network is 250\.0\.0\.0\/8/],
    ['256 eth0', /no overlay/],
    ['250.0.0.0/33 eth0', /number from 0 to 32/],
    ['250.0.0.0/8 10.0.0.300', /not an IPv4 address/],
    ['250.0.0.0/8 eth0;reboot', /no underlay/],
    ['250.0.0.0/8 eth0 bridge $(reboot)', /cannot name an interface/],
    ['250.0.0.0/8 eth0 bridge all', /cannot name an interface/],
    ['250.0.0.0/8 eth0 bridge -x', /cannot name an interface/],
    ['250.0.0.0/8 eth0 bridge fan-250-10-255-240', /18 characters and Linux takes 15/],
    ['250.0.0.0/8 eth0 host-reserve', /host-reserve needs a value/],
    ['250.0.0.0/8 eth0 host-reserve 0', /number from 1 to 64/],
    ['250.0.0.0/8 eth0 host-reserve x', /number from 1 to 64/],
    ['250.0.0.0/8 eth0 --port 70000', /number from 1 to 65535/],
    ['250.0.0.0/8 eth0 --vni 16777216', /number from 0 to 16777215/],
    ['250.0.0.0/8 eth0 --mtu 500', /number from 576/],
    ['250.0.0.0/8 eth0 --encap gre', /one of vxlan, ipip, fou/],
    ['250.0.0.0/8 eth0 --encap ipip --port 5', /ipip has no ports/],
    ['250.0.0.0/8 eth0 --encap fou --vni 5', /vni belongs to encap vxlan/],
    ['250.0.0.0/8 eth0 --frob', /"--frob" is not an option/],
    ['250.0.0.0/8 eth0 debug', /fanway plan/],
    ['-o 250 -o 251 eth0', /overlay is given twice/],
    ['250.0.0.0/8 eth0 --dhcp=yes', /takes no value/],
  ];
  for (const [words, expected] of table) {
    const { request, problems } = parseFanWords(words.split(' ').filter(Boolean), 'overlay-first');
    t.equal(request, undefined, words);
    t.match(problems.join('\n'), expected, words);
  }
  const many = parseFanWords('250.1.0.0/8 eth0/199 --port 0 bridge A'.split(' '), 'overlay-first');
  t.equal(many.problems.length, 4, 'four problems are four sentences');
});

t.test('parseFanFile() reads both historical formats', async (t) => {
  const text = `
# fans of this host
10.0.0.0/8 172.16.3.4/16 dhcp
11.0.0.0/8 eth1/16 dhcp off # not yet
172.30.0.0/16 250.0.0.0/8 --dhcp --enable
eth0/16 251.0.0.0/8 --bridge=fan-251
252.0.0.0/8 eth0/16
172.31.0.0/16 253.0.0.0/8
`;
  const { fans, problems } = parseFanFile(text);
  t.same(problems, []);
  t.same(
    fans.map(({ line, request }) => `${line} ${shown(request)}${request.off ? ' off' : ''}`),
    [
      '3 10.0.0.0/8 172.16.3.4/16',
      '4 11.0.0.0/8 eth1/16 off',
      '5 250.0.0.0/8 172.30.0.0/16',
      '6 251.0.0.0/8 eth0/16',
      '7 252.0.0.0/8 eth0/16',
      '8 253.0.0.0/8 172.31.0.0/16',
    ],
  );
  t.ok(
    fans.every(({ request }) => request.auto),
    'what comes from the file is auto',
  );
});

t.test('parseFanFile() tells every problem with its line', async (t) => {
  const { problems } = parseFanFile('250.0.0.0/8\n\n250.0.0.0/8 eth0 frob\n10/8 eth0\n');
  t.same(
    problems.map(({ line }) => line),
    [1, 3, 4],
  );
});
