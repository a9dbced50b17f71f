/** Routed fans with IPv6 inside, outside or both against a distribution's own sit and ip6tnl devices. */
import { spawnSync } from 'node:child_process';
import t, { type Test } from 'tap';
import { Lab, type LabContainer } from '../../src/demo/lab.ts';
import { runFanway } from '../../src/demo/router.ts';
import { formatIpv4 } from '../../src/net/ipv4.ts';
import { formatAddress6 } from '../../src/net/prefix6.ts';
import { formatHostAddress } from '../../src/net/underlay-address.ts';
import { writeSysctl } from '../../src/sys/host/sysctl.ts';
import { attach, BRIDGE, checkBalance, OVERLAY } from '../faults/rig.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { giveIpv6, IPV6_LENGTH, IPV6_UNDERLAY, ipv6Of } from '../support/ipv6-underlay.ts';
import { skipLong } from '../support/long.ts';
import { until } from '../support/patience.ts';
import { noPing } from '../support/tools.ts';
import { FAN } from './fan-host.ts';
import { GUEST, GUEST_OVERLAY } from './guest-talk.ts';
import { QemuGuest, skipWithoutQemu } from './qemu-guest.ts';

const skip = skipWithoutTun() || skipWithoutQemu() || skipLong || noPing();
const OVERLAY6 = 'fd00:fa::/32';
/** The guest's underlay address of IPv6 ends as its IPv4 one does: the slices are the same. */
const GUEST6 = `${IPV6_UNDERLAY}11b`;
const WAIT_MS = 30_000;

/** First of the slice that belongs to both. */
const GUEST_OVERLAY6 = 'fd00:fa:11b::1';

function ping(from: LabContainer, to: string, bytes: number): boolean {
  const family = to.includes(':') ? '-6' : '-4';
  const args = [family, '-c', '2', '-i', '0.2', '-W', '5', '-s', String(bytes), to];
  return from.run(() => spawnSync('ping', args)).status === 0;
}

/** The container and the guest reach each other, with packets of both sizes. */
async function both(
  t: Test,
  container: LabContainer,
  guest: QemuGuest,
  [theirs, near]: readonly [theirs: string, near: string],
): Promise<void> {
  await until(`an answer of ${theirs}`, WAIT_MS, () => ping(container, theirs, 56));
  t.ok(ping(container, theirs, 1300), `${theirs} answers large packets`);
  const said = await guest.run(`busybox ping -c 3 -W 5 -s 1300 ${near}`, 60_000);
  t.match(said, / [1-3] packets received/, `and reaches ${near}`);
}

t.test('stock sit and ip6tnl devices', { skip, timeout: 900_000 }, async (t) => {
  const lab = await Lab.create({ hosts: 1, ipv6: true, underlayOffloads: false });
  t.teardown(() => lab.close());
  const guest = await QemuGuest.boot(lab, GUEST, FAN.underlay.length);
  t.teardown(() => guest.close());
  await guest.run(`ip addr add ${GUEST6}/${IPV6_LENGTH} dev eth0 nodad`);
  const host = lab.host(0);
  const [here, here6] = [formatIpv4(host.address), formatHostAddress(ipv6Of(host))];
  giveIpv6(host, `${here6}/${IPV6_LENGTH}`);
  host.run(() => writeSysctl('net/ipv6/conf/all/forwarding', '1'));
  const container = lab.container(0);
  const up = async (underlay: string): Promise<string> => {
    for (const overlay of [OVERLAY, OVERLAY6]) {
      await runFanway(host, ['up', overlay, underlay, 'bridge', BRIDGE, '--encap', 'ipip']);
    }
    await attach(host);
    return until('an address by router advertisement', WAIT_MS, async () => {
      const { index } = await container.netlink.link('eth0');
      const all = await container.netlink.addresses6();
      const own = all.find((one) => one.index === index && one.address[0] >>> 24 === 0xfd);
      return own === undefined ? undefined : formatAddress6(own.address);
    });
  };

  await t.test('sit: IPv6 in IPv4', async (t) => {
    const near = await up('eth0/16');
    await guest.run(`set -e
      ip link add six type sit local ${GUEST} remote ${here} ttl 64
      ip addr add ${GUEST_OVERLAY6}/128 dev six nodad
      ip link set six mtu 1480 up
      ip -6 route add ${OVERLAY6} dev six`);
    await both(t, container, guest, [GUEST_OVERLAY6, near]);
    await checkBalance(t, host);
    await guest.run('ip link del six');
    await runFanway(host, ['down', BRIDGE, '--force']);
  });

  await t.test('ip6tnl: IPv4 and IPv6 in IPv6', async (t) => {
    const near = await up(`eth0/${IPV6_LENGTH}`);
    await guest.run(`set -e
      ip link add any6 type ip6tnl mode any local ${GUEST6} remote ${here6} encaplimit none
      ip addr add ${GUEST_OVERLAY}/32 dev any6
      ip addr add ${GUEST_OVERLAY6}/128 dev any6 nodad
      ip link set any6 mtu 1460 up
      ip route add ${OVERLAY} dev any6 src ${GUEST_OVERLAY}
      ip -6 route add ${OVERLAY6} dev any6`);
    await both(t, container, guest, [GUEST_OVERLAY, formatIpv4(container.address)]);
    await both(t, container, guest, [GUEST_OVERLAY6, near]);
    await checkBalance(t, host);
    await runFanway(host, ['down', BRIDGE, '--force']);
  });
});
