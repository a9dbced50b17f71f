/**
 * `--queues`, `--priority` and `--busy-poll`: how a router's data processes work. They belong to the router, not to
 * a fan, so whoever starts it decides, and one that runs cannot change them.
 * @module
 */

import { availableParallelism } from 'node:os';
import { statusCall } from '../../api/status.ts';
import { BUSY_POLL_US_MAX, PRIORITY_CHOICES } from '../../config/schema.ts';
import { ask } from '../../control/admin/admin-client.ts';
import type { DataOptions } from '../../control/service.ts';
import type { RunDirectory } from '../../control/store/run-directory.ts';
import { refusedError, usageError } from '../../errors.ts';
import { QUEUES_MAX } from '../../limits.ts';
import type { FlagSpec } from '../verb/verb.ts';

export const DATA_FLAGS: FlagSpec = {
  '--queues': 'value',
  '--priority': 'value',
  '--busy-poll': 'value',
};

/** For the help of verbs that start a router. */
export const DATA_OPTIONS: [string, string][] = [
  ['--queues N|auto', `data processes of the router (1 to ${QUEUES_MAX}, default 1)`],
  [`--priority ${PRIORITY_CHOICES.join('|')}`, 'scheduling of data processes (default auto)'],
  ['--busy-poll µs', 'keep asking this long after traffic (default 0: sleep at once)'],
];

/**
 * Data processes for a machine of `cores`: half of them, since what a tunnel carries is made and
 * consumed on the same machine, and a data process that has to share its core only costs.
 */
export function autoQueues(cores: number): number {
  return Math.max(1, Math.min(Math.floor(cores / 2), QUEUES_MAX));
}

function integer(flag: string, text: string, min: number, max: number, or = ''): number {
  const value = Number(text);
  if (!/^\d{1,9}$/.test(text) || value < min || value > max) {
    throw usageError('usage', `${flag} ${text}: choose a number from ${min} to ${max}${or}`);
  }
  return value;
}

/**
 * What the flags ask for; what none of them names is left out.
 * @throws FanwayError (exit code 2).
 */
export function readDataOptions(flags: ReadonlyMap<string, string>): DataOptions {
  const options: DataOptions = {};
  const queues = flags.get('--queues');
  if (queues === 'auto') options.queues = autoQueues(availableParallelism());
  else if (queues !== undefined) {
    options.queues = integer('--queues', queues, 1, QUEUES_MAX, ', or auto');
  }
  const priority = flags.get('--priority');
  if (priority !== undefined) {
    const known = PRIORITY_CHOICES.find((choice) => choice === priority);
    if (known === undefined) {
      const choices = PRIORITY_CHOICES.join(', ');
      throw usageError('usage', `--priority ${priority}: choose one of ${choices}`);
    }
    options.priority = known;
  }
  const busyPoll = flags.get('--busy-poll');
  if (busyPoll !== undefined) {
    options.busyPollUs = integer('--busy-poll', busyPoll, 0, BUSY_POLL_US_MAX);
  }
  return options;
}

/** The same as arguments of the control process. */
export function dataArguments({ queues, busyPollUs, priority }: DataOptions): string[] {
  const words: string[] = [];
  if (queues !== undefined) words.push('--queues', String(queues));
  if (priority !== undefined) words.push('--priority', priority);
  if (busyPollUs !== undefined) words.push('--busy-poll', String(busyPollUs));
  return words;
}

/**
 * Makes sure that the router that runs already is as asked for.
 * @throws FanwayError (exit code 3) `router-differs`, with how to get there.
 */
export async function requireSame(run: RunDirectory, wanted: DataOptions): Promise<void> {
  if (Object.keys(wanted).length === 0) return;
  const { queues, busyPollUs, priority } = await ask(run, statusCall);
  const differences: string[] = [];
  if (wanted.queues !== undefined && wanted.queues !== queues) {
    differences.push(`${queues} queues, not ${wanted.queues}`);
  }
  if (wanted.priority !== undefined && wanted.priority !== priority) {
    differences.push(`priority ${priority}, not ${wanted.priority}`);
  }
  if (wanted.busyPollUs !== undefined && wanted.busyPollUs !== busyPollUs) {
    differences.push(`busy-poll ${busyPollUs} µs, not ${wanted.busyPollUs}`);
  }
  if (differences.length === 0) return;
  throw refusedError(
    'router-differs',
    `the router in ${run.path} runs with ${differences.join(' and ')}: that is decided when it starts. ` +
      'Take its fans down with fanway down -e first, or leave the option out',
  );
}
