/**
 * What BGP says of the links of this host, as claims: prefixes inside a fan (type 5) that are not
 * where the arithmetic has them. What is announced here is a claim of its own, of the source `local`:
 * nobody else's word takes it away.
 * @module
 */
import type { Entry, EntryChange, Place } from '../../../bgp/rib/imports.ts';
import type { OwnRoute } from '../../../bgp/rib/own-routes.ts';
import type { Speaker } from '../../../bgp/speaker.ts';
import { peerOf } from '../../../net/fan.ts';
import { contains } from '../../../net/prefix.ts';
import { formatHostAddress, holdsHost, hostOfBytes } from '../../../net/underlay-address.ts';
import { type Claim, type ClaimUpdate, slotOfEntry } from '../../../rib/entry.ts';
import type { EntrySink } from '../../entries/entry-service.ts';
import { sameFan } from '../../entries/same-fan.ts';
import type { LinkSpec } from '../../store/link-spec.ts';
import type { SpeakerFollower } from './followers.ts';

export class BgpFeed implements SpeakerFollower {
  readonly #sink: EntrySink;
  readonly #specs: () => readonly LinkSpec[];
  #speaker: Speaker | undefined;
  #links: readonly LinkSpec[] = [];
  /** What is announced here and was told, by link and prefix. */
  #own = new Map<string, ClaimUpdate>();

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
    const updates = this.#links.flatMap((spec) => updateOf(spec, entry, to?.vtep) ?? []);
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
      for (const { entry, place } of this.#speaker.imports.entries(spec.vni)) {
        const update = updateOf(spec, entry, place.vtep);
        if (update?.claim !== undefined) updates.push(update);
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
        const update = updateOf(spec, route, this.#speaker?.settings.vtep);
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

/** What an entry of BGP means for a link; undefined = nothing. */
function updateOf(
  spec: LinkSpec,
  entry: Entry | OwnRoute,
  vtep: Place['vtep'] | undefined,
): ClaimUpdate | undefined {
  if (entry.kind !== 'prefix' || typeof entry.address !== 'number') return undefined;
  const { address, length, vni } = entry;
  if (vni !== spec.vni || !contains(spec.overlay, address)) return undefined;
  const id = { link: spec.name, kind: 'prefix', address, length } as const;
  return { id, claim: claimOf(spec, address, length, vtep) };
}

function claimOf(
  spec: LinkSpec,
  address: number,
  length: number,
  vtep: Place['vtep'] | undefined,
): Claim | undefined {
  const peer = vtep instanceof Uint8Array ? hostOfBytes(vtep) : vtep;
  // Only hosts of this very fan: the link has no way to others.
  if (peer === undefined || !holdsHost(spec.underlay, peer)) return undefined;
  if (length < spec.slice.length || peerOf(spec, address) === peer) return undefined;
  return { peer, owner: formatHostAddress(peer), sequence: 0, mac: 0 };
}
