import t from 'tap';
import {
  areFlowKeys,
  arePeerRates,
  formatRate,
  isRate,
  parseFlowKeys,
  parsePeerRates,
  parseRate,
  peerRatesText,
} from '../../src/config/link/rate.ts';
import { parseFanWords } from '../../src/config/words.ts';

t.test('a rate is bits a second in powers of ten', async (t) => {
  for (const [text, bits] of [
    ['95M', 95_000_000],
    ['95mbit', 95_000_000],
    ['1.5G', 1_500_000_000],
    ['640k', 640_000],
    ['100000', 100_000],
    ['10Mbit/s', 10_000_000],
    ['auto', 'auto'],
  ] as const) {
    t.equal(parseRate('rate', text), bits, text);
    t.ok(isRate(bits));
  }
  for (const text of ['', '0', '10', '63k', '35G', '-1M', '1e9', 'fast', '95 M', '95MB', 'M']) {
    t.throws(() => parseRate('rate', text), /64k to 34G/, text);
  }
  for (const value of [null, 0, 1.5e6 + 0.5, 1e12, 'never', {}]) t.notOk(isRate(value));
  for (const text of ['95M', '1.5G', '640k', 'auto']) {
    t.equal(formatRate(parseRate('rate', text)), text, 'and back');
  }
});

t.test('flow keys are names of the documents, each once', async (t) => {
  t.same(parseFlowKeys('flow-keys', 'tunnel-src, tunnel-proto'), ['tunnel-src', 'tunnel-proto']);
  for (const text of ['', 'src', 'tunnel-src,tunnel-src', 'tunnel-src,']) {
    t.throws(() => parseFlowKeys('flow-keys', text), /tunnel-proto-dst/, text);
  }
  t.notOk(areFlowKeys([]));
  t.notOk(areFlowKeys(['tunnel-src', 1]));
});

t.test('hosts have rates of their own, each once', async (t) => {
  const text = '172.30.1.27=20M,fd00::5=640k';
  const peerRates = parsePeerRates('peer-rate', text);
  t.match(peerRates, [{ peer: 0xac1e011b, rate: 20_000_000 }, { rate: 640_000 }]);
  t.equal(peerRatesText({ peerRates }), text, 'and back');
  for (const wrong of [
    ...['', '172.30.1.27', '172.30.1.27=auto', '172.30.1.27=1', '172.30.1=20M'],
    ...['172.30.1.27=20M,172.30.1.27=30M', '172.30.1.27=20M=1', '=20M', 'a=20M'],
    Array.from({ length: 33 }, (_, i) => `172.30.1.${i}=20M`).join(),
  ]) {
    t.throws(() => parsePeerRates('peer-rate', wrong), /172.30.1.27=20M/, wrong);
  }
  for (const value of [[], [{}], [{ peer: 1, rate: 'auto' }], [{ peer: -1, rate: 1e6 }], {}]) {
    t.notOk(arePeerRates(value));
  }
});

t.test('they are words of a fan', async (t) => {
  const words = [
    '250.0.0.0/8',
    'eth0/16',
    '--rate',
    '95M',
    '--flow-keys=tunnel-src',
    '--peer-rate',
    '172.30.1.27=5M',
  ];
  const { request } = parseFanWords(words, 'overlay-first');
  t.match(request, {
    ...{ rate: 95_000_000, flowKeys: ['tunnel-src'] },
    peerRates: [{ peer: 0xac1e011b, rate: 5_000_000 }],
  });
  const plain = parseFanWords(words.slice(0, 2), 'overlay-first').request;
  t.notOk(
    plain !== undefined && ('rate' in plain || 'flowKeys' in plain),
    'nothing where none is said',
  );
});
