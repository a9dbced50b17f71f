// What the kernel promises about TUN and TAP devices.
import { spawn } from 'node:child_process';
import t, { type Test } from 'tap';
import { readSysctl, writeSysctl } from '../../src/sys/host/sysctl.ts';
import { openTun, setTunPersistent, VNET_HEADER_BYTES } from '../../src/sys/host/tun.ts';
import { SOL_UDP, UDP_SEGMENT } from '../../src/sys/libc/constants.ts';
import { addressOf, check, errno, errnoName, libc } from '../../src/sys/libc/libc.ts';
import { Netlink } from '../../src/sys/netlink/netlink.ts';
import { NetworkNamespace } from '../../src/sys/process/netns.ts';
import { openUdp, socketAddress } from '../../src/sys/sockets/sockets.ts';
import { skipWithoutTun } from '../netns/privileges.ts';

const skip = skipWithoutTun();
const plain = { kind: 'tun', offload: false, multiQueue: false } as const;
const LOCAL = 0x0a00_0001;
const REMOTE = 0x0a00_0002;

function open(t: Test): { namespace: NetworkNamespace; netlink: Netlink } {
  const namespace = NetworkNamespace.create();
  const netlink = Netlink.open(namespace);
  // Or the first packet of a device that comes up is a router solicitation.
  namespace.run(() => {
    const key = 'net/ipv6/conf/default/disable_ipv6';
    if (readSysctl(key) !== null) writeSysctl(key, '1');
  });
  t.teardown(() => {
    netlink.close();
    namespace.close();
  });
  return { namespace, netlink };
}

const buffer = Buffer.alloc(70_000);

/** One non-blocking read: its length, or the errno name. */
function read(fd: number): number | string {
  const length = libc.read(fd, addressOf(buffer), buffer.length);
  return length >= 0 ? length : errnoName(errno());
}
function write(fd: number, bytes: Buffer): number | string {
  const length = libc.write(fd, addressOf(bytes), bytes.length);
  return length >= 0 ? length : errnoName(errno());
}

/** A datagram to the far side of the device. */
function sendThrough(namespace: NetworkNamespace, bytes: number, segmentBytes = 0): void {
  const { fd } = namespace.run(() => openUdp(0, 0, { offload: false, reusePort: false }));
  if (segmentBytes > 0) {
    const value = new Int32Array([segmentBytes]);
    check('UDP_SEGMENT', libc.setsockopt(fd, SOL_UDP, UDP_SEGMENT, addressOf(value), 4));
  }
  const to = socketAddress(REMOTE, 9);
  check('sendto', libc.sendto(fd, addressOf(buffer), bytes, 0, addressOf(to), to.length));
  libc.close(fd);
}

t.test('a persistent device outlives its descriptor with all it has', { skip }, async (t) => {
  const { namespace, netlink } = open(t);
  const first = namespace.run(() => openTun('tun0', plain));
  setTunPersistent(first.fd, true);
  await netlink.setLink('tun0', { up: true, alias: 'fanway:test' });
  await netlink.addAddress('tun0', LOCAL, 24);
  await netlink.addRoute({ dst: { address: 0xfa00_0000, length: 8 }, dev: 'tun0' });
  const { index } = await netlink.link('tun0');
  t.equal((await netlink.link('tun0')).carrier, true);
  libc.close(first.fd);
  t.match(await netlink.link('tun0'), { index, carrier: false, up: true, alias: 'fanway:test' });
  t.ok((await netlink.routes()).some((route) => route.dst.address === 0xfa00_0000));
  const second = namespace.run(() => openTun('tun0', plain));
  t.match(await netlink.link('tun0'), { index, carrier: true });
  t.equal((await netlink.addresses('tun0'))[0]?.address, LOCAL);
  sendThrough(namespace, 100);
  t.equal(read(second.fd), 128);
  setTunPersistent(second.fd, false);
  libc.close(second.fd);
  t.equal(await netlink.findLink('tun0'), undefined, 'without persistence it goes with its fd');
});

t.test('a second holder is refused, other kinds too', { skip }, async (t) => {
  const { namespace } = open(t);
  const { fd } = namespace.run(() => openTun('tun0', plain));
  t.throws(() => namespace.run(() => openTun('tun0', plain)), { code: 'EBUSY' });
  libc.close(fd);
});

t.test('the descriptor works from any namespace and process', { skip }, async (t) => {
  const { namespace, netlink } = open(t);
  const { fd } = namespace.run(() => openTun('tun0', plain));
  await netlink.setLink('tun0', { up: true });
  await netlink.addAddress('tun0', LOCAL, 24);
  sendThrough(namespace, 50);
  // The child runs outside and inherits the descriptor as number 3.
  const program = "process.stdout.write(String(require('fs').readSync(3, Buffer.alloc(2000))))";
  const child = spawn(process.execPath, ['-e', program], {
    stdio: ['ignore', 'pipe', 'inherit', fd],
  });
  let text = '';
  for await (const chunk of child.stdout ?? []) text += String(chunk);
  t.equal(text, '78');
  libc.close(fd);
});

t.test('a device that is down, renamed, deleted', { skip }, async (t) => {
  const { namespace, netlink } = open(t);
  const { fd } = namespace.run(() => openTun('tun0', plain));
  const packet = Buffer.from('450000140000000040000000' + '0a0000020a000001', 'hex');
  t.equal(write(fd, packet), 'EIO', 'down');
  t.equal(read(fd), 'EAGAIN');
  await netlink.setLink('tun0', { up: true });
  t.equal(write(fd, packet), packet.length, 'up');
  t.equal(write(fd, Buffer.from('00')), 'EINVAL', 'not an IP packet');
  await netlink.setLink('tun0', { name: 'other0' });
  t.equal(write(fd, packet), packet.length, 'renamed while up');
  await netlink.deleteLink('other0');
  t.equal(read(fd), 'EBADFD', 'deleted: reads say so');
  t.equal(write(fd, packet), 'EBADFD', 'and writes');
  const poll = new DataView(new ArrayBuffer(8));
  poll.setInt32(0, fd, true);
  poll.setInt16(4, 1, true);
  t.equal(libc.poll(addressOf(poll), 1, 0), 1, 'poll does not hide it');
  t.equal(poll.getInt16(6, true) & 8, 8, 'POLLERR');
  libc.close(fd);
});

t.test('virtio-net header: unfinished checksums and super-packets', { skip }, async (t) => {
  const { namespace, netlink } = open(t);
  const device = namespace.run(() => openTun('tun0', { ...plain, offload: true }));
  if (!device.vnetHeader) {
    t.comment('SKIP the rest: no IFF_VNET_HDR here');
    return;
  }
  await netlink.setLink('tun0', { up: true });
  await netlink.addAddress('tun0', LOCAL, 24);
  sendThrough(namespace, 100);
  t.equal(read(device.fd), VNET_HEADER_BYTES + 128);
  t.equal(buffer.readUInt8(0), 1, 'NEEDS_CSUM');
  t.equal(buffer.readUInt16LE(6), 20, 'csum_start');
  t.equal(buffer.readUInt16LE(8), 6, 'csum_offset of UDP');
  if (!device.uso) {
    t.comment('SKIP the rest: no UDP segmentation offload to the device (kernel before 6.2)');
    return;
  }
  sendThrough(namespace, 5000, 1000);
  t.equal(read(device.fd), VNET_HEADER_BYTES + 5028, 'five datagrams in one read');
  t.equal(buffer.readUInt8(1), 5, 'GSO_UDP_L4');
  t.equal(buffer.readUInt16LE(4), 1000, 'gso_size');
  // Everything that the kernel puts into one packet is bounded by these two.
  await netlink.setLink('tun0', { gsoMaxSize: 3000, gsoIpv4MaxSize: 3000 });
  sendThrough(namespace, 5000, 1000);
  t.ok(Number(read(device.fd)) <= VNET_HEADER_BYTES + 3000, 'gso_max_size is kept');
  libc.close(device.fd);
});

t.test('several queues of one device', { skip }, async (t) => {
  const { namespace, netlink } = open(t);
  const options = { ...plain, multiQueue: true };
  const first = namespace.run(() => openTun('tun0', options));
  const second = namespace.run(() => openTun('tun0', options));
  await netlink.setLink('tun0', { up: true });
  await netlink.addAddress('tun0', LOCAL, 24);
  for (let i = 0; i < 64; i++) sendThrough(namespace, 100);
  let packets = 0;
  for (const { fd } of [first, second]) while (read(fd) === 128) packets++;
  t.equal(packets, 64, 'each packet comes out of one of them');
  libc.close(first.fd);
  libc.close(second.fd);
});
