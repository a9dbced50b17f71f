import { readFileSync } from 'node:fs';
import t from 'tap';
import { Lab, type LabNode } from '../../src/demo/lab.ts';
import { runFanway } from '../../src/demo/router.ts';
import { formatIpv4 } from '../../src/net/ipv4.ts';
import { runTcpPair } from '../../src/traffic/run.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { startRelay } from '../netns/relay.ts';
import { sleep } from '../support/patience.ts';
import { attach, BRIDGE, checkBalance, countersOf, growth, OVERLAY, startFlow } from './rig.ts';

const skip = skipWithoutTun();
const TCP_BYTES = 32 << 20;
const IMPAIRMENT = { loss: 0.01, duplicate: 0.02, reorder: 0.02, reorderMs: 4, flip: 0.01 };
/** Another one may be given, to have a failure again: every decision follows from it. */
const SEED = Number(process.env['FANWAY_TEST_SEED'] ?? 8);

/** The kernel's own drops for a wrong checksum: IP header, UDP, TCP. */
function kernelChecksumErrors(node: LabNode): { ip: number; udp: number; tcp: number } {
  const text = node.run(() => readFileSync('/proc/thread-self/net/snmp', 'utf8'));
  const value = (protocol: string, name: string) => {
    const [names, values] = text.split('\n').filter((line) => line.startsWith(`${protocol}:`));
    return Number(values?.split(' ')[names?.split(' ').indexOf(name) ?? -1] ?? 0);
  };
  return {
    ip: value('Ip', 'InHdrErrors') + value('Ip', 'InAddrErrors'),
    udp: value('Udp', 'InCsumErrors'),
    tcp: value('Tcp', 'InCsumErrors'),
  };
}

for (const encap of ['vxlan', 'ipip'] as const) {
  const title = `${encap}: loss, duplicates, reordering and turned bits; the data stays whole`;
  t.test(title, { skip }, async (t) => {
    const lab = await Lab.create({ hosts: 2, middle: 'wired', underlayOffloads: false });
    t.teardown(() => lab.close());
    const relay = await startRelay(lab, { seed: SEED });
    for (const host of lab.hosts) {
      await runFanway(host, ['up', OVERLAY, 'eth0/16', 'bridge', BRIDGE, '--encap', encap]);
      await attach(host);
    }
    const [from, to] = [lab.container(0), lab.container(1)];
    const [a, b] = [lab.host(0), lab.host(1)];
    const before = await countersOf(b);
    const kernelBefore = kernelChecksumErrors(b);
    await relay.set(IMPAIRMENT);

    const flow = await startFlow(from, to, { rate: 1000, seconds: 3 });
    const path = { from, to, address: formatIpv4(to.address) };
    const { sent, received } = await runTcpPair(path, {
      port: 5001,
      bytes: TCP_BYTES,
      sha256: true,
    });
    const sha256 = received.streams[0]?.sha256;
    t.equal(received.bytes, TCP_BYTES);
    t.type(sha256, 'string');
    t.equal(sha256, sent.streams[0]?.sha256, 'SHA-256 is the same at both ends');
    t.ok(sent.retransmits > 0, 'the wire did lose something');
    t.comment(`${received.seconds.toFixed(1)} s, ${sent.retransmits} retransmitted`);

    const udp = await flow.finish();
    t.equal(udp.received.foreign, 0, 'no damaged datagram came through');
    t.ok(udp.received.duplicates > 0 && udp.received.late > 0 && udp.received.missing > 0);
    const { duplicates, late, missing } = udp.received;
    t.comment(
      `UDP: ${udp.sent.sent} sent, ${missing} missing, ${duplicates} doubled, ${late} late`,
    );

    await relay.set({ loss: 0, duplicate: 0, reorder: 0, flip: 0 });
    await sleep(200);
    const [there] = (await relay.stop()).directions;
    const kernel = kernelChecksumErrors(b);
    const ours = growth(before, await countersOf(b), /^ingress\.drop/);
    const inside = kernelChecksumErrors(to);
    t.comment(
      `${there?.flipped} bits turned on the way to host2; dropped by its kernel: ${JSON.stringify(kernel)}, by fanway: ${JSON.stringify(ours)}, by the container: ${JSON.stringify(inside)}`,
    );
    t.ok((there?.flipped ?? 0) > 20);
    if (encap === 'vxlan') {
      t.ok(kernel.udp > kernelBefore.udp, 'the outer UDP checksum caught them');
      t.notOk(ours['ingress.drop.bad_checksum'], 'nothing was left for us');
    } else {
      // The outer header covers itself only: what is inside is ours to check.
      t.ok((ours['ingress.drop.bad_checksum'] ?? 0) > 0, 'counted as bad_checksum');
      t.ok((ours['ingress.drop.malformed'] ?? 0) > 0, 'counted as malformed');
    }
    for (const host of [a, b]) await checkBalance(t, host);
  });
}
