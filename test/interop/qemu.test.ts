/** Routed fans against the ipip and fou devices of a distribution's own kernel, both ways. */
import t from 'tap';
import { Lab } from '../../src/demo/lab.ts';
import { sliceOf } from '../../src/net/fan.ts';
import { formatIpv4 } from '../../src/net/ipv4.ts';
import { formatPrefix } from '../../src/net/prefix.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { FAN, FanHost } from './fan-host.ts';
import { echo, GUEST, GUEST_OVERLAY, web } from './guest-talk.ts';
import { QemuGuest, skipWithoutQemu } from './qemu-guest.ts';

const skip = skipWithoutTun() || skipWithoutQemu();

/** What the guest's administrator would type. */
const TUNNELS = {
  ipip: {
    up: (peer: string, slice: string) => `set -e
      ip link set tunl0 up
      ip addr add ${GUEST_OVERLAY}/32 dev tunl0
      ip route add ${slice} via ${peer} dev tunl0 onlink src ${GUEST_OVERLAY}
      ip -d link show tunl0`,
    down: 'ip addr flush dev tunl0; ip link set tunl0 down',
    says: /ipip/,
  },
  fou: {
    up: (peer: string, slice: string) => `set -e
      ip fou add port 5555 ipproto 4
      ip link add fou0 type ipip local ${GUEST} remote ${peer} ttl 64 \\
        encap fou encap-sport auto encap-dport 5555
      ip link set fou0 mtu 1472 up
      ip addr add ${GUEST_OVERLAY}/32 dev fou0
      ip route add ${slice} dev fou0 src ${GUEST_OVERLAY}
      ip -d link show fou0`,
    down: 'ip link del fou0; ip fou del port 5555',
    says: /encap fou .*encap-dport 5555/,
  },
};

t.test('stock ipip and fou devices', { skip, timeout: 700_000 }, async (t) => {
  const lab = await Lab.create({ hosts: 1, underlayOffloads: false });
  t.teardown(() => lab.close());
  const guest = await QemuGuest.boot(lab, GUEST, FAN.underlay.length);
  t.teardown(() => guest.close());
  t.comment(`the guest runs Linux ${(await guest.run('uname -r')).trim()}`);
  const host = lab.host(0);
  const slice = formatPrefix(sliceOf(FAN, host.address));
  for (const encap of ['ipip', 'fou'] as const) {
    await t.test(encap, { timeout: 500_000 }, async (t) => {
      const { up, down, says } = TUNNELS[encap];
      const fan = await FanHost.up(lab, 0, ['--encap', encap]);
      t.match(await guest.run(up(formatIpv4(host.address), slice)), says, "the kernel's device");
      await echo(t, fan, guest);
      await web(t, fan, guest);
      await fan.balance(t);
      await guest.run(down);
      await fan.down();
    });
  }
});
