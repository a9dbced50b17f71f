/**
 * Listening on a link's devices, inside or outside of the tunnel, and writing what passes as pcapng.
 * @module
 */
import { Netlink } from '../../sys/netlink/netlink.ts';
import { isTunnelPacket, PacketSocket, type SeenPacket } from '../../sys/sockets/packet-socket.ts';
import { VERSION } from '../../version.ts';
import {
  interfaceBlock,
  LINKTYPE_ETHERNET,
  LINKTYPE_RAW,
  PcapngDirection,
  packetBlock,
  sectionHeaderBlock,
} from '../../wire/pcapng.ts';
import type { LinkSpec } from '../store/link-spec.ts';
import type { CaptureFilter } from './filter.ts';
import { innerSight, outerSight, type Sight } from './sight.ts';

const WAIT_MS = 100;
/** Packets taken from one socket before the others get their turn. */
const BATCH_PACKETS = 256;
const ARPHRD_ETHERNET = 1;
const ETHERNET_HEADER_BYTES = 14;

/** What of a link has to be known to see its packets: fans have it, and layer-2 networks. */
export type SeenLink = Pick<LinkSpec, 'name' | 'device' | 'encap' | 'local' | 'port'>;

/** A place where packets of a link are seen. */
export type Tap<S extends SeenLink = SeenLink> = {
  spec: S;
  socket: PacketSocket;
  linkType: number;
  name: string;
  accepts(bytes: Uint8Array): boolean;
  sight(bytes: Uint8Array): Sight;
};

export type CaptureOptions = {
  links: readonly SeenLink[];
  /** `inner`: as packets cross the TUN/TAP device; `outer`: encapsulated, on the underlay device. */
  side: 'inner' | 'outer';
  /** Which packets are wanted; all unless given. */
  filter?: CaptureFilter | undefined;
  /** End after this many packets. */
  packetsMax: number;
  /** Takes whole pcapng blocks; false when nobody reads any more. */
  write(bytes: Uint8Array): boolean;
  /** Asked between batches. */
  isStopped(): boolean;
};

/** @throws SystemError EPERM without CAP_NET_RAW, ENODEV when a device is gone. */
export async function openTaps<S extends SeenLink>(
  links: readonly S[],
  side: 'inner' | 'outer',
): Promise<Tap<S>[]> {
  const netlink = Netlink.open();
  try {
    const taps: Tap<S>[] = [];
    for (const spec of links) {
      let name = spec.device;
      if (side === 'outer') {
        const addresses = [...(await netlink.addresses()), ...(await netlink.ipv6Addresses())];
        const index = addresses.find((address) => address.address === spec.local)?.index;
        if (index === undefined) continue;
        name = (await netlink.link(index)).name;
      }
      const link = await netlink.link(name);
      const ethernet = link.hardwareType === ARPHRD_ETHERNET;
      const ipOffset = ethernet ? ETHERNET_HEADER_BYTES : 0;
      taps.push({
        spec,
        socket: new PacketSocket(link.index),
        linkType: ethernet ? LINKTYPE_ETHERNET : LINKTYPE_RAW,
        name: side === 'inner' ? name : `${name} (${spec.name})`,
        accepts: (bytes) =>
          side === 'inner' || isTunnelPacket(bytes, ipOffset, spec.local, spec.port),
        sight: (bytes) =>
          side === 'inner' ? innerSight(bytes, ethernet) : outerSight(bytes, ethernet, spec),
      });
    }
    return taps;
  } finally {
    netlink.close();
  }
}

/**
 * Captures until told to stop; returns the number of packets written. The time of a packet is
 * when it was read, a few milliseconds late under load.
 * @throws SystemError EPERM without CAP_NET_RAW, ENETDOWN when a device went away.
 */
export async function captureLinks(options: CaptureOptions): Promise<number> {
  const { write, packetsMax, filter } = options;
  const taps = await openTaps(options.links, options.side);
  let going = write(sectionHeaderBlock(`fanway ${VERSION}`));
  for (const tap of taps) going &&= write(interfaceBlock(tap.linkType, 0, tap.name));
  let seen = 0;
  const isOver = (): boolean => !going || seen >= packetsMax || options.isStopped();
  await readTaps(taps, isOver, (tap, packet) => {
    if (!tap.accepts(packet.bytes)) return;
    if (filter !== undefined && !filter(tap.sight(packet.bytes))) return;
    seen++;
    going = write(
      packetBlock({
        interfaceIndex: taps.indexOf(tap),
        timeUs: (performance.timeOrigin + performance.now()) * 1000,
        bytes: packet.bytes,
        originalBytes: packet.originalBytes,
        direction: packet.outgoing ? PcapngDirection.Outbound : PcapngDirection.Inbound,
      }),
    );
  });
  return seen;
}

/** Hands over every packet that is seen until it is over, and closes the taps. */
export async function readTaps<S extends SeenLink>(
  taps: readonly Tap<S>[],
  isOver: () => boolean,
  take: (tap: Tap<S>, packet: SeenPacket) => void,
): Promise<void> {
  const sockets = taps.map((tap) => tap.socket);
  try {
    while (!isOver()) {
      PacketSocket.wait(sockets, WAIT_MS);
      for (const tap of taps) {
        for (let taken = 0; taken < BATCH_PACKETS && !isOver(); taken++) {
          const packet = tap.socket.read();
          if (packet === undefined) break;
          take(tap, packet);
        }
      }
      // Signals are handled between turns of the event loop only.
      await new Promise((resolve) => setImmediate(resolve));
    }
  } finally {
    for (const socket of sockets) socket.close();
  }
}
