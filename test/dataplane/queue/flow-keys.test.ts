/** Flow keys by the packet: every encapsulation, both families inside, both families outside. */
import t from 'tap';
import { encapById, LinkEncap } from '../../../src/encap/encap.ts';
import { vniOf6 } from '../../../src/net/fan6.ts';
import { FLOW_KEY_NAMES, type FlowKeyName, flowKeyBits } from '../../../src/net/flow-keys.ts';
import { parsePrefix6 } from '../../../src/net/prefix6.ts';
import { unaccounted } from '../../../src/table/counters.ts';
import { makeEgress, makeRig, RIG } from '../../fuzz/dataplane-rig.ts';
import { ethernet } from '../../support/bytes.ts';
import { ipv6 } from '../../support/bytes6.ts';
import { packet } from '../../vectors/craft.ts';
import { Sends } from '../sends.ts';

const SLOT_BYTES = 4096;
/** 64 kb/s: nothing leaves while packets are offered. */
const RATE_BYTES = 8000;
const OVERLAY6 = parsePrefix6('fd00:fa::/32');
const [FIRST_SOCKET, SECOND_SOCKET] = [-1, -2];
const PAYLOAD_BYTES = 200;

type Family = 4 | 6;
/** What tells one packet from another; the ports are four bytes at the head of the payload. */
type Flow = { source: number; destination: number; protocol: number; ports: number };

const ONE: Flow = { source: 2, destination: 2, protocol: 17, ports: 0x03e8_0035 };
/** The same but for what one key says. */
const OTHERS: Readonly<Record<FlowKeyName, Flow>> = {
  'tunnel-src': { ...ONE, source: 3 },
  'tunnel-dst': { ...ONE, destination: 3 },
  'tunnel-proto': { ...ONE, protocol: 136 },
  'tunnel-proto-src': { ...ONE, ports: 0x03e9_0035 },
  'tunnel-proto-dst': { ...ONE, ports: 0x03e8_0036 },
};

/** A packet of a container of the sender's to one of the receiver's. */
function inner(family: Family, { source, destination, protocol, ports }: Flow, fragment = false) {
  const payload = Buffer.alloc(PAYLOAD_BYTES);
  payload.writeUInt32BE(ports, 0);
  payload.writeUInt16BE(PAYLOAD_BYTES, 4);
  if (family === 4) {
    return packet({
      ...{ source: 0xfa001b00 + source, destination: 0xfa001c00 + destination, protocol },
      ...{ payload: payload.toString('hex'), ...(fragment && { fragment: 0x2000 }) },
    });
  }
  const piece = [44, Buffer.from([0, 0, 0, 1, 0, 0, 0, 9])] as const;
  const ends = { source: `fd00:fa:1b::${source}`, destination: `fd00:fa:1c::${destination}` };
  return ipv6({ ...ends, protocol, ...(fragment && { extensions: [piece] }) }, payload);
}

/** The way out of a host over one family with the other or the same inside, with a rate. */
function makeScene(encap: keyof typeof LinkEncap, outside: Family, inside: Family) {
  const [overlay6Word0, overlay6Word1, overlay6Word2, overlay6Word3] = OVERLAY6.address;
  const rig = makeRig(
    encap,
    false,
    RIG.sender,
    undefined,
    {
      ...{ overlay6Word0, overlay6Word1, overlay6Word2, overlay6Word3 },
      ...{ overlay6Length: OVERLAY6.length, vni6: encap === 'Vxlan' ? vniOf6(OVERLAY6) : 0 },
      innerMtu: 1280,
    },
    {
      sockets: encap === 'Ipip' ? [FIRST_SOCKET, SECOND_SOCKET] : [FIRST_SOCKET],
      ...(outside === 6 && { isIpv6: 1, localWord0: 0xfd000030 }),
    },
  );
  const egress = makeEgress(rig);
  const sends = new Sends(rig);
  const slot = rig.arena.allocate(SLOT_BYTES) + 64;
  rig.link.rateBytes = RATE_BYTES;
  const etherType = inside === 6 ? 0x86dd : 0x0800;
  let nowMs = 0;
  const offer = (bytes: Uint8Array): void => {
    const isFrame = encap === 'Vxlan';
    const whole = isFrame ? ethernet(0x0242fa001c02, 0x0242fa001b02, etherType, bytes) : bytes;
    rig.arena.bytes.set(whole, slot);
    egress.queues.nextBurst(nowMs);
    egress.packet(rig.link, slot, whole.length);
    egress.flush();
  };
  const settle = (): void => {
    for (; egress.queues.waiting > 0; nowMs += 10) egress.queues.release(nowMs);
  };
  // What may go at once has gone: from here on all have to wait.
  while (egress.queues.waiting === 0) offer(inner(inside, ONE));
  settle();
  return {
    ...{ rig, sends },
    /** How many queues some packets have, each offered three times while nothing leaves. */
    queues(names: readonly FlowKeyName[], ...packets: Uint8Array[]): number {
      rig.link.flowKeys = flowKeyBits(names);
      const { 'queue.flows_began': before = 0 } = rig.counters();
      for (let i = 0; i < 3; i++) packets.forEach(offer);
      settle();
      return (rig.counters()['queue.flows_began'] ?? 0) - before;
    },
  };
}

/** Over IPv4 and over IPv6. */
const NAMES = {
  Ipip: ['ip', 'ip6'],
  Vxlan: ['vxlan', 'vxlan over ip6'],
  Fou: ['fou', 'fou over ip6'],
} as const;

for (const encap of ['Ipip', 'Vxlan', 'Fou'] as const) {
  for (const [outside, index] of [
    [4, 0],
    [6, 1],
  ] as const) {
    for (const inside of [4, 6] as const) {
      const title = `${NAMES[encap][index]}-${inside === 4 ? 'ip' : 'ip6'}`;
      t.test(`${title}: queues by each key of the packet inside`, async (t) => {
        const { rig, sends, queues } = makeScene(encap, outside, inside);
        t.teardown(() => sends.restore());
        const one = inner(inside, ONE);
        for (const name of FLOW_KEY_NAMES) {
          for (const [field, flow] of Object.entries(OTHERS)) {
            const found = queues([name], one, inner(inside, flow));
            t.equal(found, name === field ? 2 : 1, `${name}, packets that differ in ${field}`);
          }
        }
        for (const [field, flow] of Object.entries(OTHERS)) {
          t.equal(queues([], one, inner(inside, flow)), 2, `all of them, and another ${field}`);
        }

        // Without ports there are zeros in their place, whoever sends and wherever it goes.
        const zero = inner(inside, { ...ONE, ports: 0 });
        const esp = (ports: number) => inner(inside, { ...ONE, protocol: 50, ports });
        const [source, destination] = ['tunnel-proto-src', 'tunnel-proto-dst'] as const;
        t.equal(
          queues([], esp(1), esp(0xffff_ffff)),
          1,
          'ESP is one flow, whatever it begins with',
        );
        t.equal(queues([source, destination], esp(7), zero), 1, 'that of the ports 0 and 0');
        t.equal(queues([source, destination], esp(7), one), 2);
        const pieces = [1, 2].map((ports) => inner(inside, { ...ONE, ports }, true)) as [
          Uint8Array,
          Uint8Array,
        ];
        t.equal(queues([], ...pieces), 1, 'pieces of a packet are one flow');
        t.equal(queues([source, destination], pieces[0], zero), 1, 'of the ports 0 and 0');

        const { innerHeaderBytes, shimBytes } = encapById(LinkEncap[encap]);
        const l3 = shimBytes + innerHeaderBytes;
        t.ok(
          sends.sent.every(({ bytes, peer }) => {
            return bytes.readUInt8(l3) >> 4 === inside && peer === RIG.receiver;
          }),
          'each goes to the same host, its header where it was',
        );
        const raw = encap === 'Ipip' && inside === 6 ? SECOND_SOCKET : FIRST_SOCKET;
        t.ok(
          sends.sent.every(({ socket }) => socket === raw),
          'by the socket whose protocol says what is inside',
        );
        const counters = rig.counters();
        t.equal(counters['queue.entered'], counters['queue.left']);
        t.equal(sends.sent.length, counters['egress.received']);
        t.equal(unaccounted(counters, 'egress'), 0);
      });
    }
  }
}
