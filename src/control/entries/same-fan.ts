/**
 * When entries of a link stay what they are although the link has changed.
 * @module
 */
import { equals } from '../../net/prefix.ts';
import { sameHostPrefix } from '../../net/underlay-address.ts';
import type { LinkSpec } from '../store/link-spec.ts';

/** Whether the same prefixes of others mean the same on both. */
export function sameFan(a: LinkSpec, b: LinkSpec): boolean {
  return (
    a.vni === b.vni &&
    equals(a.overlay, b.overlay) &&
    sameHostPrefix(a.underlay, b.underlay) &&
    a.slice.length === b.slice.length
  );
}
