/**
 * What a neighbour is told: which paths, with which attributes (RFC 4271 §5, §9.2).
 * @module
 */
import { prependAs } from '../../wire/bgp/as-path.ts';
import type { Attributes, RawAttribute } from '../../wire/bgp/attributes.ts';
import { ATTRIBUTE_ROWS } from '../../wire/bgp/attributes.ts';
import { isTransitive } from '../../wire/bgp/communities.ts';
import { AttributeFlag } from '../../wire/bgp/iana.ts';
import { LOCAL_PREF_DEFAULT } from './best-path.ts';
import type { Path, PathSource } from './path.ts';

/** Well-known communities (RFC 1997). */
const NO_EXPORT = 0xffffff01;
const NO_ADVERTISE = 0xffffff02;
const NO_EXPORT_SUBCONFED = 0xffffff03;

/** May this path be told to that neighbour? `transit` = what others told may be passed on. */
export function mayTell(path: Path, to: PathSource, transit: boolean): boolean {
  if (path.source.kind === 'local') return true;
  if (!transit || path.source === to) return false;
  // Only a reflector tells its own AS what its own AS told, and we are none (RFC 4456).
  if (path.source.kind === 'internal' && to.kind === 'internal') return false;
  const communities = path.attributes.communities ?? [];
  if (communities.includes(NO_ADVERTISE)) return false;
  const staysInside = communities.includes(NO_EXPORT) || communities.includes(NO_EXPORT_SUBCONFED);
  return to.kind === 'internal' || !staysInside;
}

/** Attributes that we do not know go on marked so; those that may not go on do not. */
function passOn(opaque: readonly RawAttribute[]): RawAttribute[] {
  const transitive = opaque.filter(({ flags }) => (flags & AttributeFlag.Transitive) !== 0);
  return transitive.map((raw) =>
    ATTRIBUTE_ROWS.has(raw.code) ? raw : { ...raw, flags: raw.flags | AttributeFlag.Partial },
  );
}

/** The attributes as they go to a neighbour of that kind, from a speaker of AS `as`. */
export function outgoingAttributes(path: Path, to: PathSource['kind'], as: number): Attributes {
  const { localPref, multiExitDisc, originatorId, clusterList, extended, opaque, ...rest } =
    path.attributes;
  const isOurs = path.source.kind === 'local';
  const out: Attributes = { ...rest, asPath: rest.asPath ?? [] };
  const communities = to === 'external' ? extended?.filter(isTransitive) : extended;
  if (communities !== undefined && communities.length > 0) out.extended = communities;
  const others = isOurs ? opaque : opaque && passOn(opaque);
  if (others !== undefined && others.length > 0) out.opaque = others;
  if (to === 'external') {
    out.asPath = prependAs(out.asPath ?? [], as);
    // A MED goes one AS far (RFC 4271 §5.1.4).
    if (isOurs && multiExitDisc !== undefined) out.multiExitDisc = multiExitDisc;
    return out;
  }
  out.localPref = localPref ?? LOCAL_PREF_DEFAULT;
  if (multiExitDisc !== undefined) out.multiExitDisc = multiExitDisc;
  return out;
}
