/**
 * Readers of values that came as JSON: each looks at everything that its type promises, and says where
 * it is not so. Fields that nobody asks for are kept, so that an answer of a later build is still one.
 * @module
 */

import { isUnderlayAddress, type UnderlayAddress } from '../net/underlay-address.ts';

/** A value is not what it should be; the message says where. */
export class ShapeError extends Error {
  override name = 'ShapeError';
}

/** `at` names the value in messages, like `links[2].name`. @throws ShapeError */
export type Reader<T> = (value: unknown, at: string) => T;

/** What a reader returns. */
export type ReadBy<R> = R extends Reader<infer T> ? T : never;

/** Elements of a list, and fields of a record, that are looked at: more is refused. */
const ELEMENTS_MAX = 1_000_000;

function refuse(at: string, what: string): never {
  throw new ShapeError(`${at === '' ? 'it' : at} is not ${what}`);
}

export const text: Reader<string> = (value, at) =>
  typeof value === 'string' ? value : refuse(at, 'text');

export const number: Reader<number> = (value, at) =>
  typeof value === 'number' ? value : refuse(at, 'a number');

/** A whole number from 0 up. */
export const count: Reader<number> = (value, at) =>
  typeof value === 'number' && Number.isInteger(value) && value >= 0
    ? value
    : refuse(at, 'a whole number from 0 up');

/** An underlay address, as control itself keeps it. */
export const host: Reader<UnderlayAddress> = (value, at) =>
  isUnderlayAddress(value) ? value : refuse(at, 'the address of a host');

export const flag: Reader<boolean> = (value, at) =>
  typeof value === 'boolean' ? value : refuse(at, 'true or false');

/** No body, or none that counts. */
export const nothing: Reader<undefined> = () => undefined;

export function nullable<T>(reader: Reader<T>): Reader<T | null> {
  return (value, at) => (value === null ? null : reader(value, at));
}

/** One of these words. */
export function word<const W extends string>(...words: readonly W[]): Reader<W> {
  return (value, at) =>
    words.find((each) => each === value) ?? refuse(at, `one of ${words.join(', ')}`);
}

export function list<T>(reader: Reader<T>, max = ELEMENTS_MAX): Reader<T[]> {
  return (value, at) => {
    if (!Array.isArray(value)) return refuse(at, 'a list');
    if (value.length > max) return refuse(at, `a list of at most ${max}`);
    return value.map((each, i) => reader(each, `${at}[${i}]`));
  };
}

function objectOf(value: unknown, at: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return refuse(at, 'an object');
  }
  return { ...value };
}

/** An object whose fields are all of one kind, by names that are not known. */
export function record<T>(reader: Reader<T>): Reader<Record<string, T>> {
  return (value, at) =>
    Object.fromEntries(
      Object.entries(objectOf(value, at)).map(([key, each]) => [key, reader(each, `${at}.${key}`)]),
    );
}

type Readers<T> = { readonly [K in keyof T]-?: Reader<T[K]> };

/** A field that may be left out. */
export function optional<T>(reader: Reader<T>): Reader<T | undefined> {
  return (value, at) => (value === undefined ? undefined : reader(value, at));
}

/** An object with these fields; others are kept as they are. */
export function fields<T extends object>(readers: Readers<T>): Reader<T> {
  const entries = Object.entries<Reader<unknown>>(readers);
  return (value, at) => {
    const object = objectOf(value, at);
    for (const [key, reader] of entries) {
      const read = reader(object[key], at === '' ? key : `${at}.${key}`);
      if (read !== undefined) object[key] = read;
    }
    // Every field of T has been read by its reader.
    return object as T;
  };
}
