/** How many files this process may open. @module */
import { closeSync, openSync } from 'node:fs';
import { codeOf } from '../../src/errors.ts';
import { addressOf, check, libc } from '../../src/sys/libc/libc.ts';

const RLIMIT_NOFILE = 7;
/** More than a test has open. */
const FILES = 512n;

function openAll(): number[] {
  const taken: number[] = [];
  for (;;) {
    try {
      taken.push(openSync('/dev/null', 'r'));
    } catch (error) {
      if (codeOf(error) === 'EMFILE') return taken;
      throw error;
    }
  }
}

/** Does `work` while `left` more files may be opened; returns how many still could be when it was done. */
export function withDescriptorsLeft(left: number, work: () => void): number {
  const limits = new BigUint64Array(2);
  check('prlimit', libc.prlimit(0, RLIMIT_NOFILE, 0, addressOf(limits)));
  const [soft = 0n] = limits;
  limits[0] = FILES;
  check('prlimit', libc.prlimit(0, RLIMIT_NOFILE, addressOf(limits), 0));
  const taken = openAll();
  for (const fd of taken.splice(0, left)) closeSync(fd);
  let rest: number[] = [];
  try {
    work();
  } finally {
    rest = openAll();
    for (const fd of [...taken, ...rest]) closeSync(fd);
    limits[0] = soft;
    check('prlimit', libc.prlimit(0, RLIMIT_NOFILE, addressOf(limits), 0));
  }
  return rest.length;
}
