/**
 * What this host does with a packet of a layer-2 network, as it leaves here and as it arrives here. From the
 * same entries and tables that the data path goes by.
 * @module
 */
import type { EndQuestion, Finding } from '../../api/network/ends.ts';
import { formatMac, parseMac } from '../../net/mac.ts';
import {
  formatHostAddress,
  parseHostAddress,
  type UnderlayAddress,
} from '../../net/underlay-address.ts';
import type { Best } from '../../rib/entry.ts';
import type { EntryService } from '../entries/entry-service.ts';
import type { NetworkService } from '../networks/network-service.ts';
import type { FlowDecision } from '../networks/policy/policy-routes.ts';
import type { NetworkTablePort } from '../plane/tables/network-table.ts';
import type { NetworkSpec } from '../store/link-spec.ts';
import { addOuter, Findings, sourceText, wireOf } from './finding.ts';

export type NetworkEndOptions = {
  entries: Pick<EntryService, 'get'>;
  table: () => NetworkTablePort | undefined;
  networks: Pick<NetworkService, 'local' | 'portName'>;
  /** What the rules say of a connection. */
  decide: (spec: NetworkSpec, flow: Omit<EndQuestion, 'side'>) => FlowDecision;
  nameOf: (owner: string) => string;
  /** What the path to a host carries where that is less than its device does; 0 = it is not. */
  pathMtuOf: (host: UnderlayAddress) => number;
};

export function isMac(text: string): boolean {
  return /^[0-9a-f]{2}([:-][0-9a-f]{2}){5}$/i.test(text);
}

/** Whom a packet is for, as far as the entries have it. */
type Target = { mac: number | undefined; at: Best | undefined; binding: Best | undefined };

/** @throws AddressError */
export function targetIn(entries: Pick<EntryService, 'get'>, link: string, what: string): Target {
  const binding = isMac(what)
    ? undefined
    : entries.get({ link, kind: 'mac+ip', address: parseHostAddress(what) });
  const mac = isMac(what) ? parseMac(what) : binding?.mac;
  const at = mac === undefined ? undefined : entries.get({ link, kind: 'mac', mac });
  return { mac, at, binding };
}

export class NetworkEnd {
  readonly #options: NetworkEndOptions;

  constructor(options: NetworkEndOptions) {
    this.#options = options;
  }

  /** @throws AddressError */
  find(spec: NetworkSpec, question: EndQuestion): Finding {
    const findings = new Findings();
    if (question.side === 'leaves') this.#leaves(findings, spec, question);
    else this.#arrives(findings, spec, question);
    return findings.get();
  }

  #leaves(findings: Findings, spec: NetworkSpec, question: EndQuestion): void {
    const { entries, pathMtuOf } = this.#options;
    const { to, from } = question;
    if (from !== '') this.#source(findings, spec, from);
    const target = this.#owner(findings, spec, to);
    const { at, mac } = target;
    if (at === undefined || mac === undefined) {
      const [what, counter] =
        target.binding === undefined && !isMac(to)
          ? ['address', 'egress.drop.unknown_neighbour']
          : ['MAC', 'egress.drop.unknown_unicast'];
      findings.die(`nobody is known to have this ${what}: it does not exist`, counter);
      return;
    }
    if (at.source === 'local') {
      findings.add('way', `over the bridge ${spec.name}, not the tunnel`, 'the bridge at this end');
      this.#port(findings, spec, mac);
      return;
    }
    const vtep = entries.get({ link: spec.name, kind: 'vtep', member: at.peer });
    const host = formatHostAddress(at.peer);
    if (vtep === undefined) findings.add('vtep', `${host} does not say that it takes part`);
    else findings.add('vtep', host, sourceText(vtep, this.#options.nameOf));
    this.#table(findings, spec, mac, at, 'egress.drop.unknown_unicast');
    this.#rule(findings, spec, question, 'egress.drop.policy');
    addOuter(findings, spec, at.peer, pathMtuOf(at.peer));
  }

  #arrives(findings: Findings, spec: NetworkSpec, question: EndQuestion): void {
    const { entries, nameOf } = this.#options;
    const { from, to, outer, wire } = question;
    const link = spec.name;
    findings.add('network', `${spec.network}, VNI ${spec.vni}, bridge ${link}`, 'this end');
    const own = wireOf(spec);
    if (wire !== own) {
      findings.add('encapsulation', `${own} here, ${wire} there`, 'the link');
      findings.die(`the other end sends ${wire}, and this one takes ${own}`);
    }
    const member = outer === '' ? undefined : parseHostAddress(outer);
    const vtep = member === undefined ? undefined : entries.get({ link, kind: 'vtep', member });
    if (vtep === undefined) {
      findings.die(`${outer} is not known here to take part`, 'ingress.drop.stranger');
    } else findings.add('vtep', outer, sourceText(vtep, nameOf));
    if (from !== '' && member !== undefined) {
      const source = targetIn(entries, link, from);
      if (source.at !== undefined && source.mac !== undefined) {
        findings.add('source', formatMac(source.mac), sourceText(source.at, nameOf));
      }
      if (source.at === undefined || source.at.source === 'local' || source.at.peer !== member) {
        findings.die(`${from} is not known here to be at ${outer}`, 'ingress.drop.foreign_mac');
      }
    }
    const { mac, at } = this.#owner(findings, spec, to);
    if (mac === undefined || at?.source !== 'local') {
      findings.die('it is not known to be here', 'ingress.drop.unknown_unicast');
    } else {
      this.#table(findings, spec, mac, at, 'ingress.drop.unknown_unicast');
    }
    this.#rule(findings, spec, question, 'ingress.drop.policy');
    if (mac !== undefined && at?.source === 'local') this.#port(findings, spec, mac);
    findings.add(
      'mtu',
      `${spec.innerMtu} inside, ${spec.underlayMtu} outside`,
      'the underlay device',
    );
  }

  #source(findings: Findings, spec: NetworkSpec, from: string): void {
    const { entries, nameOf } = this.#options;
    const { mac, at } = targetIn(entries, spec.name, from);
    if (mac === undefined || at === undefined) {
      findings.add('source', `nobody is known to have ${from} here`, '');
      if (spec.guard === 'strict') {
        findings.die('the guard is strict, and it did not speak for that address');
      }
      return;
    }
    findings.add('source', formatMac(mac), sourceText(at, nameOf));
    if (at.source !== 'local') {
      findings.die(`${from} is on another host: what says so here is refused`);
    }
  }

  #owner(findings: Findings, spec: NetworkSpec, to: string): Target {
    const { entries, nameOf } = this.#options;
    const target = targetIn(entries, spec.name, to);
    const { mac, at, binding } = target;
    if (binding !== undefined) {
      findings.add('owner', formatMac(binding.mac), sourceText(binding, nameOf));
    }
    if (at !== undefined && mac !== undefined) {
      const where = at.source === 'local' ? 'at this end' : `at ${formatHostAddress(at.peer)}`;
      findings.add('place', `${formatMac(mac)} is ${where}`, sourceText(at, nameOf));
    }
    return target;
  }

  /** What the memory that data processes read has of a MAC, against what was decided. */
  #table(findings: Findings, spec: NetworkSpec, mac: number, at: Best, counter: string): void {
    const place = this.#options.table()?.place(spec.name, mac)?.host;
    const expected = at.source === 'local' ? 'here' : at.peer;
    const text = (host: UnderlayAddress | 'here' | undefined): string =>
      host === undefined ? 'nothing' : host === 'here' ? 'here' : formatHostAddress(host);
    findings.add('table', text(place), 'the data path');
    if (place === expected) return;
    findings.die(
      `the data path has ${text(place)} for it, and not ${text(expected)}: fanway audit --repair`,
      counter,
    );
  }

  #rule(
    findings: Findings,
    spec: NetworkSpec,
    question: Omit<EndQuestion, 'side'>,
    counter: string,
  ): void {
    if (question.from === '') return;
    const { rule, allowed } = this.#options.decide(spec, question);
    findings.add(
      'rule',
      rule === '' ? 'none speaks of it: allowed' : rule,
      'the rules at this end',
    );
    if (!allowed) findings.die(`the rule "${rule}" denies it`, counter);
  }

  #port(findings: Findings, spec: NetworkSpec, mac: number): void {
    const { networks } = this.#options;
    if (mac === spec.mac) {
      findings.add('port', `the host itself, by ${spec.name}`, 'the bridge at this end');
      return;
    }
    const station = networks.local(spec.name)?.stations.get(mac);
    if (station === undefined) return;
    const name = networks.portName(station.port);
    const said = {
      here: '',
      silent: ', silent for long: it is asked',
      parked: ', without carrier',
    }[station.state];
    findings.add('port', `${name}${said}`, 'the bridge at this end');
    if (station.state === 'parked') findings.die(`its port ${name} has no carrier`);
  }
}
