/**
 * `fanway down`: takes fans down, and removes what killed routers left.
 * @module
 */

import { downCall, fansCall } from '../../api/fans.ts';
import { statusCall } from '../../api/status.ts';
import type { FanRequest } from '../../config/request.ts';
import { parseFanWords } from '../../config/words.ts';
import { ask } from '../../control/admin/admin-client.ts';
import type { FanRecord } from '../../control/host/snapshot.ts';
import type { LinkSpec } from '../../control/store/link-spec.ts';
import { RunDirectory, userRunDirectory } from '../../control/store/run-directory.ts';
import { waitReady } from '../../control/supervise.ts';
import { ExitCode, FanwayError, messageOf, refusedError, usageError } from '../../errors.ts';
import { hasIpv4 } from '../../net/fan.ts';
import { equals } from '../../net/prefix.ts';
import { equals6 } from '../../net/prefix6.ts';
import { holdsHost } from '../../net/underlay-address.ts';
import { requireNetAdmin } from '../verb/privilege.ts';
import { type Io, printJson, takeFlags, type Verb } from '../verb/verb.ts';
import { cleanUp } from './up.ts';

const ROUTER_END_MS = 10_000;

/** Whether a fan has the overlay that the words name, alone or beside another one. */
function hasOverlay({ overlay, six }: LinkSpec, wanted: FanRequest): boolean {
  const { overlay6 } = wanted;
  if (overlay6 === undefined) return equals(overlay, wanted.overlay);
  return six !== undefined && equals6(six.overlay, overlay6);
}

/** Which family of a fan with both the words mean; undefined = the whole fan. */
function partOf({ spec }: FanRecord, wanted: FanRequest): 'ipv4' | 'ipv6' | undefined {
  if (spec.six === undefined || !hasIpv4(spec.overlay)) return undefined;
  return wanted.overlay6 === undefined ? 'ipv4' : 'ipv6';
}

/** A link to take down, or one family of it. */
type Target = { name: string; part?: 'ipv4' | 'ipv6' };

/** Whether a running fan is the one that the words mean. */
export function isMeant(fan: FanRecord, wanted: FanRequest): boolean {
  if (!hasOverlay(fan.spec, wanted)) return false;
  const { underlay } = wanted;
  if (underlay.length !== fan.spec.underlay.length) return false;
  switch (underlay.kind) {
    case 'address':
      return holdsHost(fan.spec.underlay, underlay.address);
    case 'device':
      return (
        fan.request.underlay.kind !== 'device' || fan.request.underlay.device === underlay.device
      );
    case 'default':
      return true;
  }
}

/** The links to take down: by name, by overlay and underlay, all, or those marked auto. */
function choose(
  fans: readonly FanRecord[],
  rest: readonly string[],
  flags: ReadonlyMap<string, string>,
): Target[] {
  const whole = ({ spec: { name } }: FanRecord): Target => ({ name });
  if (flags.has('-e')) return fans.map(whole);
  if (flags.has('-a')) return fans.filter((fan) => fan.request.auto).map(whole);
  const [only] = rest;
  if (rest.length === 1 && only !== undefined && fans.some((fan) => fan.spec.name === only)) {
    return [{ name: only }];
  }
  const { request, problems } = parseFanWords(rest, 'overlay-first', ['--force', '--json']);
  if (request === undefined) {
    throw rest.length === 1
      ? refusedError('not-configured', `${only}: not configured; fanway show lists what is`)
      : usageError('usage', problems.join('\n'));
  }
  const meant = fans.filter((fan) => isMeant(fan, request));
  if (meant.length === 0) {
    throw refusedError('not-configured', 'this fan is not configured; fanway show lists what is');
  }
  return meant.map((fan) => {
    const part = partOf(fan, request);
    return { name: fan.spec.name, ...(part !== undefined && { part }) };
  });
}

/** Waits until the router that has nothing left to do is gone. */
export async function waitEnd(run: RunDirectory): Promise<void> {
  const deadline = Date.now() + ROUTER_END_MS;
  for (;;) {
    const free = run.lock('router.lock', { wait: false });
    if (free !== undefined) {
      free.release();
      return;
    }
    if (Date.now() > deadline) {
      throw new FanwayError(
        'router-stays',
        `the router does not end: ${run.log} says what it waits for; kill -9 of its processes is safe, and fanway down -e tidies up`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** After the last fan the router ends, unless something else keeps it: then what, and how to end that. */
async function afterLast(run: RunDirectory, wasThere: boolean, io: Io): Promise<void> {
  const status = await ask(run, statusCall).catch(() => undefined);
  if (status?.mode === 'daemon') {
    io.err(
      'fanway: note: the router stays, as a service: systemctl stop fanway, or SIGTERM, ends it\n',
    );
  } else if ((status?.gossip ?? null) !== null) {
    io.err('fanway: note: the router stays, for gossip: fanway leave ends it\n');
  } else if (wasThere) await waitEnd(run);
}

export const down: Verb = {
  name: 'down',
  summary: 'take a fan down',
  usage: [
    'down OVERLAY UNDERLAY',
    'down -u UNDERLAY -o OVERLAY',
    'down BRIDGE',
    'down -a',
    'down -e',
  ],
  options: [
    ['-o, --overlay NET', 'the overlay, as 250.0.0.0/8, 250 or fd00:fa::/32'],
    ['-u, --underlay WHERE', 'address, device or `default`, as up was given it'],
    ['-a', 'those that up -a brought up, or that are marked auto'],
    ['-e', 'every fan of this host'],
    ['--force', 'although containers are attached, or something cannot be undone'],
    ['--json', 'print the links that were taken down'],
  ],
  examples: [
    ['fanway down 250.0.0.0/8 eth0/16', 'as it was brought up'],
    ['fanway down fan-250-0-28', 'by its bridge'],
    ['fanway down -e', 'everything'],
  ],
  async run(args, io) {
    const { flags, rest } = takeFlags(args, {
      '-a': 'switch',
      '-e': 'switch',
      '--force': 'switch',
      '--json': 'switch',
    });
    const every = flags.has('-a') || flags.has('-e');
    if (every ? rest.length > 0 : rest.length === 0) {
      throw usageError('usage', 'name a fan (OVERLAY UNDERLAY, or its bridge), or give -a or -e');
    }
    const run = new RunDirectory(io.env['FANWAY_RUN_DIR']);
    // What an ordinary user's router has taken, it lets go of by itself.
    if (run.path !== userRunDirectory(io.env)) requireNetAdmin('down');
    run.create();
    const lock = run.lock('lock', { wait: true });
    const free = run.lock('router.lock', { wait: false });
    if (free !== undefined) {
      // No router: whatever is there was left by one that was killed, and goes now.
      const names = await cleanUp(run, io, { force: flags.has('--force') });
      if (flags.has('--json')) printJson(io, { down: names });
      if (names.length === 0 && !every) choose([], rest, flags);
      return ExitCode.Ok;
    }
    await waitReady(run);
    const fans = await ask(run, fansCall);
    const targets = choose(fans, rest, flags).reverse();
    const failures: string[] = [];
    const done: string[] = [];
    let gone = 0;
    let exitCode: ExitCode = ExitCode.Ok;
    for (const { name, part } of targets) {
      try {
        const force = flags.has('--force');
        const { notes } = await ask(run, downCall, { name, force, ...(part && { part }) });
        for (const note of notes) io.err(`fanway: note: ${note}\n`);
        if (part === undefined) gone++;
        done.push(name);
        const what = part === undefined ? '' : part === 'ipv4' ? ' IPv4' : ' IPv6';
        if (!flags.has('--json')) io.out(`${name}:${what} down\n`);
      } catch (error) {
        failures.push(messageOf(error));
        exitCode = error instanceof FanwayError ? error.exitCode : ExitCode.Failed;
      }
    }
    if (gone === fans.length) await afterLast(run, gone > 0, io);
    if (flags.has('--json')) printJson(io, { down: done, failures });
    lock?.release();
    if (failures.length > 0)
      throw new FanwayError('down-failed', failures.join('\n'), { exitCode });
    return ExitCode.Ok;
  },
};
