/**
 * Entries as a table: what is elsewhere than its address says, where it is and who says so.
 * @module
 */
import { type PlacedEntry, placedEntriesCall } from '../api/entries.ts';
import type { Client } from './client.ts';
import { h, List, part, say } from './dom.ts';

/** Rows that are shown at first, and that each click adds. */
const STEP = 50;
const SHOWN_MAX = 5000;

const TITLES = ['Entry', 'Link', 'At host', 'From', 'Told by'] as const;

function textsOf({ entry, link, host, source, name, owner }: PlacedEntry): string[] {
  return [entry, link, host, source, name || owner];
}

export class EntriesView {
  readonly #client: Client;
  readonly #rows: List<PlacedEntry, HTMLTableRowElement>;
  #wanted = STEP;

  constructor(client: Client) {
    this.#client = client;
    this.#rows = new List(part('entries-rows', HTMLElement), {
      key: ({ link, kind, entry, host }) =>
        `${link} ${kind} ${entry} ${kind === 'flood' ? host : ''}`,
      make: () =>
        h(
          'tr',
          {},
          ...TITLES.map((title, index) =>
            h('td', { 'data-title': title, class: index % 2 === 0 ? 'mono' : '' }),
          ),
        ),
      update: (row, entry) => {
        for (const [index, text] of textsOf(entry).entries()) {
          const cell = row.children[index];
          if (cell) say(cell, text);
        }
      },
    });
    part('entries-more', HTMLButtonElement).addEventListener('click', () => {
      this.#wanted = Math.min(this.#wanted + STEP, SHOWN_MAX);
      void this.refresh();
    });
  }

  /** @throws what the client throws. */
  async refresh(): Promise<void> {
    const { entries, next } = await this.#client.ask(placedEntriesCall, {
      from: 0,
      count: this.#wanted,
    });
    this.#rows.show(entries);
    part('entries-none', HTMLElement).hidden = entries.length > 0;
    part('entries-table', HTMLElement).hidden = entries.length === 0;
    part('entries-more', HTMLElement).hidden = next === null || this.#wanted >= SHOWN_MAX;
  }
}
