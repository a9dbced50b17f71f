/** What TCP sends once more is counted, and told where nobody else can tell. */
import t from 'tap';
import { pathStatus } from '../../src/control/plane/paths.ts';
import { RATE_COUNTERS, RateMeter } from '../../src/control/plane/rates.ts';
import { againNote } from '../../src/control/status.ts';
import { TcpAgain } from '../../src/dataplane/egress/wrap/tcp-again.ts';
import type { DataLink } from '../../src/dataplane/ground/link.ts';
import { InHand } from '../../src/dataplane/packet/in-hand.ts';
import { COUNTERS_PER_LINK, namedCounters } from '../../src/table/counters.ts';
import { Segmentation } from '../../src/table/paths.ts';
import { FAN, packet } from '../vectors/craft.ts';
import { viewOf } from '../vectors/hex.ts';

const DATA_BYTES = 1400;

function watch(segment = true) {
  const again = new TcpAgain();
  const counters = new Float64Array(COUNTERS_PER_LINK);
  const link = { counters, endpoint: { segment } } as DataLink;
  const send = (
    sequence: number,
    more: { port?: string; segments?: number; bytes?: number } = {},
  ) => {
    const { port = 'c000', segments = 1, bytes = DATA_BYTES } = more;
    const number = (sequence >>> 0).toString(16).padStart(8, '0');
    const payload = `${port} 1389 ${number} 00000000 5010 ffff 0000 0000${'00'.repeat(bytes)}`;
    const view = viewOf(packet({ protocol: 6, payload, destination: FAN.destination }));
    const hand = new InHand();
    Object.assign(hand, { l3: 0, byteCount: view.byteLength });
    if (!hand.takeIpv4(view, view.byteLength)) throw new Error('no packet');
    hand.segments = segments;
    again.note(view, link, hand);
  };
  const counted = (): (number | undefined)[] => {
    const named = namedCounters(counters);
    return [named['event.tcp_data_sent'], named['event.tcp_data_again']];
  };
  return { send, counted };
}

t.test('what goes out for the first time, and again', async (t) => {
  const { send, counted } = watch();
  send(1000);
  send(1000 + DATA_BYTES, { segments: 3 });
  t.same(counted(), [4, 0]);
  send(1000);
  send(1000 + DATA_BYTES, { segments: 3 });
  t.same(counted(), [8, 4], 'both were there before');
  send(1000 + 2 * DATA_BYTES);
  send(5000, { port: 'c001' });
  t.same(counted(), [10, 4], 'another flow is another one');
  send(1000, { bytes: 10 });
  t.same(counted(), [10, 4], 'what is small is in no train');
  const round = watch();
  round.send(-DATA_BYTES / 2);
  round.send(DATA_BYTES / 2);
  round.send(-DATA_BYTES / 2);
  t.same(round.counted(), [3, 1], 'numbers that begin anew');
  round.send(0x60000000);
  round.send(1000);
  t.same(round.counted(), [5, 1], 'another connection with the ports of one before');
  const none = watch(false);
  none.send(1000);
  none.send(1000);
  t.same(none.counted(), [0, 0], 'where no trains go');
});

t.test('a share of it is told, once trains go to who cannot test them', async (t) => {
  const meter = new RateMeter();
  const at = (sent: number, again: number): Map<string, Float64Array> => {
    const values = new Float64Array(RATE_COUNTERS.length);
    values[RATE_COUNTERS.indexOf('event.tcp_data_sent')] = sent;
    values[RATE_COUNTERS.indexOf('event.tcp_data_again')] = again;
    return new Map([['a', values]]);
  };
  meter.sample(at(0, 0), 0);
  meter.sample(at(10, 4), 1000);
  t.equal(meter.againOf('a'), 0, 'too few');
  meter.sample(at(40, 20), 2000);
  t.equal(meter.againOf('a'), 0.5);
  t.equal(meter.againOf('b'), 0);
  const path = pathStatus({
    ...{
      peer: FAN.receiver,
      mtu: 0,
      mtuSource: 0,
      mtuSinceMs: 0,
      segmentation: Segmentation.Works,
    },
    ...{ segmentErrno: 0, refusedSinceMs: 0, portUnreachable: 0, portUnreachableAtMs: 0 },
    ...{ largeAtMs: 0, usedAtMs: 0 },
  });
  t.match(againNote(0.5, [path])[0], /TCP inside sends 50 % .* at 172\.30\.0\.28: .*fanway join/);
  t.same(againNote(0.05, [path]), [], 'usual loss');
  t.same(againNote(0.5, [{ ...path, trains: 'uneven' }]), [], 'a test has found out');
});
