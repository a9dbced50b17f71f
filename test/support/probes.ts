/**
 * Crafted datagrams against a fan's data port: what they have in common. A probe is one datagram
 * (of one or more frames on the underlay) and the one end that it must meet.
 * @module
 */
import { ethernet, type Ipv4Fields, ipv4, tcp, type UdpFields, udp, vxlan } from './bytes.ts';
import type { Encapsulation } from './target.ts';

/**
 * Where probes are fired, from `peer`'s cable: addresses as u32. `inner` belongs to a container
 * behind `peer`, `container` to one behind the victim.
 */
export type Ground = {
  encap: Encapsulation;
  victim: number;
  victimMac: number;
  attackerMac: number;
  peer: number;
  otherPeer: number;
  stranger: number;
  inner: number;
  otherInner: number;
  container: number;
  containerMac: number;
  /** First address of the victim's slice. */
  slice: number;
  port: number;
  vni: number;
  /** Largest inner packet, bytes. */
  innerMtu: number;
};

/**
 * `delivered`, an ingress drop reason, or `kernel`: the host's own stack drops it before fanway,
 * with the name of a counter of /proc/net/snmp where it has one for this.
 */
export type End = string;

export type Probe = {
  name: string;
  frames: Buffer[];
  end: End;
  /** Delivered to a host that then answers its honest sender through the tunnel. */
  answered?: boolean;
};

export const INNER_MAC = 0x0242fa010a0a;

/** An honest inner UDP datagram from peer to container; `fields` say what differs. */
export function innerUdp(
  ground: Ground,
  fields: Partial<Ipv4Fields> = {},
  transport: Partial<UdpFields> = {},
  payload: Uint8Array = Buffer.from('probe'),
): Buffer {
  const ends = {
    source: fields.source ?? ground.inner,
    destination: fields.destination ?? ground.container,
  };
  return ipv4({ ...ends, ...fields }, udp(ends, { destinationPort: 9000, ...transport }, payload));
}

/** An inner frame or packet as the encapsulation carries it. */
export function inFrame(
  ground: Ground,
  packet: Uint8Array,
  header: { destination?: number; source?: number; etherType?: number } = {},
): Buffer {
  if (ground.encap !== 'vxlan') return Buffer.from(packet);
  return ethernet(
    header.destination ?? ground.containerMac,
    header.source ?? INNER_MAC,
    header.etherType ?? 0x0800,
    packet,
  );
}

/** The tunnel's payload on the underlay: outer headers as `fields` say, honest otherwise. */
export function outer(
  ground: Ground,
  payload: Uint8Array,
  fields: Partial<Ipv4Fields> = {},
  transport: Partial<UdpFields> = {},
): Buffer {
  const ends = { source: fields.source ?? ground.peer, destination: ground.victim };
  const body =
    ground.encap === 'ipip'
      ? Buffer.from(payload)
      : udp(
          { ...ends, ...fields },
          { destinationPort: ground.port, checksum: 'none', ...transport },
          payload,
        );
  const protocol = ground.encap === 'ipip' ? 4 : 17;
  return ethernet(
    ground.victimMac,
    ground.attackerMac,
    0x0800,
    ipv4({ ...ends, protocol, ...fields }, body),
  );
}

/** The shim in front of an inner frame: VXLAN's, or nothing. */
export function shim(ground: Ground, inner: Uint8Array): Buffer {
  return ground.encap === 'vxlan' ? vxlan(ground.vni, inner) : Buffer.from(inner);
}

/** An inner IP packet in an otherwise honest datagram of the peer's. */
export function carry(
  ground: Ground,
  packet: Uint8Array,
  fields: Partial<Ipv4Fields> = {},
): Buffer {
  return outer(ground, shim(ground, inFrame(ground, packet)), fields);
}

/** One outer packet as two fragments that complete each other. */
export function fragments(frame: Buffer, atBytes: number): Buffer[] {
  const [link, header, body] = [frame.subarray(0, 14), frame.subarray(14, 34), frame.subarray(34)];
  const fields = {
    source: header.readUInt32BE(12),
    destination: header.readUInt32BE(16),
    protocol: header[9] ?? 0,
    identification: 0x7a7a,
  };
  const pieces = [
    ipv4({ ...fields, fragment: 0x2000 }, body.subarray(0, atBytes)),
    ipv4({ ...fields, fragment: atBytes >>> 3 }, body.subarray(atBytes)),
  ];
  return pieces.map((piece) => Buffer.concat([link, piece]));
}

/** Probes of what lies inside, the same for every encapsulation. */
export function innerProbes(ground: Ground): Probe[] {
  const probes: Probe[] = [];
  const add = (name: string, end: End, packet: Uint8Array): void => {
    probes.push({ name: `inner ${name}`, end, frames: [carry(ground, packet)] });
  };
  const { inner, container, slice } = ground;
  const ends = { source: inner, destination: container };
  const options = (...bytes: number[]): Buffer => Buffer.from(bytes);

  // Headers that lie.
  add('of 19 bytes', 'runt', innerUdp(ground).subarray(0, 19));
  add('version 5', 'malformed', innerUdp(ground, { version: 5 }));
  add('version 6', 'ipv6', innerUdp(ground, { version: 6 }));
  add('header of 16 bytes', 'malformed', innerUdp(ground, { words: 4 }));
  add('header of 0 bytes', 'malformed', innerUdp(ground, { words: 0 }));
  add('header longer than the packet', 'malformed', ipv4({ ...ends, words: 15 }, Buffer.alloc(8)));
  add('total length 19', 'malformed', innerUdp(ground, { totalBytes: 19 }));
  add('total length 0', 'malformed', innerUdp(ground, { totalBytes: 0 }));
  add('total length one too many', 'malformed', innerUdp(ground, { totalBytes: 34 }));
  add('total length 65535', 'malformed', innerUdp(ground, { totalBytes: 65535 }));
  add('checksum wrong', 'malformed', innerUdp(ground, { checksum: 0x1234 }));
  add('checksum zero', 'malformed', innerUdp(ground, { checksum: 0 }));
  const route = options(131, 7, 4, 127, 0, 0, 1, 0);
  add('loose source route', 'malformed', innerUdp(ground, { options: route }));
  route[0] = 137;
  add('strict source route', 'malformed', innerUdp(ground, { options: route }));
  add('option of length 0', 'malformed', innerUdp(ground, { options: options(7, 0, 0, 0) }));
  add('option of length 1', 'malformed', innerUdp(ground, { options: options(7, 1, 0, 0) }));
  add('option beyond the header', 'malformed', innerUdp(ground, { options: options(7, 40, 4, 0) }));
  add('option cut off', 'malformed', innerUdp(ground, { options: options(1, 1, 1, 7) }));
  add('options that do nothing', 'delivered', innerUdp(ground, { options: options(1, 1, 1, 0) }));

  // Fragments.
  const piece = (fragment: number, bytes: number, protocol = 17): Buffer =>
    ipv4({ ...ends, fragment, protocol }, Buffer.alloc(bytes));
  add('TCP fragment at offset 8', 'malformed', piece(1, 16, 6));
  add('first TCP fragment of 8 bytes', 'malformed', piece(0x2000, 8, 6));
  add('fragment past 65,535', 'malformed', piece(0x1fff, 64));
  add('fragment of 0 bytes', 'malformed', piece(0x2000, 0));
  add('middle fragment of 15 bytes', 'malformed', piece(0x2000, 15));
  add('fragment that is sound', 'delivered', piece(0x2000, 16));
  add('last fragment that is sound', 'delivered', piece(2, 11));

  // The first and last address of a slice: bridged, they are ordinary addresses of the overlay.
  const isBridged = ground.encap === 'vxlan';
  const edge = isBridged ? 'delivered' : 'broadcast';

  // Where it says that it comes from.
  for (const [name, source] of [
    ['network', (inner & ~0xff) >>> 0],
    ['broadcast', (inner | 0xff) >>> 0],
  ] as const) {
    const end = isBridged ? 'delivered' : 'foreign_source';
    add(`source the ${name} address of its slice`, end, innerUdp(ground, { source }));
  }
  const from = (name: string, source: number): void =>
    add(`source ${name}`, 'foreign_source', innerUdp(ground, { source }));
  from("in another peer's slice", ground.otherInner);
  from('in our own slice', slice + 77);
  from('our own gateway', slice + 1);
  from('our own container', container);
  from('127.0.0.1', 0x7f000001);
  from('0.0.0.0', 0);
  from('255.255.255.255', 0xffffffff);
  from('multicast', 0xe0000005);
  from('its underlay address', ground.peer);
  from('of the Internet', 0x08080808);

  // Where it wants to go.
  const to = (name: string, end: End, destination: number): void =>
    add(`destination ${name}`, end, innerUdp(ground, { destination }));
  to('in its own slice', 'foreign_destination', inner + 1);
  to("in another peer's slice", 'foreign_destination', ground.otherInner);
  to('our underlay address', 'foreign_destination', ground.victim);
  to('127.0.0.1', 'foreign_destination', 0x7f000001);
  to('0.0.0.0', 'foreign_destination', 0);
  to('of the Internet', 'foreign_destination', 0x08080808);
  to('240.0.0.1', 'foreign_destination', 0xf0000001);
  to('our network address', edge, slice);
  to('our broadcast address', edge, slice + 255);
  to('255.255.255.255', 'broadcast', 0xffffffff);
  to('multicast', 'multicast', 0xe00000fb);
  to('our container', 'delivered', container);

  // Tunnels in the tunnel.
  const nested = (name: string, protocol: number): void =>
    add(`${name} inside`, 'nested', ipv4({ ...ends, protocol }, innerUdp(ground)));
  nested('IPv4 in IPv4', 4);
  nested('IPv6 in IPv4', 41);
  nested('GRE', 47);
  let deep = innerUdp(ground);
  for (let depth = 0; depth < 16; depth++) deep = ipv4({ ...ends, protocol: 4 }, deep);
  add('sixteen tunnels inside', 'nested', deep);
  if (ground.encap !== 'ipip') {
    const again = innerUdp(ground, {}, { destinationPort: ground.port });
    add('datagram of this tunnel inside', 'nested', again);
  }

  // Transport.
  const sum = ground.encap;
  add('UDP checksum wrong', 'bad_checksum', innerUdp(ground, {}, { checksum: 0x4242 }));
  add('UDP without checksum', 'delivered', innerUdp(ground, {}, { checksum: 'none' }));
  const segment = { destinationPort: 9, checksum: 0x4242, flags: 0x18 };
  add(
    'TCP checksum wrong',
    'bad_checksum',
    ipv4({ ...ends, protocol: 6 }, tcp(ends, segment, Buffer.from(sum))),
  );
  add(
    'SYN with a wrong checksum',
    'bad_checksum',
    ipv4({ ...ends, protocol: 6 }, tcp(ends, { ...segment, flags: 2 })),
  );

  // The ECN cell that must drop (RFC 6040 §4.2).
  probes.push({
    name: 'congestion told to who cannot hear it',
    end: 'ecn_not_capable',
    frames: [carry(ground, innerUdp(ground), { tos: 3 })],
  });

  // Larger than our MTU: only whole outer fragments can bring it over this underlay.
  const giant = (name: string, protocol: number): void => {
    const body = Buffer.alloc(ground.innerMtu);
    const packet =
      protocol === 17 ? innerUdp(ground, {}, {}, body) : ipv4({ ...ends, protocol }, body);
    const whole = carry(ground, packet);
    probes.push({
      name: `inner ${name} over our MTU`,
      end: 'too_big',
      frames: fragments(whole, 800),
    });
  };
  giant('UDP', 17);
  giant('ICMP', 1);
  return probes;
}

/** Probes of the outer IPv4 header, the same for every encapsulation. */
export function outerProbes(ground: Ground): Probe[] {
  const probes: Probe[] = [];
  const honest = shim(ground, inFrame(ground, innerUdp(ground)));
  const add = (name: string, end: End, fields: Partial<Ipv4Fields>): void => {
    probes.push({ name: `outer ${name}`, end, frames: [outer(ground, honest, fields)] });
  };
  // Who sends it.
  add('source a stranger', 'stranger', { source: ground.stranger });
  add('source one bit beside the underlay', 'stranger', { source: (ground.peer ^ 0x10000) >>> 0 });
  add('source of the overlay', 'stranger', { source: ground.inner });
  // Nobody can have these addresses, however well the inner source fits them.
  const nobody = (name: string, host: number): void => {
    const source = ((ground.peer & 0xffff0000) | host) >>> 0;
    const inner = ((ground.inner & 0xff000000) | (host << 8) | 10) >>> 0;
    const packet = innerUdp(ground, { source: inner });
    const frames = [outer(ground, shim(ground, inFrame(ground, packet)), { source })];
    probes.push({ name: `outer source ${name}`, end: 'stranger', frames });
  };
  nobody('the underlay network', 0);
  nobody('the underlay broadcast', 0xffff);
  add('source ourselves', 'own_source', { source: ground.victim });
  add("source another peer's", 'foreign_source', { source: ground.otherPeer });
  add('source 127.0.0.1', 'kernel', { source: 0x7f000001 });
  add('source 0.0.0.0', 'kernel', { source: 0 });
  add('source multicast', 'kernel', { source: 0xe0000001 });
  add('source 255.255.255.255', 'kernel', { source: 0xffffffff });
  add('source the peer', 'delivered', {});
  // Where it goes.
  add('destination 127.0.0.1', 'kernel', { destination: 0x7f000001 });
  add('destination multicast', 'kernel', { destination: 0xef010101 });
  add('destination the underlay broadcast', 'kernel', {
    destination: (ground.victim | 0xffff) >>> 0,
  });
  // Headers that lie.
  add('version 6', 'kernel:Ip.InHdrErrors', { version: 6 });
  add('header of 16 bytes', 'kernel:Ip.InHdrErrors', { words: 4 });
  add('total length beyond the frame', 'kernel:IpExt.InTruncatedPkts', { totalBytes: 1400 });
  add('total length 19', 'kernel:Ip.InHdrErrors', { totalBytes: 19 });
  add('checksum wrong', 'kernel:IpExt.InCsumErrors', { checksum: 0x4242 });
  add('first fragment alone', 'kernel:Ip.ReasmReqds', { fragment: 0x2000, identification: 0x101 });
  add('later fragment alone', 'kernel:Ip.ReasmReqds', { fragment: 3, identification: 0x102 });
  add('TTL 1', 'delivered', { ttl: 1 });
  add('TTL 0', 'delivered', { ttl: 0 });
  probes.push({
    name: 'outer fragments that complete each other',
    end: 'delivered',
    frames: fragments(outer(ground, honest), 16),
  });
  return probes;
}
