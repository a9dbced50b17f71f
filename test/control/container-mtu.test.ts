import t from 'tap';
import { Lab } from '../../src/demo/lab.ts';
import { formatIpv4 } from '../../src/net/ipv4.ts';
import { runTcpPair } from '../../src/traffic/run.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { skipLong } from '../support/long.ts';
import { CONTAINER_NUMBER, countersOf, fanwayUp } from '../support/target.ts';

const skip = skipWithoutTun() || skipLong;
const BRIDGE = 'fan-test';
const TCP_BYTES = 1 << 20;
/** What container engines set when nobody tells them: more than any encapsulation leaves. */
const CONTAINER_MTU = 1500;

for (const encap of ['vxlan', 'ipip', 'fou'] as const) {
  for (const offload of ['auto', 'off']) {
    const title = `a container with MTU ${CONTAINER_MTU} on ${encap}, offload ${offload}`;
    t.test(title, { skip, timeout: 400_000 }, async (t) => {
      const lab = await Lab.create({ hosts: 2 });
      t.teardown(() => lab.close());
      for (const host of lab.hosts) {
        const fan = ['250.0.0.0/8', 'eth0/16', 'bridge', BRIDGE];
        await fanwayUp(host, ...fan, '--encap', encap, '--offload', offload);
        const [gateway] = await host.netlink.addresses(BRIDGE);
        if (gateway === undefined) throw new Error(`${BRIDGE} has no address`);
        await lab.container(host.index).attach({
          bridge: BRIDGE,
          address: gateway.address - 1 + CONTAINER_NUMBER,
          length: gateway.length,
          gateway: gateway.address,
          mtu: CONTAINER_MTU,
        });
      }
      const [from, to] = [lab.container(0), lab.container(1)];
      const path = { from, to, address: formatIpv4(to.address) };
      const { sent, received } = await runTcpPair(path, {
        port: 7000,
        bytes: TCP_BYTES,
        sha256: true,
      });
      t.equal(received.streams[0]?.bytes, TCP_BYTES, 'all of it arrived');
      t.equal(received.streams[0]?.sha256, sent.streams[0]?.sha256, 'and nothing else');
      // On a routed fan the host's own stack answers before the packet reaches the device.
      if (encap === 'vxlan') {
        const counters = await countersOf(lab.host(0));
        t.ok((counters['event.packet_too_big_sent'] ?? 0) > 0, 'the sender was told what fits');
      }
    });
  }
}
