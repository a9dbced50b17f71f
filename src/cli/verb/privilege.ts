/**
 * Whether this process may change the network, asked before anything is touched.
 * @module
 */
import { ExitCode, FanwayError } from '../../errors.ts';
import { hasCapability } from '../../sys/process/capabilities.ts';

/** @throws FanwayError (exit code 4) saying what to do. */
export function requireNetAdmin(what: string): void {
  if (hasCapability('NET_ADMIN')) return;
  throw new FanwayError(
    'not-permitted',
    `${what} changes the network and needs CAP_NET_ADMIN: run it as root`,
    { exitCode: ExitCode.NotPermitted },
  );
}
