/**
 * Nobody's load stops anybody else: not one direction the other, not one link another, not a peer
 * that takes nothing any more the rest. What flows beside the load is slow enough for every queue
 * on its way, so it is lost only where somebody does not get his turn.
 */
import t, { type Test } from 'tap';
import { Lab, type LabHost } from '../../src/demo/lab.ts';
import { runFanway } from '../../src/demo/router.ts';
import { sliceOf } from '../../src/net/fan.ts';
import { formatIpv4 } from '../../src/net/ipv4.ts';
import { parsePrefix } from '../../src/net/prefix.ts';
import { runEcho, runUdpPair, startTraffic } from '../../src/traffic/run.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { checkBalance, dataProcess } from './rig.ts';

const skip = skipWithoutTun();
t.setTimeout(1_200_000);

const UNDERLAY = parsePrefix('172.30.0.0/16');
const LOAD_SECONDS = 3;
const FLOW_SECONDS = 1.5;
const FLOW_RATE = 300;
const SIZE = 64;
/** A queue that overflows for a moment while a machine is overrun is not unfair. */
const ARRIVED_MIN = 0.97;

function gatewayOf(host: LabHost, overlay: string): string {
  const map = { overlay: parsePrefix(overlay), underlay: UNDERLAY };
  return formatIpv4(sliceOf(map, host.address).address + 1);
}

async function fanOn(hosts: readonly LabHost[], overlay: string, encap: string): Promise<void> {
  for (const host of hosts) {
    const bridge = `fan-${overlay.split('.')[0]}`;
    const words = ['up', overlay, 'eth0/16', 'bridge', bridge, '--encap', encap];
    await runFanway(host, [...words, '--no-masquerade']);
  }
  // Neighbours know each other before the load begins.
  for (const from of hosts) {
    const others = hosts.filter((host) => host !== from).map((host) => gatewayOf(host, overlay));
    await runEcho(from, others, { count: 2, interval: 10 });
  }
}

/** Sends to `address` for a while: all that goes in, or `rate` datagrams a second. */
function load(from: LabHost, address: string, rate: number) {
  const options = { connect: address, port: 7200, rate, seconds: LOAD_SECONDS, size: SIZE };
  return startTraffic(from, 'udp-send', options);
}

async function flow(t: Test, what: string, from: LabHost, to: LabHost, overlay: string) {
  const path = { from, to, address: gatewayOf(to, overlay) };
  const options = { port: 7100, rate: FLOW_RATE, seconds: FLOW_SECONDS, size: SIZE };
  const { sent, received } = await runUdpPair(path, options);
  const text = `${what}: ${received.received} of ${sent.sent} arrived`;
  t.ok(sent.sent > 0 && received.received >= ARRIVED_MIN * sent.sent, text);
  t.equal(received.late, 0, `${what}: in order`);
}

t.test('beside a flood, the way back and another link go on', { skip }, async (t) => {
  const lab = await Lab.create({ hosts: 2, containersPerHost: 0 });
  t.teardown(() => lab.close());
  const [a, b] = [lab.host(0), lab.host(1)];
  await fanOn(lab.hosts, '250.0.0.0/8', 'vxlan');
  await fanOn(lab.hosts, '251.0.0.0/8', 'fou');
  const flood = load(a, gatewayOf(b, '250.0.0.0/8'), 0);
  await Promise.all([
    flow(t, 'the way back', b, a, '250.0.0.0/8'),
    flow(t, 'the other link', a, b, '251.0.0.0/8'),
  ]);
  t.ok((await flood.result).sent > 10 * FLOW_RATE, 'the flood was one');
  for (const host of lab.hosts) await checkBalance(t, host);
});

t.test('a peer that is stuck, and one that is not there, stop nobody', { skip }, async (t) => {
  const lab = await Lab.create({ hosts: 3, containersPerHost: 0 });
  t.teardown(() => lab.close());
  const [a, stuck, c] = [lab.host(0), lab.host(1), lab.host(2)];
  const overlay = '250.0.0.0/8';
  await fanOn(lab.hosts, overlay, 'vxlan');
  const { pid } = await dataProcess(stuck);
  process.kill(pid, 'SIGSTOP');
  t.teardown(() => {
    try {
      process.kill(pid, 'SIGCONT');
    } catch {
      // Control has replaced it.
    }
  });
  // 172.30.0.99 is nobody: its packets wait for ARP, then fail.
  const loads = [load(a, gatewayOf(stuck, overlay), 10_000), load(a, '250.0.99.1', 10_000)];
  await Promise.all([
    flow(t, 'beside both', a, c, overlay),
    flow(t, 'and the way back', c, a, overlay),
  ]);
  for (const { result } of loads) t.ok((await result).sent > 10 * FLOW_RATE);
  for (const host of [a, c]) await checkBalance(t, host);
});
