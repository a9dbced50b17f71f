/**
 * The way out of the namespace of `fanway run`: pasta or slirp4netns, whichever is installed. They
 * speak for it with this user's own sockets.
 * @module
 */
import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { endOrphans, recordProcess } from '../../control/host/orphans.ts';
import type { RunDirectory } from '../../control/store/run-directory.ts';
import { parseIpv4 } from '../../net/ipv4.ts';
import { findProgram } from '../../sys/host/nft.ts';

/** A program for the way out, the name server that it offers (u32), and what it is told. */
type Way = { program: string; server: number; words(pid: number, ownsUser: boolean): string[] };

const SLIRP_SERVER = parseIpv4('10.0.2.3');
/** Link-local, so in nobody's network. */
const PASTA_SERVER = parseIpv4('169.254.0.53');

const WAYS: readonly Way[] = [
  {
    program: 'pasta',
    server: PASTA_SERVER,
    words: (pid) => [
      ...['--foreground', '--quiet', '--config-net', '--no-map-gw'],
      // Nothing of this machine's comes in, and no port is opened for what listens inside.
      ...['-t', 'none', '-u', 'none', '-T', 'none', '-U', 'none'],
      ...['--dns-forward', '169.254.0.53', String(pid)],
    ],
  },
  {
    program: 'slirp4netns',
    server: SLIRP_SERVER,
    words: (pid, ownsUser) => [
      ...['--configure', '--mtu=65520', '--disable-host-loopback'],
      ...(ownsUser ? [] : ['--netns-type=path']),
      ownsUser ? String(pid) : `/proc/${pid}/ns/net`,
      'tap0',
    ],
  },
];

/** The way out that this machine has; undefined = none. */
export function findWay(): (Way & { path: string }) | undefined {
  for (const way of WAYS) {
    const path = findProgram(way.program);
    if (path !== undefined) return { ...way, path };
  }
  return undefined;
}

/** Where the running one is noted, for whoever has to end it. */
function recordOf(run: RunDirectory): string {
  return join(run.path, 'internet');
}

/** How long it is waited for a program that refuses, ms. */
const REFUSAL_MS = 300;

/**
 * Starts it for the namespace of a process.
 * @returns '' or what it said as it gave up.
 */
export async function startInternet(
  run: RunDirectory,
  way: Way & { path: string },
  pid: number,
  ownsUser: boolean,
): Promise<string> {
  const logPath = join(run.path, 'internet.log');
  const log = openSync(logPath, 'w', 0o600);
  const child = spawn(way.path, way.words(pid, ownsUser), {
    stdio: ['ignore', log, log],
    detached: true,
    cwd: '/',
  });
  closeSync(log);
  const ended = await new Promise<string | undefined>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('exit', (code, signal) => resolve(`it ended with ${signal ?? code}`));
    setTimeout(() => resolve(undefined), REFUSAL_MS);
  });
  if (ended !== undefined) return ended;
  if (child.pid !== undefined) recordProcess(recordOf(run), child.pid);
  child.unref();
  return '';
}

/** Ends the one that runs, if any. */
export async function endInternet(run: RunDirectory): Promise<void> {
  await endOrphans(recordOf(run));
}
