/**
 * Every setting of a fan, a row each, in the order of the configuration file and of help.
 * @module
 */
import { boolean, choice, integer, interfaceName, known, orNull } from '../row/kinds.ts';
import { always, asked, carried, joint } from '../row/row.ts';
import { DATAPATH_ROWS } from './datapath.ts';
import { DEVICE_ROWS, MTU_ROWS } from './device.ts';
import { ENCAPS } from './modes.ts';
import { NAT_ROWS } from './nat.ts';
import { RATE_ROWS } from './rate.ts';
import { areSelectors, isOverlay } from './sides.ts';
import { UNDERLAY_ROWS } from './underlays.ts';

/** Addresses .1 to .N of the slice are the host's own. */
export const HOST_RESERVE_DEFAULT = 1;
export const HOST_RESERVE_MAX = 64;

/** What says where a fan is, and what it is called there. */
const SIDE_ROWS = {
  overlay: joint(known('overlay', isOverlay), {
    ...{ key: 'overlay', required: true, example: '250.0.0.0/8' },
    doc: 'The network all containers share, as 250.0.0.0/8 or fd00:fa::/32.',
    help: ['-o, --overlay NET', 'the overlay, as 250.0.0.0/8, 250 or fd00:fa::/32'],
  }),
  underlay: joint(known('underlay', areSelectors), {
    ...{ key: 'underlay', required: true, example: 'default/16' },
    doc: 'Where this host is: an address, a network, a device, or `default`, each with an optional /WIDTH (16); up to four, as eth0/16,eth1/16.',
    help: ['-u, --underlay WHERE', 'address, device or `default`, with /width (16); up to four'],
  }),
  ...UNDERLAY_ROWS,
} as const;

/** How its packets travel. */
const TUNNEL_ROWS = {
  encap: carried(
    always(choice(ENCAPS), 'vxlan', {
      key: 'encap',
      doc: 'How packets travel between hosts.',
      help: ['--encap vxlan|ipip|fou', 'how packets travel (default vxlan)'],
    }),
  ),
  /** UDP destination port; null = the encapsulation's own. */
  port: always(orNull(integer(1, 65535)), null, {
    ...{ key: 'port', unit: 'UDP port', example: '4789', resolved: true },
    doc: 'UDP destination port; 4789 for vxlan (8472 with compat = lxd), 5555 for fou.',
    help: ['--port N', 'UDP destination port (default vxlan 4789, fou 5555)'],
  }),
  /** VXLAN network identifier; null = overlay address >> 8. */
  vni: always(orNull(integer(0, 0xff_ffff)), null, {
    ...{ key: 'vni', example: '16384000', resolved: true },
    doc: 'VXLAN network identifier; overlay address >> 8.',
    help: ['--vni N', 'VXLAN network identifier (default overlay address >> 8)'],
  }),
  compat: always(choice(['none', 'lxd']), 'none', {
    // What it means is a port.
    ...{ key: 'compat', onChange: 'elsewhere' },
    doc: 'Speak to the fans of another system.',
    help: ['--compat lxd', "speak to LXD's fans: UDP port 8472"],
  }),
  ...MTU_ROWS,
} as const;

/** What this host does of it. */
const HOST_ROWS = {
  dhcp: always(boolean, false, {
    key: 'dhcp',
    doc: 'Hand out the slice by DHCP (needs dnsmasq).',
    help: ['dhcp, --dhcp', 'hand out the slice by DHCP; needs dnsmasq'],
    switches: { '--dhcp': true, '--no-dhcp': false },
  }),
  hostReserve: always(integer(1, HOST_RESERVE_MAX), HOST_RESERVE_DEFAULT, {
    ...{ key: 'host-reserve', unit: 'addresses' },
    doc: "The slice's .1 to .N belong to this host.",
    help: [
      'host-reserve N, --host-reserve N',
      "the slice's .1 to .N stay with this host (default 1)",
    ],
  }),
  /** Bridge name; null = from the slice. It is the link's name, and compared as that. */
  bridge: always(orNull(interfaceName), null, {
    ...{ key: 'bridge', example: 'fan-250-0-28', onChange: 'elsewhere' },
    doc: 'Name of the bridge; fan- and the slice.',
    help: [
      'bridge NAME, --bridge NAME',
      'name of the bridge (default fan- and the slice, as fan-250-0-28)',
    ],
  }),
  /**
   * A TUN or TAP that is there already and belongs to this user; absent = fanway makes one, and all that is
   * around it.
   */
  device: asked(interfaceName, {
    ...{ key: 'device', onChange: 'elsewhere' },
    doc: 'A TUN or TAP that root made for this user: it is taken as it is, and nothing else of the host is touched.',
    help: ['--device NAME', 'a TUN or TAP that root made for this user'],
  }),
  ...DEVICE_ROWS,
} as const;

/** What becomes of its packets' headers, and who forwards them. */
const PACKET_ROWS = {
  dscp: carried(
    always(choice(['pipe', 'uniform']), 'pipe', {
      key: 'dscp',
      doc: 'RFC 2983: pipe leaves the inner DSCP alone.',
      help: [
        '--dscp pipe|uniform',
        'leave the inner DSCP alone, or copy it both ways (default pipe)',
      ],
    }),
  ),
  sourcePort: always(choice(['pool', 'fixed']), 'pool', {
    key: 'source-port',
    doc: 'Outer UDP source port: from a small pool by inner flow, or one fixed port.',
    help: [
      '--source-port pool|fixed',
      'outer source ports by inner flow, or a single one (default pool)',
    ],
  }),
  /** RFC 826's question needs no way to the far host where the answer follows from the address. */
  derivedMacs: carried(
    asked(
      boolean,
      {
        key: 'derived-macs',
        doc: "Containers' MACs are 02:42 and the four bytes of their addresses (Docker's rule until 27): ARP for them is answered here.",
        help: ['--derived-macs', "containers' MACs follow from their addresses: answer ARP here"],
      },
      false,
    ),
  ),
  ...NAT_ROWS,
  ...RATE_ROWS,
  ...DATAPATH_ROWS,
} as const;

export const FAN_ROWS = {
  ...SIDE_ROWS,
  ...TUNNEL_ROWS,
  ...HOST_ROWS,
  ...PACKET_ROWS,
  /** Masquerade overlay traffic that leaves the overlay, where nft is there. */
  masquerade: always(boolean, true, {
    key: 'masquerade',
    doc: 'Masquerade overlay traffic that leaves the overlay (where nft is there).',
    help: ['--no-masquerade', 'do not masquerade what leaves the overlay (done where nft is)'],
    switches: { '--masquerade': true, '--no-masquerade': false },
  }),
  /** Marked `off`: known, not to be started. */
  off: always(boolean, false, {
    ...{ key: 'enabled', default: 'yes', inverted: true, onChange: 'elsewhere' },
    doc: 'A fan that is not enabled is checked, not started.',
    help: ['off, --off', 'keep the line, but do not bring this fan up'],
    switches: { '--enable': true, '--disable': false, '--off': false },
  }),
  /** Go on although the overlay contains a route or an address of this host. */
  force: always(boolean, false, {
    ...{ key: 'force', onChange: 'elsewhere' },
    doc: 'Go on although the overlay contains a route or an address of this host.',
    help: ['--force', 'although the overlay hides routes or addresses of this host'],
  }),
} as const;
