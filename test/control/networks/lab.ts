/**
 * Hosts that gossip, with networks and containers on them, each container plugged into the network that a
 * test wants it in.
 * @module
 */
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import type { NetworkJson } from '../../../src/api/networks.ts';
import {
  Lab,
  type LabContainer,
  type LabHost,
  type LabNode,
  type LabOptions,
} from '../../../src/demo/lab.ts';
import { Keyring } from '../../../src/gossip/base/keyring.ts';
import { formatIpv4 } from '../../../src/net/ipv4.ts';
import { parseMac } from '../../../src/net/mac.ts';
import { noPing } from '../../support/tools.ts';
import { fanway } from '../lab-router.ts';

export type NetworkLab = { lab: Lab; hosts: LabHost[]; keyFile: string };

/** Runs `fanway ARGS` and returns what it printed. @throws Error when it fails */
export async function run(host: LabHost, ...args: string[]): Promise<string> {
  const { code, out, err } = await fanway(host, ...args);
  if (code === 0) return out;
  throw new Error(`fanway ${args.join(' ')} on ${host.name}: ${err}${out}`);
}

/** Hosts in one cluster, without links yet. */
export async function startHosts(t: Test, options: LabOptions): Promise<NetworkLab> {
  const lab = await Lab.create(options);
  t.teardown(() => lab.close());
  const { hosts } = lab;
  const keyFile = join(lab.host(0).runDirectory, 'cluster.key');
  writeFileSync(keyFile, Keyring.generate(randomBytes).format(), { mode: 0o600 });
  const [first] = hosts;
  for (const host of hosts) {
    const seeds = first === undefined || first === host ? [] : [formatIpv4(first.address)];
    await run(host, 'join', ...seeds, '--name', host.name, '--key', keyFile);
  }
  return { lab, hosts, keyFile };
}

/** Plugs a container into a bridge with a MAC and an address of its own. */
export async function plug(
  container: LabContainer,
  bridge: string,
  mac: string,
  address: number,
  length = 24,
): Promise<void> {
  await container.netlink.setLink('eth0', { up: false });
  await container.netlink.setLink('eth0', { address: parseMac(mac) });
  await container.attach({ bridge, address, length });
}

/** How many of `count` echo requests are answered. */
export function ping(from: LabNode, to: string, count = 1, ...words: string[]): Promise<number> {
  return new Promise((resolve, reject) => {
    const args = ['-n', '-q', '-c', String(count), '-i', '0.2', '-W', '1', ...words, to];
    const child = from.spawn('ping', args, { stdio: ['ignore', 'pipe', 'ignore'] });
    let out = '';
    child.stdout?.on('data', (chunk: Buffer) => {
      out += chunk.toString();
    });
    child.on('error', reject);
    child.on('close', () => resolve(Number(/(\d+) received/.exec(out)?.[1] ?? 0)));
  });
}

/** Why there is no test without ping, or false. */
export const skipWithoutPing = noPing();

export async function networksOf(host: LabHost): Promise<NetworkJson[]> {
  return JSON.parse(await run(host, 'net', 'show', '--json')) as NetworkJson[];
}

export async function networkOf(host: LabHost, name: string): Promise<NetworkJson> {
  const found = (await networksOf(host)).find(({ network }) => network === name);
  if (found === undefined) throw new Error(`there is no network ${name} on ${host.name}`);
  return found;
}
