/**
 * `fanway flows`: who talks most through the tunnel, and whose packets are dropped.
 * @module
 */
import { countersCall } from '../../api/counters.ts';
import type { DropStatus } from '../../api/status.ts';
import { bitsText } from '../../config/link/bits.ts';
import { ask } from '../../control/admin/admin-client.ts';
import { type CaptureFilter, parseFilter } from '../../control/capture/filter.ts';
import { type Flow, type LinkFlows, lostShare, watchFlows } from '../../control/capture/flows.ts';
import { dropsOf, growth } from '../../control/plane/drops.ts';
import { RunDirectory } from '../../control/store/run-directory.ts';
import { ExitCode, FanwayError, refusedError, usageError } from '../../errors.ts';
import { renderTable } from '../../measure/table.ts';
import { hasCapability } from '../../sys/process/capabilities.ts';
import { progressTo } from '../verb/progress.ts';
import { counted } from '../verb/quantities.ts';
import { type Io, noMore, printJson, takeFlags, type Verb } from '../verb/verb.ts';
import { linksOf, type ShownLink } from './capture.ts';

const SECONDS_DEFAULT = 5;
const SECONDS_MAX = 3600;
const COUNT_DEFAULT = 20;
const COUNT_MAX = 8192;
const PROTOCOL_NAMES = new Map<number, string>([
  [1, 'icmp'],
  [6, 'tcp'],
  [17, 'udp'],
  [58, 'icmp6'],
  [132, 'sctp'],
]);

/** One flow. Rates are bits a second of what the transport carries; null = not known. */
export type FlowReport = {
  protocol: string;
  here: string;
  there: string;
  outBits: number;
  inBits: number;
  outPackets: number;
  inPackets: number;
  /** Shares of what this host's router dropped, 0 to 1, out and in. */
  outLost: number | null;
  inLost: number | null;
};

export type FlowsReport = {
  link: string;
  seconds: number;
  flows: FlowReport[];
  /** Flows in all, and packets of those that were too many to be told apart. */
  all: number;
  untold: number;
  /** Packets that were missed, so that nothing is said of losses. */
  missed: number;
  /** What the router of this host dropped meanwhile, most first; `cause` is '' where it says nothing. */
  drops: DropStatus[];
};

function flowReport(flow: Flow, seconds: number, isWhole: boolean): FlowReport {
  const { protocol, here, there, inside, outside } = flow;
  const egress = inside.egress.packets > 0 ? inside.egress : outside.egress;
  const ingress = outside.ingress.packets > 0 ? outside.ingress : inside.ingress;
  return {
    ...{ protocol: PROTOCOL_NAMES.get(protocol) ?? String(protocol), here, there },
    outBits: Math.round((egress.bytes * 8) / seconds),
    inBits: Math.round((ingress.bytes * 8) / seconds),
    outPackets: egress.packets,
    inPackets: ingress.packets,
    outLost: isWhole ? lostShare(flow, 'egress') : null,
    inLost: isWhole ? lostShare(flow, 'ingress') : null,
  };
}

/** The flows that carried most, or lost most. */
export function flowsReport(
  { spec, table, missed }: LinkFlows,
  seconds: number,
  options: { count: number; byLoss: boolean; drops: DropStatus[] },
): FlowsReport {
  const all = [...table.flows()].map((flow) => flowReport(flow, seconds, missed === 0));
  const lost = ({ outLost, inLost, outBits, inBits, outPackets, inPackets }: FlowReport): number =>
    (outLost ?? 0) * (outBits + outPackets) + (inLost ?? 0) * (inBits + inPackets);
  const load = ({ outBits, inBits, outPackets, inPackets }: FlowReport): number =>
    outBits + inBits + outPackets + inPackets;
  const flows = all
    .filter((flow) => !options.byLoss || lost(flow) > 0)
    .sort((a, b) => (options.byLoss ? lost(b) - lost(a) : load(b) - load(a)))
    .slice(0, options.count);
  return {
    ...{ link: spec.name, seconds, flows, all: all.length, untold: table.untold },
    ...{ missed, drops: options.drops },
  };
}

function lostText(share: number | null): string {
  if (share === null) return '?';
  return share === 0 ? '' : `${Math.max(1, Math.round(share * 100))} %`;
}

/** The flows as a table, and what was dropped under it. */
export function flowsText(report: FlowsReport): string {
  const { link, seconds, flows, all, missed, untold, drops } = report;
  const right = (title: string) => ({ title, align: 'right' as const });
  const columns = [
    ...['', 'here', 'there'].map((title) => ({ title })),
    ...['out', 'lost', 'in', 'lost'].map(right),
  ];
  const rows = flows.map((flow) => [
    ...[flow.protocol, flow.here, flow.there],
    ...[bitsText(flow.outBits), lostText(flow.outLost)],
    ...[bitsText(flow.inBits), lostText(flow.inLost)],
  ]);
  const lines = [
    `${link}: ${counted(all, 'flow')} in ${seconds.toFixed(1)} s${flows.length < all ? `, ${flows.length} of them` : ''}`,
    ...(flows.length === 0 ? [] : [renderTable(columns, rows)]),
    ...(untold === 0 ? [] : [`${counted(untold, 'packet')} of flows beyond those`]),
    ...(missed === 0
      ? []
      : [`${counted(missed, 'packet')} too fast to be seen: figures are too low`]),
    ...drops.map(
      ({ counter, count, cause }) =>
        `dropped here: ${counter} ${count}${cause === '' ? '' : `: ${cause}`}`,
    ),
  ];
  return `${lines.join('\n')}\n`;
}

function wholeFlag(
  flags: ReadonlyMap<string, string>,
  name: string,
  most: number,
  or: number,
): number {
  const text = flags.get(name);
  if (text === undefined) return or;
  const value = /^[0-9]{1,6}$/.test(text) ? Number(text) : 0;
  if (value >= 1 && value <= most) return value;
  throw usageError('usage', `${name} is a whole number from 1 to ${most}`);
}

type Look = {
  specs: ShownLink[];
  filter: CaptureFilter | undefined;
  seconds: number;
  shown: { count: number; byLoss: boolean };
};

/** Looks, and puts together what was seen and what was dropped meanwhile. */
async function look(run: RunDirectory, wanted: Look, io: Io): Promise<FlowsReport[]> {
  let isStopped = false;
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      isStopped = true;
    });
  }
  const progress = progressTo(io);
  if (process.stderr.isTTY) progress.step(`looking for ${wanted.seconds} s`);
  const before = await ask(run, countersCall);
  const startMs = performance.now();
  const isOver = (): boolean => isStopped || performance.now() - startMs >= wanted.seconds * 1000;
  const seen = await watchFlows(wanted.specs, wanted.filter, isOver);
  const seconds = (performance.now() - startMs) / 1000;
  const after = await ask(run, countersCall);
  progress.end();
  return seen.map((link) => {
    const { name, encap, port, vni, underlay } = link.spec;
    const context = { encap, port, vni, underlay };
    const grown = growth(before[name] ?? {}, after[name] ?? {});
    const causes = new Map(dropsOf(grown, context).map(({ counter, cause }) => [counter, cause]));
    const drops = Object.entries(grown)
      .filter(([counter, count]) => counter.includes('.drop.') && count > 0)
      .sort(([, a], [, b]) => b - a)
      .map(([counter, count]) => ({ counter, count, cause: causes.get(counter) ?? '' }));
    return flowsReport(link, seconds, { ...wanted.shown, drops });
  });
}

export const flowsVerb: Verb = {
  name: 'flows',
  summary: 'who talks most through the tunnel, and whose packets are dropped here',
  details: [
    'Looks for some seconds at what passes the devices of the links and, encapsulated, the underlay:',
    'what goes into the router and does not come out was dropped by it. FILTER is that of capture.',
  ],
  usage: ['flows [FILTER...] [--link BRIDGE|NETWORK] [--seconds N] [--count N] [--lost] [--json]'],
  options: [
    ['--link BRIDGE|NETWORK', 'of this link only; all links otherwise'],
    ['--seconds N', `how long to look (default ${SECONDS_DEFAULT})`],
    ['--count N', `how many flows to show (default ${COUNT_DEFAULT})`],
    ['--lost', 'only those that lost something, most first'],
    ['--json', 'all figures as JSON'],
  ],
  examples: [
    ['fanway flows', 'the top talkers'],
    ["fanway flows --lost --seconds 30 'host 250.1.27.10'", 'what is dropped of one workload'],
  ],
  async run(args, io) {
    const { flags, rest } = takeFlags(args, {
      ...{ '--link': 'value', '--seconds': 'value', '--count': 'value' },
      ...{ '--lost': 'switch', '--json': 'switch' },
    });
    noMore(
      rest.filter((word) => word.startsWith('-')),
      flowsVerb,
    );
    const filter = rest.length === 0 ? undefined : parseFilter(rest.join(' '), 'inner');
    const wantedSeconds = wholeFlag(flags, '--seconds', SECONDS_MAX, SECONDS_DEFAULT);
    const count = wholeFlag(flags, '--count', COUNT_MAX, COUNT_DEFAULT);
    if (!hasCapability('NET_RAW')) {
      throw new FanwayError('not-permitted', 'flows needs CAP_NET_RAW: run it as root', {
        exitCode: ExitCode.NotPermitted,
      });
    }
    const run = new RunDirectory(io.env['FANWAY_RUN_DIR']);
    const wanted = flags.get('--link');
    const specs = (await linksOf(run))
      .filter(({ names }) => wanted === undefined || names.includes(wanted))
      .map(({ link }) => link);
    if (specs.length === 0) {
      const what = wanted ?? 'no link';
      throw refusedError(
        'not-configured',
        `${what}: not configured; see fanway show and fanway net show`,
      );
    }
    const shown = { count, byLoss: flags.has('--lost') };
    const reports = await look(run, { specs, filter, seconds: wantedSeconds, shown }, io);
    if (flags.has('--json')) printJson(io, reports);
    else io.out(reports.map(flowsText).join('\n'));
    return ExitCode.Ok;
  },
};
