/**
 * Two containers of Docker's on this host, through the fan's network: that one starts, and that the other
 * reaches it by address and by name. What was made for it is removed.
 * @module
 */
import { execFile } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { FanwayError, messageOf, refusedError } from '../../errors.ts';
import { DockerApi } from '../../plugins/docker/api.ts';
import { networksOfBridge } from '../../plugins/docker/network.ts';
import { findProgram } from '../../sys/host/nft.ts';

const run = promisify(execFile);

/** One thing that was tried; `problem` '' = it works. */
export type Tried = { name: string; problem: string };

/** A whole test takes at most this long for one step, ms: an image may have to be fetched. */
const STEP_MS_MAX = 60_000;
const IMAGE_PATH = '/bin/busybox';
/** Constant text, what is asked for comes in as an argument: five seconds for the server to answer. */
const ASK = `tries=0
until ${IMAGE_PATH} wget -q -O - "http://$1/" | ${IMAGE_PATH} grep -q fanway; do
  tries=$((tries + 1))
  [ $tries -lt 25 ] || exit 1
  ${IMAGE_PATH} usleep 200000
done`;
const SERVE = `${IMAGE_PATH} mkdir -p /page && echo fanway >/page/index.html &&
exec ${IMAGE_PATH} httpd -f -p 80 -h /page`;

async function docker(env: NodeJS.ProcessEnv, ...args: string[]): Promise<string> {
  const { stdout } = await run('docker', args, { env, timeout: STEP_MS_MAX });
  return stdout.trim();
}

/** An image of this host's own busybox. @throws FanwayError where there is none that runs alone */
async function makeImage(name: string, env: NodeJS.ProcessEnv): Promise<void> {
  const busybox = findProgram('busybox');
  if (busybox === undefined) {
    throw refusedError(
      'no-image',
      'there is no busybox here to make an image of: install it (busybox-static), or give --image',
    );
  }
  const root = mkdtempSync(join(tmpdir(), 'fanway-image-'));
  try {
    mkdirSync(join(root, 'fs/bin'), { recursive: true });
    copyFileSync(realpathSync(busybox), join(root, 'fs', IMAGE_PATH));
    await run('tar', ['-C', join(root, 'fs'), '-cf', join(root, 'image.tar'), '.']);
    await docker(env, 'import', join(root, 'image.tar'), name);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

/**
 * Tries it. @param image an image with busybox in /bin; made of this host's where undefined
 * @throws FanwayError when there is nothing to try it with
 */
export async function testLocal(
  bridge: string,
  image: string | undefined,
  env: NodeJS.ProcessEnv,
): Promise<Tried[]> {
  const [network] = await networksOfBridge(await DockerApi.open(env), bridge);
  if (network === undefined) {
    throw refusedError(
      'not-enabled',
      `Docker has no network on ${bridge}: fanway docker enable ${bridge} makes one`,
    );
  }
  const name = `fanway-test-${process.pid}`;
  const used = image ?? name;
  const tried: Tried[] = [];
  const attempt = async (what: string, work: () => Promise<unknown>): Promise<void> => {
    try {
      await work();
      tried.push({ name: what, problem: '' });
    } catch (error) {
      if (error instanceof FanwayError) throw error;
      tried.push({ name: what, problem: messageOf(error).trim().split('\n').at(-1) ?? '' });
    }
  };
  const on = ['--network', network] as const;
  const ask = (target: string): Promise<string> =>
    docker(env, 'run', '--rm', ...on, used, IMAGE_PATH, 'sh', '-c', ASK, 'sh', target);
  try {
    if (image === undefined) await makeImage(name, env);
    await attempt('a container starts', () =>
      docker(env, 'run', '-d', '--name', name, ...on, used, IMAGE_PATH, 'sh', '-c', SERVE),
    );
    const format = `{{(index .NetworkSettings.Networks "${network}").IPAddress}}`;
    const address = await docker(env, 'inspect', '-f', format, name).catch(() => '');
    await attempt('another one reaches it by its address', () => ask(address));
    await attempt('another one reaches it by its name', () => ask(name));
  } finally {
    await docker(env, 'rm', '-f', name).catch(() => '');
    if (image === undefined) await docker(env, 'rmi', name).catch(() => '');
  }
  return tried;
}
