/**
 * What a row of the settings table is.
 * @module
 */

export type SettingType =
  | 'overlay'
  | 'underlay'
  | 'choice'
  | 'integer'
  | 'boolean'
  | 'interface-name'
  | 'seeds'
  | 'addresses'
  | 'text'
  | 'ip'
  | 'ranges'
  | 'vnis'
  | 'path';

export type Setting = {
  key: string;
  section: 'router' | 'gossip' | 'bgp' | 'bgp-neighbor' | 'fan';
  type: SettingType;
  /** What the number counts, '' when it is not a quantity. */
  unit: string;
  /** As it would be written; '' = no default, see `doc`. */
  default: string;
  required: boolean;
  choices?: readonly string[];
  min?: number;
  max?: number;
  doc: string;
  /** A running daemon takes the new value on SIGHUP (a fan that changes is stopped and restarted). */
  reloadable: boolean;
};

/** One row of the table, with what most rows have filled in. */
export function setting(
  section: Setting['section'],
  key: string,
  type: SettingType,
  defaultText: string,
  doc: string,
  more: Partial<Setting> = {},
): Setting {
  return {
    section,
    key,
    type,
    unit: '',
    default: defaultText,
    required: false,
    doc,
    reloadable: true,
    ...more,
  };
}
