/** `latency` over two underlays of which the first is slow, and then loses some: packets go by the other. */
import t from 'tap';
import { Lab } from '../../../src/demo/lab.ts';
import { runFanway } from '../../../src/demo/router.ts';
import {
  attach,
  BRIDGE,
  countersOf,
  growth,
  nowMs,
  OVERLAY,
  Pulse,
  startFlow,
} from '../../faults/rig.ts';
import { skipWithoutTun } from '../../netns/privileges.ts';
import { startRelay } from '../../netns/relay.ts';
import { skipLong } from '../../support/long.ts';
import { until } from '../../support/patience.ts';
import { killControl, nameOf, wayTo } from './kinds.ts';
import { addUnderlays } from './lab.ts';

const skip = skipWithoutTun() || skipLong;
const DELAY_MS = 15;

t.test('the way that takes less time, also after a restart', { skip }, async (t) => {
  const lab = await Lab.create({ hosts: 2, middle: 'wired', underlayOffloads: false });
  t.teardown(() => lab.close());
  const relay = await startRelay(lab, { seed: 7, impairment: { delayMs: DELAY_MS } });
  await addUnderlays(lab, 1);
  for (const host of lab.hosts) {
    const words = ['bridge', BRIDGE, '--underlay-mode', 'latency'];
    await runFanway(host, ['up', OVERLAY, 'eth0/16,eth1/16', ...words]);
    await attach(host);
  }
  const [a, b, from, to] = [lab.host(0), lab.host(1), lab.container(0), lab.container(1)];
  const pulse = await Pulse.start(from, to);
  t.teardown(() => pulse.stop());
  await pulse.back(nowMs(), 10_000);
  const untilPreferred = () =>
    until('the second goes before', 20_000, async () => {
      const way = await wayTo(a, nameOf(b), 1);
      return way?.preferred === true;
    });
  await untilPreferred();
  const slow = await wayTo(a, nameOf(b), 0);
  t.ok((slow?.delayMs ?? 0) > DELAY_MS, `${slow?.delayMs} ms by the slow one`);
  const before = await countersOf(a);
  const { sent, received } = await (
    await startFlow(from, to, { rate: 200, seconds: 0.5, flows: 16 })
  ).finish();
  const { 'event.sent_underlay_2': second = 0 } = growth(
    before,
    await countersOf(a),
    /^event\.sent_underlay/,
  );
  t.ok(received.received > 0.8 * sent.sent, `${received.received} of ${sent.sent} came`);
  t.ok(second >= 0.8 * sent.sent, `${second} by the quick one`);
  await killControl(a);
  await pulse.back(nowMs(), 10_000);
  await untilPreferred();

  // What a way loses is told.
  await relay.set({ delayMs: 0, loss: 0.15 });
  const lossy = await until('the loss is seen', 20_000, async () => {
    const way = await wayTo(a, nameOf(b), 0);
    return way !== undefined && way.lostPercent >= 5 && way;
  });
  t.ok(lossy.lostPercent <= 100, `${lossy.lostPercent} %`);
  await pulse.back(nowMs(), 10_000);
  pulse.stop();
  await relay.stop();
});
