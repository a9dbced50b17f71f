import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { AddressBook } from '../../src/control/store/address-book.ts';
import { parseIpv4 } from '../../src/net/ipv4.ts';
import { parsePrefix } from '../../src/net/prefix.ts';
import { DockerApi } from '../../src/plugins/docker/api.ts';
import { disableDocker, enableDocker } from '../../src/plugins/docker/network.ts';
import type { EngineFan } from '../../src/plugins/fan.ts';

const SLICE = parsePrefix('250.0.28.0/24');
const BRIDGED: EngineFan = {
  ...{ bridge: 'fan-250-0-28', device: 'fw-250-0-28', bridged: true, mtu: 1450, dhcp: false },
  ...{ overlay: parsePrefix('250.0.0.0/8'), slice: SLICE, network: parsePrefix('250.0.0.0/8') },
  gateway: parseIpv4('250.0.28.1'),
  reserved: ['250.0.28.1', '250.0.28.2', '250.0.28.3'].map(parseIpv4),
  ...{ first: parseIpv4('250.0.28.4'), last: parseIpv4('250.0.28.254') },
};
const ROUTED: EngineFan = { ...BRIDGED, bridged: false, network: SLICE, mtu: 1472 };

type Call = { method: string; path: string; body: Record<string, unknown> };
type Reply = [status: number, body?: unknown];

/** An Engine that answers as it is told: what a real one of each version does is tried elsewhere. */
async function engine(
  t: Test,
  version: string,
  reply: (call: Call) => Reply,
): Promise<{ api: DockerApi; calls: Call[]; book: AddressBook }> {
  const folder = mkdtempSync(join(tmpdir(), 'fanway-engine-'));
  const socket = join(folder, 'docker.sock');
  const calls: Call[] = [];
  const server: Server = createServer(async (request, response) => {
    let text = '';
    for await (const chunk of request) text += String(chunk);
    const call = {
      ...{ method: request.method ?? '', path: request.url ?? '' },
      body: text === '' ? {} : (JSON.parse(text) as Record<string, unknown>),
    };
    if (call.path !== '/version') calls.push(call);
    const [status, body] =
      call.path === '/version' ? [200, { ApiVersion: version, Version: 'x' }] : reply(call);
    response.writeHead(status);
    response.end(body === undefined ? '' : JSON.stringify(body));
  });
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  t.teardown(() => {
    server.close();
    rmSync(folder, { recursive: true });
  });
  const api = await DockerApi.open({ DOCKER_HOST: `unix://${socket}` });
  return { api, calls, book: new AddressBook(join(folder, 'state'), SLICE) };
}

const WISH = { name: 'fan', range: undefined, busy: [] };
const fresh = ({ method }: Call): Reply => (method === 'GET' ? [404] : [201, { Id: 'x' }]);

t.test('one call makes the network', async (t) => {
  const { api, calls, book } = await engine(t, '1.41', fresh);
  t.match(await enableDocker(api, BRIDGED, book, WISH), { made: true, range: '250.0.28.0/24' });
  t.equal(calls[1]?.path, '/v1.41/networks/create', "in the daemon's own version");
  t.match(calls[1]?.body, {
    Name: 'fan',
    IPAM: {
      Config: [
        {
          ...{ Subnet: '250.0.0.0/8', IPRange: '250.0.28.0/24', Gateway: '250.0.28.1' },
          AuxiliaryAddresses: {
            ...{ net: '250.0.28.0', broadcast: '250.0.28.255' },
            ...{ reserve2: '250.0.28.2', reserve3: '250.0.28.3' },
          },
        },
      ],
    },
    Options: { 'com.docker.network.bridge.name': 'fan-250-0-28' },
    Labels: { fanway: 'fan-250-0-28' },
  });
  t.match(book.read().claims, [{ owner: 'docker' }]);
});

t.test('a routed fan: the slice is the pool, and Docker 28.2 is told its device', async (t) => {
  for (const [version, trusted] of [
    ['1.49', undefined],
    ['1.50', 'fw-250-0-28'],
  ] as const) {
    const { api, calls, book } = await engine(t, version, fresh);
    await enableDocker(api, ROUTED, book, { ...WISH, range: parsePrefix('250.0.28.0/25') });
    const { IPAM, Options } = calls[1]?.body ?? {};
    t.match(IPAM, { Config: [{ Subnet: '250.0.28.0/24', IPRange: '250.0.28.0/25' }] });
    const key = 'com.docker.network.bridge.trusted_host_interfaces';
    t.equal((Options as Record<string, string>)[key], trusted, version);
  }
});

t.test('what Docker refuses becomes a sentence, and the range is given back', async (t) => {
  const pool = await engine(t, '1.52', ({ method, path }) => {
    if (method === 'POST') return [403, { message: 'Pool overlaps with other one' }];
    if (path.endsWith('/networks')) {
      return [200, [{ Name: 'old', IPAM: { Config: [{ Subnet: '250.0.0.0/8' }] } }]];
    }
    return [404];
  });
  await t.rejects(enableDocker(pool.api, BRIDGED, pool.book, WISH), /network old has it/);
  t.same(pool.book.read().claims, []);
  const name = await engine(t, '1.52', ({ method }) => (method === 'POST' ? [409, {}] : [404]));
  await t.rejects(enableDocker(name.api, BRIDGED, name.book, WISH), /choose another with --name/);
  const other = await engine(t, '1.52', () => [200, { Driver: 'bridge', IPAM: { Config: null } }]);
  await t.rejects(enableDocker(other.api, BRIDGED, other.book, WISH), /bridge none, not fan-250/);
  await t.rejects(disableDocker(other.api, 'fan-250-0-28', 'fan'), /not made by fanway/);
  const odd = await engine(t, '1.52', () => [500, 'no object']);
  await t.rejects(enableDocker(odd.api, BRIDGED, odd.book, WISH), /HTTP 500/);
  await t.rejects(DockerApi.open({ DOCKER_HOST: 'unix:///nowhere' }), /no Docker runs here/);
  await t.rejects(DockerApi.open({ DOCKER_HOST: 'ssh://h' }), /only a daemon of this host/);
});
