import t from 'tap';
import { chainsText } from '../../src/control/change/kinds/firewall/chains.ts';
import {
  type MasqueradeChange,
  masqueradeChain,
} from '../../src/control/change/kinds/firewall/masquerade.ts';
import { PacketFilterReader } from '../../src/control/host/packet-filter.ts';
import { Lab } from '../../src/demo/lab.ts';
import { parsePrefix } from '../../src/net/prefix.ts';
import { checkDevice, hasNft, loadRules, NftError, tableOf } from '../../src/sys/host/nft.ts';
import { writeSysctl } from '../../src/sys/host/sysctl.ts';
import { skipWithoutNamespaces } from '../netns/privileges.ts';
import { until } from '../support/patience.ts';

const rule: MasqueradeChange = {
  kind: 'masquerade',
  link: 'fan-250-0-28',
  slice: parsePrefix('250.0.28.0/24'),
  overlay: parsePrefix('250.0.0.0/8'),
  bridge: 'fan-250-0-28',
};
const skip = skipWithoutNamespaces() || (hasNft() ? false : 'needs nft (package nftables)');

t.test('tableOf() keeps links apart and refuses what is no link name', async (t) => {
  t.equal(tableOf('fan-250-0-28'), 'fanway_fan_2d250_2d0_2d28');
  t.not(tableOf('fan-1'), tableOf('fan.1'));
  for (const bad of ['', 'a b', 'a;b', '"', 'a\nb', 'x'.repeat(16)]) {
    t.throws(() => tableOf(bad), /not a link name/);
    t.throws(() => checkDevice(bad), /not a device name/);
    t.throws(() => masqueradeChain({ ...rule, bridge: bad }), /not a device name/);
  }
});

t.test(
  'without nft the error says what to install',
  { skip: hasNft() && 'nft is here' },
  async (t) => {
    await t.rejects(async () => loadRules('list ruleset\n'), {
      code: 'ENOENT',
      message: /nftables/,
    });
  },
);

const LISTEN = `
  const socket = require('dgram').createSocket('udp4');
  socket.on('message', (m, from) => process.stdout.write(from.address + '\\n'));
  socket.bind(9, () => process.stdout.write('ready\\n'));
`;
const SEND = `
  const socket = require('dgram').createSocket('udp4');
  socket.send('x', 9, process.argv[1], () => process.exit(0));
`;

t.test('masquerades what leaves the overlay and nothing else', { skip }, async (t) => {
  const lab = await Lab.create({ hosts: 1 });
  t.teardown(() => lab.close());
  const host = lab.host(0);
  await host.netlink.createBridge(rule.bridge, { up: true });
  await host.netlink.addAddress(rule.bridge, 0xfa00_1c01, 24);
  host.run(() => writeSysctl('net/ipv4/ip_forward', '1'));
  await lab
    .container(0)
    .attach({ bridge: rule.bridge, address: 0xfa00_1c02, length: 24, gateway: 0xfa00_1c01 });
  // The middle is an outside server, and also owns an address of the overlay that is routed to it.
  await lab.middle.netlink.addAddress('sw0', 0xac1e_fffe, 16);
  await lab.middle.netlink.addAddress('lo', 0xfa01_0101, 32);
  const slice = { address: 0xfa00_1c00, length: 24 };
  await lab.middle.netlink.addRoute({ dst: slice, via: host.address });
  const remote = { address: 0xfa01_0100, length: 24 };
  await host.netlink.addRoute({ dst: remote, via: 0xac1e_fffe });

  // The promise's synchronous part is what starts nft, in the host's namespace.
  const inHost = <T>(work: () => Promise<T>): Promise<T> => {
    let promise: Promise<T> | undefined;
    host.run(() => {
      promise = work();
    });
    return promise ?? Promise.reject(new Error('not started'));
  };
  const reader = host.run(() => new PacketFilterReader());
  t.teardown(() => reader.close());
  await reader.load(chainsText([masqueradeChain(rule)]));
  await reader.load(chainsText([masqueradeChain(rule)]));
  const table = tableOf(rule.link);
  const filter = await reader.read();
  t.match(filter, { readable: true, chains: [{ family: 'ip', table, name: 'postrouting' }] });
  t.match(filter.chains[0]?.base, { type: 'nat', hook: 4, priority: 100, policy: 'accept' });
  t.equal(filter.rules.length, 1, 'loading it twice leaves one rule');
  t.ok(filter.rules[0]?.expressions.includes('masq'));
  t.equal(await reader.read(), filter, 'and is not read again while nothing changes');

  const server = lab.middle.spawn(process.execPath, ['-e', LISTEN], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines: string[] = [];
  server.stdout?.on('data', (chunk) => lines.push(...String(chunk).trim().split('\n')));
  const heard = (count: number) => until(`line ${count}`, 2000, () => lines.length >= count);
  await heard(1);
  const send = (to: string) => lab.container(0).spawn(process.execPath, ['-e', SEND, to]);
  send('172.30.255.254');
  await heard(2);
  send('250.1.1.1');
  await heard(3);
  t.strictSame(lines, ['ready', '172.30.0.28', '250.0.28.2']);

  await inHost(() => loadRules(`delete table ip ${table}\n`));
  t.same((await reader.read()).chains, []);
});

t.test('a refusal carries the words of nft', { skip }, async (t) => {
  const { nft } = await import('../../src/sys/host/nft.ts');
  await t.rejects(nft(['-c', '-f', '-'], 'nonsense\n'), NftError);
});
