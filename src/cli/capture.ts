/**
 * `fanway capture`: packets of a link as pcapng on stdout, for Wireshark and tcpdump.
 * @module
 */
import { callRouter } from '../control/admin-client.ts';
import { RunDirectory } from '../control/run-directory.ts';
import type { FanRecord } from '../control/snapshot.ts';
import { ExitCode, FanwayError, refusedError, usageError } from '../errors.ts';
import { hasCapability } from '../sys/capabilities.ts';
import { Netlink } from '../sys/netlink.ts';
import { isTunnelPacket, PacketSocket } from '../sys/packet-socket.ts';
import { VERSION } from '../version.ts';
import {
  interfaceBlock,
  LINKTYPE_ETHERNET,
  LINKTYPE_RAW,
  PcapngDirection,
  packetBlock,
  sectionHeaderBlock,
} from '../wire/pcapng.ts';
import { noMore, takeFlags, type Verb } from './verb.ts';

const WAIT_MS = 100;
/** Packets taken from one socket before the others get their turn. */
const BATCH_PACKETS = 256;
const ARPHRD_ETHERNET = 1;

type Tap = {
  socket: PacketSocket;
  linkType: number;
  name: string;
  accepts(bytes: Uint8Array): boolean;
};

/** The devices to listen on for these links, inside or outside of the tunnel. */
async function openTaps(records: readonly FanRecord[], inner: boolean): Promise<Tap[]> {
  const netlink = Netlink.open();
  try {
    const taps: Tap[] = [];
    for (const { spec } of records) {
      let name = spec.device;
      if (!inner) {
        const addresses = await netlink.addresses();
        const index = addresses.find((address) => address.address === spec.local)?.index;
        if (index === undefined) continue;
        name = (await netlink.link(index)).name;
      }
      const link = await netlink.link(name);
      const ethernet = link.hardwareType === ARPHRD_ETHERNET;
      const ipOffset = ethernet ? 14 : 0;
      taps.push({
        socket: new PacketSocket(link.index),
        linkType: ethernet ? LINKTYPE_ETHERNET : LINKTYPE_RAW,
        name: inner ? name : `${name} (${spec.name})`,
        accepts: (bytes) => inner || isTunnelPacket(bytes, ipOffset, spec.local, spec.port),
      });
    }
    return taps;
  } finally {
    netlink.close();
  }
}

export const capture: Verb = {
  name: 'capture',
  summary: 'write packets as pcapng to stdout',
  usage: ['capture [--link BRIDGE] [--outer|--inner] [--count N]'],
  options: [
    ['--link BRIDGE', 'of this link only; all links otherwise'],
    ['--inner', 'as they cross the TUN/TAP device (default)'],
    ['--outer', 'as they cross the underlay device, encapsulated'],
    ['--count N', 'end after N packets'],
  ],
  examples: [
    ['fanway capture | wireshark -k -i -', 'watch what containers send'],
    ['fanway capture --outer --count 100 > tunnel.pcapng', 'what the network sees'],
  ],
  async run(args, io) {
    const { flags, rest } = takeFlags(args, {
      '--link': 'value',
      '--inner': 'switch',
      '--outer': 'switch',
      '--count': 'value',
    });
    noMore(rest, 'capture');
    if (flags.has('--inner') && flags.has('--outer')) {
      throw usageError('usage', 'choose --inner or --outer; run it twice for both');
    }
    const countText = flags.get('--count') ?? '0';
    if (!/^[0-9]{1,9}$/.test(countText)) throw usageError('usage', '--count is a number');
    const most = Number(countText) || Number.POSITIVE_INFINITY;
    if (!hasCapability('NET_RAW')) {
      throw new FanwayError('not-permitted', 'capture needs CAP_NET_RAW: run it as root', {
        exitCode: ExitCode.NotPermitted,
      });
    }
    const run = new RunDirectory(io.env['FANWAY_RUN_DIR']);
    const wanted = flags.get('--link');
    const records = ((await callRouter(run, '/v1/fans')) as FanRecord[]).filter(
      ({ spec }) => wanted === undefined || spec.name === wanted,
    );
    if (records.length === 0) {
      throw refusedError(
        'not-configured',
        `${wanted ?? 'no link'}: not configured; see fanway show`,
      );
    }
    const taps = await openTaps(records, !flags.has('--outer'));
    let going = io.outBytes(sectionHeaderBlock(`fanway ${VERSION}`));
    for (const tap of taps) going &&= io.outBytes(interfaceBlock(tap.linkType, 0, tap.name));
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.once(signal, () => {
        going = false;
      });
    }
    const sockets = taps.map((tap) => tap.socket);
    let seen = 0;
    while (going && seen < most) {
      PacketSocket.wait(sockets, WAIT_MS);
      for (const [interfaceIndex, tap] of taps.entries()) {
        for (let taken = 0; taken < BATCH_PACKETS && going && seen < most; taken++) {
          const packet = tap.socket.read();
          if (packet === undefined) break;
          if (!tap.accepts(packet.bytes)) continue;
          seen++;
          going = io.outBytes(
            packetBlock({
              interfaceIndex,
              timeUs: (performance.timeOrigin + performance.now()) * 1000,
              bytes: packet.bytes,
              originalBytes: packet.originalBytes,
              direction: packet.outgoing ? PcapngDirection.Outbound : PcapngDirection.Inbound,
            }),
          );
        }
      }
      // Signals are handled between turns of the event loop only.
      await new Promise((resolve) => setImmediate(resolve));
    }
    for (const socket of sockets) socket.close();
    return ExitCode.Ok;
  },
};
