/**
 * A layer-2 network whose one end is our loop and whose other end is the kernel's VXLAN device: with a
 * static forwarding database and no floods, and by flood and learn.
 */
import t from 'tap';
import { Lab, type LabHost } from '../../../src/demo/lab.ts';
import { BumMode } from '../../../src/shm/network.ts';
import { NetlinkError } from '../../../src/sys/netlink/netlink.ts';
import { skipWithoutIpv6 } from '../../support/ipv6-underlay.ts';
import { skipLong } from '../../support/long.ts';
import {
  addIpv6,
  addNearBridge,
  BRIDGE,
  checkFloodless,
  checkFrames,
  DEVICE,
  exchange,
  FAR,
  floodsOf,
  NEAR,
  nameStations,
  OVERHEAD_BYTES,
  PORT,
  settledCounters,
  startNear,
  VNI,
  watched,
} from './lab.ts';

const KERNEL_DEVICE = 'vx-blue';
const TIMEOUT_MS = 600_000;

/** The kernel's end. Returns why it cannot be, or undefined. */
async function addFar(host: LabHost, mtu: number, learning: boolean): Promise<string | undefined> {
  const { netlink, address: local } = host;
  try {
    await netlink.createVxlan(KERNEL_DEVICE, {
      vni: VNI,
      port: PORT,
      local,
      ttl: 64,
      mtu,
      learning,
    });
  } catch (error) {
    if (error instanceof NetlinkError && error.code === 'EOPNOTSUPP') {
      return 'this kernel has no VXLAN device (module vxlan)';
    }
    throw error;
  }
  await netlink.createBridge(BRIDGE, { mtu });
  await netlink.setLink(KERNEL_DEVICE, { master: BRIDGE, up: true });
  await netlink.setLink(BRIDGE, { up: true });
  return undefined;
}

const skip = skipWithoutIpv6();

for (const offload of [true, false]) {
  const name = `offloads ${offload ? 'on' : 'off'}`;
  const whether = { skip: offload ? skip : skip || skipLong, timeout: TIMEOUT_MS };
  t.test(`the kernel is the other end: ${name}`, whether, async (t) => {
    const lab = await Lab.create({ hosts: 2, underlayOffloads: offload });
    t.teardown(() => lab.close());
    const [host, other] = [lab.host(0), lab.host(1)];
    const [near, far] = [lab.container(0), lab.container(1)];
    const underlayMtu = (await host.netlink.link('eth0')).mtu;
    const mtu = underlayMtu - OVERHEAD_BYTES;
    // Without offloads by flood and learn, with them floodless: each is tried once.
    const bum = offload ? BumMode.None : BumMode.Learn;
    const isFloodless = bum === BumMode.None;
    const without = await addFar(other, mtu, !isFloodless);
    if (without !== undefined) {
      t.pass('interoperation with the kernel', { skip: without });
      return;
    }
    const end = await startNear(host, {
      ...{ local: host.address, vni: VNI, device: DEVICE, offload, bum, underlayMtu },
    });
    t.teardown(() => end.end());
    await addNearBridge(host, mtu);
    await near.attach({ bridge: BRIDGE, address: NEAR, length: 24, mtu });
    await far.attach({ bridge: BRIDGE, address: FAR, length: 24, mtu });
    const macs = await addIpv6(near, far);
    await end.order({ do: 'admit', peer: other.address });
    await other.netlink.addFdb(KERNEL_DEVICE, isFloodless ? macs[0] : 0, host.address);
    if (isFloodless) await nameStations(end, { near, far }, macs);
    const frames = await watched(host, () => exchange(t, near, far));
    checkFrames(t, frames);
    const counters = await settledCounters(t, end);
    if (isFloodless) {
      checkFloodless(t, counters, frames);
      // Over a veth the kernel leaves them uncut.
      t.ok((counters['ingress.receivedBytes'] ?? 0) > 1500 * (counters['ingress.received'] ?? 0));
      t.ok((counters['event.trains_sent'] ?? 0) > 0, 'trains were sent');
    } else {
      t.ok(floodsOf(counters) > 0, 'the first ones were flooded');
    }
  });
}
