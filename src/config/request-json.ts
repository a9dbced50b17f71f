/**
 * A {@link FanRequest} that came over the admin socket: every field checked, none unknown.
 * @module
 */
import { usageError } from '../errors.ts';
import { UNDERLAYS_MAX } from '../net/underlay-modes.ts';
import { FAN_ROWS } from './link/fan-rows.ts';
import { isNat } from './link/nat.ts';
import { areSelectors, isSelector } from './link/sides.ts';
import type { FanRequest } from './request.ts';
import { boolean, isNetwork4, isNetworkOf6 } from './row/kinds.ts';
import { fieldNames, fieldsOfJson } from './row/row.ts';

function bad(field: string): never {
  throw usageError('bad-request', `field ${field} is missing or not what it should be`);
}

/** A value that `is` knows. @throws FanwayError */
function take<T>(field: string, value: unknown, is: (value: unknown) => value is T): T {
  return is(value) ? value : bad(field);
}

/** Fields that several settings make, or none. */
const OWN_FIELDS = ['overlay', 'overlay6', 'underlay', 'further', 'nat', 'auto'];
const FIELDS = new Set([...fieldNames(FAN_ROWS), ...OWN_FIELDS]);

/**
 * Reads a whole request; every field must be there that has no default of its own.
 * @throws FanwayError (exit code 2) naming the field
 */
export function requestFromJson(value: unknown): FanRequest {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return bad('request');
  for (const field of Object.keys(value)) {
    if (!FIELDS.has(field)) throw usageError('bad-request', 'request has an unknown field');
  }
  const of = (field: string): unknown => Reflect.get(value, field);
  const [overlay6, further, nat] = [of('overlay6'), of('further'), of('nat')];
  const beside = further === undefined ? [] : take('further', further, areSelectors);
  if (further !== undefined && (beside.length === 0 || beside.length >= UNDERLAYS_MAX)) {
    return bad('further');
  }
  return {
    ...fieldsOfJson(FAN_ROWS, value, bad),
    overlay: take('overlay', of('overlay'), isNetwork4),
    ...(overlay6 !== undefined && { overlay6: take('overlay6', overlay6, isNetworkOf6) }),
    underlay: take('underlay', of('underlay'), isSelector),
    ...(further !== undefined && { further: beside }),
    ...(nat !== undefined && { nat: take('nat', nat, isNat) }),
    auto: take('auto', of('auto'), boolean.is),
  };
}
