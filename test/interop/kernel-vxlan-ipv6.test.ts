import t from 'tap';
import { Lab } from '../../src/demo/lab.ts';
import { runFanway } from '../../src/demo/router.ts';
import { formatIpv4 } from '../../src/net/ipv4.ts';
import { runEcho, runTcpPair, type TrafficPath } from '../../src/traffic/run.ts';
import { attach, BRIDGE, checkBalance, OVERLAY } from '../faults/rig.ts';
import { ip, moveToIpv6, skipWithoutIpv6 } from '../support/ipv6-underlay.ts';

const skip = skipWithoutIpv6();
const TCP_BYTES = 4 << 20;
/** Outer IPv6, UDP, VXLAN, inner Ethernet. */
const MTU_BYTES = 1500 - 70;
const ECHO_COUNT = 5;
t.setTimeout(1_200_000);

t.test('the kernel at the other end of VXLAN over IPv6, both ways', { skip }, async (t) => {
  const lab = await Lab.create({ hosts: 2 });
  t.teardown(() => lab.close());
  await moveToIpv6(lab);
  const [near, far] = [lab.container(0), lab.container(1)];
  await runFanway(near.host, ['up', OVERLAY, 'fd00:30::1c/112', 'bridge', BRIDGE]);
  await attach(near.host);

  const device = ['type', 'vxlan', 'id', String(0xfa0000), 'dstport', '4789', 'nolearning'];
  const ends = ['local', 'fd00:30::11b', 'remote', 'fd00:30::1c'];
  try {
    ip(far.host, 'link', 'add', 'kernel-vxlan', ...device, ...ends);
  } catch (error) {
    t.pass('interoperation with the kernel', { skip: `no VXLAN device: ${String(error)}` });
    return;
  }
  await far.host.netlink.createBridge(BRIDGE, { mtu: MTU_BYTES });
  await far.host.netlink.setLink('kernel-vxlan', { master: BRIDGE, up: true });
  await far.host.netlink.setLink(BRIDGE, { up: true });
  await far.attach({ bridge: BRIDGE, address: 0xfa011b0a, length: 8, mtu: MTU_BYTES });

  const ways: Record<string, TrafficPath> = {
    there: { from: near, to: far, address: formatIpv4(far.address) },
    back: { from: far, to: near, address: formatIpv4(near.address) },
  };
  for (const [name, way] of Object.entries(ways)) {
    for (const size of [56, MTU_BYTES - 28, 2400]) {
      const { targets } = await runEcho(way.from, [way.address], { count: ECHO_COUNT, size });
      const all = [{ sent: ECHO_COUNT, received: ECHO_COUNT }];
      t.match(targets, all, `echo ${name}, ${size} bytes`);
    }
    const options = { port: 5001, bytes: TCP_BYTES, sha256: true };
    const { sent, received } = await runTcpPair(way, options);
    t.equal(received.streams[0]?.bytes, TCP_BYTES, `TCP ${name}: all bytes`);
    t.match(sent.streams[0]?.sha256, /^[0-9a-f]{64}$/);
    t.equal(received.streams[0]?.sha256, sent.streams[0]?.sha256, `TCP ${name}: the same`);
  }
  await checkBalance(t, near.host);
});
