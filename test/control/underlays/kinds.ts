/**
 * What is the same for every encapsulation and both families: links between two hosts of a lab over the same
 * two underlays, all at once; packets spread or keep to the first, and when that falls silent all go by the
 * other. The hosts themselves talk, from their own addresses in each overlay.
 */
import type { Test } from 'tap';
import { type NetworkJson, networksCall } from '../../../src/api/networks.ts';
import { callRouter } from '../../../src/control/admin/admin-client.ts';
import { RunDirectory } from '../../../src/control/store/run-directory.ts';
import type { Lab, LabHost } from '../../../src/demo/lab.ts';
import { runFanway } from '../../../src/demo/router.ts';
import {
  formatHostAddress,
  parseHostAddress,
  type UnderlayAddress,
  withLastWord,
} from '../../../src/net/underlay-address.ts';
import type { UnderlayMode } from '../../../src/net/underlay-modes.ts';
import { writeSysctl } from '../../../src/sys/host/sysctl.ts';
import { addressOf, libc } from '../../../src/sys/libc/libc.ts';
import { openUdp, socketAddress } from '../../../src/sys/sockets/sockets.ts';
import { BRIDGE, type Encap, startFlow, statusOf } from '../../faults/rig.ts';
import { rawMetrics } from '../../netns/gossip/cluster.ts';
import { giveIpv6, turnOnIpv6 } from '../../support/ipv6-underlay.ts';
import { until } from '../../support/patience.ts';
import { killIfThere } from '../../support/processes.ts';
import { addressOn, silence } from './lab.ts';

const NOBODYS_PORT = 7999;
const IPV6_NETWORKS = ['fd00:30::', 'fd00:31::'];

/** A fan over two underlays beside others, by the first byte of its overlay, or a layer-2 network. */
export type Kind = { encap: Encap; mode: UnderlayMode; isIpv6?: boolean } & (
  | { overlay: number; vni?: undefined }
  | { vni: number }
);

const bridgeOf = (kind: Kind): string =>
  kind.vni === undefined ? `fan-${kind.overlay}` : `br-n${kind.vni}`;
/** The host's own address in a fan, .1 of its slice; in a network one that it is given. */
const gatewayOf = (kind: Kind, host: LabHost): number =>
  kind.vni === undefined
    ? ((kind.overlay << 24) | ((host.address & 0xffff) << 8) | 1) >>> 0
    : (0x0a000000 | (kind.vni << 16) | (host.index + 1)) >>> 0;

/** The name that a host has in status, that of its first address. */
export function nameOf(host: LabHost, isIpv6 = false): string {
  return formatHostAddress(isIpv6 ? ipv6On(0, host) : host.address);
}

/** A host's IPv6 address on an underlay. */
function ipv6On(underlay: number, host: LabHost): UnderlayAddress {
  const network = parseHostAddress(IPV6_NETWORKS[underlay] ?? '');
  return withLastWord(network, host.address & 0xffff);
}

/** Gives hosts IPv6 addresses on both underlays, beside those of IPv4. */
export function addIpv6Underlays(hosts: readonly LabHost[]): void {
  for (const host of hosts) {
    turnOnIpv6(host);
    host.run(() => {
      writeSysctl('net/ipv6/conf/eth1/disable_ipv6', '0');
      writeSysctl('net/ipv6/conf/eth1/accept_ra', '0');
    });
    for (const underlay of [0, 1]) giveIpv6Again(host, underlay);
  }
}

/** An address of IPv6 goes with the device that is put down. */
export function giveIpv6Again(host: LabHost, underlay: number): void {
  giveIpv6(host, `${formatHostAddress(ipv6On(underlay, host))}/112`, `eth${underlay}`);
}

function routerOf(host: LabHost, path: string): Promise<unknown> {
  const run = new RunDirectory(host.runDirectory);
  return callRouter(run, path, undefined, { anyNamespace: true });
}

async function networksOf(host: LabHost): Promise<NetworkJson[]> {
  return networksCall.answer(await routerOf(host, '/v1/networks'), 'networks');
}

/** Kills a host's control process and waits for the one after it. */
export async function killControl(host: LabHost): Promise<void> {
  const { pid } = await statusOf(host);
  killIfThere(pid);
  await until('another control', 10_000, async () => {
    const now = await statusOf(host).catch(() => undefined);
    return now !== undefined && now.pid !== pid;
  });
}

/** How the way of a link to a peer by one underlay stands, as status says. */
export async function wayTo(host: LabHost, peer: string, underlay: number, bridge = BRIDGE) {
  const link = bridge.startsWith('br-')
    ? (await networksOf(host)).find((network) => network.bridge === bridge)
    : (await statusOf(host)).links.find(({ name }) => name === bridge);
  return link?.underlays?.[underlay]?.peers.find((one) => one.peer === peer);
}

/** The same as the metrics page has it: `up`, `lost_ratio`, … of one way, by name. */
export async function wayMetrics(
  host: LabHost,
  peer: string,
  underlay: number,
  bridge = BRIDGE,
): Promise<Record<string, number>> {
  const labels = `{link="${bridge}",underlay="eth${underlay}",peer="${peer}"}`;
  const start = 'fanway_underlay_way_';
  return Object.fromEntries(
    (await rawMetrics(host)).split('\n').flatMap((line) => {
      const [name = '', value] = line.split(labels);
      return value === undefined || !name.startsWith(start)
        ? []
        : [[name.slice(start.length), Number(value)]];
    }),
  );
}

export function untilState(
  host: LabHost,
  peer: string,
  underlay: number,
  state: string,
  bridge = BRIDGE,
) {
  const what = `${host.name} ${bridge} has ${peer} ${state} by ${underlay}`;
  return until(what, 10_000, async () => {
    const way = await wayTo(host, peer, underlay, bridge);
    return way?.state === state && way;
  });
}

const underlaysOf = ({ isIpv6 = false }: Kind): string =>
  isIpv6 ? 'eth0/112,eth1/112' : 'eth0/16,eth1/16';

export async function upKinds(hosts: readonly LabHost[], kinds: readonly Kind[]): Promise<void> {
  for (const kind of kinds) {
    const mode = ['--underlay-mode', kind.mode];
    await Promise.all(
      hosts.map((host) => {
        if (kind.vni !== undefined) return addNetwork(kind, host, hosts, mode);
        const words = ['bridge', bridgeOf(kind), '--encap', kind.encap, ...mode];
        return runFanway(host, ['up', `${kind.overlay}.0.0.0/8`, underlaysOf(kind), ...words]);
      }),
    );
  }
}

/** Nobody gossips here: hosts are named to each other, by their first address. */
function addNetwork(
  kind: Kind & { vni: number },
  host: LabHost,
  hosts: readonly LabHost[],
  mode: string[],
): Promise<string> {
  const others = hosts.filter((one) => one !== host).map((one) => nameOf(one, kind.isIpv6));
  return runFanway(host, [
    ...['net', 'add', `n${kind.vni}`, '--vni', String(kind.vni), '--bum', 'learn', ...mode],
    ...['--underlay', underlaysOf(kind), '--peer', others.join(',')],
    ...['--address', `${formatHostAddress(gatewayOf(kind, host))}/24`],
  ]);
}

export async function downKinds(hosts: readonly LabHost[], kinds: readonly Kind[]): Promise<void> {
  for (const kind of kinds) {
    const args =
      kind.vni === undefined
        ? ['down', `${kind.overlay}.0.0.0/8`, underlaysOf(kind)]
        : ['net', 'rm', `n${kind.vni}`, '--force'];
    await Promise.all(hosts.map((host) => runFanway(host, args)));
  }
}

/** Packets that a link has sent by each of two underlays. */
async function sentBy(host: LabHost, kind: Kind): Promise<[number, number]> {
  const all = await routerOf(host, '/v1/counters');
  const counters = (all as Record<string, Record<string, number>>)[bridgeOf(kind)] ?? {};
  return [counters['event.sent_underlay_1'] ?? 0, counters['event.sent_underlay_2'] ?? 0];
}

/** Sends a datagram over every link, both ways: packets go there, so the ways are asked about. */
function nudge(a: LabHost, b: LabHost, kinds: readonly Kind[]): void {
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    from.run(() => {
      for (const kind of kinds) {
        const { fd } = openUdp(gatewayOf(kind, from), 0, { offload: false, reusePort: false });
        const name = socketAddress(gatewayOf(kind, to), NOBODYS_PORT);
        const bytes = Buffer.alloc(32);
        libc.sendto(fd, addressOf(bytes), bytes.length, 0, addressOf(name), name.length);
        libc.close(fd);
      }
    });
  }
}

/** A short flow of many ports over every link; how many packets came, and left by each underlay. */
async function talk(t: Test, a: LabHost, b: LabHost, kinds: readonly Kind[]) {
  const flows = await Promise.all(
    kinds.map(async (kind) => {
      const address = gatewayOf(kind, b);
      const flow = await startFlow(a, b, { rate: 200, seconds: 0.5, flows: 32, address });
      return { kind, before: await sentBy(a, kind), flow };
    }),
  );
  return Promise.all(
    flows.map(async ({ kind, before, flow }) => {
      const { sent, received } = await flow.finish();
      const came = `${bridgeOf(kind)}: ${received.received} of ${sent.sent} came`;
      t.ok(sent.sent > 0 && received.received >= 0.8 * sent.sent, came);
      const after = await sentBy(a, kind);
      return { kind, first: after[0] - before[0], second: after[1] - before[1] };
    }),
  );
}

/** All links work over both underlays now, each in its mode. */
export async function checkKinds(t: Test, lab: Lab, kinds: readonly Kind[]): Promise<void> {
  const [a, b] = [lab.host(0), lab.host(1)];
  nudge(a, b, kinds);
  for (const kind of kinds) {
    const peer = nameOf(b, kind.isIpv6);
    const { address, delayMs } = await untilState(a, peer, 1, 'up', bridgeOf(kind));
    t.equal(address, formatHostAddress(kind.isIpv6 ? ipv6On(1, b) : addressOn(1, b)));
    t.type(delayMs, 'number');
    await untilState(b, nameOf(a, kind.isIpv6), 1, 'up', bridgeOf(kind));
  }
  for (const { kind, first, second } of await talk(t, a, b, kinds)) {
    const what = `${bridgeOf(kind)}: ${first} by the first, ${second} by the second`;
    if (kind.mode === 'balance-xor') t.ok(first > 10 && second > 10, what);
    else t.ok(first > 50 && second === 0, what);
  }
}

/** The first underlay falls silent: every link goes by the other, and comes back. */
export async function checkSilence(t: Test, lab: Lab, kinds: readonly Kind[]): Promise<void> {
  const [a, b] = [lab.host(0), lab.host(1)];
  for (const host of [a, b]) await silence(lab, host, 0, true);
  nudge(a, b, kinds);
  for (const kind of kinds) {
    const way = await untilState(a, nameOf(b, kind.isIpv6), 0, 'lost', bridgeOf(kind));
    t.equal(way.cause, 'silent', bridgeOf(kind));
  }
  for (const { kind, first, second } of await talk(t, a, b, kinds)) {
    t.ok(second > 50 && first < second, `${bridgeOf(kind)}: ${first} by the one that is lost`);
  }
  for (const host of [a, b]) await silence(lab, host, 0, false);
  for (const kind of kinds) {
    await untilState(a, nameOf(b, kind.isIpv6), 0, 'up', bridgeOf(kind));
  }
}
