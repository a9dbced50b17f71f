/**
 * Several underlays, each a link of 1 Gb/s (tbf at both ends): what each mode makes of 1, 4 and 16 TCP
 * streams over two and four of them, beside one alone and, where this kernel has one, beside its bond under
 * VXLAN; and what 16 streams and probes beside them meet when a cable is pulled.
 * @module
 */
import { spawnSync } from 'node:child_process';
import { Lab, type LabHost } from '../src/demo/lab.ts';
import { runFanway } from '../src/demo/router.ts';
import { formatIpv4 } from '../src/net/ipv4.ts';
import type { XmitHashPolicy } from '../src/net/underlay-modes.ts';
import { nowNs } from '../src/traffic/base/clock.ts';
import { startTraffic } from '../src/traffic/run.ts';
import { addUnderlays, portOn } from '../test/control/underlays/lab.ts';
import { attach, BRIDGE, OVERLAY, statusOf } from '../test/faults/rig.ts';
import { BOND_MODES, hasBond, withBond } from './bond.ts';
import type { Extra } from './extras.ts';
import type { ExtraTable } from './results.ts';
import { Probes, sentBytes, sleep, startLoad } from './underlay-load.ts';

/** Of each link, Mb/s. */
const LINK_MBITS = Number(process.env['FANWAY_BENCH_LINK_MBITS'] ?? 1000);
/** Which rows are measured, by their numbers of underlays and titles. */
const ONLY = new RegExp(process.env['FANWAY_BENCH_LINK_MODES'] ?? '');
const STREAMS = [1, 4, 16] as const;
const MOST_STREAMS = Math.max(...STREAMS);
/** How long each figure is measured, and what streams have before it to find their speed. */
const SECONDS = Number(process.env['FANWAY_BENCH_LINK_SECONDS'] ?? 3);
const WARM_SECONDS = SECONDS / 3;
/** A bucket of tbf: two milliseconds, and more than one packet. Trains that are longer are cut. */
const BURST_BYTES = Math.max(20_000, LINK_MBITS * 250);
/** Room for some packets of each stream on slow links too. */
const QUEUE_MS = Math.max(20, Math.ceil((MOST_STREAMS * 4 * 1500 * 8) / (LINK_MBITS * 1000)));
/** What commands take between two looks on a slow machine: streams must not end before the second. */
const SLACK_SECONDS = 4;
const READY_MS = 60_000;
const MTU = 1500;
const JUMBO_MTU = 9000;
/** Slower links are those of a slow machine, where a bond is what counts. */
const JUMBO_MBITS_MIN = 1000;
const ETHERNET_BYTES = 14;
/** What stands before TCP's payload inside: VXLAN over IPv4, the inner Ethernet, IPv4 and TCP with time stamps. */
const HEADER_BYTES = 50 + 20 + 32;

const mbitsText = (mbits: number): string => mbits.toFixed(LINK_MBITS < 100 ? 1 : 0);

type Within = (work: () => Promise<void>) => Promise<void>;
type Mode = { title: string; words: string[] };

function xor(policy: XmitHashPolicy): Mode {
  return {
    title: `balance-xor, ${policy}`,
    words: ['--underlay-mode', 'balance-xor', '--xmit-hash-policy', policy],
  };
}

const BY_PORTS = xor('layer3+4');
/** These keep two containers to one underlay, of four as of two. */
const ONE_UNDERLAY = /active-backup|layer2(\+3)?$|latency/;
const MODES: readonly Mode[] = [
  { title: 'active-backup', words: [] },
  ...(['layer2', 'layer2+3'] as const).map(xor),
  BY_PORTS,
  { title: 'balance-rr', words: ['--underlay-mode', 'balance-rr'] },
  { title: 'latency', words: ['--underlay-mode', 'latency'] },
];

/** Slows what a host sends on each of its underlays; a sentence when this machine cannot. */
function shape(host: LabHost, underlays: number): string | undefined {
  for (let i = 0; i < underlays; i++) {
    const how = ['tbf', 'rate', `${LINK_MBITS}mbit`, 'burst', `${BURST_BYTES}`];
    const args = ['qdisc', 'add', 'dev', `eth${i}`, 'root', ...how, 'latency', `${QUEUE_MS}ms`];
    const result = host.run(() => spawnSync('tc', args));
    if (result.status !== 0) return `tc refused a tbf: ${result.stderr?.toString().trim() ?? ''}`;
  }
  return undefined;
}

/** Waits until all ways are known to both hosts, while packets go. */
async function ready(lab: Lab, underlays: number): Promise<void> {
  const targets = formatIpv4(lab.container(1).address);
  const echo = startTraffic(lab.container(0), 'echo', {
    ...{ targets, interval: 20, timeout: 1000, seconds: READY_MS / 1000, count: 1_000_000 },
  });
  try {
    const deadlineMs = performance.now() + READY_MS;
    for (const host of lab.hosts) {
      for (;;) {
        const [link] = (await statusOf(host)).links;
        const used = (link?.underlays ?? []).filter(({ peers }) => peers.some((one) => one.used));
        if (used.length === underlays) break;
        if (performance.now() > deadlineMs)
          throw new Error(`${host.name} does not use all of them`);
        await sleep(50);
      }
    }
  } finally {
    echo.kill();
  }
}

/** Goodput of so many streams once they have found their speed, Mb/s. */
async function goodput(lab: Lab, streams: number): Promise<number> {
  const load = await startLoad(lab, streams, SECONDS + WARM_SECONDS + READY_MS / 1000);
  try {
    const fromNs = load.startNs + WARM_SECONDS * 1e9;
    const toNs = fromNs + SECONDS * 1e9;
    // What was told of it may come a little later.
    await sleep((toNs - nowNs()) / 1e6 + 200);
    return load.mbits(fromNs, toNs);
  } finally {
    await load.kill();
  }
}

/**
 * 16 streams, and the cable that carries most is pulled: goodput before and after, and the longest gap of a flow of
 * probes. At one end, the sender's, the other host still has a carrier; at both it is as a cable between the two.
 */
async function pulled(lab: Lab, underlays: number, ends: 1 | 2): Promise<string> {
  const [host, { netlink }] = [lab.host(0), lab.middle];
  const probes = await Probes.start(lab);
  let ports: string[] = [];
  try {
    const seconds = 2 * (WARM_SECONDS + SECONDS) + SLACK_SECONDS;
    const load = await startLoad(lab, MOST_STREAMS, seconds);
    const before = sentBytes(host, underlays);
    await sleep((WARM_SECONDS + SECONDS) * 1000);
    const sent = sentBytes(host, underlays).map((bytes, i) => bytes - (before[i] ?? 0));
    const busiest = sent.indexOf(Math.max(...sent));
    ports = lab.hosts.slice(0, ends).map((one) => portOn(busiest, one));
    const pulledNs = nowNs();
    for (const port of ports) await netlink.setLink(port, { up: false });
    await sleep(SECONDS * 1000);
    const endNs = nowNs();
    const [isWhole] = await Promise.all([load.end(), probes.end()]);
    const first = load.mbits(pulledNs - SECONDS * 1e9, pulledNs);
    const then = load.mbits(endNs - (SECONDS - WARM_SECONDS) * 1e9, endNs);
    const [quiet, gap] = [
      probes.longestGap(pulledNs - SECONDS * 1e9, pulledNs),
      probes.longestGap(pulledNs, endNs),
    ];
    const hang = isWhole ? '' : ', streams hang';
    return `${mbitsText(first)}, ${mbitsText(then)}; ${gap.toFixed(0)} ms (${quiet.toFixed(0)})${hang}`;
  } finally {
    probes.kill();
    for (const port of ports) await netlink.setLink(port, { up: true });
  }
}

const where = (underlays: number): string =>
  Array.from({ length: underlays }, (_, i) => `eth${i}/16`).join(',');

async function withFan<T>(
  lab: Lab,
  underlays: number,
  words: readonly string[],
  run: () => Promise<T>,
): Promise<T> {
  const up = ['up', OVERLAY, where(underlays), 'bridge', BRIDGE, ...words];
  try {
    for (const host of lab.hosts) {
      await runFanway(host, up);
      await attach(host);
    }
    if (underlays > 1) await ready(lab, underlays);
    return await run();
  } finally {
    for (const host of lab.hosts) {
      await runFanway(host, ['down', '-e', '--force']);
      for (const container of host.containers) await container.detach();
      if ((await host.netlink.findLink(BRIDGE)) !== undefined) {
        await host.netlink.deleteLink(BRIDGE);
      }
    }
  }
}

/** Rows of the table, each told as soon as it is there. What does not work is said in its place. */
class Table {
  readonly rows: string[][] = [];

  async measure(lab: Lab, title: string, underlays: number, within: Within): Promise<void> {
    if (!ONLY.test(`${underlays} ${title}`)) return;
    const cells: string[] = [];
    try {
      await within(async () => {
        for (const streams of STREAMS) cells.push(mbitsText(await goodput(lab, streams)));
        for (const ends of [1, 2] as const) {
          cells.push(underlays > 1 ? await pulled(lab, underlays, ends) : '');
        }
      });
    } catch (error) {
      cells.push(error instanceof Error ? error.message : String(error));
    }
    const row = [String(underlays), title, ...cells];
    this.rows.push(row);
    process.stderr.write(`  ${row.join('  ')}\n`);
  }
}

/** Two hosts with `count` underlays of this MTU; a sentence when this machine cannot slow them. */
async function withLab(
  mtu: number,
  count: number,
  run: (lab: Lab) => Promise<void>,
): Promise<string | undefined> {
  const lab = await Lab.create({ hosts: 2, mtu });
  try {
    await addUnderlays(lab, count - 1, lab.hosts, mtu);
    for (const host of lab.hosts) {
      const refused = shape(host, count);
      if (refused !== undefined) return refused;
    }
    await run(lab);
    return undefined;
  } finally {
    lab.close();
  }
}

function note(bonds: number): string {
  const most = [MTU, JUMBO_MTU].map((mtu) =>
    mbitsText(((mtu - HEADER_BYTES) / (mtu + ETHERNET_BYTES)) * LINK_MBITS),
  );
  return [
    `TCP from container to container, ${SECONDS} s each once it flows, goodput in Mb/s; tbf at both ends of each underlay counts whole frames, so a link carries at most ${most[0]} Mb/s of payload, ${most[1]} with an MTU of ${JUMBO_MTU}.`,
    `A cable out: ${MOST_STREAMS} streams, and the cable that carries most is pulled, at the sender's end or at both; Mb/s before and after, how long one of several flows of probes beside them had no answer at most, and in brackets how long before that.`,
    bonds > 0
      ? `The kernel's bond (miimon 100) is under VXLAN.`
      : "This kernel has no bond to stand beside (no module 'bonding').",
  ].join(' ');
}

async function run(): Promise<ExtraTable | string> {
  const table = new Table();
  const bonds = hasBond() ? BOND_MODES : [];
  const fan = (lab: Lab, underlays: number, { title, words }: Mode) =>
    table.measure(lab, title, underlays, (work) => withFan(lab, underlays, words, work));
  const refused =
    (await withLab(MTU, 4, async (lab) => {
      await fan(lab, 1, { title: 'one underlay', words: [] });
      for (const underlays of [2, 4]) {
        const isMeant = ({ title }: { title: string }): boolean =>
          underlays < 4 || !ONE_UNDERLAY.test(title);
        for (const mode of MODES.filter(isMeant)) await fan(lab, underlays, mode);
        for (const mode of bonds.filter(isMeant)) {
          const within: Within = (work) => withBond(lab, underlays, mode, work);
          await table.measure(lab, mode.title, underlays, within);
        }
      }
    })) ??
    (LINK_MBITS < JUMBO_MBITS_MIN
      ? undefined
      : await withLab(JUMBO_MTU, 2, async (lab) => {
          await fan(lab, 2, { ...BY_PORTS, title: `${BY_PORTS.title}, MTU ${JUMBO_MTU}` });
        }));
  if (refused !== undefined) return refused;
  return {
    title: `Several underlays of ${LINK_MBITS} Mb/s each`,
    note: note(bonds.length),
    columns: [
      'underlays',
      'mode',
      ...STREAMS.map((count) => `${count} ${count === 1 ? 'stream' : 'streams'}`),
      'a cable out at one end',
      'at both',
    ],
    rows: table.rows,
  };
}

export const underlays: Extra = { key: 'underlays', slow: true, run };
