/**
 * What is said of the program as a whole, in its help and its manual page.
 * @module
 */
import { ExitCode } from '../../errors.ts';

export const TITLE = 'containers on several hosts in one network, by arithmetic on their addresses';

export const EXIT_CODES: readonly (readonly [code: ExitCode, meaning: string])[] = [
  [ExitCode.Ok, 'done'],
  [ExitCode.Failed, 'failed; or status, doctor or explain says no'],
  [ExitCode.Usage, 'wrong command line or configuration'],
  [ExitCode.Refused, 'refused because of what is on this host'],
  [ExitCode.NotPermitted, 'not permitted'],
  [ExitCode.NotRunning, 'no router runs'],
];

export const ENVIRONMENT: readonly (readonly [name: string, meaning: string])[] = [
  ['FANWAY_RUN_DIR', 'run directory of the router that is meant (/run/fanway)'],
  ['FANWAY_STATE_DIR', 'where identity and keys are (/var/lib/fanway)'],
  ['FANWAY_FAN_FILE', 'the file of up -a (/etc/network/fan)'],
  ['FANWAY_WARM_UP', '0: data processes begin cold, which spares 0.4 s of processor each'],
  ['FANWAY_DEBUG', 'if set, unexpected errors print where they came from'],
];
