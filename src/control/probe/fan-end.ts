/**
 * What this host does with a packet of a fan, as it leaves here and as it arrives here.
 * @module
 */

import type { AnswerJson } from '../../api/entries.ts';
import type { EndQuestion, Finding } from '../../api/network/ends.ts';
import {
  formatHostAddress,
  formatHostPrefix,
  holdsHost,
  parseHostAddress,
  type UnderlayAddress,
} from '../../net/underlay-address.ts';
import { type LinkSpec, placeOf, sideOf, vniTo } from '../store/link-spec.ts';
import { addOuter, Findings, wireOf } from './finding.ts';

export type FanEndOptions = {
  /** What the table has for an address; null = arithmetic decides. */
  answer: (link: string, address: UnderlayAddress) => AnswerJson | null;
  /** What the path to a host carries where that is less than its device does; 0 = it is not. */
  pathMtuOf: (host: UnderlayAddress) => number;
};

/** Where a packet of a fan goes, and what says so; undefined where no overlay of it has the address. */
export function wayIn(
  { answer }: Pick<FanEndOptions, 'answer'>,
  spec: LinkSpec,
  address: UnderlayAddress,
): { host: UnderlayAddress; slice: string; by: string } | undefined {
  const place = sideOf(spec, address) && placeOf(spec, address);
  if (place === undefined) return undefined;
  const slice = formatHostPrefix(place.slice);
  const told = answer(spec.name, address);
  if (told === null) return { host: place.peer, slice, by: "the fan's arithmetic" };
  const who = told.name === '' ? told.owner : `${told.name} (${told.owner})`;
  const by = `${told.source}, ${told.prefix} told by ${who}`;
  return { host: parseHostAddress(told.host), slice, by };
}

export class FanEnd {
  readonly #options: FanEndOptions;

  constructor(options: FanEndOptions) {
    this.#options = options;
  }

  /** @throws AddressError */
  find(spec: LinkSpec, question: EndQuestion): Finding {
    const findings = new Findings();
    const to = parseHostAddress(question.to);
    const way = wayIn(this.#options, spec, to);
    if (way === undefined) {
      findings.die(`${question.to} is in no overlay of this fan`, 'egress.drop.outside_overlay');
      return findings.get();
    }
    const { host, slice, by } = way;
    const isHere = host === spec.local;
    const where = isHere ? 'at this end' : `at ${formatHostAddress(host)}`;
    const carrier = { ...spec, vni: vniTo(spec, to) };
    findings.add('owner', `${where}; its slice by arithmetic is ${slice}`, by);
    if (question.side === 'leaves') this.#leaves(findings, carrier, question, host);
    else this.#arrives(findings, carrier, question, isHere);
    return findings.get();
  }

  #leaves(findings: Findings, spec: LinkSpec, { from }: EndQuestion, host: UnderlayAddress): void {
    if (from !== '') this.#source(findings, spec, from, spec.local, 'egress.drop.foreign_source');
    if (host === spec.local) {
      findings.add('way', `over the bridge ${spec.name}, not the tunnel`, 'the bridge at this end');
      return;
    }
    addOuter(findings, spec, host, this.#options.pathMtuOf(host));
    if (!holdsHost(spec.underlay, host)) {
      findings.die(`${formatHostAddress(host)} is not in ${formatHostPrefix(spec.underlay)}`);
    }
  }

  #arrives(
    findings: Findings,
    spec: LinkSpec,
    { from, outer, wire, to }: EndQuestion,
    isHere: boolean,
  ): void {
    const own = wireOf(spec);
    findings.add('encapsulation', own, 'the link');
    if (wire !== own) {
      const counter = wire.split(' ')[0] === spec.encap ? 'wrong_vni' : 'mode_mismatch';
      findings.die(
        `the other end sends ${wire}, and this one takes ${own}`,
        `ingress.drop.${counter}`,
      );
    }
    const host = parseHostAddress(outer);
    if (holdsHost(spec.underlay, host)) {
      findings.add('vtep', outer, `it is in ${formatHostPrefix(spec.underlay)}`);
    } else {
      const why = `${outer} is not in ${formatHostPrefix(spec.underlay)}`;
      findings.die(why, 'ingress.drop.stranger');
    }
    if (from !== '') this.#source(findings, spec, from, host, 'ingress.drop.foreign_source');
    if (!isHere) {
      findings.die(
        `by what is known at this end ${to} is elsewhere`,
        'ingress.drop.foreign_destination',
      );
    }
    findings.add(
      'mtu',
      `${spec.innerMtu} inside, ${spec.underlayMtu} outside`,
      'the underlay device',
    );
  }

  /** Whether an inner source may come from where it comes from. */
  #source(
    findings: Findings,
    spec: LinkSpec,
    from: string,
    host: UnderlayAddress,
    counter: string,
  ): void {
    const way = wayIn(this.#options, spec, parseHostAddress(from));
    const at = formatHostAddress(host);
    if (way !== undefined) findings.add('source', `at ${formatHostAddress(way.host)}`, way.by);
    if (way?.host === host) return;
    findings.die(`${from} is not known to be at ${at}`, counter);
  }
}
