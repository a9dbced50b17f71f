/**
 * When entries of a link stay what they are although the link has changed.
 * @module
 */
import { equals } from '../../net/prefix.ts';
import { equals6 } from '../../net/prefix6.ts';
import { sameHostPrefix } from '../../net/underlay-address.ts';
import type { LinkSpec, SixSpec } from '../store/link-spec.ts';

function sameSix(a: SixSpec | undefined, b: SixSpec | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.vni === b.vni && equals6(a.overlay, b.overlay) && a.slice.length === b.slice.length;
}

/** Whether the same prefixes of others mean the same on both. */
export function sameFan(a: LinkSpec, b: LinkSpec): boolean {
  return (
    a.vni === b.vni &&
    equals(a.overlay, b.overlay) &&
    sameHostPrefix(a.underlay, b.underlay) &&
    a.slice.length === b.slice.length &&
    sameSix(a.six, b.six)
  );
}
