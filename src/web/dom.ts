/**
 * Elements made from data: every text is a text node, so that nothing that another host says of itself
 * becomes markup; and lists that change in place, so that focus and selection stay where they are.
 * @module
 */

type Attributes = Readonly<Record<string, string | number | boolean>>;
type Child = Node | string;

const SVG = 'http://www.w3.org/2000/svg';

function fill<E extends Element>(element: E, attributes: Attributes, children: Child[]): E {
  set(element, attributes);
  element.append(...children);
  return element;
}

/** An HTML element. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  return fill(document.createElement(tag), attributes, children);
}

/** An SVG element. */
export function s<K extends keyof SVGElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): SVGElementTagNameMap[K] {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/** Sets what differs; `false` takes an attribute away, `true` leaves it empty. */
export function set(element: Element, attributes: Attributes): void {
  for (const [name, value] of Object.entries(attributes)) {
    const text = value === true ? '' : String(value);
    if (value === false) element.removeAttribute(name);
    else if (element.getAttribute(name) !== text) element.setAttribute(name, text);
  }
}

/** Sets a text, where it is another. */
export function say(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

/** The element of the page with this id, which is of this kind. @throws Error: a mistake of ours. */
export function part<E extends Element>(id: string, kind: new () => E): E {
  const found = document.getElementById(id);
  if (found instanceof kind) return found;
  throw new Error(`the page has no ${kind.name} called ${id}`);
}

/** How one kind of thing is shown in a list. */
export type Row<T, E extends Element> = {
  key(item: T): string;
  make(item: T): E;
  update(element: E, item: T): void;
};

/** A list in the page whose elements stay as long as their things do. */
export class List<T, E extends Element> {
  readonly #parent: Element;
  readonly #row: Row<T, E>;
  readonly #made = new Map<string, E>();

  constructor(parent: Element, row: Row<T, E>) {
    this.#parent = parent;
    this.#row = row;
  }

  /** Shows these, in this order. */
  show(items: readonly T[]): void {
    const gone = new Set(this.#made.keys());
    let place = this.#parent.firstElementChild;
    for (const item of items) {
      const key = this.#row.key(item);
      gone.delete(key);
      let element = this.#made.get(key);
      if (element === undefined) {
        element = this.#row.make(item);
        this.#made.set(key, element);
      }
      this.#row.update(element, item);
      if (element === place) place = place.nextElementSibling;
      else this.#parent.insertBefore(element, place);
    }
    for (const key of gone) {
      this.#made.get(key)?.remove();
      this.#made.delete(key);
    }
  }

  /** The element of a thing. */
  get(key: string): E | undefined {
    return this.#made.get(key);
  }
}
