/**
 * What every reader of a setting's value needs: the error it throws, and text made fit to print.
 * @module
 */
import type { Prefix } from '../net/prefix.ts';
import {
  formatPrefix6,
  isNetwork6,
  networkOf6,
  type Prefix6,
  parsePrefix6,
} from '../net/prefix6.ts';

/** A value that is refused; the message says what would be accepted. */
export class ValueError extends Error {
  readonly code = 'bad-value';
}

/** Text from outside, shortened and made printable, for a message. */
export function quote(text: string): string {
  const short = text.length > 40 ? `${text.slice(0, 37)}...` : text;
  return JSON.stringify(short).replace(
    /[\u007f-\uffff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** An IPv6 overlay: `fd00:fa::/32`. @throws ValueError also for bits below the mask. */
export function parseOverlay6(text: string): Prefix6 {
  let prefix: Prefix6;
  try {
    prefix = parsePrefix6(text);
  } catch {
    throw new ValueError(`${quote(text)} is no overlay: write an IPv6 one as fd00:fa::/32`);
  }
  if (isNetwork6(prefix)) return prefix;
  const network = formatPrefix6({ ...prefix, address: networkOf6(prefix) });
  throw new ValueError(`${quote(text)} has bits below its mask: the network is ${network}`);
}

/** Whether an overlay is an IPv6 one. */
export function isPrefix6(overlay: Prefix | Prefix6): overlay is Prefix6 {
  return typeof overlay.address !== 'number';
}
