/**
 * Things by what people call them: an address of an overlay, or a part of the name of a host, of a
 * workload here, or of who announces an entry.
 * @module
 */

import type { AnswerJson, PlacedEntry } from '../../api/entries.ts';
import { FOUND_MAX, type FoundJson } from '../../api/entries.ts';
import type { MemberJson } from '../../api/members.ts';
import { parseIpv4 } from '../../net/ipv4.ts';
import { bytesOfIpv6, type Ipv6, parseAddress6 } from '../../net/prefix6.ts';
import { hostOfBytes, type UnderlayAddress } from '../../net/underlay-address.ts';
import { type ExplainedFan, explainAddress, explainAnswer, fanOf } from './explain.ts';
import { type ExplainedFan6, explainAddress6, fanOf6 } from './explain6.ts';

/** An address that was handed out on this host, and what it was handed out for, in words. */
export type Workload = { address: number; name: string };

/** Where is looked. */
export type FindSources = {
  fans: readonly ExplainedFan[];
  /** The IPv6 overlays. */
  fans6: readonly ExplainedFan6[];
  members: readonly MemberJson[];
  workloads: readonly Workload[];
  entries: Iterable<PlacedEntry>;
  answer(link: string, address: UnderlayAddress): AnswerJson | null;
};

/** The address that a text is, undefined when it is none. */
function addressOf(text: string): number | undefined {
  try {
    return parseIpv4(text);
  } catch {
    return undefined;
  }
}

function address6Of(text: string): Ipv6 | undefined {
  try {
    return text.includes(':') ? parseAddress6(text) : undefined;
  } catch {
    return undefined;
  }
}

function memberAt(host: string, members: readonly MemberJson[]): MemberJson | undefined {
  if (host === '') return undefined;
  return members.find(
    ({ fans, underlay }) =>
      fans.some(({ local }) => local === host) || underlay.startsWith(`${host}:`),
  );
}

/** The same for an IPv6 overlay. */
function* foundSix(wanted: string, sources: FindSources): Generator<FoundJson> {
  const { fans6, members } = sources;
  const address = address6Of(wanted);
  const fan = address && fanOf6(address, fans6);
  if (address === undefined || fan === undefined) return;
  const plain = explainAddress6(address, fans6);
  const answer = sources.answer(fan.name, hostOfBytes(bytesOfIpv6(address)));
  const { host, text, address: name } = answer === null ? plain : explainAnswer(plain, answer, fan);
  const member = memberAt(host, members)?.id ?? '';
  yield { kind: 'address', name, address: name, host, member, text: `${text}.` };
}

function foundAddress(address: number, sources: FindSources): FoundJson {
  const { fans, members, workloads } = sources;
  const plain = explainAddress(address, fans);
  const fan = fanOf(address, fans);
  const answer = fan === undefined ? null : sources.answer(fan.name, address);
  const explained =
    answer === null || fan === undefined ? plain : explainAnswer(plain, answer, fan);
  const member = memberAt(explained.host, members);
  const workload = workloads.find((one) => one.address === address);
  const called = member === undefined ? '' : ` The host is ${member.name}, ${member.state}.`;
  const used = workload === undefined ? '' : ` It was handed out for ${workload.name}.`;
  return {
    kind: 'address',
    name: explained.address,
    address: explained.address,
    host: explained.host,
    member: member?.id ?? '',
    text: `${explained.text}.${called}${used}`,
  };
}

function* foundHosts(has: (name: string) => boolean, members: readonly MemberJson[]) {
  for (const { id, name, state, underlay, fans } of members) {
    if (!has(name) && !has(id) && !has(underlay)) continue;
    const host = fans[0]?.local ?? underlay.replace(/:[0-9]+$/, '');
    const where = fans.map(({ overlay, local }) => `${local} in ${overlay}`).join(', ');
    yield {
      ...{ kind: 'host', name: name || id, address: '', host, member: id },
      text: `A host, ${state}${where === '' ? '' : `: ${where}`}.`,
    } satisfies FoundJson;
  }
}

function* foundEntries(has: (name: string) => boolean, sources: FindSources) {
  for (const { entry, link, host, source, name, owner } of sources.entries) {
    if (!has(entry) && !has(name) && !has(owner)) continue;
    yield {
      ...{ kind: 'entry', name: entry, address: entry, host },
      member: memberAt(host, sources.members)?.id ?? '',
      text: `An entry on ${link}, at ${host}: ${source}, told by ${name || owner}.`,
    } satisfies FoundJson;
  }
}

function* findAll(wanted: string, sources: FindSources): Generator<FoundJson> {
  const address = addressOf(wanted);
  if (address !== undefined) {
    const hosts = foundHosts(
      (text) => text === wanted || text.startsWith(`${wanted}:`),
      sources.members,
    );
    if (fanOf(address, sources.fans) !== undefined) yield foundAddress(address, sources);
    else yield* hosts;
    return;
  }
  yield* foundSix(wanted, sources);
  const lower = wanted.toLowerCase();
  const has = (text: string): boolean => text.toLowerCase().includes(lower);
  yield* foundHosts(has, sources.members);
  for (const workload of sources.workloads) {
    if (!has(workload.name)) continue;
    const found = foundAddress(workload.address, sources);
    yield { ...found, kind: 'workload', name: workload.name };
  }
  yield* foundEntries(has, sources);
}

/** What is found, at most {@link FOUND_MAX}. */
export function findThings(wanted: string, sources: FindSources): FoundJson[] {
  const found: FoundJson[] = [];
  for (const each of findAll(wanted, sources)) {
    found.push(each);
    if (found.length >= FOUND_MAX) break;
  }
  return found;
}
