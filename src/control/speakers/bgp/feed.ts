/**
 * What BGP says of the links of this host, as claims: prefixes inside a fan (type 5) that are not
 * where the arithmetic has them. What is announced here is a claim of its own, of the source `local`:
 * nobody else's word takes it away.
 * @module
 */
import type { EntryChange, ImportedEntry, ImportedPlace } from '../../../bgp/rib/imports.ts';
import type { OwnRoute } from '../../../bgp/rib/own-routes.ts';
import type { Speaker } from '../../../bgp/speaker.ts';
import { ENCAPS } from '../../../encap/encap.ts';
import {
  formatHostAddress,
  holdsHost,
  noHost,
  type UnderlayAddress,
  type UnderlayPrefix,
} from '../../../net/underlay-address.ts';
import { type Claim, type ClaimUpdate, slotOfEntry } from '../../../rib/entry.ts';
import type { EntrySink } from '../../entries/entry-service.ts';
import { sameFan } from '../../entries/same-fan.ts';
import { type LinkSpec, placeOf, sideOf } from '../../store/link-spec.ts';
import { hostOfIp } from './addresses.ts';
import type { SpeakerFollower } from './followers.ts';

export class BgpFeed implements SpeakerFollower {
  readonly #sink: EntrySink;
  readonly #specs: () => readonly LinkSpec[];
  #speaker: Speaker | undefined;
  #links: readonly LinkSpec[] = [];
  /** What is announced here and was told, by link and prefix. */
  #own = new Map<string, ClaimUpdate>();
  /** Prefixes under another VNI than the fan's: no way leads there. */
  unreachable = 0;

  constructor(sink: EntrySink, specs: () => readonly LinkSpec[]) {
    this.#sink = sink;
    this.#specs = specs;
  }

  follow(speaker: Speaker | undefined): void {
    this.#speaker = speaker;
    this.#links = [];
    this.#sink.withdraw('bgp');
    if (speaker === undefined) this.ownChanged();
    else this.refresh();
  }

  changed({ entry, to }: EntryChange): void {
    const updates = this.#links.flatMap((spec) => updateOf(spec, entry, to) ?? []);
    if (updates.length > 0 && to !== undefined && to.label !== entry.vni) this.unreachable++;
    if (updates.length > 0) this.#sink.update('bgp', updates);
  }

  refresh(): void {
    if (this.#speaker === undefined) return;
    const before = new Map(this.#links.map((spec) => [spec.name, spec]));
    this.#links = [...this.#specs()];
    for (const spec of this.#links) {
      const known = before.get(spec.name);
      before.delete(spec.name);
      if (known !== undefined && sameFan(known, spec)) continue;
      if (known !== undefined) this.#sink.withdraw('bgp', spec.name);
      const updates: ClaimUpdate[] = [];
      for (const { vni } of networksOf(spec)) {
        for (const { entry, place } of this.#speaker.imports.entries(vni)) {
          const update = updateOf(spec, entry, place);
          if (update?.claim !== undefined) updates.push(update);
        }
      }
      this.#sink.update('bgp', updates);
    }
    for (const name of before.keys()) this.#sink.withdraw('bgp', name);
    this.ownChanged();
  }

  /** What is announced here may be another. */
  ownChanged(): void {
    const wanted = new Map<string, ClaimUpdate>();
    for (const route of this.#speaker?.own ?? []) {
      if (route.kind !== 'prefix') continue;
      for (const spec of this.#links) {
        const { vtep } = this.#speaker?.settings ?? {};
        const update = updateOf(
          spec,
          route,
          vtep === undefined ? vtep : { vtep, label: route.vni },
        );
        if (update?.claim === undefined) continue;
        wanted.set(`${spec.name} ${slotOfEntry(update.id)}`, update);
      }
    }
    const updates = [...wanted].flatMap(([key, update]) => {
      return this.#own.get(key)?.claim?.peer === update.claim?.peer ? [] : [update];
    });
    for (const [key, { id }] of this.#own) {
      if (!wanted.has(key)) updates.push({ id, claim: undefined });
    }
    this.#own = wanted;
    if (updates.length > 0) this.#sink.update('local', updates);
  }
}

/** What a fan is to BGP in one of its families: a network, and our slice there. */
type FanNetwork = { vni: number; overlay: UnderlayPrefix; slice: UnderlayPrefix };

/** The networks of a fan, one for each family inside; none where its encapsulation has no VNI. */
export function networksOf(spec: LinkSpec): FanNetwork[] {
  if (!ENCAPS[spec.encap].hasVni) return [];
  return ([4, 6] as const).flatMap((family) => {
    const side = sideOf(spec, noHost(family));
    if (side === undefined) return [];
    const vni = family === 4 ? spec.vni : (spec.six?.vni ?? 0);
    return [{ vni, overlay: side.overlay, slice: side.slice }];
  });
}

/** What an entry of BGP means for a link; undefined = nothing. */
function updateOf(
  spec: LinkSpec,
  entry: ImportedEntry | OwnRoute,
  place: Pick<ImportedPlace, 'vtep' | 'label'> | undefined,
): ClaimUpdate | undefined {
  if (entry.kind !== 'prefix') return undefined;
  const prefix = { address: hostOfIp(entry.address), length: entry.length };
  const isInside = networksOf(spec).some(
    ({ vni, overlay }) => vni === entry.vni && holdsHost(overlay, prefix.address),
  );
  if (!isInside) return undefined;
  const id = { link: spec.name, kind: 'prefix', ...prefix } as const;
  // A fan's VNI follows from its overlay: its hosts know no other.
  const isOurs = place?.label === entry.vni;
  return { id, claim: isOurs ? claimOf(spec, prefix, hostOfIp(place.vtep)) : undefined };
}

function claimOf(
  spec: LinkSpec,
  { address, length }: UnderlayPrefix,
  peer: UnderlayAddress,
): Claim | undefined {
  // Only hosts of this very fan: the link has no way to others.
  if (!holdsHost(spec.underlay, peer)) return undefined;
  const place = placeOf(spec, address);
  if (place === undefined || length < place.slice.length || place.peer === peer) return undefined;
  return { peer, owner: formatHostAddress(peer), sequence: 0, mac: 0 };
}
