import { readdirSync } from 'node:fs';
import t from 'tap';
import { planFan } from '../../src/control/links/plan.ts';
import { CounterBlock } from '../../src/control/plane/tables/counter-values.ts';
import { ForeignSources } from '../../src/control/plane/watch/foreign-sources.ts';
import type { LinkSpec } from '../../src/control/store/link-spec.ts';
import { Lab } from '../../src/demo/lab.ts';
import { runFanway } from '../../src/demo/router.ts';
import { formatMac } from '../../src/net/mac.ts';
import { addressOf, libc } from '../../src/sys/libc/libc.ts';
import { createEventFd, signalEventFd } from '../../src/sys/libc/memory.ts';
import { Netlink } from '../../src/sys/netlink/netlink.ts';
import { FrameSender } from '../../src/sys/sockets/frame-sender.ts';
import { closeDescriptor } from '../../src/sys/sockets/local-sockets.ts';
import { runEcho } from '../../src/traffic/run.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { until } from '../support/patience.ts';
import { statusOf } from './lab-router.ts';
import { plainHost, request } from './snapshots.ts';

t.test('status names a container with a wrong address', { skip: skipWithoutTun() }, async (t) => {
  const lab = await Lab.create({ hosts: 1, containersPerHost: 2 });
  t.teardown(() => lab.close());
  const host = lab.host(0);
  await runFanway(host, ['up', '250.0.0.0/8', 'eth0/16']);
  const [right, wrong] = [lab.container(0, 0), lab.container(0, 1)];
  const attach = (container: typeof right, address: number): Promise<void> =>
    container.attach({ bridge: 'fan-250-0-28', address, length: 8, gateway: 0xfa001c01 });
  await attach(right, 0xfa001c0a);
  await attach(wrong, 0xfa07070a);
  const mac = formatMac((await wrong.netlink.link('eth0')).address);
  const told = await until('status tells of it', 20_000, async () => {
    await Promise.all(
      [right, wrong].map((one) => runEcho(one, ['250.1.27.10'], { count: 3, interval: 100 })),
    );
    const [link] = (await statusOf(host)).links;
    const drop = link?.drops.find(({ counter }) => counter === 'egress.drop.foreign_source');
    return drop?.cause.includes('250.7.7.10') === true && drop.cause;
  });
  t.match(told, `250.7.7.10 (MAC ${mac}, port ${wrong.hostEnd})`, 'address, MAC and port');
  t.match(told, "is not of this host's slice 250.0.28.0/24: give the container an address of it");
  t.notMatch(told, '250.0.28.10', 'not the one that is right');
});

/** A link at the loopback device, whose counter grows with each look. */
function loopbackLink(): LinkSpec {
  const plan = planFan(request('250.0.0.0/8', 'eth0/16'), plainHost());
  if (plan.outcome !== 'changes') throw new TypeError(`the plan: ${plan.outcome}`);
  return { ...plan.spec, device: 'lo' };
}

/** What looks at it, and what is called when the host is asked where a MAC is, or for its devices. */
function watchLoopback(spec: LinkSpec, on: { port?: () => void; links?: () => void }) {
  let counted = 0;
  const tunnels = {
    values() {
      const block = new CounterBlock(new Map([[spec.name, 0]]), 1);
      block.set(spec.name, Float64Array.of(++counted));
      return block;
    },
    answer: () => undefined,
  };
  const netlink = Netlink.open();
  const host = {
    async links() {
      const links = await netlink.links();
      on.links?.();
      return links;
    },
    async bridgePort() {
      on.port?.();
      return '';
    },
  };
  return { foreign: new ForeignSources({ host, tunnels }), netlink };
}

/** Ethernet and IPv4 with the source 10.9.8.7. */
function foreignFrame(): Buffer {
  const frame = Buffer.alloc(60);
  frame.writeUInt16BE(0x0800, 12);
  frame.writeUInt8(0x45, 14);
  frame.writeUInt32BE(0x0a09_0807, 26);
  return frame;
}

t.test('the socket is closed once when watching ends', { skip: skipWithoutTun() }, async (t) => {
  const spec = loopbackLink();
  let next = -1;
  const { foreign, netlink } = watchLoopback(spec, {
    port() {
      if (next >= 0) return;
      foreign.close();
      // Has its number from now on.
      next = createEventFd();
    },
  });
  const { index } = await netlink.link('lo');
  const sender = new FrameSender();
  t.teardown(() => {
    sender.close();
    netlink.close();
    closeDescriptor(next);
  });
  for (const nowMs of [0, 1000]) await foreign.look([spec], nowMs);
  t.ok(sender.send(index, foreignFrame()));
  // It has listened long enough.
  await foreign.look([spec], 60_000);
  t.ok(next >= 0, 'the sender was seen');
  signalEventFd(next);
  t.equal(libc.read(next, addressOf(new Uint8Array(8)), 8), 8, 'what is open now stays open');
});

t.test('nobody listens once watching has ended', { skip: skipWithoutTun() }, async (t) => {
  const spec = loopbackLink();
  let open = 0;
  const { foreign, netlink } = watchLoopback(spec, {
    links() {
      foreign.close();
      open = readdirSync('/proc/self/fd').length;
    },
  });
  t.teardown(() => netlink.close());
  for (const nowMs of [0, 1000]) await foreign.look([spec], nowMs);
  t.not(open, 0, 'it was about to listen');
  t.equal(readdirSync('/proc/self/fd').length, open);
});
