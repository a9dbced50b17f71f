import t from 'tap';
import { InHand } from '../../../src/dataplane/packet/in-hand.ts';
import { flowKeyHash } from '../../../src/dataplane/queue/flow-key.ts';
import { FLOW_KEY_NAMES, flowKeyBits } from '../../../src/net/flow-keys.ts';
import { unaccounted } from '../../../src/table/counters.ts';
import { PeerRateWriter } from '../../../src/table/links/peer-rates.ts';
import { isIpv4ChecksumRight } from '../../../src/wire/ipv4.ts';
import {
  emitVirtioNet,
  setVirtioGso,
  VIRTIO_GSO_NONE,
  VIRTIO_GSO_UDP_L4,
  VIRTIO_NEEDS_CSUM,
  VIRTIO_NET_BYTES,
} from '../../../src/wire/virtio-net.ts';
import { makeEgress, makeRig, RIG } from '../../fuzz/dataplane-rig.ts';
import { frame, packet } from '../../vectors/craft.ts';
import { viewOf } from '../../vectors/hex.ts';
import { Sends } from '../sends.ts';

const SLOT_BYTES = 32_768;
/** 8 Mb/s: a packet takes 1.5 ms. */
const RATE_BYTES = 1_000_000;
const BULK = { source: 0xfa001b02, destination: 0xfa001c02, protocol: 17 };
const udp = (port: number, bytes: number): string => {
  const payload = Buffer.alloc(bytes);
  payload.writeUInt16BE(port, 0);
  payload.writeUInt16BE(9, 2);
  payload.writeUInt16BE(bytes, 4);
  return payload.toString('hex');
};

/** The way out of a host, on a clock of its own. */
function makeScene(encap: 'Vxlan' | 'Fou' | 'Ipip', vnet = false) {
  const rig = makeRig(encap, vnet, RIG.sender);
  const egress = makeEgress(rig);
  const sends = new Sends(rig);
  const slot = rig.arena.allocate(SLOT_BYTES) + 64;
  rig.link.rateBytes = RATE_BYTES;
  rig.link.flowKeys = flowKeyBits([]);
  const scene = {
    ...{ rig, egress, sends, nowMs: 0 },
    /** Offset of the inner packet in what is sent. */
    innerAt: encap === 'Vxlan' ? 22 : 0,
    /** @param gsoBytes of a super-packet: payload of each piece */
    offer(fields: Parameters<typeof packet>[0], gsoBytes = 0): void {
      const inner = packet({ ...BULK, ...fields });
      const bytes = encap === 'Vxlan' ? frame(inner) : inner;
      rig.arena.bytes.set(bytes, slot);
      if (vnet) {
        const at = slot - VIRTIO_NET_BYTES;
        const { view } = rig.arena;
        emitVirtioNet(view, at, gsoBytes > 0 ? VIRTIO_NEEDS_CSUM : 0, gsoBytes > 0 ? 20 : 0, 6);
        setVirtioGso(view, at, gsoBytes > 0 ? VIRTIO_GSO_UDP_L4 : VIRTIO_GSO_NONE, 28, gsoBytes);
      }
      egress.queues.nextBurst(scene.nowMs);
      egress.packet(rig.link, slot, bytes.length);
      egress.flush();
    },
    /** Lets `ms` pass. */
    pass(ms: number): void {
      for (let i = 0; i < ms; i++) egress.queues.release(++scene.nowMs);
    },
  };
  return scene;
}

for (const encap of ['Vxlan', 'Fou', 'Ipip'] as const) {
  t.test(
    `${encap}: what exceeds the rate waits, at the rate, and is marked inside and outside`,
    async (t) => {
      const scene = makeScene(encap);
      const { rig, sends, egress, innerAt } = scene;
      t.teardown(() => sends.restore());
      // An ECT(0) sender and one that knows no ECN, half as fast again as the link.
      for (let i = 0; i < 1000; i++) {
        scene.offer({ tos: 2, payload: udp(1, 1200) });
        if (i % 2 === 0) scene.offer({ tos: 0, payload: udp(2, 1200) });
        scene.pass(1);
      }
      const counters = rig.counters();
      const bytes = sends.sent.reduce((sum, sent) => sum + sent.bytes.length + 42, 0);
      t.ok(bytes < 1.02 * RATE_BYTES && bytes > 0.95 * RATE_BYTES, `${bytes} bytes in a second`);
      const inside = sends.sent.map(({ bytes, tos }) => ({ tos, inner: bytes.subarray(innerAt) }));
      const marked = inside.filter(({ inner }) => ((inner[1] ?? 0) & 3) === 3);
      t.equal(marked.length, counters['queue.marked'], 'as many as are counted');
      t.ok(marked.length > 3, `${marked.length} marked`);
      t.ok(
        marked.every(({ tos }) => tos === 3),
        'outside too',
      );
      t.ok(
        inside.every(({ tos, inner }) => tos === ((inner[1] ?? 0) & 3)),
        'ECN is copied',
      );
      t.ok(
        inside.every(({ inner }) => isIpv4ChecksumRight(viewOf(inner), 0)),
        'checksums are right',
      );
      t.ok((counters['egress.drop.queue_delay'] ?? 0) > 3, 'the other one loses some');
      t.equal(unaccounted(counters, 'egress'), 0, 'each is sent, dropped or waits');
      t.equal(
        egress.queues.waiting,
        (counters['queue.entered'] ?? 0) - (counters['queue.left'] ?? 0),
      );
      scene.pass(2000);
      t.equal(egress.queues.waiting, 0);
      t.equal(unaccounted(rig.counters(), 'egress'), 0);
    },
  );
}

t.test(
  "classes keep their order inside one host's queue, and ECT(1) hears of a short wait",
  async (t) => {
    const scene = makeScene('Vxlan');
    const { rig, sends, innerAt } = scene;
    t.teardown(() => sends.restore());
    const rates = new PeerRateWriter(rig.tables.segment);
    rates.replace(rig.link.id, new Map([[RIG.receiver, RATE_BYTES]]));
    rig.link.peerRates = 1;
    rig.link.rateBytes = 0;
    const [ef, cs1, ect1, ect0] = [0xb8, 0x20, 1, 2];
    for (let i = 0; i < 4; i++) scene.offer({ payload: udp(1, 1200) });
    for (const tos of [cs1, ect0, ect1, ef]) {
      for (let i = 0; i < 2; i++) scene.offer({ tos, payload: udp(10 + tos, 1200) });
    }
    const before = sends.sent.length;
    scene.pass(30);
    const tos = sends.sent.slice(before).map(({ bytes }) => bytes.readUInt8(innerAt + 1));
    t.same(tos.slice(0, 2), [ef, ef], 'EF is first, though it came last');
    t.same(tos.slice(-2), [cs1, cs1], 'CS1 is last, though it came first');
    t.equal(tos.filter((one) => one === ect0).length, 2, 'a wait of some ms is no trouble');
    t.equal(tos.filter((one) => one === 3).length, 2, 'who speaks L4S is told of it');
    t.equal(tos.includes(ect1), false);
    t.equal(unaccounted(rig.counters(), 'egress'), 0);
  },
);

t.test(
  'a super-packet is cut before it waits where it takes longer than a millisecond',
  async (t) => {
    const scene = makeScene('Fou', true);
    const { rig, egress, sends } = scene;
    t.teardown(() => sends.restore());
    const large = () => scene.offer({ payload: udp(1, 8 + 20 * 1000), checksumAt: -1 }, 1000);
    rig.link.rateBytes = 100 * RATE_BYTES;
    scene.pass(1);
    large();
    t.equal(egress.queues.waiting, 0, '0.2 ms of it go by as they are');
    t.equal(sends.sent.length, 20, 'in one train');
    rig.link.rateBytes = RATE_BYTES;
    large();
    t.equal(egress.queues.waiting, 20, '21 ms of it wait in pieces');
    scene.offer({ payload: udp(50, 200) });
    scene.pass(6);
    const ours = sends.sent.findIndex(({ bytes }) => bytes.readUInt16BE(20) === 50) - 20;
    t.ok(ours >= 0 && ours <= 5, `a packet of another flow goes between them, behind ${ours}`);
    scene.pass(40);
    t.equal(sends.sent.length, 41);
    t.equal(unaccounted(rig.counters(), 'egress'), 0);
  },
);

t.test('a flow with little to say is not behind one with much, and loses nothing', async (t) => {
  const scene = makeScene('Vxlan');
  const { sends } = scene;
  t.teardown(() => sends.restore());
  let asked = 0;
  let late = 0;
  for (let i = 0; i < 2000; i++) {
    for (let k = 0; k < 2; k++) scene.offer({ payload: udp(1 + k, 1300) });
    if (i % 20 === 0) {
      scene.offer({ payload: udp(50, 180) });
      asked++;
      scene.pass(4);
      const ours = sends.sent.filter(({ bytes }) => bytes.readUInt16BE(42) === 50).length;
      if (ours !== asked) late++;
    } else scene.pass(1);
  }
  t.equal(late, 0, `of ${asked}, each within 4 ms`);
});

t.test('a flood is bounded in bytes, costs only itself, and its end is counted', async (t) => {
  const scene = makeScene('Vxlan');
  const { rig, egress, sends } = scene;
  t.teardown(() => sends.restore());
  scene.offer({ payload: udp(50, 180) });
  for (let i = 0; i < 20_000; i++) {
    scene.offer({ payload: udp(1, 1200) });
    if (i === 5000) scene.offer({ payload: udp(50, 180) });
  }
  t.ok(egress.queues.waiting * 1250 <= RATE_BYTES / 2 + 2000, `${egress.queues.waiting} wait`);
  const counters = rig.counters();
  t.ok((counters['egress.drop.queue_full'] ?? 0) > 19_000);
  t.equal(unaccounted(counters, 'egress'), 0);
  scene.pass(20);
  t.equal(sends.sent.filter(({ bytes }) => bytes.readUInt16BE(42) === 50).length, 2);
  egress.queues.forget(rig.link.id);
  t.equal(egress.queues.waiting, 0, 'a link that leaves leaves nothing');
  t.equal(unaccounted(rig.counters(), 'egress'), 0);
});

t.test('a rate that is taken away lets go of what waits, at once and in order', async (t) => {
  const scene = makeScene('Fou');
  const { rig, egress, sends } = scene;
  t.teardown(() => sends.restore());
  for (let i = 0; i < 100; i++) scene.offer({ payload: udp(1, 1000 + i) });
  t.ok(egress.queues.waiting > 50);
  rig.link.rateBytes = 0;
  scene.pass(1);
  t.equal(egress.queues.waiting, 0);
  t.same(
    sends.sent.map(({ bytes }) => bytes.length),
    Array.from({ length: 100 }, (_, i) => 1020 + i),
  );
});

t.test(
  'hosts with a rate of their own keep to it, and take of the link what they get',
  async (t) => {
    const scene = makeScene('Vxlan');
    const { rig, sends, egress } = scene;
    t.teardown(() => sends.restore());
    const hosts = [0xac1e001c, 0xac1e001d] as const;
    const own = RATE_BYTES / 5;
    const rates = new PeerRateWriter(rig.tables.segment);
    rates.replace(rig.link.id, new Map([[hosts[1], own]]));
    rig.link.peerRates = 1;
    /** Bytes to each host in a second in which both are offered more than the link has. */
    const second = (): number[] => {
      const before = sends.sent.length;
      for (let i = 0; i < 1000; i++) {
        scene.offer({ payload: udp(1, 1200) });
        scene.offer({ destination: 0xfa001d02, payload: udp(1, 1200) });
        scene.pass(1);
      }
      return hosts.map((host) =>
        sends.sent
          .slice(before)
          .filter(({ peer }) => peer === host)
          .reduce((sum, { bytes }) => sum + bytes.length + 42, 0),
      );
    };
    const both = (shares: readonly number[]): number => shares.reduce((sum, one) => sum + one, 0);
    const limited = second();
    t.ok(both(limited) > 0.93 * RATE_BYTES && both(limited) < 1.03 * RATE_BYTES, `${limited}`);
    t.ok(
      limited[1] !== undefined && limited[1] > 0.85 * own && limited[1] < 1.1 * own,
      `${limited}`,
    );
    rig.link.rateBytes = 0;
    scene.pass(1000);
    const alone = second();
    t.ok(alone[1] !== undefined && alone[1] > 0.9 * own && alone[1] < 1.1 * own, `${alone}`);
    t.ok(alone[0] !== undefined && alone[0] > RATE_BYTES, 'the other one has no limit then');
    rates.replace(rig.link.id, new Map());
    rig.link.peerRates = 0;
    scene.pass(3);
    const counters = rig.counters();
    t.equal(egress.queues.waiting, 0, 'without a rate nothing waits');
    t.equal(unaccounted(counters, 'egress'), 0);
    t.ok((counters['queue.waited_us'] ?? 0) > 0, 'how long they waited is counted');
    scene.offer({ destination: 0xfa001d02, payload: udp(1, 1200) });
    egress.queues.forget(rig.link.id);
    const last = rig.counters();
    t.equal(last['queue.flows_began'], last['queue.flows_ended'], 'flows that began have ended');
  },
);

t.test(
  'flow keys are fields of the packet inside, of both families, zero without ports',
  async (t) => {
    const SEED = 4711;
    const four = { source: 0xfa001b02, destination: 0xfa001c02, payload: udp(1000, 100) };
    const hash = (
      fields: Parameters<typeof packet>[0],
      keys: number,
      isFragment = false,
    ): number => {
      const bytes = packet({ protocol: 17, ...fields });
      const hand = new InHand();
      Object.assign(hand, { l3: 0, headerBytes: 20, totalBytes: bytes.length, protocol: bytes[9] });
      hand.isFragment = isFragment;
      return flowKeyHash(viewOf(bytes), hand, keys, SEED);
    };
    const others: Record<string, Parameters<typeof packet>[0]> = {
      'tunnel-src': { ...four, source: 0xfa001b03 },
      'tunnel-dst': { ...four, destination: 0xfa001c03 },
      'tunnel-proto': { ...four, protocol: 136 },
      'tunnel-proto-src': { ...four, payload: udp(1001, 100) },
    };
    for (const name of FLOW_KEY_NAMES) {
      const keys = flowKeyBits([name]);
      for (const [field, other] of Object.entries(others)) {
        t.equal(
          hash(four, keys) === hash(other, keys),
          name !== field,
          `${name} and another ${field}`,
        );
      }
    }
    const all = flowKeyBits([]);
    t.equal(
      hash({ ...four, protocol: 50 }, all),
      hash({ ...others['tunnel-proto-src'], protocol: 50 }, all),
      'ESP has no ports',
    );
    t.equal(
      hash(four, all, true),
      hash(others['tunnel-proto-src'], all, true),
      'nor has a fragment',
    );
    const six = (last: number, port: number): number => {
      const bytes = new Uint8Array(60);
      const view = viewOf(bytes);
      bytes.set([0x60, 0, 0, 0, 0, 20, 17, 64]);
      bytes[23] = 1;
      bytes[39] = last;
      view.setUint16(40, port);
      const hand = new InHand();
      Object.assign(hand, { l3: 0, headerBytes: 40, totalBytes: 60, protocol: 17 });
      return flowKeyHash(view, hand, all, SEED);
    };
    t.not(six(1, 5), six(2, 5));
    t.not(six(1, 5), six(1, 6));
    t.equal(six(1, 5), six(1, 5));
  },
);
