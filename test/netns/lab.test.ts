import { existsSync, readdirSync, readlinkSync } from 'node:fs';
import t from 'tap';
import { Lab, spreadAddresses } from '../../src/demo/lab.ts';
import { parsePrefix } from '../../src/net/prefix.ts';
import { readOffloads } from '../../src/sys/host/ethtool.ts';
import { Netlink } from '../../src/sys/netlink/netlink.ts';
import { sleep } from '../support/patience.ts';
import { skipWithoutNamespaces } from './privileges.ts';

const skip = skipWithoutNamespaces();

// Two programs that speak UDP, so that a lab needs no tool of the machine.
const ECHO = `
  const socket = require('dgram').createSocket('udp4');
  socket.on('message', (m, from) => socket.send(m, from.port, from.address));
  socket.bind(9, () => process.stdout.write('ready'));
`;
const ASK = `
  const socket = require('dgram').createSocket('udp4');
  socket.on('message', () => process.exit(0));
  const ask = () => socket.send('x', 9, process.argv[1], (e) => e && process.exit(3));
  setInterval(ask, 100);
  ask();
  setTimeout(() => process.exit(2), 2000);
`;

async function reaches(from: Lab['hosts'][number], to: string): Promise<boolean> {
  const child = from.spawn(process.execPath, ['-e', ASK, to], { stdio: 'ignore' });
  return (await new Promise((resolve) => child.once('exit', resolve))) === 0;
}

async function startEcho(node: Lab['hosts'][number]): Promise<void> {
  const child = node.spawn(process.execPath, ['-e', ECHO], { stdio: ['ignore', 'pipe', 'ignore'] });
  await new Promise((resolve) => child.stdout?.once('data', resolve));
}

t.test('spreadAddresses() gives every host another slice', async (t) => {
  const addresses = spreadAddresses(parsePrefix('172.30.0.0/16'), 40);
  t.equal(new Set(addresses).size, 40);
  t.equal(new Set(addresses.map((address) => address >>> 8)).size, 40);
  t.equal(addresses[0], 0xac1e_001c);
  t.throws(() => spreadAddresses(parsePrefix('10.0.0.0/27'), 4), /no room/);
});

for (const middle of ['switch', 'routed'] as const) {
  t.test(`hosts of a ${middle} lab reach each other`, { skip }, async (t) => {
    const lab = await Lab.create({ hosts: 2, middle });
    t.teardown(() => lab.close());
    await startEcho(lab.host(1));
    t.ok(await reaches(lab.host(0), '172.30.1.27'));
    await lab.setCable(1, false);
    t.notOk((await lab.host(1).netlink.link('eth0')).carrier);
    await lab.setCable(1, true);
    t.ok((await lab.host(1).netlink.link('eth0')).carrier);
    await lab.setPortMtu(1, 1400);
    t.equal((await lab.host(1).netlink.link('eth0')).mtu, 1500);
  });
}

t.test('a container on a bridge of its host', { skip }, async (t) => {
  const lab = await Lab.create({ hosts: 1, containersPerHost: 2, mtu: 1480 });
  t.teardown(() => lab.close());
  const host = lab.host(0);
  t.equal((await host.netlink.link('eth0')).mtu, 1480);
  await host.netlink.createBridge('br0', { up: true, mtu: 1430 });
  await host.netlink.addAddress('br0', 0xfa00_1c01, 24);
  const a = lab.container(0, 0);
  const b = lab.container(0, 1);
  await a.attach({ bridge: 'br0', address: 0xfa00_1c02, length: 24, gateway: 0xfa00_1c01 });
  await b.attach({ bridge: 'br0', address: 0xfa00_1c03, length: 24, gateway: 0xfa00_1c01 });
  t.equal((await a.netlink.link('eth0')).mtu, 1430);
  t.match(await a.netlink.routeTo(0x0101_0101), { via: 0xfa00_1c01 });
  await b.attach({ bridge: 'br0', address: 0xfa00_1c04, length: 24, gateway: 0xfa00_1c01 });
  t.strictSame(
    (await b.netlink.addresses('eth0')).map((address) => address.address),
    [0xfa00_1c04],
  );
  await b.detach();
  t.equal((await host.netlink.link(b.hostEnd)).master, 0);
});

t.test('offloads of the underlay can be off', { skip }, async (t) => {
  const lab = await Lab.create({ hosts: 1, containersPerHost: 0, underlayOffloads: false });
  t.teardown(() => lab.close());
  t.match(
    lab.host(0).run(() => readOffloads('eth0')),
    { txChecksum: false, tso: false },
  );
  const other = await Lab.create({ hosts: 1, containersPerHost: 0 });
  t.teardown(() => other.close());
  t.match(
    other.host(0).run(() => readOffloads('eth0')),
    { txChecksum: true, tso: true },
  );
});

t.test('close() leaves no process, descriptor, folder or device', { skip }, async (t) => {
  const home = Netlink.open();
  t.teardown(() => home.close());
  const linksBefore = (await home.links()).length;
  const before = readdirSync('/proc/self/fd').length;
  const lab = await Lab.create({ hosts: 3, containersPerHost: 2 });
  const host = lab.host(0);
  // A grandchild that the lab never saw, as a daemonising router makes them.
  const shell = host.spawn('sh', ['-c', 'sleep 300 & echo $!; wait'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const pid: number = await new Promise((resolve) =>
    shell.stdout?.once('data', (chunk) => resolve(Number(String(chunk)))),
  );
  t.equal(readlinkSync(`/proc/${pid}/ns/net`), `net:[${host.namespace.inode}]`);
  const exited = new Promise((resolve) => shell.once('close', resolve));
  lab.close();
  lab.close();
  await exited;
  await sleep(50);
  t.notOk(existsSync(host.runDirectory));
  t.ok(readdirSync('/proc/self/fd').length <= before + 1);
  t.equal((await home.links()).length, linksBefore);
  let alive = true;
  try {
    alive = !/^State:\s+Z/m.test(String(readlinkSync(`/proc/${pid}/ns/net`)));
  } catch {
    alive = false;
  }
  t.notOk(alive);
});
