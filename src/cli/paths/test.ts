/**
 * `fanway test`: every pair of hosts of the cluster, both layers, and what is wrong between which two.
 * @module
 */
import { type MemberJson, membersCall } from '../../api/members.ts';
import { type HostReport, type PathReport, readTestLine, TEST_PATH } from '../../api/test.ts';
import { ask } from '../../control/admin/admin-client.ts';
import { followLines } from '../../control/admin/follow.ts';
import { type Drop, lossesOf, type PathVerdict, verdictOf } from '../../control/probe/cause.ts';
import { RunDirectory } from '../../control/store/run-directory.ts';
import { ENCAPS, type EncapName, onTheWire } from '../../encap/encap.ts';
import { ExitCode } from '../../errors.ts';
import { renderTable } from '../../measure/table.ts';
import { progressTo } from '../verb/progress.ts';
import { counted } from '../verb/quantities.ts';
import { type Io, printJson, takeFlags, type Verb } from '../verb/verb.ts';

/** One direction of one pair, and what is to say of it. */
export type PairReport = PathReport & { from: string; fromName: string; verdict: PathVerdict };

/** `problems`: hosts that measured nothing, and why. `unmeasured`: links of several hosts that nobody measured, and why. */
export type TestResult = {
  isWell: boolean;
  hosts: string[];
  pairs: PairReport[];
  problems: { name: string; problem: string }[];
  unmeasured: { overlay: string; why: string }[];
};

function encapOf(name: string): EncapName | undefined {
  return Object.values(ENCAPS).find((encap) => encap.name === name)?.name;
}

/** Packets that a host lost in a fan. */
function dropsOf(report: HostReport | undefined, overlay: string): Drop[] | undefined {
  const link = report?.links.find((one) => one.overlay === overlay);
  return link && lossesOf(link.drops);
}

function pairOf(
  path: PathReport,
  near: HostReport,
  far: HostReport | undefined,
  member: MemberJson | undefined,
): PairReport {
  const encap = encapOf(near.links.find(({ overlay }) => overlay === path.overlay)?.encap ?? '');
  const drops = near.links.find(({ overlay }) => overlay === path.overlay)?.drops ?? [];
  const verdict = verdictOf({
    ...{ underlay: path.underlay, tunnel: path.tunnel, segmentation: path.segmentation },
    overheadBytes: encap === undefined ? 0 : ENCAPS[encap].overheadBytes,
    wire: encap === undefined ? 'the tunnel' : onTheWire(encap, ENCAPS[encap].defaultPort),
    nearDrops: dropsOf(near, path.overlay) ?? [],
    farDrops: dropsOf(far, path.overlay),
    portUnreachable: drops.some(({ counter }) => counter === 'event.port_unreachable'),
    member: member?.state ?? '',
  });
  return { ...path, from: near.from, fromName: near.name, verdict };
}

/** Links that two hosts or more have, over which none measured another. */
function unmeasuredIn(reports: readonly HostReport[]): TestResult['unmeasured'] {
  const names = reports.flatMap(({ links }) => links.map(({ overlay }) => overlay));
  const shared = new Set(names.filter((overlay, i) => names.indexOf(overlay) !== i));
  const measured = new Set(reports.flatMap(({ paths }) => paths.map(({ overlay }) => overlay)));
  return [...shared]
    .filter((overlay) => !measured.has(overlay))
    .map((overlay) => ({
      overlay,
      why: overlay.includes(':')
        ? 'no member is known by an address on its underlay (join --advertise says by which): fanway ping HOST measures one pair'
        : 'hosts have no address of their own there to ask from and to (net add --address), or do not hear of one another',
    }));
}

/** All reports put together; `members` as this host knows them. */
export function resultOf(
  reports: readonly HostReport[],
  members: readonly MemberJson[],
): TestResult {
  const pairs = reports.flatMap((near) =>
    near.paths.map((path) =>
      pairOf(
        path,
        near,
        reports.find(({ from }) => from === path.to && from !== ''),
        members.find(({ id }) => id === path.to),
      ),
    ),
  );
  const problems = [
    ...reports.flatMap(({ name, from, problem }) =>
      problem === '' ? [] : [{ name: name || from, problem }],
    ),
    ...members
      .filter(({ state }) => state === 'dead')
      .map(({ name, id }) => ({ name: name || id, problem: 'it is dead, and was not tested' })),
  ];
  const hosts = [...new Set(reports.map(({ name, from }) => name || from))];
  return {
    isWell: problems.length === 0 && pairs.every(({ verdict }) => verdict.isWell),
    ...{ hosts, pairs, problems, unmeasured: unmeasuredIn(reports) },
  };
}

function timeText(ms: number | null): string {
  if (ms === null) return 'none';
  return ms < 10 ? ms.toFixed(2) : ms.toFixed(0);
}

function lossText({ sent, received }: { sent: number; received: number }): string {
  return sent === received || received === 0
    ? ''
    : ` -${Math.round((100 * (sent - received)) / Math.max(1, sent))}%`;
}

/** `0.31|0.52`: round trips by the underlay and by the tunnel, `!` where something is wrong. */
function cellText(pairs: readonly PairReport[]): string {
  return pairs
    .map(({ underlay, tunnel, verdict }) => {
      const sides = [underlay, tunnel].map((layer) => `${timeText(layer.avgMs)}${lossText(layer)}`);
      return `${sides.join('|')}${verdict.isWell ? '' : ' !'}`;
    })
    .join(' ');
}

/** The matrix, and under it a line for whatever is wrong. */
export function testText({ hosts, pairs, problems, unmeasured, isWell }: TestResult): string {
  const names = [...new Set([...hosts, ...pairs.map(({ name, to }) => name || to)])];
  const columns = ['from \\ to', ...names].map((title) => ({ title }));
  const rows = hosts.map((from) => [
    from,
    ...names.map((to) => {
      if (from === to) return '.';
      const cells = pairs.filter(
        (pair) => (pair.fromName || pair.from) === from && (pair.name || pair.to) === to,
      );
      return cells.length === 0 ? '?' : cellText(cells);
    }),
  ]);
  const mtus = [...new Set(pairs.map(({ underlay, tunnel }) => `${underlay.mtu}|${tunnel.mtu}`))];
  const lines = [
    renderTable(columns, rows),
    '',
    'round trips in ms, underlay|tunnel; -N% is loss, ! is explained below, ? is not measured',
    `largest packets answered, underlay|tunnel: ${mtus.join(', ') || 'none'}`,
    ...pairs
      .filter(({ verdict }) => !verdict.isWell)
      .map(
        ({ from, fromName, to, name, overlay, verdict }) =>
          `! ${fromName || from} -> ${name || to} (${overlay}): ${verdict.text}`,
      ),
    ...problems.map(({ name, problem }) => `! ${name}: ${problem}`),
    ...unmeasured.map(({ overlay, why }) => `? ${overlay}: not measured: ${why}`),
    ...(isWell ? ['all is well between all of them'] : []),
  ];
  return `${lines.join('\n')}\n`;
}

/** Every report, as they come; progress goes to standard error. @throws FanwayError */
function collect(run: RunDirectory, only: readonly string[], io: Io): Promise<HostReport[]> {
  const progress = progressTo(io);
  const reports: HostReport[] = [];
  let names: string[] = [];
  return new Promise((resolve, reject) => {
    const tell = (): void => {
      const missing = names.filter(
        (name) => !reports.some((one) => (one.name || one.from) === name),
      );
      progress.step(
        `${reports.length} of ${counted(names.length, 'host')} reported; waiting for ${missing.join(', ')}`,
      );
    };
    followLines(
      run,
      TEST_PATH,
      { only },
      {
        value: (value) => {
          const line = readTestLine(value);
          if (line.kind === 'hosts') names = line.names;
          else reports.push(line.report);
          if (reports.length < names.length) tell();
        },
        end: (error) => {
          progress.end();
          if (error === undefined) resolve(reports);
          else reject(error);
        },
      },
    );
  });
}

export const test: Verb = {
  name: 'test',
  summary: 'every pair of hosts: round trips, loss, packet sizes and order, with the cause named',
  details: [
    'Each host that lives is asked over gossip to measure its paths to the others, by the underlay',
    'and by the tunnel, a few dozen echo requests a path. Exits 0 when all is well, else 1.',
  ],
  usage: ['test [HOST...] [--json]'],
  options: [
    ['HOST', 'names or node ids of members: only these measure'],
    ['--json', 'all figures of every pair as JSON'],
  ],
  examples: [
    ['fanway test', 'the whole cluster, one matrix'],
    ['fanway test host-a host-b', 'what these two see of everybody'],
  ],
  async run(args, io) {
    const { flags, rest } = takeFlags(args, { '--json': 'switch' });
    const run = new RunDirectory(io.env['FANWAY_RUN_DIR']);
    const members = await ask(run, membersCall);
    const result = resultOf(await collect(run, rest, io), members);
    if (flags.has('--json')) printJson(io, result);
    else io.out(testText(result));
    return result.isWell ? ExitCode.Ok : ExitCode.Failed;
  },
};
