/**
 * What a bridge and its ports do with frames beside forwarding them: settings of both, queues and filters
 * of tc. Numbers are those of linux/if_link.h.
 * @module
 */
import {
  IFLA,
  INFO,
  linkHeader,
  MessageWriter,
  RTM,
  readAttributes,
  readMac,
  readText,
  readU32,
} from './codec.ts';
import { LITTLE, type NetlinkSocket } from './socket.ts';

const RTM_GETQDISC = 38;
const RTEXT_FILTER_SKIP_STATS = 8;
const QDISC = 6;
const LINK_NETNSID = 37;
const SLAVE = { KIND: 4, DATA: 5 } as const;
const BR = { AGEING_TIME: 4, STP_STATE: 5, VLAN_FILTERING: 7, NF_CALL_IPTABLES: 36 } as const;
const PORT = { STATE: 1, MODE: 4, LEARNING: 8, VLAN_TUNNEL: 29, ISOLATED: 33, LOCKED: 39 } as const;
const TCA_KIND = 1;
const HEADER_BYTES = { link: 16, tc: 20 } as const;
const FORWARDING = 3;
/** USER_HZ is 100 wherever Node runs. */
const TICK_MS = 10;

/** A port of a bridge. */
export type PortSettings = {
  index: number;
  name: string;
  /** `veth`, `tun`, ...; '' for a card. */
  kind: string;
  address: number;
  /** Its other end is in another network namespace. */
  isElsewhere: boolean;
  /** What of its settings is not as of a port that just learns and forwards, '' = nothing. */
  setting: string;
  /** Queues and hooks of tc that it has, by kind. */
  queues: string[];
};

export type BridgeSettings = {
  index: number;
  address: number;
  ageingMs: number;
  vlanFiltering: boolean;
  spanningTree: boolean;
  callsIptables: boolean;
  ports: PortSettings[];
};

/** What of a port's settings is unusual. */
function settingOf(data: Map<number, Buffer>): string {
  const byte = (type: number, otherwise: number): number =>
    data.get(type)?.readUInt8(0) ?? otherwise;
  if (byte(PORT.STATE, FORWARDING) !== FORWARDING) return 'does not forward';
  if (byte(PORT.LEARNING, 1) === 0) return 'learns nothing';
  if (byte(PORT.ISOLATED, 0) !== 0) return 'is isolated';
  if (byte(PORT.LOCKED, 0) !== 0) return 'is locked';
  if (byte(PORT.MODE, 0) !== 0) return 'sends back what it gets (hairpin)';
  return byte(PORT.VLAN_TUNNEL, 0) === 0 ? '' : 'is a tunnel of VLANs';
}

/** A bridge by name with its ports, undefined where there is none. @throws NetlinkError */
export async function bridgeSettings(
  socket: NetlinkSocket,
  name: string,
): Promise<BridgeSettings | undefined> {
  const request = new MessageWriter(linkHeader(0)).u32(IFLA.EXT_MASK, RTEXT_FILTER_SKIP_STATS);
  const links = await socket.dump('list links', RTM.GETLINK, request.build(), (payload) => {
    if (payload.length < HEADER_BYTES.link) return undefined;
    const attributes = readAttributes(payload, HEADER_BYTES.link);
    const info = readAttributes(attributes.get(IFLA.LINKINFO) ?? Buffer.alloc(0), 0);
    const link = {
      index: readU32(payload, 4),
      name: readText(attributes.get(IFLA.IFNAME)),
      kind: readText(info.get(INFO.KIND)),
      address: readMac(attributes.get(IFLA.ADDRESS)),
    };
    if (link.kind === 'bridge' && link.name === name) return { bridge: bridgeOf(link, info) };
    if (readText(info.get(SLAVE.KIND)) !== 'bridge') return undefined;
    const data = readAttributes(info.get(SLAVE.DATA) ?? Buffer.alloc(0), 0);
    const root = readText(attributes.get(QDISC));
    const port: PortSettings = {
      ...link,
      isElsewhere: attributes.has(LINK_NETNSID),
      setting: settingOf(data),
      queues: root === '' || root === 'noqueue' ? [] : [root],
    };
    return { port, master: readU32(attributes.get(IFLA.MASTER)) };
  });
  const bridge = links.find((link) => link.bridge !== undefined)?.bridge;
  if (bridge === undefined) return undefined;
  const own = links.flatMap(({ port, master }) => {
    return port !== undefined && master === bridge.index ? [port] : [];
  });
  const hooks = await hooksOfTc(socket);
  for (const port of own) port.queues.push(...(hooks.get(port.index) ?? []));
  return { ...bridge, ports: own };
}

function bridgeOf(
  { index, address }: { index: number; address: number },
  info: Map<number, Buffer>,
): BridgeSettings {
  const data = readAttributes(info.get(INFO.DATA) ?? Buffer.alloc(0), 0);
  return {
    ...{ index, address, ports: [] },
    ageingMs: readU32(data.get(BR.AGEING_TIME)) * TICK_MS,
    vlanFiltering: data.get(BR.VLAN_FILTERING)?.readUInt8(0) === 1,
    spanningTree: readU32(data.get(BR.STP_STATE)) !== 0,
    callsIptables: data.get(BR.NF_CALL_IPTABLES)?.readUInt8(0) === 1,
  };
}

/** Devices with the hooks of tc that filters hang on (`clsact`, `ingress`), by ifindex. */
async function hooksOfTc(socket: NetlinkSocket): Promise<Map<number, string[]>> {
  const header = Buffer.alloc(HEADER_BYTES.tc);
  const hooks = await socket.dump('list queues', RTM_GETQDISC, header, (payload) => {
    if (payload.length < HEADER_BYTES.tc) return undefined;
    const kind = readText(readAttributes(payload, HEADER_BYTES.tc).get(TCA_KIND));
    if (kind !== 'clsact' && kind !== 'ingress') return undefined;
    return { kind, index: LITTLE ? payload.readInt32LE(4) : payload.readInt32BE(4) };
  });
  const found = new Map<number, string[]>();
  for (const { index, kind } of hooks) found.set(index, [...(found.get(index) ?? []), kind]);
  return found;
}
