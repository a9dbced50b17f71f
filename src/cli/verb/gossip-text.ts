/**
 * What `status`, `peers`, `members` and `join` say of the gossip channel, a line each.
 * @module
 */
import type { GossipStatus, SameName, SeedJson } from '../../api/gossip.ts';
import { sameNameText } from '../../control/speakers/gossip/names.ts';
import { silenceText } from '../../control/speakers/gossip/transport/seeds.ts';
import { counted, timeText } from './quantities.ts';

const LIST_SHOWN_MAX = 8;

/** The first few, and how many more there are. */
export function shortList(texts: readonly string[]): string {
  const more = texts.length - LIST_SHOWN_MAX;
  return `${texts.slice(0, LIST_SHOWN_MAX).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

/** Seeds that have not answered: how many, and for each what is known. */
export function silentSeedsText(seeds: readonly SeedJson[]): string[] {
  const silent = seeds.filter(({ answered }) => !answered);
  if (silent.length === 0) return [];
  const name = ({ seed, error }: SeedJson): string => (error === '' ? seed : `${seed} (${error})`);
  const reason = silent.find((seed) => seed.reason !== '')?.reason ?? '';
  const unknown = silent.every(({ error }) => error !== '');
  return [
    `${counted(silent.length, 'seed')}, no answer yet: ${shortList(silent.map(name))}${unknown ? '' : silenceText(reason)}`,
  ];
}

/** Members of one name, a line for each name. */
export function sameNamesText(same: readonly SameName[]): string[] {
  return same.map(sameNameText);
}

/** What is wrong around the channel without being wrong with it. */
export function troubleText(gossip: GossipStatus): string[] {
  return [
    ...silentSeedsText(gossip.seeds),
    ...gossip.taken.map(
      ({ prefix, link, name, owner }) =>
        `${prefix} of ${link} is announced by ${name} (${owner}): what runs here with such an address is cut off until fanway withdraw ${prefix} there`,
    ),
    ...sameNamesText(gossip.sameNames),
    ...gossip.refused.map(
      ({ reason, count, ageMs }) =>
        `refused, ${counted(count, 'datagram')}, the last ${timeText(ageMs)} ago: ${reason}`,
    ),
  ];
}
