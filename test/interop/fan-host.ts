/** A fanway on a lab host with one container behind it, and its books. @module */
import type { Test } from 'tap';
import type { Lab, LabContainer, LabHost } from '../../src/demo/lab.ts';
import { runFanway } from '../../src/demo/router.ts';
import { type Ipv4FanMap, sliceOf } from '../../src/net/fan.ts';
import { formatPrefix, parsePrefix } from '../../src/net/prefix.ts';
import { unaccounted } from '../../src/table/counters.ts';
import { PATIENCE } from '../support/patience.ts';

export const FAN: Ipv4FanMap = {
  overlay: parsePrefix('250.0.0.0/8'),
  underlay: parsePrefix('172.30.0.0/16'),
};
const BRIDGE = 'fan-250';
/** The container's place in its slice. */
const WORKLOAD = 10;
const BOOKS_MS_MAX = 3000 * PATIENCE;

/** The container address that belongs to the slice of an underlay host. */
export function workloadOf(underlay: number): number {
  return sliceOf(FAN, underlay).address + WORKLOAD;
}

export class FanHost {
  readonly host: LabHost;
  readonly container: LabContainer;

  private constructor(host: LabHost, container: LabContainer) {
    this.host = host;
    this.container = container;
  }

  /**
   * `fanway up 250.0.0.0/8 eth0/16 …more` on the lab's host, its first container plugged in; taken
   * down with the test. Bridged fans give the container the whole overlay on-link, routed ones its
   * slice and a gateway, as the bridge's own address says.
   * @throws RouterError
   */
  static async up(lab: Lab, index: number, more: readonly string[]): Promise<FanHost> {
    const host = lab.host(index);
    const container = lab.container(index);
    await runFanway(host, ['up', '250.0.0.0/8', 'eth0/16', 'bridge', BRIDGE, ...more]);
    const [gateway] = await host.netlink.addresses(BRIDGE);
    if (gateway === undefined) throw new Error(`${BRIDGE} has no address`);
    await container.attach({
      bridge: BRIDGE,
      address: workloadOf(host.address),
      length: gateway.length,
      gateway: gateway.address,
    });
    return new FanHost(host, container);
  }

  async down(): Promise<void> {
    await this.container.detach();
    await runFanway(this.host, ['down', formatPrefix(FAN.overlay), 'eth0/16']);
  }

  /** MAC of the bridge, which is the gateway of the slice. */
  async bridgeMac(): Promise<number> {
    return (await this.host.netlink.link(BRIDGE)).address;
  }

  /** What `fanway counters --json` says of the one link. */
  async counters(): Promise<Record<string, number>> {
    const parsed: unknown = JSON.parse(await runFanway(this.host, ['counters', '--json']));
    const [counters] = Object.values(parsed as Record<string, Record<string, number>>);
    if (counters === undefined) throw new Error('fanway counts no link');
    return counters;
  }

  /** Status and all counters that are not zero, for the report of a failure. */
  async story(): Promise<string> {
    const status = await runFanway(this.host, ['status', '--json']).catch(String);
    const counted = Object.entries(await this.counters()).filter(([, value]) => value !== 0);
    return `${status}\n${JSON.stringify(Object.fromEntries(counted))}`;
  }

  /**
   * Asserts conservation in both directions, and that nothing was dropped but for the reasons in
   * `expected` (`ingress.drop.foreign_source` → how many). Returns the counters.
   */
  async books(
    t: Test,
    expected: Readonly<Record<string, number>> = {},
  ): Promise<Record<string, number>> {
    const deadline = Date.now() + BOOKS_MS_MAX;
    let counters = await this.counters();
    // A batch may be under way while we look.
    while (Date.now() < deadline && rest(counters) !== 0) counters = await this.counters();
    t.equal(unaccounted(counters, 'egress'), 0, 'egress: received = delivered + drops');
    t.equal(unaccounted(counters, 'ingress'), 0, 'ingress: received = delivered + drops');
    const dropped = Object.entries(counters).filter(
      ([name, value]) => name.includes('.drop.') && value !== 0,
    );
    t.strictSame(Object.fromEntries(dropped), expected, 'nothing else was dropped');
    return counters;
  }

  /** As {@link books}, and packets went both ways through fanway. */
  async balance(
    t: Test,
    expected: Readonly<Record<string, number>> = {},
  ): Promise<Record<string, number>> {
    const counters = await this.books(t, expected);
    t.ok((counters['egress.delivered'] ?? 0) > 0, 'it went through fanway');
    t.ok((counters['ingress.delivered'] ?? 0) > 0, 'it came through fanway');
    return counters;
  }
}

function rest(counters: Record<string, number>): number {
  return Math.abs(unaccounted(counters, 'egress')) + Math.abs(unaccounted(counters, 'ingress'));
}
