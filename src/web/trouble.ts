/**
 * What is wrong now, in sentences: conflicts first, then whatever a user would suffer from.
 * @module
 */
import type { MemberJson } from '../api/members.ts';
import type { RouterStatus } from '../api/status.ts';
import { h, List, part, say, set } from './dom.ts';

export type Trouble = { weight: 'bad' | 'warn'; text: string };

const bad = (text: string): Trouble => ({ weight: 'bad', text });
const warn = (text: string): Trouble => ({ weight: 'warn', text });

function ofGossip(gossip: RouterStatus['gossip']): Trouble[] {
  if (gossip === null) return [];
  const { state, reason, plaintext, conflicts, taken, sameNames, seeds, refused } = gossip;
  const silent = seeds.filter(({ answered }) => !answered).map(({ seed }) => seed);
  return [
    ...conflicts.map(({ what, subject, winner, loser, advice }) =>
      bad(
        `${what} ${subject} is claimed by ${winner.name} (${winner.id}), which has it, and ${loser.name} (${loser.id})${advice === '' ? '' : `; ${advice}`}`,
      ),
    ),
    ...(state === 'stopped' ? [bad(`gossip is stopped: ${reason}`)] : []),
    ...(plaintext ? [bad('gossip is in plaintext: whoever reaches the port is a member')] : []),
    ...taken.map(({ prefix, link, name, owner }) =>
      warn(
        `${prefix} of ${link} is announced by ${name || owner}: what runs here with such an address is cut off`,
      ),
    ),
    ...sameNames.map(({ name, ids }) => warn(`${ids.length} members are called ${name}`)),
    ...(silent.length > 0 ? [warn(`no answer from ${silent.join(', ')}`)] : []),
    ...refused.map(({ address, reason: why, count }) =>
      warn(`${count} datagrams from ${address} were refused: ${why}`),
    ),
  ];
}

/** Everything that is worth a word. */
export function troublesOf(status: RouterStatus, members: readonly MemberJson[]): Trouble[] {
  const { links, networks, processes, table, paths, gossip } = status;
  return [
    ...ofGossip(gossip),
    ...[
      ...links,
      ...networks.map(({ network, state, reason }) => ({ name: network, state, reason })),
    ]
      .filter(({ state }) => state !== 'up')
      .map(({ name, state, reason }) => bad(`${name} is ${state}: ${reason}`)),
    ...processes
      .filter(({ alive }) => !alive)
      .map(({ pid }) => bad(`data process ${pid} does not respond`)),
    ...members
      .filter(({ state }) => state === 'dead' || state === 'suspect')
      .map(({ name, id, state }) =>
        state === 'dead'
          ? bad(`host ${name || id} is dead`)
          : warn(`host ${name || id} does not answer`),
      ),
    ...(table.waiting + table.refused > 0
      ? [bad(`the table is full: ${table.waiting + table.refused} entries found no room`)]
      : []),
    ...table.held.map(({ link, entry }) =>
      warn(`${entry} of ${link} moves too often: held for now`),
    ),
    ...paths
      .filter(({ mtu }) => mtu !== 0)
      .map(({ peer, mtu }) => warn(`the path to ${peer} carries only ${mtu} bytes`)),
  ];
}

export class TroubleList {
  readonly #list = new List<Trouble, HTMLLIElement>(part('trouble', HTMLElement), {
    key: ({ text }) => text,
    make: () => h('li'),
    update: (item, { weight, text }) => {
      set(item, { class: weight });
      say(item, text);
    },
  });

  show(troubles: readonly Trouble[]): void {
    const once = new Map(troubles.map((trouble) => [trouble.text, trouble]));
    this.#list.show([...once.values()]);
    part('trouble-none', HTMLElement).hidden = troubles.length > 0;
    const pill = part('state', HTMLElement);
    const worst = troubles.some(({ weight }) => weight === 'bad') ? 'bad' : 'warn';
    set(pill, { class: `pill ${troubles.length === 0 ? 'good' : worst}` });
    say(pill, troubles.length === 0 ? 'all is well' : `${troubles.length} to look at`);
  }
}
