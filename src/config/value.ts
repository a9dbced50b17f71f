/**
 * What every reader of a setting's value needs: the error it throws, and text made fit to print.
 * @module
 */

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
