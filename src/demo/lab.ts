/**
 * A network on one machine: hosts and containers as network namespaces, for tests, demo and bench.
 *
 *     container ── veth ── host ── eth0 ──┐
 *     container ── veth ── host ── eth0 ──┤ middle namespace: a bridge (Lab.create),
 *     container ── veth ── host ── eth0 ──┘ a router (routed) or a wire for a relay (wired)
 *
 * Nothing outside these namespaces is touched. They vanish with the process; {@link Lab.close} also
 * ends whatever still runs inside them, and so does a {@link Guard} once the process was killed.
 * @module
 */
import type { ChildProcess, SpawnOptions } from 'node:child_process';
import { mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { formatIpv4 } from '../net/ipv4.ts';
import { hostMaskOf, networkOf, type Prefix, parsePrefix } from '../net/prefix.ts';
import { setOffloads } from '../sys/host/ethtool.ts';
import { readSysctl, writeSysctl } from '../sys/host/sysctl.ts';
import { Netlink } from '../sys/netlink/netlink.ts';
import { NetworkNamespace } from '../sys/process/netns.ts';
import { Guard } from './guard.ts';

/** The bridge of the middle namespace, and its ports by host. */
export const MIDDLE_BRIDGE = 'sw0';
export const portName = (host: number): string => `p${host}`;

export type LabOptions = {
  /** Default 2. */
  hosts?: number;
  /** Default 1. */
  containersPerHost?: number;
  /** Default 172.30.0.0/16. */
  underlay?: string;
  /** Underlay addresses (u32) of the hosts; default: spread so that the slices differ. */
  addresses?: readonly number[];
  /** Underlay MTU in bytes, default 1500. */
  mtu?: number;
  /** False: no checksum or segmentation offload on the underlay's veths, as on a plain card. */
  underlayOffloads?: boolean;
  /**
   * `switch` (default): one segment. `routed`: each host in a /24 of its own behind a router, so
   * that paths can shrink and packets be lost on the way. `wired`: ports without a bridge, for a
   * relay that copies frames between them.
   */
  middle?: 'switch' | 'routed' | 'wired';
  /** True: hosts and containers keep the IPv6 that the kernel gives them. */
  ipv6?: boolean;
};

/** How a container is joined to its host; addresses are u32, `mtu` in bytes. */
export type Attachment = {
  bridge: string;
  address: number;
  length: number;
  gateway?: number;
  mtu?: number;
};

/** One namespace with its netlink socket. */
export class LabNode {
  readonly name: string;
  readonly namespace: NetworkNamespace;
  readonly netlink: Netlink;
  readonly #children: Set<ChildProcess>;

  constructor(name: string, children: Set<ChildProcess>) {
    this.name = name;
    this.#children = children;
    this.namespace = NetworkNamespace.create();
    this.netlink = Netlink.open(this.namespace);
    // Router solicitations and the like would only be noise in packet counts.
    this.setIpv6(false);
  }

  /** Whether devices here speak IPv6; those that come later do the same. */
  setIpv6(on: boolean): void {
    this.namespace.run(() => {
      for (const scope of ['all', 'default']) {
        const key = `net/ipv6/conf/${scope}/disable_ipv6`;
        if (readSysctl(key) !== null) writeSysctl(key, on ? '0' : '1');
      }
    });
  }

  /** Starts a program here; it is killed when the lab closes. */
  spawn(command: string, args: readonly string[], options: SpawnOptions = {}): ChildProcess {
    const child = this.namespace.spawn(command, args, options);
    this.#children.add(child);
    child.once('exit', () => this.#children.delete(child));
    // A failed start is reported to whoever listens, and must not end the process if nobody does.
    child.on('error', () => this.#children.delete(child));
    return child;
  }

  /** Runs a synchronous function here (see {@link NetworkNamespace.run}). */
  run<T>(fn: () => T): T {
    return this.namespace.run(fn);
  }

  close(): void {
    this.netlink.close();
    this.namespace.close();
  }
}

/** A container: `eth0` here, `hostEnd` in its host. */
export class LabContainer extends LabNode {
  readonly host: LabHost;
  readonly hostEnd: string;
  address = 0;

  constructor(host: LabHost, index: number, children: Set<ChildProcess>) {
    super(`${host.name}c${index}`, children);
    this.host = host;
    this.hostEnd = `veth-c${index}`;
  }

  /**
   * Plugs the container into a bridge of its host and gives it its address and default route.
   * May be called again, to join another bridge or take another address.
   */
  async attach(to: Attachment): Promise<void> {
    const { netlink, hostEnd, host } = this;
    for (const old of await netlink.addresses('eth0')) {
      await netlink.deleteAddress('eth0', old.address, old.length);
    }
    const mtu = to.mtu ?? (await host.netlink.link(to.bridge)).mtu;
    await netlink.setLink('eth0', { mtu });
    await host.netlink.setLink(hostEnd, { mtu, master: to.bridge, up: true });
    await netlink.setLink('eth0', { up: true });
    await netlink.addAddress('eth0', to.address, to.length);
    if (to.gateway !== undefined) {
      await netlink.addRoute({ dst: { address: 0, length: 0 }, via: to.gateway });
    }
    this.address = to.address;
  }

  /** Unplugs it, keeping its namespace. */
  async detach(): Promise<void> {
    await this.host.netlink.setLink(this.hostEnd, { up: false, master: 0 });
  }
}

/** A host: `eth0` on the underlay, its containers, and a state folder for a router of its own. */
export class LabHost extends LabNode {
  readonly index: number;
  readonly address: number;
  /** Length of the address on eth0 (24 when routed, else the underlay's). */
  readonly length: number;
  /** For FANWAY_RUN_DIR. */
  readonly runDirectory: string;
  readonly containers: LabContainer[] = [];

  constructor(index: number, address: number, length: number, children: Set<ChildProcess>) {
    super(`host${index + 1}`, children);
    this.index = index;
    this.address = address;
    this.length = length;
    this.runDirectory = mkdtempSync(join(tmpdir(), `fanway-host${index + 1}-`));
  }

  /** The environment for a fanway on this host. */
  get environment(): NodeJS.ProcessEnv {
    return {
      ...process.env,
      FANWAY_RUN_DIR: this.runDirectory,
      FANWAY_STATE_DIR: join(this.runDirectory, 'state'),
    };
  }

  override close(): void {
    for (const container of this.containers) container.close();
    super.close();
    rmSync(this.runDirectory, { recursive: true, force: true });
  }
}

/** The whole network. Make it with {@link Lab.create}; always {@link Lab.close} it. */
export class Lab {
  readonly underlay: Prefix;
  readonly middle: LabNode;
  readonly hosts: LabHost[] = [];
  readonly #children = new Set<ChildProcess>();
  readonly #onExit = () => this.close();
  #guard: Guard | undefined;
  #closed = false;

  private constructor(underlay: Prefix) {
    this.underlay = underlay;
    this.middle = new LabNode('middle', this.#children);
    process.once('exit', this.#onExit);
  }

  /**
   * Builds the network, links up, containers not yet attached.
   * @throws SystemError EPERM without the right to make namespaces.
   */
  static async create(options: LabOptions = {}): Promise<Lab> {
    const lab = new Lab(parsePrefix(options.underlay ?? '172.30.0.0/16'));
    try {
      await lab.#build(options);
      lab.#guard = new Guard(
        [...lab.hosts, ...lab.containers, lab.middle].map(({ namespace }) => namespace),
        lab.hosts.map(({ runDirectory }) => runDirectory),
      );
    } catch (error) {
      lab.close();
      throw error;
    }
    return lab;
  }

  get containers(): LabContainer[] {
    return this.hosts.flatMap((host) => host.containers);
  }

  host(index: number): LabHost {
    const host = this.hosts[index];
    if (host === undefined) throw new Error(`the lab has no host ${index}`);
    return host;
  }

  container(host: number, index = 0): LabContainer {
    const container = this.host(host).containers[index];
    if (container === undefined) throw new Error(`host ${host} has no container ${index}`);
    return container;
  }

  /**
   * Sets the MTU (bytes) of the middle's end of a host's cable. With a routed middle this is a
   * path that shrinks: the router answers larger packets with "fragmentation needed".
   */
  async setPortMtu(host: number, mtu: number): Promise<void> {
    await this.middle.netlink.setLink(portName(host), { mtu });
  }

  /** Pulls (false) or plugs in a host's cable: the host sees its carrier go. */
  async setCable(host: number, plugged: boolean): Promise<void> {
    await this.middle.netlink.setLink(portName(host), { up: plugged });
  }

  /**
   * Ends every process inside the namespaces with SIGKILL, removes the state folders and lets the
   * namespaces go. Synchronous, so that it also works while the process exits; harmless twice.
   */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    process.off('exit', this.#onExit);
    for (const child of this.#children) child.kill('SIGKILL');
    const nodes: LabNode[] = [this.middle, ...this.hosts, ...this.containers];
    killResidents(nodes.map((node) => node.namespace));
    for (const host of this.hosts) host.close();
    this.middle.close();
    this.#guard?.dismiss();
  }

  async #build(options: LabOptions): Promise<void> {
    const middle = options.middle ?? 'switch';
    const mtu = options.mtu ?? 1500;
    const addresses = options.addresses ?? spreadAddresses(this.underlay, options.hosts ?? 2);
    await this.middle.netlink.setLink('lo', { up: true });
    if (middle === 'switch') {
      await this.middle.netlink.createBridge(MIDDLE_BRIDGE, { mtu, up: true });
    } else if (middle === 'routed') {
      this.middle.run(() => writeSysctl('net/ipv4/ip_forward', '1'));
    }
    for (const [index, address] of addresses.entries()) {
      const length = middle === 'routed' ? 24 : this.underlay.length;
      const host = new LabHost(index, address, length, this.#children);
      this.hosts.push(host);
      if (options.ipv6 === true) host.setIpv6(true);
      await this.#connect(host, middle, mtu);
      if (options.underlayOffloads === false) {
        const off = { txChecksum: false, tso: false, gso: false };
        host.run(() => setOffloads('eth0', off));
        this.middle.run(() => setOffloads(portName(index), off));
      }
      for (let i = 0; i < (options.containersPerHost ?? 1); i++) {
        const container = new LabContainer(host, i + 1, this.#children);
        host.containers.push(container);
        if (options.ipv6 === true) container.setIpv6(true);
        await container.netlink.setLink('lo', { up: true });
        await host.netlink.createVeth(container.hostEnd, 'eth0', {
          peerNetnsFd: container.namespace.fd,
        });
      }
    }
  }

  async #connect(host: LabHost, middle: string, mtu: number): Promise<void> {
    const port = portName(host.index);
    const { netlink } = this.middle;
    await netlink.createVeth(port, 'eth0', { peerNetnsFd: host.namespace.fd, mtu });
    await netlink.setLink(port, {
      up: true,
      ...(middle === 'switch' && { master: MIDDLE_BRIDGE }),
    });
    await host.netlink.setLink('lo', { up: true });
    await host.netlink.setLink('eth0', { up: true });
    await host.netlink.addAddress('eth0', host.address, host.length);
    if (middle === 'routed') {
      const router = networkOf({ address: host.address, length: host.length }) + 254;
      await netlink.addAddress(port, router, host.length);
      await host.netlink.addRoute({ dst: { address: 0, length: 0 }, via: router });
    }
  }
}

/**
 * Host addresses whose fan slices and /24s differ: .0.28, .1.27, .2.26, … in a /16 or wider,
 * neighbouring ones below that.
 */
export function spreadAddresses(underlay: Prefix, count: number): number[] {
  const base = networkOf(underlay);
  const room = hostMaskOf(underlay.length);
  return Array.from({ length: count }, (_, i) => {
    const host = room >= 0xffff ? (i % 250) * 256 + 28 - (i % 20) : 28 + i;
    if (host >= room) {
      throw new Error(`no room for ${count} hosts in ${formatIpv4(base)}/${underlay.length}`);
    }
    return base + host;
  });
}

/** Passes of {@link killResidents}: a supervisor may start one more process as it dies. */
const KILL_PASSES_MAX = 20;
const KILL_PAUSE_MS = 5;

/** Kills the processes inside the given namespaces, found by the namespace's inode. */
function killResidents(namespaces: readonly NetworkNamespace[]): void {
  const inside = new Set(namespaces.map((namespace) => `net:[${namespace.inode}]`));
  const pause = new Int32Array(new SharedArrayBuffer(4));
  for (let pass = 0; pass < KILL_PASSES_MAX; pass++) {
    let found = 0;
    for (const entry of readdirSync('/proc')) {
      const pid = Number(entry);
      if (!Number.isInteger(pid) || pid === process.pid) continue;
      try {
        if (!inside.has(readlinkSync(`/proc/${pid}/ns/net`))) continue;
        found++;
        process.kill(pid, 'SIGKILL');
      } catch {
        // Gone meanwhile, or a process that is not ours to look at and so not in our namespaces.
      }
    }
    if (found === 0) return;
    Atomics.wait(pause, 0, 0, KILL_PAUSE_MS);
  }
}
