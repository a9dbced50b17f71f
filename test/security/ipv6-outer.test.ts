import t, { type Test } from 'tap';
import type { LabContainer, LabHost } from '../../src/demo/lab.ts';
import { addressOf, libc } from '../../src/sys/libc/libc.ts';
import { openUdp, socketAddress } from '../../src/sys/sockets/sockets.ts';
import {
  checkBalance,
  countersOf,
  growth,
  know,
  type Rig,
  startRig,
  statusOf,
} from '../faults/rig.ts';
import { ethernet, ipv4, udp, vxlan } from '../support/bytes.ts';
import { type Ends6, icmp6, ipv6, udp6 } from '../support/bytes6.ts';
import { skipWithoutIpv6 } from '../support/ipv6-underlay.ts';
import { skipLong } from '../support/long.ts';
import { sleep, until } from '../support/patience.ts';
import { Wire } from '../support/wire.ts';

const skip = skipWithoutIpv6();
t.setTimeout(1_200_000);

const VICTIM = 'fd00:30::1c';
const PEER = 'fd00:30::11b';
const ROUTER = 'fd00:30::fe';
const VNI = 0xfa0000;
const PORTS = { vxlan: 4789, fou: 5555, ipip: 0 } as const;
const OVERHEAD_BYTES = { vxlan: 70, fou: 48, ipip: 40 } as const;
const ETHERTYPE_IPV6 = 0x86dd;
/** Extension header of options for the destination, which a kernel's ip6tnl puts before each packet. */
const TUNNEL_LIMIT = Buffer.from([0, 0, 4, 1, 4, 1, 0, 0]);

type Encapsulation = keyof typeof PORTS;
type Macs = Record<'victim' | 'peer' | 'from' | 'to', number>;

/** What an attacker between the hosts works with, who sees the victim's cable and sends on it. */
class Scene {
  readonly rig: Rig;
  readonly encap: Encapsulation;
  readonly wire: Wire;
  readonly #macs: Macs;

  private constructor(rig: Rig, encap: Encapsulation, wire: Wire, macs: Macs) {
    this.rig = rig;
    this.encap = encap;
    this.wire = wire;
    this.#macs = macs;
  }

  static async make(t: Test, encap: Encapsulation): Promise<Scene> {
    const rig = await startRig(t, { encap, ipv6: true });
    rig.pulse.stop();
    // Answers of the containers shall not make them ask each other in between.
    await know(rig.from, rig.to);
    await sleep(100);
    const wire = Wire.open(rig.lab.middle, 'p0');
    t.teardown(() => wire.close());
    const macOf = async (node: LabHost | LabContainer) => (await node.netlink.link('eth0')).address;
    const { a, b, from, to } = rig;
    const macs = {
      ...{ victim: await macOf(a), peer: await macOf(b) },
      ...{ from: await macOf(from), to: await macOf(to) },
    };
    return new Scene(rig, encap, wire, macs);
  }

  /** A packet from the peer's container to the victim's, or whatever it claims to be. */
  inner(more: { source?: number; destination?: number; tos?: number; port?: number } = {}): Buffer {
    const { from, to } = this.rig;
    const ends = {
      source: more.source ?? to.address,
      destination: more.destination ?? from.address,
    };
    const datagram = udp(ends, { destinationPort: more.port ?? 9 }, Buffer.from('probe'));
    return ipv4({ ...ends, tos: more.tos ?? 0 }, datagram);
  }

  /** The same as it is inside the outer headers. */
  wrapped(inner: Buffer, vni = VNI, header = {}): Buffer {
    if (this.encap !== 'vxlan') return inner;
    return vxlan(vni, ethernet(this.#macs.from, this.#macs.to, 0x0800, inner), header);
  }

  /** The frame that brings it over the underlay. */
  carried(
    payload: Buffer,
    fields: Partial<Ends6> & { trafficClass?: number; checksum?: number; options?: boolean } = {},
  ): Buffer {
    const ends = { source: fields.source ?? PEER, destination: VICTIM };
    const port = PORTS[this.encap];
    const outer = {
      ...{ ...ends, trafficClass: fields.trafficClass ?? 0, protocol: port === 0 ? 4 : 17 },
      extensions: fields.options === true ? ([[60, TUNNEL_LIMIT]] as const) : [],
    };
    const sum = fields.checksum === undefined ? {} : { checksum: fields.checksum };
    const body = port === 0 ? payload : udp6(ends, { destinationPort: port, ...sum }, payload);
    return this.frame(ipv6(outer, body));
  }

  frame(packet: Buffer): Buffer {
    return ethernet(this.#macs.victim, this.#macs.peer, ETHERTYPE_IPV6, packet);
  }

  /** Sends a frame and tells which of the named counters moved, by how much. */
  async effect(frame: Buffer, pattern: RegExp): Promise<Record<string, number>> {
    const before = await countersOf(this.rig.a);
    const received = before['ingress.received'] ?? 0;
    this.wire.send(frame);
    await until('it is counted', 2000, async () => {
      return ((await countersOf(this.rig.a))['ingress.received'] ?? 0) > received;
    });
    return growth(before, await countersOf(this.rig.a), pattern);
  }

  /** Sends a datagram of `bytes` (IP length) from the victim's container; the packet it became. */
  async send(bytes: number, sourcePort = 7777): Promise<Buffer | undefined> {
    const { from, to } = this.rig;
    this.wire.take();
    const { fd } = from.run(() =>
      openUdp(from.address, sourcePort, { offload: false, reusePort: false }),
    );
    try {
      const [payload, name] = [Buffer.alloc(bytes - 28, 7), socketAddress(to.address, 9)];
      libc.sendto(fd, addressOf(payload), payload.length, 0, addressOf(name), name.length);
      const outerBytes = bytes + OVERHEAD_BYTES[this.encap] - 40;
      const seen = await this.wire.find(
        (frame) =>
          !frame.outgoing &&
          frame.bytes.readUInt16BE(12) === ETHERTYPE_IPV6 &&
          frame.bytes.readUInt16BE(18) === outerBytes,
        500,
      );
      return seen?.bytes.subarray(14);
    } finally {
      libc.close(fd);
    }
  }

  /** Forges an ICMPv6 error about `quote`; the events that moved. */
  async forge(type: number, code: number, word: number, quote: Buffer) {
    const ends = { source: ROUTER, destination: VICTIM };
    const error = icmp6(ends, type, quote.subarray(0, 1000), { code, word });
    const before = await countersOf(this.rig.a);
    this.wire.send(this.frame(ipv6({ ...ends, protocol: 58 }, error)));
    const pattern = /event\.(pmtu_lowered|icmp_ignored|port_unreachable)/;
    let grown: Record<string, number> = {};
    await until('it is judged', 1000, async () => {
      grown = growth(before, await countersOf(this.rig.a), pattern);
      return Object.keys(grown).length > 0;
    });
    return grown;
  }
}

/** Bytes of a quoted packet changed; nobody checks the checksum of what an error quotes. */
function changed(quote: Buffer, at: number, byte: number): Buffer {
  const copy = Buffer.from(quote);
  copy[at] = byte;
  return copy;
}

async function crafted(t: Test, scene: Scene): Promise<void> {
  const { encap, rig } = scene;
  const honest = scene.wrapped(scene.inner());
  const drop = (name: string) => ({ [`ingress.drop.${name}`]: 1 });
  const cases: [name: string, effect: Record<string, number>, frame: Buffer][] = [
    ['an honest one', { 'ecn.not_ect_not_ect': 1 }, scene.carried(honest)],
    ['behind options', { 'ecn.not_ect_not_ect': 1 }, scene.carried(honest, { options: true })],
    ['from elsewhere', drop('stranger'), scene.carried(honest, { source: 'fd00:99::11b' })],
    [
      'from a neighbour prefix',
      drop('stranger'),
      scene.carried(honest, { source: 'fd00:30::1:11b' }),
    ],
    ['from a link-local address', drop('stranger'), scene.carried(honest, { source: 'fe80::11b' })],
    ['from the network itself', drop('stranger'), scene.carried(honest, { source: 'fd00:30::' })],
    ['from ourselves', drop('own_source'), scene.carried(honest, { source: VICTIM })],
    [
      "from another's slice",
      drop('foreign_source'),
      scene.carried(honest, { source: 'fd00:30::222' }),
    ],
    [
      'to nobody here',
      drop('foreign_destination'),
      scene.carried(scene.wrapped(scene.inner({ destination: rig.from.address + 0x100 }))),
    ],
    [
      'congestion where it cannot be told',
      { ...drop('ecn_not_capable'), 'ecn.not_ect_ce': 1 },
      scene.carried(honest, { trafficClass: 3 }),
    ],
    [
      'congestion',
      { 'ecn.ect0_ce': 1 },
      scene.carried(scene.wrapped(scene.inner({ tos: 2 })), { trafficClass: 3 }),
    ],
  ];
  if (encap !== 'ipip') {
    const nested = scene.wrapped(scene.inner({ port: PORTS[encap] }));
    cases.push(['a tunnel in the tunnel', drop('nested'), scene.carried(nested)]);
  }
  if (encap === 'vxlan') {
    const inner = scene.inner();
    cases.push(
      ['another network', drop('wrong_vni'), scene.carried(scene.wrapped(inner, VNI + 1))],
      ['no VXLAN', drop('bad_header'), scene.carried(scene.wrapped(inner, VNI, { flags: 0 }))],
      ['four bytes', drop('runt'), scene.carried(Buffer.alloc(4))],
    );
  }
  // What is delivered is told by its ECN: containers ask each other by ARP meanwhile, which has none.
  for (const [name, effect, frame] of cases) {
    const seen = await scene.effect(frame, /^ingress\.drop|^ecn\./);
    t.same(seen, effect, name);
  }
}

async function outerHeader(t: Test, scene: Scene): Promise<void> {
  const labels = new Set<number>();
  for (let port = 7000; port < 7008; port++) {
    const packet = await scene.send(500, port);
    if (packet === undefined) throw new Error('nothing went out');
    labels.add(packet.readUInt32BE(0) & 0xfffff);
    t.equal(packet[7], 64, 'hop limit');
  }
  t.notOk(labels.has(0), 'every packet has a flow label');
  t.ok(labels.size > 1, `and not all flows the same: ${labels.size} of 8`);
}

async function forgeries(t: Test, scene: Scene): Promise<void> {
  const { encap, rig } = scene;
  const small = await scene.send(900);
  if (small === undefined) throw new Error('nothing went out');
  t.same(await scene.forge(2, 0, 1300, small), { 'event.icmp_ignored': 1 }, 'more than we sent');
  const quote = await scene.send(1400);
  if (quote === undefined) throw new Error('nothing went out');
  const ignored = { 'event.icmp_ignored': 1 };
  t.same(await scene.forge(2, 0, 1300, changed(quote, 39, 0x77)), ignored, 'never sent there');
  const innerAt = OVERHEAD_BYTES[encap];
  t.same(
    await scene.forge(2, 0, 1300, changed(quote, innerAt + 14, 99)),
    ignored,
    'about a packet from elsewhere inside',
  );
  if (encap === 'vxlan') {
    t.same(await scene.forge(2, 0, 1300, changed(quote, 53, 1)), ignored, 'of another network');
  }
  t.same(
    await scene.forge(2, 0, 600, quote),
    { 'event.pmtu_lowered': 1 },
    'what may be true is believed, as far as IPv6 allows',
  );
  t.match((await statusOf(rig.a)).paths, [{ peer: PEER, mtu: 1280, mtuFrom: 'icmp' }]);
  t.equal(await scene.send(1400), undefined, 'nothing larger goes there now');
  t.ok(await scene.send(1280 - innerAt), 'what fits does');
  if (encap !== 'ipip') {
    const again = await scene.send(800);
    if (again === undefined) throw new Error('nothing went out');
    t.same(await scene.forge(1, 4, 0, again), { 'event.port_unreachable': 1 }, 'nobody listens');
  }
}

for (const encap of ['vxlan', 'fou', 'ipip'] as const) {
  const why = skip || (encap !== 'vxlan' && skipLong);
  t.test(`${encap} over IPv6: crafted packets and forged ICMPv6`, { skip: why }, async (t) => {
    const scene = await Scene.make(t, encap);
    await crafted(t, scene);
    await outerHeader(t, scene);
    await forgeries(t, scene);
    await checkBalance(t, scene.rig.a);
  });
}
