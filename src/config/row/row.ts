/**
 * One row says everything of a setting of a link: its key, what it may be, what holds where nobody says, its
 * words in help, and whether the link's spec carries it. The type of a request, its reader, the configuration
 * file, the flags of the command line and the comparison of two requests all follow from the rows.
 * @module
 */
import { boolean, textOf, type ValueKind } from './kinds.ts';
import type { Setting } from './setting.ts';

/**
 * `always`: a request has the field. `asked`: it is there only where something else than the default was asked
 * for, so that a request of a build that did not know the setting is one still; new ones are. `joint`:
 * several settings make one field together, by code of their own.
 */
export type Presence = 'always' | 'asked' | 'joint';

/** What becomes of a link that runs with another value: made anew, followed as it runs, or decided elsewhere. */
export type OnChange = 'anew' | 'follow' | 'elsewhere';

/** A row of a link's settings; T is the type of its field. */
export type SettingRow<T, P extends Presence = Presence> = Omit<Setting, 'section'> & {
  readonly presence: P;
  /** The link's spec has the field under the same name, with the same value. */
  readonly carried: boolean;
  /** The spec has under the same name what this host made of it, and two links are compared by that. */
  readonly resolved: boolean;
  readonly onChange: OnChange;
  /** What holds where nobody says. */
  readonly initial: unknown;
  /** The field says the opposite of the setting. */
  readonly inverted: boolean;
  /** An option with its value, and its line of help; undefined where it is no option. */
  readonly help: readonly [flag: string, line: string] | undefined;
  /** Flags without a value, and the value that each stands for. */
  readonly switches: Readonly<Record<string, boolean>>;
  is(value: unknown): value is T;
  /** In words; undefined or null where nobody asked. */
  text(value: unknown): string;
};

/** Rows by the name of the field. */
export type Rows = Readonly<Record<string, SettingRow<unknown>>>;

type ValueOf<R> = R extends { is(value: unknown): value is infer T } ? T : never;

/** What a request has by these rows. */
export type FieldsOf<R> = {
  [F in keyof R as R[F] extends { readonly presence: 'always' } ? F : never]: ValueOf<R[F]>;
} & {
  [F in keyof R as R[F] extends { readonly presence: 'asked' } ? F : never]?: ValueOf<R[F]>;
};

/** Those of the rows that a link's spec carries. */
export type CarriedRows<R> = {
  [F in keyof R as R[F] extends { readonly carried: true } ? F : never]: R[F];
};

/** What a link's spec has by these rows. */
export type CarriedOf<R> = FieldsOf<CarriedRows<R>>;

type Optional = 'default' | 'example' | 'unit' | 'required' | 'help' | 'switches';

/** What a row says beside its kind; the rest has a usual value. */
type Given = Pick<SettingRow<unknown>, 'key' | 'doc'> &
  Partial<Pick<SettingRow<unknown>, Optional | 'inverted' | 'onChange' | 'resolved' | 'text'>>;

function defaultText(initial: unknown): string {
  if (typeof initial === 'boolean') return initial ? 'yes' : 'no';
  return initial === undefined || initial === null ? '' : String(initial);
}

function rowOf<T, P extends Presence>(
  kind: ValueKind<T>,
  presence: P,
  initial: unknown,
  given: Given,
): SettingRow<T, P> {
  const { type, choices, min, max, is } = kind;
  return {
    ...{ unit: '', default: defaultText(initial), required: false, example: '', reloadable: true },
    ...{ carried: false, resolved: false, onChange: 'anew', inverted: false, help: undefined },
    switches: type === boolean.type ? { [`--${given.key}`]: true } : {},
    // What is not said is what holds anyway.
    text: (value) => (is(value) ? textOf(kind, value) : defaultText(initial) || 'none'),
    ...given,
    ...{ type, is, presence, initial },
    ...(choices !== undefined && { choices }),
    ...(min !== undefined && { min }),
    ...(max !== undefined && { max }),
  };
}

/** A field that every request has: `initial` unless something is said. */
export function always<T>(kind: ValueKind<T>, initial: T, given: Given): SettingRow<T, 'always'> {
  return rowOf(kind, 'always', initial, given);
}

/** A field that is there where something is said, and not `initial`, which holds anyway. */
export function asked<T, const D extends T = never>(
  kind: ValueKind<T>,
  given: Given,
  initial?: D,
): SettingRow<Exclude<T, D>, 'asked'> {
  const is = (value: unknown): value is Exclude<T, D> => value !== initial && kind.is(value);
  return rowOf<Exclude<T, D>, 'asked'>({ ...kind, is }, 'asked', initial, given);
}

/** A setting that makes a field together with others. */
export function joint<T>(kind: ValueKind<T>, given: Given): SettingRow<T, 'joint'> {
  return rowOf(kind, 'joint', undefined, { onChange: 'elsewhere', ...given });
}

/** The same row, of a field that the link's spec carries as it is. */
export function carried<R extends SettingRow<unknown>>(row: R): R & { readonly carried: true } {
  return { ...row, carried: true };
}

/** The rows as a section of the configuration file has them. */
export function settingsOf(section: Setting['section'], rows: Rows): Setting[] {
  return Object.values(rows).map((row) => ({ ...row, section }));
}

/** Every flag without a value, with the key and the value that it stands for. */
export function switchesOf(rows: Rows): Map<string, readonly [key: string, value: boolean]> {
  return new Map(
    Object.values(rows).flatMap(({ key, switches }) =>
      Object.entries(switches).map(([flag, value]) => [flag, [key, value]] as const),
    ),
  );
}

/** Every flag that takes a value, with the key of its setting; its name is the first long one of the help. */
export function flagsOf(rows: Rows): Map<string, string> {
  return new Map(
    Object.values(rows).flatMap(({ key, type, help }) => {
      const flag = help?.[0].match(/--[a-z-]+/)?.[0];
      return flag === undefined || type === boolean.type ? [] : [[flag, key] as const];
    }),
  );
}

/** The options of the rows with their lines of help, in order. */
export function helpOf(rows: Rows): [flag: string, line: string][] {
  return Object.values(rows).flatMap(({ help }) => (help === undefined ? [] : [[...help]]));
}

/** The value of one setting among values by key; undefined where it is not given. */
export function givenOf<T>(
  row: SettingRow<T>,
  values: ReadonlyMap<string, unknown>,
): T | undefined {
  const value = values.get(row.key);
  return row.is(value) ? value : undefined;
}

/** The field that is not what its row says, undefined where all are. */
function wrongField(rows: Rows, fields: object): string | undefined {
  const isWrong = (field: string, { presence, is }: SettingRow<unknown>): boolean => {
    if (presence === 'joint' || (presence === 'asked' && !Object.hasOwn(fields, field)))
      return false;
    return !Object.hasOwn(fields, field) || !is(Reflect.get(fields, field));
  };
  return Object.entries(rows).find(([field, row]) => isWrong(field, row))?.[0];
}

function areFields<R extends Rows>(rows: R, fields: object): fields is FieldsOf<R> {
  return wrongField(rows, fields) === undefined;
}

/** Takes each field from where `get` finds it. @throws what `refuse` throws, given the field that is wrong */
function takeFields<R extends Rows>(
  rows: R,
  get: (field: string, row: SettingRow<unknown>) => unknown,
  refuse: (field: string) => never,
): FieldsOf<R> {
  const fields: Record<string, unknown> = {};
  for (const [field, row] of Object.entries(rows)) {
    const value = get(field, row);
    // What holds anyway is not asked for.
    if (value === undefined || (row.presence === 'asked' && value === row.initial)) continue;
    if (row.presence !== 'joint') fields[field] = value;
  }
  return areFields(rows, fields) ? fields : refuse(wrongField(rows, fields) ?? '');
}

/** The rows' fields by what was said, values by key. */
export function fieldsOfValues<R extends Rows>(
  rows: R,
  values: ReadonlyMap<string, unknown>,
): FieldsOf<R> {
  const get = (
    _field: string,
    { key, presence, initial, inverted }: SettingRow<unknown>,
  ): unknown => {
    const value = values.get(key);
    if (value === undefined) return presence === 'always' ? initial : undefined;
    return inverted ? value !== true : value;
  };
  // A value was read by its row's type.
  return takeFields(rows, get, (field) => {
    throw new RangeError(`a value of ${field} that its row refuses`);
  });
}

/** The rows' fields where nothing is said. */
export function initialFields<R extends Rows>(rows: R): FieldsOf<R> {
  return fieldsOfValues(rows, new Map());
}

/** The rows' fields of an object that came from elsewhere. @throws what `refuse` throws */
export function fieldsOfJson<R extends Rows>(
  rows: R,
  object: object,
  refuse: (field: string) => never,
): FieldsOf<R> {
  return takeFields(rows, (field) => Reflect.get(object, field), refuse);
}

/** The names of the fields of all rows but those that make one together. */
export function fieldNames(rows: Rows): string[] {
  return Object.entries(rows).flatMap(([field, row]) => (row.presence === 'joint' ? [] : [field]));
}

/** The rows' fields of an object that has them, and perhaps others. @throws RangeError where one is missing */
export function pickFields<R extends Rows>(rows: R, of: object): FieldsOf<R> {
  return fieldsOfJson(rows, of, notThere);
}

function notThere(field: string): never {
  throw new RangeError(`there is no ${field} to take`);
}

/** A setting in which two links differ, with both values in words. */
export type Difference = { readonly key: string; readonly now: string; readonly wanted: string };

/** In which of the rows two differ. */
export function differencesOf(rows: Rows, now: object, wanted: object): Difference[] {
  return Object.entries(rows).flatMap(([field, { key, text }]) => {
    const [a, b] = [text(Reflect.get(now, field)), text(Reflect.get(wanted, field))];
    return a === b ? [] : [{ key, now: a, wanted: b }];
  });
}

const isInSpec = ({ carried, resolved }: SettingRow<unknown>): boolean => carried || resolved;

function filterRows(rows: Rows, keep: (row: SettingRow<unknown>) => boolean): Rows {
  return Object.fromEntries(Object.entries(rows).filter(([, row]) => keep(row)));
}

/** What of the specs of two links means that one must be made anew to become the other. */
export function specDifferences(rows: Rows, now: object, wanted: object): Difference[] {
  const apart = filterRows(rows, (row) => row.onChange === 'anew' && isInSpec(row));
  return differencesOf(apart, now, wanted);
}

/** The same of what only their requests say. */
export function requestDifferences(rows: Rows, now: object, wanted: object): Difference[] {
  const apart = filterRows(rows, (row) => row.onChange === 'anew' && !isInSpec(row));
  return differencesOf(apart, now, wanted);
}

/** The fields that a link follows while it runs. */
export function followedFields(rows: Rows): string[] {
  return Object.keys(filterRows(rows, ({ onChange }) => onChange === 'follow'));
}

function areCarried<R extends Rows>(rows: R, fields: object): fields is CarriedOf<R> {
  return (
    wrongField(
      filterRows(rows, ({ carried }) => carried),
      fields,
    ) === undefined
  );
}

/** Whether an object that came from elsewhere has what a link's spec has by the rows. */
export function hasCarried(rows: Rows, of: object): boolean {
  const needed = filterRows(rows, ({ carried, presence }) => carried && presence === 'always');
  return wrongField(needed, of) === undefined;
}

/** What a link's spec has by the rows, taken from its request, or from a spec. @throws what `refuse` throws */
export function carriedOf<R extends Rows>(
  rows: R,
  of: object,
  refuse: (field: string) => never = notThere,
): CarriedOf<R> {
  const those = filterRows(rows, ({ carried }) => carried);
  const fields = fieldsOfJson(those, of, refuse);
  return areCarried(rows, fields) ? fields : refuse(wrongField(those, fields) ?? '');
}
