/**
 * Takes out of a text what nobody else may know.
 * @module
 */

const REMOVED = '[removed]';

/**
 * Keys of gossip are 32 bytes, 43 characters of base64 and a `=`; private keys stand between PEM's lines.
 * Anything of these forms goes, whoever wrote it there.
 */
const SECRETS: readonly RegExp[] = [
  /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g,
  /(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{43}=/g,
];

/** The text without secrets. */
export function withoutSecrets(text: string): string {
  return SECRETS.reduce((left, secret) => left.replace(secret, REMOVED), text);
}
