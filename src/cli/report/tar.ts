/**
 * A tar archive of small files, in POSIX.1-1988 ustar form.
 * @module
 */

const BLOCK_BYTES = 512;
const NAME_BYTES_MAX = 100;
/** Where the checksum stands, and how long it is; it is counted as if it were blanks. */
const CHECKSUM_OFFSET = 148;
const CHECKSUM_BYTES = 8;

export type TarFile = { name: string; bytes: Uint8Array };

/** Octal digits with a NUL after them, `width` bytes in all. */
function octal(value: number, width: number): string {
  return `${value.toString(8).padStart(width - 1, '0')}\0`;
}

function headerOf(name: string, size: number, seconds: number): Uint8Array {
  const header = Buffer.alloc(BLOCK_BYTES);
  let at = 0;
  const put = (text: string, width: number): void => {
    header.write(text, at, width, 'latin1');
    at += width;
  };
  put(name, NAME_BYTES_MAX);
  put(octal(0o600, 8), 8); // mode
  put(octal(0, 8), 8); // user
  put(octal(0, 8), 8); // group
  put(octal(size, 12), 12);
  put(octal(seconds, 12), 12);
  put(' '.repeat(CHECKSUM_BYTES), CHECKSUM_BYTES);
  put('0', 1); // an ordinary file
  put('', 100); // no link
  put('ustar\u000000', 8);
  let sum = 0;
  for (const byte of header) sum += byte;
  header.write(`${octal(sum, 7)} `, CHECKSUM_OFFSET, CHECKSUM_BYTES, 'latin1');
  return header;
}

/**
 * The archive; two blocks of zeros end it.
 * @param seconds the time of every file, since 1970.
 */
export function tarOf(files: readonly TarFile[], seconds: number): Uint8Array {
  const pieces: Uint8Array[] = [];
  for (const { name, bytes } of files) {
    const padding = (BLOCK_BYTES - (bytes.length % BLOCK_BYTES)) % BLOCK_BYTES;
    pieces.push(headerOf(name, bytes.length, seconds), bytes, new Uint8Array(padding));
  }
  return Buffer.concat([...pieces, new Uint8Array(2 * BLOCK_BYTES)]);
}
