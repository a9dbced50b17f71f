/**
 * The entries' part of the admin socket.
 * @module
 */
import { explainCall, findCall, type PlacedEntry, placedEntriesCall } from '../../api/entries.ts';
import type { MemberJson } from '../../api/members.ts';
import type { UnderlayAddress } from '../../net/underlay-address.ts';
import type { Route } from '../admin/admin.ts';
import { answerTo } from '../admin/answer-to.ts';
import type { TableAnswer } from '../plane/entry-table.ts';
import { isBridged, type LinkSpec } from '../store/link-spec.ts';
import type { EntryService } from './entry-service.ts';
import type { ExplainedFan } from './explain.ts';
import type { ExplainedFan6 } from './explain6.ts';
import { findThings, type Workload } from './find.ts';
import { answerJson, placedEntry } from './views.ts';

/** Entries in one answer. */
const PAGE_MAX = 5000;
/** Entries that a search by name looks at: more would hold up the process. */
const SEARCHED_MAX = 20_000;

export type EntryRoutesOptions = {
  entries: EntryService;
  /** What the data path's table has for an address of a link. */
  answer(link: string, address: UnderlayAddress): TableAnswer | undefined;
  /** The name of a member, '' where nobody knows it. */
  nameOf(owner: string): string;
  /** The links that are up. */
  specs(): readonly LinkSpec[];
  members(): MemberJson[];
  /** What was handed out on this host. */
  workloads(): Workload[];
};

function explainedFan(spec: LinkSpec): ExplainedFan {
  return { map: spec, local: spec.local, name: spec.name, bridged: isBridged(spec) };
}

function explainedFan6({ six, underlay, local, name }: LinkSpec): ExplainedFan6[] {
  return six === undefined ? [] : [{ overlay: six.overlay, underlay, local, name }];
}

export function entryRoutes(options: EntryRoutesOptions): Route[] {
  const { entries, nameOf } = options;
  const answer = (link: string, address: UnderlayAddress) =>
    answerJson(options.answer(link, address), entries, link, nameOf);
  function* placed(from: number, most: number): Generator<PlacedEntry> {
    let number = 0;
    for (const { id, best } of entries.all()) {
      if (number >= from + most) return;
      if (number++ >= from) yield placedEntry(id, best, nameOf(best.owner));
    }
  }
  return [
    answerTo(explainCall, ({ link, address }) => answer(link, address)),
    answerTo(placedEntriesCall, ({ from, count }) => {
      const most = Math.min(count, PAGE_MAX);
      const page = [...placed(from, most + 1)];
      return { entries: page.slice(0, most), next: page.length > most ? from + most : null };
    }),
    answerTo(findCall, ({ wanted }) =>
      findThings(wanted, {
        fans: options.specs().map(explainedFan),
        fans6: options.specs().flatMap(explainedFan6),
        members: options.members(),
        workloads: options.workloads(),
        entries: placed(0, SEARCHED_MAX),
        answer,
      }),
    ),
  ];
}
