/**
 * A member of a network behind a 1:1 address translation, as clouds give one: others reach it at an address
 * that it does not have. The translation is nft's, on the host itself.
 * @module
 */
import { execFileSync } from 'node:child_process';
import t from 'tap';
import { formatIpv4 } from '../../../src/net/ipv4.ts';
import { hasNft } from '../../../src/sys/host/nft.ts';
import { skipLong } from '../../support/long.ts';
import { until } from '../../support/patience.ts';
import { statusOf } from '../lab-router.ts';
import { networksOf, ping, plug, run, skipWithoutPing, startHosts } from './lab.ts';

const skip = skipWithoutPing || skipLong || (!hasNft() && 'nft (package nftables) is not here');
const INNER = '10.77.0.2';
const translation = (outer: string): string => `table ip translation {
  chain out { type nat hook postrouting priority srcnat; ip saddr ${INNER} snat to ${outer}; }
  chain in { type nat hook prerouting priority dstnat; ip daddr ${outer} udp dport 4789 dnat to ${INNER}; }
}`;

t.test('a member that others reach at another address than its own', { skip }, async (t) => {
  const { lab, hosts } = await startHosts(t, { hosts: 2, containersPerHost: 1 });
  const [a, b] = [lab.host(0), lab.host(1)];
  const outer = formatIpv4(b.address);
  b.run(() => {
    const ip = (...words: string[]): unknown => execFileSync('ip', words);
    ip('link', 'add', 'in0', 'type', 'veth', 'peer', 'name', 'in1');
    ip('address', 'add', `${INNER}/16`, 'dev', 'in0');
    for (const device of ['in0', 'in1']) ip('link', 'set', device, 'up');
    execFileSync('nft', ['-f', '-'], { input: translation(outer) });
  });
  const behind = ['net', 'add', 'blue', '--vni', '100', '--underlay', `${INNER}/16`];
  await run(a, 'net', 'add', 'blue', '--vni', '100', '--underlay', 'eth0/16');
  for (const [index, host] of hosts.entries()) {
    const mac = `02:00:00:00:00:0${index + 1}`;
    if (host === b) await run(b, ...behind, '--outer', outer);
    await plug(lab.container(index), 'br-blue', mac, 0x0a010001 + index);
  }
  const meets = async (): Promise<boolean> => (await ping(lab.container(0), '10.1.0.2')) > 0;
  await until('a container behind the translation is reached', 10_000, meets);
  const [network] = await networksOf(a);
  t.match(network?.members, [{ host: outer }], 'at the outer address');

  const { pid } = await statusOf(b);
  process.kill(pid, 'SIGKILL');
  await until('another router', 10_000, async () => {
    return ((await statusOf(b).catch(() => undefined))?.pid ?? pid) !== pid;
  });
  await until('after a crash behind it', 10_000, meets);
  await t.rejects(run(b, ...behind), /outer 172\.30\.1\.27/, 'without it, it is another network');
});
