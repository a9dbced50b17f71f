import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import {
  dnsmasqArguments,
  findDnsmasq,
  isRunning,
  startTimeOf,
} from '../../src/control/host/dhcp.ts';
import { RunDirectory } from '../../src/control/store/run-directory.ts';
import { Lab, type LabContainer, type LabHost } from '../../src/demo/lab.ts';
import { parseIpv4 } from '../../src/net/ipv4.ts';
import { writeSysctl } from '../../src/sys/host/sysctl.ts';
import { libc } from '../../src/sys/libc/libc.ts';
import { openUdp } from '../../src/sys/sockets/sockets.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { until } from '../support/patience.ts';
import { killIfThere } from '../support/processes.ts';
import { fanway, picture, statusOf } from './lab-router.ts';

// Real processes on a busy machine.
t.setTimeout(1_200_000);

const skip =
  skipWithoutTun() || (findDnsmasq() === undefined && 'dnsmasq is not installed (dnsmasq-base)');

/** Asks for a lease (RFC 2131 DISCOVER) and prints what is offered. */
const CLIENT = `
const socket = require('node:dgram').createSocket({ type: 'udp4', reuseAddr: true });
const ask = Buffer.alloc(300);
ask.set([1, 1, 6, 0, 0x12, 0x34, 0x56, 0x78]);
ask.writeUInt16BE(0x8000, 10);
ask.set([2, 0, 0, 0, 0, 7], 28);
ask.set([99, 130, 83, 99, 53, 1, 1, 55, 3, 1, 3, 26, 255], 236);
socket.on('message', (answer) => {
  const options = {};
  for (let at = 240; at < answer.length && answer[at] !== 255; at += answer[at] === 0 ? 1 : 2 + answer[at + 1])
    options[answer[at]] = answer.subarray(at + 2, at + 2 + answer[at + 1]).toString('hex');
  console.log(JSON.stringify({ address: [...answer.subarray(16, 20)].join('.'), options }));
  process.exit(0);
});
socket.bind(68, () => {
  socket.setBroadcast(true);
  const send = () => socket.send(ask, 67, '255.255.255.255');
  send();
  setInterval(send, 500);
});
setTimeout(() => process.exit(1), 8000);
`;

/** The container's cable keeps the MTU of the bridge it was on: that is the lab's doing. */
async function withoutCable(host: LabHost): Promise<string[]> {
  return (await picture(host)).filter((line) => !line.startsWith('link veth-c'));
}

type Offer = { address: string; options: Record<string, string> };

async function discover(container: LabContainer): Promise<Offer | undefined> {
  const child = container.spawn(process.execPath, ['-e', CLIENT], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  child.stdout?.on('data', (chunk) => {
    text += String(chunk);
  });
  await new Promise((resolve) => child.once('close', resolve));
  return text === '' ? undefined : (JSON.parse(text) as Offer);
}

t.test('dnsmasqArguments() are single words made of numbers and names', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'fanway-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const spec = {
    bridge: 'fan-250-0-28',
    gateway: parseIpv4('250.0.28.1'),
    first: parseIpv4('250.0.28.5'),
    last: parseIpv4('250.0.28.254'),
    length: 8,
    mtu: 1450,
  };
  const args = dnsmasqArguments(spec, new RunDirectory(folder), 'nobody');
  for (const arg of [
    '--dhcp-range=250.0.28.5,250.0.28.254,255.0.0.0,1h',
    '--dhcp-option-force=26,1450',
    '--interface=fan-250-0-28',
    '--listen-address=250.0.28.1',
    '--dhcp-authoritative',
    '--dhcp-no-override',
    '--dhcp-lease-max=250',
  ]) {
    t.ok(args.includes(arg), arg);
  }
  t.notOk(args.some((arg) => /\s/.test(arg)));
  t.ok(isRunning({ pid: process.pid, startTime: startTimeOf(process.pid) ?? '' }));
  t.notOk(isRunning({ pid: process.pid, startTime: '1' }), 'the same id, another process');
});

t.test(
  'a container gets an address after the reserve, the mask and the MTU',
  { skip },
  async (t) => {
    const lab = await Lab.create({ hosts: 1 });
    t.teardown(() => lab.close());
    const host = lab.host(0);
    const container = lab.container(0);
    const before = await withoutCable(host);
    for (const [encap, mask, mtu] of [
      ['vxlan', 'ff000000', 1450],
      ['ipip', 'ffffff00', 1480],
    ] as const) {
      const words = ['250', 'eth0', 'dhcp', 'host-reserve', '9', '--encap', encap];
      const up = await fanway(host, 'up', ...words);
      t.equal(up.code, 0, up.err);
      t.match((await fanway(host, 'show')).out, /dhcp host-reserve 9/);
      await container.attach({
        bridge: 'fan-250-0-28',
        // A client has no address yet, but a plain UDP socket wants one to broadcast from, and the
        // host drops a source that it has no route to (rp_filter); 0.0.0.0 it would take.
        address: parseIpv4('250.0.28.200'),
        length: 24,
        gateway: parseIpv4('250.0.28.1'),
      });
      const offer = await discover(container);
      t.ok(offer, `${encap}: something is offered`);
      const last = Number(offer?.address.split('.')[3]);
      t.match(offer?.address, /^250\.0\.28\.\d+$/);
      t.ok(last >= 10 && last <= 254, `${offer?.address} is after the reserve`);
      t.equal(offer?.options[1], mask, 'mask');
      t.equal(offer?.options[3], 'fa001c01', 'gateway');
      t.equal(Number(`0x${offer?.options[26]}`), mtu, 'MTU');

      // Somebody ends the server: it comes back.
      const servers = (await statusOf(host)).links[0]?.repairs ?? 0;
      const { processesIn } = await import('../../src/demo/processes.ts');
      const { readFileSync } = await import('node:fs');
      const find = (): number[] =>
        processesIn(host.namespace.inode).filter((pid) => {
          try {
            return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('--dhcp-range');
          } catch {
            return false;
          }
        });
      for (const pid of find()) killIfThere(pid);
      await until('dnsmasq runs again', 12_000, async () => {
        const repairs = (await statusOf(host)).links[0]?.repairs ?? 0;
        return repairs > servers && find().length === 1;
      });
      await container.detach();
      t.equal((await fanway(host, 'down', '-e')).code, 0);
      t.same(find(), [], 'stopped with the fan');
      t.same(await withoutCable(host), before);
    }
  },
);

t.test('DHCP goes without DNS where port 53 is taken', { skip }, async (t) => {
  const lab = await Lab.create({ hosts: 1 });
  const taken: number[] = [];
  t.teardown(() => {
    for (const fd of taken) libc.close(fd);
    lab.close();
  });
  const host = lab.host(0);
  const container = lab.container(0);
  const take = (port: number): void => {
    taken.push(host.run(() => openUdp(0, port, { offload: false, reusePort: false }).fd));
  };
  take(53);
  const up = await fanway(host, 'up', '250', 'eth0', 'dhcp');
  t.equal(up.code, 0, up.err);
  const status = await fanway(host, 'status');
  t.match(status.out, /note: something else has port 53 of 250\.0\.28\.1.*without DNS/);
  await container.attach({
    bridge: 'fan-250-0-28',
    address: parseIpv4('250.0.28.200'),
    length: 24,
    gateway: parseIpv4('250.0.28.1'),
  });
  const offer = await discover(container);
  t.match(offer?.address, /^250\.0\.28\.\d+$/, 'an address is handed out');
  t.not(offer?.options[6], 'fa001c01', 'and no server that does not answer');
  await container.detach();
  t.equal((await fanway(host, 'down', '-e')).code, 0);

  take(67);
  const refused = await fanway(host, 'up', '250', 'eth0', 'dhcp');
  t.not(refused.code, 0);
  t.match(refused.err, /UDP port 67 is taken.*except-interface=fan-250-0-28/);
});

t.test(
  'few ephemeral ports, or none, mean few source ports',
  { skip: skipWithoutTun() },
  async (t) => {
    const lab = await Lab.create({ hosts: 1 });
    t.teardown(() => lab.close());
    const host = lab.host(0);
    const ports = (range: string, reserved: string): void =>
      host.run(() => {
        writeSysctl('net/ipv4/ip_local_port_range', range);
        writeSysctl('net/ipv4/ip_local_reserved_ports', reserved);
      });
    for (const [range, reserved, note] of [
      ['60000 60020', '', 'outer source ports: 5 of 16'],
      ['60000 60010', '60000-60010', 'outer source ports: 1 of 16'],
      ['32768 60999', '4789', ''],
    ] as const) {
      ports(range, reserved);
      const up = await fanway(host, 'up', '250', 'eth0');
      t.equal(up.code, 0, up.err);
      const { out } = await fanway(host, 'status');
      t.equal(
        /note: (outer source ports: \d+ of 16)/.exec(out)?.[1] ?? '',
        note,
        `${range} ${reserved}`,
      );
      t.equal((await fanway(host, 'down', '-e')).code, 0);
    }
  },
);
