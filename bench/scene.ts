/**
 * What lies between the two hosts that a variant is measured on.
 *
 *     direct   a ── veth ── b                       the bare cost of the tunnel
 *     hop      a ── veth ── router ── veth ── b     checksum and segmentation offload off, so that
 *                                                   super-packets are really cut, as on a plain card
 *     lossy    as hop, and the router loses 1 % (nft)
 *     narrow   as hop, and the router passes 100 Mb/s towards b, with a long queue (tbf)
 *
 * Each host has a container, plugged into whatever bridge the variant makes.
 * @module
 */
import type { ChildProcess } from 'node:child_process';
import { spawnSync } from 'node:child_process';
import { Lab, LabContainer, LabHost, portName } from '../src/demo/lab.ts';
import { killAllIn } from '../src/demo/processes.ts';
import { parseIpv4 } from '../src/net/ipv4.ts';

export type SceneName = 'direct' | 'hop' | 'lossy' | 'narrow';

/** Two hosts joined by an underlay. */
export type Scene = {
  name: SceneName;
  a: LabHost;
  b: LabHost;
  close(): void;
};

export const UNDERLAY_MTU = 1500;
export const UNDERLAY = '172.30.0.0/16';
const UNDERLAY_LENGTH = 16;
/** The bottleneck of the narrow scene: Mb/s, and a queue as home routers have it. */
export const NARROW = { rate: 100, burst: '16kb', latency: '400ms' } as const;

/**
 * Builds a scene.
 * @returns a sentence when this machine cannot (the tool that loses packets is not there).
 * @throws SystemError, NetlinkError
 */
export async function buildScene(name: SceneName): Promise<Scene | string> {
  if (name === 'direct') return buildDirect();
  if (name === 'lossy' && spawnSync('nft', ['--version']).status !== 0) {
    return 'nft (package nftables) is not installed, which loses the packets';
  }
  const lab = await Lab.create({
    hosts: 2,
    containersPerHost: 1,
    underlay: UNDERLAY,
    mtu: UNDERLAY_MTU,
    middle: 'routed',
    underlayOffloads: false,
  });
  const close = () => {
    for (const node of [...lab.hosts, ...lab.containers]) killAllIn(node.namespace.inode);
    lab.close();
  };
  if (name === 'lossy') {
    const rules = [
      'table ip lossy {',
      '  chain forward {',
      '    type filter hook forward priority 0;',
      '    numgen random mod 100 < 1 drop',
      '  }',
      '}',
      '',
    ].join('\n');
    const result = lab.middle.run(() => spawnSync('nft', ['-f', '-'], { input: rules }));
    if (result.status !== 0) {
      close();
      return `nft refused the rule: ${result.stderr.toString().trim().split('\n')[0] ?? ''}`;
    }
  }
  if (name === 'narrow') {
    const { rate, burst, latency } = NARROW;
    const how = ['tbf', 'rate', `${rate}mbit`, 'burst', burst, 'latency', latency];
    const args = ['qdisc', 'add', 'dev', portName(1), 'root', ...how];
    const result = lab.middle.run(() => spawnSync('tc', args));
    if (result.status !== 0) {
      close();
      return `tc refused a tbf: ${result.stderr?.toString().trim() ?? 'it is not installed'}`;
    }
  }
  return { name, a: lab.host(0), b: lab.host(1), close };
}

async function buildDirect(): Promise<Scene> {
  const children = new Set<ChildProcess>();
  const hosts = ['172.30.0.28', '172.30.1.27'].map(
    (address, index) => new LabHost(index, parseIpv4(address), UNDERLAY_LENGTH, children),
  );
  const [a, b] = hosts;
  if (a === undefined || b === undefined) throw new Error('two hosts were asked for');
  const close = () => {
    for (const host of hosts) {
      for (const node of [host, ...host.containers]) killAllIn(node.namespace.inode);
      host.close();
    }
  };
  try {
    await a.netlink.createVeth('eth0', 'eth0', {
      peerNetnsFd: b.namespace.fd,
      mtu: UNDERLAY_MTU,
    });
    for (const host of hosts) {
      await host.netlink.setLink('lo', { up: true });
      await host.netlink.setLink('eth0', { up: true });
      await host.netlink.addAddress('eth0', host.address, UNDERLAY_LENGTH);
      const container = new LabContainer(host, 1, children);
      host.containers.push(container);
      await container.netlink.setLink('lo', { up: true });
      await host.netlink.createVeth(container.hostEnd, 'eth0', {
        peerNetnsFd: container.namespace.fd,
      });
    }
  } catch (error) {
    close();
    throw error;
  }
  return { name: 'direct', a, b, close };
}
