/**
 * `fanway down`: takes fans down, and removes what killed routers left.
 * @module
 */

import { downCall, fansCall } from '../../api/fans.ts';
import { parseAnyOverlay } from '../../config/link/sides.ts';
import { formatUnderlays } from '../../config/link/underlays.ts';
import type { FanRequest } from '../../config/request.ts';
import { ValueError } from '../../config/row/setting.ts';
import { overlaysOf } from '../../config/settings.ts';
import { parseFanWords } from '../../config/words.ts';
import { ask } from '../../control/admin/admin-client.ts';
import type { FanRecord } from '../../control/host/snapshot.ts';
import type { LinkSpec } from '../../control/store/link-spec.ts';
import { RunDirectory, userRunDirectory } from '../../control/store/run-directory.ts';
import { waitReady } from '../../control/supervise.ts';
import { ExitCode, FanwayError, messageOf, refusedError, usageError } from '../../errors.ts';
import { hasIpv4 } from '../../net/fan.ts';
import { equals, formatPrefix } from '../../net/prefix.ts';
import { equals6, formatPrefix6 } from '../../net/prefix6.ts';
import { holdsHost } from '../../net/underlay-address.ts';
import { requireNetAdmin } from '../verb/privilege.ts';
import { type Io, printJson, takeFlags, type Verb } from '../verb/verb.ts';
import { staysNow } from './stays.ts';
import { cleanUp } from './up.ts';

const ROUTER_END_MS = 10_000;

type Overlays = Pick<FanRequest, 'overlay' | 'overlay6'>;

/** Whether a fan has the overlay that the words name, alone or beside another one. */
function hasOverlay({ overlay, six }: LinkSpec, wanted: Overlays): boolean {
  const { overlay6 } = wanted;
  if (overlay6 === undefined) return equals(overlay, wanted.overlay);
  return six !== undefined && equals6(six.overlay, overlay6);
}

/** Which family of a fan with both the words mean; undefined = the whole fan. */
function partOf({ spec }: FanRecord, wanted: Overlays): 'ipv4' | 'ipv6' | undefined {
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

/** The overlay that a word is; undefined when it is none. */
function overlayOf(word: string): Overlays | undefined {
  try {
    return overlaysOf(parseAnyOverlay(word));
  } catch (error) {
    if (error instanceof ValueError) return undefined;
    throw error;
  }
}

/** The one word that may be an overlay: `250`, `-o 250`, `--overlay=250`. */
function overlayWord([first = '', second, ...more]: readonly string[]): string | undefined {
  if (second === undefined) return first.replace(/^--overlay=/, '');
  return ['-o', '--overlay'].includes(first) && more.length === 0 ? second : undefined;
}

/** What to type for each of some fans that have an overlay. */
function linesFor(overlay: string, fans: readonly FanRecord[]): string {
  return fans
    .map(({ request }) => `fanway down ${overlay} ${formatUnderlays(request)}`)
    .join(', or ');
}

/** The one fan that has this overlay, whatever it runs over. @throws FanwayError where there are none or several */
function onlyWith(word: string, wanted: Overlays, fans: readonly FanRecord[]): FanRecord {
  const meant = fans.filter(({ spec }) => hasOverlay(spec, wanted));
  const [only] = meant;
  if (only === undefined) {
    const why = 'not configured: no fan here has this overlay; fanway show lists what is';
    throw refusedError('not-configured', `${word}: ${why}`);
  }
  if (meant.length === 1) return only;
  throw usageError('usage', `${word} runs over several underlays: ${linesFor(word, meant)}`);
}

/** No fan is what the words say: what of it runs here. */
function notConfigured(wanted: FanRequest, fans: readonly FanRecord[]): FanwayError {
  const near = fans.filter(({ spec }) => hasOverlay(spec, wanted));
  const { overlay, overlay6 } = wanted;
  const shown = overlay6 === undefined ? formatPrefix(overlay) : formatPrefix6(overlay6);
  const runs = near.map(({ request }) => formatUnderlays(request)).join(' and ');
  const told =
    near.length === 0
      ? 'fanway show lists what is'
      : `${shown} runs over ${runs} here: ${linesFor(shown, near)}`;
  return refusedError('not-configured', `this fan is not configured; ${told}`);
}

function targetOf(fan: FanRecord, wanted: Overlays): Target {
  const part = partOf(fan, wanted);
  return { name: fan.spec.name, ...(part !== undefined && { part }) };
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
  const word = overlayWord(rest);
  const overlay = word === undefined ? undefined : overlayOf(word);
  if (word !== undefined && overlay !== undefined) {
    return [targetOf(onlyWith(word, overlay, fans), overlay)];
  }
  const { request, problems } = parseFanWords(rest, 'overlay-first', ['--force', '--json']);
  if (request === undefined) {
    throw rest.length === 1
      ? refusedError('not-configured', `${only}: not configured; fanway show lists what is`)
      : usageError('usage', problems.join('\n'));
  }
  const meant = fans.filter((fan) => isMeant(fan, request));
  if (meant.length === 0) throw notConfigured(request, fans);
  return meant.map((fan) => targetOf(fan, request));
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

/** After the last fan the router ends, unless something else keeps it: then what, '' when it has ended. */
async function afterLast(run: RunDirectory, wasThere: boolean, io: Io): Promise<string> {
  const stays = await staysNow(run);
  if (stays !== '') io.err(`fanway: note: the router stays, ${stays}\n`);
  else if (wasThere) await waitEnd(run);
  return stays;
}

export const down: Verb = {
  name: 'down',
  summary: 'take a fan down',
  usage: [
    'down OVERLAY [UNDERLAY]',
    'down -u UNDERLAY -o OVERLAY',
    'down BRIDGE',
    'down -a',
    'down -e',
  ],
  options: [
    ['-o, --overlay NET', 'the overlay, as 250.0.0.0/8, 250 or fd00:fa::/32'],
    [
      '-u, --underlay WHERE',
      'address, device or `default`; not needed where one fan has the overlay',
    ],
    ['-a', 'those that up -a brought up, or that are marked auto'],
    ['-e', 'every fan of this host'],
    ['--force', 'although containers are attached, or something cannot be undone'],
    ['--json', 'the links that were taken down, what could not be, and why the router stays'],
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
      if (names.length === 0 && !every) choose([], rest, flags);
      if (flags.has('--json')) printJson(io, { down: names, failures: [], stays: '' });
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
    const stays = gone === fans.length ? await afterLast(run, gone > 0, io) : '';
    lock?.release();
    const answer = { down: done, failures, stays };
    if (failures.length > 0) {
      throw new FanwayError('down-failed', failures.join('\n'), { exitCode, answer });
    }
    if (flags.has('--json')) printJson(io, answer);
    return ExitCode.Ok;
  },
};
