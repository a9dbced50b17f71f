/**
 * Hosts as a table, which says what the map shows; and all that is known of the one that was chosen.
 * @module
 */
import type { MemberJson } from '../api/members.ts';
import { h, List, part, say, set } from './dom.ts';
import { ageText, percentText, rttText } from './words.ts';

const STATE_CLASSES = { alive: 'good', suspect: 'warn', dead: 'bad', left: '' } as const;
/** Those in trouble first, then by name. */
const STATE_ORDER = { dead: 0, suspect: 1, alive: 2, left: 3 } as const;

function byTrouble(a: MemberJson, b: MemberJson): number {
  return STATE_ORDER[a.state] - STATE_ORDER[b.state] || a.name.localeCompare(b.name);
}

const CELLS: readonly [title: string, className: string, text: (member: MemberJson) => string][] = [
  ['State', '', ({ state }) => state],
  ['Round trip', 'number', ({ self, rttMs }) => (self ? '–' : rttText(rttMs))],
  ['Loss', 'number', ({ self, loss }) => (self ? '–' : percentText(loss))],
  ['Underlay', 'mono', ({ underlay }) => underlay || '–'],
  ['MTU', 'number', ({ mtu }) => (mtu === 0 ? '–' : String(mtu))],
  ['For', '', ({ sinceMs }) => ageText(sinceMs)],
];

type Shown = { member: MemberJson; isChosen: boolean };

function makeRow(choose: (id: string) => void, { member }: Shown): HTMLTableRowElement {
  const button = h('button', { type: 'button', class: 'link-like' });
  button.addEventListener('click', () => choose(member.id));
  return h(
    'tr',
    {},
    h('th', { scope: 'row' }, button),
    ...CELLS.map(([title, className]) => {
      const cell = h('td', { class: className, 'data-title': title });
      if (title === 'State') cell.append(h('span', { class: 'pill' }));
      return cell;
    }),
  );
}

function updateRow(row: HTMLTableRowElement, { member, isChosen }: Shown): void {
  row.classList.toggle('chosen', isChosen);
  const [head, ...cells] = row.children;
  const button = head?.firstElementChild;
  if (button) {
    say(button, `${member.name || member.id}${member.self ? ' (this host)' : ''}`);
    set(button, { 'aria-pressed': String(isChosen) });
  }
  for (const [index, [, , text]] of CELLS.entries()) {
    const cell = cells[index];
    if (cell === undefined) continue;
    say(cell.firstElementChild ?? cell, text(member));
  }
  const pill = cells[0]?.firstElementChild;
  if (pill) set(pill, { class: `pill ${STATE_CLASSES[member.state]}` });
}

export class HostTable {
  readonly #rows: List<Shown, HTMLTableRowElement>;

  constructor(choose: (id: string) => void) {
    this.#rows = new List(part('hosts-rows', HTMLElement), {
      key: ({ member }) => member.id,
      make: (shown) => makeRow(choose, shown),
      update: updateRow,
    });
  }

  show(members: readonly MemberJson[], chosen: string): void {
    const sorted = [...members].sort(byTrouble);
    this.#rows.show(sorted.map((member) => ({ member, isChosen: member.id === chosen })));
    part('hosts-none', HTMLElement).hidden = members.length > 0;
    part('hosts-table', HTMLElement).hidden = members.length === 0;
  }
}

function facts(member: MemberJson): [string, string][] {
  const { id, state, rttMs, loss, lastHeardMs, endpoints, encaps, fans, vnis, mtu, version } =
    member;
  return [
    ['State', `${state} for ${ageText(member.sinceMs)}`],
    ...(member.self
      ? []
      : ([
          ['Round trip', `${rttText(rttMs)}, ${percentText(loss)} lost`],
          ['Last heard', lastHeardMs === null ? 'never' : `${ageText(lastHeardMs)} ago`],
        ] satisfies [string, string][])),
    ['Fans', fans.map((fan) => `${fan.overlay} over ${fan.local}`).join(', ')],
    ['Gossips at', endpoints.join(', ')],
    ['Encapsulations', encaps.join(', ')],
    ['VNIs', vnis.join(', ')],
    ['Underlay MTU', mtu === 0 ? '' : String(mtu)],
    ['Version', version],
    ['Node', id],
  ];
}

/** Shows a host below the map; nothing without one. */
export function showDetail(member: MemberJson | undefined): void {
  const detail = part('detail', HTMLElement);
  if (member === undefined) {
    detail.replaceChildren();
    return;
  }
  const terms = facts(member).filter(([, text]) => text !== '');
  const [title, list] = detail.children;
  // What is read aloud again and again would be a nuisance: only the figures change in place.
  if (title instanceof HTMLElement && title.dataset['id'] === member.id && list) {
    const values = [...list.querySelectorAll('dd')];
    if (values.length === terms.length) {
      for (const [index, [, text]] of terms.entries()) {
        const value = values[index];
        if (value !== undefined) say(value, text);
      }
      return;
    }
  }
  detail.replaceChildren(
    h('h3', { 'data-id': member.id }, member.name || member.id),
    h('dl', {}, ...terms.flatMap(([term, text]) => [h('dt', {}, term), h('dd', {}, text)])),
  );
}
