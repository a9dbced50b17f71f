// What the kernel promises about UDP trains and raw IPIP sockets.
import t, { type Test } from 'tap';
import { SOL_UDP, UDP_PAYLOAD_BYTES_MAX, UDP_SEGMENT } from '../../src/sys/libc/constants.ts';
import { addressOf, check, errno, errnoName, libc } from '../../src/sys/libc/libc.ts';
import { Netlink } from '../../src/sys/netlink/netlink.ts';
import { NetworkNamespace } from '../../src/sys/process/netns.ts';
import { openIpip, openUdp, socketAddress } from '../../src/sys/sockets/sockets.ts';
import { skipWithoutNamespaces } from '../netns/privileges.ts';
import { sleep } from '../support/patience.ts';

const skip = skipWithoutNamespaces();
const HERE = 0x0a00_0001;
const THERE = 0x0a00_0002;
const PORT = 4789;
const UDP_GRO_CMSG = 104;
const buffer = Buffer.alloc(1 << 17, 7);

/** Two namespaces joined by a veth. */
async function pair(t: Test): Promise<{ here: NetworkNamespace; there: NetworkNamespace }> {
  const here = NetworkNamespace.create();
  const there = NetworkNamespace.create();
  const sockets = [Netlink.open(here), Netlink.open(there)] as const;
  await sockets[0].createVeth('v0', 'v0', { peerNetnsFd: there.fd });
  for (const [netlink, address] of [
    [sockets[0], HERE],
    [sockets[1], THERE],
  ] as const) {
    await netlink.setLink('v0', { up: true });
    await netlink.addAddress('v0', address, 24);
    netlink.close();
  }
  t.teardown(() => {
    here.close();
    there.close();
  });
  return { here, there };
}

const plain = { offload: false, reusePort: false };

function send(fd: number, bytes: number, port = PORT): number | string {
  const to = socketAddress(THERE, port);
  const sent = libc.sendto(fd, addressOf(buffer), bytes, 0, addressOf(to), to.length);
  return sent >= 0 ? sent : errnoName(errno());
}

function setSegment(fd: number, bytes: number): void {
  const value = new Int32Array([bytes]);
  check('UDP_SEGMENT', libc.setsockopt(fd, SOL_UDP, UDP_SEGMENT, addressOf(value), 4));
}

/** recvmsg with a control buffer: length and the value of the UDP_GRO message (0 if none). */
function receive(fd: number): { length: number; segmentBytes: number } {
  const control = Buffer.alloc(256);
  const vector = Buffer.alloc(16);
  vector.writeBigUInt64LE(BigInt(addressOf(buffer)), 0);
  vector.writeBigUInt64LE(BigInt(buffer.length), 8);
  // struct msghdr of 64-bit Linux.
  const message = Buffer.alloc(56);
  message.writeBigUInt64LE(BigInt(addressOf(vector)), 16);
  message.writeBigUInt64LE(1n, 24);
  message.writeBigUInt64LE(BigInt(addressOf(control)), 32);
  message.writeBigUInt64LE(BigInt(control.length), 40);
  const length = libc.recvmsg(fd, addressOf(message), 0);
  let segmentBytes = 0;
  const end = length < 0 ? 0 : Number(message.readBigUInt64LE(40));
  for (let at = 0; at + 16 <= end; ) {
    const bytes = Number(control.readBigUInt64LE(at));
    const isGro =
      control.readInt32LE(at + 8) === SOL_UDP && control.readInt32LE(at + 12) === UDP_GRO_CMSG;
    if (isGro) segmentBytes = control.readInt32LE(at + 16);
    at += (bytes + 7) & ~7;
  }
  return { length, segmentBytes };
}

/** Waits until something lies in the socket (2 s at most), then a little for what follows it. */
async function arrival(fd: number): Promise<void> {
  const poll = new DataView(new ArrayBuffer(8));
  for (let i = 0; i < 100; i++) {
    poll.setInt32(0, fd, true);
    poll.setInt32(4, 1, true);
    const readable = libc.poll(addressOf(poll), 1, 0) === 1;
    await sleep(20);
    if (readable) return;
  }
}

t.test('UDP_SEGMENT: one send, many datagrams', { skip }, async (t) => {
  const { here, there } = await pair(t);
  const sender = here.run(() => openUdp(HERE, 0, plain));
  const receiver = there.run(() => openUdp(THERE, PORT, plain));
  setSegment(sender.fd, 1000);
  t.equal(send(sender.fd, 4500), 4500);
  await arrival(receiver.fd);
  const lengths = [];
  for (let got = receive(receiver.fd); got.length >= 0; got = receive(receiver.fd)) {
    lengths.push(got.length);
  }
  t.strictSame(lengths, [1000, 1000, 1000, 1000, 500], 'only the last may be short');
  setSegment(sender.fd, 1400);
  t.equal(send(sender.fd, 1400 * 46), 1400 * 46, '64,400 bytes go in one send');
  t.equal(send(sender.fd, UDP_PAYLOAD_BYTES_MAX + 1), 'EMSGSIZE');
  setSegment(sender.fd, 1473);
  t.match(send(sender.fd, 3000), /^(EINVAL|EMSGSIZE)$/, 'a segment must fit the MTU');
  libc.close(sender.fd);
  libc.close(receiver.fd);
});

t.test('UDP_GRO: a train comes in one receive, with its segment size', { skip }, async (t) => {
  const { here, there } = await pair(t);
  const sender = here.run(() => openUdp(HERE, 0, plain));
  const receiver = there.run(() => openUdp(THERE, PORT, { offload: true, reusePort: false }));
  if (!receiver.gro) {
    t.comment('SKIP the rest: no UDP_GRO here');
    return;
  }
  setSegment(sender.fd, 1000);
  send(sender.fd, 4500);
  await arrival(receiver.fd);
  t.strictSame(receive(receiver.fd), { length: 4500, segmentBytes: 1000 });
  setSegment(sender.fd, 0);
  send(sender.fd, 700);
  await arrival(receiver.fd);
  t.equal(receive(receiver.fd).length, 700, 'a single datagram');
  libc.close(sender.fd);
  libc.close(receiver.fd);
});

t.test('DF: a datagram above the MTU is refused, not cut', { skip }, async (t) => {
  const { here } = await pair(t);
  const sender = here.run(() => openUdp(HERE, 0, plain));
  t.equal(send(sender.fd, 1472), 1472);
  t.equal(send(sender.fd, 1473), 'EMSGSIZE');
  libc.close(sender.fd);
});

t.test('SO_REUSEPORT: two sockets share a port', { skip }, async (t) => {
  const { there } = await pair(t);
  const options = { offload: false, reusePort: true };
  const first = there.run(() => openUdp(THERE, PORT, options));
  const second = there.run(() => openUdp(THERE, PORT, options));
  t.throws(() => there.run(() => openUdp(THERE, PORT, plain)), { code: 'EADDRINUSE' });
  libc.close(first.fd);
  libc.close(second.fd);
});

t.test('raw IPIP: the kernel writes the outer header, a receiver sees it', { skip }, async (t) => {
  const { here, there } = await pair(t);
  const sender = here.run(() => openIpip(HERE));
  const receiver = there.run(() => openIpip(THERE));
  t.equal(send(sender.fd, 100, 0), 100);
  await arrival(receiver.fd);
  t.equal(receive(receiver.fd).length, 120);
  t.equal(buffer.readUInt8(8), 64, 'TTL');
  t.equal(buffer.readUInt8(9), 4, 'protocol');
  t.equal(buffer.readUInt16BE(6) & 0x4000, 0x4000, 'DF');
  t.equal(buffer.readUInt32BE(12), HERE);
  t.equal(send(sender.fd, 1481, 0), 'EMSGSIZE');
  libc.close(sender.fd);
  libc.close(receiver.fd);
});
