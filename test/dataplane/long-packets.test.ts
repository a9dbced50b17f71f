import { readFileSync } from 'node:fs';
import t from 'tap';
import { fold } from '../../src/dataplane/ground/transport-sum.ts';
import { Coalescer } from '../../src/dataplane/ingress/deliver/coalesce.ts';
import { DeviceWriter } from '../../src/dataplane/ingress/deliver/device-writer.ts';
import { Ingress } from '../../src/dataplane/ingress/ingress.ts';
import { Lab } from '../../src/demo/lab.ts';
import { formatIpv4 } from '../../src/net/ipv4.ts';
import { runTcpPair } from '../../src/traffic/run.ts';
import { isIpv4ChecksumRight } from '../../src/wire/ipv4.ts';
import { statusOf } from '../control/lab-router.ts';
import { makeRig, RIG } from '../fuzz/dataplane-rig.ts';
import { skipWithoutLongPackets } from '../netns/privileges.ts';
import { ipv4, tcp } from '../support/bytes.ts';
import { skipLong } from '../support/long.ts';
import { sleep, until } from '../support/patience.ts';
import { nameOf } from '../support/peers.ts';
import { fanwayUp, imbalance, joinFan } from '../support/target.ts';
import { LONG_ONLY, Wire } from '../support/wire.ts';
import { FAN } from '../vectors/craft.ts';
import { viewOf } from '../vectors/hex.ts';
import { DeviceFile } from './device-file.ts';

t.setTimeout(1_200_000);

const skip = (await skipWithoutLongPackets()) || skipLong;

const LONG = 131_072;
const VNET_BYTES = 10;
const HEADER_BYTES = 40;

t.test('a run of segments becomes packets as long as the device takes', async (t) => {
  const device = new DeviceFile(true, 0);
  t.teardown(() => device.close());
  const { arena, layout, link, endpoint, record } = makeRig('Fou', true, RIG.receiver, device.fd);
  const ingress = new Ingress(arena, new Coalescer(arena, new DeviceWriter(arena, layout)), [link]);
  const SEGMENT = 1400;
  const TRAIN = 40;
  const TRAINS = 3;
  const buffer = arena.allocate(TRAINS * 65_536);
  const ends = { source: FAN.source, destination: FAN.destination };
  const send = (): Buffer => {
    device.empty();
    for (let train = 0; train < TRAINS; train++) {
      const datagrams = Array.from({ length: TRAIN }, (_, i) => {
        const sequence = (train * TRAIN + i) * SEGMENT;
        const segment = tcp(ends, { destinationPort: 80, sequence }, Buffer.alloc(SEGMENT, i));
        return ipv4({ ...ends, protocol: 6 }, segment);
      });
      const bytes = Buffer.concat(datagrams);
      const at = buffer + train * 65_536;
      arena.bytes.set(bytes, at);
      ingress.message(
        endpoint,
        at,
        bytes.length,
        nameOf(arena, FAN.sender),
        0,
        SEGMENT + HEADER_BYTES,
      );
    }
    ingress.flush();
    return readFileSync(device.path);
  };

  const all = TRAINS * TRAIN * SEGMENT;
  const short = Math.floor((65_535 - HEADER_BYTES) / SEGMENT);
  const pieces = Math.ceil((TRAINS * TRAIN) / short);
  t.equal(send().length, all + pieces * (VNET_BYTES + HEADER_BYTES));

  link.update({ ...record, superBytesToPorts: LONG });
  const file = send();
  const long = Math.floor((LONG - HEADER_BYTES) / SEGMENT);
  t.equal(file.length, all + 2 * (VNET_BYTES + HEADER_BYTES));
  const first = new DataView(file.buffer, file.byteOffset + VNET_BYTES);
  t.equal(first.getUint16(2), 0, 'no length, as Linux has it');
  t.ok(isIpv4ChecksumRight(first, 0));
  const bytes = long * SEGMENT + 20;
  const pseudo =
    (FAN.source >>> 16) +
    (FAN.source & 0xffff) +
    (FAN.destination >>> 16) +
    (FAN.destination & 0xffff);
  t.equal(first.getUint16(36), fold(pseudo + 6 + bytes), 'the sum of a pseudo header that has it');
  t.equal(viewOf(file).getUint16(4, true), SEGMENT, 'GSO size');
  const second = VNET_BYTES + HEADER_BYTES + long * SEGMENT + VNET_BYTES;
  t.equal(file.readUInt16BE(second + 2), HEADER_BYTES + (TRAINS * TRAIN - long) * SEGMENT);
  t.equal(file.readUInt32BE(second + 24), long * SEGMENT, 'sequence of the second');
});

const BRIDGE = 'fan-test';
const STREAM_BYTES = 96 << 20;

for (const encap of ['vxlan', 'ipip', 'fou'] as const) {
  t.test(
    `${encap}: packets of more than 64 kB where nobody has to cut them`,
    { skip: skip || (encap !== 'vxlan' && skipLong) },
    async (t) => {
      const lab = await Lab.create({ hosts: 2, containersPerHost: 1 });
      t.teardown(() => lab.close());
      const [a, b] = [lab.host(0), lab.host(1)];
      for (const host of lab.hosts) {
        await fanwayUp(host, '250.0.0.0/8', 'eth0/16', 'bridge', BRIDGE, '--encap', encap);
      }
      const linkOf = async () => (await statusOf(b)).links[0];
      await until('it is told', 5000, async () => (await linkOf())?.superBytes.toHost === LONG);
      const device = (await linkOf())?.device ?? '';
      const wire = Wire.open(b, device, LONG_ONLY);
      t.teardown(() => wire.close());

      /** Carries a stream while the far router stops now and then, so that its socket fills. */
      const carry = async (to: {
        address: string;
        place: Parameters<typeof runTcpPair>[0]['to'];
      }) => {
        wire.take();
        const path = { from: a, to: to.place, address: to.address };
        const options = { port: 5001, bytes: STREAM_BYTES, sha256: true };
        let going = true;
        const stream = runTcpPair(path, options).finally(() => {
          going = false;
        });
        const pid = (await statusOf(b)).processes[0]?.pid ?? 0;
        while (going) {
          process.kill(pid, 'SIGSTOP');
          await sleep(10);
          process.kill(pid, 'SIGCONT');
          await sleep(40);
        }
        const { sent, received } = await stream;
        t.equal(
          received.streams[0]?.sha256,
          sent.streams[0]?.sha256,
          'the same bytes at both ends',
        );
        return wire.take().filter((frame) => !frame.outgoing).length;
      };

      const container = lab.container(1);
      await joinFan(container, BRIDGE, 10);
      const toPorts = (bytes: number) =>
        until('it is told', 5000, async () => (await linkOf())?.superBytes.toPorts === bytes);
      await toPorts(65_521);
      const gateway = (await linkOf())?.gateway ?? '';
      const toHost = await carry({ place: b, address: gateway });
      t.ok(toHost > 0, `${toHost} packets of more than 64 kB to the host`);
      const there = { place: container, address: formatIpv4(container.address) };
      t.equal(await carry(there), 0, "none that a container's interface would have to cut");

      await b.netlink.setLink(container.hostEnd, { gsoIpv4MaxSize: 200_000 });
      await toPorts(LONG);
      const toContainer = await carry(there);
      t.ok(toContainer > 0, `${toContainer} to the container once its interface takes them`);
      t.equal(await imbalance(lab.hosts), 0, 'received = delivered + named drops');
    },
  );
}
