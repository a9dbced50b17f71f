/**
 * The one error class of this room: a text or a value that cannot be an address, prefix or name.
 * @module
 */

/** Stable codes, so that callers react to a kind and never to a sentence. */
export type AddressErrorCode =
  | 'ERR_IPV4'
  | 'ERR_IPV6'
  | 'ERR_MAC'
  | 'ERR_PREFIX'
  | 'ERR_NAME_TOO_LONG'
  | 'ERR_FAN';

/** Thrown by the parsers of `net/`; the message is fit to be shown to the person who typed it. */
export class AddressError extends Error {
  readonly code: AddressErrorCode;

  constructor(code: AddressErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'AddressError';
    this.code = code;
  }
}
