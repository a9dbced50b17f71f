/** IPIP carries both families over either underlay: IP protocols 4 and 41, each by a socket of its own. */
import { spawnSync } from 'node:child_process';
import t from 'tap';
import { Lab, type LabContainer } from '../../src/demo/lab.ts';
import { runFanway } from '../../src/demo/router.ts';
import { formatIpv4 } from '../../src/net/ipv4.ts';
import { formatAddress6 } from '../../src/net/prefix6.ts';
import { writeSysctl } from '../../src/sys/host/sysctl.ts';
import { runEcho } from '../../src/traffic/run.ts';
import { attach, BRIDGE, checkBalance, countersOf, OVERLAY } from '../faults/rig.ts';
import { moveToIpv6, skipWithoutIpv6 } from '../support/ipv6-underlay.ts';
import { skipLong } from '../support/long.ts';
import { until } from '../support/patience.ts';
import { noPing } from '../support/tools.ts';
import { Wire } from '../support/wire.ts';

const skip = skipWithoutIpv6() || skipLong || noPing();
const OVERLAY6 = 'fd00:fa::/32';
const WAIT_MS = 30_000;
t.setTimeout(1_200_000);

/** The address that a container has made for itself. */
function addressOf(container: LabContainer): Promise<string> {
  return until('an address by router advertisement', WAIT_MS, async () => {
    const { index } = await container.netlink.link('eth0');
    const own = (await container.netlink.addresses6()).find(
      (one) => one.index === index && one.address[0] >>> 24 === 0xfd,
    );
    return own === undefined ? undefined : formatAddress6(own.address);
  });
}

function ping(from: LabContainer, to: string, bytes: number): boolean {
  const args = ['-6', '-c', '3', '-i', '0.2', '-W', '2', '-M', 'do', '-s', String(bytes), to];
  return from.run(() => spawnSync('ping', args)).status === 0;
}

for (const [name, underlay, at] of [
  ['IPv4', 'eth0/16', { protocol: 14 + 9, overhead: 20 }],
  ['IPv6', 'eth0/112', { protocol: 14 + 6, overhead: 40 }],
] as const) {
  t.test(`ipip over ${name}, both families inside`, { skip }, async (t) => {
    const lab = await Lab.create({ hosts: 2, ipv6: true });
    t.teardown(() => lab.close());
    if (name === 'IPv6') await moveToIpv6(lab);
    for (const host of lab.hosts) {
      host.run(() => writeSysctl('net/ipv6/conf/all/forwarding', '1'));
      for (const overlay of [OVERLAY, OVERLAY6]) {
        await runFanway(host, ['up', overlay, underlay, 'bridge', BRIDGE, '--encap', 'ipip']);
      }
      await attach(host);
    }
    const [from, to] = [lab.container(0), lab.container(1)];
    const there = await addressOf(to);
    t.match(there, /^fd00:fa:11b:/, 'the slice of its host');
    await addressOf(from);
    const wire = Wire.open(lab.middle, 'p0');
    t.teardown(() => wire.close());
    await until('an answer', WAIT_MS, () => ping(from, there, 56));
    t.ok(
      wire.take().some(({ bytes, outgoing }) => !outgoing && bytes[at.protocol] === 41),
      'as IP protocol 41',
    );
    t.ok(ping(from, there, 1500 - at.overhead - 48), 'the largest that fits');
    t.notOk(ping(from, there, 1500 - at.overhead - 47), 'one byte more is told to be too much');
    wire.take();
    const { targets } = await runEcho(from, [formatIpv4(to.address)], { count: 3 });
    t.match(targets, [{ received: 3 }], 'IPv4 beside it');
    t.ok(
      wire.take().some(({ bytes, outgoing }) => !outgoing && bytes[at.protocol] === 4),
      'as IP protocol 4',
    );
    t.ok(((await countersOf(lab.host(1)))['ingress.delivered'] ?? 0) > 0);
    for (const host of lab.hosts) await checkBalance(t, host);
  });
}
