import t from 'tap';
import { RateMeter } from '../../src/control/plane/rates.ts';

/** Of link a, in the order of RATE_COUNTERS. */
const counters = (packets: number, bytes: number) =>
  new Map([['a', Float64Array.of(packets, bytes, packets * 2, bytes * 2)]]);

t.test('RateMeter() counts over its window and starts anew with the counters', async (t) => {
  const meter = new RateMeter();
  t.match(meter.of('a'), { egressPackets: 0 }, 'nothing known');
  meter.sample(counters(100, 1000), 0);
  t.match(meter.of('a'), { egressPackets: 0 }, 'one sample is no rate');
  meter.sample(counters(300, 5000), 2000);
  t.same(meter.of('a'), {
    egressPackets: 100,
    egressBits: 16_000,
    ingressPackets: 200,
    ingressBits: 32_000,
  });
  for (let second = 3; second < 12; second++) meter.sample(counters(300, 5000), second * 1000);
  t.match(meter.of('a'), { egressPackets: 0, ingressBits: 0 }, 'old traffic is forgotten');
  meter.sample(counters(0, 0), 13_000);
  t.match(meter.of('a'), { egressPackets: 0 }, 'a counter that began anew is no negative rate');
  t.match(meter.of('b'), { egressPackets: 0 });
});
