/**
 * The map: this host in the middle, each other one as far out as its round trip is long, on a scale of
 * logarithms. A host that does not answer is on the outermost ring.
 * @module
 */
import type { MemberJson } from '../api/members.ts';
import { List, part, s, say, set } from './dom.ts';
import { percentText, rttText } from './words.ts';

/** Radii of the picture's units: of the shortest round trip shown, and what each power of ten adds. */
const NEAREST = 80;
const DECADE = 55;
const SHORTEST_MS = 0.1;
const RINGS_MS = [0.1, 1, 10, 100];
/** Where the first of the others is: not on a line with the names of the rings. */
const FIRST_ANGLE = -1.2;
/** The rings have their names down here. */
const NAMES_ANGLE = 0.95;
/** Where those are that no round trip is known of. */
const OUTSIDE = 285;
/** More than so many have their names only when they are looked at, and smaller marks. */
const NAMED_MAX = 28;
const NAME_CHARACTERS = 18;
/** A share of lost probes that is worth a colour. */
const LOSS_SHOWN = 0.02;

type Place = { member: MemberJson; x: number; y: number; isMany: boolean };

function radiusOf({ rttMs, state, self }: MemberJson): number {
  if (self) return 0;
  if (rttMs === null || state === 'dead' || state === 'left') return OUTSIDE;
  const radius = NEAREST + DECADE * Math.log10(Math.max(rttMs, SHORTEST_MS) / SHORTEST_MS);
  return Math.min(radius, OUTSIDE - 20);
}

/** One place for each, others spread around this host in the order of their ids. */
export function placesOf(members: readonly MemberJson[]): Place[] {
  const others = members.filter(({ self }) => !self).sort((a, b) => (a.id < b.id ? -1 : 1));
  const isMany = others.length > NAMED_MAX;
  return [...others, ...members.filter(({ self }) => self)].map((member, index) => {
    const radius = radiusOf(member);
    const angle = (2 * Math.PI * index) / Math.max(1, others.length) + FIRST_ANGLE;
    return { member, x: radius * Math.cos(angle), y: radius * Math.sin(angle), isMany };
  });
}

/** A host in one sentence, for whoever does not see the picture. */
export function hostSentence({ name, id, state, rttMs, loss, self }: MemberJson): string {
  const who = name === '' ? id : name;
  if (self) return `${who}, this host`;
  return `${who}, ${state}, round trip ${rttMs === null ? 'not known' : rttText(rttMs)}, loss ${percentText(loss)}`;
}

/** A mark that tells states apart by shape too: a disc, a diamond for suspect, a ring for dead. */
function markOf(state: MemberJson['state'], size: number): string {
  if (state === 'suspect') return `M0 ${-size}L${size} 0L0 ${size}L${-size} 0Z`;
  return `M${-size} 0a${size} ${size} 0 1 0 ${2 * size} 0a${size} ${size} 0 1 0 ${-2 * size} 0Z`;
}

function makeHost(): SVGGElement {
  return s(
    'g',
    { role: 'button', tabindex: -1 },
    s('title'),
    s('circle', { class: 'halo' }),
    s('path', { class: 'mark' }),
    s('text', { class: 'name', 'aria-hidden': 'true' }),
    s('text', { class: 'figure', 'aria-hidden': 'true' }),
  );
}

/** Names stand outside of the ring, on the side that has room. */
function anchorOf(x: number, y: number): { anchor: string; dx: number; dy: number } {
  if (Math.abs(x) < 60) return { anchor: 'middle', dx: 0, dy: y < 0 ? -28 : 26 };
  return { anchor: x > 0 ? 'start' : 'end', dx: x > 0 ? 15 : -15, dy: -1 };
}

function updateHost(element: SVGGElement, { member, x, y, isMany }: Place, chosen: string): void {
  const { id, name, state, self, rttMs } = member;
  const size = self ? 13 : isMany ? 6 : 9;
  const [title, halo, mark, label, figure] = element.children;
  if (!title || !halo || !mark || !label || !figure) return;
  set(element, {
    class: `host ${state}${self ? ' self' : ''}`,
    transform: `translate(${x.toFixed(1)} ${y.toFixed(1)})`,
    'data-id': id,
    'aria-label': hostSentence(member),
    'aria-pressed': String(id === chosen),
  });
  say(title, hostSentence(member));
  set(halo, { r: size + 5 });
  set(mark, { d: markOf(state, size) });
  const shown = name === '' ? id.slice(0, 8) : name;
  say(label, shown.length > NAME_CHARACTERS ? `${shown.slice(0, NAME_CHARACTERS - 1)}…` : shown);
  say(figure, self ? 'this host' : state === 'alive' ? rttText(rttMs) : state);
  const { anchor, dx, dy } = self ? { anchor: 'middle', dx: 0, dy: 32 } : anchorOf(x, y);
  set(label, { x: dx, y: dy, 'text-anchor': anchor });
  set(figure, { x: dx, y: dy + 15, 'text-anchor': anchor });
}

function wayClass({ state, loss }: MemberJson): string {
  if (state !== 'alive') return `way ${state}`;
  return loss > LOSS_SHOWN ? 'way lossy' : 'way';
}

export class HostMap {
  readonly #svg: SVGSVGElement;
  readonly #ways: List<Place, SVGLineElement>;
  readonly #hosts: List<Place, SVGGElement>;
  #ids: string[] = [];
  #focused = '';
  #chosen = '';

  /** @param choose is called with the id of the host that somebody chooses */
  constructor(svg: SVGSVGElement, choose: (id: string) => void) {
    this.#svg = svg;
    const [ways, hosts] = [s('g', { 'aria-hidden': 'true' }), s('g')];
    set(svg, { role: 'group', 'aria-labelledby': 'map-name', 'aria-describedby': 'map-help' });
    svg.append(rings(), ways, hosts);
    this.#ways = new List(ways, {
      key: ({ member }) => member.id,
      make: () => s('line', { x1: 0, y1: 0 }),
      update: (line, { member, x, y }) =>
        set(line, { class: wayClass(member), x2: x.toFixed(1), y2: y.toFixed(1) }),
    });
    this.#hosts = new List(hosts, {
      key: ({ member }) => member.id,
      make: makeHost,
      update: (element, place) => updateHost(element, place, this.#chosen),
    });
    // Some browsers put a stop for the Tab key at an svg element that listens for focus itself.
    const around: HTMLElement = part('map-card', HTMLElement);
    const idOf = ({ target }: Event): string | undefined =>
      target instanceof Element
        ? (target.closest('#map [data-id]')?.getAttribute('data-id') ?? undefined)
        : undefined;
    around.addEventListener('click', (event) => {
      const id = idOf(event);
      if (id !== undefined) choose(id);
    });
    around.addEventListener('focusin', (event) => {
      this.#focused = idOf(event) ?? this.#focused;
      this.#tabStops();
    });
    around.addEventListener('keydown', (event) => this.#key(event, choose));
  }

  show(members: readonly MemberJson[], chosen: string): void {
    this.#chosen = chosen;
    const places = placesOf(members);
    this.#ids = places.map(({ member }) => member.id);
    this.#svg.classList.toggle('many', places[0]?.isMany ?? false);
    this.#ways.show(places.filter(({ member }) => !member.self));
    this.#hosts.show(places);
    this.#tabStops();
  }

  /** One stop for the Tab key, as a group of buttons has; the arrows go on from there. */
  #tabStops(): void {
    const stop = this.#ids.includes(this.#focused) ? this.#focused : (this.#ids.at(-1) ?? '');
    for (const id of this.#ids) {
      const element = this.#hosts.get(id);
      if (element !== undefined) set(element, { tabindex: id === stop ? 0 : -1 });
    }
  }

  #key(event: KeyboardEvent, choose: (id: string) => void): void {
    const at = this.#ids.indexOf(this.#focused);
    if (at < 0) return;
    const last = this.#ids.length - 1;
    const places: Readonly<Record<string, number>> = {
      ...{ ArrowRight: at === last ? 0 : at + 1, ArrowDown: at === last ? 0 : at + 1 },
      ...{ ArrowLeft: at === 0 ? last : at - 1, ArrowUp: at === 0 ? last : at - 1 },
      ...{ Home: 0, End: last },
    };
    const next = places[event.key];
    if (event.key === 'Enter' || event.key === ' ') choose(this.#focused);
    else if (next !== undefined) this.#hosts.get(this.#ids[next] ?? '')?.focus();
    else return;
    event.preventDefault();
  }
}

function ringName(radius: number, name: string): SVGTextElement {
  const [x, y] = [radius * Math.cos(NAMES_ANGLE), radius * Math.sin(NAMES_ANGLE)];
  return s('text', { class: 'ring-name', x: x.toFixed(1), y: (y + 4).toFixed(1) }, name);
}

function rings(): SVGGElement {
  const group = s('g', { 'aria-hidden': 'true' });
  for (const ms of RINGS_MS) {
    const radius = NEAREST + DECADE * Math.log10(ms / SHORTEST_MS);
    group.append(s('circle', { class: 'ring', r: radius }), ringName(radius, `${ms} ms`));
  }
  group.append(s('circle', { class: 'ring out', r: OUTSIDE }), ringName(OUTSIDE, 'no answer'));
  return group;
}
