/**
 * Words that the verbs of container engines share.
 * @module
 */
import { chmodSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { messageOf, usageError } from '../../errors.ts';
import { formatPrefix, isNetwork, networkOf, type Prefix, parsePrefix } from '../../net/prefix.ts';

/**
 * The part of the slice that `--range` names, undefined where it is not given.
 * @throws FanwayError (exit code 2) when it is no prefix, or has bits below its mask.
 */
export function rangeOf(flags: ReadonlyMap<string, string>): Prefix | undefined {
  const text = flags.get('--range');
  if (text === undefined) return undefined;
  let prefix: Prefix;
  try {
    prefix = parsePrefix(text);
  } catch (error) {
    throw usageError('usage', `--range: ${messageOf(error)}`);
  }
  if (isNetwork(prefix)) return prefix;
  const network = formatPrefix({ address: networkOf(prefix), length: prefix.length });
  throw usageError('usage', `--range ${text} has bits below its mask; ${network} is the block`);
}

/** Writes a file whole or not at all: an engine may read it at any time. */
export function putFile(path: string, text: string, mode: number): void {
  const fresh = `${path}.new`;
  rmSync(fresh, { force: true });
  writeFileSync(fresh, text, { mode });
  chmodSync(fresh, mode);
  renameSync(fresh, path);
}

/** The one word after the action that names a bridge. @throws FanwayError (exit code 2). */
export function actionOf<A extends string>(
  rest: readonly string[],
  actions: readonly A[],
): { action: A; bridge: string | undefined } {
  const [word, bridge, ...more] = rest;
  const action = actions.find((one) => one === word);
  if (action !== undefined && more.length === 0) return { action, bridge };
  const list = actions.join(' or ');
  throw usageError('usage', `give ${list}, and a bridge where there are several fans`);
}
