import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { parseIpv4 } from '../../src/net/ipv4.ts';
import { parsePrefix } from '../../src/net/prefix.ts';
import type { EngineFan } from '../../src/plugins/fan.ts';
import { LxdApi } from '../../src/plugins/lxd/api.ts';
import {
  disableProfile,
  enableProfile,
  preseedOf,
  profileBridges,
  profileOf,
} from '../../src/plugins/lxd/profile.ts';

const SLICE = parsePrefix('250.0.28.0/24');
const FAN: EngineFan = {
  ...{ bridge: 'fan-250-0-28', device: 'fw-250-0-28', bridged: true, mtu: 1450, dhcp: true },
  ...{ overlay: parsePrefix('250.0.0.0/8'), slice: SLICE, network: parsePrefix('250.0.0.0/8') },
  ...{ gateway: parseIpv4('250.0.28.1'), reserved: [parseIpv4('250.0.28.1')] },
  ...{ first: parseIpv4('250.0.28.2'), last: parseIpv4('250.0.28.254') },
};
const NAME = FAN.bridge;

/** What of LXD's REST API counts here, with its shapes of answers. */
async function lxd(
  t: Test,
  auth = 'trusted',
): Promise<{ api: () => Promise<LxdApi>; profiles: Map<string, Record<string, unknown>> }> {
  const folder = mkdtempSync(join(tmpdir(), 'fanway-lxd-'));
  const socket = join(folder, 'unix.socket');
  const profiles = new Map<string, Record<string, unknown>>();
  const server = createServer(async (request, response) => {
    let text = '';
    for await (const chunk of request) text += String(chunk);
    const body = text === '' ? {} : (JSON.parse(text) as Record<string, unknown>);
    const answer = (status: number, metadata: unknown, error = ''): void => {
      response.writeHead(status);
      response.end(JSON.stringify({ type: error === '' ? 'sync' : 'error', metadata, error }));
    };
    const [, path = ''] = /^\/1\.0(?:\/profiles)?\/?([^?]*)/.exec(request.url ?? '') ?? [];
    if (request.url === '/1.0') {
      return answer(200, { api_status: 'stable', auth, environment: { server_version: '5.0.2' } });
    }
    if (path === '' && request.method === 'GET') return answer(200, [...profiles.values()]);
    if (request.method === 'POST') {
      profiles.set(String(body['name']), { used_by: [], ...body });
      return answer(201, null);
    }
    const there = profiles.get(decodeURIComponent(path));
    if (there === undefined) return answer(404, null, 'Profile not found');
    if (request.method === 'PUT') profiles.set(path, { ...there, ...body });
    if (request.method === 'DELETE') profiles.delete(path);
    return answer(200, there);
  });
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  t.teardown(() => {
    server.close();
    rmSync(folder, { recursive: true });
  });
  return { api: () => LxdApi.open('lxd', { LXD_SOCKET: socket }), profiles };
}

t.test('a profile is made, kept as the fan is, and removed', async (t) => {
  const { api, profiles } = await lxd(t);
  const lxdApi = await api();
  t.match(await enableProfile(lxdApi, FAN, NAME), { made: 'new', mtu: 1450, server: '5.0.2' });
  t.match(profiles.get(NAME), {
    config: { 'user.fanway': NAME },
    devices: { eth0: { type: 'nic', nictype: 'bridged', parent: NAME, mtu: '1450' } },
  });
  t.match(await enableProfile(lxdApi, FAN, NAME), { made: 'same' });
  t.match(await enableProfile(lxdApi, { ...FAN, mtu: 8950 }, NAME), { made: 'changed' });
  t.match(profiles.get(NAME), { devices: { eth0: { mtu: '8950' } }, used_by: [] });
  t.same(await profileBridges(lxdApi), [NAME]);

  profiles.set(NAME, { ...profiles.get(NAME), used_by: ['/1.0/instances/c1'] });
  await t.rejects(disableProfile(lxdApi, NAME), /that of c1: lxc profile remove INSTANCE/);
  profiles.set(NAME, { ...profiles.get(NAME), used_by: [] });
  t.equal(await disableProfile(lxdApi, NAME), true);
  t.equal(await disableProfile(lxdApi, NAME), false, 'twice');
});

t.test('what is somebody else is left alone, and refusals say what to do', async (t) => {
  const { api, profiles } = await lxd(t);
  profiles.set('web', { name: 'web', config: {}, devices: {}, used_by: [] });
  await t.rejects(enableProfile(await api(), FAN, 'web'), /not made by fanway: choose another/);
  await t.rejects(disableProfile(await api(), 'web'), /not made by fanway/);
  const stranger = await lxd(t, 'untrusted');
  await t.rejects(stranger.api(), /run as root, or join the group lxd/);
  await t.rejects(LxdApi.open('incus', { INCUS_DIR: '/nowhere' }), /no Incus runs here .*preseed/);
});

t.test('the preseed says the same', async (t) => {
  const said = preseedOf(NAME, FAN);
  const { description, config, devices } = profileOf(NAME, FAN);
  const values = [NAME, description, ...Object.values(config)];
  for (const text of [...values, ...Object.values(devices['eth0'] ?? {})]) {
    t.ok(said.includes(JSON.stringify(text)), text);
  }
  t.match(said, /^profiles:\n- name: "fan-250-0-28"\n {2}description: /);
});
