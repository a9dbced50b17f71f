import t from 'tap';
import {
  DROP_COUNTERS,
  DropMeter,
  dropsOf,
  FAILING_MS,
  failureOf,
} from '../../src/control/plane/drops.ts';
import { Lab, type LabHost } from '../../src/demo/lab.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { until } from '../support/patience.ts';
import { fanway, statusOf } from './lab-router.ts';

// Real processes on a busy machine.
t.setTimeout(1_200_000);

/** The counters of link a, as a meter samples them. */
const sampled = (counters: Readonly<Record<string, number>>) =>
  new Map([['a', Float64Array.from(DROP_COUNTERS, (name) => counters[name] ?? 0)]]);

const skip = skipWithoutTun();
const link = { name: 'a', encap: 'vxlan' as const, port: 4789, vni: 5, underlay: '172.30.0.0/16' };

t.test('each counter has its cause; what a healthy fan drops is not told', async (t) => {
  const table: [counters: Record<string, number>, drops: RegExp[], failure: RegExp][] = [
    [{}, [], /^$/],
    [{ 'egress.drop.ipv6': 900, 'egress.drop.local_destination': 9 }, [], /^$/],
    [{ 'ingress.drop.wrong_vni': 9 }, [/--vni or overlay .*VNI 5/], /wrong_vni 9 in 15 s: .*--vni/],
    [{ 'ingress.drop.wrong_vni': 2 }, [/--vni/], /^$/],
    [{ 'ingress.drop.wrong_vni': 9, 'ingress.delivered': 10 }, [/--vni/], /^$/],
    [{ 'ingress.drop.mode_mismatch': 9 }, [/--encap .*vxlan/], /--encap/],
    [{ 'ingress.drop.foreign_source': 9 }, [/other widths.*masquerading/], /widths/],
    [{ 'egress.drop.send_denied': 9 }, [/firewall .*UDP port 4789/], /firewall/],
    [
      { 'egress.drop.send_denied': 9, 'egress.delivered': 99, 'ingress.received': 9 },
      [/fire/],
      /^$/,
    ],
    [{ 'ingress.drop.stranger': 9 }, [/outside of 172\.30\.0\.0\/16/], /^$/],
    [{ 'ingress.drop.stranger': 9, 'egress.delivered': 9 }, [/outside/], /outside/],
    [
      { 'event.port_unreachable': 1, 'egress.delivered': 9 },
      [/nobody listens on UDP port 4789/],
      /unreachable 1 in 15 s: .*nobody listens/,
    ],
    [
      { 'event.port_unreachable': 1, 'egress.delivered': 9, 'ingress.delivered': 1 },
      [/nobody listens/],
      /^$/,
    ],
    [{ 'event.socket_drops': 9 }, [/on UDP port 4789 than .*--queues/], /^$/],
    [{ 'event.device_drops': 9 }, [/tunnel device holds.*--txqueuelen/], /^$/],
    [{ 'egress.delivered': 50 }, [/nothing came back: is UDP port 4789 open/], /^$/],
    [{ 'egress.delivered': 50, 'ingress.received': 1 }, [], /^$/],
    [
      { 'ingress.drop.wrong_vni': 1, 'ingress.drop.mode_mismatch': 8 },
      [/--encap/, /--vni/],
      /--encap/,
    ],
  ];
  for (const [counters, drops, failure] of table) {
    const what = JSON.stringify(counters);
    t.match(
      dropsOf(counters, link).map(({ cause }) => cause),
      drops,
      what,
    );
    t.equal(dropsOf(counters, link).length, drops.length, what);
    t.match(failureOf(counters, link), failure, what);
  }
});

t.test('what a refused buffer lost is told with the line that mends it', async (t) => {
  const buffers = 'sysctl -w net.core.rmem_max=4194304';
  const [told] = dropsOf({ 'event.socket_drops': 9 }, { ...link, buffers });
  t.match(told?.cause, new RegExp(`: ${buffers}, and make the link anew$`));
});

t.test('on a layer-2 network a frame for another host is no sign of a wrong overlay', async (t) => {
  const counters = { 'ingress.drop.foreign_destination': 9 };
  const network = { ...link, isNetwork: true } as const;
  t.match(failureOf(counters, link), /widths/);
  t.match(dropsOf(counters, network), [{ count: 9, cause: /known to be elsewhere/ }]);
  t.equal(failureOf(counters, network), '');
});

t.test('DropMeter tells a minute, and judges by a quarter of it', async (t) => {
  const meter = new DropMeter();
  const counters = (count: number) => ({ 'ingress.drop.wrong_vni': count, 'egress.drop.ipv6': 1 });
  t.match(meter.judge(link, counters(0), 0), { drops: [], failure: '' });
  let count = 1000;
  for (let ms = 0; ms <= 30_000; ms += 1000) {
    if (ms > 10_000 && ms <= 20_000) count += 10;
    meter.sample(sampled(counters(count)), ms);
  }
  const at = (ms: number) => meter.judge(link, counters(count), ms);
  t.match(at(21_000), { drops: [{ count: 100 }], failure: /100 in 15 s/ });
  t.match(
    at(20_000 + FAILING_MS + 1),
    { drops: [{ count: 100 }], failure: '' },
    'it is well again',
  );
  for (let ms = 31_000; ms <= 95_000; ms += 1000) meter.sample(sampled(counters(count)), ms);
  t.same(at(95_000), { drops: [], failure: '' }, 'and forgotten');
  t.match(meter.judge(link, counters(7), 95_000), { drops: [{ count: 7 }] }, 'counters anew');
  t.match(meter.judge({ ...link, name: 'b' }, counters(7), 95_000), { drops: [{ count: 7 }] });
});

t.test(
  'a link that sends and hears nothing for a minute fails; one answer is enough',
  async (t) => {
    const counters = (sent: number, received: number) => ({
      'egress.delivered': sent,
      'ingress.received': received,
      'ingress.delivered': received,
    });
    const feed = (
      received: (ms: number) => number,
      of: Parameters<DropMeter['judge']>[0] = link,
    ) => {
      const meter = new DropMeter();
      for (let ms = 0; ms <= 120_000; ms += 5000) {
        meter.sample(sampled(counters(ms / 100, received(ms))), ms);
      }
      return meter.judge(of, counters(1200, received(120_000)), 120_001).failure;
    };
    t.equal(
      feed(() => 0, { ...link, encap: 'fou' }),
      '',
      'no ARP there: UDP may go one way',
    );
    t.match(
      feed(() => 0),
      /^\d+ packets sent in 60 s, nothing came back/,
    );
    t.match(
      feed((ms) => (ms > 30_000 ? 1 : 0)),
      /nothing came back/,
      'what came long ago is past',
    );
    t.equal(
      feed((ms) => (ms > 80_000 ? 1 : 0)),
      '',
      'UDP one way, and ARP answered now and then',
    );
    const meter = new DropMeter();
    meter.sample(sampled(counters(500, 0)), 0);
    meter.sample(sampled(counters(509, 0)), 10_000);
    t.equal(meter.judge(link, counters(509, 0), 11_000).failure, '', 'nine packets are a stray');
  },
);

/** Something for ten addresses of the other host's slice; each begins with a question by ARP. */
function talk(host: LabHost, to: LabHost): void {
  const slice = `${(to.address >> 8) & 255}.${to.address & 255}`;
  const script = `const s = require('node:dgram').createSocket('udp4');
for (let i = 1; i <= 10; i++) s.send('x', 9, '250.${slice}.' + i, () => i === 10 && s.close());`;
  host.spawn(process.execPath, ['-e', script], { stdio: 'ignore' });
}

t.test('hosts that do not understand each other say so', { skip }, async (t) => {
  const lab = await Lab.create({ hosts: 2, containersPerHost: 0 });
  t.teardown(() => lab.close());
  const [a, b] = [lab.host(0), lab.host(1)];
  t.equal((await fanway(a, 'up', '250', 'eth0')).code, 0);
  t.equal((await fanway(b, 'up', '250', 'eth0', '--vni', '7')).code, 0);
  t.equal((await fanway(b, 'status')).code, 0);
  talk(a, b);
  const said = await until('b tells of it', 10_000, async () => {
    const { code, out } = await fanway(b, 'status');
    return code === 1 && out;
  });
  t.match(said, /degraded \(ingress\.drop\.wrong_vni \d+ in 15 s: another --vni or overlay/);
  t.match(said, /^ {2}last minute: ingress\.drop\.wrong_vni \d+: another --vni .*VNI 7/m);
  const { links } = await statusOf(b);
  t.match(links[0]?.drops[0], {
    counter: 'ingress.drop.wrong_vni',
    cause: /compare fanway status/,
  });
  // Who sends hears nothing at all, and says so too, as long as it sends.
  talk(a, b);
  await until('a tells of it', 10_000, async () => {
    const { code, out } = await fanway(a, 'status');
    return (
      code === 1 && /degraded \(\d+ packets sent in 60 s, nothing came back: .*--vni/.test(out)
    );
  });

  // And mended: what is right again is well as soon as it works.
  t.equal((await fanway(b, 'down', '-e')).code, 0);
  t.equal((await fanway(b, 'up', '250', 'eth0')).code, 0);
  talk(a, b);
  for (const host of [a, b]) {
    await until('all is well', 10_000, async () => (await fanway(host, 'status')).code === 0);
  }
  for (const host of [a, b]) t.equal((await fanway(host, 'down', '-e')).code, 0);
});
