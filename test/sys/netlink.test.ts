// Each netlink call against the real kernel, in namespaces of our own.
import { readdirSync } from 'node:fs';
import t, { type Test } from 'tap';
import { addressOf, libc } from '../../src/sys/libc/libc.ts';
import { createEventFd, signalEventFd } from '../../src/sys/libc/memory.ts';
import { Netlink, NetlinkError, type NetlinkEvent } from '../../src/sys/netlink/netlink.ts';
import { NetworkNamespace } from '../../src/sys/process/netns.ts';
import { closeDescriptor } from '../../src/sys/sockets/local-sockets.ts';
import { skipWithoutNamespaces } from '../netns/privileges.ts';
import { sleep } from '../support/patience.ts';

const skip = skipWithoutNamespaces();

function open(t: Test): { namespace: NetworkNamespace; netlink: Netlink } {
  const namespace = NetworkNamespace.create();
  const netlink = Netlink.open(namespace);
  t.teardown(() => {
    netlink.close();
    namespace.close();
  });
  return { namespace, netlink };
}

async function code(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return 'ok';
  } catch (error) {
    return error instanceof NetlinkError ? error.code : String(error);
  }
}

t.test('the socket stays in the namespace it was opened in', { skip }, async (t) => {
  const { netlink } = open(t);
  const links = await netlink.links();
  t.strictSame(
    links.map((link) => [link.name, link.up, link.loopback]),
    [['lo', false, true]],
  );
  const home = Netlink.open();
  t.not((await home.links()).length, 0);
  home.close();
});

t.test('bridge: made, changed, renamed, deleted', { skip }, async (t) => {
  const { netlink } = open(t);
  await netlink.createBridge('br0', { address: 0x02_00_00_00_00_01, mtu: 1450, alias: 'ours' });
  const made = await netlink.link('br0');
  t.match(made, { kind: 'bridge', mtu: 1450, address: 0x020000000001, alias: 'ours', up: false });
  t.equal(await code(netlink.createBridge('br0')), 'EEXIST');
  await netlink.setLink('br0', { up: true, txQueueLen: 500, mtu: 1400 });
  t.match(await netlink.link(made.index), { up: true, txQueueLen: 500, mtu: 1400 });
  await netlink.setLink('br0', { up: false });
  await netlink.setLink('br0', { name: 'fan-250' });
  t.equal((await netlink.link('fan-250')).index, made.index);
  t.equal(await netlink.findLink('br0'), undefined);
  await netlink.setLink('fan-250', { alias: '' });
  t.equal((await netlink.link('fan-250')).alias, '');
  await netlink.deleteLink('fan-250');
  t.equal(await code(netlink.deleteLink('fan-250')), 'ENODEV');
  t.equal(await code(netlink.createBridge('a name too long')), 'EINVAL');
  t.equal(await code(netlink.setLink(9999, { up: true })), 'ENODEV');
});

t.test('veth: peer born in another namespace, moved, enslaved', { skip }, async (t) => {
  const here = open(t);
  const there = open(t);
  await here.netlink.createVeth('v0', 'eth0', {
    peerNetnsFd: there.namespace.fd,
    mtu: 1400,
    peerAddress: 0x02_00_00_00_00_02,
  });
  t.match(await here.netlink.link('v0'), { kind: 'veth', mtu: 1400 });
  t.match(await there.netlink.link('eth0'), { mtu: 1400, address: 0x020000000002 });
  await here.netlink.createBridge('br0');
  await here.netlink.setLink('v0', { master: 'br0', up: true });
  const bridge = await here.netlink.link('br0');
  t.equal((await here.netlink.link('v0')).master, bridge.index);
  await here.netlink.setLink('v0', { master: 0 });
  t.equal((await here.netlink.link('v0')).master, 0);
  await here.netlink.setLink('v0', { netnsFd: there.namespace.fd, name: 'moved0' });
  t.equal(await here.netlink.findLink('v0'), undefined);
  t.equal((await there.netlink.link('moved0')).kind, 'veth');
});

t.test('GSO and GRO limits', { skip }, async (t) => {
  const { netlink } = open(t);
  await netlink.createVeth('a', 'b');
  const change = {
    gsoMaxSize: 62_000,
    gsoMaxSegs: 60,
    gsoIpv4MaxSize: 61_000,
    groMaxSize: 60_000,
  };
  await netlink.setLink('a', change);
  t.match(await netlink.link('a'), change);
});

t.test('addresses', { skip }, async (t) => {
  const { netlink } = open(t);
  await netlink.createBridge('br0', { up: true });
  await netlink.addAddress('br0', 0xfa00_1c01, 24, {
    broadcast: 0xfa00_1cff,
    label: 'br0:fan',
  });
  t.match(await netlink.addresses('br0'), [
    { address: 0xfa00_1c01, length: 24, broadcast: 0xfa00_1cff, label: 'br0:fan', scope: 0 },
  ]);
  t.equal(await code(netlink.addAddress('br0', 0xfa00_1c01, 24)), 'EEXIST');
  await netlink.addAddress('br0', 0xfa00_2c02, 24, { scope: 'link' });
  const second = (await netlink.addresses()).find((address) => address.address === 0xfa00_2c02);
  t.equal(second?.scope, 253);
  await netlink.deleteAddress('br0', 0xfa00_1c01, 24);
  t.equal(await code(netlink.deleteAddress('br0', 0xfa00_1c01, 24)), 'EADDRNOTAVAIL');
  t.equal(await code(netlink.addAddress('none', 1, 24)), 'ENODEV');
});

t.test('routes', { skip }, async (t) => {
  const { netlink } = open(t);
  await netlink.createBridge('br0', { up: true });
  await netlink.addAddress('br0', 0xac1e_001c, 16);
  const index = (await netlink.link('br0')).index;
  const overlay = { address: 0xfa00_0000, length: 8 };
  await netlink.addRoute({ dst: overlay, dev: 'br0', src: 0xac1e_001c, metric: 7, mtu: 1480 });
  const found = (await netlink.routes()).find((route) => route.dst.address === overlay.address);
  t.match(found, {
    dst: overlay,
    oif: index,
    src: 0xac1e_001c,
    metric: 7,
    mtu: 1480,
    type: 'unicast',
    table: 254,
  });
  t.equal(await code(netlink.addRoute({ dst: overlay, dev: 'br0', metric: 7 })), 'EEXIST');
  await netlink.replaceRoute({ dst: overlay, via: 0xac1e_001b, metric: 7 });
  t.match(await netlink.routeTo(0xfa01_0203), { via: 0xac1e_001b, oif: index, src: 0xac1e_001c });
  await netlink.deleteRoute({ dst: overlay });
  t.equal(await code(netlink.deleteRoute({ dst: overlay })), 'ESRCH');
  t.equal(await code(netlink.routeTo(0xfa01_0203)), 'ENETUNREACH');
  for (const type of ['unreachable', 'blackhole'] as const) {
    await netlink.addRoute({ dst: overlay, type, table: 1000 });
    const route = (await netlink.routes()).find((route) => route.table === 1000);
    t.match(route, { type, oif: 0 });
    await netlink.deleteRoute({ dst: overlay, type, table: 1000 });
  }
  t.equal(await code(netlink.addRoute({ dst: overlay, via: 0x0909_0909 })), 'ENETUNREACH');
});

t.test('neighbours', { skip }, async (t) => {
  const { netlink } = open(t);
  await netlink.createBridge('br0', { up: true });
  await netlink.addNeighbour('br0', 0xfa00_1c05, 0x02_00_00_00_00_05);
  t.match(await netlink.neighbours(), [{ address: 0xfa00_1c05, mac: 0x020000000005, state: 0x80 }]);
  await netlink.deleteNeighbour('br0', 0xfa00_1c05);
  t.strictSame(await netlink.neighbours(), []);
});

t.test('vxlan device with a static forwarding table', { skip }, async (t) => {
  const { netlink } = open(t);
  await netlink.createBridge('eth0', { up: true });
  await netlink.addAddress('eth0', 0xac1e_001c, 16);
  const options = { vni: 16_384_000, port: 4789, local: 0xac1e_001c, mtu: 1450 };
  const made = await code(netlink.createVxlan('vx0', options));
  if (made === 'EOPNOTSUPP') {
    t.comment('SKIP the rest: kernel without VXLAN devices');
    return;
  }
  t.equal(made, 'ok');
  t.match(await netlink.link('vx0'), { kind: 'vxlan', mtu: 1450 });
  t.equal(await code(netlink.createVxlan('vx1', options)), 'EEXIST');
  await netlink.addFdb('vx0', 0x02_00_00_00_00_05, 0xac1e_001b);
  await netlink.addFdb('vx0', 0, 0xac1e_001b);
  await netlink.addFdb('vx0', 0, 0xac1e_0105);
  const entries = (await netlink.neighbours({ bridge: true }))
    .filter((entry) => entry.address !== 0)
    .map((entry) => `${entry.mac} to ${entry.address}`);
  t.strictSame(
    entries.sort(),
    [
      `${0x02_00_00_00_00_05} to ${0xac1e_001b}`,
      `0 to ${0xac1e_001b}`,
      `0 to ${0xac1e_0105}`,
    ].sort(),
  );
  await netlink.deleteFdb('vx0', 0, 0xac1e_0105);
  t.equal((await netlink.neighbours({ bridge: true })).filter((e) => e.mac === 0).length, 1);
});

t.test('1,000 links in one table, read while it changes', { skip }, async (t) => {
  const { netlink, namespace } = open(t);
  for (let i = 0; i < 500; i++) await netlink.createVeth(`a${i}`, `b${i}`);
  t.equal((await netlink.links()).length, 1001);
  const other = Netlink.open(namespace);
  const changes = (async () => {
    for (let i = 0; i < 200; i++) await other.setLink(`a${i}`, { mtu: 1400 + i });
  })();
  let reads = 0;
  for (; reads < 10; reads++) {
    const result = await netlink.links().catch((error: NetlinkError) => error.code);
    if (typeof result !== 'string') t.equal(result.length, 1001);
    else t.equal(result, 'EINTR');
  }
  await changes;
  other.close();
  const names = (await netlink.links()).map((link) => link.name);
  t.equal(new Set(names).size, 1001);
});

t.test('concurrent requests keep apart', { skip }, async (t) => {
  const { netlink } = open(t);
  await Promise.all([
    netlink.createBridge('br0'),
    netlink.links(),
    netlink.createBridge('br1'),
    netlink.routes(),
    netlink.addresses(),
    netlink.neighbours(),
  ]);
  t.equal((await netlink.links()).length, 3);
});

t.test('monitor', { skip }, async (t) => {
  const { netlink } = open(t);
  const events: NetlinkEvent[] = [];
  const stop = netlink.monitor((event) => events.push(event));
  await netlink.createBridge('br0', { up: true });
  await netlink.createVeth('v0', 'v1');
  await netlink.setLink('v0', { master: 'br0' });
  await netlink.setLink('v0', { master: 0 });
  await netlink.addAddress('br0', 0xac1e_001c, 16);
  await netlink.addRoute({ dst: { address: 0xfa00_0000, length: 8 }, dev: 'br0' });
  await netlink.deleteAddress('br0', 0xac1e_001c, 16);
  await netlink.setLink('br0', { up: false });
  await netlink.deleteLink('br0');
  for (let i = 0; i < 50 && !events.some(isDeletionOf('br0')); i++) {
    await sleep(20);
  }
  stop();
  stop();
  t.ok(events.some((e) => e.kind === 'link' && e.action === 'new' && e.link.name === 'br0'));
  t.ok(events.some(isDeletionOf('br0')));
  t.notOk(events.some(isDeletionOf('v0')), 'leaving a bridge is no deletion');
  t.ok(events.some((e) => e.kind === 'address' && e.action === 'new'));
  t.ok(events.some((e) => e.kind === 'address' && e.action === 'deleted'));
  t.ok(events.some((e) => e.kind === 'route' && e.route.dst.address === 0xfa00_0000));
  t.notOk(events.some((e) => e.kind === 'lost'));
});

const isDeletionOf = (name: string) => (event: NetlinkEvent) =>
  event.kind === 'link' && event.action === 'deleted' && event.link.name === name;

t.test('a monitor that falls behind is told so', { skip }, async (t) => {
  const { netlink, namespace } = open(t);
  await netlink.createBridge('br0');
  const { index } = await netlink.link('br0');
  let lost = '';
  const onEvent = (event: NetlinkEvent) => {
    if (event.kind === 'lost') lost = event.code;
  };
  const stop = netlink.monitor(onEvent, { bufferBytes: 4096 });
  // One request a socket leaves before the loop turns, so the notifications pile up unread.
  const sockets = Array.from({ length: 50 }, () => Netlink.open(namespace));
  await Promise.all(sockets.map((socket, i) => socket.setLink(index, { txQueueLen: 1000 + i })));
  for (let i = 0; i < 50 && lost === ''; i++) {
    await sleep(20);
  }
  stop();
  for (const socket of sockets) socket.close();
  t.equal(lost, 'ENOBUFS');
});

t.test('nothing is left open', { skip }, async (t) => {
  const before = readdirSync('/proc/self/fd').length;
  for (let i = 0; i < 50; i++) {
    const namespace = NetworkNamespace.create();
    const netlink = Netlink.open(namespace);
    await netlink.links();
    netlink.monitor(() => undefined, { background: true })();
    netlink.close();
    namespace.close();
  }
  t.ok(readdirSync('/proc/self/fd').length <= before + 1);
  const netlink = Netlink.open();
  netlink.close();
  netlink.close();
  t.equal(await code(netlink.links()), 'ECLOSED');
});

t.test('what was asked when it is closed touches the descriptor no more', { skip }, async (t) => {
  const { namespace } = open(t);
  // Closed between any two steps of the question: whoever opens something then gets its number.
  for (let steps = 0; steps < 12; steps++) {
    const netlink = Netlink.open(namespace);
    const answer = code(netlink.link('lo'));
    for (let i = 0; i < steps; i++) await undefined;
    netlink.close();
    const next = createEventFd();
    signalEventFd(next);
    await answer;
    t.equal(libc.read(next, addressOf(new Uint8Array(8)), 8), 8, `closed after ${steps} steps`);
    closeDescriptor(next);
  }
});
