/**
 * The demo's scenery: a lab of three hosts, and one overlay after the other put up on it, measured
 * and taken down.
 * @module
 */
import { carriesFrames } from '../encap/encap.ts';
import { type FanMap, sliceOf } from '../net/fan.ts';
import { formatPrefix, type Prefix } from '../net/prefix.ts';
import type { Link } from '../sys/netlink/netlink.ts';
import { hasIpv6, measureSix, OVERLAY6, upBeside } from './dual-stack.ts';
import { addKernelVxlan, type KernelEnd, removeKernelVxlan } from './kernel-vxlan.ts';
import { Lab, type LabContainer, type LabHost } from './lab.ts';
import { type Checkpoint, measureOverlay } from './measure.ts';
import { killAllIn, processesIn } from './processes.ts';
import type { CountedHost, OverlayReport } from './report.ts';
import { readCounters, runFanway } from './router.ts';

const HOSTS = 3;
const CONTAINERS_PER_HOST = 2;
const UNDERLAY_MTU = 1500;
const FAN_BRIDGE = 'fan-250';
const KERNEL = {
  bridge: 'kernel-250',
  device: 'kernel-vxlan',
  vni: 250,
  port: 8472,
  underlayMtu: UNDERLAY_MTU,
};
/** Where the addresses of containers begin in each slice: .10, .11, ... */
const FIRST_CONTAINER = 10;

export class Stage {
  readonly lab: Lab;
  readonly #map: FanMap;

  private constructor(lab: Lab, map: FanMap) {
    this.lab = lab;
    this.#map = map;
  }

  /**
   * Builds hosts and containers, not yet joined by an overlay.
   * @throws SystemError EPERM without the right to make namespaces.
   */
  static async build(overlay: Prefix, underlay: string): Promise<Stage> {
    const lab = await Lab.create({
      hosts: HOSTS,
      containersPerHost: CONTAINERS_PER_HOST,
      underlay,
      mtu: UNDERLAY_MTU,
    });
    const stage = new Stage(lab, { overlay, underlay: lab.underlay });
    for (const host of lab.hosts) {
      host.containers.forEach((container, index) => {
        container.address = stage.#slice(host).address + FIRST_CONTAINER + index;
      });
    }
    return stage;
  }

  #slice(host: LabHost): Prefix {
    return sliceOf(this.#map, host.address);
  }

  /** Puts one overlay up, measures it, takes it down. `say` may throw to stop in between. */
  async run(overlay: 'vxlan' | 'ipip' | 'fou' | 'kernel', say: Checkpoint): Promise<OverlayReport> {
    return overlay === 'kernel' ? this.#runKernel(say) : this.#runFanway(overlay, say);
  }

  async #runFanway(encap: 'vxlan' | 'ipip' | 'fou', say: Checkpoint): Promise<OverlayReport> {
    const { hosts } = this.lab;
    const fan = [formatPrefix(this.#map.overlay), `eth0/${this.#map.underlay.length}`];
    const started = performance.now();
    await Promise.all(
      hosts.map((host) => runFanway(host, ['up', ...fan, 'bridge', FAN_BRIDGE, '--encap', encap])),
    );
    const upMs = performance.now() - started;
    // Containers of a bridged fan have IPv6 as well.
    const isDual = carriesFrames(encap) && hasIpv6();
    if (isDual) {
      for (const container of this.lab.containers) container.setIpv6(true);
      await upBeside(hosts, FAN_BRIDGE, `eth0/${this.#map.underlay.length}`);
    }
    await this.#attachAll(FAN_BRIDGE);
    const also = isDual ? `, with ${OVERLAY6} beside` : '';
    say(`fanway is up on ${hosts.length} hosts (${Math.round(upMs)} ms)${also}`);
    const result = await measureOverlay(this.lab, say);
    if (isDual) say('TCP over IPv6, between addresses that containers made themselves');
    const six = isDual ? await measureSix(this.lab) : undefined;
    const counted: CountedHost[] = [];
    for (const host of hosts) counted.push({ host: host.name, ...(await readCounters(host)) });
    await this.#detachAll();
    await Promise.all(hosts.map((host) => runFanway(host, ['down', FAN_BRIDGE])));
    if (isDual) for (const container of this.lab.containers) container.setIpv6(false);
    return { overlay: encap, by: 'fanway', upMs, result, counted, ...(six && { six }) };
  }

  async #runKernel(say: Checkpoint): Promise<OverlayReport> {
    const ends: KernelEnd[] = [];
    for (const host of this.lab.hosts) {
      const containers: KernelEnd['containers'][number][] = [];
      for (const container of host.containers) {
        containers.push({ address: container.address, mac: await macOf(container) });
      }
      const { namespace, address: underlay } = host;
      ends.push({ namespace, underlay, gateway: this.#slice(host).address + 1, containers });
    }
    const options = { ...KERNEL, length: this.#map.overlay.length };
    const started = performance.now();
    const skipped = await addKernelVxlan(ends, options);
    if (skipped !== undefined) return { overlay: 'kernel', by: 'kernel', skipped };
    const upMs = performance.now() - started;
    await this.#attachAll(KERNEL.bridge);
    say("the kernel's own VXLAN with static forwarding entries, for comparison");
    const result = await measureOverlay(this.lab, say);
    const counted: CountedHost[] = [];
    for (const host of this.lab.hosts) {
      const device = await host.netlink.link(KERNEL.device);
      counted.push({ host: host.name, ...deviceCounters(device) });
    }
    await this.#detachAll();
    await removeKernelVxlan(ends, options);
    return { overlay: 'kernel', by: 'kernel', upMs, result, counted };
  }

  async #attachAll(bridge: string): Promise<void> {
    for (const host of this.lab.hosts) {
      // The bridge's own address says how wide a container's network is: the whole overlay when
      // bridged (vxlan), the slice when routed (ipip, fou).
      const [gateway] = await host.netlink.addresses(bridge);
      if (gateway === undefined) throw new Error(`${bridge} on ${host.name} has no address`);
      for (const container of host.containers) {
        await container.attach({
          bridge,
          address: container.address,
          length: gateway.length,
          gateway: gateway.address,
        });
      }
    }
  }

  async #detachAll(): Promise<void> {
    for (const container of this.lab.containers) await container.detach();
  }

  /** See {@link closeLab}. */
  close(): string[] {
    return closeLab(this.lab);
  }
}

/**
 * Ends every process in the lab and lets the namespaces go.
 * @returns what is still there, as sentences; nothing should be.
 */
export function closeLab(lab: Lab): string[] {
  const nodes = [...lab.hosts, ...lab.containers, lab.middle];
  const inodes = nodes.map((node) => node.namespace.inode);
  for (const inode of inodes) killAllIn(inode);
  lab.close();
  const left = inodes.flatMap((inode) => processesIn(inode));
  return left.length === 0 ? [] : [`processes left behind: ${left.join(', ')}`];
}

async function macOf(container: LabContainer): Promise<number> {
  return (await container.netlink.link('eth0')).address;
}

function deviceCounters(link: Link): Omit<CountedHost, 'host'> {
  const { txPackets, rxPackets } = link.statistics;
  return {
    egressReceived: txPackets,
    egressDelivered: txPackets,
    ingressReceived: rxPackets,
    ingressDelivered: rxPackets,
    drops: {},
    unaccounted: 0,
  };
}
