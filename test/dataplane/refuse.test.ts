import { closeSync, openSync } from 'node:fs';
import t from 'tap';
import { Coalescer } from '../../src/dataplane/ingress/deliver/coalesce.ts';
import { DeviceWriter } from '../../src/dataplane/ingress/deliver/device-writer.ts';
import { Ingress } from '../../src/dataplane/ingress/ingress.ts';
import type { LinkEncap } from '../../src/encap/encap.ts';
import { balance, makeRig, RIG, type Rig } from '../fuzz/dataplane-rig.ts';
import { nameOf } from '../support/peers.ts';
import { FAN, frame, packet, vxlan } from '../vectors/craft.ts';
import { type Refused, ROUTED_REFUSED, VXLAN_REFUSED } from '../vectors/refused.ts';

type EncapKey = keyof typeof LinkEncap;

/** The outer header that a raw socket shows; the kernel has checked it. */
function outerHeader(source: number, tos: number, innerBytes: number): Uint8Array {
  return packet({
    source,
    destination: FAN.receiver,
    protocol: 4,
    tos,
    payload: '00'.repeat(innerBytes),
  }).subarray(0, 20);
}

/** A receiving host whose device swallows everything. */
class Receiver {
  readonly rig: Rig;
  readonly #ingress: Ingress;
  readonly #coalescer: Coalescer;
  readonly #at: number;
  readonly #encap: EncapKey;
  readonly #deviceFd: number;

  constructor(encap: EncapKey) {
    this.#deviceFd = openSync('/dev/null', 'w');
    this.rig = makeRig(encap, true, RIG.receiver, this.#deviceFd);
    this.#encap = encap;
    this.#coalescer = new Coalescer(
      this.rig.arena,
      new DeviceWriter(this.rig.arena, this.rig.layout),
    );
    this.#ingress = new Ingress(this.rig.arena, this.#coalescer, [this.rig.link]);
    this.#at = this.rig.arena.allocate(70_000);
  }

  /** Counters that moved, bytes left aside, after one datagram. */
  take({
    bytes,
    source = FAN.sender,
    tos = 0,
  }: Pick<Refused, 'bytes' | 'source' | 'tos'>): string[] {
    const { arena, endpoint, link, counters } = this.rig;
    const raw = this.#encap === 'Ipip';
    const whole = raw
      ? Uint8Array.from([...outerHeader(source, tos, bytes.length), ...bytes])
      : bytes;
    link.counters.fill(0);
    arena.bytes.fill(0xee, this.#at, this.#at + whole.length + 64);
    arena.bytes.set(whole, this.#at);
    this.#ingress.message(endpoint, this.#at, whole.length, nameOf(this.rig.arena, source), tos, 0);
    this.#coalescer.flush();
    if (balance(link.counters, 'ingress') !== 0) return ['the balance does not hold'];
    return Object.entries(counters())
      .filter(([name, count]) => count !== 0 && /^ingress\.(drop\.|delivered$)/.test(name))
      .map(([name]) => name.slice('ingress.'.length));
  }

  close(): void {
    closeSync(this.#deviceFd);
  }
}

const TABLES: readonly [EncapKey, readonly Refused[]][] = [
  ['Vxlan', VXLAN_REFUSED],
  ['Fou', ROUTED_REFUSED],
  ['Ipip', ROUTED_REFUSED],
];

for (const [encap, rows] of TABLES) {
  t.test(`${encap}: each crafted datagram hits its own counter`, async (t) => {
    const receiver = new Receiver(encap);
    t.teardown(() => receiver.close());
    t.ok(rows.length >= 80, `${rows.length} crafted datagrams`);
    for (const row of rows)
      t.same(receiver.take(row), [row.counter], `${row.what}: ${row.counter}`);
  });
}

/** What a combination of addresses must end as, written as rules and not as the code has them. */
function verdict(encap: string, outer: string, from: string, to: string): string {
  if (outer === 'ourselves') return 'drop.own_source';
  if (outer === 'stranger') return 'drop.stranger';
  if (to === 'multicast') return 'drop.multicast';
  if (to === 'all ones') return 'drop.broadcast';
  // A host speaks for its own slice and for nothing else.
  const owns =
    (outer === 'peer' && from === 'peer slice') || (outer === 'third' && from === 'third slice');
  if (!owns) return 'drop.foreign_source';
  if (to === 'our slice') return 'delivered';
  // Bridged, the overlay is one network and a slice's .255 an address like others.
  if (to === 'our broadcast' && encap === 'Vxlan') return 'delivered';
  return to === 'our broadcast' ? 'drop.broadcast' : 'drop.foreign_destination';
}

const OUTER: Record<string, number> = {
  peer: FAN.sender,
  third: 0xac1e001d,
  ourselves: FAN.receiver,
  stranger: 0x08080808,
};
const FROM: Record<string, number> = {
  'peer slice': FAN.source,
  'third slice': 0xfa001d02,
  'our slice': 0xfa001c03,
  'outside the overlay': 0x08080808,
  'the underlay': FAN.sender,
  loopback: 0x7f000001,
  multicast: 0xe0000001,
  zero: 0,
};
const TO: Record<string, number> = {
  'our slice': FAN.destination,
  'our broadcast': 0xfa001cff,
  'third slice': 0xfa001d02,
  'peer slice': 0xfa001b03,
  'outside the overlay': 0x08080808,
  'our underlay address': FAN.receiver,
  multicast: 0xe0000001,
  'all ones': 0xffffffff,
};

for (const encap of ['Vxlan', 'Fou', 'Ipip'] as const) {
  t.test(`${encap}: 256 combinations of outer and inner addresses`, async (t) => {
    const receiver = new Receiver(encap);
    t.teardown(() => receiver.close());
    let combinations = 0;
    let delivered = 0;
    for (const [outer, source] of Object.entries(OUTER)) {
      for (const [from, innerSource] of Object.entries(FROM)) {
        for (const [to, destination] of Object.entries(TO)) {
          const inner = packet({ source: innerSource, destination });
          const bytes = encap === 'Vxlan' ? vxlan(frame(inner)) : inner;
          const wanted = verdict(encap, outer, from, to);
          const met = receiver.take({ bytes, source });
          if (met.join() !== wanted) t.same(met, [wanted], `${outer}: ${from} to ${to}`);
          combinations += 1;
          if (wanted === 'delivered') delivered += 1;
        }
      }
    }
    t.equal(combinations, 256);
    const addresses = encap === 'Vxlan' ? 2 : 1;
    t.equal(delivered, 2 * addresses, 'only each slice from its own host to ours');
  });
}
