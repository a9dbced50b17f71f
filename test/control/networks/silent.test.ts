/**
 * Containers that never said a word, on three hosts: found by whoever asks for them, without a flood, and
 * what does not exist costs little.
 */
import { execFileSync } from 'node:child_process';
import { get } from 'node:http';
import t, { type Test } from 'tap';
import { ADMIN_HOST } from '../../../src/control/admin/admin.ts';
import { RunDirectory } from '../../../src/control/store/run-directory.ts';
import { type LabContainer, portName } from '../../../src/demo/lab.ts';
import { ETHERTYPE_PATH_PROBE } from '../../../src/wire/lan/path-probe.ts';
import { arp, ethernet } from '../../support/bytes.ts';
import { Sight, sendFrames } from '../../support/frames.ts';
import { skipLong } from '../../support/long.ts';
import { promised, until } from '../../support/patience.ts';
import { killIfThere } from '../../support/processes.ts';
import { statusOf } from '../lab-router.ts';
import { type NetworkLab, networkOf, ping, plug, run, skipWithoutPing, startHosts } from './lab.ts';

const BRIDGE = 'br-blue';
const macOf = (host: number, index: number): string => `02:00:00:00:0${host + 1}:0${index + 1}`;
const addressOf = (host: number, index: number): number => 0x0a01_0000 + (host + 1) * 16 + index;
const textOf = (host: number, index: number): string => `10.1.0.${(host + 1) * 16 + index}`;
const sixOf = (host: number, index: number): string => `fd00:1::${host + 1}:${index + 1}`;
/** In a frame of the underlay: the VXLAN port, the inner destination, the inner EtherType. */
const [PORT_AT, INNER_AT, INNER_TYPE] = [36, 50, 62];
/** The other hosts have it a moment after it was found; whoever asks again after a second is answered. */
const FOUND_MS = 2000;
const INVENTED = 3000;

const isVxlan = (frame: Buffer): boolean =>
  frame.length > INNER_TYPE + 2 && frame.readUInt16BE(PORT_AT) === 4789;

/** Plugs a container in, and makes sure that it has said nothing of its IPv4 address. */
async function plugSilently(container: LabContainer, host: number, index: number): Promise<void> {
  container.setIpv6(false);
  await plug(container, BRIDGE, macOf(host, index), addressOf(host, index));
}

/** How long it takes until somebody who was never heard of answers, ms. */
async function reach(from: LabContainer, to: string, withinMs = FOUND_MS): Promise<number> {
  const startMs = performance.now();
  await until(`${to} answers`, withinMs, async () => (await ping(from, to, 1)) === 1);
  return performance.now() - startMs;
}

/** `count` questions of a container for addresses that nobody has, each for another one. */
async function inventAddresses(from: LabContainer, count: number): Promise<void> {
  const { index, address: mac } = await from.netlink.link('eth0');
  const frames = Array.from({ length: count }, (_, i) =>
    ethernet(
      0xffff_ffff_ffff,
      mac,
      0x0806,
      arp({ senderMac: mac, sender: from.address, target: 0x0a01_8000 + i }),
    ),
  );
  from.run(() => sendFrames(index, frames));
}

/** What one host sent of such questions to others. */
async function seeksSent({ lab }: NetworkLab, host: number): Promise<number> {
  const { socket } = new RunDirectory(lab.host(host).runDirectory);
  const text = await new Promise<string>((resolve, reject) => {
    get({ socketPath: socket, path: '/metrics', headers: { host: ADMIN_HOST } }, (answer) => {
      answer
        .setEncoding('utf8')
        .toArray()
        .then((parts) => resolve(parts.join('')), reject);
    }).on('error', reject);
  });
  return Number(/fanway_gossip_seeks_sent\S* (\d+)/.exec(text)?.[1]);
}

t.test('containers that never said a word', { skip: skipWithoutPing }, async (t) => {
  const at = await startHosts(t, { hosts: 3, containersPerHost: 2, ipv6: true });
  const { lab, hosts } = at;
  await Promise.all(
    hosts.map(async (host, i) => {
      await run(host, 'net', 'add', 'blue', '--vni', '100', '--underlay', 'eth0/16');
      for (const index of [0, 1]) await plugSilently(lab.container(i, index), i, index);
    }),
  );
  for (const host of hosts) {
    await until('both others take part', 5000, async () => {
      return (await networkOf(host, 'blue')).memberCount === 2;
    });
  }
  const port = (await lab.middle.netlink.link(portName(0))).index;
  const sight = lab.middle.run(() => new Sight(port));

  await t.test('are found by whoever asks for them', async (t) => {
    const { addresses } = await networkOf(lab.host(1), 'blue');
    t.equal(addresses, 0, 'nobody is known to have an address');
    promised(t, 'a silent one', await reach(lab.container(0, 0), textOf(1, 0)), FOUND_MS);
    promised(t, 'another', await reach(lab.container(1, 1), textOf(2, 1)), FOUND_MS);
    const { search } = await networkOf(lab.host(0), 'blue');
    t.match(search, { found: 1, limited: 0 });
    t.ok(search.asked >= 1);
    t.ok((await networkOf(lab.host(1), 'blue')).search.looked >= 1);
  });

  await t.test('by IPv6 as well', async (t) => {
    const [from, to] = [lab.container(0, 1), lab.container(2, 0)];
    for (const [container, host, index] of [
      [from, 0, 1],
      [to, 2, 0],
    ] as const) {
      container.setIpv6(true);
      const address = `${sixOf(host, index)}/64`;
      container.run(() => execFileSync('ip', ['address', 'add', address, 'dev', 'eth0', 'nodad']));
    }
    promised(t, 'a silent one', await reach(from, sixOf(2, 0)), FOUND_MS);
  });

  await t.test('and so is a host on its own bridge', async (t) => {
    await lab.host(2).netlink.addAddress(BRIDGE, 0x0a01_00fe, 24);
    promised(t, 'the host', await reach(lab.container(1, 0), '10.1.0.254'), FOUND_MS);
  });

  await t.test('what nobody has costs little', async (t) => {
    const { search: before } = await networkOf(lab.host(0), 'blue');
    const sentBefore = await seeksSent(at, 0);
    const startMs = performance.now();
    await inventAddresses(lab.container(0, 0), INVENTED);
    promised(t, 'meanwhile', await reach(lab.container(0, 1), textOf(1, 1)), FOUND_MS);
    const seconds = (performance.now() - startMs) / 1000;
    const { search } = await networkOf(lab.host(0), 'blue');
    const asked = search.asked - before.asked;
    t.comment(`${asked} of ${INVENTED} were asked for in ${seconds.toFixed(1)} s`);
    // A burst, and a rate: for the one that invents, and for the one that asks for somebody.
    t.ok(asked <= 2 * (16 + 8 * Math.ceil(seconds)), 'few are asked for');
    t.ok(search.limited > before.limited, 'the others are counted');
    const sent = (await seeksSent(at, 0)) - sentBefore;
    t.ok(sent <= 2 * asked, `${sent} messages to two hosts`);
    t.match(await run(lab.host(0), 'net', 'show', 'blue'), /asked of others: \d+ address(es)?/);
  });

  await t.test(
    'also when control was killed, and its piece of the bridge taken away',
    { skip: skipLong },
    (t) => again(t, at),
  );

  const carried = sight.received().filter(isVxlan);
  sight.close();
  t.ok(carried.length > 0, 'the underlay carried packets');
  const arps = carried.filter((frame) => frame.readUInt16BE(INNER_TYPE) === 0x0806);
  t.equal(arps.length, 0, 'and no ARP');
  // Tests of the way between two routers are for the other router alone: no bridge passes them on.
  const flooded = carried.filter((frame) => {
    return (
      (frame.readUInt8(INNER_AT) & 1) === 1 &&
      frame.readUInt16BE(INNER_TYPE) !== ETHERTYPE_PATH_PROBE
    );
  });
  t.equal(flooded.length, 0, 'and nothing else for many');
  for (const host of hosts) t.ok(await run(host, 'net', 'show', '--assert-floodless'), host.name);
});

/** A container that was plugged in while control was dead, and a bridge that lost the way of answers. */
async function again(t: Test, { lab }: NetworkLab): Promise<void> {
  const [asker, host, hidden] = [lab.container(2, 1), lab.host(0), lab.container(0, 1)];
  await hidden.detach();
  const { pid } = await statusOf(host);
  killIfThere(pid);
  await plug(hidden, BRIDGE, '02:00:00:00:01:77', 0x0a01_0077);
  await until(
    'control is there again',
    10_000,
    async () => (await statusOf(host).catch(() => ({ pid }))).pid !== pid,
  );
  // The others have to believe first that this host is back, which nobody promises a time for.
  const ms = await reach(asker, '10.1.0.119', 10_000);
  t.pass(`one that came meanwhile: ${Math.round(ms)} ms`);
  host.run(() => execFileSync('bridge', ['fdb', 'flush', 'dev', 'fwn-100', 'master', 'dynamic']));
  await hidden.netlink.addAddress('eth0', 0x0a01_0078, 24);
  promised(t, 'another address of it', await reach(asker, '10.1.0.120'), FOUND_MS);
}
