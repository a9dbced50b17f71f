/**
 * Two instances of LXD's on this host, through the fan: that one starts and has an address, and that the
 * other reaches it. What was made for it is removed.
 * @module
 */
import { execFile } from 'node:child_process';
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { refusedError } from '../../errors.ts';
import type { EngineFan } from '../../plugins/fan.ts';
import { LxdApi } from '../../plugins/lxd/api.ts';
import { profilesOfBridge } from '../../plugins/lxd/profile.ts';
import { STEP_MS_MAX, Trials, type Tried, withImage } from './local-test.ts';

const run = promisify(execFile);

/** Where the system in the image has its parts. */
const BUSYBOX = 'rootfs/bin/busybox';
const FOLDERS = [
  'sbin',
  'etc',
  'proc',
  'sys',
  'dev',
  'tmp',
  'run',
  'var',
  'root',
  'www',
  'usr/lib',
];
const APPLETS = ['sh', 'mount', 'ip', 'udhcpc', 'httpd', 'wget', 'sleep'];
const PAGE = 'fanway';
const INIT = `::respawn:/bin/udhcpc -f -i eth0 -s /etc/lease
::respawn:/bin/httpd -f -p 80 -h /www
`;
const LEASE = `#!/bin/sh
ip link set "$interface" up
[ "$1" = bound ] && ip addr add "$ip/$mask" dev "$interface"
exit 0
`;
/** Ten seconds for a lease, and for the server to answer. */
const TRIES = 50;
const TRY_MS = 200;

async function lxc(env: NodeJS.ProcessEnv, ...args: string[]): Promise<string> {
  const running = run('lxc', args, { env, timeout: STEP_MS_MAX });
  running.child.stdin?.end();
  return (await running).stdout.trim();
}

/** Again and again until it gives something. */
async function patiently(what: string, look: () => Promise<string>): Promise<string> {
  for (let tries = 0; tries < TRIES; tries++) {
    const seen = await look().catch(() => '');
    if (seen !== '') return seen;
    await new Promise((resolve) => setTimeout(resolve, TRY_MS));
  }
  throw new Error(what);
}

/** A whole system: DHCP, and a web server of one page. */
function fillSystem(folder: string): void {
  const at = (...parts: string[]): string => join(folder, 'rootfs', ...parts);
  for (const name of FOLDERS) mkdirSync(at(name), { recursive: true });
  for (const name of APPLETS) symlinkSync('/bin/busybox', at('bin', name));
  symlinkSync('/bin/busybox', at('sbin/init'));
  writeFileSync(at('etc/inittab'), INIT);
  writeFileSync(at('etc/os-release'), 'ID=busybox\n');
  writeFileSync(at('etc/lease'), LEASE);
  chmodSync(at('etc/lease'), 0o755);
  writeFileSync(at('www/index.html'), `${PAGE}\n`);
  const architecture = process.arch === 'arm64' ? 'aarch64' : 'x86_64';
  // JSON is YAML.
  const metadata = JSON.stringify({ architecture, creation_date: 1 });
  writeFileSync(join(folder, 'metadata.yaml'), `${metadata}\n`);
}

/**
 * Tries it.
 * @param image a system with busybox in /bin that asks DHCP and serves a page; made of this host's where undefined
 * @throws FanwayError when there is nothing to try it with
 */
export async function testLocalLxd(
  fan: EngineFan,
  image: string | undefined,
  env: NodeJS.ProcessEnv,
): Promise<Tried[]> {
  const { bridge, dhcp } = fan;
  const [profile] = await profilesOfBridge(await LxdApi.open('lxd', env), bridge);
  if (profile === undefined) {
    const message = `LXD has no profile for ${bridge}: fanway lxd enable ${bridge} makes one`;
    throw refusedError('not-enabled', message);
  }
  if (!dhcp) {
    const message = `the fan of ${bridge} has no DHCP, by which instances get their addresses: bring it up with dhcp`;
    throw refusedError('no-dhcp', message);
  }
  const names = [`fanway-test-${process.pid}-a`, `fanway-test-${process.pid}-b`] as const;
  const used = image ?? `fanway-test-${process.pid}`;
  // So that it needs no range of subordinate ids; what runs in it is a busybox, for some seconds.
  const privileged = ['--config', 'security.privileged=true'];
  const launch = (name: string): Promise<string> =>
    lxc(env, 'launch', used, name, '-p', 'default', '-p', profile, ...privileged);
  const inside = (name: string, ...words: string[]): Promise<string> =>
    lxc(env, 'exec', name, '--', '/bin/busybox', ...words);
  const [first, second] = names;
  const trials = new Trials();
  let address = '';
  try {
    if (image === undefined) {
      await withImage(BUSYBOX, fillSystem, (tar) =>
        lxc(env, 'image', 'import', tar, '--alias', used),
      );
    }
    await trials.attempt('an instance starts', () => launch(first));
    await trials.attempt('it has an address by DHCP', async () => {
      address = await patiently('none came', async () => {
        const said = await inside(first, 'ip', '-4', 'addr', 'show', 'eth0');
        return /inet ([0-9.]+)\//.exec(said)?.[1] ?? '';
      });
    });
    await trials.attempt('another one starts', () => launch(second));
    await trials.attempt('it reaches the first by its address', () =>
      patiently('it does not answer', () =>
        inside(second, 'wget', '-q', '-O', '-', `http://${address}/`),
      ),
    );
  } finally {
    for (const name of names) await lxc(env, 'delete', '-f', name).catch(() => '');
    if (image === undefined) await lxc(env, 'image', 'delete', used).catch(() => '');
  }
  return trials.tried;
}
