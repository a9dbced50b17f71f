import t from 'tap';
import { runFanway } from '../../src/demo/router.ts';
import { formatIpv4 } from '../../src/net/ipv4.ts';
import { formatHostAddress } from '../../src/net/underlay-address.ts';
import { runTcpPair } from '../../src/traffic/run.ts';
import {
  BRIDGE,
  checkBalance,
  countersOf,
  dataProcess,
  type Encap,
  killDataProcess,
  nowMs,
  startRig,
  statusOf,
} from '../faults/rig.ts';
import { ipv6Of, skipWithoutIpv6 } from '../support/ipv6-underlay.ts';
import { skipLong } from '../support/long.ts';
import { until } from '../support/patience.ts';

const skip = skipWithoutIpv6();
const TCP_BYTES = 4 << 20;
const OVERHEAD_BYTES = { vxlan: 70, fou: 48, ipip: 40 } as const;
t.setTimeout(1_200_000);

for (const encap of ['vxlan', 'fou', 'ipip'] as const satisfies readonly Encap[]) {
  const why = skip || (encap !== 'vxlan' && skipLong);
  t.test(`${encap} over an underlay of IPv6 alone`, { skip: why }, async (t) => {
    const { a, b, from, to, pulse } = await startRig(t, { encap, ipv6: true });
    const peer = formatHostAddress(ipv6Of(b));
    const status = await statusOf(a);
    t.match(status.links[0], {
      state: 'up',
      underlay: 'fd00:30::1c/112',
      slice: '250.0.28.0/24',
      innerMtu: 1500 - OVERHEAD_BYTES[encap],
    });
    const explained = await runFanway(a, ['explain', formatIpv4(to.address)]);
    t.match(explained, `slice 250.1.27.0/24 of host ${peer}`);

    const ends = { from, to, address: formatIpv4(to.address) };
    const tcp = async (port: number) => {
      const { sent, received } = await runTcpPair(ends, { port, bytes: TCP_BYTES, sha256: true });
      const [out, into] = [sent.streams[0], received.streams[0]];
      t.equal(into?.bytes, TCP_BYTES);
      t.ok(out?.sha256 !== undefined && out.sha256 === into?.sha256, 'the same bytes');
    };
    await tcp(7100);
    if (encap !== 'ipip') {
      const counters = await countersOf(a);
      t.ok((counters['event.trains_sent'] ?? 0) > 0, 'in trains');
      t.ok((counters['event.trains_received'] ?? 0) > 0, 'both ways');
    }

    const killedAtMs = nowMs();
    await killDataProcess(a);
    await pulse.back(killedAtMs, 5000);
    await until(
      'status tells of the restart',
      5000,
      async () => (await dataProcess(a)).restarts > 0,
    );
    await tcp(7101);
    pulse.stop();
    for (const host of [a, b]) await checkBalance(t, host);
    await runFanway(a, ['down', BRIDGE, '--force']);
  });
}
