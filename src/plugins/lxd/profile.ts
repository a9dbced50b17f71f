/**
 * A profile of LXD or Incus that puts an instance on the bridge of a fan: made, kept as it should be,
 * removed. The instance asks DHCP for its address.
 * @module
 */
import { FanwayError, refusedError } from '../../errors.ts';
import { printable } from '../../log.ts';
import type { EngineFan } from '../fan.ts';
import { fieldOf } from '../unix-http.ts';
import { clientOf, complaintOf, type LxdApi, titleOf } from './api.ts';

/** The key by which a profile of ours is known; its value is the bridge. */
const MARK = 'user.fanway';
const DEVICE = 'eth0';
const PROFILE_NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$/;
const NAMES_SHOWN_MAX = 5;

export function isProfileName(name: string): boolean {
  return PROFILE_NAME.test(name);
}

type Profile = {
  name: string;
  description: string;
  config: Record<string, string>;
  devices: Record<string, Record<string, string>>;
};

/** What a fan is to an instance. */
export function profileOf(name: string, { bridge, mtu }: EngineFan): Profile {
  return {
    name,
    description: `On the fan of ${bridge}`,
    config: { [MARK]: bridge },
    devices: {
      [DEVICE]: {
        ...{ type: 'nic', nictype: 'bridged', name: DEVICE },
        ...{ parent: bridge, mtu: String(mtu) },
      },
    },
  };
}

/** The same as the YAML that `lxd init --preseed` and `incus admin init --preseed` read. */
export function preseedOf(name: string, fan: EngineFan): string {
  const { description, config, devices } = profileOf(name, fan);
  const map = (values: Record<string, string>, indent: string): string[] =>
    Object.entries(values).map(([key, value]) => `${indent}${key}: ${JSON.stringify(value)}`);
  return `${[
    'profiles:',
    `- name: ${JSON.stringify(name)}`,
    `  description: ${JSON.stringify(description)}`,
    '  config:',
    ...map(config, '    '),
    '  devices:',
    ...Object.entries(devices).flatMap(([device, values]) => [
      `    ${device}:`,
      ...map(values, '      '),
    ]),
  ].join('\n')}\n`;
}

async function findProfile(api: LxdApi, name: string): Promise<unknown> {
  const answer = await api.call('GET', `/profiles/${encodeURIComponent(name)}`);
  if (answer.status === 404) return undefined;
  if (answer.status === 200) return fieldOf(answer.body, 'metadata');
  throw refused(api, `does not tell of profile ${name}`, complaintOf(answer));
}

function refused({ manager }: LxdApi, what: string, why: string): FanwayError {
  return new FanwayError(`${manager}-refused`, `${titleOf(manager)} ${what}: ${why}`);
}

function requireOurs(api: LxdApi, name: string, profile: unknown): void {
  if (typeof fieldOf(fieldOf(profile, 'config'), MARK) === 'string') return;
  throw refusedError(
    `${api.manager}-profile-foreign`,
    `profile ${name} was not made by fanway: choose another with --name (${clientOf(api.manager)} profile delete ${name} removes it)`,
  );
}

export type EnabledProfile = {
  made: 'new' | 'changed' | 'same';
  profile: string;
  bridge: string;
  mtu: number;
  server: string;
};

/**
 * Makes the profile, or makes it again as the fan is now: instances that run follow.
 * @throws FanwayError when a profile of that name is somebody else's.
 */
export async function enableProfile(
  api: LxdApi,
  fan: EngineFan,
  name: string,
): Promise<EnabledProfile> {
  const wanted = profileOf(name, fan);
  const done = { profile: name, bridge: fan.bridge, mtu: fan.mtu, server: api.server };
  const there = await findProfile(api, name);
  if (there === undefined) {
    const answer = await api.call('POST', '/profiles', wanted);
    if (answer.status !== 201 && answer.status !== 200) {
      throw refused(api, `does not make profile ${name}`, complaintOf(answer));
    }
    return { made: 'new', ...done };
  }
  requireOurs(api, name, there);
  const now = fieldOf(fieldOf(there, 'devices'), DEVICE);
  const device = Object.entries(wanted.devices[DEVICE] ?? {});
  if (device.every(([key, value]) => fieldOf(now, key) === value)) return { made: 'same', ...done };
  const { name: _, ...changed } = wanted;
  const answer = await api.call('PUT', `/profiles/${encodeURIComponent(name)}`, changed);
  if (answer.status !== 200) {
    throw refused(api, `does not change profile ${name}`, complaintOf(answer));
  }
  return { made: 'changed', ...done };
}

/** Profiles of ours, with the bridges that they are for. */
async function ownProfiles(api: LxdApi): Promise<{ name: string; bridge: string }[]> {
  const { status, body } = await api.call('GET', '/profiles?recursion=1');
  const profiles = fieldOf(body, 'metadata');
  if (status !== 200 || !Array.isArray(profiles)) return [];
  return profiles.flatMap((profile: unknown) => {
    const [name, bridge] = [fieldOf(profile, 'name'), fieldOf(fieldOf(profile, 'config'), MARK)];
    return typeof name === 'string' && typeof bridge === 'string' ? [{ name, bridge }] : [];
  });
}

/** The bridges that profiles of ours are for. */
export async function profileBridges(api: LxdApi): Promise<string[]> {
  return (await ownProfiles(api)).map(({ bridge }) => bridge);
}

/** The names of our profiles for a bridge. */
export async function profilesOfBridge(api: LxdApi, bridge: string): Promise<string[]> {
  return (await ownProfiles(api)).filter((one) => one.bridge === bridge).map(({ name }) => name);
}

/**
 * Removes the profile.
 * @returns false when there was none.
 * @throws FanwayError when it is somebody else's, or instances have it.
 */
export async function disableProfile(api: LxdApi, name: string): Promise<boolean> {
  const there = await findProfile(api, name);
  if (there === undefined) return false;
  requireOurs(api, name, there);
  const users = fieldOf(there, 'used_by');
  if (Array.isArray(users) && users.length > 0) {
    const names = users.map((path) => printable(String(path).split('/').at(-1) ?? ''));
    throw refusedError(
      `${api.manager}-profile-used`,
      `profile ${name} is that of ${names.slice(0, NAMES_SHOWN_MAX).join(', ')}: ${clientOf(api.manager)} profile remove INSTANCE ${name} first`,
    );
  }
  const answer = await api.call('DELETE', `/profiles/${encodeURIComponent(name)}`);
  if (answer.status === 200 || answer.status === 204 || answer.status === 404) return true;
  throw refused(api, `keeps profile ${name}`, complaintOf(answer));
}
