/** What the verbs that measure a pair of hosts have in common. @module */
import { accessSync, constants, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { statusCall } from '../../api/status.ts';
import { ask } from '../../control/admin/admin-client.ts';
import { RunDirectory } from '../../control/store/run-directory.ts';
import { messageOf, usageError } from '../../errors.ts';
import type { Fan } from '../../measure/fans.ts';
import { networkOf, parsePrefix } from '../../net/prefix.ts';
import type { Io } from '../verb/verb.ts';

/** The fans over IPv4 of the running router that are up. @throws FanwayError `not-running` */
export async function fansUp(io: Io): Promise<Fan[]> {
  const run = new RunDirectory(io.env['FANWAY_RUN_DIR']);
  const { links } = await ask(run, statusCall);
  return links
    .filter((link) => link.state !== 'stopped' && !link.underlay.includes(':'))
    .flatMap(({ name, encap, overlay, underlay }) => {
      const { address, length } = parsePrefix(underlay);
      const network = { address: networkOf({ address, length }), length };
      // One of each family is told as both.
      const four = overlay.split(' and ').find((one) => !one.includes(':'));
      if (four === undefined) return [];
      return [{ name, encap, overlay: parsePrefix(four), underlay: network, local: address }];
    });
}

/** A whole number from 1 to `most`. @throws FanwayError */
export function wholeFlag(
  flags: ReadonlyMap<string, string>,
  name: string,
  most: number,
  byDefault: number,
): number {
  const text = flags.get(name);
  if (text === undefined) return byDefault;
  const value = /^[0-9]{1,6}$/.test(text) ? Number(text) : 0;
  if (value < 1 || value > most) {
    throw usageError('usage', `${name} is a whole number from 1 to ${most}`);
  }
  return value;
}

/** Reads a word of the command line. @throws FanwayError in the parser's own words */
export function parseWith<T>(parse: (text: string) => T, text: string): T {
  try {
    return parse(text);
  } catch (error) {
    throw usageError('usage', messageOf(error));
  }
}

/** Told before the measurement, which takes half a minute. @throws FanwayError */
export function checkWritable(name: string, file: string | undefined): void {
  if (file === undefined) return;
  try {
    accessSync(dirname(resolve(file)), constants.W_OK);
    if (statSync(file, { throwIfNoEntry: false })?.isDirectory()) throw new Error('a directory');
  } catch (error) {
    throw usageError('svg', `${name}: ${file} cannot be written: ${messageOf(error)}`);
  }
}
