/** Hosts behind a NAT as they are asked for: in words, in a file, over the socket, and what is refused. */
import t from 'tap';
import { parseConfig } from '../../src/config/parse.ts';
import { requestFromJson } from '../../src/config/request-json.ts';
import { parseFanWords } from '../../src/config/words.ts';

const words = (text: string) => parseFanWords(text.split(' '), 'overlay-first');
const FILE = '[fan]\noverlay = 250.0.0.0/8\nunderlay = eth0/16\n';

t.test('words, a file and the socket say the same', async (t) => {
  for (const [text, lines, nat] of [
    [
      '--nat 172.30.1.27,172.30.2.26',
      'nat = 172.30.1.27, 172.30.2.26\n',
      { peers: [0xac1e011b, 0xac1e021a], keepAliveSeconds: 0 },
    ],
    ['--behind-nat', 'behind-nat = yes\n', { peers: [], keepAliveSeconds: 25 }],
    [
      '--behind-nat --keep-alive 10',
      'behind-nat = yes\nkeep-alive = 10\n',
      { peers: [], keepAliveSeconds: 10 },
    ],
  ] as const) {
    const { request, problems } = words(`250.0.0.0/8 eth0/16 ${text}`);
    t.same(problems, []);
    t.same(request?.nat, nat);
    t.same(requestFromJson(JSON.parse(JSON.stringify(request))), request);
    t.same(parseConfig(`${FILE}${lines}`).config?.fans[0], request);
  }
  t.equal(words('250.0.0.0/8 eth0/16').request?.nat, undefined, 'nobody is elsewhere unless said');
});

t.test('what does not go is said', async (t) => {
  for (const [text, expected] of [
    ['250.0.0.0/8 eth0 --keep-alive 10', /add behind-nat/],
    ['250.0.0.0/8 eth0 --behind-nat --keep-alive 0', /from 1 to 3600/],
    ['250.0.0.0/8 eth0 --behind-nat --encap fou', /encap vxlan/],
    ['250.0.0.0/8 eth0/112 --behind-nat', /needs no NAT/],
    ['250.0.0.0/8 eth0 --nat fd00::1b', /addresses of their own/],
    ['250.0.0.0/8 eth0,eth1 --nat 172.30.1.27', /several underlays/],
    ['250.0.0.0/8 eth0 --nat 172.30.1.27 --datapath kernel', /by their own address/],
    ['250.0.0.0/8 eth0 --nat 172.30.1.27 --datapath auto', /by their own address/],
    ['250.0.0.0/8 eth0 --behind-nat --source-port pool', /one port/],
    ['250.0.0.0/8 eth0 --nat host-b', /not an address/],
  ] as const) {
    const { request, problems } = words(text);
    t.equal(request, undefined, text);
    t.match(problems.join('\n'), expected);
  }
  const { request } = words('250.0.0.0/8 eth0/16');
  for (const nat of [
    null,
    {},
    { peers: ['x'], keepAliveSeconds: 1 },
    { peers: [], keepAliveSeconds: -1 },
  ]) {
    t.throws(() => requestFromJson({ ...request, nat }), { code: /bad-request/ });
  }
});
