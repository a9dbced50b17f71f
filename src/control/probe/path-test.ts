/**
 * Paths between hosts, measured: this host's own to every member that shares a fan with it, and those of
 * the members, who are asked over the gossip channel to measure theirs. What a member asks of us costs a
 * bounded number of echo requests to members only, and one process at a time.
 * @module
 */

import { number as numberReader, record } from '../../api/reader.ts';
import type { DropStatus } from '../../api/status.ts';
import { type HostReport, hostReport, type PathReport, TARGETS_MAX } from '../../api/test.ts';
import { messageOf, refusedError } from '../../errors.ts';
import type { MemberView } from '../../gossip/base/api.ts';
import { gatewayOf, sliceOf } from '../../net/fan.ts';
import { formatIpv4 } from '../../net/ipv4.ts';
import { equals, formatPrefix } from '../../net/prefix.ts';
import { formatHostAddress, formatHostPrefix } from '../../net/underlay-address.ts';
import { type PathRecord, Segmentation } from '../../table/paths.ts';
import { Question } from '../../wire/gossip/types.ts';
import { dropsOf, growth } from '../plane/drops.ts';
import type { LinkSpec } from '../store/link-spec.ts';
import type { Measured, Target } from './survey.ts';

/** Members that are asked at a time. */
const ASKED_MAX = 4;
const SEGMENTATION_WORDS = ['unknown', 'works', 'refused'] as const;

type Counters = Readonly<Record<string, Record<string, number>>>;

export type PathTestOptions = {
  /** The links that are up. */
  specs(): readonly LinkSpec[];
  members(): readonly MemberView[];
  counters(): Counters;
  paths(): readonly PathRecord[];
  offloads(link: string): string[];
  /** Measures in a process of its own. */
  measure(targets: readonly Target[]): Promise<Measured[]>;
  /** Asks a member. @throws Error */
  ask(member: string, question: Question): Promise<string>;
};

/** One host in one fan. */
type Aim = { member: MemberView; spec: LinkSpec; target: Target };

const lives = ({ state }: MemberView): boolean => state === 'alive' || state === 'suspect';

/** Hosts that this one shares a fan with; one that is in several fans is there for each. */
export function aimsOf(specs: readonly LinkSpec[], members: readonly MemberView[]): Aim[] {
  return members
    .filter((member) => !member.isSelf && lives(member))
    .flatMap((member) =>
      member.fans.flatMap(({ overlay, local }): Aim[] => {
        const spec = specs.find((one) => equals(one.overlay, overlay));
        if (spec === undefined) return [];
        const inside = gatewayOf(sliceOf(spec, local));
        const { gateway, underlayMtu, innerMtu } = spec;
        const ends = { local: spec.local, host: local, gateway, inside };
        return [{ member, spec, target: { ...ends, underlayMtu, innerMtu } }];
      }),
    )
    .slice(0, TARGETS_MAX);
}

/** Counters by overlay, which both ends know a fan by. */
const countersAnswer = record(record(numberReader));

export class PathTest {
  readonly #options: PathTestOptions;
  #isBusy = false;

  constructor(options: PathTestOptions) {
    this.#options = options;
  }

  /** Our answer to a member's question; undefined when it is none that we know. */
  answer(question: number): Promise<string> | undefined {
    if (question === Question.Counters) return Promise.resolve(JSON.stringify(this.#counters()));
    if (question !== Question.Paths) return undefined;
    return this.report().then((report) => JSON.stringify(report));
  }

  /** Counters of our links by overlay, zeros left out. */
  #counters(): Record<string, Record<string, number>> {
    const all = this.#options.counters();
    return Object.fromEntries(
      this.#options
        .specs()
        .map(({ name, overlay }) => [
          formatPrefix(overlay),
          Object.fromEntries(Object.entries(all[name] ?? {}).filter(([, value]) => value !== 0)),
        ]),
    );
  }

  /** What a member counted in a fan so far. @throws Error when it does not answer, or not so. */
  async countersOf(member: string, overlay: string): Promise<Record<string, number>> {
    const told = await this.#options.ask(member, Question.Counters);
    return countersAnswer(JSON.parse(told), '')[overlay] ?? {};
  }

  /** Measures all paths of this host. Never throws: what keeps it from measuring is in the report. */
  async report(): Promise<HostReport> {
    const members = this.#options.members();
    const self = members.find(({ isSelf }) => isSelf);
    const report = {
      from: self?.id ?? '',
      name: self?.name ?? '',
      problem: '',
      links: [],
      paths: [],
    };
    if (this.#isBusy) return { ...report, problem: 'another test runs on this host: try again' };
    this.#isBusy = true;
    try {
      const specs = this.#options.specs();
      const before = this.#options.counters();
      const aims = aimsOf(specs, members);
      const measured =
        aims.length === 0 ? [] : await this.#options.measure(aims.map(({ target }) => target));
      const after = this.#options.counters();
      const records = this.#options.paths();
      return {
        ...report,
        links: specs.map((spec) => ({
          ...{ link: spec.name, overlay: formatPrefix(spec.overlay), encap: spec.encap },
          offloads: this.#options.offloads(spec.name),
          drops: dropsBetween(spec, before[spec.name] ?? {}, after[spec.name] ?? {}),
        })),
        paths: aims.flatMap((aim, index) => {
          const one = measured[index];
          return one === undefined ? [] : [pathReport(aim, one, records)];
        }),
      };
    } catch (error) {
      return { ...report, problem: messageOf(error) };
    } finally {
      this.#isBusy = false;
    }
  }

  /**
   * Has this host and others measure, one report after the other as they come.
   * @param only names or ids; none = everybody who lives
   * @throws FanwayError as {@link check} does
   */
  start(only: readonly string[]): { names: string[]; reports: AsyncGenerator<HostReport> } {
    this.check(only);
    const members = this.#options.members().filter(lives);
    const isMeant = ({ name, id }: MemberView): boolean =>
      only.length === 0 || only.includes(name) || only.includes(id);
    const others = members.filter((member) => !member.isSelf && isMeant(member));
    const self = members.filter((member) => member.isSelf && isMeant(member));
    const names = [...self, ...others].map(({ name, id }) => name || id);
    return { names, reports: this.#reports(self.length > 0, others) };
  }

  /** @throws FanwayError when there is nobody, or somebody is meant who is not there. */
  check(only: readonly string[]): void {
    const members = this.#options.members().filter(lives);
    const unknown = only.filter(
      (word) => !members.some(({ name, id }) => word === name || word === id),
    );
    if (unknown.length > 0) {
      throw refusedError(
        'no-member',
        `${unknown.join(', ')}: no member that lives is called so; fanway members has them all`,
      );
    }
    if (!members.some(({ isSelf }) => !isSelf)) {
      throw refusedError(
        'no-members',
        'there is nobody to test with: this host knows no other member that lives; fanway join HOST joins the cluster of HOST',
      );
    }
  }

  async *#reports(withSelf: boolean, others: readonly MemberView[]): AsyncGenerator<HostReport> {
    const waiting = [...others];
    const running = new Map<number, Promise<{ number: number; report: HostReport }>>();
    let number = 0;
    const run = (work: Promise<HostReport>): void => {
      const mine = number++;
      running.set(
        mine,
        work.then((report) => ({ number: mine, report })),
      );
    };
    if (withSelf) run(this.report());
    while (running.size > 0 || waiting.length > 0) {
      while (running.size < ASKED_MAX && waiting.length > 0) {
        const member = waiting.shift();
        if (member !== undefined) run(this.#reportOf(member));
      }
      const done = await Promise.race(running.values());
      running.delete(done.number);
      yield done.report;
    }
  }

  async #reportOf({ id, name }: MemberView): Promise<HostReport> {
    try {
      const told = hostReport(JSON.parse(await this.#options.ask(id, Question.Paths)), '');
      // Who it is, the channel knows better than it does.
      return { ...told, from: id, name };
    } catch (error) {
      const problem = `it did not report: ${messageOf(error)}`;
      return { from: id, name, problem, links: [], paths: [] };
    }
  }
}

function dropsBetween(
  spec: LinkSpec,
  before: Readonly<Record<string, number>>,
  after: Readonly<Record<string, number>>,
): DropStatus[] {
  const { encap, port, vni, underlay } = spec;
  return dropsOf(growth(before, after), { encap, port, vni, underlay: formatHostPrefix(underlay) });
}

function pathReport(
  { member, spec, target }: Aim,
  measured: Measured,
  records: readonly PathRecord[],
): PathReport {
  const path = records.find(({ peer }) => peer === target.host);
  return {
    ...{ to: member.id, name: member.name, overlay: formatPrefix(spec.overlay) },
    ...{ host: formatHostAddress(target.host), gateway: formatIpv4(target.inside), ...measured },
    segmentation: SEGMENTATION_WORDS[path?.segmentation ?? Segmentation.Unknown] ?? 'unknown',
  };
}
