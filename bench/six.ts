/**
 * IPv6 inside beside IPv4 inside: the same containers, the same fan, the same program, in turns.
 * @module
 */
import { addressOf, upBeside } from '../src/demo/dual-stack.ts';
import { Lab, type LabContainer } from '../src/demo/lab.ts';
import { runFanway } from '../src/demo/router.ts';
import { figure, spreadOf } from '../src/measure/statistics.ts';
import { formatIpv4 } from '../src/net/ipv4.ts';
import { startTraffic } from '../src/traffic/run.ts';
import { attach, BRIDGE, OVERLAY } from '../test/faults/rig.ts';
import type { Extra } from './extras.ts';

const ROUNDS = 7;
const BYTES = 2 ** 31;
const FIRST_PORT = 5100;
const FAMILIES = ['IPv4', 'IPv6'] as const;

type Ends = { from: string; to: string };

/** One stream between two containers, b/s. @throws Error when not all of it came */
async function stream(
  [from, to]: readonly [LabContainer, LabContainer],
  ends: Ends,
  port: number,
): Promise<number> {
  const server = startTraffic(to, 'six', { listen: ends.to, port, plain: true });
  try {
    await server.ready;
    const options = { from: ends.from, connect: ends.to, port, bytes: BYTES, plain: true };
    const { bytes, seconds, equal } = await startTraffic(from, 'six', options).result;
    if (!equal) throw new Error(`not all of ${bytes} bytes came`);
    return (bytes * 8) / seconds;
  } finally {
    server.kill();
  }
}

async function measure(lab: Lab): Promise<string[][]> {
  for (const host of lab.hosts) {
    await runFanway(host, ['up', OVERLAY, 'eth0/16', 'bridge', BRIDGE]);
    await attach(host);
  }
  await upBeside(lab.hosts, BRIDGE, 'eth0/16');
  const pair = [lab.container(0), lab.container(1)] as const;
  const [six, sixTo] = [await addressOf(pair[0]), await addressOf(pair[1])];
  const [four, fourTo] = pair.map(({ address }) => formatIpv4(address));
  const ends: Record<(typeof FAMILIES)[number], Ends> = {
    IPv4: { from: four ?? '', to: fourTo ?? '' },
    IPv6: { from: six, to: sixTo },
  };
  const rates: Record<(typeof FAMILIES)[number], number[]> = { IPv4: [], IPv6: [] };
  for (let round = 0; round < ROUNDS; round++) {
    for (const [index, family] of FAMILIES.entries()) {
      const port = FIRST_PORT + round * FAMILIES.length + index;
      rates[family].push(await stream(pair, ends[family], port));
    }
  }
  const row = (family: (typeof FAMILIES)[number]): string[] => {
    const { median = 0, min = 0, max = 0 } = spreadOf(rates[family]) ?? {};
    const gb = (bps: number): string => figure(bps / 1e9);
    return [`TCP over ${family}, 1 stream`, `${gb(median)} Gb/s (${gb(min)}-${gb(max)})`, '', ''];
  };
  const medianOf = (family: (typeof FAMILIES)[number]): number =>
    spreadOf(rates[family])?.median ?? 0;
  const ratio = medianOf('IPv6') / medianOf('IPv4');
  return [
    ...FAMILIES.map(row),
    ['IPv6 of IPv4', figure(ratio), '>= 0.95', ratio >= 0.95 ? 'reached' : 'NOT reached'],
  ];
}

export const six: Extra = {
  key: 'six',
  slow: true,
  async run() {
    const lab = await Lab.create({ hosts: 2, ipv6: true });
    try {
      const rows = await measure(lab);
      for (const row of rows) process.stderr.write(`  ${row.join('  ')}\n`);
      return {
        title: 'IPv6 inside beside IPv4 inside',
        note: `One TCP stream of ${BYTES / 2 ** 30} GiB from container to container of one fan with both families, by Node's own sockets, ${ROUNDS} rounds in turns.`,
        columns: ['figure', 'value', 'bar', ''],
        rows,
      };
    } finally {
      lab.close();
    }
  },
};
