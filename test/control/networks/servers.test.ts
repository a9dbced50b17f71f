/**
 * A DHCP server and router of a network, in a container on one host, serves containers on the others:
 * with a real dnsmasq and busybox' udhcpc. One that nobody declared does not.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { findDnsmasq } from '../../../src/control/host/dhcp.ts';
import type { LabContainer } from '../../../src/demo/lab.ts';
import { parseMac } from '../../../src/net/mac.ts';
import { skipLong } from '../../support/long.ts';
import { PATIENCE, promised, until } from '../../support/patience.ts';
import { killIfThere } from '../../support/processes.ts';
import { statusOf } from '../lab-router.ts';
import { type NetworkLab, networkOf, run, startHosts } from './lab.ts';

const BRIDGE = 'br-blue';
const SERVER = '02:00:00:00:00:53';
const ROGUE = '02:00:00:00:00:66';
const LEASE_MS = 5000;

function hasUdhcpc(): boolean {
  try {
    return execFileSync('busybox', ['--list'], { encoding: 'utf8' }).split('\n').includes('udhcpc');
  } catch {
    return false;
  }
}

const dnsmasq = findDnsmasq();
const skip =
  (dnsmasq === undefined && 'dnsmasq is not installed (dnsmasq-base)') ||
  (!hasUdhcpc() && 'busybox with udhcpc is not installed (busybox-static)') ||
  skipLong;

/** Plugs a container in with a MAC and without an IPv4 address. */
async function plugBare(container: LabContainer, mac: string): Promise<void> {
  const { netlink, host, hostEnd } = container;
  await netlink.setLink('eth0', { up: false });
  await netlink.setLink('eth0', { address: parseMac(mac) });
  const { mtu } = await host.netlink.link(BRIDGE);
  await host.netlink.setLink(hostEnd, { mtu, master: BRIDGE, up: true });
  await netlink.setLink('eth0', { mtu, up: true });
}

function ip(container: LabContainer, ...words: string[]): string {
  return container.run(() => execFileSync('ip', words, { encoding: 'utf8' }));
}

/** Hands out addresses of 10.N.0.0/24 and speaks as the router of fd00:N::/64. */
function serve(container: LabContainer, folder: string, n: number): void {
  ip(container, 'address', 'add', `10.${n}.0.1/24`, 'dev', 'eth0');
  ip(container, '-6', 'address', 'add', `fd00:${n}::1/64`, 'dev', 'eth0', 'nodad');
  container.spawn(
    dnsmasq ?? '',
    [
      ...['--keep-in-foreground', '--conf-file=/dev/null', '--port=0', '--user=root', '--no-ping'],
      ...['--interface=eth0', '--except-interface=lo', '--bind-interfaces', '--pid-file='],
      ...['--dhcp-authoritative', `--dhcp-leasefile=${join(folder, `leases-${n}`)}`],
      ...[`--dhcp-range=10.${n}.0.100,10.${n}.0.150,255.255.255.0,1h`],
      ...['--enable-ra', '--ra-param=eth0,10', `--dhcp-range=fd00:${n}::,ra-only`],
    ],
    { stdio: 'ignore' },
  );
}

/** What udhcpc gets and sets; '' when it gets nothing in time. */
function lease(container: LabContainer, script: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const tries = String(3 * PATIENCE);
    const words = ['udhcpc', '-f', '-q', '-n', '-i', 'eth0', '-t', tries, '-T', '1', '-s', script];
    const child = container.spawn('busybox', words, { stdio: ['ignore', 'pipe', 'pipe'] });
    let told = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        told += chunk.toString();
      });
    }
    child.on('error', reject);
    child.on('close', () => resolve(/lease of ([0-9.]+) obtained/.exec(told)?.[1] ?? ''));
  });
}

t.test('a DHCP server and router for all hosts', { skip }, async (t) => {
  const at = await startHosts(t, { hosts: 3, containersPerHost: 1, ipv6: true });
  const { lab, hosts } = at;
  const folder = mkdtempSync(join(tmpdir(), 'fanway-servers-'));
  chmodSync(folder, 0o755);
  t.teardown(() => rmSync(folder, { recursive: true }));
  const script = join(folder, 'bound');
  const lines = ['#!/bin/sh', '[ "$1" = bound ] && ip address add "$ip/$mask" dev "$interface"'];
  writeFileSync(script, `${lines.join('\n')}\nexit 0\n`, { mode: 0o755 });
  const declared = ['--dhcp-server', SERVER, '--router', SERVER];
  const add = ['net', 'add', 'blue', '--vni', '100', '--underlay', 'eth0/16'];
  await Promise.all(hosts.map((host, i) => run(host, ...add, ...(i === 0 ? declared : []))));
  const [server, client, rogue] = [lab.container(0), lab.container(1), lab.container(2)];
  t.match((await networkOf(lab.host(0), 'blue')).notes.join('\n'), /DHCP server .* is on no host/);
  await plugBare(rogue, ROGUE);
  serve(rogue, folder, 66);
  await plugBare(server, SERVER);
  serve(server, folder, 1);
  const where = async (host: number) => (await networkOf(lab.host(host), 'blue')).servers;
  const first = (await networkOf(lab.host(0), 'blue')).underlay.split('/')[0];
  await until('the client knows where the server is', 5000, async () => {
    const { dhcp, router } = await where(1);
    return dhcp === first && router === first;
  });
  t.same(await where(0), { dhcp: '', router: '' });

  const startMs = performance.now();
  await plugBare(client, '02:00:00:00:00:02');
  const address = await lease(client, script);
  t.match(address, /^10\.1\.0\.1[0-5][0-9]$/, 'a lease of the declared server');
  promised(t, 'the lease', performance.now() - startMs, LEASE_MS);
  await until('the binding is known everywhere', 5000, async () =>
    (await run(lab.host(2), 'arp', 'blue')).includes(address),
  );
  const addresses = (): string =>
    ip(client, '-6', 'address', 'show', 'dev', 'eth0', 'scope', 'global');
  await until('the client made an address of what the router said', 15_000, () =>
    addresses().includes('fd00:1:'),
  );
  t.notMatch(addresses(), /fd00:66:/, 'and none of what the other one says');
  t.match(await counters(at, 2), { rogue_dhcp: 0 });
  await until(
    'the other one is counted',
    15_000,
    async () => (await counters(at, 2)).rogue_router > 0,
  );
  await again(t, at, script);
  for (const host of hosts) t.ok(await run(host, 'net', 'show', '--assert-floodless'), host.name);
});

type AllCounters = Record<string, Record<string, number>>;

/** What a host dropped of servers that nobody declared. */
async function counters({ lab }: NetworkLab, host: number) {
  const all = JSON.parse(await run(lab.host(host), 'counters', '--json')) as AllCounters;
  const of = (name: string): number => all[BRIDGE]?.[`egress.drop.${name}`] ?? 0;
  return { rogue_dhcp: of('rogue_dhcp'), rogue_router: of('rogue_router') };
}

/** Control of the server's host is killed; and the server goes, and the other one is asked in its place. */
async function again(t: Test, { lab }: NetworkLab, script: string): Promise<void> {
  const [host, client, server] = [lab.host(0), lab.container(1), lab.container(0)];
  const { pid } = await statusOf(host);
  killIfThere(pid);
  await until(
    'control is there again',
    10_000,
    async () => (await statusOf(host).catch(() => ({ pid }))).pid !== pid,
  );
  t.match(await lease(client, script), /^10\.1\.0\.1/, 'a lease after a restart');
  await server.detach();
  // What it told in its life before counts for ten seconds, and this came before it was told again.
  await until(
    'nobody serves any more',
    15_000,
    async () => (await networkOf(lab.host(1), 'blue')).servers.dhcp === null,
  );
  t.match((await networkOf(host, 'blue')).notes.join('\n'), /DHCP server .* is on no host/);
}
