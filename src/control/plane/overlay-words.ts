/**
 * What a link's record in shared memory says of its overlays.
 * @module
 */
import { ENCAPS } from '../../encap/encap.ts';
import type { LinkRow } from '../../table/links/links.ts';
import type { LinkUpdate } from '../host/host.ts';
import type { LinkSpec } from '../store/link-spec.ts';

type Words =
  | 'overlay6Word0'
  | 'overlay6Word1'
  | 'overlay6Word2'
  | 'overlay6Word3'
  | 'overlay6Length'
  | 'vni6';

/** A link's spec after a change; an IPv6 side that is undefined is there no more. */
export function updatedSpec(spec: LinkSpec, change: LinkUpdate): LinkSpec {
  const { six: before, ...plain } = spec;
  const { six: after, ...rest } = change;
  const six = 'six' in change ? after : before;
  return { ...plain, ...rest, ...(six !== undefined && { six }) };
}

export function overlayWords({
  overlay,
  six,
  encap,
}: LinkSpec): Pick<LinkRow, Words | 'overlayAddress' | 'overlayLength'> {
  const words = { overlayAddress: overlay.address, overlayLength: overlay.length };
  if (six === undefined) return words;
  const [overlay6Word0, overlay6Word1, overlay6Word2, overlay6Word3] = six.overlay.address;
  return {
    ...words,
    ...{ overlay6Word0, overlay6Word1, overlay6Word2, overlay6Word3 },
    overlay6Length: six.overlay.length,
    vni6: ENCAPS[encap].hasVni ? six.vni : 0,
  };
}
