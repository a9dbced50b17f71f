/**
 * What a port of a network may say, with whole routers: a hostile container beside an honest one.
 */
import { execFileSync } from 'node:child_process';
import t, { type Test } from 'tap';
import type { LabContainer } from '../../../src/demo/lab.ts';
import { arp, ethernet, ipv4, udp } from '../../support/bytes.ts';
import { icmpv6ToAll, sendFrames } from '../../support/frames.ts';
import { skipLong } from '../../support/long.ts';
import { until } from '../../support/patience.ts';
import { killIfThere } from '../../support/processes.ts';
import { countersOf } from '../../support/target.ts';
import { statusOf } from '../lab-router.ts';
import { type NetworkLab, networkOf, ping, plug, run, skipWithoutPing, startHosts } from './lab.ts';

const [HOSTILE, HONEST, FAR] = [0x0200_0000_0001, 0x0200_0000_0002, 0x0200_0000_0003];
const textOf = (mac: number): string => `02:00:00:00:00:0${mac & 15}`;
const [IP_HOSTILE, IP_HONEST, IP_FAR] = [0x0a01_0001, 0x0a01_0002, 0x0a01_0003];
const BROADCAST = 0xffff_ffff_ffff;
const BRIDGE = 'br-blue';
const PORT_MACS = 1024;
/** Less than any queue of the kernel on their way has room for. */
const PORTION = 500;
const TAKEN_MS = 1000;
/** A machine that is overrun answers late: only what never comes is lost. */
const PATIENT = ['-W', '10'];

type Counters = Record<string, number>;

async function dropsOf({ lab }: NetworkLab, host = 0): Promise<Counters> {
  const text = await run(lab.host(host), 'counters', '--json');
  return (JSON.parse(text) as Record<string, Counters>)[BRIDGE] ?? {};
}

async function say(from: LabContainer, frames: readonly Buffer[]): Promise<void> {
  const { index } = await from.netlink.link('eth0');
  from.run(() => sendFrames(index, frames));
}

/**
 * Says many of them, the next ones once the router has taken those before: it is not to be the kernel's queues,
 * on a machine where nobody reads them just now, that lose what others say.
 */
async function flood({ lab }: NetworkLab, frames: readonly Buffer[]): Promise<void> {
  const taken = async () => (await countersOf(lab.host(0)))['egress.received'] ?? 0;
  for (let from = 0; from < frames.length; from += PORTION) {
    const portion = frames.slice(from, from + PORTION);
    const before = await taken();
    await say(lab.container(0, 0), portion);
    const deadline = performance.now() + TAKEN_MS;
    while ((await taken()) < before + portion.length && performance.now() < deadline);
  }
}

const toFar = (source: number, mac: number): Buffer => {
  const ends = { source, destination: IP_FAR };
  return ethernet(FAR, mac, 0x0800, ipv4(ends, udp(ends, { destinationPort: 9 })));
};
const anyone = { source: IP_HOSTILE, destination: 0xffff_ffff };
const offer = ethernet(
  BROADCAST,
  HOSTILE,
  0x0800,
  ipv4(anyone, udp(anyone, { sourcePort: 67, destinationPort: 68 }, Buffer.alloc(244, 2))),
);
const spoof = ethernet(
  BROADCAST,
  HOSTILE,
  0x0806,
  arp({ operation: 2, senderMac: HOSTILE, sender: IP_FAR, target: IP_FAR }),
);
/** To a group that the next switch keeps for itself (IEEE 802.1D §7.12.6): its bridge passes it on. */
const bpdu = Buffer.concat([
  Buffer.from('0180c2000000', 'hex'),
  Buffer.from('020000000001', 'hex'),
  Buffer.from('0026424203000000', 'hex'),
  Buffer.alloc(46),
]);

/** What is said, and where it ends. */
const REFUSED: readonly [string, readonly Buffer[], string][] = [
  ['the address of another one', [toFar(IP_FAR + 0x50, HOSTILE)], 'egress.drop.foreign_source'],
  ['ARP for the address of another one', [spoof], 'egress.drop.foreign_source'],
  ['a BPDU', [bpdu], 'egress.drop.control_protocol'],
  ['a router advertisement', [icmpv6ToAll(134, HOSTILE)], 'egress.drop.rogue_router'],
  ['a DHCP offer', [offer], 'egress.drop.rogue_dhcp'],
];

t.test(
  'a hostile container behind a strict port',
  { skip: skipWithoutPing || skipLong },
  async (t) => {
    const at = await startHosts(t, { hosts: 2, containersPerHost: 2, ipv6: true });
    const { lab, hosts } = at;
    const words = ['--guard', 'strict', '--bum', 'replicate'];
    for (const host of hosts) {
      await run(host, 'net', 'add', 'blue', '--vni', '100', '--underlay', 'eth0/16', ...words);
    }
    const [hostile, honest, far] = [lab.container(0, 0), lab.container(0, 1), lab.container(1, 0)];
    for (const [container, mac, address] of [
      [hostile, HOSTILE, IP_HOSTILE],
      [honest, HONEST, IP_HONEST],
      [far, FAR, IP_FAR],
    ] as const) {
      container.setIpv6(false);
      await plug(container, BRIDGE, textOf(mac), address);
    }
    for (const from of [hostile, honest]) {
      await until('it is known', 5000, async () => (await ping(from, '10.1.0.3')) === 1);
    }
    await until('everybody is known', 5000, async () => {
      const { macs, addresses } = await networkOf(lab.host(1), 'blue');
      return macs.remote >= 2 && addresses >= 3;
    });
    for (const [what, frames, counter] of REFUSED)
      await isRefused(t, at, { what, frames, counter });
    t.match(await run(lab.host(1), 'arp', 'blue'), new RegExp(`10\\.1\\.0\\.3 +${textOf(FAR)}`));
    // Behind one bridge the bridge alone decides: what was said there is in the caches of its containers.
    honest.run(() => execFileSync('ip', ['neigh', 'flush', 'dev', 'eth0']));
    await floods(t, at);
    await spoofs(t, at);
  },
);

async function isRefused(
  t: Test,
  at: NetworkLab,
  { what, frames, counter }: { what: string; frames: readonly Buffer[]; counter: string },
): Promise<void> {
  const hostile = at.lab.container(0, 0);
  const before = await dropsOf(at);
  await say(hostile, frames);
  await until(`${what} ends at ${counter}`, 5000, async () => {
    return ((await dropsOf(at))[counter] ?? 0) > (before[counter] ?? 0);
  });
  t.pass(`${what}: ${counter}`);
}

/** What is said in the name of the container next door ends on the bridge, and is no move. */
async function spoofs(t: Test, { lab }: NetworkLab): Promise<void> {
  const host = lab.host(0);
  const [hostile, honest, far] = [lab.container(0, 0), lab.container(0, 1), lab.container(1, 0)];
  const portOfHonest = (): string | undefined => {
    const fdb = execFileSync('bridge', ['fdb', 'show', 'br', BRIDGE], { encoding: 'utf8' });
    return new RegExp(`${textOf(HONEST)} dev (\\S+)`).exec(fdb)?.[1];
  };
  const stopped = (): number => {
    const table = host.run(() => execFileSync('nft', ['list', 'ruleset'], { encoding: 'utf8' }));
    return Number(/chain stopped \{\s+counter packets (\d+)/.exec(table)?.[1] ?? 0);
  };
  const isStopped = async (what: string): Promise<void> => {
    await until(what, 10_000, async () => {
      const before = stopped();
      await say(hostile, [toFar(IP_HONEST, HONEST)]);
      return stopped() > before;
    });
    t.equal(host.run(portOfHonest), honest.hostEnd, `${what}: the bridge has learned nothing`);
  };
  await isStopped("a neighbour's MAC is not taken");
  await until(
    'whose it is has it',
    5000,
    async () => (await ping(far, '10.1.0.2', 3, ...PATIENT)) === 3,
  );
  const history = await run(host, 'mac', 'history', textOf(HONEST), '--json');
  t.match(JSON.parse(history), [{ host: '', sequence: 0 }], 'nobody has moved');
  await until('status says so', 10_000, async () => {
    const { notes } = await networkOf(host, 'blue');
    return /frames with the MAC of another port were stopped/.test(notes.join());
  });

  const { pid } = await statusOf(host);
  killIfThere(pid);
  await until('control is there again', 10_000, async () => {
    return (await statusOf(host).catch(() => ({ pid }))).pid !== pid;
  });
  await isStopped('nor after control was killed');
  host.run(() => execFileSync('nft', ['flush', 'ruleset']));
  await until('what somebody flushed is there again', 10_000, async () => {
    const { repaired } = await networkOf(host, 'blue');
    return /binding of MACs/.test(repaired.map(({ what }) => what).join());
  });
  // Whoever speaks first has the MAC: here its owner does.
  await until('its owner does', 5000, async () => (await ping(honest, '10.1.0.3')) === 1);
  await isStopped('and holds');

  await honest.detach();
  await plug(honest, BRIDGE, textOf(HONEST), IP_HONEST);
  await until('a container may come back behind another port', 5000, async () => {
    return (await ping(honest, '10.1.0.3')) === 1;
  });
}

/** Floods of broadcasts and of MACs stay the container's own trouble. */
async function floods(t: Test, at: NetworkLab): Promise<void> {
  const { lab } = at;
  const [hostile, honest] = [lab.container(0, 0), lab.container(0, 1)];
  const any = { source: IP_HOSTILE, destination: 0xffff_ffff };
  const broadcast = ethernet(
    ...([BROADCAST, HOSTILE, 0x0800] as const),
    ipv4(any, udp(any, { destinationPort: 9 })),
  );
  const before = await dropsOf(at);
  const answered = ping(honest, '10.1.0.3', 10, ...PATIENT);
  await flood(
    at,
    Array.from({ length: 6000 }, () => broadcast),
  );
  t.ok((await answered) >= 9, 'nobody else suffers by a flood of broadcasts');
  const limited = (counters: Counters): number => counters['egress.drop.flood_limited'] ?? 0;
  await until('broadcasts are limited', 5000, async () => {
    if (limited(await dropsOf(at)) > limited(before)) return true;
    // So slow a machine that none was too many yet.
    await say(
      hostile,
      Array.from({ length: 2000 }, () => broadcast),
    );
    return false;
  });
  const macs = Array.from({ length: 3000 }, (_, i) => toFar(IP_HOSTILE, 0x0600_0000_0000 + i));
  const meanwhile = ping(honest, '10.1.0.3', 10, ...PATIENT);
  await flood(at, macs);
  t.ok((await meanwhile) >= 9, 'nor by a flood of MACs');
  await until('the port has its end', 10_000, async () => {
    return (await networkOf(lab.host(0), 'blue')).macs.refused > 0;
  });
  const { macs: counts, notes } = await networkOf(lab.host(0), 'blue');
  t.ok(counts.local <= PORT_MACS + 3, `${counts.local} MACs are known here`);
  // Behind a strict port it has its address again when it speaks for it.
  hostile.run(() => execFileSync('ip', ['neigh', 'flush', 'dev', 'eth0']));
  await until('who gave its place to an invented one has it again', 10_000, async () => {
    const there = await ping(hostile, '10.1.0.3');
    return (
      there === 1 && /02:00:00:00:00:01 +here/.test(await run(lab.host(0), 'mac', 'show', 'blue'))
    );
  });
  // Others may stand beside it: what the audit finds meanwhile, addresses that were claimed twice.
  t.match(notes.join('\n'), /MACs were more than a port or the network may have/);
}
