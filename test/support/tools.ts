/** Tools of the system that tests use and that need not be there. @module */
import { existsSync } from 'node:fs';

/** Why what needs tc is skipped, or false. */
export function noTc(): string | false {
  const folders = ['/usr/sbin', '/sbin', '/usr/bin'];
  return !folders.some((folder) => existsSync(`${folder}/tc`)) && 'needs tc';
}
