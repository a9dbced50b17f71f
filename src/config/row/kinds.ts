/**
 * What a setting's value may be: its type in the table, its bounds, and whether a value is one. The same check
 * stands behind a value that was read from text and one that came as JSON.
 * @module
 */
import { isNetwork, type Prefix } from '../../net/prefix.ts';
import { isNetwork6, type Prefix6 } from '../../net/prefix6.ts';
import {
  formatHostAddress,
  isUnderlayAddress,
  type UnderlayAddress,
} from '../../net/underlay-address.ts';
import { parseInterfaceName, type SettingType, ValueError } from './setting.ts';

/** A kind of value. */
export type ValueKind<T> = {
  readonly type: SettingType;
  readonly choices?: readonly string[];
  readonly min?: number;
  readonly max?: number;
  is(value: unknown): value is T;
  /** In words, where that is not how it prints. */
  text?(value: T): string;
};

/** A value in words. */
export function textOf<T>({ text = String }: ValueKind<T>, value: T): string {
  return text(value);
}

/** One of these words. */
export function choice<const C extends string>(choices: readonly C[]): ValueKind<C> {
  return {
    ...{ type: 'choice', choices },
    is: (value): value is C => choices.some((each) => each === value),
  };
}

/** A whole number, the bounds included. */
export function integer(min: number, max: number): ValueKind<number> {
  return {
    ...{ type: 'integer', min, max },
    is: (value): value is number =>
      typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max,
  };
}

/** Yes or no. */
export const boolean: ValueKind<boolean> = {
  type: 'boolean',
  is: (value): value is boolean => typeof value === 'boolean',
  text: (value) => (value ? 'yes' : 'no'),
};

/** A name for an interface that fanway makes. */
export const interfaceName: ValueKind<string> = {
  type: 'interface-name',
  is: (value): value is string => {
    try {
      return typeof value === 'string' && parseInterfaceName(value) === value;
    } catch (error) {
      if (error instanceof ValueError) return false;
      throw error;
    }
  },
};

/** At most `max` of what `is` knows; `text` is one of them in words. */
export function listOfAtMost<T>(
  type: SettingType,
  max: number,
  is: (value: unknown) => value is T,
  text: (value: T) => string,
): ValueKind<readonly T[]> {
  return {
    ...{ type, max },
    is: (value): value is readonly T[] =>
      Array.isArray(value) && value.length <= max && value.every(is),
    text: (values) => values.map(text).join(' ') || 'none',
  };
}

/** Addresses of hosts. */
export function hosts(max: number): ValueKind<readonly UnderlayAddress[]> {
  return listOfAtMost('addresses', max, isUnderlayAddress, formatHostAddress);
}

/** A value that `is` knows, of a type that has no bounds. */
export function known<T>(type: SettingType, is: (value: unknown) => value is T): ValueKind<T> {
  return { type, is };
}

/** The same, or null: what nobody has asked for follows from something else. */
export function orNull<T>(kind: ValueKind<T>): ValueKind<T | null> {
  return {
    ...kind,
    is: (value): value is T | null => value === null || kind.is(value),
    text: (value) => (value === null ? 'automatic' : textOf(kind, value)),
  };
}

function fieldsOf(value: unknown): { address: unknown; length: unknown } | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  const { address, length, ...rest } = { address: undefined, length: undefined, ...value };
  return Object.keys(rest).length === 0 ? { address, length } : undefined;
}

function isWord(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 0xffff_ffff;
}

const isLength4 = integer(0, 32).is;
const isLength6 = integer(0, 128).is;

/** An IPv4 network: no bits below its mask. */
export function isNetwork4(value: unknown): value is Prefix {
  const fields = fieldsOf(value);
  if (fields === undefined) return false;
  const { address, length } = fields;
  return isWord(address) && isLength4(length) && isNetwork({ address, length });
}

/** An IPv6 network: four words of 32 bits, the highest first, and a length. */
export function isNetworkOf6(value: unknown): value is Prefix6 {
  const fields = fieldsOf(value);
  if (fields === undefined || !Array.isArray(fields.address)) return false;
  const { address, length } = fields;
  const [a, b, c, d] = address;
  const areWords = address.length === 4 && isWord(a) && isWord(b) && isWord(c) && isWord(d);
  return areWords && isLength6(length) && isNetwork6({ address: [a, b, c, d], length });
}
