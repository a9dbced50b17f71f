/**
 * What is the same for every encapsulation and both families: links between two hosts of a lab over the same
 * two underlays, all at once; packets spread or keep to the first, and when that falls silent all go by the
 * other. The hosts themselves talk, from their own addresses in each overlay.
 */
import type { Test } from 'tap';
import type { RouterStatus } from '../../../src/api/status.ts';
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
import { type Encap, startFlow, statusOf } from '../../faults/rig.ts';
import { giveIpv6, turnOnIpv6 } from '../../support/ipv6-underlay.ts';
import { until } from '../../support/patience.ts';
import { addressOn, silence } from './lab.ts';

const IPV6_NETWORKS = ['fd00:30::', 'fd00:31::'];

/** A fan over two underlays beside others. */
export type Kind = {
  /** First byte of its overlay. */
  overlay: number;
  encap: Encap;
  mode: UnderlayMode;
  isIpv6?: boolean;
};

const bridgeOf = ({ overlay }: Kind): string => `fan-${overlay}`;
/** The host's own address in a fan: .1 of its slice. */
const gatewayOf = ({ overlay }: Kind, host: LabHost): number =>
  ((overlay << 24) | ((host.address & 0xffff) << 8) | 1) >>> 0;

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
    for (const underlay of [0, 1]) {
      giveIpv6(host, `${formatHostAddress(ipv6On(underlay, host))}/112`, `eth${underlay}`);
    }
  }
}

function wayIn(status: RouterStatus, bridge: string, peer: string, underlay: number) {
  const link = bridge === '' ? status.links[0] : status.links.find(({ name }) => name === bridge);
  return link?.underlays?.[underlay]?.peers.find((one) => one.peer === peer);
}

/** How the way to a peer by one underlay stands, as status says; of the first link, or one that is named. */
export async function wayTo(host: LabHost, peer: string, underlay: number, bridge = '') {
  return wayIn(await statusOf(host), bridge, peer, underlay);
}

export function untilState(
  host: LabHost,
  peer: string,
  underlay: number,
  state: string,
  bridge = '',
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
    const { overlay, encap, mode } = kind;
    const words = ['bridge', bridgeOf(kind), '--encap', encap, '--underlay-mode', mode];
    const args = ['up', `${overlay}.0.0.0/8`, underlaysOf(kind), ...words];
    await Promise.all(hosts.map((host) => runFanway(host, args)));
  }
}

export async function downKinds(hosts: readonly LabHost[], kinds: readonly Kind[]): Promise<void> {
  for (const kind of kinds) {
    const args = ['down', `${kind.overlay}.0.0.0/8`, underlaysOf(kind)];
    await Promise.all(hosts.map((host) => runFanway(host, args)));
  }
}

/** Packets that a link has sent by each of two underlays. */
async function sentBy(host: LabHost, kind: Kind): Promise<[number, number]> {
  const all = await callRouter(new RunDirectory(host.runDirectory), '/v1/counters', undefined, {
    anyNamespace: true,
  });
  const counters = (all as Record<string, Record<string, number>>)[bridgeOf(kind)] ?? {};
  return [counters['event.sent_underlay_1'] ?? 0, counters['event.sent_underlay_2'] ?? 0];
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
  await talk(t, a, b, kinds);
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
  const flows = await Promise.all(
    kinds.map((kind) =>
      startFlow(a, b, { rate: 100, seconds: 1, port: 7200, address: gatewayOf(kind, b) }),
    ),
  );
  for (const host of [a, b]) await silence(lab, host, 0, true);
  for (const kind of kinds) {
    const way = await untilState(a, nameOf(b, kind.isIpv6), 0, 'lost', bridgeOf(kind));
    t.equal(way.cause, 'silent', bridgeOf(kind));
  }
  for (const { kind, first, second } of await talk(t, a, b, kinds)) {
    t.ok(second > 50 && first < second, `${bridgeOf(kind)}: ${first} by the one that is lost`);
  }
  for (const host of [a, b]) await silence(lab, host, 0, false);
  await Promise.all(flows.map((flow) => flow.finish()));
  for (const kind of kinds) {
    await untilState(a, nameOf(b, kind.isIpv6), 0, 'up', bridgeOf(kind));
  }
}
