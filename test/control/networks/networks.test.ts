/**
 * Two tenants on three hosts, with the same addresses and the same MACs in both networks.
 * @module
 */
import { execFileSync } from 'node:child_process';
import t, { type Test } from 'tap';
import type { EndJson } from '../../../src/api/network/ends.ts';
import type { NetworkPlanJson } from '../../../src/api/network/requests.ts';
import { type LabContainer, type LabHost, MIDDLE_BRIDGE, portName } from '../../../src/demo/lab.ts';
import { parseMac } from '../../../src/net/mac.ts';
import { runTcpPair } from '../../../src/traffic/run.ts';
import { malformed } from '../../support/dissect.ts';
import { Sight } from '../../support/frames.ts';
import { skipLong } from '../../support/long.ts';
import { PATIENCE, promised, until } from '../../support/patience.ts';
import { fanway, picture, statusOf } from '../lab-router.ts';
import { foreignBridge, kernelAnswers, leaveBehind } from './answers.ts';
import {
  type NetworkLab,
  networksOf,
  ping,
  plug,
  run,
  skipWithoutPing as skip,
  startHosts,
} from './lab.ts';
import { addressOf, hostAddressOf, measureLoad, measurePaths } from './measures.ts';
import { undo } from './undone.ts';

const NETWORKS = [
  ['blue', '100'],
  ['red', '200'],
] as const;
const TCP_BYTES = 8 << 20;
const JUMBO_MTU = 9000;
const MOVER = { mac: '02:00:00:00:00:09', address: 0x0a010009, text: '10.1.0.9' };
const macOf = (host: number): string => `02:00:00:00:00:0${host + 1}`;

/** In a frame of the underlay: where it goes, the VXLAN port, the inner destination, the inner EtherType. */
const [OUTER_TO_AT, PORT_AT, INNER_AT, INNER_TYPE] = [30, 36, 50, 62];
const ETHERTYPE_ARP = 0x0806;
const isVxlan = (frame: Buffer): boolean =>
  frame.length > INNER_TYPE + 2 && frame.readUInt16BE(PORT_AT) === 4789;
const vniOf = (frame: Buffer): number => frame.readUIntBE(INNER_AT - 4, 3);
const isToMany = (frame: Buffer): boolean => (frame.readUInt8(INNER_AT) & 1) === 1;

/** All containers of one network but the spare ones, one a host. */
function tenants({ lab, hosts }: NetworkLab, network: number): LabContainer[] {
  return hosts.map((_, host) => lab.container(host, network));
}

/** Waits until `host` knows so many MACs of each network, the mover not counted. */
async function untilKnown(host: LabHost, macs: number): Promise<void> {
  await until(`${macs} MACs known on ${host.name}`, 5000, async () =>
    (await networksOf(host)).every(({ macs: { local, remote } }) => local + remote >= macs),
  );
}

async function controlPid(host: LabHost): Promise<number> {
  const { pid } = await statusOf(host);
  return pid;
}

/** A stream from one host to another comes whole. */
async function carry(t: Test, { lab }: NetworkLab): Promise<void> {
  const { sent, received } = await runTcpPair(
    { from: lab.container(0, 0), to: lab.container(1, 0), address: addressOf(1) },
    { port: 5001, bytes: TCP_BYTES, sha256: true },
  );
  t.equal(received.bytes, TCP_BYTES, 'TCP');
  t.equal(received.streams[0]?.sha256, sent.streams[0]?.sha256, 'with the same SHA-256');
}

/** Everybody in a network reaches everybody, and each network only its own. */
async function meet(t: Test, at: NetworkLab, family: 4 | 6): Promise<void> {
  for (const [index, [name]] of NETWORKS.entries()) {
    const all = tenants(at, index);
    const pings = all.flatMap((from, i) =>
      all.flatMap((_, j) => {
        if (i === j) return [];
        const to = family === 4 ? addressOf(j) : `fd00:1::${j + 1}`;
        return [ping(from, to, 3, `-${family}`)];
      }),
    );
    const answered = await Promise.all(pings);
    t.strictSame(
      answered,
      answered.map(() => 3),
      `${name}: everybody answers, IPv${family}`,
    );
  }
}

t.test('two tenants with the same addresses and MACs on three hosts', { skip }, async (t) => {
  const at = await startHosts(t, { hosts: 3, containersPerHost: 3, ipv6: true });
  const { lab, hosts } = at;
  const before = await Promise.all(hosts.map(picture));
  const planned = await plan(t, at, before);
  const addAll = async (host: LabHost): Promise<void> => {
    for (const [name, vni] of NETWORKS) {
      // Hosts have an address of their own on one of the two.
      const own = name === 'blue' ? ['--address', `${hostAddressOf(host.index)}/24`] : [];
      await run(host, 'net', 'add', name, '--vni', vni, '--underlay', 'eth0/16', ...own);
    }
  };
  await Promise.all(hosts.map(addAll));
  for (const [index, [name]] of NETWORKS.entries()) {
    for (const [i, container] of tenants(at, index).entries()) {
      await plug(container, `br-${name}`, macOf(i), 0x0a010001 + i);
      container.run(() =>
        execFileSync('ip', ['address', 'add', `fd00:1::${i + 1}/64`, 'dev', 'eth0', 'nodad']),
      );
    }
  }
  // Everybody has said a word once: a gratuitous packet is what a bridge learns from.
  await Promise.all(
    NETWORKS.flatMap((_, index) =>
      tenants(at, index).flatMap((from) => [
        ping(from, '10.1.0.200', 1, '-4'),
        ping(from, 'fd00:1::200', 1, '-6'),
      ]),
    ),
  );
  for (const host of hosts) {
    await untilKnown(host, 3);
    // And whose addresses, of either family: a question for another one would go to all.
    await until(`addresses known on ${host.name}`, 5000, async () =>
      (await networksOf(host)).every(({ addresses }) => addresses >= 6),
    );
  }

  await t.test('everybody reaches everybody', async (t) => {
    const port = (await lab.middle.netlink.link(portName(0))).index;
    const sight = lab.middle.run(() => new Sight(port));
    await meet(t, at, 4);
    await meet(t, at, 6);
    const carried = sight.received().filter(isVxlan);
    sight.close();
    t.ok(carried.length > 0, 'the underlay carried packets');
    const isQuestion = (frame: Buffer): boolean => frame.readUInt16BE(INNER_TYPE) === ETHERTYPE_ARP;
    t.equal(carried.filter(isQuestion).length, 0, 'and no ARP');
    t.equal(carried.filter(isToMany).length, 0, 'and nothing to a group');
    const vnis = [...new Set(carried.map(vniOf))].sort();
    t.same(vnis, [100, 200], 'each network by its own number');
    const wrong = malformed(carried, [100, 200]);
    if (wrong === undefined) t.comment('no tshark here: nobody else has looked at the frames');
    else t.equal(wrong, '', 'tshark finds nothing malformed');
    await carry(t, at);
  });

  await t.test('the bridge answers ARP', (t) => kernelAnswers(t, at));
  await t.test("ARP on somebody's bridge", { skip: skipLong }, (t) => foreignBridge(t, at));
  await t.test('nothing was flooded', async (t) => {
    for (const host of hosts) {
      t.ok(await run(host, 'net', 'show', '--assert-floodless'), host.name);
      for (const { network, members, reason, notes } of await networksOf(host)) {
        t.equal(members.length, 2, `${network}: two other members`);
        t.strictSame([reason, notes], ['', []], `${network}: all is well on ${host.name}`);
      }
    }
  });

  await t.test('questions are answered', async (t) => {
    const [, second] = hosts;
    if (second === undefined) return;
    t.match(await run(second, 'mac', 'show', 'blue'), macOf(0));
    t.match(await run(second, 'arp', 'red'), addressOf(2));
    const told = await run(second, 'explain', addressOf(0));
    t.match(told, /network blue: 10\.1\.0\.1 is 02:00:00:00:00:01, which is/);
    t.match(told, /network red: /);
    t.match(await run(second, 'explain', macOf(1)), /behind a port of this host/);
    t.match(await run(second, 'mac', 'history', macOf(0)), /blue/);
    const { ends } = JSON.parse(await run(second, 'explain', addressOf(0), '--json')) as {
      ends: EndJson[];
    };
    t.match(
      ends.map(({ link, side, name, finding }) => [link, side, name, finding.dies]),
      NETWORKS.flatMap(([name]) => [
        [name, 'leaves', 'host2', ''],
        [name, 'arrives', 'host1', ''],
      ]),
      'both hosts say what they do, of both tenants',
    );
    const leaves = new Map(ends[0]?.finding.facts.map(({ what, value }) => [what, value]));
    t.match(leaves.get('encapsulation'), /vxlan, VNI 100/);
    t.match(leaves.get('outer'), /172\.30\.1\.27 to 172\.30\.0\.28, UDP .* to port 4789/);
    t.match(leaves.get('mtu'), /1450 inside, 1500 outside/);
    const arrives = new Map(ends[1]?.finding.facts.map(({ what, value }) => [what, value]));
    t.match(arrives.get('port'), /veth-c1/, 'the far host names its port');
    const far = await run(second, 'explain', addressOf(0), 'to', addressOf(2));
    t.match(
      far,
      /leaves host1 .*\n[\s\S]*arrives at host3 .*\n[\s\S]*is delivered/,
      'others are asked',
    );
    t.match(await run(second, 'explain', '--here', addressOf(0)), /network red: [^\n]*\n$/);
  });

  await t.test('ping, test and flows know networks', { skip: skipLong }, (t) =>
    measurePaths(t, at),
  );
  await t.test('latency and its far end know networks', { skip: skipLong }, (t) =>
    measureLoad(t, at),
  );
  await t.test('a container moves with its MAC and address', (t) => move(t, at));
  await t.test("a container takes another one's MAC", (t) => impostor(t, at));
  await t.test('others take its pieces, which come back', { skip: skipLong }, (t) => undo(t, at));
  await t.test('the underlay takes jumbo frames', { skip: skipLong }, (t) => jumbo(t, at));
  await t.test('control is killed under traffic', { skip: skipLong }, (t) => restart(t, at));

  await t.test('what was planned is what is there, and net rm takes it back', async (t) => {
    const { outcome, undone } = await planOf(at);
    t.equal(outcome, 'same');
    // A setting's value before is known to a plan alone.
    const done = planned.map((line) => line.replace(/ \(now .*\)$/, ''));
    t.same(undone.reverse(), done);
    for (const container of lab.containers) await container.detach();
    const removeAll = async (host: LabHost): Promise<void> => {
      for (const [name] of NETWORKS) await run(host, 'net', 'rm', name);
    };
    await Promise.all(hosts.map(removeAll));
    const after = await Promise.all(hosts.map(picture));
    const plain = (lines: string[]) => lines.filter((line) => !line.includes('veth-c'));
    t.strictSame(after.map(plain), before.map(plain));
  });
});

async function planOf({ lab }: NetworkLab, ...words: string[]): Promise<NetworkPlanJson> {
  const [name, vni] = NETWORKS[1];
  const where = ['--vni', vni, '--underlay', 'eth0/16', ...words];
  const { out } = await fanway(lab.host(0), 'net', 'plan', name, ...where, '--json');
  return JSON.parse(out) as NetworkPlanJson;
}

/** A plan changes nothing. Returns what it would change. */
async function plan(t: Test, at: NetworkLab, [before]: string[][]): Promise<string[]> {
  const { outcome, bridge, changes } = await planOf(at);
  t.match([outcome, bridge, changes.join('\n')], ['changes', 'br-red', /create bridge br-red/]);
  const refused = await planOf(at, '--mtu', '9000');
  t.match(refused, { outcome: 'refused', messages: [/9000/] });
  t.strictSame(await picture(at.lab.host(0)), before, 'nothing has changed');
  return changes;
}

async function move(t: Test, { lab, hosts }: NetworkLab): Promise<void> {
  const [asker, old, young] = [lab.container(1, 0), lab.container(0, 2), lab.container(2, 2)];
  await plug(old, 'br-blue', MOVER.mac, MOVER.address);
  await until('the container is reached where it began', 5000, async () => {
    await ping(old, addressOf(1));
    return (await ping(asker, MOVER.text)) === 1;
  });
  await old.detach();
  const startMs = performance.now();
  await plug(young, 'br-blue', MOVER.mac, MOVER.address);
  // A container says who it is when it comes up, as engines and their guests do.
  void ping(young, addressOf(0));
  const stream = until(
    'the container is reached where it went',
    1000,
    async () => (await ping(asker, MOVER.text, 1, '-W', '0.1')) === 1,
  );
  await stream;
  promised(t, 'reached again', performance.now() - startMs, 1000);
  // A host that knows the new place sends nothing to the old one any more.
  const port = (await lab.middle.netlink.link(portName(0))).index;
  const sight = lab.middle.run(() => new Sight(port));
  t.ok((await ping(asker, MOVER.text, 5)) > 0, 'it goes on');
  const carried = sight.received().filter(isVxlan);
  sight.close();
  // What the host that it left sends to it passes here too.
  const strays = carried.filter(
    (frame) =>
      frame.readUInt32BE(OUTER_TO_AT) === lab.host(0).address &&
      frame.readUIntBE(INNER_AT, 6) === parseMac(MOVER.mac),
  );
  t.equal(strays.length, 0, 'with no packet to where it was');
  t.equal(await ping(lab.container(1, 1), MOVER.text), 0, 'the other tenant has no such address');
  const [, second] = hosts;
  if (second !== undefined) {
    t.match(await run(second, 'mac', 'history', MOVER.mac), /host3/, 'its history says where');
  }
}

/** The mover is alive at the third host: whoever has its MAC on the first is no move of it. */
async function impostor(t: Test, { lab, hosts }: NetworkLab): Promise<void> {
  const [first, , third] = hosts;
  if (first === undefined || third === undefined) return;
  const [asker, false1, true1] = [lab.container(1, 0), lab.container(0, 2), lab.container(2, 2)];
  const stream = ping(asker, MOVER.text, 30);
  // Whose MAC it is not loses nothing: between other hosts, from the host of either, in the other network.
  const others = [
    ping(lab.container(1, 0), addressOf(2), 30),
    ping(lab.container(0, 0), addressOf(1), 30),
    ping(lab.container(2, 1), addressOf(0), 30),
  ];
  await plug(false1, 'br-blue', MOVER.mac, 0x0a01_0063);
  for (const host of [first, third]) {
    await until(`${host.name} says that both have it`, 5000, async () => {
      void ping(false1, addressOf(1));
      const blue = (await networksOf(host)).find(({ network }) => network === 'blue');
      return /MACs that two hosts have/.test(blue?.notes.join() ?? '');
    });
    t.match(await run(host, 'mac', 'history', MOVER.mac), /both answer/, `told at ${host.name}`);
  }
  t.ok((await stream) >= 25, 'it stays where it was');
  const lost = (await Promise.all(others)).map((received) => 30 - received);
  t.ok(
    lost.every((count) => count <= 5),
    `others lost ${lost.join(', ')} of 30`,
  );
  const macs = await run(first, 'mac', 'show', 'blue', '--json');
  const where = (JSON.parse(macs) as { mac: string; host: string }[]).find(
    ({ mac }) => mac === MOVER.mac,
  );
  t.not(where?.host, '', 'the first host does not have it');
  await true1.detach();
  await until('once it is gone there, it is where it is seen', 5000, async () => {
    void ping(false1, addressOf(1));
    return (await ping(asker, '10.1.0.99')) === 1;
  });
}

/** Every device between containers takes packets of this size. */
async function setMtu({ lab, hosts }: NetworkLab, mtu: number): Promise<void> {
  await lab.middle.netlink.setLink(MIDDLE_BRIDGE, { mtu });
  for (const host of hosts) {
    await lab.setPortMtu(host.index, mtu);
    await host.netlink.setLink('eth0', { mtu });
  }
  for (const host of hosts) {
    await until(`${host.name} has taken MTU ${mtu}`, 15_000, async () =>
      (await networksOf(host)).every(({ innerMtu }) => innerMtu === mtu - 50),
    );
  }
  for (const container of lab.containers) {
    await container.host.netlink.setLink(container.hostEnd, { mtu: mtu - 50 });
    await container.netlink.setLink('eth0', { mtu: mtu - 50 });
  }
}

async function jumbo(t: Test, at: NetworkLab): Promise<void> {
  const { lab } = at;
  await setMtu(at, JUMBO_MTU);
  const large = ['-M', 'do', '-s', String(JUMBO_MTU - 50 - 28)];
  t.equal(await ping(lab.container(0, 0), addressOf(1), 3, ...large), 3, 'the largest packets');
  t.equal(await ping(lab.container(2, 1), addressOf(0), 3, ...large), 3, 'of the other tenant too');
  await carry(t, at);
  await setMtu(at, 1500);
}

async function restart(t: Test, { lab, hosts }: NetworkLab): Promise<void> {
  const [first] = hosts;
  if (first === undefined) return;
  const [from, back] = [lab.container(0, 0), lab.container(1, 1)];
  const pid = await controlPid(first);
  const left = leaveBehind(first, 'br-blue');
  const streams = [ping(from, addressOf(1), 20), ping(back, addressOf(0), 20)];
  process.kill(pid, 'SIGKILL');
  const lost = (await Promise.all(streams)).map((received) => 20 - received);
  t.comment(`of 20 packets each way ${lost.join(' and ')} were lost`);
  t.ok(
    lost.every((count) => count <= 5 * PATIENCE),
    'traffic goes on while control is killed',
  );
  await until(
    'control is there again',
    10_000,
    async () => (await controlPid(first).catch(() => pid)) !== pid,
  );
  await until('what it had the bridge answer is gone', 10_000, async () => left() === '10.1.0.92');
  await untilKnown(first, 3);
  for (const host of hosts) await untilKnown(host, 3);
  t.equal(await ping(from, addressOf(2), 2), 2, 'and everybody is known as before');
  t.equal(await ping(lab.container(2, 1), addressOf(0), 2), 2, 'from the other side too');
}
