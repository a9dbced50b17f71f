import t from 'tap';
import type { LabHost } from '../../src/demo/lab.ts';
import { formatIpv4 } from '../../src/net/ipv4.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { skipLong } from '../support/long.ts';
import { promised, sleep, until } from '../support/patience.ts';
import {
  attach,
  checkBalance,
  countersOf,
  growth,
  know,
  nowMs,
  spread,
  startFlow,
  startRig,
  statusOf,
} from './rig.ts';

const skip = skipWithoutTun() || skipLong;
const FLAPS = 20;
const DOWN_MS = 150;
const BACK_MS = 2000;

for (const [what, encap] of [
  ['link', 'vxlan'],
  ['cable', 'ipip'],
] as const) {
  t.test(`${encap}: the underlay's ${what} goes down and up 20 times`, { skip }, async (t) => {
    const { lab, a, b, from, to, pulse } = await startRig(t, { encap });
    const set = (up: boolean) =>
      what === 'link' ? a.netlink.setLink('eth0', { up }) : lab.setCable(0, up);
    const before = new Map<LabHost, Record<string, number>>();
    const pids: number[] = [];
    for (const host of [a, b]) {
      before.set(host, await countersOf(host));
      const { pid, processes } = await statusOf(host);
      pids.push(pid, processes[0]?.pid ?? 0);
    }
    if (what === 'cable') {
      // While it asks for a neighbour's MAC the kernel queues packets, and later ones overtake
      // them when the answer comes, with no tunnel involved. Known neighbours keep that out.
      await know(a, b);
    }
    const flow = await startFlow(from, to, { rate: 1000, seconds: 8 });
    const times: number[] = [];
    for (let i = 0; i < FLAPS; i++) {
      await set(false);
      await sleep(DOWN_MS);
      await set(true);
      times.push(await pulse.back(nowMs(), 10_000));
    }
    const { p50, p95, max } = spread(times);
    t.comment(`${what}: back after p50 ${p50} ms, p95 ${p95} ms, worst ${max} ms`);
    promised(t, 'back after a flap, worst', max, BACK_MS);
    const { sent, received } = await flow.finish();
    if (what === 'cable') t.equal(received.late, 0, 'order within the flow is kept');
    t.ok(received.received > 0 && received.received < sent.sent, 'it was down');
    pulse.stop();
    await sleep(200);
    const after: number[] = [];
    for (const host of [a, b]) {
      const status = await statusOf(host);
      after.push(status.pid, status.processes[0]?.pid ?? 0);
      t.equal(status.links[0]?.state, 'up');
      t.equal(status.processes[0]?.restarts, 0);
      await checkBalance(t, host);
      const grown = growth(before.get(host) ?? {}, await countersOf(host), /drop|error/);
      t.comment(`${host.name}: ${JSON.stringify(grown)}`);
      // A pulled cable is silent: the kernel takes packets and loses them.
      if (what === 'link' && host === a) {
        t.ok((grown['egress.drop.send_unreachable'] ?? 0) > 0, 'counted as unreachable');
      }
    }
    t.same(after, pids, 'no process ended');
  });
}

/** Overlay addresses and routes (`address 250.0.28.1`, `route 250.0.0.0/8`) on the host now. */
async function overlayOf(host: LabHost): Promise<string[]> {
  const inside = (address: number) => address >>> 24 === 250;
  const addresses = (await host.netlink.addresses()).filter((a) => inside(a.address));
  const routes = (await host.netlink.routes()).filter((r) => r.table === 254 && inside(r.src));
  return [
    ...addresses.map((a) => formatIpv4(a.address)),
    ...routes.map((r) => `via ${formatIpv4(r.src)}`),
  ];
}

for (const encap of ['vxlan', 'ipip'] as const) {
  t.test(`${encap}: another underlay address, under traffic`, { skip }, async (t) => {
    const { a, b, pulse } = await startRig(t, { encap });
    const old = a.address;
    const moved = a.address + 5;
    const slices = [a.address, moved].map((address) => `250.0.${address & 0xff}.1`);
    let watching = true;
    const seen: string[][] = [];
    const watch = (async () => {
      while (watching) {
        seen.push(await overlayOf(a));
        await sleep(50);
      }
    })();
    let controlMs = 0;
    for (const [from, to, gateway] of [
      [old, moved, slices[1]],
      [moved, old, slices[0]],
    ] as const) {
      const changedMs = nowMs();
      await a.netlink.deleteAddress('eth0', from, a.length);
      await a.netlink.addAddress('eth0', to, a.length);
      await until(`the slice of ${formatIpv4(to)}`, 5000, async () => {
        const [link] = (await statusOf(a)).links;
        return link?.state === 'up' && link.gateway === gateway;
      });
      controlMs = Math.max(controlMs, nowMs() - changedMs);
      // A container's address belongs to the slice: whoever runs it gives it the new one.
      await attach(a);
      const back = await pulse.back(nowMs(), 5000);
      promised(t, 'traffic goes on in the new slice', back, BACK_MS);
    }
    promised(t, `${encap}: the new slice`, controlMs, 5000);

    // No address at all: it stops with the reason, and comes back with an address.
    await a.netlink.deleteAddress('eth0', old, a.length);
    const reason = await until('it stops', 5000, async () => {
      const [link] = (await statusOf(a)).links;
      return link?.state === 'stopped' && link.reason;
    });
    t.match(reason, /eth0 has no global IPv4 address/);
    const kept = [slices[0], `via ${slices[0]}`];
    t.same(await overlayOf(a), kept, 'the bridge stays as it was: a container is on it');
    await a.netlink.addAddress('eth0', old, a.length);
    await until('it is up again', 5000, async () => (await statusOf(a)).links[0]?.state === 'up');
    await attach(a);
    await pulse.back(nowMs(), 5000);
    watching = false;
    await watch;

    t.ok(seen.length > 10, `${seen.length} looks, one every 50 ms`);
    const both = seen.filter(
      (lines) =>
        slices.every((slice) => lines.some((line) => line.endsWith(slice))) ||
        new Set(lines.filter((line) => line.startsWith('via '))).size > 1,
    );
    t.same(both, [], 'never both slices at once');
    t.ok(
      slices.every((slice) => seen.some((lines) => lines.includes(slice))),
      'each of them was seen',
    );
    pulse.stop();
    await sleep(200);
    for (const host of [a, b]) await checkBalance(t, host);
  });
}
