/**
 * A layer-2 network whose one end is our loop and whose other end is Open vSwitch with its userspace
 * datapath, by static entries on both sides: no frame is flooded, and none has a VLAN.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Lab, type LabContainer } from '../../../src/demo/lab.ts';
import { formatIpv4 } from '../../../src/net/ipv4.ts';
import { formatMac } from '../../../src/net/mac.ts';
import { BumMode } from '../../../src/shm/network.ts';
import { setOffloads } from '../../../src/sys/host/ethtool.ts';
import { runEcho } from '../../../src/traffic/run.ts';
import { skipWithoutIpv6 } from '../../support/ipv6-underlay.ts';
import { skipLong } from '../../support/long.ts';
import { until } from '../../support/patience.ts';
import {
  addIpv6,
  addNearBridge,
  BRIDGE,
  checkFloodless,
  checkFrames,
  DEVICE,
  exchange,
  FAR,
  NEAR,
  nameStations,
  OVERHEAD_BYTES,
  PORT,
  settledCounters,
  startNear,
  VNI,
  watched,
} from './lab.ts';

const SCHEMA = '/usr/share/openvswitch/vswitch.ovsschema';
const PROGRAMS = ['ovsdb-tool', 'ovsdb-server', 'ovs-vsctl', 'ovs-vswitchd', 'ovs-ofctl'];
/** Its tunnels leave by a bridge of its own, which has the underlay's device and address. */
const [UNDERLAY_BRIDGE, TUNNEL] = ['underlay', 'vx0'];
const TIMEOUT_MS = 600_000;

const missing = PROGRAMS.find((name) => spawnSync(name, ['--version']).status !== 0);
const skip =
  skipLong ||
  skipWithoutIpv6() ||
  (missing !== undefined && `no ${missing} here (Debian: openvswitch-switch)`) ||
  (!existsSync(SCHEMA) && `no ${SCHEMA}`);

/** The programs of one switch, in the container's host. */
class Switch {
  readonly #container: LabContainer;
  readonly #folder = mkdtempSync(join(tmpdir(), 'fanway-ovs-'));
  readonly #env: NodeJS.ProcessEnv;

  private constructor(t: Test, container: LabContainer) {
    this.#container = container;
    chmodSync(this.#folder, 0o755);
    const folder = this.#folder;
    this.#env = { ...process.env, OVS_RUNDIR: folder, OVS_LOGDIR: folder, OVS_DBDIR: folder };
    t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  }

  #in(name: string): string {
    return join(this.#folder, name);
  }

  #run(name: string, args: readonly string[]): string {
    const options = { env: this.#env, timeout: 20_000, encoding: 'utf8' } as const;
    return execFileSync(name, args, options);
  }

  #launch(name: string, args: readonly string[]): void {
    this.#container.host.spawn(name, args, { stdio: 'ignore', env: this.#env });
  }

  configure(...args: readonly string[]): void {
    this.#run('ovs-vsctl', [`--db=unix:${this.#in('db.sock')}`, ...args]);
  }

  /** The flows of its bridge from now on, and no others. */
  flows(lines: readonly string[]): void {
    const bridge = this.#in(`${BRIDGE}.mgmt`);
    this.#run('ovs-ofctl', ['del-flows', `unix:${bridge}`]);
    for (const line of lines) this.#run('ovs-ofctl', ['add-flow', `unix:${bridge}`, line]);
  }

  static async start(t: Test, container: LabContainer): Promise<Switch> {
    const it = new Switch(t, container);
    const database = it.#in('conf.db');
    it.#run('ovsdb-tool', ['create', database, SCHEMA]);
    const remote = `--remote=punix:${it.#in('db.sock')}`;
    it.#launch('ovsdb-server', [database, remote, `--unixctl=${it.#in('db.ctl')}`]);
    await until('the database is there', 10_000, async () => existsSync(it.#in('db.sock')));
    it.configure('--no-wait', 'init');
    it.#launch('ovs-vswitchd', [`unix:${it.#in('db.sock')}`, `--unixctl=${it.#in('ctl')}`]);
    return it;
  }
}

t.test('Open vSwitch is the other end', { skip, timeout: TIMEOUT_MS }, async (t) => {
  const lab = await Lab.create({ hosts: 2 });
  t.teardown(() => lab.close());
  const [host, other] = [lab.host(0), lab.host(1)];
  const [near, far] = [lab.container(0), lab.container(1)];
  const underlayMtu = (await host.netlink.link('eth0')).mtu;
  const mtu = underlayMtu - OVERHEAD_BYTES;
  const bum = BumMode.None;
  const end = await startNear(host, {
    ...{ local: host.address, vni: VNI, device: DEVICE, offload: true, bum, underlayMtu },
  });
  t.teardown(() => end.end());
  await addNearBridge(host, mtu);
  await near.attach({ bridge: BRIDGE, address: NEAR, length: 24, mtu });

  // What it reads from a port has to be whole: it cuts no super-packets and makes no checksums.
  const off = { txChecksum: false, tso: false, gso: false };
  far.run(() => setOffloads('eth0', off));
  lab.middle.run(() => setOffloads('p1', off));
  await far.netlink.setLink('eth0', { mtu, up: true });
  await far.netlink.addAddress('eth0', FAR, 24);
  await other.netlink.setLink(far.hostEnd, { mtu, up: true });
  far.address = FAR;
  const there = await Switch.start(t, far);
  const netdev = (name: string) => ['--', 'set', 'bridge', name, 'datapath_type=netdev'];
  const peer = `options:remote_ip=${formatIpv4(host.address)}`;
  there.configure('add-br', UNDERLAY_BRIDGE, ...netdev(UNDERLAY_BRIDGE));
  there.configure('add-port', UNDERLAY_BRIDGE, 'eth0');
  there.configure('add-br', BRIDGE, ...netdev(BRIDGE), '--', 'add-port', BRIDGE, far.hostEnd);
  const tunnel = ['type=vxlan', peer, `options:key=${VNI}`, `options:dst_port=${PORT}`];
  there.configure('add-port', BRIDGE, TUNNEL, '--', 'set', 'interface', TUNNEL, ...tunnel);
  await other.netlink.deleteAddress('eth0', other.address, other.length);
  await other.netlink.setLink(UNDERLAY_BRIDGE, { up: true });
  await other.netlink.addAddress(UNDERLAY_BRIDGE, other.address, other.length);

  const macs = await addIpv6(near, far);
  const [nearMac, farMac] = macs.map(formatMac);
  there.flows([
    `dl_dst=${nearMac},actions=output:${TUNNEL}`,
    `dl_dst=${farMac},actions=output:${far.hostEnd}`,
  ]);
  await end.order({ do: 'admit', peer: other.address });
  await nameStations(end, { near, far }, macs);
  // It finds its own neighbours on the underlay by the first packets, which it drops.
  await until('it has found the way', 10_000, async () => {
    const { targets } = await runEcho(near, [formatIpv4(FAR)], { count: 1, timeout: 200 });
    return targets[0]?.received === 1;
  });
  const frames = await watched(host, () => exchange(t, near, far));
  checkFrames(t, frames);
  const tagged = frames.filter((frame) => frame.readUInt16BE(62) === 0x8100);
  t.equal(tagged.length, 0, 'no frame has a VLAN');
  const counters = await settledCounters(t, end);
  checkFloodless(t, counters, frames);
  t.ok((counters['ingress.delivered'] ?? 0) > 100, 'what it sent was delivered');
});
