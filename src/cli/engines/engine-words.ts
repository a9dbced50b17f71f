/**
 * Words that the verbs of container engines share.
 * @module
 */
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
