/**
 * The links of this host, fans and networks: what goes through each now and in the last minutes, and
 * what was dropped.
 * @module
 */
import type { RouterStatus } from '../api/status.ts';
import { bitsText } from '../config/link/bits.ts';
import { h, List, part, s, say, set } from './dom.ts';
import { countText } from './words.ts';

/** Points of a curve. */
const SAMPLES_MAX = 90;
const HEIGHT = 30;

type Way = 'egress' | 'ingress';
const WAYS: readonly [Way, string][] = [
  ['egress', 'out'],
  ['ingress', 'in'],
];

/** What a fan and a network have in common. */
type Shown = Pick<
  RouterStatus['links'][number],
  'name' | 'state' | 'reason' | 'rates' | 'drops'
> & { about: string };

function shownOf({ links, networks }: Pick<RouterStatus, 'links' | 'networks'>): Shown[] {
  return [
    ...links.map(({ overlay, underlay, encap, innerMtu, ...link }) => ({
      ...link,
      about: `${overlay} over ${underlay}, ${encap}, MTU ${innerMtu}`,
    })),
    ...networks.map(({ network, vni, memberCount, macs, underlay, innerMtu, ...link }) => ({
      ...link,
      name: network,
      about: `network, VNI ${vni} over ${underlay}, ${memberCount} hosts, ${macs.local} MACs here and ${macs.remote} elsewhere, MTU ${innerMtu}`,
    })),
  ];
}

/** The last rates of one link, bits a second, oldest first. */
type History = Record<Way, number[]>;

function curve(values: readonly number[], top: number): string {
  const from = SAMPLES_MAX - values.length;
  return values
    .map(
      (value, index) =>
        `${index === 0 ? 'M' : 'L'}${from + index} ${HEIGHT - (value / top) * HEIGHT}`,
    )
    .join('');
}

function makeRate(title: string): HTMLDivElement {
  return h(
    'div',
    { class: 'rate' },
    h('p', { class: 'quiet' }, title),
    h('p', {}, h('b'), h('span', { class: 'quiet' })),
    s(
      'svg',
      {
        viewBox: `0 0 ${SAMPLES_MAX - 1} ${HEIGHT}`,
        preserveAspectRatio: 'none',
        'aria-hidden': 'true',
      },
      s('path', { class: 'area' }),
      s('path'),
    ),
  );
}

function makeLink({ name }: Shown): HTMLElement {
  return h(
    'article',
    { class: 'link', 'aria-label': `Link ${name}` },
    h('h3', {}, h('span', {}, name), h('span', { class: 'pill' })),
    h('p', { class: 'quiet' }),
    h('div', { class: 'rates' }, ...WAYS.map(([, title]) => makeRate(title))),
    h('ul', { class: 'plain drops' }),
  );
}

const STATE_CLASSES = { up: 'good', degraded: 'warn', stopped: 'bad' } as const;

function updateRate(
  element: Element,
  values: readonly number[],
  bits: number,
  packets: number,
): void {
  const top = Math.max(...values, 1000);
  const line = curve(values, top);
  const [area, path] = element.querySelectorAll('path');
  const [figure, quiet] = element.querySelectorAll('b, b + span');
  if (!area || !path || !figure || !quiet) return;
  set(path, { d: line });
  const from = SAMPLES_MAX - values.length;
  set(area, { d: line === '' ? '' : `${line}V${HEIGHT}H${from}Z` });
  say(figure, bitsText(bits));
  say(quiet, ` ${countText(packets)} packets/s`);
}

export class LinkList {
  readonly #history = new Map<string, History>();
  readonly #list: List<Shown, HTMLElement>;

  constructor() {
    this.#list = new List(part('links', HTMLElement), {
      key: ({ name }) => name,
      make: makeLink,
      update: (element, link) => this.#update(element, link),
    });
  }

  show(status: Pick<RouterStatus, 'links' | 'networks'>): void {
    const links = shownOf(status);
    for (const name of this.#history.keys()) {
      if (!links.some((link) => link.name === name)) this.#history.delete(name);
    }
    for (const { name, rates } of links) {
      const history = this.#history.get(name) ?? { egress: [], ingress: [] };
      history.egress.push(rates.egressBits);
      history.ingress.push(rates.ingressBits);
      for (const [way] of WAYS) if (history[way].length > SAMPLES_MAX) history[way].shift();
      this.#history.set(name, history);
    }
    this.#list.show(links);
    part('links-none', HTMLElement).hidden = links.length > 0;
  }

  #update(element: HTMLElement, link: Shown): void {
    const { name, state, reason, about: what, rates, drops } = link;
    const history = this.#history.get(name);
    const [pill] = element.querySelectorAll('h3 .pill');
    const about = element.querySelector('p');
    const list = element.querySelector('ul');
    if (!pill || !about || !list || history === undefined) return;
    set(pill, { class: `pill ${STATE_CLASSES[state]}` });
    say(pill, state);
    const why = reason === '' ? '' : `. ${reason}`;
    say(about, `${what}${why}`);
    const [out, into] = element.querySelectorAll('.rate');
    if (out) updateRate(out, history.egress, rates.egressBits, rates.egressPackets);
    if (into) updateRate(into, history.ingress, rates.ingressBits, rates.ingressPackets);
    const texts = drops.map(
      ({ counter, count, cause }) => `${countText(count)} ${counter} in the last minute: ${cause}`,
    );
    if (texts.join('\n') !== [...list.children].map((item) => item.textContent).join('\n')) {
      list.replaceChildren(...texts.map((text) => h('li', {}, text)));
    }
  }
}
