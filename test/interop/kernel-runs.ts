/**
 * A bridged fan whose one host is fanway and whose other host is the kernel's VXLAN device.
 * @module
 */
import { randomBytes } from 'node:crypto';
import t, { type Test } from 'tap';
import { Lab, type LabContainer } from '../../src/demo/lab.ts';
import { formatIpv4 } from '../../src/net/ipv4.ts';
import { PacketSocket } from '../../src/sys/sockets/packet-socket.ts';
import { runEcho, runTcpPair, runUdpPair, type TrafficPath } from '../../src/traffic/run.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { skipLong } from '../support/long.ts';
import { sleep } from '../support/patience.ts';
import { FanHost } from './fan-host.ts';
import {
  addFarAddresses,
  addKernelFan,
  attachToKernelFan,
  kernelErrors,
  removeKernelFan,
} from './kernel-peer.ts';
import { emptySight, lookAt, type Sight } from './sight.ts';
import { DatagramSocket } from './train.ts';

const TCP_BYTES = 8 * 1024 * 1024;
const TCP_PORT = 5001;
const UDP_PORT = 5002;
/** Datagrams a direction and size; slow enough that no socket buffer overflows on a busy machine. */
const UDP_COUNT = 200;
const UDP_RATE_PPS = 500;
/** Fits, and goes in four inner fragments. */
const UDP_SIZES_BYTES = [64, 5000];
/** Fits, just fits (1450 − 28), and goes in two inner fragments. */
const ECHO_SIZES_BYTES = [56, 1422, 2400];
const ECHO_COUNT = 10;
/** Each train: 20 full datagrams and a short one. */
const TRAIN_PORT = 5010;
const TRAINS = 20;
const TRAIN_SEGMENT_BYTES = 1200;
const TRAIN_BYTES = 20 * TRAIN_SEGMENT_BYTES + 500;
const TRAIN_PAUSE_MS = 5;
const LOOK_MS = 10;
const TIMEOUT_MS = 600_000;

/** Where the traffic of one run goes: `there` from fanway's container to the kernel's. */
type Ways = { there: TrafficPath; back: TrafficPath };

async function echo(t: Test, ways: Ways): Promise<void> {
  for (const size of ECHO_SIZES_BYTES) {
    const options = { count: ECHO_COUNT, size };
    const asked = [ways.there, ways.back].map((way) => runEcho(way.from, [way.address], options));
    for (const [index, { targets }] of (await Promise.all(asked)).entries()) {
      const name = `echo ${index === 0 ? 'there' : 'back'}, ${size} bytes`;
      t.match(targets, [{ sent: ECHO_COUNT, received: ECHO_COUNT }], name);
    }
  }
}

async function tcp(t: Test, ways: Ways): Promise<void> {
  for (const [name, path] of Object.entries(ways)) {
    const options = { port: TCP_PORT, bytes: TCP_BYTES, sha256: true };
    const { sent, received } = await runTcpPair(path, options);
    const [from, to] = [sent.streams[0], received.streams[0]];
    t.equal(to?.bytes, TCP_BYTES, `TCP ${name}: all bytes`);
    t.match(from?.sha256, /^[0-9a-f]{64}$/);
    t.equal(to?.sha256, from?.sha256, `TCP ${name}: equal SHA-256`);
  }
}

async function udp(t: Test, ways: Ways): Promise<void> {
  for (const size of UDP_SIZES_BYTES) {
    const options = { port: UDP_PORT, rate: UDP_RATE_PPS, count: UDP_COUNT, seconds: 5, size };
    const results = await Promise.all([
      runUdpPair(ways.there, options),
      runUdpPair(ways.back, { ...options, port: UDP_PORT + 1 }),
    ]);
    for (const [index, { sent, received }] of results.entries()) {
      t.equal(sent.sent, UDP_COUNT);
      t.match(
        received,
        { received: UDP_COUNT, missing: 0, duplicates: 0, foreign: 0 },
        `UDP ${index === 0 ? 'there' : 'back'}, ${size} bytes`,
      );
    }
  }
}

/** Trains of datagrams, which a container's kernel may hand on uncut. */
async function trains(t: Test, near: LabContainer, far: LabContainer): Promise<void> {
  const ends = [near, far].map((container) => new DatagramSocket(container, TRAIN_PORT));
  try {
    for (const [name, from, to, address] of [
      ['there', ends[0], ends[1], far.address],
      ['back', ends[1], ends[0], near.address],
    ] as const) {
      if (from === undefined || to === undefined) continue;
      const sent: Buffer[] = [];
      for (let train = 0; train < TRAINS; train++) {
        const payload = randomBytes(TRAIN_BYTES);
        from.sendTrain(payload, TRAIN_SEGMENT_BYTES, address, TRAIN_PORT);
        for (let at = 0; at < TRAIN_BYTES; at += TRAIN_SEGMENT_BYTES) {
          sent.push(payload.subarray(at, at + TRAIN_SEGMENT_BYTES));
        }
        await sleep(TRAIN_PAUSE_MS);
      }
      const got: Buffer[] = [];
      for (let look = 0; look < 100 && got.length < sent.length; look++) {
        got.push(...to.take());
        await sleep(TRAIN_PAUSE_MS);
      }
      t.equal(got.length, sent.length, `trains ${name}: all datagrams`);
      t.ok(Buffer.concat(got).equals(Buffer.concat(sent)), `trains ${name}: as they were`);
    }
  } finally {
    for (const end of ends) end.close();
  }
}

export type Variant = {
  port: 4789 | 8472;
  offload: 'auto' | 'off';
  resolve: 'static' | 'flood';
  /** Who forwards at our end; fanway unless given. */
  datapath?: 'kernel';
};

/** Both ends are the kernel's, one with programs of ours; where there is time. */
export const forwardedByKernel: readonly Variant[] = skipLong
  ? []
  : [{ port: 4789, offload: 'auto', resolve: 'flood', datapath: 'kernel' }];

async function run(t: Test, lab: Lab, variant: Variant): Promise<{ sight: Sight } | undefined> {
  const { port, offload, resolve } = variant;
  const far = lab.container(1);
  const without = await addKernelFan(far.host, port);
  if (without !== undefined) {
    t.pass('interoperation with the kernel', { skip: without });
    return undefined;
  }
  const compat = port === 8472 ? ['--compat', 'lxd'] : [];
  const by = variant.datapath === undefined ? [] : ['--datapath', variant.datapath];
  const words = ['--encap', 'vxlan', '--offload', offload, ...compat, ...by];
  const fan = await FanHost.up(lab, 0, words);
  const near = fan.container;
  await attachToKernelFan(far);
  const mac = (await near.netlink.link('eth0')).address;
  await addFarAddresses(far, [{ address: near.address, mac }], resolve);

  const ways: Ways = {
    there: { from: near, to: far, address: formatIpv4(far.address) },
    back: { from: far, to: near, address: formatIpv4(near.address) },
  };
  await echo(t, ways);
  // What the kernel put on the wire, seen where it reaches fanway's host: the receive path has to
  // cope with exactly this.
  const eth0 = (await lab.host(0).netlink.link('eth0')).index;
  const capture = lab.host(0).run(() => new PacketSocket(eth0));
  const sight = emptySight();
  const look = () => {
    for (let seen = capture.read(); seen !== undefined; seen = capture.read()) {
      lookAt(seen, port, far.host.address, sight);
    }
  };
  const timer = setInterval(look, LOOK_MS);
  try {
    await tcp(t, ways);
    look();
  } finally {
    clearInterval(timer);
    capture.close();
  }
  await udp(t, ways);
  await trains(t, near, far);

  await fan.balance(t);
  if (!t.passing()) t.comment(await fan.story());
  const none = { rxErrors: 0, txErrors: 0, rxDropped: 0, txDropped: 0 };
  t.strictSame(await kernelErrors(far.host), none, 'the kernel dropped nothing either');
  await fan.down();
  await removeKernelFan(far);
  return { sight };
}

/**
 * Tests the variants in a lab whose underlay's veths have their offloads on (the kernel hands over
 * unfinished checksums and super-packets) or off (as on a plain card).
 */
export function testAgainstKernel(underlayOffloads: boolean, variants: readonly Variant[]): void {
  const skip = skipWithoutTun();
  const veth = `offloads of the underlay ${underlayOffloads ? 'on' : 'off'}`;
  t.test(veth, { skip, timeout: TIMEOUT_MS }, async (t) => {
    const lab = await Lab.create({ hosts: 2, underlayOffloads });
    t.teardown(() => lab.close());
    for (const variant of variants) {
      const by = variant.datapath === undefined ? '' : ', forwarded by the kernel';
      const name = `port ${variant.port}, --offload ${variant.offload}, ARP ${variant.resolve}${by}`;
      await t.test(name, { timeout: TIMEOUT_MS }, async (t) => {
        const result = await run(t, lab, variant);
        if (result === undefined) return;
        const { packets, unfinished, longestBytes } = result.sight;
        t.ok(packets > 100, `${packets} packets of the kernel's were looked at`);
        t.comment(`${packets} seen, ${unfinished} unfinished, longest ${longestBytes} bytes`);
        // Otherwise the run would prove less than its name says.
        if (underlayOffloads) {
          t.ok(unfinished > packets / 2, 'inner checksums came unfinished');
          t.ok(longestBytes > 1514, 'super-packets came');
        } else {
          // A finished sum may by chance be what an unfinished one would be.
          t.ok(unfinished < packets / 100, 'inner checksums came finished');
          t.ok(longestBytes <= 1514, 'no super-packets came');
        }
      });
    }
  });
}
