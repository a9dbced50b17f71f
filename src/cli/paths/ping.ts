/**
 * `fanway ping HOST|ADDRESS`: the plain network and the tunnel to one host side by side, and which side
 * drops where something is lost.
 * @module
 */
import { countersCall } from '../../api/counters.ts';
import { type AnswerJson, explainCall } from '../../api/entries.ts';
import { type FanRecord, fansCall } from '../../api/fans.ts';
import { type MemberJson, membersCall } from '../../api/members.ts';
import { statusCall } from '../../api/status.ts';
import { farCountersCall, type LayerReport } from '../../api/test.ts';
import { ask } from '../../control/admin/admin-client.ts';
import { dropsOf, growth } from '../../control/plane/drops.ts';
import { type Verdict, verdictOf } from '../../control/probe/cause.ts';
import { OuterWatch, type TriedPort, tryPorts } from '../../control/probe/ports.ts';
import { SURVEY, Survey } from '../../control/probe/survey.ts';
import type { LinkSpec } from '../../control/store/link-spec.ts';
import { RunDirectory } from '../../control/store/run-directory.ts';
import { ENCAPS, onTheWire } from '../../encap/encap.ts';
import { codeOf, ExitCode, refusedError, usageError } from '../../errors.ts';
import { renderTable } from '../../measure/table.ts';
import { gatewayOf, peerOf, sliceOf } from '../../net/fan.ts';
import { formatIpv4 } from '../../net/ipv4.ts';
import { contains, formatPrefix } from '../../net/prefix.ts';
import {
  formatHostAddress,
  formatHostPrefix,
  holdsHost,
  isNoHost,
  parseHostAddress,
  type UnderlayAddress,
} from '../../net/underlay-address.ts';
import { progressTo } from '../verb/progress.ts';
import { type Io, noMore, printJson, takeFlags, type Verb } from '../verb/verb.ts';

const COUNT_DEFAULT = 10;
const COUNT_MAX = 1000;
const INTERVAL_MS = 100;

type Counters = Readonly<Record<string, number>>;

/** Whom to ask. */
type Aim = {
  spec: LinkSpec;
  host: UnderlayAddress;
  /** In the overlay, u32: a workload, or the host's gateway. */
  inside: number;
  member: MemberJson | undefined;
};

export type PingResult = {
  name: string;
  overlay: string;
  host: string;
  address: string;
  underlay: LayerReport;
  tunnel: LayerReport;
  /** Outer source ports; empty where the encapsulation has none. */
  ports: TriedPort[];
  verdict: Verdict;
};

/** The address that a word is, undefined when it is a name. */
function addressOf(word: string): UnderlayAddress | undefined {
  try {
    return parseHostAddress(word);
  } catch {
    return undefined;
  }
}

function memberOf(host: UnderlayAddress, members: readonly MemberJson[]): MemberJson | undefined {
  const text = formatHostAddress(host);
  return members.find(({ fans, self }) => !self && fans.some(({ local }) => local === text));
}

/** Whom a word means, in each fan that it is in. @throws FanwayError (exit code 3) when nobody. */
async function aimsOf(word: string, specs: readonly LinkSpec[], run: RunDirectory): Promise<Aim[]> {
  const members = await ask(run, membersCall);
  const address = addressOf(word);
  const atHost = (spec: LinkSpec, host: UnderlayAddress): Aim => {
    const inside = gatewayOf(sliceOf(spec, host));
    return { spec, host, inside, member: memberOf(host, members) };
  };
  if (address === undefined) {
    const named = members.find(({ name, id }) => name === word || id === word);
    const hosts = (named?.fans ?? []).map(({ overlay, local }) => ({ overlay, local }));
    return hosts.flatMap(({ overlay, local }) =>
      specs
        .filter((spec) => formatPrefix(spec.overlay) === overlay)
        .map((spec) => ({ ...atHost(spec, parseHostAddress(local)), member: named })),
    );
  }
  const inside =
    typeof address === 'number'
      ? specs.find(({ overlay }) => contains(overlay, address))
      : undefined;
  if (inside === undefined || typeof address !== 'number') {
    return specs
      .filter(({ underlay }) => holdsHost(underlay, address))
      .map((spec) => atHost(spec, address));
  }
  const answer: AnswerJson | null = await ask(run, explainCall, { link: inside.name, address });
  const host = answer === null ? peerOf(inside, address) : parseHostAddress(answer.host);
  return [{ ...atHost(inside, host), inside: address }];
}

/** What the far side counted so far; undefined where it cannot be asked. */
async function farCounters(
  run: RunDirectory,
  { member, spec }: Aim,
): Promise<Counters | undefined> {
  if (member === undefined) return undefined;
  const overlay = formatPrefix(spec.overlay);
  return ask(run, farCountersCall, { member: member.id, overlay }).catch((error: unknown) => {
    if (['no-answer', 'no-gossip'].includes(codeOf(error))) return undefined;
    throw error;
  });
}

async function nearCounters(run: RunDirectory, { spec }: Aim): Promise<Counters> {
  return (await ask(run, countersCall))[spec.name] ?? {};
}

function dropContext(spec: LinkSpec) {
  const { encap, port, vni, underlay } = spec;
  return { encap, port, vni, underlay: formatHostPrefix(underlay) };
}

/** Measures one way. */
async function ping(run: RunDirectory, aim: Aim, count: number, io: Io): Promise<PingResult> {
  const { spec, host, inside, member } = aim;
  const { local, gateway, underlayMtu, innerMtu } = spec;
  const progress = progressTo(io);
  const [near, far] = [await nearCounters(run, aim), await farCounters(run, aim)];
  const watch = await OuterWatch.open(spec, host);
  const options = {
    ...{ ...SURVEY, rounds: count, intervalMs: INTERVAL_MS },
    step: (text: string, round: number) => {
      watch?.read();
      if (process.stderr.isTTY) progress.step(text === '' ? `${round} of ${count}` : text);
    },
  };
  const survey = new Survey([{ local, host, gateway, inside, underlayMtu, innerMtu }], options);
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
      spec.port === 0 || measured.tunnel.received === 0 || isStopped
        ? []
        : await tryPorts(spec, { from: gateway, to: inside }, watch, options.timeoutMs);
    const grown = growth(near, await nearCounters(run, aim));
    const later = far === undefined ? undefined : await farCounters(run, aim);
    const farGrown = far === undefined || later === undefined ? undefined : growth(far, later);
    const { paths } = await ask(run, statusCall);
    const path = paths.find(({ peer }) => peer === formatHostAddress(host));
    const context = dropContext(spec);
    const verdict = verdictOf({
      ...measured,
      overheadBytes: ENCAPS[spec.encap].overheadBytes,
      wire: onTheWire(spec.encap, spec.port),
      nearDrops: dropsOf(grown, context).filter(({ counter }) => counter.includes('.drop.')),
      farDrops:
        farGrown && dropsOf(farGrown, context).filter(({ counter }) => counter.includes('.drop.')),
      farReceived: farGrown && (farGrown['ingress.received'] ?? 0),
      portUnreachable: (grown['event.port_unreachable'] ?? 0) > 0,
      ...{ left: watch?.left, back: watch?.back, member: member?.state ?? '' },
      segmentation: path?.segmentation ?? 'unknown',
    });
    return {
      ...{
        name: member?.name ?? '',
        overlay: formatPrefix(spec.overlay),
        host: formatHostAddress(host),
      },
      ...{ address: formatIpv4(inside), ...measured, ports, verdict: withPorts(verdict, ports) },
    };
  } finally {
    process.off('SIGINT', stop);
    progress.end();
    survey.close();
    watch?.close();
  }
}

/** Where some outer ports are silent and others are not, that is the cause. */
function withPorts(verdict: Verdict, ports: readonly TriedPort[]): Verdict {
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
    return `outer ports: ${ports[0]?.answered ?? 0} of ${ports[0]?.flows ?? 0} flows were answered (root sees which)\n`;
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
  usage: ['ping HOST|ADDRESS [--count N] [--json]'],
  options: [
    ['HOST|ADDRESS', "a member's name, an underlay address, or any address of the overlay"],
    ['--count N', `requests by each way (default ${COUNT_DEFAULT})`],
    ['--json', 'all figures as JSON'],
  ],
  examples: [
    ['fanway ping host-b', 'round trips, loss, largest packets, outer ports, and what is wrong'],
    ['fanway ping 250.1.27.10', 'the host that has this address, and the workload itself'],
  ],
  async run(args, io) {
    const { flags, rest } = takeFlags(args, { '--count': 'value', '--json': 'switch' });
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
    const fans: FanRecord[] = await ask(run, fansCall);
    const specs = fans.map(({ spec }) => spec).filter(({ local }) => !isNoHost(local));
    const aims = await aimsOf(word, specs, run);
    if (aims.length === 0) {
      throw refusedError(
        'no-host',
        `${word} is no member that shares a fan with this host, and in no overlay or underlay of one: fanway peers and fanway show have what there is`,
      );
    }
    if (aims.some(({ host, spec }) => host === spec.local)) {
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
