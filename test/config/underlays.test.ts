/** Several underlays as they are asked for: in words, in a file, over the socket, and what is refused. */
import t from 'tap';
import { formatUnderlays } from '../../src/config/link/underlays.ts';
import { parseConfig } from '../../src/config/parse.ts';
import { requestFromJson } from '../../src/config/request-json.ts';
import { parseFanWords } from '../../src/config/words.ts';

const words = (text: string) => parseFanWords(text.split(' '), 'overlay-first');

t.test('words, a file and the socket say the same', async (t) => {
  const { request, problems } = words(
    '250.0.0.0/8 eth0/16,eth1/16 --underlay-mode balance-xor --xmit-hash-policy layer2+3',
  );
  t.same(problems, []);
  t.match(request, {
    underlay: { kind: 'device', device: 'eth0', length: 16 },
    further: [{ kind: 'device', device: 'eth1', length: 16 }],
    underlayMode: 'balance-xor',
    xmitHashPolicy: 'layer2+3',
  });
  if (request === undefined) throw new Error('a request');
  t.equal(formatUnderlays(request), 'eth0/16,eth1/16');
  t.same(requestFromJson(JSON.parse(JSON.stringify(request))), request);
  const { config } = parseConfig(
    '[fan]\noverlay = 250.0.0.0/8\nunderlay = eth0/16, eth1/16\nunderlay-mode = balance-xor\nxmit-hash-policy = layer2+3\n',
  );
  t.same(config?.fans[0], request);
  const plain = words('250.0.0.0/8 eth0/16');
  t.notOk(plain.request !== undefined && 'further' in plain.request, 'one underlay is as before');
});

t.test('what does not go is said', async (t) => {
  for (const [text, expected] of [
    ['250.0.0.0/8 eth0/16 --underlay-mode balance-rr', /is for several underlays/],
    ['250.0.0.0/8 eth0,eth1 --xmit-hash-policy layer2', /underlay-mode is active-backup/],
    [
      '250.0.0.0/8 eth0,eth1 --encap fou --underlay-mode balance-xor --xmit-hash-policy layer2',
      /carries none: take layer2\+3/,
    ],
    ['250.0.0.0/8 eth0/16,eth1/112', /of one family/],
    ['250.0.0.0/8 eth0,eth1 --datapath kernel', /leave datapath out, or name one underlay/],
    ['250.0.0.0/8 eth0,eth1,eth2,eth3,eth4', /at most 4/],
    ['250.0.0.0/8 eth0,eth0', /twice/],
    ['250.0.0.0/8 eth0,', /no underlay/],
    ['250.0.0.0/8 eth0,eth1 --underlay-mode 802.3ad', /active-backup, balance-xor/],
  ] as const) {
    const { request, problems } = words(text);
    t.equal(request, undefined, text);
    t.match(problems.join('\n'), expected);
  }
  for (const further of [[], [1], 'eth1', Array(4).fill({ kind: 'default', length: 16 })]) {
    const { request } = words('250.0.0.0/8 eth0/16');
    t.throws(() => requestFromJson({ ...request, further }), { code: /bad-request/ });
  }
});
