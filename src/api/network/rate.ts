/**
 * The rate and the flow keys of a link in what travels over the admin socket.
 * @module
 */
import {
  areFlowKeys,
  arePeerRates,
  isRate,
  type PeerRate,
  type Rate,
  type RateRequest,
} from '../../config/link/rate.ts';
import type { FlowKeyName } from '../../net/flow-keys.ts';
import { optional, type Reader, ShapeError } from '../reader.ts';

/** A value that is what `is` says. */
function checked<T>(is: (value: unknown) => value is T, what: string): Reader<T> {
  return (value, at) => {
    if (is(value)) return value;
    throw new ShapeError(`${at} is not ${what}`);
  };
}

const rate = checked<Rate>(isRate, 'a rate');
const flowKeys = checked<readonly FlowKeyName[]>(areFlowKeys, 'a list of flow keys');

const peerRates = checked<readonly PeerRate[]>(arePeerRates, 'a list of rates by host');

/** Readers of a request's fields, which may be left out. */
export const rateFields: {
  readonly [K in keyof RateRequest]-?: Reader<RateRequest[K]>;
} = { rate: optional(rate), flowKeys: optional(flowKeys), peerRates: optional(peerRates) };
