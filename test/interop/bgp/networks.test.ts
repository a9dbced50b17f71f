/**
 * A layer-2 network whose one end is fanway and whose other end is FRR with the kernel's bridge and VXLAN
 * device: BGP EVPN over two reflectors (FRR, GoBGP) says who is where.
 */
import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { BgpEntryJson, NeighbourJson } from '../../../src/api/bgp.ts';
import type { MacJson, NetworkJson } from '../../../src/api/networks.ts';
import { Lab, type LabContainer, type LabHost, portName } from '../../../src/demo/lab.ts';
import { Keyring } from '../../../src/gossip/base/keyring.ts';
import { formatIpv4 } from '../../../src/net/ipv4.ts';
import { distDirectory } from '../../../src/sys/host/paths.ts';
import { runTcpPair } from '../../../src/traffic/run.ts';
import { fanway, statusOf } from '../../control/lab-router.ts';
import { plug, run } from '../../control/networks/lab.ts';
import { skipWithoutTun } from '../../netns/privileges.ts';
import { Sight } from '../../support/frames.ts';
import { giveIpv6, turnOnIpv6 } from '../../support/ipv6-underlay.ts';
import { skipLong } from '../../support/long.ts';
import { PATIENCE, promised, sleep, until } from '../../support/patience.ts';
import { say } from '../../support/talk6.ts';
import { noPing } from '../../support/tools.ts';
import { frrReflector, gobgpReflector, startVtep } from './fabric.ts';
import { Frr, Gobgp, whyNoFrr, whyNoGobgp } from './routers.ts';

const skip = skipWithoutTun() || whyNoFrr() || whyNoGobgp() || skipLong || noPing();
t.setTimeout(1_200_000);

const [FANWAY, REFLECTOR, VTEP, GOBGP, MEMBER] = [0, 1, 2, 3, 4];
const [BRIDGE, FRR_BRIDGE] = ['br-blue', 'br100'];
const [NEAR, FAR, THIRD, MOVER] = [1, 2, 3, 9].map((number) => ({
  mac: `02:00:00:00:00:0${number}`,
  address: 0x0a64_0000 + number,
  text: `10.100.0.${number}`,
  text6: `fd64::${number}`,
})) as [Station, Station, Station, Station];
type Station = { mac: string; address: number; text: string; text6: string };
/** FRR's host in the network: whom containers there greet, so that its kernel knows their addresses. */
const [SVI, SVI6] = ['10.100.0.254', 'fd64::fe'];
/** In a frame of the underlay: outer source, UDP destination, inner destination and EtherType. */
const [SOURCE_AT, PORT_AT, INNER_AT, INNER_TYPE] = [26, 36, 50, 62];

function config(reflectors: readonly string[], folder: string): string {
  const near = reflectors.map(
    (address) => `[bgp-neighbor]\naddress = ${address}\nas = 65000\nconnect-retry = 1\n`,
  );
  return `[gossip]
name = gateway
key-file = ${join(folder, 'cluster.key')}
state-dir = ${folder}
[bgp]
as = 65000
vteps = 172.30.0.0/16
restart-time = 60
redistribute = yes
${near.join('')}[network]
name = blue
vni = 100
underlay = eth0/16
[bgp-network]
vni = 100
rd = 65000:4242
import-targets = *:100
export-targets = 65000:100, 65000:4242
`;
}

function startDaemon(host: LabHost): ChildProcess {
  const file = join(host.runDirectory, 'fanway.conf');
  const program = join(distDirectory(), 'fanway.js');
  const { environment: env } = host;
  return host.spawn(process.execPath, [program, 'daemon', '-c', file], { env, stdio: 'ignore' });
}

/** How many of `count` echo requests are answered. */
async function ping(from: LabContainer, to: string, count = 1, ...words: string[]) {
  const args = ['-n', '-q', '-c', String(count), '-i', '0.1', '-W', '1', ...words, to];
  const [text] = await say(from, 'ping', ...args);
  return Number(/(\d+) received/.exec(text)?.[1] ?? 0);
}

/** Plugs a station in, and lets it say who it is. */
async function settle(container: LabContainer, bridge: string, who: Station): Promise<void> {
  await plug(container, bridge, who.mac, who.address);
  turnOnIpv6(container);
  await say(container, 'ip', '-6', 'address', 'flush', 'dev', 'eth0', 'scope', 'global');
  giveIpv6(container, `${who.text6}/64`);
  await greet(container);
}

/** A container that was just plugged in says who it is, as engines and their guests do. */
async function greet(container: LabContainer): Promise<void> {
  await Promise.all([SVI, SVI6].map((address) => ping(container, address, 1, '-W', '0.2')));
}

class Fabric {
  readonly lab: Lab;
  readonly host: LabHost;
  readonly vtep: Frr;
  readonly reflector: Frr;
  readonly reflectorConfig: string;
  daemon: ChildProcess;

  private constructor(lab: Lab, vtep: Frr, reflector: Frr, reflectorConfig: string) {
    this.lab = lab;
    this.host = lab.host(FANWAY);
    this.vtep = vtep;
    this.reflector = reflector;
    this.reflectorConfig = reflectorConfig;
    this.daemon = startDaemon(this.host);
  }

  static async build(t: Test): Promise<Fabric> {
    const lab = await Lab.create({ hosts: 5, containersPerHost: 2, ipv6: true });
    t.teardown(() => lab.close());
    const text = (index: number): string => formatIpv4(lab.host(index).address);
    const [reflectors, clients] = [
      [text(REFLECTOR), text(GOBGP)],
      [text(FANWAY), text(VTEP)],
    ];
    const host = lab.host(FANWAY);
    chmodSync(host.runDirectory, 0o755);
    const folder = host.runDirectory;
    const key = Keyring.generate(randomBytes).format();
    writeFileSync(join(folder, 'cluster.key'), key, { mode: 0o600 });
    writeFileSync(join(folder, 'fanway.conf'), config(reflectors, folder), { mode: 0o600 });
    const reflectorConfig = frrReflector(text(REFLECTOR), clients);
    const [reflector, vtep] = await Promise.all([
      Frr.start(lab.host(REFLECTOR), reflectorConfig),
      startVtep(lab.host(VTEP), text(VTEP), reflectors),
      Gobgp.start(lab.host(GOBGP), gobgpReflector(text(GOBGP), clients)),
    ]);
    t.teardown(() => Promise.all([reflector.close(), vtep.close()]));
    await lab.host(VTEP).netlink.addAddress(FRR_BRIDGE, 0x0a64_00fe, 24);
    giveIpv6(lab.host(VTEP), `${SVI6}/64`, FRR_BRIDGE);
    return new Fabric(lab, vtep, reflector, reflectorConfig);
  }

  async json<T>(...words: string[]): Promise<T> {
    return JSON.parse(await run(this.host, ...words, '--json')) as T;
  }

  /** Sessions with so many neighbours. */
  async untilUp(count: number): Promise<void> {
    await until(`${count} sessions`, 30_000, async () => {
      const all = await this.json<NeighbourJson[]>('bgp', 'neighbors').catch(() => []);
      return all.filter(({ state }) => state === 'Established').length >= count;
    });
  }

  /** What fanway has for a MAC. */
  async macOf(mac: string): Promise<MacJson | undefined> {
    const macs = await this.json<MacJson[]>('mac', 'show', 'blue');
    return macs.find((each) => each.mac === mac);
  }

  /** What FRR's zebra has for it, as text. */
  frrMac(mac: string): Promise<string> {
    return this.vtep.show(`show evpn mac vni 100 mac ${mac}`).catch(() => '');
  }

  /** A station is known at FRR with its addresses, at another host. */
  async untilFrrHas({ mac, text, text6 }: Station): Promise<void> {
    const there = formatIpv4(this.host.address);
    await until(`FRR has ${mac} at fanway's host`, 10_000, async () => {
      const [known, arp] = await Promise.all([
        this.frrMac(mac),
        this.vtep.show('show evpn arp-cache vni 100'),
      ]);
      return known.includes(there) && arp.includes(text) && arp.includes(text6);
    });
  }

  /** The same at fanway; FRR's kernel hears of addresses when their container speaks to it. */
  async untilFanwayHas({ mac, text, text6 }: Station, container: LabContainer): Promise<void> {
    let seen: MacJson | undefined;
    const isKnown = async (): Promise<boolean> => {
      await greet(container);
      seen = await this.macOf(mac);
      const { source, addresses = [] } = seen ?? {};
      return source === 'bgp' && addresses.includes(text) && addresses.includes(text6);
    };
    await until(`fanway has ${mac} at FRR's host`, 10_000, isKnown).catch((error: unknown) => {
      throw new Error(`${String(error)}: ${JSON.stringify(seen)}`);
    });
  }
}

t.test('a network between fanway and FRR', { skip }, async (t) => {
  const fabric = await Fabric.build(t);
  const { lab, host, vtep } = fabric;
  const [near, far] = [lab.container(FANWAY), lab.container(VTEP)];
  await fabric.untilUp(2);
  await settle(near, BRIDGE, NEAR);
  await settle(far, FRR_BRIDGE, FAR);
  const port = (await lab.middle.netlink.link(portName(0))).index;
  const sight = lab.middle.run(() => new Sight(port));
  t.teardown(() => sight.close());

  await t.test('each knows the other’s container, with MAC and addresses', async (t) => {
    await Promise.all([fabric.untilFrrHas(NEAR), fabric.untilFanwayHas(FAR, far)]);
    const entries = await fabric.json<BgpEntryJson[]>('bgp', 'rib', '--vni', '100');
    const there = formatIpv4(lab.host(VTEP).address);
    t.match(
      entries.filter(({ kind }) => kind === 'flood'),
      [{ entry: there, vtep: there, label: 100 }],
    );
    t.match(await run(host, 'explain', FAR.text), /told by 172\.30\.2\.\d+ over bgp/);
    const routes = await run(host, 'bgp', 'routes', '--type', '2');
    const own =
      /\[rd:65000:4242\].*\[02:00:00:00:00:01\]:\[32\]:\[10\.100\.0\.1\].*RT:65000:100 RT:65000:4242 ET:8/;
    t.match(routes, own);
    const [blue] = await fabric.json<NetworkJson[]>('net', 'show');
    t.match(blue, { state: 'up', reason: '', members: [{ host: there, source: 'bgp' }] });
  });

  await t.test('they reach each other: echo, TCP, IPv6', async (t) => {
    t.equal(await ping(near, FAR.text, 5), 5, 'echo');
    t.equal(await ping(far, NEAR.text, 5), 5, 'and back');
    t.equal(await ping(near, FAR.text6, 5), 5, 'IPv6');
    t.equal(await ping(far, NEAR.text6, 5), 5, 'and back');
    for (const [from, to, address] of [
      [near, far, FAR.text],
      [far, near, NEAR.text],
    ] as const) {
      const bytes = 8 << 20;
      const pair = { port: 5001, bytes, sha256: true };
      const { sent, received } = await runTcpPair({ from, to, address }, pair);
      t.equal(received.bytes, bytes);
      t.match(sent.streams[0]?.sha256, /^[0-9a-f]{64}$/);
      t.equal(received.streams[0]?.sha256, sent.streams[0]?.sha256, 'equal SHA-256');
    }
  });

  await t.test('questions are answered on the host where they are asked', async (t) => {
    const frames = sight.received().filter((frame) => frame.length > INNER_TYPE + 2);
    const carried = frames.filter((frame) => frame.readUInt16BE(PORT_AT) === 4789);
    t.ok(carried.length > 100, `${carried.length} frames of the tunnel were looked at`);
    const isToMany = (frame: Buffer): boolean => (frame.readUInt8(INNER_AT) & 1) === 1;
    t.equal(carried.filter(isToMany).length, 0, 'none of them to everybody');
    const ours = carried.filter((frame) => frame.readUInt32BE(SOURCE_AT) === host.address);
    const arp = ours.filter((frame) => frame.readUInt16BE(INNER_TYPE) === 0x0806);
    t.equal(arp.length, 0, 'and of ours none that asks');
    t.ok(await run(host, 'net', 'show', '--assert-floodless'));
    const { out } = await fanway(host, 'counters', '--json');
    t.match(out, /"event\.arp_answered":\s*[1-9]/, 'fanway answered ARP');
    t.match(out, /"event\.nd_answered":\s*[1-9]/, 'and Neighbour Discovery');
  });

  await t.test('a container moves to FRR’s host and back', (t) => move(t, fabric));
  await t.test('sessions and a reflector that restart', (t) => flap(t, fabric));
  await t.test('a member of gossip and FRR reach each other through a gateway', (t) =>
    redistribute(t, fabric),
  );
  await t.test('control is killed', (t) => kill(t, fabric));

  await t.test('a clean stop takes everything back at once', async (t) => {
    const startMs = performance.now();
    fabric.daemon.kill('SIGTERM');
    await until('gone at FRR', 2000, async () => {
      const text = await vtep.show('show bgp l2vpn evpn');
      return !text.includes(NEAR.mac);
    });
    promised(t, 'withdrawn', performance.now() - startMs, 2000);
  });
});

async function move(t: Test, fabric: Fabric): Promise<void> {
  const { lab } = fabric;
  const [near, far] = [lab.container(FANWAY), lab.container(VTEP)];
  const [here, there] = [lab.container(FANWAY, 1), lab.container(VTEP, 1)];
  const reached = async (from: LabContainer): Promise<boolean> =>
    (await ping(from, MOVER.text, 1, '-W', '0.2')) === 1;
  await settle(here, BRIDGE, MOVER);
  await fabric.untilFrrHas(MOVER);
  t.equal(await reached(far), true, 'reached from FRR’s host where it began');

  await here.detach();
  await settle(there, FRR_BRIDGE, MOVER);
  await fabric.untilFanwayHas(MOVER, there);
  t.equal(await reached(near), true, 'reached from fanway’s host where it went');
  t.equal((await fabric.macOf(MOVER.mac))?.sequence, 1, 'with a sequence number one higher');

  await there.detach();
  await settle(here, BRIDGE, MOVER);
  await fabric.untilFrrHas(MOVER);
  // FRR and its kernel take their time to follow.
  await until('reached where it came back to', 60_000, () => reached(far));
  t.match(await fabric.macOf(MOVER.mac), { source: 'local', sequence: 2 });
  await here.detach();
}

async function flap(t: Test, fabric: Fabric): Promise<void> {
  const { lab, reflector, reflectorConfig } = fabric;
  const stream = ping(lab.container(FANWAY), FAR.text, 100);
  const back = ping(lab.container(VTEP), NEAR.text, 100);
  await reflector.show('clear bgp l2vpn evpn *');
  await sleep(1000);
  await reflector.endBgpd('SIGKILL');
  await sleep(1000);
  await reflector.startBgpd(reflectorConfig);
  t.same(await Promise.all([stream, back]), [100, 100], 'no packet is lost meanwhile');
  await fabric.untilUp(2);
  const [blue] = await fabric.json<NetworkJson[]>('net', 'show');
  t.match(blue, { state: 'up', reason: '' });
}

/** A host that speaks gossip alone, and FRR, which speaks BGP alone: packets go straight between them. */
async function redistribute(t: Test, fabric: Fabric): Promise<void> {
  const { lab, host, vtep } = fabric;
  const member = lab.host(MEMBER);
  const [third, far] = [lab.container(MEMBER), lab.container(VTEP)];
  const key = join(host.runDirectory, 'cluster.key');
  await run(member, 'join', formatIpv4(host.address), '--name', 'member', '--key', key);
  await run(member, 'net', 'add', 'blue', '--vni', '100', '--underlay', 'eth0/16');
  await settle(third, BRIDGE, THIRD);
  await until('FRR has it, at the member', 10_000, async () => {
    await greet(third);
    const there = formatIpv4(member.address);
    return (await fabric.frrMac(THIRD.mac)).includes(there);
  });
  const there = formatIpv4(lab.host(VTEP).address);
  // FRR takes back an address that its kernel has not heard of for a while.
  await fabric.untilFanwayHas(FAR, far);
  let found: MacJson | undefined;
  const hasFar = async (): Promise<boolean> => {
    await greet(far);
    const macs = JSON.parse(await run(member, 'mac', 'show', 'blue', '--json')) as MacJson[];
    found = macs.find(({ mac }) => mac === FAR.mac);
    return found?.host === there && found.addresses.includes(FAR.text6);
  };
  await until('the member has FRR’s', 10_000, hasFar).catch((error: unknown) => {
    throw new Error(`${String(error)}: ${JSON.stringify(found)}`);
  });
  t.equal(await ping(third, FAR.text, 5), 5, 'echo');
  t.equal(await ping(third, FAR.text6, 5), 5, 'IPv6');
  await until('FRR has its address too', 10_000, async () => {
    await greet(third);
    return (await vtep.show('show evpn arp-cache vni 100')).includes(THIRD.text);
  });
  t.equal(await ping(far, THIRD.text, 5), 5, 'and back');
  t.equal(await ping(lab.container(FANWAY), THIRD.text, 5), 5, 'and the gateway’s own');
  await run(member, 'net', 'rm', 'blue', '--force');
  await until('FRR has it no more', 10_000, async () => {
    return !(await vtep.show('show bgp l2vpn evpn')).includes(THIRD.mac);
  });
}

async function kill(t: Test, fabric: Fabric): Promise<void> {
  const { lab, host } = fabric;
  const { pid } = await statusOf(host);
  fabric.daemon.kill('SIGKILL');
  const ways = [
    [lab.container(FANWAY), FAR.text],
    [lab.container(VTEP), NEAR.text],
  ] as const;
  const streams = (count: number, ...words: string[]) =>
    Promise.all(ways.map(([from, to]) => ping(from, to, count, ...words)));
  t.same(await streams(30), [30, 30], 'no packet is lost while it is away');
  const over = streams(400, '-i', '0.025');
  fabric.daemon = startDaemon(host);
  await until('control is there again', 15_000, async () => {
    return (await statusOf(host).catch(() => ({ pid }))).pid !== pid;
  });
  const lost = (await over).map((received) => 400 - received);
  t.comment(`of 400 packets each way ${lost.join(' and ')} were lost at the handover`);
  t.ok(
    lost.every((count) => count <= PATIENCE),
    'nor while the next one takes over, unless the machine itself is late',
  );
  await fabric.untilUp(2);
  await fabric.untilFanwayHas(FAR, lab.container(VTEP));
  await fabric.untilFrrHas(NEAR);
  t.same(await streams(10), [10, 10], 'and after');
}
