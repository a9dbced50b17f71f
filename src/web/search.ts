/**
 * The search: an address, or part of the name of a host, a workload or an entry.
 * @module
 */
import { type FoundJson, findCall } from '../api/entries.ts';
import { messageOf } from '../errors.ts';
import type { Client } from './client.ts';
import { h, part, say } from './dom.ts';

function makeFound(found: FoundJson, choose: (id: string) => void): HTMLLIElement {
  const { name, address, text, member } = found;
  const title = address === '' || address === name ? name : `${name} (${address})`;
  const item = h('li', {}, h('p', {}, h('b', {}, title)), h('p', {}, text));
  if (member !== '') {
    const button = h('button', { type: 'button', class: 'link-like' }, 'Show its host');
    button.addEventListener('click', () => choose(member));
    item.append(button);
  }
  return item;
}

/** Makes the form search, and `/` come to it. */
export function startSearch(client: Client, choose: (id: string) => void): void {
  const input = part('wanted', HTMLInputElement);
  const none = part('found-none', HTMLElement);
  const list = part('found', HTMLElement);
  const tell = (text: string): void => {
    none.hidden = text === '';
    say(none, text);
  };
  part('search', HTMLFormElement).addEventListener('submit', (event) => {
    event.preventDefault();
    const wanted = input.value.trim();
    list.replaceChildren();
    if (wanted === '') return tell('Type an address, or part of a name.');
    client.ask(findCall, { wanted }).then(
      (found) => {
        // Somebody may have asked for something else meanwhile.
        if (input.value.trim() !== wanted) return;
        tell(found.length === 0 ? `Nothing here is called ${wanted}.` : '');
        list.replaceChildren(...found.map((each) => makeFound(each, choose)));
      },
      (error: unknown) => tell(messageOf(error)),
    );
  });
  document.addEventListener('keydown', (event) => {
    const isTyping = event.target instanceof HTMLInputElement;
    if (event.key !== '/' || isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    input.focus();
    input.select();
  });
}
