/**
 * `fanway doctor`: what this machine offers, and what each missing piece costs.
 * @module
 */
import { randomBytes } from 'node:crypto';
import { accessSync, constants, readFileSync } from 'node:fs';
import { release } from 'node:os';
import { findDnsmasq } from '../../control/host/dhcp.ts';
import { ExitCode, messageOf } from '../../errors.ts';
import { parseHostAddress } from '../../net/underlay-address.ts';
import { whyNoKernelPath } from '../../sys/bpf/kernel-path.ts';
import { findNft } from '../../sys/host/nft.ts';
import { hasBackpressure, openTun } from '../../sys/host/tun.ts';
import { libc } from '../../sys/libc/libc.ts';
import { Netlink } from '../../sys/netlink/netlink.ts';
import { hasCapability } from '../../sys/process/capabilities.ts';
import { NetworkNamespace } from '../../sys/process/netns.ts';
import { buffersForUsers, obstaclesForUsers, tunObstacle } from '../../sys/process/rootless.ts';
import { openIpip, openUdp, SOCKET_BUFFER_BYTES } from '../../sys/sockets/sockets.ts';
import { findWay } from '../run/internet.ts';
import { columns, noMore, printJson, takeFlags, type Verb } from '../verb/verb.ts';
import { guardReport, portReport } from './doctor-bgp.ts';
import { bypassReport } from './doctor-bypass.ts';
import { forwardingReport } from './doctor-forwarding.ts';
import { trainsReport } from './doctor-trains.ts';
import { type UnderlaysReport, underlaysReport } from './doctor-underlays.ts';
import { BAD_STRETCHES, isWithin, stretchText } from './kernel-stretches.ts';

export type DoctorFinding = {
  name: string;
  state: 'yes' | 'no' | 'unknown';
  detail: string;
  /** What its absence costs. */
  cost: string;
  /** Without it nothing works. */
  needed: boolean;
};

type Probe = { name: string; cost: string; needed?: boolean; run(): Promise<string> | string };

/** A probe that cannot tell, with the reason. */
class Unknown extends Error {}

const LOOPBACK = 0x7f000001;
const LOOPBACK_IPV6 = parseHostAddress('::1');

/** Runs in a namespace of its own, so that probing leaves no trace on the host. */
function aside<T>(fn: () => T): T {
  let namespace: NetworkNamespace;
  try {
    namespace = NetworkNamespace.create();
  } catch (error) {
    throw new Unknown(`not tried, needs root for a namespace to try in (${messageOf(error)})`);
  }
  try {
    return namespace.run(fn);
  } finally {
    namespace.close();
  }
}

function tun(kind: 'tun' | 'tap'): ReturnType<typeof openTun> {
  return aside(() => {
    const name = `fwd${randomBytes(4).toString('hex')}`;
    const device = openTun(name, { kind, offload: true, multiQueue: false });
    libc.close(device.fd);
    return device;
  });
}

function require(condition: boolean, detail: string): string {
  if (!condition) throw new Error(detail);
  return detail;
}

const PROBES: readonly Probe[] = [
  {
    name: 'Node.js',
    needed: true,
    cost: 'fanway needs Node 20 or later',
    run: () => require(Number(process.versions.node.split('.')[0]) >= 20, process.versions.node),
  },
  {
    name: 'Linux',
    needed: true,
    cost: 'fanway runs on Linux only',
    run: () => require(process.platform === 'linux', `${process.platform} ${release()}`),
  },
  {
    name: 'CAP_NET_ADMIN',
    needed: true,
    cost: 'up, down and daemon need it: run them as root',
    run: () =>
      require(hasCapability('NET_ADMIN'), hasCapability('NET_ADMIN') ? 'held' : 'not held'),
  },
  {
    name: '/dev/net/tun',
    needed: true,
    cost: 'no tunnel at all: in a container, pass the device in',
    run: () => {
      const obstacle = tunObstacle();
      if (obstacle !== undefined) throw new Error(obstacle.replace(/\.$/, ''));
      tun('tap');
      return 'TUN and TAP devices can be made';
    },
  },
  {
    name: 'virtio-net header',
    cost: 'one packet per system call: several times slower',
    run: () => require(tun('tap').vnetHeader, 'IFF_VNET_HDR'),
  },
  {
    name: 'TCP segmentation',
    cost: 'TCP crosses in single segments: several times slower',
    run: () => require(tun('tap').tso, 'TUN_F_TSO4'),
  },
  {
    name: 'UDP segmentation',
    cost: 'UDP super-packets are cut by the kernel (Linux 6.2 has it)',
    run: () => require(tun('tap').uso, 'TUN_F_USO4'),
  },
  {
    name: 'queue on the tunnel device',
    cost: 'its ring drops at the tail when this host is the bottleneck, and no qdisc on it works: give the link a --rate (Linux 7.3 has IFF_BACKPRESSURE)',
    run: () => require(hasBackpressure(), 'IFF_BACKPRESSURE'),
  },
  {
    name: 'UDP_SEGMENT',
    cost: 'one system call per datagram sent: slower vxlan and fou (Linux 4.18 has it)',
    run: () => probeUdp((socket) => socket.segment, 'UDP_SEGMENT'),
  },
  {
    name: 'UDP_GRO',
    cost: 'one datagram per receive: slower vxlan and fou (Linux 5.0 has it)',
    run: () => probeUdp((socket) => socket.gro, 'UDP_GRO'),
  },
  {
    name: 'raw sockets',
    cost: 'no --encap ipip and no capture; vxlan and fou work',
    run: () => {
      require(hasCapability('NET_RAW'), 'CAP_NET_RAW is not held');
      for (const inside of [4, 6] as const) libc.close(openIpip(LOOPBACK, 0, 1, inside).fd);
      return 'IP protocols 4 and 41';
    },
  },
  {
    name: 'IPv6 underlay',
    cost: 'no fan over IPv6, and gossip over IPv4 only: set net.ipv6.conf.all.disable_ipv6=0, or boot without ipv6.disable=1',
    run: () => {
      libc.close(openUdp(LOOPBACK_IPV6, 0, { offload: true, reusePort: false }).fd);
      return 'UDP over IPv6';
    },
  },
  {
    name: 'bridges',
    needed: true,
    cost: 'containers cannot be attached: load the bridge module',
    run: async () => {
      const netlink = aside(() => Netlink.open());
      try {
        await netlink.createBridge('fwdoctor');
        return 'can be made';
      } finally {
        netlink.close();
      }
    },
  },
  {
    name: 'IPv4 forwarding',
    cost: 'no ipip, no fou, no way out of the overlay: set net.ipv4.ip_forward=1 as root',
    run: () => {
      const value = readFileSync('/proc/sys/net/ipv4/ip_forward', 'latin1').trim();
      if (value !== '1') accessSync('/proc/sys/net/ipv4/ip_forward', constants.W_OK);
      return value === '1' ? 'on' : 'off now, and can be turned on';
    },
  },
  {
    name: 'way through firewalls',
    cost: 'forwarded packets of a fan are dropped here',
    run: async () => {
      if (!hasCapability('NET_ADMIN')) throw new Unknown('not tried, needs root to read nftables');
      const { said, wrong } = await forwardingReport();
      return require(wrong.length === 0, [...wrong, ...said].join('; ') || 'nothing drops there');
    },
  },
  {
    name: 'nft',
    cost: 'no masquerading: containers reach the overlay and nothing beyond it',
    run: () => findNft() ?? require(false, 'not found (Debian: apt-get install nftables)'),
  },
  {
    name: 'dnsmasq',
    cost: 'the option dhcp is refused: address containers yourself',
    run: () => findDnsmasq() ?? require(false, 'not found (Debian: apt-get install dnsmasq-base)'),
  },
  {
    name: 'network namespaces',
    cost: 'no demo, and no tests with several hosts on this machine',
    run: () => aside(() => 'can be made'),
  },
  {
    name: 'user namespaces',
    cost: 'an ordinary user can use neither fanway run nor the demo',
    run: () => {
      const obstacles = obstaclesForUsers();
      return require(obstacles.length === 0, obstacles.join('; ') || 'fanway run needs no root');
    },
  },
  {
    name: 'socket buffers without root',
    cost: 'one stream of fanway run at half: what a short receive buffer cannot take is lost',
    run: () => {
      const line = buffersForUsers(SOCKET_BUFFER_BYTES);
      return require(line === '', line || `${SOCKET_BUFFER_BYTES >> 20} MB`);
    },
  },
  {
    name: 'way out without root',
    cost: 'commands of fanway run reach the overlay and nothing else (Debian: apt-get install passt)',
    run: () => findWay()?.path ?? require(false, 'neither pasta nor slirp4netns'),
  },
  {
    name: 'kernel VXLAN',
    cost: 'nothing to compare with in demo and bench',
    run: async () => {
      const netlink = aside(() => Netlink.open());
      try {
        await netlink.createVxlan('fwdoctor', { vni: 1, port: 4789, local: LOOPBACK });
        return 'can be made';
      } finally {
        netlink.close();
      }
    },
  },
  {
    name: 'BGP port',
    cost: 'BGP neighbours cannot connect here, and are dialled: run as root, or with CAP_NET_BIND_SERVICE',
    run: () => {
      const { isThere, text } = portReport();
      return require(isThere, text);
    },
  },
  {
    name: 'BGP guards',
    cost: 'no md5-file and ttl-security for BGP neighbours (kernel option TCP_MD5SIG)',
    run: guardReport,
  },
  {
    name: 'kernel data path',
    cost: '--datapath kernel is refused, and auto takes userspace',
    run: async () => {
      const netlink = aside(() => Netlink.open());
      try {
        const why = await whyNoKernelPath(netlink);
        return require(why === '', why || 'its programs can be loaded and attached');
      } finally {
        netlink.close();
      }
    },
  },
  {
    name: 'way past the bridge',
    cost: 'what the kernel forwards takes half as long again',
    run: async () => {
      let found: Awaited<ReturnType<typeof bypassReport>>;
      try {
        found = await bypassReport();
      } catch (error) {
        throw new Unknown(`no router answers (${messageOf(error)})`);
      }
      if (found.fans.length === 0) throw new Unknown('no fan here is forwarded by the kernel');
      return require(found.isWhole, found.fans.slice(0, 8).join('; '));
    },
  },
  {
    name: 'whole trains to peers',
    cost: 'a card or hypervisor cuts trains badly: datagrams go there in a shape that arrives, at some cost of speed',
    run: async () => {
      let damaged: string[];
      try {
        damaged = await trainsReport();
      } catch (error) {
        throw new Unknown(`no router answers (${messageOf(error)})`);
      }
      const isWell = damaged.length === 0;
      return require(isWell, isWell
        ? 'none was seen to arrive damaged'
        : `damaged at ${damaged.slice(0, 8).join(', ')}`);
    },
  },
  {
    name: 'underlays of links',
    cost: 'what would go by one that is lost goes by the others, and has less room there',
    run: async () => {
      let found: UnderlaysReport;
      try {
        found = await underlaysReport();
      } catch (error) {
        throw new Unknown(`no router answers (${messageOf(error)})`);
      }
      if (!found.isSeveral) throw new Unknown('no link here has several');
      const { wrong, well } = found;
      return require(wrong.length === 0, (wrong.length === 0 ? well : wrong)
        .slice(0, 8)
        .join('; '));
    },
  },
  ...BAD_STRETCHES.map(
    (stretch): Probe => ({
      name: stretch.name,
      cost: stretch.cost,
      run: () => {
        const within = isWithin(release(), stretch);
        if (within === undefined) throw new Unknown(`what release is ${release()}?`);
        const detail = `Linux ${release()} is ${within ? '' : 'not '}one of ${stretchText(stretch)}`;
        return require(!within, within ? `${detail}, unless its distribution mended it` : detail);
      },
    }),
  ),
];

function probeUdp(has: (socket: ReturnType<typeof openUdp>) => boolean, detail: string): string {
  const socket = openUdp(LOOPBACK, 0, { offload: true, reusePort: false });
  libc.close(socket.fd);
  return require(has(socket), detail);
}

async function find(probe: Probe): Promise<DoctorFinding> {
  const base = { name: probe.name, cost: probe.cost, needed: probe.needed === true };
  try {
    return { ...base, state: 'yes', detail: await probe.run() };
  } catch (error) {
    const state = error instanceof Unknown ? 'unknown' : 'no';
    return { ...base, state, detail: messageOf(error) };
  }
}

/** Everything found, in order of need. */
export async function examine(): Promise<DoctorFinding[]> {
  const findings: DoctorFinding[] = [];
  for (const probe of PROBES) findings.push(await find(probe));
  return findings;
}

export const doctor: Verb = {
  name: 'doctor',
  summary: 'what this machine offers, and what each missing piece costs',
  usage: ['doctor [--json]'],
  options: [['--json', 'the same as JSON']],
  examples: [['fanway doctor', 'exit code 1 when something that is needed is missing']],
  async run(args, io) {
    const { flags, rest } = takeFlags(args, { '--json': 'switch' });
    noMore(rest, doctor);
    const findings = await examine();
    if (flags.has('--json')) printJson(io, findings);
    else {
      const rows = findings.map(({ name, state, detail, cost, needed }) => {
        const without = state === 'unknown' ? 'without it ' : '';
        const text =
          state === 'yes' ? detail : `${detail}: ${needed ? 'NEEDED; ' : ''}${without}${cost}`;
        return [`${state.padEnd(7)} ${name}`, text] as const;
      });
      io.out(`${columns(rows).join('\n')}\n`);
    }
    const sound = findings.every((finding) => !finding.needed || finding.state !== 'no');
    return sound ? ExitCode.Ok : ExitCode.Failed;
  },
};
