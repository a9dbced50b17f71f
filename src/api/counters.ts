/**
 * What became of every packet, on the admin socket.
 * @module
 */
import { get } from './call.ts';
import { number, record } from './reader.ts';

/** By link, then by public name. */
export const countersCall = get('/v1/counters', record(record(number)));
