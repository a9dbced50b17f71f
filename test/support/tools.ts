/** Tools of the system that tests use and that need not be there. @module */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';

/** Which of these programs this machine lacks. */
export function missingOf(programs: readonly string[]): string[] {
  return programs.filter((program) => {
    try {
      execFileSync('sh', ['-c', `command -v ${program}`], { stdio: 'ignore' });
      return false;
    } catch {
      return true;
    }
  });
}

/** Why what calls ping is skipped, or false. */
export function noPing(): string | false {
  return missingOf(['ping']).length > 0 && 'needs ping (package iputils-ping)';
}

/** Why what needs tc is skipped, or false. */
export function noTc(): string | false {
  const folders = ['/usr/sbin', '/sbin', '/usr/bin'];
  return !folders.some((folder) => existsSync(`${folder}/tc`)) && 'needs tc';
}
