import t, { type Test } from 'tap';
import { PacketFilterReader } from '../../src/control/host/packet-filter.ts';
import { Lab, type LabHost, type LabNode } from '../../src/demo/lab.ts';
import { formatIpv4 } from '../../src/net/ipv4.ts';
import { findProgram, hasNft, nft } from '../../src/sys/host/nft.ts';
import { attach, countersOf, nowMs, startRig } from '../faults/rig.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { icmpv6ToAll, Sight, sendFrames } from '../support/frames.ts';
import { skipLong } from '../support/long.ts';
import { sleep, until } from '../support/patience.ts';
import { fanway, statusOf } from './lab-router.ts';

// Real processes on a busy machine.
t.setTimeout(1_200_000);

const skip = skipWithoutTun() || (hasNft() ? skipLong : 'needs nft (package nftables)');
/** Whatever somebody does to the rules, traffic is back within this. */
const BACK_MS = 5000;
const BRIDGE = 'fan-250';

/** Loads rules on a host as somebody else would. */
async function rules(host: LabHost, text: string): Promise<void> {
  let loading: Promise<string> | undefined;
  host.run(() => {
    loading = nft(['-f', '-'], `${text}\n`);
  });
  await loading;
}

/** Our accept rules by chain of `ip filter`. */
async function accepts(t: Test, host: LabHost): Promise<Record<string, number>> {
  const reader = host.run(() => new PacketFilterReader());
  t.teardown(() => reader.close());
  const found: Record<string, number> = {};
  for (const { table, chain, comment } of (await reader.read()).rules) {
    if (table === 'filter' && comment === 'fanway') found[chain] = (found[chain] ?? 0) + 1;
  }
  return found;
}

const ECHO = `
  const socket = require('dgram').createSocket('udp4');
  socket.on('message', (m, from) => socket.send(from.address, from.port, from.address));
  socket.bind(+process.argv[1], () => process.stdout.write('ready\\n'));
`;
const ASK = `
  const [to, port, from] = process.argv.slice(1);
  const socket = require('dgram').createSocket('udp4');
  socket.on('message', (m) => { process.stdout.write(String(m)); process.exit(0); });
  const ask = () => socket.send('?', +port, to);
  socket.bind({ address: from, port: 0 }, () => { ask(); setInterval(ask, 200); });
  setTimeout(() => process.exit(1), 8000);
`;

/** A socket that tells whoever asks under which address he came. */
async function answerAt(node: LabNode, port: number): Promise<void> {
  const child = node.spawn(process.execPath, ['-e', ECHO, String(port)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await new Promise((resolve) => child.stdout?.once('data', resolve));
}

/** Under which address a node appears at `to`; '' when no answer comes. */
function appearsAs(node: LabNode, to: string, port: number, from = '0.0.0.0'): Promise<string> {
  const child = node.spawn(process.execPath, ['-e', ASK, to, String(port), from], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  child.stdout?.on('data', (chunk) => {
    said += String(chunk);
  });
  return new Promise((resolve) => child.once('close', () => resolve(said)));
}

const DROP =
  'add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }';

for (const encap of ['vxlan', 'ipip'] as const) {
  // What follows is about the same on both; only the bridged one has the bridge's filter in its way.
  t.test(
    `${encap}: a FORWARD chain that drops is answered where it counts`,
    { skip },
    async (t) => {
      const { a, from, to, pulse } = await startRig(t, { encap });
      const count = encap === 'vxlan' ? 2 : 4;
      const again = async (what: string): Promise<void> => {
        const since = nowMs();
        // Rules that drop must have had their time to do it.
        const ms = await pulse.back(since + 100, BACK_MS);
        t.pass(`${what}: an answer after ${Math.round(ms)} ms`);
      };
      t.same(await accepts(t, a), {}, 'nothing is touched to begin with');
      await rules(a, `${DROP.replace('drop;', 'accept;')}`);
      await sleep(1500);
      t.same(await accepts(t, a), {}, 'nor where the policy is accept');
      await rules(a, DROP);
      await again('policy drop');
      await until('rules of ours', BACK_MS, async () => (await accepts(t, a))['FORWARD'] === count);
      await rules(a, 'flush chain ip filter FORWARD');
      await again('chain flushed');
      const told = /FORWARD.*policy drop/;
      const status = await statusOf(a);
      t.equal(status.links[0]?.state, 'up');
      t.match(status.links[0]?.notes, [told]);
      t.match((await fanway(a, 'status')).out, told);
      t.match((await fanway(a, 'doctor')).out, told);
      const words = ['251', 'eth0/16', '--encap', 'fou'];
      t.match((await fanway(a, 'plan', ...words)).out, /note: .*FORWARD.*policy drop/);
      t.match((await fanway(a, 'plan', ...words)).out, /let fan-251-0-28 and fw-251-0-28 through/);

      await rules(
        a,
        'add chain ip filter DOCKER-USER; flush chain ip filter FORWARD; add rule ip filter FORWARD counter jump DOCKER-USER',
      );
      await again('Docker came');
      await until('rules where Docker looks', BACK_MS, async () => {
        return (await accepts(t, a))['DOCKER-USER'] === count;
      });

      // Docker, netavark and CNI masquerade like this; on a bridged fan it never sees the overlay.
      await rules(
        a,
        `add table ip nat; add chain ip nat POSTROUTING { type nat hook postrouting priority 100; }; add rule ip nat POSTROUTING ip saddr 250.0.28.0/24 oifname != "${BRIDGE}" masquerade`,
      );
      await answerAt(to, 7200);
      t.equal(
        await appearsAs(from, formatIpv4(to.address), 7200),
        formatIpv4(from.address),
        'a container keeps its address whatever others masquerade',
      );
      t.equal((await fanway(a, 'down', '-e', '--force')).code, 0);
      t.same(await accepts(t, a), {}, 'down takes our rules out of chains of others');
      const reader = a.run(() => new PacketFilterReader());
      t.teardown(() => reader.close());
      const left = (await reader.read()).chains.map(({ table, name }) => `${table} ${name}`);
      t.same(left.sort(), ['filter DOCKER-USER', 'filter FORWARD', 'nat POSTROUTING']);
    },
  );
}

for (const encap of ['fou', 'vxlan'] as const) {
  const title = `${encap}: what comes into the overlay from outside gets the gateway as its source`;
  t.test(title, { skip }, async (t) => {
    const { lab, a, to } = await startRig(t, { encap });
    await answerAt(to, 7201);
    const target = formatIpv4(to.address);
    const own = formatIpv4(a.address);
    t.equal(await appearsAs(a, target, 7201), '250.0.28.1', 'the host itself');
    t.equal(await appearsAs(a, target, 7201, own), '250.0.28.1', `bound to ${own}`);
    await rules(
      a,
      `add table ip pub; add chain ip pub pre { type nat hook prerouting priority -100; }; add rule ip pub pre ip daddr ${own} udp dport 8080 dnat to ${target}:7201`,
    );
    await lab.middle.netlink.addAddress('sw0', 0xac1e_fffe, 16);
    t.equal(await appearsAs(lab.middle, own, 8080), '250.0.28.1', 'a published port');
    t.equal((await countersOf(a))['egress.drop.foreign_source'] ?? 0, 0);
    if (encap === 'vxlan') return;
    // Docker 28 and later, on a network of its own that uses our bridge.
    await rules(
      a,
      `add table ip raw; add chain ip raw PREROUTING { type filter hook prerouting priority -300; }; add rule ip raw PREROUTING ip daddr 250.0.28.10 iifname != "${BRIDGE}" counter drop`,
    );
    const told = await until('Docker is named', BACK_MS, async () => {
      const link = (await statusOf(a)).links[0];
      return link?.state === 'degraded' && link.reason;
    });
    t.match(told, /trusted_host_interfaces=fw-250-0-28/);
  });
}

t.test('masquerading on the underlay card leaves the tunnel alone', { skip }, async (t) => {
  const lab = await Lab.create({ hosts: 2 });
  t.teardown(() => lab.close());
  const [a, b] = [lab.host(0), lab.host(1)];
  // The fan uses the card's second address; masquerading takes the first.
  await a.netlink.deleteAddress('eth0', a.address, 16);
  await a.netlink.addAddress('eth0', 0xac1e_0505, 16);
  await a.netlink.addAddress('eth0', a.address, 16);
  await rules(
    a,
    'add table ip nat; add chain ip nat POSTROUTING { type nat hook postrouting priority 100; }; add rule ip nat POSTROUTING oifname "eth0" masquerade',
  );
  await answerAt(b, 7300);
  for (const encap of skipLong ? ['vxlan'] : ['vxlan', 'fou', 'ipip']) {
    for (const host of [a, b]) {
      const words = ['250', `${formatIpv4(host.address)}/16`, '--encap', encap];
      t.equal((await fanway(host, 'up', ...words)).code, 0);
    }
    t.equal(await appearsAs(a, '250.1.27.1', 7300), '250.0.28.1', `${encap}: the host is heard`);
    t.equal((await countersOf(b))['ingress.drop.foreign_source'] ?? 0, 0, 'as itself');
    for (const host of [a, b]) await fanway(host, 'down', '-e');
  }
});

t.test('chains of others, and router advertisements between containers', { skip }, async (t) => {
  const lab = await Lab.create({ hosts: 1, containersPerHost: 2 });
  t.teardown(() => lab.close());
  const host = lab.host(0);
  const up = await fanway(host, 'up', '250', 'eth0/16', 'bridge', BRIDGE);
  t.equal(up.code, 0, up.err);
  await attach(host);

  await t.test('a chain that drops is told with the line to type', async (t) => {
    await rules(
      host,
      'add table inet fw; add chain inet fw others { type filter hook forward priority 0; policy drop; }',
    );
    const told = await until('status tells', BACK_MS, async () => {
      const link = (await statusOf(host)).links[0];
      return link?.state === 'degraded' && link.reason;
    });
    t.match(told, /chain others of nftables table inet fw has policy drop/);
    t.match((await fanway(host, 'doctor')).out, /no +way through firewalls .*inet fw/);
    const lines = [...told.matchAll(/nft (insert rule [^;]*)/g)].map((match) => match[1] ?? '');
    t.equal(lines.length, 2);
    for (const line of lines) await rules(host, line);
    await until('all is well', BACK_MS, async () => {
      return (await statusOf(host)).links[0]?.state === 'up';
    });
    t.match(
      (await fanway(host, 'doctor')).out,
      /yes +way through firewalls/,
      'and typing it helps',
    );
  });

  const legacy = findProgram('iptables-legacy');
  const why = legacy === undefined && 'needs iptables-legacy (package iptables)';
  await t.test('iptables-legacy is told with the lines to type', { skip: why }, async (t) => {
    const type = async (...words: string[]): Promise<void> => {
      const child = host.spawn(legacy ?? '', words, { stdio: 'inherit' });
      await new Promise((resolve) => child.once('close', resolve));
    };
    await type('-P', 'FORWARD', 'DROP');
    const told = await until('status tells', BACK_MS * 2, async () => {
      const link = (await statusOf(host)).links[0];
      return link?.state === 'degraded' && link.reason;
    });
    t.match(told, /FORWARD of iptables-legacy has policy drop/);
    t.match((await fanway(host, 'doctor')).out, /no +way through firewalls .*iptables-legacy/);
    const lines = [...told.matchAll(/iptables-legacy (-I[^;]*)/g)].map((match) => match[1] ?? '');
    t.equal(lines.length, 2);
    for (const line of lines) await type(...line.split(' '));
    await until('all is well', BACK_MS * 2, async () => {
      return (await statusOf(host)).links[0]?.state === 'up';
    });
    await type('-P', 'FORWARD', 'ACCEPT');
  });

  await t.test('a router advertisement does not reach the neighbours', async (t) => {
    const [from, to] = [lab.container(0, 0), lab.container(0, 1)];
    const { index, address } = await from.netlink.link('eth0');
    const at = (await to.netlink.link('eth0')).index;
    const sight = to.run(() => new Sight(at));
    t.teardown(() => sight.close());
    const ADVERTISEMENT = 134;
    const ECHO_REQUEST = 128;
    const send = (...types: number[]) => {
      const frames = types.map((type) => icmpv6ToAll(type, address));
      from.run(() => sendFrames(index, frames));
    };
    const stopped = async (): Promise<number> =>
      (await statusOf(host)).links[0]?.stoppedAdverts ?? 0;
    // A port is guarded once control has seen it.
    await until('the port is guarded', BACK_MS * 2, async () => {
      send(ADVERTISEMENT);
      return (await stopped()) > 0;
    });
    sight.received();
    send(ADVERTISEMENT, ECHO_REQUEST);
    const seen: number[] = [];
    await until('what else is IPv6 crosses', 2000, () => {
      for (const frame of sight.received()) {
        if (frame.readUInt16BE(12) === 0x86dd) seen.push(frame[54] ?? 0);
      }
      return seen.includes(ECHO_REQUEST);
    });
    t.notOk(seen.includes(ADVERTISEMENT), 'the advertisement, sent before it, does not');
    const said = (await fanway(host, 'status')).out;
    t.match(said, /\d+ IPv6 router advertisements between containers stopped/);
  });
});
