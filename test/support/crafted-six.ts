/**
 * Crafted IPv6 packets inside a tunnel, each with the end that it must meet: the battery of IPv4 for the
 * other family, and Neighbour Discovery in the place of ARP.
 * @module
 */
import { ethernet, vxlan } from './bytes.ts';
import {
  address6,
  advertise,
  groupMac,
  type Ipv6Fields,
  icmp6,
  ipv6,
  linkOption,
  type NdFields,
  solicit,
  tcp6,
  udp6,
} from './bytes6.ts';
import { type End, fragments, type Ground, INNER_MAC, outer, type Probe } from './probes.ts';

/** What of the ground is IPv6: addresses as text. */
export type Ground6 = Ground & {
  vni6: number;
  /** A container behind the peer, one behind another peer, one behind the victim. */
  inner6: string;
  otherInner6: string;
  container6: string;
  /** The victim's own address in the overlay. */
  gateway6: string;
};

const OUTSIDE = '2001:db8::8';
const LINK_LOCAL = 'fe80::10';

/** An honest datagram from peer to container; `fields` say what differs. */
function honest(ground: Ground6, fields: Partial<Ipv6Fields> = {}, port = 9000): Buffer {
  const ends = { source: ground.inner6, destination: ground.container6, ...fields };
  return ipv6({ ...ends, ...fields }, udp6(ends, { destinationPort: port }, Buffer.from('probe')));
}

/** An IPv6 packet as the encapsulation carries it, in an honest datagram of the peer's. */
function carry6(
  ground: Ground6,
  packet: Uint8Array,
  header: { destination?: number; source?: number; tos?: number; vni?: number } = {},
): Buffer {
  const { tos = 0, vni = ground.vni6 } = header;
  if (ground.encap !== 'vxlan') return outer(ground, packet, { tos });
  const { destination = ground.containerMac, source = INNER_MAC } = header;
  return outer(ground, vxlan(vni, ethernet(destination, source, 0x86dd, packet)), { tos });
}

/** Every crafted IPv6 packet; names are unique. */
export function craftedSix(ground: Ground6): Probe[] {
  return [
    ...headerProbes(ground),
    ...extensionProbes(ground),
    ...addressProbes(ground),
    ...transportProbes(ground),
    ...(ground.encap === 'vxlan' ? [...frameProbes(ground), ...neighbourProbes(ground)] : []),
  ];
}

/** Collects probes under names that begin alike. */
function collect(ground: Ground6, what: string) {
  const probes: Probe[] = [];
  const add = (
    name: string,
    end: End,
    packet: Uint8Array,
    header: Parameters<typeof carry6>[2] & { answered?: boolean } = {},
  ): void => {
    const { answered = false } = header;
    const frames = [carry6(ground, packet, header)];
    probes.push({ name: `${what} ${name}`, end, frames, answered });
  };
  return { probes, add };
}

function headerProbes(ground: Ground6): Probe[] {
  const { probes, add } = collect(ground, 'IPv6');
  add('honest', 'delivered', honest(ground));
  add('of 39 bytes', 'runt', honest(ground).subarray(0, 39));
  add('of 1 byte', 'runt', honest(ground).subarray(0, 1));
  // A routed link knows the family by the version alone.
  if (ground.encap === 'vxlan') add('version 4', 'malformed', honest(ground, { version: 4 }));
  add('version 7', 'malformed', honest(ground, { version: 7 }));
  add('payload length one too many', 'malformed', honest(ground, { payloadBytes: 14 }));
  add('payload length 65535', 'malformed', honest(ground, { payloadBytes: 65535 }));
  const options = Buffer.from([0, 0, 1, 4, 0, 0, 0, 0]);
  const jumbo = honest(ground, { payloadBytes: 0, extensions: [[0, options]] });
  add('jumbogram', 'malformed', jumbo);
  // A routed fan's host has to forward it, and says that it cannot.
  const answered = ground.encap !== 'vxlan';
  add('hop limit 1', 'delivered', honest(ground, { hopLimit: 1 }), { answered });
  add('flow label', 'delivered', honest(ground, { flowLabel: 0xabcde }));
  add('congestion told to who cannot hear it', 'ecn_not_capable', honest(ground), { tos: 3 });
  add('congestion', 'delivered', honest(ground, { trafficClass: 2 }), { tos: 3 });
  return probes;
}

/** A header of options that do nothing: `units` more than the first eight bytes. */
function idle(units = 0): Buffer {
  const bytes = Buffer.alloc(8 * (units + 1));
  bytes[1] = units;
  bytes[2] = 1;
  bytes[3] = bytes.length - 4;
  return bytes;
}

function fragmentHeader(offset: number, more: boolean, id = 7): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt16BE((offset & 0xfff8) | (more ? 1 : 0), 2);
  bytes.writeUInt32BE(id, 4);
  return bytes;
}

function extensionProbes(ground: Ground6): Probe[] {
  const { probes, add } = collect(ground, 'extension');
  const behind = (
    name: string,
    end: End,
    extensions: Ipv6Fields['extensions'],
    fields: Partial<Ipv6Fields> = {},
  ): void => add(name, end, honest(ground, { ...fields, ...(extensions && { extensions }) }));
  behind('hop-by-hop', 'delivered', [[0, idle()]]);
  behind('destination options', 'delivered', [[60, idle(2)]]);
  behind('both', 'delivered', [
    [0, idle()],
    [60, idle()],
  ]);
  behind('hop-by-hop not first', 'malformed', [
    [60, idle()],
    [0, idle()],
  ]);
  for (const type of [0, 2, 3, 4]) {
    const route = idle(2);
    route[2] = type;
    behind(`routing header of type ${type}`, 'malformed', [[43, route]]);
  }
  behind(
    'eight headers',
    'delivered',
    Array.from({ length: 8 }, () => [60, idle()] as const),
  );
  behind(
    'nine headers',
    'malformed',
    Array.from({ length: 9 }, () => [60, idle()] as const),
  );
  behind(
    'sixty headers',
    'malformed',
    Array.from({ length: 60 }, () => [60, idle()] as const),
  );
  const long = idle();
  long[1] = 255;
  behind('header longer than the packet', 'malformed', [[60, long]]);
  const ends = { source: ground.inner6, destination: ground.container6 };
  add('header cut off', 'malformed', ipv6({ ...ends, protocol: 60 }, Buffer.alloc(7)));
  add('nothing behind the headers', 'delivered', ipv6({ ...ends, protocol: 59 }));
  const authentication = Buffer.alloc(16);
  authentication[1] = 2;
  behind('authentication', 'delivered', [[51, authentication]]);

  const piece = (offset: number, more: boolean, bytes: number, protocol = 17): Buffer =>
    ipv6(
      { ...ends, protocol, extensions: [[44, fragmentHeader(offset, more)]] },
      Buffer.alloc(bytes),
    );
  add('fragment that is sound', 'delivered', piece(0, true, 16));
  add('later fragment', 'delivered', piece(16, true, 16));
  add('last fragment', 'delivered', piece(24, false, 11));
  add('fragment that is the whole packet', 'delivered', piece(0, false, 16));
  add('middle fragment of 15 bytes', 'malformed', piece(0, true, 15));
  add('fragment of 0 bytes', 'malformed', piece(8, true, 0));
  add('fragment past 65,535', 'malformed', piece(0xfff8, false, 64));
  add('first TCP fragment of 8 bytes', 'malformed', piece(0, true, 8, 6));
  add('fragment header cut off', 'malformed', ipv6({ ...ends, protocol: 44 }, Buffer.alloc(4)));
  const hidden = fragmentHeader(0, true);
  const inPieces = ipv6(
    { ...ends, protocol: 60, extensions: [[44, hidden]] },
    Buffer.from([17, 9, 0, 0, 0, 0, 0, 0]),
  );
  add('chain that goes on in the next fragment', 'malformed', inPieces);
  return probes;
}

function addressProbes(ground: Ground6): Probe[] {
  const { probes, add } = collect(ground, 'address');
  const from = (name: string, source: string): void =>
    add(`source ${name}`, 'foreign_source', honest(ground, { source }));
  from("in another peer's slice", ground.otherInner6);
  from('our container', ground.container6);
  from('our own gateway', ground.gateway6);
  from('unspecified', '::');
  from('loopback', '::1');
  from('multicast', 'ff02::1');
  from('link-local', LINK_LOCAL);
  from('mapped IPv4', '::ffff:250.0.28.10');
  from('outside of the overlay', OUTSIDE);
  const to = (name: string, end: End, destination: string): void =>
    add(`destination ${name}`, end, honest(ground, { destination }));
  to('in its own slice', 'foreign_destination', ground.inner6);
  to("in another peer's slice", 'foreign_destination', ground.otherInner6);
  to('unspecified', 'foreign_destination', '::');
  to('loopback', 'foreign_destination', '::1');
  to('link-local', 'foreign_destination', LINK_LOCAL);
  to('outside of the overlay', 'foreign_destination', OUTSIDE);
  to('all nodes', 'multicast', 'ff02::1');
  to('all routers', 'multicast', 'ff02::2');
  to('a group of the site', 'multicast', 'ff05::1:3');
  to('our container', 'delivered', ground.container6);
  return probes;
}

function transportProbes(ground: Ground6): Probe[] {
  const { probes, add } = collect(ground, 'transport');
  const ends = { source: ground.inner6, destination: ground.container6 };
  const nested = (
    name: string,
    protocol: number,
    extensions: Ipv6Fields['extensions'] = [],
  ): void =>
    add(`${name} inside`, 'nested', ipv6({ ...ends, protocol, extensions }, honest(ground)));
  nested('IPv4 in IPv6', 4);
  nested('IPv6 in IPv6', 41);
  nested('GRE', 47);
  nested('IPv6 behind options', 41, [[60, idle()]]);
  nested('MPLS', 137);
  if (ground.encap !== 'ipip') {
    add('datagram of this tunnel inside', 'nested', honest(ground, {}, ground.port));
    const behind = honest(ground, { extensions: [[60, idle()]] }, ground.port);
    add('datagram of this tunnel behind options', 'nested', behind);
  }
  const wrong = (name: string, packet: Buffer): void => add(name, 'bad_checksum', packet);
  const udp = { destinationPort: 9000 };
  wrong('UDP checksum wrong', ipv6(ends, udp6(ends, { ...udp, checksum: 0x4242 })));
  wrong('UDP without checksum', ipv6(ends, udp6(ends, { ...udp, checksum: 0 })));
  const tcp = ipv6({ ...ends, protocol: 6 }, tcp6(ends, { checksum: 0x4242 }, Buffer.from('x')));
  wrong('TCP checksum wrong', tcp);
  const giant = (name: string, protocol: number): void => {
    const body = Buffer.alloc(ground.innerMtu);
    const packet =
      protocol === 17 ? ipv6(ends, udp6(ends, udp, body)) : ipv6({ ...ends, protocol }, body);
    probes.push({
      name: `${name} over our MTU`,
      end: 'too_big',
      frames: fragments(carry6(ground, packet), 800),
    });
  };
  giant('UDP', 17);
  giant('SCTP', 132);
  return probes;
}

function frameProbes(ground: Ground6): Probe[] {
  const { probes, add } = collect(ground, 'frame');
  add('to broadcast', 'broadcast', honest(ground), { destination: 0xffffffffffff });
  add('to a group', 'broadcast', honest(ground), { destination: 0x333300000001 });
  add('from a group', 'bad_mac', honest(ground), { source: 0x333300000001 });
  add('in the network of IPv4', 'wrong_vni', honest(ground), { vni: ground.vni });
  add('in no network', 'wrong_vni', honest(ground), { vni: ground.vni6 ^ 1 });
  return probes;
}

const ALL_NODES = 'ff02::1';

function neighbourProbes(ground: Ground6): Probe[] {
  const { probes, add } = collect(ground, 'neighbour');
  const { inner6, container6, gateway6 } = ground;
  const ask = (name: string, end: End, fields: Partial<NdFields & { source: string }>): void => {
    const whole = { source: inner6, target: container6, ...fields };
    const packet = solicit({ options: linkOption(1, INNER_MAC), ...whole });
    const answered = fields.target === gateway6;
    add(`question ${name}`, end, packet, { destination: toMac(packet), answered });
  };
  /** The MAC that an IPv6 destination has on the wire. */
  const toMac = (packet: Buffer): number => {
    if (packet[24] !== 0xff) return ground.containerMac;
    return 0x3333_0000_0000 + packet.readUInt32BE(36);
  };
  const answer = (
    name: string,
    end: End,
    fields: Partial<NdFields & { destination: string }>,
  ): void => {
    const whole = { destination: container6, target: inner6, ...fields };
    const packet = advertise({ options: linkOption(2, INNER_MAC), ...whole });
    add(`answer ${name}`, end, packet, { destination: toMac(packet) });
  };
  ask('honest', 'delivered', {});
  ask('about our gateway', 'delivered', { target: gateway6 });
  ask('to one alone', 'delivered', { destination: container6 });
  ask('from a link-local address', 'delivered', { source: LINK_LOCAL });
  ask('of duplicate address detection', 'delivered', { source: '::', options: Buffer.alloc(0) });
  ask('of detection that says who', 'malformed', { source: '::' });
  ask('of detection to one alone', 'malformed', {
    source: '::',
    options: Buffer.alloc(0),
    destination: container6,
  });
  ask('that was forwarded', 'malformed', { hopLimit: 254 });
  ask('of code 1', 'malformed', { code: 1 });
  ask('with a wrong checksum', 'malformed', { checksum: 0x4242 });
  ask('with an option of length 0', 'malformed', { options: Buffer.alloc(8) });
  ask('with an option cut off', 'malformed', { options: Buffer.from([1, 2, 0, 0, 0, 0, 0, 0]) });
  ask('for a group', 'malformed', { target: 'ff02::5', destination: 'ff02::1:ff00:5' });
  ask('to the wrong group', 'malformed', { destination: 'ff02::1:ff99:9999' });
  ask('to all nodes', 'malformed', { destination: ALL_NODES });
  ask("of another peer's container", 'foreign_source', { source: ground.otherInner6 });
  ask('of our container', 'foreign_source', { source: container6 });
  ask('of nobody in the overlay', 'foreign_source', { source: OUTSIDE });
  ask('about its own slice', 'foreign_destination', { target: inner6 });
  ask("about another peer's", 'foreign_destination', { target: ground.otherInner6 });
  ask('about a link-local address', 'foreign_destination', { target: LINK_LOCAL });
  ask('about the world', 'foreign_destination', { target: OUTSIDE });

  answer('honest', 'delivered', {});
  answer('to a link-local address', 'delivered', { destination: 'fe80::c' });
  answer('from a link-local address', 'delivered', { source: LINK_LOCAL });
  answer('unasked, to all', 'delivered', { destination: ALL_NODES, word: 0x20000000 });
  answer('asked for, to all', 'malformed', { destination: ALL_NODES });
  answer('from nowhere', 'malformed', { source: '::' });
  answer('that was forwarded', 'malformed', { hopLimit: 64 });
  answer('about our container', 'foreign_source', { target: container6, source: inner6 });
  answer("about another peer's", 'foreign_source', {
    target: ground.otherInner6,
    source: inner6,
  });
  answer('about a link-local address', 'foreign_source', { target: LINK_LOCAL, source: inner6 });
  answer('as our gateway', 'foreign_source', { target: gateway6 });
  answer('to another slice', 'foreign_destination', { destination: ground.otherInner6 });
  answer('to a group', 'multicast', { destination: 'ff02::1:ff00:1', word: 0x20000000 });

  const message = (name: string, end: End, type: number, destination = ALL_NODES): void => {
    const ends = { source: LINK_LOCAL, destination };
    const packet = ipv6(
      { ...ends, protocol: 58, hopLimit: 255 },
      icmp6(ends, type, Buffer.concat([address6(inner6), address6(inner6)])),
    );
    add(name, end, packet, { destination: toMac(packet) });
  };
  message('router advertisement', 'rogue_router', 134);
  message('router advertisement to one alone', 'rogue_router', 134, container6);
  message('router solicitation', 'rogue_router', 133, 'ff02::2');
  message('redirect', 'rogue_router', 137, container6);
  const ends = { source: inner6, destination: container6 };
  const behind = ipv6(
    { ...ends, protocol: 58, hopLimit: 255, extensions: [[60, idle()]] },
    icmp6(ends, 134, Buffer.alloc(8)),
  );
  add('router advertisement behind options', 'rogue_router', behind);
  message('report of a listener', 'multicast', 143, 'ff02::16');
  message('echo to all nodes', 'multicast', 128);
  const toOne = { destination: groupMac(ALL_NODES) };
  add(
    'question to one, in a frame to all',
    'broadcast',
    solicit({ source: inner6, target: container6, destination: container6 }),
    toOne,
  );
  const toAll = solicit({ source: inner6, target: container6 });
  add('question to all, in a frame to one', 'broadcast', toAll, {
    destination: ground.containerMac,
  });
  return probes;
}
