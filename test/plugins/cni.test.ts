import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { Lab, type LabContainer, type LabHost } from '../../src/demo/lab.ts';
import { runFanway } from '../../src/demo/router.ts';
import { parseIpv4 } from '../../src/net/ipv4.ts';
import { runEcho } from '../../src/traffic/run.ts';
import { fanway, statusOf } from '../control/lab-router.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { skipLong } from '../support/long.ts';

t.setTimeout(1_200_000);
const skip = skipWithoutTun() || skipLong;

type Outcome = { code: number; out: Record<string, unknown> };

/** Runs the plugin as a runtime does: environment and standard input, from the host's namespace. */
function call(
  host: LabHost,
  plugin: string,
  env: NodeJS.ProcessEnv,
  config: object,
): Promise<Outcome> {
  return new Promise((resolve) => {
    const { FANWAY_RUN_DIR: _run, FANWAY_STATE_DIR: _state, ...bare } = host.environment;
    const child = host.spawn(plugin, [], {
      env: { ...bare, ...env },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    let out = '';
    child.stdout?.on('data', (chunk) => {
      out += String(chunk);
    });
    child.stdin?.end(
      JSON.stringify({ cniVersion: '1.1.0', name: 'fan', type: 'fanway-cni', ...config }),
    );
    child.on('close', (code) => {
      resolve({ code: code ?? -1, out: out === '' ? {} : (JSON.parse(out) as Outcome['out']) });
    });
  });
}

/** The namespace of a lab container as a runtime names it. */
function pathOf(container: LabContainer): string {
  return `/proc/${process.pid}/fd/${container.namespace.fd}`;
}

t.test('CNI from ADD to GC, with packets between two hosts', { skip }, async (t) => {
  const lab = await Lab.create({ containersPerHost: 2 });
  t.teardown(() => lab.close());
  const plugins: string[] = [];
  for (const host of lab.hosts) {
    await runFanway(host, ['up', '250.0.0.0/8', 'eth0/16', 'host-reserve', '3']);
    const dirs = [
      '--bin-dir',
      join(host.runDirectory, 'bin'),
      '--conf-dir',
      join(host.runDirectory, 'conf'),
    ];
    const installed = await fanway(host, 'cni', 'install', '--json', ...dirs);
    t.equal(installed.code, 0, installed.err);
    const { plugin, configuration } = JSON.parse(installed.out);
    t.ok(statSync(plugin).isFile() && (statSync(plugin).mode & 0o111) !== 0);
    t.match(JSON.parse(readFileSync(configuration, 'utf8')), {
      ...{ name: 'fan', plugins: [{ type: 'fanway-cni' }] },
    });
    plugins.push(plugin);
  }
  const [hostA, hostB] = [lab.host(0), lab.host(1)];
  const [pluginA = '', pluginB = ''] = plugins;
  const c = (host: number, index: number): LabContainer => lab.container(host, index);
  const env = (command: string, id: string, container?: LabContainer): NodeJS.ProcessEnv => ({
    ...{ CNI_COMMAND: command, CNI_CONTAINERID: id, CNI_IFNAME: 'net1', CNI_PATH: '/nowhere' },
    ...(container !== undefined && { CNI_NETNS: pathOf(container) }),
  });

  t.match((await call(hostA, pluginA, { CNI_COMMAND: 'VERSION' }, {})).out, {
    supportedVersions: /./,
  });
  t.match(await call(hostA, pluginA, { CNI_COMMAND: 'STATUS' }, {}), { code: 0, out: {} });

  // Two at once: the book is locked.
  const added = await Promise.all([
    call(hostA, pluginA, env('ADD', 'a1', c(0, 0)), {}),
    call(hostA, pluginA, env('ADD', 'a2', c(0, 1)), {}),
    call(hostB, pluginB, { ...env('ADD', 'b1', c(1, 0)), CNI_ARGS: 'IP=250.1.27.77;X=y' }, {}),
  ]);
  for (const { code, out } of added) t.equal(code, 0, JSON.stringify(out));
  const addressOf = (at: number): string => {
    const ips = added[at]?.out['ips'] as { address: string; gateway: string }[];
    return ips[0]?.address ?? '';
  };
  t.same(
    [addressOf(0), addressOf(1)].sort(),
    ['250.0.28.4/8', '250.0.28.5/8'],
    'after host-reserve',
  );
  t.equal(addressOf(2), '250.1.27.77/8', 'the one that was asked for');
  t.match(added[0]?.out, {
    interfaces: [{ name: 'fan-250-0-28' }, { name: /^fwc/ }, { name: 'net1', mtu: 1450 }],
    routes: [{ dst: '0.0.0.0/0', gw: '250.0.28.1' }],
  });
  const echo = await runEcho(
    c(1, 0),
    [0, 1].map((at) => addressOf(at).split('/')[0] ?? ''),
    { count: 3 },
  );
  t.same(
    echo.targets.map(({ received }) => received),
    [3, 3],
    'container to container',
  );

  const shown = await fanway(hostA, 'ip', 'show');
  t.match(shown.out, /250\.0\.28\.1-250\.0\.28\.3 +host/);
  t.match(shown.out, /250\.0\.28\.4 +cni +fan a[12] net1/);

  const check = (): Promise<Outcome> =>
    call(hostA, pluginA, env('CHECK', 'a1', c(0, 0)), { prevResult: added[0]?.out });
  t.match(await check(), { code: 0 });
  await c(0, 0).netlink.deleteAddress('net1', parseIpv4(addressOf(0).split('/')[0] ?? ''), 8);
  t.match(await check(), { code: 1, out: { code: 101, msg: /no longer the address/ } });
  t.match(await call(hostA, pluginA, env('ADD', 'a1', c(0, 0)), {}), {
    out: { code: 100, msg: /has an interface net1 already/ },
  });

  t.match(await call(hostA, pluginA, env('DEL', 'a1'), {}), { code: 0, out: {} }, 'without netns');
  t.match(await call(hostA, pluginA, env('DEL', 'a1', c(0, 0)), {}), { code: 0 }, 'twice');
  t.equal(await c(0, 0).netlink.findLink('net1'), undefined);
  // One book for all: what an LXC container was given CNI does not hand out, and the other way round.
  const lxc = (verb: string, address: string): ReturnType<typeof fanway> =>
    fanway(hostA, 'lxc', verb, '--address', address);
  const taken = addressOf(1).split('/')[0] ?? '';
  t.match(await lxc('config', taken), { code: 3, out: '', err: /is not free.*fanway ip show/ });
  t.match(await lxc('config', '250.0.28.6'), { code: 0, out: /ipv4\.address = 250\.0\.28\.6\/8/ });
  t.equal((await lxc('config', '250.0.28.6')).code, 0, 'asked for again');
  const chained = await call(hostA, pluginA, env('ADD', 'a3', c(0, 0)), {
    ...{ cniVersion: '0.4.0' },
    prevResult: { interfaces: [{ name: 'lo' }], ips: [], routes: [], dns: {} },
  });
  t.match(chained, {
    code: 0,
    out: {
      ...{ cniVersion: '0.4.0', interfaces: [{ name: 'lo' }, {}, {}, { name: 'net1' }] },
      ips: [{ version: '4', interface: 3, address: '250.0.28.7/8' }],
    },
  });
  t.match(await lxc('release', '250.0.28.6'), { code: 0, out: /250\.0\.28\.6: free again/ });
  t.match(await lxc('release', '250.0.28.6'), { code: 3, err: /was not given out/ });

  const gone = await call(
    hostA,
    pluginA,
    { CNI_COMMAND: 'GC' },
    {
      'cni.dev/valid-attachments': [{ containerID: 'a3', ifname: 'net1' }],
    },
  );
  t.match(gone, { code: 0, out: {} });
  t.equal(await c(0, 1).netlink.findLink('net1'), undefined, 'what nobody names is gone');
  t.notMatch((await fanway(hostA, 'ip', 'show')).out, /a2/);

  const bad = await call(hostA, pluginA, env('ADD', 'a9', c(0, 1)), { cniVersion: '9.0.0' });
  t.match(bad, { code: 1, out: { code: 1 } });
  t.match(await call(hostA, pluginA, { ...env('ADD', '../x', c(0, 1)) }, {}), { out: { code: 4 } });
  const nowhere = { ...env('ADD', 'a9'), CNI_NETNS: '/nowhere' };
  t.match(await call(hostA, pluginA, nowhere, {}), { out: { code: 3 } });
  t.notMatch((await fanway(hostA, 'ip', 'show')).out, /a9/, 'nothing is left of it');

  // A restart keeps ports and addresses; without a router runtimes are told to try again.
  const [bridge = ''] = (await statusOf(hostA)).links.map(({ name }) => name);
  await runFanway(hostA, ['down', '-e', '--force']);
  t.match(await call(hostA, pluginA, { CNI_COMMAND: 'STATUS' }, {}), { out: { code: 50 } });
  t.match(await call(hostA, pluginA, env('ADD', 'a9', c(0, 1)), {}), { out: { code: 11 } });
  await runFanway(hostA, ['up', '250.0.0.0/8', 'eth0/16', 'host-reserve', '3']);
  const again = await runEcho(
    c(1, 0),
    [(chained.out['ips'] as { address: string }[])[0]?.address.split('/')[0] ?? ''],
    { count: 3 },
  );
  t.equal(again.targets[0]?.received, 3, `still a port of ${bridge}`);
  t.match(await call(hostA, pluginA, env('DEL', 'a3', c(0, 0)), {}), { code: 0 });
});
