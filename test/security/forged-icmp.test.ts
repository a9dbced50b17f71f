import t, { type Test } from 'tap';
import { formatIpv4 } from '../../src/net/ipv4.ts';
import { writeSysctl } from '../../src/sys/host/sysctl.ts';
import { internetChecksum } from '../../src/wire/checksum.ts';
import { statusOf } from '../control/lab-router.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { ethernet, icmp, ipv4 } from '../support/bytes.ts';
import { groundOf } from '../support/ground.ts';
import { Guest } from '../support/guest.ts';
import { skipLong } from '../support/long.ts';
import { sleep, until } from '../support/patience.ts';
import { carry, type Ground, innerUdp } from '../support/probes.ts';
import { type Encapsulation, moved, Target } from '../support/target.ts';

const skip = skipWithoutTun();
t.setTimeout(1_200_000);

const OVERHEAD_BYTES: Readonly<Record<Encapsulation, number>> = { vxlan: 50, fou: 28, ipip: 20 };
const SHIM_BYTES: Readonly<Record<Encapsulation, number>> = { vxlan: 30, fou: 8, ipip: 0 };
/** Some router of the underlay's, or whoever says that he is one. */
const ROUTER = 0xac1e00fe;
const QUOTE_BYTES = 128;
const PASSED_MS = 200;

/** One target with a guest that sends a flow, and an attacker who sees and forges ICMP about it. */
class Scene {
  readonly target: Target;
  readonly guest: Guest;
  readonly ground: Ground;
  readonly encap: Encapsulation;

  constructor(target: Target, guest: Guest, ground: Ground) {
    this.target = target;
    this.guest = guest;
    this.ground = ground;
    this.encap = ground.encap;
  }

  /** An inner packet of `bytes` of the one flow, to `destination`. */
  inner(bytes: number, destination = this.ground.inner): Buffer {
    const ends = { source: this.ground.container, destination };
    return innerUdp(this.ground, ends, { sourcePort: 7777 }, Buffer.alloc(bytes - 28, 7));
  }

  /** Sends an inner packet of `bytes`: the outer packet it became, or the MTU that ICMP told. */
  async send(bytes: number): Promise<{ outer?: Buffer; toldMtu?: number; answer?: Buffer }> {
    this.guest.wire.take();
    this.guest.tunnelled();
    this.guest.send(this.inner(bytes));
    const deadline = Date.now() + 2000;
    while (Date.now() < deadline) {
      const packet = this.guest.tunnelled().find(({ inner }) => inner.readUInt16BE(2) === bytes);
      if (packet !== undefined) return { outer: packet.bytes };
      const answer = this.guest.wire.arrived().find((frame) => frame[23] === 1);
      if (answer !== undefined && answer[34] === 3 && answer[35] === 4) {
        return { toldMtu: answer.readUInt16BE(40), answer };
      }
      await sleep(2);
    }
    return {};
  }

  /** What the kernel goes by on the way to the peer, bytes; 0 = its device. */
  async kernelMtu(): Promise<number> {
    return (await this.target.victim.netlink.routeTo(this.ground.peer)).mtu;
  }

  /** Whether a large packet goes out as it should. */
  async isWhole(): Promise<boolean> {
    return (await this.kernelMtu()) === 0 && (await this.send(1400)).outer !== undefined;
  }

  /** An ICMP error to the victim about `quote`. */
  error(type: number, code: number, word: number, quote: Buffer): Buffer {
    const { victim, victimMac, attackerMac } = this.ground;
    const message = icmp(type, code, word, quote.subarray(0, QUOTE_BYTES));
    const packet = ipv4({ source: ROUTER, destination: victim, protocol: 1 }, message);
    return ethernet(victimMac, attackerMac, 0x0800, packet);
  }

  /**
   * Sends errors and waits until `count` of them were judged, or a moment where that is none;
   * returns the events that moved.
   */
  async forge(count: number, ...frames: Buffer[]): Promise<{ lowered: number; ignored: number }> {
    const before = await this.target.counters();
    const events = async () => {
      const effect = moved(before, await this.target.counters(), 'event.');
      const lowered = effect['event.pmtu_lowered'] ?? 0;
      return { lowered, ignored: effect['event.icmp_ignored'] ?? 0 };
    };
    for (const frame of frames) this.target.underlay.send(frame);
    if (count === 0) await sleep(20);
    await until(`${count} are judged`, 1000, async () => {
      const { lowered, ignored } = await events();
      return lowered + ignored >= count;
    }).catch(() => undefined);
    await this.send(100);
    return events();
  }
}

/** Changes bytes of a quoted packet; its header checksum is put right again. */
function changed(quote: Buffer, change: (bytes: Buffer) => void): Buffer {
  const copy = Buffer.from(quote);
  change(copy);
  copy.writeUInt16BE(0, 10);
  copy.writeUInt16BE(internetChecksum(new DataView(copy.buffer, copy.byteOffset), 0, 20), 10);
  return copy;
}

/** Messages about `quote` that are false, with how many of each are worth a count where sockets judge. */
function falseReports(
  scene: Scene,
  quote: Buffer,
): readonly [name: string, ignored: number, frame: Buffer][] {
  const { encap, ground } = scene;
  const shim = 20 + SHIM_BYTES[encap];
  const cases: [name: string, ignored: number, frame: Buffer][] = [
    [
      'about a peer that we never sent to',
      1,
      scene.error(
        3,
        4,
        600,
        changed(quote, (b) => b.writeUInt32BE(ground.otherPeer, 16)),
      ),
    ],
    [
      'about a host that is no peer',
      1,
      scene.error(
        3,
        4,
        600,
        changed(quote, (b) => b.writeUInt32BE(0x08080808, 16)),
      ),
    ],
    [
      "about an inner source that is not our slice's",
      1,
      scene.error(
        3,
        4,
        600,
        changed(quote, (b) => b.writeUInt32BE(ground.otherInner, shim + 12)),
      ),
    ],
    [
      'about a packet that another host sent',
      0,
      scene.error(
        3,
        4,
        600,
        changed(quote, (b) => b.writeUInt32BE(ground.peer, 12)),
      ),
    ],
    [
      'about TCP',
      0,
      scene.error(
        3,
        4,
        600,
        changed(quote, (b) => b.writeUInt8(6, 9)),
      ),
    ],
    ['with a wrong checksum', 0, spoiled(scene.error(3, 4, 600, quote))],
    ['that quotes nothing', 0, scene.error(3, 4, 600, Buffer.alloc(0))],
    ['that quotes ten bytes', 0, scene.error(3, 4, 600, quote.subarray(0, 10))],
  ];
  if (encap === 'vxlan') {
    cases.push(
      [
        'about another VNI',
        1,
        scene.error(
          3,
          4,
          600,
          changed(quote, (b) => b.writeUInt32BE(99 << 8, 32)),
        ),
      ],
      [
        'about other VXLAN flags',
        1,
        scene.error(
          3,
          4,
          600,
          changed(quote, (b) => b.writeUInt32BE(0, 28)),
        ),
      ],
    );
  }
  if (encap !== 'ipip') {
    cases.push([
      'from a port that is not ours',
      0,
      scene.error(
        3,
        4,
        600,
        changed(quote, (b) => b.writeUInt16BE(b.readUInt16BE(20) ^ 0x4000, 20)),
      ),
    ]);
  }
  return cases;
}

/** What the data path makes of false messages: nothing, in the end. */
type Judge = (t: Test, name: string, ignored: number, frames: readonly Buffer[]) => Promise<void>;

/** Data processes judge each message before anybody obeys it. */
function judgedAtOnce(scene: Scene): Judge {
  return async (t, name, ignored, frames) => {
    t.strictSame(await scene.forge(ignored, ...frames), { lowered: 0, ignored }, name);
  };
}

/** The kernel may obey one, until the path has been asked. */
function judgedSoon(scene: Scene): Judge {
  return async (t, name, _ignored, frames) => {
    for (const frame of frames) scene.target.underlay.send(frame);
    await sleep(20);
    t.ok(await until(`a whole path, ${name}`, 5000, () => scene.isWhole()), name);
  };
}

async function forgeries(t: Test, scene: Scene, judge: Judge): Promise<void> {
  const { ground } = scene;
  const { outer: small } = await scene.send(900);
  if (small === undefined) throw new Error('nothing went out');
  // Before anything large went out: whoever says that 900 bytes are too large for 1200 lies.
  await judge(t, 'more than we sent', 1, [scene.error(3, 4, 1200, small)]);
  const { outer: quote } = await scene.send(1400);
  if (quote === undefined) throw new Error('nothing went out');
  for (const [name, ignored, frame] of falseReports(scene, quote)) {
    await judge(t, `too big, ${name}`, ignored, [frame]);
  }
  for (const [type, code] of [
    [3, 0],
    [3, 1],
    [3, 2],
    [3, 3],
    [3, 5],
    [3, 9],
    [3, 13],
    [4, 0],
    [5, 1],
    [11, 0],
    [12, 0],
  ] as const) {
    const { lowered } = await scene.forge(0, scene.error(type, code, ROUTER, quote));
    t.equal(lowered, 0, `type ${type} code ${code}`);
  }
  const many = Array.from({ length: 12 }, (_, i) =>
    scene.error(
      3,
      4,
      600,
      changed(quote, (b) => b.writeUInt32BE(ground.otherPeer + i, 16)),
    ),
  );
  await judge(t, 'twelve at once', 12, many);
  t.ok((await scene.send(1400)).outer, 'a large packet still goes out whole');
}

function spoiled(frame: Buffer): Buffer {
  frame.writeUInt16BE(frame.readUInt16BE(36) ^ 0x5555, 36);
  return frame;
}

/**
 * Waits until a packet of the guest has gone out and one of the peer has come in, or a moment: storms that follow
 * one another faster than a busy machine takes frames from its devices end in queues of the kernel's, uncounted.
 */
async function passed({ guest, target }: Scene): Promise<void> {
  const deadline = performance.now() + PASSED_MS;
  // On the kernel's path there is no device to see it come in by.
  let [isOut, isIn] = [false, target.devices.length === 0];
  do {
    await sleep(2);
    isOut = guest.tunnelled().length > 0 || isOut;
    isIn = target.devices.some((device) => device.arrived().length > 0) || isIn;
  } while (!(isOut && isIn) && performance.now() < deadline);
}

/** @param neverObeyed nobody's path is lowered, not even that of a host that is not there */
async function storm(t: Test, scene: Scene, neverObeyed = true): Promise<void> {
  const FORGED = 100_000;
  const BATCH = 250;
  const { ground, target, guest } = scene;
  const { outer: quote } = await scene.send(1400);
  if (quote === undefined) throw new Error('nothing went out');
  const frames = Array.from({ length: BATCH }, (_, i) => {
    const about = changed(quote, (b) => b.writeUInt32BE((ground.otherPeer + i) >>> 0, 16));
    const kind = i % 5;
    if (kind === 0) return scene.error(3, 1, 0, quote);
    if (kind === 1) return scene.error(3, 3, 0, quote);
    if (kind === 2) return scene.error(3, 4, 1499, quote);
    return scene.error(3, 4, 68 + i, about);
  });
  const batch = target.underlay.batch(frames);
  const before = await target.counters();
  let forged = 0;
  let sent = 0;
  const inbound = carry(ground, innerUdp(ground));
  guest.tunnelled();
  for (const device of target.devices) device.take();
  while (forged < FORGED) {
    forged += batch.send();
    guest.send(scene.inner(1400));
    target.underlay.send(inbound);
    sent++;
    await passed(scene);
  }
  await target.settle();
  const effect = moved(before, await target.counters(), '');
  t.comment(`through ${forged} forged: ${JSON.stringify(effect)}`);
  if (neverObeyed) t.equal(effect['event.pmtu_lowered'] ?? 0, 0, 'no path MTU was lowered');
  // What a busy machine has no room for is counted by the kernel, and nobody's fault.
  const ends = (counter: string, full: string): number =>
    (effect[counter] ?? 0) + (effect[full] ?? 0);
  const [out, came] = [
    ends('egress.delivered', 'event.device_drops'),
    ends('ingress.delivered', 'event.socket_drops'),
  ];
  t.ok(out >= sent, `every packet of the guest went out meanwhile: ${out} of ${sent}`);
  t.ok(came >= sent, `and every one of the peer came in: ${came} of ${sent}`);
  t.ok((await scene.send(1400)).outer, 'and a large one afterwards');
}

async function honest(t: Test, scene: Scene): Promise<void> {
  const { encap, ground, target } = scene;
  const overhead = OVERHEAD_BYTES[encap];
  const { outer: quote } = await scene.send(1400);
  if (quote === undefined) throw new Error('nothing went out');
  t.strictSame(
    await scene.forge(1, scene.error(3, 4, 1300, quote)),
    { lowered: 1, ignored: 0 },
    'told 1300',
  );
  t.ok((await scene.send(1300 - overhead)).outer, 'the largest that fits');
  const { toldMtu, answer } = await scene.send(1300 - overhead + 1);
  t.equal(toldMtu, 1300 - overhead, 'one more is answered with the MTU inside');
  if (answer !== undefined) {
    const packet = answer.subarray(14);
    t.equal(answer.readUIntBE(0, 6), target.containerMac, 'to the sender');
    t.equal(packet.readUInt32BE(16), ground.container);
    const message = packet.subarray(20, packet.readUInt16BE(2));
    const view = new DataView(message.buffer, message.byteOffset, message.length);
    t.equal(internetChecksum(view, 0, message.length), 0, 'ICMP checksum');
    t.ok(
      message.subarray(8, 28).equals(quoted(scene, 1300 - overhead + 1)),
      'quotes the header of what was too large',
    );
  }
  const { lowered } = await scene.forge(1, scene.error(3, 4, 68, quote));
  t.equal(lowered, 1, 'told 68');
  t.ok((await scene.send(576 - overhead)).outer, 'no ICMP takes the path under 576');
  t.equal((await scene.send(576 - overhead + 1)).toldMtu, 576 - overhead);
  const again = await scene.forge(1, scene.error(3, 4, 0, quote), scene.error(3, 4, 1000, quote));
  t.equal(again.lowered, 0, 'nothing lowers it further, nothing raises it');
  const other = scene.inner(1400, ground.otherInner);
  scene.guest.tunnelled();
  scene.guest.send(other);
  const events = moved({}, await target.counters(), 'egress.drop');
  t.ok((events['egress.drop.too_big'] ?? 0) >= 2, 'counted as too big');
}

/** The header of the flow's packet of `bytes` as it reaches the device: routed once or not. */
function quoted(scene: Scene, bytes: number): Buffer {
  const ttl = scene.encap === 'vxlan' ? 64 : 63;
  const { container, inner } = scene.ground;
  const ends = { source: container, destination: inner };
  return innerUdp(
    scene.ground,
    { ...ends, ttl },
    { sourcePort: 7777 },
    Buffer.alloc(bytes - 28, 7),
  ).subarray(0, 20);
}

for (const [encap, offload] of [
  ['vxlan', 'auto'],
  ['vxlan', 'off'],
  ['fou', 'auto'],
  ['ipip', 'auto'],
] as const) {
  t.test(`ICMP about ${encap}, offload ${offload}`, { skip }, async (t) => {
    const target = await Target.create({ encap, offload });
    t.teardown(() => target.close());
    const ground = groundOf(target, encap);
    const scene = new Scene(target, await Guest.create(target, encap, ground.port), ground);
    await t.test('forged: no effect', (t) => forgeries(t, scene, judgedAtOnce(scene)));
    if (offload === 'auto') await t.test('a hundred thousand forged', (t) => storm(t, scene));
    await t.test('honest: believed, down to 576', (t) => honest(t, scene));
    t.equal(await target.settle(), 0, 'received = delivered + named drops');
  });
}

t.test('ICMP about vxlan, forwarded by the kernel', { skip }, async (t) => {
  const target = await Target.create({ encap: 'vxlan', flags: ['--datapath', 'kernel'] });
  t.teardown(() => target.close());
  const ground = groundOf(target, 'vxlan');
  const scene = new Scene(target, await Guest.create(target, 'vxlan', ground.port), ground);
  const event = async (name: string) => (await target.counters())[`event.${name}`] ?? 0;
  await t.test('forged: no lasting effect', async (t) => {
    await forgeries(t, scene, judgedSoon(scene));
    t.ok((await event('icmp_ignored')) > 0, 'and the false ones are counted');
  });
  if (!skipLong) await t.test('a hundred thousand forged', (t) => storm(t, scene, false));
  await t.test('about a host that answers no echo request: believed', async (t) => {
    target.attacker.run(() => writeSysctl('net/ipv4/icmp_echo_ignore_all', '1'));
    const { outer: quote } = await scene.send(1400);
    if (quote === undefined) throw new Error('nothing went out');
    const about = formatIpv4(ground.peer);
    target.underlay.send(scene.error(3, 4, 1300, quote));
    const told = await until('status tells of it', 10_000, async () => {
      const { paths } = await statusOf(target.victim);
      return paths.find(({ peer, mtuFrom }) => peer === about && mtuFrom === 'icmp');
    });
    t.equal(told.mtu, 1300);
    t.ok((await scene.send(1250)).outer, 'the largest that fits');
    t.equal((await scene.send(1251)).toldMtu, 1250, 'one more is answered with the MTU inside');
    await until('it is counted', 10_000, async () => (await event('pmtu_lowered')) > 0);
    t.equal(await scene.kernelMtu(), 1300, 'and goes on to be believed');
  });
  t.equal(await target.settle(), 0, 'received = delivered + named drops');
});
