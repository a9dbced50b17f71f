import { join } from 'node:path';
import type { RouterStatus } from '../../src/api/status.ts';
import { HOST_SYSCTLS } from '../../src/control/host/snapshot.ts';
import type { LabHost } from '../../src/demo/lab.ts';
import type { RouterHost } from '../../src/demo/router.ts';
import { distDirectory } from '../../src/sys/host/paths.ts';
import { readSysctl } from '../../src/sys/host/sysctl.ts';

export type Outcome = { code: number; out: string; err: string };

/** Runs `fanway ARGS` on a lab host as a user would; never throws. */
export function fanway(host: RouterHost, ...args: string[]): Promise<Outcome> {
  return fanwayWith(host, host.environment, ...args);
}

/** The same with another environment. */
export function fanwayWith(
  host: Pick<RouterHost, 'spawn'>,
  env: NodeJS.ProcessEnv,
  ...args: string[]
): Promise<Outcome> {
  return new Promise((resolve) => {
    const program = join(distDirectory(), 'fanway.js');
    const child = host.spawn(process.execPath, [program, ...args], {
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let out = '';
    let err = '';
    child.stdout?.on('data', (chunk: Buffer) => {
      out += chunk.toString();
    });
    child.stderr?.on('data', (chunk: Buffer) => {
      err += chunk.toString();
    });
    child.on('error', (error) => resolve({ code: -1, out, err: error.message }));
    child.on('close', (code) => resolve({ code: code ?? -1, out, err }));
  });
}

/** The same below another program, which ends with the words that are run in its place. */
export function fanwayUnder(
  host: RouterHost,
  [command = '', ...words]: readonly string[],
  ...args: string[]
): Promise<Outcome> {
  const spawn: RouterHost['spawn'] = (node, own, options) =>
    host.spawn(command, [...words, node, ...own], options);
  return fanwayWith({ spawn }, host.environment, ...args);
}

/** What `fanway status` says, whatever its exit code. */
export async function statusOf(host: LabHost): Promise<RouterStatus> {
  const { out, err } = await fanway(host, 'status', '--json');
  const status = JSON.parse(out) as RouterStatus & { error?: unknown };
  if (status.error !== undefined) throw new Error(`${out}${err}`);
  return status;
}

/** The host's network as text lines that can be compared: no ifindexes, no statistics. */
export async function picture(host: LabHost): Promise<string[]> {
  const { netlink } = host;
  const links = await netlink.links();
  const nameOf = (index: number): string =>
    links.find((link) => link.index === index)?.name ?? String(index);
  const addresses = await netlink.addresses();
  const routes = await netlink.routes();
  const sysctls = host.run(() => HOST_SYSCTLS.map((key) => `${key}=${readSysctl(key)}`));
  return [
    ...links.map(({ name, kind, up, mtu, master, alias }) =>
      ['link', name, kind, up, mtu, nameOf(master), alias].join(' '),
    ),
    ...addresses.map(({ index, address, length }) =>
      ['address', nameOf(index), address.toString(16), length].join(' '),
    ),
    ...routes.map(({ dst, oif, table, src }) =>
      ['route', dst.address.toString(16), dst.length, nameOf(oif), table, src.toString(16)].join(
        ' ',
      ),
    ),
    ...sysctls,
  ].sort();
}
