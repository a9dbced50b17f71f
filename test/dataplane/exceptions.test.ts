import { closeSync, openSync } from 'node:fs';
import t from 'tap';
import { Coalescer } from '../../src/dataplane/ingress/deliver/coalesce.ts';
import { DeviceWriter } from '../../src/dataplane/ingress/deliver/device-writer.ts';
import { Ingress } from '../../src/dataplane/ingress/ingress.ts';
import { balance, makeEgress, makeRig, RIG } from '../fuzz/dataplane-rig.ts';
import { nameOf } from '../support/peers.ts';
import { arp, FAN, frame, packet, vxlan } from '../vectors/craft.ts';
import { Sends } from './sends.ts';

/** A third host, its slice, and a container that has moved to it from the receiver's slice. */
const THIRD = 0xac1e001d;
const THIRD_CONTAINER = 0xfa001d02;
const MOVED = 0xfa001c07;
const EXCEPTIONS = [{ address: MOVED, length: 32, peer: THIRD }];

const HEADROOM_BYTES = 64;
const VNET_BYTES = 10;

const { sender, receiver, source, destination } = FAN;
const OUTSIDE = 0x08080808;

/** Where a frame that leaves `local` goes to: a peer, or the name of the drop. */
function egressOf(local: number, bytes: Uint8Array, exceptions = EXCEPTIONS): string {
  const { arena, layout, peers, ports, tables, link, counters } = makeRig('Vxlan', true, local);
  tables.add(link.id, exceptions);
  const egress = makeEgress({ arena, layout, peers });
  const sends = new Sends({ arena, ports });
  try {
    const at = arena.allocate(4096) + HEADROOM_BYTES;
    arena.bytes.fill(0, at - VNET_BYTES, at);
    arena.bytes.set(bytes, at);
    egress.packet(link, at, bytes.length);
    egress.flush();
  } finally {
    sends.restore();
  }
  if (balance(link.counters, 'egress') !== 0) return 'the balance does not hold';
  const [sent] = sends.sent;
  if (sent !== undefined) return sent.peer.toString(16);
  return dropOf(counters(), 'egress');
}

function dropOf(counters: Record<string, number>, direction: string): string {
  const [drop] = Object.entries(counters).filter(
    ([name, count]) => count !== 0 && name.startsWith(`${direction}.drop.`),
  );
  return drop?.[0].slice(direction.length + 1) ?? 'nothing';
}

/** What becomes of a frame that `from` sends to the host `local`. */
function ingressOf(local: number, from: number, bytes: Uint8Array): string {
  const device = openSync('/dev/null', 'w');
  try {
    const { arena, layout, tables, endpoint, link, counters } = makeRig(
      'Vxlan',
      true,
      local,
      device,
    );
    tables.add(link.id, EXCEPTIONS);
    const coalescer = new Coalescer(arena, new DeviceWriter(arena, layout));
    const ingress = new Ingress(arena, coalescer, [link]);
    const at = arena.allocate(4096);
    const whole = vxlan(bytes);
    arena.bytes.set(whole, at);
    ingress.message(endpoint, at, whole.length, nameOf(arena, from), 0, 0);
    coalescer.flush();
    if (balance(link.counters, 'ingress') !== 0) return 'the balance does not hold';
    return counters()['ingress.delivered'] === 1 ? 'delivered' : dropOf(counters(), 'ingress');
  } finally {
    closeSync(device);
  }
}

/** An ARP message that `from` sends about `to`; only the addresses matter here. */
function arpOf(from: number, to: number): Uint8Array {
  const hex = (address: number): string => address.toString(16).padStart(8, '0');
  return arp(`0001 0800 06 04 0001 0242fa001b02 ${hex(from)} 000000000000 ${hex(to)}`);
}

function ip(from: number, to: number): Uint8Array {
  return frame(packet({ source: from, destination: to }));
}

t.test('what has moved is sent to where it is now', async (t) => {
  t.equal(egressOf(sender, ip(source, MOVED)), THIRD.toString(16), 'by exception');
  t.equal(egressOf(sender, ip(source, destination)), receiver.toString(16), 'by arithmetic');
  t.equal(egressOf(sender, ip(source, MOVED), []), receiver.toString(16), 'once it is back');
  t.equal(egressOf(receiver, ip(destination, MOVED)), THIRD.toString(16), 'from its old home too');
  t.equal(egressOf(THIRD, ip(THIRD_CONTAINER, MOVED)), 'drop.local_destination', 'at its new home');
});

t.test('who has it now may send from it, its old home may not', async (t) => {
  t.equal(egressOf(THIRD, ip(MOVED, source)), sender.toString(16));
  t.equal(egressOf(receiver, ip(MOVED, source)), 'drop.foreign_source');
  t.equal(egressOf(sender, ip(MOVED, destination)), 'drop.foreign_source', 'nor anybody else');
});

t.test('the strict source check follows it', async (t) => {
  t.equal(ingressOf(sender, THIRD, ip(MOVED, source)), 'delivered');
  t.equal(ingressOf(sender, receiver, ip(MOVED, source)), 'drop.foreign_source', 'its old home');
  t.equal(ingressOf(sender, THIRD, ip(destination, source)), 'drop.foreign_source', 'a neighbour');
  t.equal(ingressOf(sender, receiver, ip(destination, source)), 'delivered', 'who stayed');
  t.equal(ingressOf(sender, THIRD, ip(OUTSIDE, source)), 'drop.foreign_source');
});

t.test('it is received at its new home and nowhere else', async (t) => {
  t.equal(ingressOf(THIRD, sender, ip(source, MOVED)), 'delivered');
  t.equal(ingressOf(receiver, sender, ip(source, MOVED)), 'drop.foreign_destination');
  t.equal(ingressOf(receiver, sender, ip(source, destination)), 'delivered');
});

t.test('ARP asks and answers for it the same way', async (t) => {
  const ask = arpOf(source, MOVED);
  t.equal(egressOf(sender, ask), THIRD.toString(16), 'the question goes to its new home');
  t.equal(ingressOf(THIRD, sender, ask), 'delivered');
  t.equal(ingressOf(receiver, sender, ask), 'drop.foreign_destination');
  const answer = arpOf(MOVED, source);
  t.equal(egressOf(THIRD, answer), sender.toString(16), 'and the answer comes from there');
  t.equal(ingressOf(sender, THIRD, answer), 'delivered');
  t.equal(ingressOf(sender, receiver, answer), 'drop.foreign_source', 'not from its old home');
});

t.test('a whole slice on another host', async (t) => {
  const slice = [{ address: destination, length: 24, peer: THIRD }];
  t.equal(egressOf(sender, ip(source, destination), slice), THIRD.toString(16));
  const back = [...slice, { address: destination, length: 32, peer: RIG.receiver }];
  t.equal(egressOf(sender, ip(source, destination), back), receiver.toString(16), 'all but one');
});
