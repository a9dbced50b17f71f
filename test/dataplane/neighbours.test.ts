import { closeSync, openSync, readFileSync } from 'node:fs';
import t from 'tap';
import { Neighbours } from '../../src/dataplane/answer/neighbours.ts';
import { TooBig } from '../../src/dataplane/answer/too-big.ts';
import { Egress } from '../../src/dataplane/egress/egress.ts';
import { Coalescer } from '../../src/dataplane/ingress/deliver/coalesce.ts';
import { DeviceWriter } from '../../src/dataplane/ingress/deliver/device-writer.ts';
import { Ingress } from '../../src/dataplane/ingress/ingress.ts';
import { ErrorQueue } from '../../src/dataplane/send/errors.ts';
import { PathMtu } from '../../src/dataplane/send/path-mtu.ts';
import { Trains } from '../../src/dataplane/send/trains.ts';
import { TALKERS_MAX } from '../../src/table/talkers.ts';
import { balance, makeRig, RIG } from '../fuzz/dataplane-rig.ts';
import { nameOf } from '../support/peers.ts';
import { arp, vxlan } from '../vectors/craft.ts';
import { DeviceFile } from './device-file.ts';
import { Sends } from './sends.ts';

const HEADROOM_BYTES = 64;
const ADDRESS = 'fa001c0a';
const NEW_MAC = '0242fa00aaaa';

const hex = (value: number): string => value.toString(16).padStart(8, '0');

t.test('a gratuitous ARP goes to those who asked for the address, as an answer', async (t) => {
  const device = openSync('/dev/null', 'w');
  const rig = makeRig('Vxlan', true, RIG.receiver, device);
  const { arena, layout, peers, ports, link, endpoint, counters } = rig;
  const sends = new Sends({ arena, ports });
  t.teardown(() => {
    sends.restore();
    closeSync(device);
  });
  const neighbours = new Neighbours(arena);
  const paths = new PathMtu(peers, { configured: () => 0, current: () => 0 });
  const trains = new Trains(arena, layout, paths, new ErrorQueue(arena, peers));
  const egress = new Egress(layout, {
    arena,
    trains,
    paths,
    tooBig: new TooBig(arena),
    neighbours,
  });
  const coalescer = new Coalescer(arena, new DeviceWriter(arena, layout));
  const ingress = new Ingress(arena, coalescer, [link], neighbours);
  const at = arena.allocate(4096) + HEADROOM_BYTES;
  // Nothing can be read from this device, but it sets the time.
  egress.readBurst(link, 1000);

  /** A container on the host `peer`, by the last number of its address, asks for ours. */
  const ask = (peer: number, number: number): void => {
    const asker = hex((0xfa000000 | ((peer & 0xffff) << 8) | number) >>> 0);
    const request = arp(
      `0001 0800 06 04 0001 0242fa0000${asker.slice(6)} ${asker} ${'0'.repeat(12)} ${ADDRESS}`,
    );
    const bytes = vxlan(request);
    arena.bytes.set(bytes, at);
    ingress.begin(1000, 0);
    ingress.message(endpoint, at, bytes.length, nameOf(arena, peer), 0, 0);
    ingress.flush();
  };
  /** The container announces itself; who hears of it. */
  const announce = (operation: number, address = ADDRESS): string[] => {
    sends.sent.length = 0;
    const words = `0001 0800 06 04 000${operation} ${NEW_MAC} ${address} ${'0'.repeat(12)} ${address}`;
    const bytes = arp(words);
    bytes.set(Buffer.from(NEW_MAC, 'hex'), 6);
    arena.bytes.fill(0, at - 10, at);
    arena.bytes.set(bytes, at);
    egress.packet(link, at, bytes.length);
    egress.flush();
    t.equal(balance(link.counters, 'egress'), 0, 'every copy is accounted for');
    return sends.sent.map(({ peer, bytes }) => `${hex(peer)} ${bytes.toString('hex')}`).sort();
  };

  t.same(announce(1), [], 'nobody has spoken with it');
  t.equal(counters()['egress.drop.local_destination'], 1);
  ask(RIG.sender, 5);
  ask(RIG.sender, 5);
  ask(0xac1e0101, 6);
  const shim = '08000000fa000000';
  const reply = `080600010800060400020242fa00aaaa${ADDRESS}`;
  const wanted = [
    `ac1e001b ${shim}0242fa000005${NEW_MAC}${reply}0242fa000005fa001b05`,
    `ac1e0101 ${shim}0242fa000006${NEW_MAC}${reply}0242fa000006fa010106`,
  ];
  t.same(announce(1), wanted);
  t.equal(counters()['event.neighbour_told'], 2);
  t.equal(counters()['egress.received'], 3, 'a copy is a packet');
  t.same(announce(2), [], 'not twice in a moment');
  t.same(announce(1, 'fa001c0b'), [], 'another address is no news for them');
  t.same(announce(1, 'fa001d0b'), [], "nor is another host's");

  for (let number = 1; number < 255; number++) ask(0xac1e0203, number);
  for (let number = 1; number < 255; number++) ask(0xac1e0204, number);
  t.ok(announce(1).length <= TALKERS_MAX, 'bounded');
  t.equal(balance(link.counters, 'ingress'), 0);
});

t.test('where MACs follow from addresses, ARP is answered here', async (t) => {
  const device = new DeviceFile(true, 14);
  const rig = makeRig('Vxlan', true, RIG.receiver, device.fd, { derivesMacs: 1 });
  const { arena, layout, peers, ports, link, counters } = rig;
  const sends = new Sends({ arena, ports });
  t.teardown(() => {
    sends.restore();
    device.close();
  });
  const paths = new PathMtu(peers, { configured: () => 0, current: () => 0 });
  const trains = new Trains(arena, layout, paths, new ErrorQueue(arena, peers));
  const egress = new Egress(layout, { arena, trains, paths, tooBig: new TooBig(arena) });
  const at = arena.allocate(4096) + HEADROOM_BYTES;
  egress.readBurst(link, 1000);
  const asker = '0242fa001c0a';
  /** A container of ours asks; what came back, and how many messages went out. */
  const ask = (target: string, operation = 1, to = 'ffffffffffff'): [string, number] => {
    sends.sent.length = 0;
    device.empty();
    const words = `0001 0800 06 04 000${operation} ${asker} ${ADDRESS} ${'0'.repeat(12)} ${target}`;
    const bytes = arp(words);
    bytes.set(Buffer.from(to, 'hex'), 0);
    bytes.set(Buffer.from(asker, 'hex'), 6);
    arena.bytes.fill(0, at - 10, at);
    arena.bytes.set(bytes, at);
    egress.packet(link, at, bytes.length);
    egress.flush();
    t.equal(balance(link.counters, 'egress'), 0);
    return [readFileSync(device.path).subarray(10).toString('hex'), sends.sent.length];
  };
  const mac = '0242fa001b05';
  const answer = `${asker}${mac}08060001080006040002${mac}fa001b05${asker}${ADDRESS}`;
  t.same(ask('fa001b05'), [answer, 0], 'answered, and nothing goes out');
  t.equal(counters()['egress.drop.answered'], 1);
  t.equal(counters()['event.arp_answered'], 1);
  const zero = '0242fa001b00';
  t.match(ask('fa001b00')[0], new RegExp(`^${asker}${zero}`), '.0 is an address like others');
  t.same(ask('fa001b01'), ['', 1], "the far host's own address is its bridge's");
  t.same(ask('fa001b05', 1, mac), ['', 1], 'by unicast: is it there still?');
  t.same(ask('fa001b05', 2), ['', 1], 'an answer is none to answer');
  t.same(ask('fa001c0b'), ['', 0], 'one of ours answers by itself');
  t.same(ask('fb001b05'), ['', 0], 'not of the overlay');
});
