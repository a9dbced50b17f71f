import t from 'tap';
import { findDnsmasq } from '../../src/control/host/dhcp.ts';
import { PacketFilterReader } from '../../src/control/host/packet-filter.ts';
import { Lab, type LabHost } from '../../src/demo/lab.ts';
import { hasNft, nft } from '../../src/sys/host/nft.ts';
import { readSysctl, writeSysctl } from '../../src/sys/host/sysctl.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { skipLong } from '../support/long.ts';
import { until } from '../support/patience.ts';
import { fanway, picture, statusOf } from './lab-router.ts';

// Real processes on a busy machine.
t.setTimeout(1_200_000);

const skip = skipWithoutTun() || skipLong;
/** Whatever is taken away is back within this. */
const BACK_MS = 5000;

/** One piece: how somebody takes it away, how to see it, and how status calls it. */
type Piece = {
  what: RegExp;
  take(host: LabHost): Promise<unknown> | unknown;
  isThere(host: LabHost): Promise<boolean> | boolean;
  /** Nobody tells of it: an event of another kind hurries the look that comes every 5 s anyway. */
  silent?: boolean;
};

const BRIDGE = 'fan-250-0-28';
const MAC = 0x02fa_fa00_1c01;
const GATEWAY = 0xfa00_1c01;

function setting(key: string, value: string, silent = true): Piece {
  return {
    what: new RegExp(key.replaceAll('/', '\\.')),
    take: (host) => {
      const now = host.run(() => readSysctl(key));
      t.equal(now, value, `${key} is ${value} to begin with`);
      host.run(() => writeSysctl(key, value === '0' ? '1' : '0'));
    },
    isThere: (host) => host.run(() => readSysctl(key)) === value,
    silent,
  };
}

/** A route by its words in `picture`, and how it is deleted. */
function route(
  what: RegExp,
  dst: { address: number; length: number },
  table: number,
  dev: string,
  type: 'unicast' | 'local' | 'broadcast',
): Piece {
  return {
    what,
    take: (host) => host.netlink.deleteRoute({ dst, table, dev, type }),
    isThere: async (host) => {
      const { index } = await host.netlink.link(dev);
      return (await host.netlink.routes()).some(
        (one) =>
          one.oif === index &&
          one.table === table &&
          one.type === type &&
          one.dst.address === dst.address &&
          one.dst.length === dst.length,
      );
    },
  };
}

const bridge: Piece[] = [
  {
    what: /MAC 02:fa:fa:00:1c:01/,
    take: (host) => host.netlink.setLink(BRIDGE, { address: 0x0200_0000_0001 }),
    isThere: async (host) => (await host.netlink.link(BRIDGE)).address === MAC,
  },
  {
    what: /mark of fan-250-0-28/,
    take: (host) => host.netlink.setLink(BRIDGE, { alias: 'mine' }),
    isThere: async (host) => (await host.netlink.link(BRIDGE)).alias === `fanway:${BRIDGE}`,
  },
  {
    what: /forwarding entry of fan-250-0-28's own MAC/,
    take: (host) => host.netlink.deleteBridgeMac(BRIDGE, MAC),
    isThere: (host) => host.netlink.hasBridgeMac(BRIDGE, MAC),
    silent: true,
  },
  {
    what: /address 250\.0\.28\.2\//,
    take: async (host) => {
      for (const { address, length } of await host.netlink.addresses(BRIDGE)) {
        if (address === GATEWAY + 1) await host.netlink.deleteAddress(BRIDGE, address, length);
      }
    },
    isThere: async (host) =>
      (await host.netlink.addresses(BRIDGE)).some(({ address }) => address === GATEWAY + 1),
  },
  route(/local route 250\.0\.28\.1/, { address: GATEWAY, length: 32 }, 255, BRIDGE, 'local'),
  setting(`net/ipv4/conf/${BRIDGE}/forwarding`, '1', false),
  setting(`net/ipv4/conf/${BRIDGE}/rp_filter`, '2', false),
  setting(`net/ipv4/conf/${BRIDGE}/proxy_arp_pvlan`, '0'),
  ...['accept_ra', 'autoconf'].map((key) => setting(`net/ipv6/conf/${BRIDGE}/${key}`, '0')),
  setting(`net/ipv6/conf/${BRIDGE}/addr_gen_mode`, '1'),
  setting('net/ipv4/ip_forward', '1', false),
];

const TABLE = 'fanway_fan_2d250_2d0_2d28';
const PORTS = TABLE.replace('fanway_', 'fanway-ports_');

/** What somebody does with `nft`, and the chain that is then whole again. */
function rules(what: RegExp, command: string, chain: string, rules: number): Piece {
  return {
    what,
    take: async (host) => {
      let done: Promise<string> | undefined;
      host.run(() => {
        done = nft(['-f', '-'], `${command}\n`);
      });
      await done;
    },
    isThere: async (host) => {
      const reader = host.run(() => new PacketFilterReader());
      try {
        const { chains, rules: all } = await reader.read();
        const base = chains.find(({ name }) => name === chain)?.base;
        const count = all.filter((rule) => rule.chain === chain && rule.comment === '').length;
        return base?.policy !== 'drop' && count === rules;
      } finally {
        reader.close();
      }
    },
  };
}

const masquerading: Piece[] = [
  rules(/masquerading of .*changed/, `flush chain ip ${TABLE} postrouting`, 'postrouting', 1),
  rules(
    /masquerading of .*gone/,
    `flush chain ip ${TABLE} postrouting; delete chain ip ${TABLE} postrouting`,
    'postrouting',
    1,
  ),
  rules(
    /masquerading of .*changed/,
    `insert rule ip ${TABLE} postrouting ip daddr 9.9.9.9 accept`,
    'postrouting',
    1,
  ),
  rules(
    /masquerading of .*changed/,
    `add chain ip ${TABLE} postrouting { policy drop; }`,
    'postrouting',
    1,
  ),
  rules(/untranslated sources/, `flush chain ip ${TABLE} keep`, 'keep', 1),
  rules(/the source 250\.0\.28\.1 of what/, `flush chain ip ${TABLE} inward`, 'inward', 1),
  rules(/the stop of router adv/, `flush chain bridge ${PORTS} prerouting`, 'prerouting', 1),
  rules(/the stop of router adv/, `delete table bridge ${PORTS}`, 'stopped', 1),
  rules(/untranslated|masquerading|source|stop/, 'flush ruleset', 'postrouting', 1),
];

const PIECES: Readonly<Record<'vxlan' | 'ipip', readonly Piece[]>> = {
  vxlan: [
    ...bridge,
    setting(`net/ipv4/conf/${BRIDGE}/send_redirects`, '0'),
    setting('net/ipv4/conf/all/send_redirects', '0'),
    setting('net/ipv6/conf/fw-250-0-28/disable_ipv6', '1'),
    route(/connected route 250\.0\.0\.0\/8/, net('250.0.0.0', 8), 254, BRIDGE, 'unicast'),
    route(/broadcast route/, net('250.255.255.255', 32), 255, BRIDGE, 'broadcast'),
    {
      what: /fw-250-0-28 as a port of fan-250-0-28/,
      take: (host) => host.netlink.setLink('fw-250-0-28', { master: 0 }),
      isThere: async (host) => (await host.netlink.link('fw-250-0-28')).master !== 0,
    },
  ],
  ipip: [
    ...bridge,
    setting('net/ipv4/conf/fw-250-0-28/forwarding', '1', false),
    setting('net/ipv4/conf/fw-250-0-28/rp_filter', '2', false),
    route(/connected route 250\.0\.28\.0\/24/, net('250.0.28.0', 24), 254, BRIDGE, 'unicast'),
    route(/broadcast route/, net('250.0.28.255', 32), 255, BRIDGE, 'broadcast'),
    route(/route 250\.0\.0\.0\/8 dev fw/, net('250.0.0.0', 8), 254, 'fw-250-0-28', 'unicast'),
  ],
};

function net(dotted: string, length: number): { address: number; length: number } {
  const address = dotted.split('.').reduce((sum, octet) => sum * 256 + Number(octet), 0);
  return { address, length };
}

for (const encap of ['vxlan', 'ipip'] as const) {
  t.test(`${encap}: each piece that is taken away alone comes back`, { skip }, async (t) => {
    const lab = await Lab.create({ hosts: 1 });
    t.teardown(() => lab.close());
    const host = lab.host(0);
    const before = await picture(host);
    const dhcp = findDnsmasq() === undefined ? [] : ['dhcp'];
    const words = ['250', 'eth0/16', 'host-reserve', '2', ...dhcp, '--encap', encap];
    t.equal((await fanway(host, 'up', ...words)).code, 0);
    const whole = await picture(host);
    let pokes = 0;
    const pieces = [...(encap === 'vxlan' && hasNft() ? masquerading : []), ...PIECES[encap]];
    if (!hasNft()) t.comment('rules of nftables are left out: needs nft (package nftables)');
    for (const { what, take, isThere, silent } of pieces) {
      await take(host);
      if (silent) await host.netlink.setLink('lo', { alias: `look ${++pokes}` });
      await until(`back: ${what}`, BACK_MS, () => isThere(host));
      t.pass(String(what));
    }
    await host.netlink.setLink('lo', { alias: '' });
    await until('the host is whole', BACK_MS, async () => {
      return JSON.stringify(await picture(host)) === JSON.stringify(whole);
    });
    const link = (await statusOf(host)).links[0];
    t.equal(link?.state, 'up');
    t.ok((link?.repairs ?? 0) >= pieces.length, `status counts ${link?.repairs} repairs`);
    const [last] = PIECES[encap].slice(-1);
    t.match(link?.repaired.at(-1)?.what, last?.what, 'and names the last of them');
    t.match((await fanway(host, 'status')).out, /fanway put back \d+ pieces; last: .* s ago/);
    const log = (await statusOf(host)).links[0]?.repaired.map(({ what }) => what) ?? [];
    t.ok(log.length <= 8, 'a bounded list');
    t.equal((await fanway(host, 'down', '-e')).code, 0);
    t.same(await picture(host), before, 'and all of it is taken back');
  });
}
