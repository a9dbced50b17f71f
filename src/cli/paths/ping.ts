/**
 * `fanway ping HOST|ADDRESS`: the plain network and the tunnel to one host side by side, and which side
 * drops where something is lost.
 * @module
 */
import { countersCall } from '../../api/counters.ts';
import { fansCall, type RunningFan } from '../../api/fans.ts';
import { statusCall } from '../../api/status.ts';
import { farCountersCall, type LayerReport } from '../../api/test.ts';
import { ask } from '../../control/admin/admin-client.ts';
import { dropsOf, growth } from '../../control/plane/drops.ts';
import { lossesOf, type PathVerdict, verdictOf } from '../../control/probe/cause.ts';
import { OuterWatch, type TriedPort, tryPorts } from '../../control/probe/ports.ts';
import { SURVEY, Survey } from '../../control/probe/survey.ts';
import { RunDirectory } from '../../control/store/run-directory.ts';
import { ENCAPS, onTheWire } from '../../encap/encap.ts';
import { codeOf, ExitCode, refusedError, usageError } from '../../errors.ts';
import { renderTable } from '../../measure/table.ts';
import { formatHostAddress, isNoHost } from '../../net/underlay-address.ts';
import { progressTo } from '../verb/progress.ts';
import { counted } from '../verb/quantities.ts';
import { type Io, noMore, printJson, takeFlags, type Verb } from '../verb/verb.ts';
import { type Aim, aimsOf, type PingLink } from './ping-aims.ts';

const COUNT_DEFAULT = 10;
const COUNT_MAX = 1000;
const INTERVAL_MS = 100;

type Counters = Readonly<Record<string, number>>;

export type PingResult = {
  name: string;
  overlay: string;
  host: string;
  address: string;
  underlay: LayerReport;
  tunnel: LayerReport;
  /** Outer source ports; empty where the encapsulation has none. */
  ports: TriedPort[];
  verdict: PathVerdict;
};

/** What the far side counted so far; undefined where it cannot be asked. */
async function farCounters(
  run: RunDirectory,
  { member, link }: Aim,
): Promise<Counters | undefined> {
  if (member === undefined) return undefined;
  const overlay = link.far;
  return ask(run, farCountersCall, { member: member.id, overlay }).catch((error: unknown) => {
    if (['no-answer', 'no-gossip'].includes(codeOf(error))) return undefined;
    throw error;
  });
}

async function nearCounters(run: RunDirectory, { link }: Aim): Promise<Counters> {
  return (await ask(run, countersCall))[link.name] ?? {};
}

function dropContext({ encap, port, vni, underlay }: PingLink) {
  return { encap, port, vni, underlay };
}

/** Measures one way. */
async function ping(run: RunDirectory, aim: Aim, count: number, io: Io): Promise<PingResult> {
  const { link, fan, host, gateway, inside, member } = aim;
  const { local, underlayMtu, innerMtu, device } = link;
  const progress = progressTo(io);
  const [near, far] = [await nearCounters(run, aim), await farCounters(run, aim)];
  const watch = await OuterWatch.open(link, host);
  const options = {
    ...{ ...SURVEY, rounds: count, intervalMs: INTERVAL_MS },
    step: (text: string, round: number) => {
      watch?.read();
      if (process.stderr.isTTY) progress.step(text === '' ? `${round} of ${count}` : text);
    },
  };
  const target = { local, host, gateway, inside, device, underlayMtu, innerMtu };
  const survey = new Survey([target], options);
  let isStopped = false;
  const stop = (): void => {
    isStopped = true;
  };
  process.once('SIGINT', stop);
  try {
    const [measured] = await survey.run(() => isStopped);
    if (measured === undefined) throw new RangeError('one target, one result');
    watch?.read();
    const ports =
      fan === undefined ||
      typeof inside !== 'number' ||
      link.port === 0 ||
      measured.tunnel.received === 0 ||
      isStopped
        ? []
        : await tryPorts(fan, { from: fan.gateway, to: inside }, watch, options.timeoutMs);
    const grown = growth(near, await nearCounters(run, aim));
    const later = far === undefined ? undefined : await farCounters(run, aim);
    const farGrown = far === undefined || later === undefined ? undefined : growth(far, later);
    const { paths } = await ask(run, statusCall);
    const path = paths.find(({ peer }) => peer === formatHostAddress(host));
    const context = dropContext(link);
    const verdict = verdictOf({
      ...measured,
      overheadBytes: ENCAPS[link.encap].overheadBytes,
      wire: onTheWire(link.encap, link.port),
      nearDrops: lossesOf(dropsOf(grown, context)),
      farDrops: farGrown && lossesOf(dropsOf(farGrown, context)),
      farReceived: farGrown && (farGrown['ingress.received'] ?? 0),
      portUnreachable: (grown['event.port_unreachable'] ?? 0) > 0,
      ...{ left: watch?.left, back: watch?.back, member: member?.state ?? '' },
      segmentation: path?.segmentation ?? 'unknown',
    });
    return {
      ...{
        name: member?.name ?? '',
        overlay: link.title,
        host: formatHostAddress(host),
      },
      ...{
        address: formatHostAddress(inside),
        ...measured,
        ports,
        verdict: withPorts(verdict, ports),
      },
    };
  } finally {
    process.off('SIGINT', stop);
    progress.end();
    survey.close();
    watch?.close();
  }
}

/** Where some outer ports are silent and others are not, that is the cause. */
function withPorts(verdict: PathVerdict, ports: readonly TriedPort[]): PathVerdict {
  const silent = ports.filter(({ answered }) => answered === 0);
  if (silent.length === 0 || silent.length === ports.length) return verdict;
  const text = `of ${ports.length} outer source ports ${silent.length} get nothing back (${silent.map(({ port }) => port).join(', ')}): one of several ways between the hosts is broken, or a firewall picks ports`;
  return { isWell: false, text: verdict.isWell ? text : `${text}; ${verdict.text}` };
}

const right = (title: string) => ({ title, align: 'right' as const });

function layerRow(name: string, layer: LayerReport): string[] {
  const { sent, received, minMs, avgMs, maxMs, mtu, mtuMax, reordered } = layer;
  const time = (ms: number | null): string => (ms === null ? '-' : `${ms.toFixed(2)} ms`);
  const size = mtu === 0 ? '-' : mtu === mtuMax ? String(mtu) : `${mtu} of ${mtuMax}`;
  const loss = `${received}/${sent}`;
  return [name, loss, time(minMs), time(avgMs), time(maxMs), size, String(reordered)];
}

function portsText(ports: readonly TriedPort[]): string {
  if (ports.length === 0) return '';
  const answered = ports.filter((one) => one.answered > 0);
  if (ports.every(({ port }) => port === 0)) {
    return `outer ports: ${ports[0]?.answered ?? 0} of ${counted(ports[0]?.flows ?? 0, 'flow')} answered (root sees which)\n`;
  }
  if (answered.length === 0) return 'outer ports: not known: the far side answers no TCP\n';
  const all = ports.map(({ port }) => port);
  return `outer ports: ${answered.length} of ${ports.length} tried answer (${Math.min(...all)} to ${Math.max(...all)})\n`;
}

/** A table of both layers, and the verdict. */
export function pingText(result: PingResult): string {
  const { name, host, address, overlay, underlay, tunnel, ports, verdict } = result;
  const columns = ['', 'answered', 'least', 'average', 'most', 'largest packet', 'reordered'];
  const table = renderTable(
    columns.map((title, index) => (index === 0 ? { title } : right(title))),
    [layerRow(`underlay ${host}`, underlay), layerRow(`tunnel ${address}`, tunnel)],
  );
  const who = name === '' ? host : `${name} (${host})`;
  return `${who} in ${overlay}\n${table}\n${portsText(ports)}${verdict.text}\n`;
}

export const pingVerb: Verb = {
  name: 'ping',
  summary: 'the plain network and the tunnel to one host, side by side, and which side drops',
  usage: ['ping HOST|ADDRESS|MAC [--net NAME] [--count N] [--json]'],
  options: [
    [
      'HOST|ADDRESS',
      "a member's name, an underlay address, or any address of an overlay or network",
    ],
    ['--net NAME', 'by this layer-2 network (where several know the address)'],
    ['--count N', `requests by each way (default ${COUNT_DEFAULT})`],
    ['--json', 'all figures as JSON'],
  ],
  examples: [
    ['fanway ping host-b', 'round trips, loss, largest packets, outer ports, and what is wrong'],
    ['fanway ping 250.1.27.10', 'the host that has this address, and the workload itself'],
    ['fanway ping 10.1.0.5 --net blue', 'a container on a layer-2 network'],
  ],
  async run(args, io) {
    const { flags, rest } = takeFlags(args, {
      ...{ '--count': 'value', '--net': 'value', '--json': 'switch' },
    });
    const [word, ...more] = rest;
    noMore(more, pingVerb);
    if (word === undefined || word.startsWith('-')) {
      throw usageError('usage', 'name a host or an address: fanway ping 250.1.27.10');
    }
    const countText = flags.get('--count') ?? String(COUNT_DEFAULT);
    const count = /^[0-9]{1,4}$/.test(countText) ? Number(countText) : 0;
    if (count < 1 || count > COUNT_MAX) {
      throw usageError('usage', `--count is a number from 1 to ${COUNT_MAX}`);
    }
    const run = new RunDirectory(io.env['FANWAY_RUN_DIR']);
    const fans: RunningFan[] = await ask(run, fansCall);
    const specs = fans.map(({ spec }) => spec).filter(({ local }) => !isNoHost(local));
    const aims = await aimsOf(word, specs, flags.get('--net'), run);
    if (aims.length === 0) {
      throw refusedError(
        'no-host',
        `${word} is no member that shares a fan or network with this host, and in no overlay or underlay of one: fanway peers, fanway show and fanway arp have what there is`,
      );
    }
    if (aims.some(({ host, link }) => host === link.local)) {
      throw refusedError('own-host', `${word} is this host itself: no tunnel leads there`);
    }
    const results: PingResult[] = [];
    for (const aim of aims) {
      const result = await ping(run, aim, count, io);
      results.push(result);
      if (!flags.has('--json')) io.out(pingText(result));
    }
    if (flags.has('--json')) printJson(io, results);
    return results.every(({ verdict }) => verdict.isWell) ? ExitCode.Ok : ExitCode.Failed;
  },
};
