/**
 * Every setting of a layer-2 network, a row each, in the order of the configuration file and of help.
 * @module
 */
import { formatMac } from '../../net/mac.ts';
import {
  formatHostPrefix,
  isUnderlayAddress,
  type UnderlayPrefix,
} from '../../net/underlay-address.ts';
import { DATAPATH_ROWS } from '../link/datapath.ts';
import { DEVICE_ROWS, MTU_ROWS } from '../link/device.ts';
import { RATE_ROWS } from '../link/rate.ts';
import { areSelectors, isOverlay } from '../link/sides.ts';
import { UNDERLAY_ROWS } from '../link/underlays.ts';
import {
  boolean,
  choice,
  hosts,
  integer,
  interfaceName,
  known,
  listOfAtMost,
  orNull,
} from '../row/kinds.ts';
import { always, asked, carried, joint } from '../row/row.ts';
import { ARP_MODES, BUM_MODES, GUARD_MODES } from './modes.ts';

/** RFC 7348 §5: 24 bits; 0 is left to those who mean "any". */
export const NETWORK_VNI_MAX = 0xff_ffff;
/** Service nodes of a network, the preferred one first. */
const SERVICE_NODES_MAX = 8;
/** Addresses of this host in one network. */
export const HOST_ADDRESSES_MAX = 16;
/** Hosts without a control plane that are named. */
const PEERS_MAX = 64;
/** Servers of one kind that a host declares in a network. */
const SERVERS_MAX = 8;
/** In place of a server's MAC: this host itself, by the MAC of the bridge. */
export const SERVER_IS_HOST = 0;
/** Characters of all rules of a section, and of its labels. */
const RULES_CHARS_MAX = 8000;

/** MACs of servers; {@link SERVER_IS_HOST} is one too. */
const servers = listOfAtMost('macs', SERVERS_MAX, integer(0, 0xffff_ffff_ffff).is, formatMac);

function isHostPrefix(value: unknown): value is UnderlayPrefix {
  return (
    typeof value === 'object' && value !== null && isUnderlayAddress(Reflect.get(value, 'address'))
  );
}

const rules = {
  ...known('words', (value): value is string => typeof value === 'string'),
  max: RULES_CHARS_MAX,
};

/** What it is called, and where. */
const PLACE_ROWS = {
  network: joint(interfaceName, {
    ...{ key: 'name', required: true, example: 'blue' },
    doc: 'What the network is called on this host.',
  }),
  vni: joint(integer(1, NETWORK_VNI_MAX), {
    ...{ key: 'vni', required: true, example: '100' },
    doc: 'VXLAN network identifier, the same on every host.',
    help: ['--vni N', 'VXLAN network identifier, the same on every host'],
  }),
  bridge: joint(interfaceName, {
    ...{ key: 'bridge', example: 'br-blue' },
    doc: 'Its bridge; br- and the name.',
    help: ['--bridge NAME', 'its bridge; one that is there is used (br- and the name)'],
  }),
  underlay: joint(known('underlay', areSelectors), {
    ...{ key: 'underlay', example: 'default' },
    doc: 'Where this host is: an address, a device or `default`, up to four as eth0/16,eth1/16; where its fans are, else the default route.',
    help: ['--underlay WHERE,...', 'address or device, up to four (where the fans are)'],
  }),
  ...UNDERLAY_ROWS,
  /** UDP destination port; null = VXLAN's own. */
  port: always(orNull(integer(1, 65535)), null, {
    ...{ key: 'port', default: '4789', unit: 'UDP port', resolved: true },
    doc: 'UDP destination port.',
    help: ['--port N', 'UDP destination port (default 4789)'],
  }),
  ...MTU_ROWS,
} as const;

/** What becomes of what is for many, and what ports may say. */
const FLOOD_ROWS = {
  bum: carried(
    always(choice(BUM_MODES), 'none', {
      key: 'bum',
      doc: 'Broadcast, unknown and multicast frames: dropped and counted, copied to every member, handed to a service node, or flooded to learn from.',
      help: [
        `--bum ${BUM_MODES.join('|')}`,
        'broadcast, unknown, multicast (default none: dropped)',
      ],
    }),
  ),
  /** Underlay addresses, for `bum` service-node. */
  serviceNodes: carried(
    always(hosts(SERVICE_NODES_MAX), [], {
      ...{ key: 'service-nodes', default: '', example: '172.30.0.28, 172.30.1.27' },
      doc: 'Underlay addresses of hosts that copy floods for others, the preferred one first.',
      help: ['--service-node ADDRESS,...', 'who copies floods for us, the preferred one first'],
    }),
  ),
  guard: carried(
    always(choice(GUARD_MODES), 'learn', {
      key: 'guard',
      doc: 'What a port may say: any MAC and address that it shows first, only those that are bound to it, or anything.',
      help: [`--guard ${GUARD_MODES.join('|')}`, 'what a port may say (default learn)'],
    }),
  ),
  arp: carried(
    asked(
      choice(ARP_MODES),
      {
        ...{ key: 'arp', default: 'auto' },
        doc: "Who answers ARP for containers of other hosts: the kernel's bridge for what was asked lately (auto: on a bridge of our own), or the data path alone.",
        help: [`--arp ${ARP_MODES.join('|')}`, 'who answers ARP for other hosts (auto)'],
      },
      'auto',
    ),
  ),
  /** This host copies floods for others (`fanway service-node`). */
  replicator: carried(
    always(boolean, false, {
      key: 'replicator',
      doc: 'This host copies floods for others.',
      help: ['--replicator', 'this host copies floods for others'],
    }),
  ),
} as const;

/** Who takes part, and what for. */
const PARTY_ROWS = {
  addresses: joint(
    listOfAtMost('host-prefixes', HOST_ADDRESSES_MAX, isHostPrefix, formatHostPrefix),
    {
      key: 'address',
      doc: "This host's own addresses in it, on the bridge, each with the width of its network; none.",
      help: ['--address ADDRESS/N,...', "this host's own addresses in it, on the bridge (none)"],
    },
  ),
  ...RATE_ROWS,
  /** Underlay addresses of hosts that take part and that nobody tells of; absent = none. */
  peers: carried(
    asked(hosts(PEERS_MAX), {
      ...{ key: 'peers', example: '172.30.9.9' },
      doc: 'Underlay addresses of hosts without a control plane that take part: they may send, and get floods.',
      help: ['--peer ADDRESS,...', 'hosts that take part without fanway (kernel VXLAN)'],
    }),
  ),
  /**
   * MACs that may answer DHCP clients, and that may speak as routers, when they are on this host;
   * {@link SERVER_IS_HOST} = the host itself. Absent = none.
   */
  dhcpServers: asked(servers, {
    ...{ key: 'dhcp-server', example: '02:42:0a:01:00:35', resolved: true },
    doc: 'MACs on this host that may answer DHCP clients of all hosts; `auto`: this host itself.',
    help: ['--dhcp-server MAC|auto', 'who here answers DHCP clients of all hosts (auto: us)'],
  }),
  routers: asked(servers, {
    ...{ key: 'router', example: '02:42:0a:01:00:01', resolved: true },
    doc: 'MACs on this host that may send router advertisements to all hosts; `auto`: this host itself.',
    help: ['--router MAC|auto', 'who here sends router advertisements to all hosts'],
  }),
  outer: joint(hosts(1), {
    key: 'outer',
    doc: 'Where others reach this host, where its address is translated 1:1 on the way; its own address.',
    help: ['--outer ADDRESS', 'where others reach this host, translated 1:1'],
  }),
} as const;

const rule = (key: string, doc: string, example: string) => joint(rules, { key, doc, example });

export const NETWORK_ROWS = {
  ...PLACE_ROWS,
  ...FLOOD_ROWS,
  ...PARTY_ROWS,
  ...DEVICE_ROWS,
  ...DATAPATH_ROWS,
  ipam: joint(known('overlay', isOverlay), {
    ...{ key: 'ipam', example: '10.1.0.0/16' },
    doc: 'IPv4 prefix of which hosts hand out addresses (`fanway ip lease`, CNI), each those of a slice of its own that follows from its underlay address; none.',
    help: ['--ipam PREFIX', 'hand out its addresses, each host its own slice (none)'],
  }),
  /** Known, not to be started. */
  off: always(boolean, false, {
    ...{ key: 'enabled', default: 'yes', inverted: true, onChange: 'elsewhere' },
    ...{ doc: 'One that is not enabled is checked, not started.', switches: {} },
  }),
  allow: rule(
    'allow',
    'Connections that are allowed whatever `deny` says: [from WHO] [to WHO] [PROTOCOL [port N[-M]]] [order N], with commas between rules; WHO is any, an address, a prefix, label:NAME or network:NAME.',
    'from label:web to label:db tcp port 5432',
  ),
  deny: rule('deny', 'Connections that are not, in the same way.', 'to label:db'),
  labels: rule(
    'labels',
    'Labels of workloads: a MAC and its labels, with commas between workloads.',
    '02:42:0a:01:00:05 web, 02:42:0a:01:00:09 db',
  ),
} as const;
