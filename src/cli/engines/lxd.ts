/**
 * `fanway lxd` and `fanway incus`: a profile that puts instances on the fan.
 * @module
 */
import { RunDirectory } from '../../control/store/run-directory.ts';
import { ExitCode, usageError } from '../../errors.ts';
import { type EngineFan, findFan } from '../../plugins/fan.ts';
import { type ContainerManager, clientOf, LxdApi, titleOf } from '../../plugins/lxd/api.ts';
import {
  disableProfile,
  type EnabledProfile,
  enableProfile,
  isProfileName,
  preseedOf,
} from '../../plugins/lxd/profile.ts';
import { type Io, printJson, takeFlags, type Verb } from '../verb/verb.ts';
import { actionOf } from './engine-words.ts';

const MADE: Readonly<Record<EnabledProfile['made'], string>> = {
  new: 'made',
  changed: 'changed to what the fan is now',
  same: 'is there already',
};

/** The profile's name: as given, else the bridge's. */
function nameOf(flags: ReadonlyMap<string, string>, fan?: EngineFan): string {
  const name = flags.get('--name') ?? fan?.bridge ?? '';
  if (isProfileName(name)) return name;
  throw usageError(
    'usage',
    name === ''
      ? 'no fan is up: name the profile with --name'
      : `--name ${JSON.stringify(name)}: letters, digits, . _ - and at most 63`,
  );
}

function noteDhcp(fan: EngineFan, io: Io): void {
  if (fan.dhcp) return;
  io.err('fanway: note: this fan has no DHCP: bring it up with dhcp, or give addresses inside\n');
}

function enabledText(
  { made, profile, bridge, mtu, server }: EnabledProfile,
  client: string,
): string {
  return `profile ${profile} ${MADE[made]}: bridge ${bridge}, MTU ${mtu} (${server})\nuse it with: ${client} launch IMAGE NAME -p default -p ${profile}\n`;
}

async function enable(
  manager: ContainerManager,
  fan: EngineFan,
  name: string,
  io: Io,
): Promise<EnabledProfile> {
  const api = await LxdApi.open(manager, io.env);
  const now = await enableProfile(api, fan, name);
  noteDhcp(fan, io);
  return now;
}

function verbOf(manager: ContainerManager): Verb {
  const [title, client] = [titleOf(manager), clientOf(manager)];
  return {
    name: manager,
    summary: `a profile of ${title} on this host's fan`,
    usage: [
      `${manager} enable|disable [BRIDGE] [--name PROFILE] [--json]`,
      `${manager} preseed [BRIDGE] [--name PROFILE]`,
    ],
    options: [
      ['--name PROFILE', "the profile's name (the bridge's)"],
      ['--json', 'what was done, as JSON'],
    ],
    examples: [
      [`fanway ${manager} enable`, `then: ${client} launch IMAGE NAME -p default -p fan-250-0-28`],
      [`fanway ${manager} preseed`, `the same as YAML, where ${title} does not run yet`],
    ],
    async run(args, io) {
      const { flags, rest } = takeFlags(args, { '--name': 'value', '--json': 'switch' });
      const { action, bridge } = actionOf(rest, ['enable', 'disable', 'preseed']);
      const run = new RunDirectory(io.env['FANWAY_RUN_DIR']);
      if (action === 'disable') {
        // Also without a router, by name.
        const fan = flags.has('--name') ? undefined : await findFan(run, bridge);
        const profile = nameOf(flags, fan);
        const removed = await disableProfile(await LxdApi.open(manager, io.env), profile);
        if (flags.has('--json')) printJson(io, { profile, removed });
        else
          io.out(removed ? `profile ${profile} removed\n` : `${title} has no profile ${profile}\n`);
        return ExitCode.Ok;
      }
      const fan = await findFan(run, bridge);
      const name = nameOf(flags, fan);
      if (action === 'preseed') {
        io.out(preseedOf(name, fan));
        noteDhcp(fan, io);
        return ExitCode.Ok;
      }
      const now = await enable(manager, fan, name, io);
      if (flags.has('--json')) printJson(io, now);
      else io.out(enabledText(now, client));
      return ExitCode.Ok;
    },
  };
}

export const lxd: Verb = verbOf('lxd');
export const incus: Verb = verbOf('incus');
