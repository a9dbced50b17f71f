/**
 * The words of `net add` as a request.
 * @module
 */
import { NETWORK_ROWS } from '../../config/network/rows.ts';
import { type NetworkRequest, networkRequestOf } from '../../config/network.ts';
import { flagsOf, switchesOf } from '../../config/row/row.ts';
import { ValueError } from '../../config/row/setting.ts';
import { findSetting, parseValue } from '../../config/schema.ts';
import { usageError } from '../../errors.ts';
import type { FlagSpec } from '../verb/verb.ts';

export { networkRequestJson } from '../../api/network/requests.ts';

/** Flags of `net add` that take a value, and the setting that each is. */
export const ADD_FLAGS: ReadonlyMap<string, string> = flagsOf(NETWORK_ROWS);
/** Those that take none, with the value that each stands for. */
const ADD_SWITCHES = switchesOf(NETWORK_ROWS);
/** All of them, for whoever takes them from a command line. */
export const ADD_FLAG_SPEC: FlagSpec = {
  ...Object.fromEntries([...ADD_FLAGS.keys()].map((flag) => [flag, 'value' as const])),
  ...Object.fromEntries([...ADD_SWITCHES.keys()].map((flag) => [flag, 'switch' as const])),
};

/** The request of `net add`. @throws FanwayError (exit code 2) with every problem. */
export function requestOfWords(name: string, flags: ReadonlyMap<string, string>): NetworkRequest {
  const problems: string[] = [];
  const values = new Map<string, unknown>();
  const assign = (key: string, text: string): void => {
    const setting = findSetting('network', key);
    if (setting === undefined) return;
    try {
      values.set(key, parseValue(setting, text));
    } catch (error) {
      if (!(error instanceof ValueError)) throw error;
      problems.push(error.message);
    }
  };
  assign('name', name);
  for (const [flag, key] of ADD_FLAGS) {
    const text = flags.get(flag);
    if (text !== undefined) assign(key, text);
  }
  for (const [flag, [key, value]] of ADD_SWITCHES) {
    if (flags.has(flag)) values.set(key, value);
  }
  const { request, problems: more } = networkRequestOf(values);
  // A value that was wrong is not missing as well.
  if (problems.length === 0) problems.push(...more.map(({ message }) => message));
  if (request === undefined || problems.length > 0) {
    throw usageError('usage', [...new Set(problems)].join('\n'));
  }
  return request;
}
