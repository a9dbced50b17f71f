/**
 * A bottleneck of 100 Mb/s on the way, and what waits there: a ping beside one bulk stream, a call of 50
 * packets a second beside eight, and whether sixteen equal streams get equal shares. Kernel VXLAN and
 * fanway without a rate leave the queue to the bottleneck; with one it stands in the tunnel.
 * @module
 */
import { spreadOf } from '../src/measure/statistics.ts';
import { runTcpPair, startTraffic } from '../src/traffic/run.ts';
import type { Extra } from './extras.ts';
import type { ExtraTable } from './results.ts';
import { buildScene, NARROW } from './scene.ts';
import { fanwayWith, NotAvailable, type Tunnel, type Variant, variants } from './variants.ts';

const ROUNDS = 2;
const PORT = 5001;
const CALL_PORT = 5004;
const SECONDS = 4;
/** The stream has found its speed, and a rate of its own choice has found the bottleneck, s. */
const SETTLE_SECONDS = 3;
const IDLE_SECONDS = 1.5;
/** The load goes on for so long after what is beside it, s. */
const LAST_SECONDS = 0.5;
const PING_MS = 10;
const CALL = { size: 172, rate: 50 };
const BULK = 8;
const EQUAL = 16;

const compared: readonly Variant[] = [
  ...variants.filter(({ key }) => key === 'kernel' || key === 'vxlan'),
  fanwayWith('rate', `fanway vxlan, --rate ${NARROW.rate * 0.95}M`, [
    '--rate',
    `${NARROW.rate * 0.95}M`,
  ]),
  fanwayWith('auto', 'fanway vxlan, --rate auto', ['--rate', 'auto']),
];

const COLUMNS = [
  'idle ping p50, ms',
  'p99',
  'p50 beside 1 stream',
  'p99',
  'goodput, Mb/s',
  'call beside 8: p99, ms',
  'lost, %',
  "Jain's index of 16",
] as const;
type Figures = readonly number[];

/** Jain's index: 1 = all equal, 1/n = one has everything. */
export function jainsIndex(shares: readonly number[]): number {
  const sum = shares.reduce((total, share) => total + share, 0);
  const squares = shares.reduce((total, share) => total + share * share, 0);
  return squares === 0 ? 0 : (sum * sum) / (shares.length * squares);
}

function sleep(seconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, seconds * 1000));
}

async function ping({ containerA: from, containerAddressB: targets }: Tunnel, seconds: number) {
  const program = startTraffic(from, 'echo', {
    ...{ targets, interval: PING_MS, timeout: 2000, seconds, count: 1_000_000 },
  });
  const { targets: all } = await program.result;
  const [target] = all;
  if (target === undefined || target.received === 0) throw new Error('no ping was answered');
  return target.rtt;
}

/** Bulk TCP from container to container; `beside` runs once it has settled. */
async function bulk<T>(tunnel: Tunnel, streams: number, beside: () => Promise<T>) {
  const path = {
    from: tunnel.containerA,
    to: tunnel.containerB,
    address: tunnel.containerAddressB,
  };
  const seconds = SETTLE_SECONDS + SECONDS + LAST_SECONDS;
  const tcp = runTcpPair(path, { port: PORT, seconds, streams });
  await sleep(SETTLE_SECONDS);
  const besides = await beside();
  return { tcp: (await tcp).received, besides };
}

async function call({ containerA: from, containerB: to, containerAddressB }: Tunnel) {
  const common = { port: CALL_PORT, size: CALL.size, flows: 1 };
  const listener = startTraffic(to, 'udp-receive', {
    listen: containerAddressB,
    ...common,
    seconds: 60,
  });
  await listener.ready;
  const caller = startTraffic(from, 'udp-send', {
    ...{ connect: containerAddressB, ...common, rate: CALL.rate, seconds: SECONDS },
  });
  const { sent } = await caller.result;
  const { received, latency } = await listener.finish();
  return { lost: (1 - received / Math.max(1, sent)) * 100, p99Ms: latency.p99Us / 1000 };
}

async function measure(tunnel: Tunnel): Promise<Figures> {
  const idle = await ping(tunnel, IDLE_SECONDS);
  const one = await bulk(tunnel, 1, () => ping(tunnel, SECONDS));
  const eight = await bulk(tunnel, BULK, () => call(tunnel));
  const equal = await bulk(tunnel, EQUAL, async () => {});
  return [
    ...[
      idle.p50Us / 1000,
      idle.p99Us / 1000,
      one.besides.p50Us / 1000,
      one.besides.p99Us / 1000,
      one.tcp.gbps * 1000,
    ],
    ...[eight.besides.p99Ms, eight.besides.lost],
    jainsIndex(equal.tcp.streams.map(({ bytes }) => bytes)),
  ];
}

async function run(): Promise<ExtraTable | string> {
  const scene = await buildScene('narrow');
  if (typeof scene === 'string') return scene;
  const figures = new Map<string, Figures[]>(compared.map(({ key }) => [key, []]));
  const absent: string[] = [];
  try {
    for (let round = 0; round < ROUNDS; round += 1) {
      for (const variant of compared) {
        let tunnel: Tunnel;
        try {
          tunnel = await variant.start(scene);
        } catch (error) {
          if (!(error instanceof NotAvailable)) throw error;
          absent.push(`${variant.title}: ${error.message}`);
          continue;
        }
        try {
          figures.get(variant.key)?.push(await measure(tunnel));
        } finally {
          await tunnel.stop();
        }
      }
    }
  } finally {
    scene.close();
  }
  return {
    title: `A bottleneck of ${NARROW.rate} Mb/s`,
    note: `tbf with ${NARROW.latency} of queue on the underlay; container to container; medians of ${ROUNDS} rounds. ${absent.join('; ')}`.trim(),
    columns: ['', ...COLUMNS],
    rows: compared.map(({ key, title }) => [
      title,
      ...COLUMNS.map((_, i) =>
        medianText(
          (figures.get(key) ?? []).map((row) => row[i] ?? 0),
          i,
        ),
      ),
    ]),
  };
}

function medianText(values: readonly number[], column: number): string {
  const spread = spreadOf([...values]);
  if (spread === undefined) return '-';
  return spread.median.toFixed(column === COLUMNS.length - 1 ? 3 : 1);
}

export const bottleneck: Extra = { key: 'bottleneck', slow: true, run };
