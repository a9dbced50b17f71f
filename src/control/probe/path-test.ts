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
import { isActive } from '../../gossip/members/members.ts';
import { gatewayOf, hasIpv4, sliceOf } from '../../net/fan.ts';
import { equals } from '../../net/prefix.ts';
import { formatHostAddress, formatHostPrefix, holdsHost } from '../../net/underlay-address.ts';
import { type PathRecord, Segmentation } from '../../table/paths.ts';
import { Question } from '../../wire/gossip/types.ts';
import { dropsOf, growth } from '../plane/drops.ts';
import {
  type AnySpec,
  isNetwork,
  type LinkSpec,
  type NetworkSpec,
  ownAddressIn,
  titleOf as titleOfFan,
} from '../store/link-spec.ts';
import type { NetworkHostAim } from './network-aims.ts';
import type { Measured, Target } from './survey.ts';

/** Layer-2 networks that are measured in one test, one after the other. */
const NETWORKS_MAX = 8;
/** Members that are asked at a time. */
const ASKED_MAX = 4;
const SEGMENTATION_WORDS = ['unknown', 'works', 'refused'] as const;

type Counters = Readonly<Record<string, Record<string, number>>>;

export type PathTestOptions = {
  /** The links that are up. */
  specs(): readonly LinkSpec[];
  /** The layer-2 networks that are up, and the hosts that can be asked on them. */
  networks(): readonly NetworkSpec[];
  networkHosts(): readonly NetworkHostAim[];
  members(): readonly MemberView[];
  counters(): Counters;
  paths(): readonly PathRecord[];
  offloads(link: string): string[];
  /** Measures in a process of its own. */
  measure(targets: readonly Target[]): Promise<Measured[]>;
  /** Asks a member. @throws Error */
  ask(member: string, question: Question): Promise<string>;
};

/** One host on one link; both ends know the link by its title. */
type Aim = { member: MemberView; title: string; target: Target };

/** What both ends call a link. */
function titleOf(spec: AnySpec): string {
  return isNetwork(spec) ? `VNI ${spec.vni}` : titleOfFan(spec);
}

/** Hosts that this one shares a fan with; one that is in several fans is there for each. */
export function aimsOf(specs: readonly LinkSpec[], members: readonly MemberView[]): Aim[] {
  return members
    .filter((member) => !member.isSelf && isActive(member))
    .flatMap((member) =>
      member.fans.flatMap(({ overlay, local }): Aim[] => {
        const spec = specs.find((one) => equals(one.overlay, overlay));
        if (spec === undefined) return [];
        const inside = gatewayOf(sliceOf(spec, local));
        const { gateway, underlayMtu, innerMtu } = spec;
        const ends = { local: spec.local, host: local, gateway, inside, device: '' };
        return [{ member, title: titleOf(spec), target: { ...ends, underlayMtu, innerMtu } }];
      }),
    )
    .slice(0, TARGETS_MAX);
}

/**
 * The same in fans of IPv6 alone, of which records do not tell: members that are somewhere on the underlay of one.
 * Not all of them need have it.
 */
export function aimsBySix(specs: readonly LinkSpec[], members: readonly MemberView[]): Aim[] {
  const others = members.filter((member) => !member.isSelf && isActive(member));
  return specs
    .filter(({ overlay, six }) => six !== undefined && !hasIpv4(overlay))
    .flatMap((spec) =>
      others.flatMap((member) =>
        [...new Set(member.endpoints.map(({ address }) => address))]
          .filter((host) => holdsHost(spec.underlay, host))
          .map((host): Aim => {
            const { local, underlayMtu, innerMtu } = spec;
            const [gateway, inside] = [ownAddressIn(spec, local), ownAddressIn(spec, host)];
            const target = { local, host, gateway, inside, device: '', underlayMtu, innerMtu };
            return { member, title: titleOf(spec), target };
          }),
      ),
    )
    .slice(0, TARGETS_MAX);
}

/** The same on one layer-2 network. */
function networkAims(
  wanted: NetworkSpec,
  hosts: readonly NetworkHostAim[],
  members: readonly MemberView[],
): Aim[] {
  return hosts
    .flatMap(({ spec, host, owner, own, inside }): Aim[] => {
      const member = members.find(({ id, isSelf }) => id === owner && !isSelf);
      if (spec !== wanted || member === undefined || !isActive(member)) return [];
      const { local, name: device, underlayMtu, innerMtu } = spec;
      const target = { local, host, gateway: own, inside, device, underlayMtu, innerMtu };
      return [{ member, title: titleOf(spec), target }];
    })
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

  #links(): AnySpec[] {
    return [...this.#options.specs(), ...this.#options.networks()];
  }

  /** Counters of our links by what both ends call them, zeros left out. */
  #counters(): Record<string, Record<string, number>> {
    const all = this.#options.counters();
    return Object.fromEntries(
      this.#links().map((spec) => [
        titleOf(spec),
        Object.fromEntries(Object.entries(all[spec.name] ?? {}).filter(([, value]) => value !== 0)),
      ]),
    );
  }

  /** What a member counted on a link so far, by what both ends call it. @throws Error when it does not answer, or not so. */
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
      const before = this.#options.counters();
      const { aims, measured } = await this.#measureAll(members);
      const after = this.#options.counters();
      const records = this.#options.paths();
      return {
        ...report,
        links: this.#links().map((spec) => ({
          ...{ link: spec.name, overlay: titleOf(spec), encap: spec.encap },
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
   * Whether a member that did not answer from inside has the link at all. Who does not say so is alive all the same,
   * and is believed to have what its place says that it has.
   */
  async #hasLink({ member, title }: Aim): Promise<boolean> {
    try {
      const told = await this.#options.ask(member.id, Question.Counters);
      return title in countersAnswer(JSON.parse(told), '');
    } catch {
      return true;
    }
  }

  /** Fans in one go, then each network by itself: what is on two of them may have one address. */
  async #measureAll(
    members: readonly MemberView[],
  ): Promise<{ aims: Aim[]; measured: Measured[] }> {
    const { specs, networks, networkHosts } = this.#options;
    const hosts = networkHosts();
    const six = aimsBySix(specs(), members);
    const groups = [
      aimsOf(specs(), members),
      six,
      ...networks()
        .slice(0, NETWORKS_MAX)
        .map((spec) => networkAims(spec, hosts, members)),
    ];
    const [aims, measured]: [Aim[], Measured[]] = [[], []];
    for (const group of groups) {
      if (group.length === 0) continue;
      const results = await this.#options.measure(group.map(({ target }) => target));
      const isThere = await Promise.all(
        group.map(
          (aim, i) => group !== six || results[i]?.tunnel.received !== 0 || this.#hasLink(aim),
        ),
      );
      aims.push(...group.filter((_, i) => isThere[i]));
      measured.push(...results.filter((_, i) => isThere[i]));
    }
    return { aims, measured };
  }

  /**
   * Has this host and others measure, one report after the other as they come.
   * @param only names or ids; none = everybody who lives
   * @throws FanwayError as {@link check} does
   */
  start(only: readonly string[]): { names: string[]; reports: AsyncGenerator<HostReport> } {
    this.check(only);
    const members = this.#options.members().filter(isActive);
    const isMeant = ({ name, id }: MemberView): boolean =>
      only.length === 0 || only.includes(name) || only.includes(id);
    const others = members.filter((member) => !member.isSelf && isMeant(member));
    const self = members.filter((member) => member.isSelf && isMeant(member));
    const names = [...self, ...others].map(({ name, id }) => name || id);
    return { names, reports: this.#reports(self.length > 0, others) };
  }

  /** @throws FanwayError when there is nobody, or somebody is meant who is not there. */
  check(only: readonly string[]): void {
    const members = this.#options.members().filter(isActive);
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
  spec: AnySpec,
  before: Readonly<Record<string, number>>,
  after: Readonly<Record<string, number>>,
): DropStatus[] {
  const { encap, port, vni, underlay } = spec;
  return dropsOf(growth(before, after), { encap, port, vni, underlay: formatHostPrefix(underlay) });
}

function pathReport(
  { member, title, target }: Aim,
  measured: Measured,
  records: readonly PathRecord[],
): PathReport {
  const path = records.find(({ peer }) => peer === target.host);
  return {
    ...{ to: member.id, name: member.name, overlay: title },
    ...{ host: formatHostAddress(target.host), gateway: formatHostAddress(target.inside) },
    ...measured,
    segmentation: SEGMENTATION_WORDS[path?.segmentation ?? Segmentation.Unknown] ?? 'unknown',
  };
}
