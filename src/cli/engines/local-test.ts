/**
 * Two containers of Docker's on this host, through the fan's network: that one starts, and that the other
 * reaches it by address and by name. What was made for it is removed.
 * @module
 */
import { execFile } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { FanwayError, messageOf, refusedError } from '../../errors.ts';
import { DockerApi } from '../../plugins/docker/api.ts';
import { networksOfBridge } from '../../plugins/docker/network.ts';
import { findProgram } from '../../sys/host/nft.ts';

const run = promisify(execFile);

/** One thing that was tried; `problem` '' = it works. */
export type Tried = { name: string; problem: string };

/** What is tried one after the other, with what came of it. */
export class Trials {
  readonly tried: Tried[] = [];

  /** @throws FanwayError when there is nothing to try it with */
  async attempt(what: string, work: () => Promise<unknown>): Promise<void> {
    try {
      await work();
      this.tried.push({ name: what, problem: '' });
    } catch (error) {
      if (error instanceof FanwayError) throw error;
      this.tried.push({ name: what, problem: messageOf(error).trim().split('\n').at(-1) ?? '' });
    }
  }
}

/** A whole test takes at most this long for one step, ms: an image may have to be fetched. */
export const STEP_MS_MAX = 60_000;
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

/**
 * Has `use` take a tar of what `fill` puts into an empty folder beside this host's own busybox.
 * @param path of the busybox in it
 * @throws FanwayError where there is none that runs alone
 */
export async function withImage(
  path: string,
  fill: (folder: string) => void,
  use: (tar: string) => Promise<unknown>,
): Promise<void> {
  const busybox = findProgram('busybox');
  if (busybox === undefined) {
    throw refusedError(
      'no-image',
      'there is no busybox here to make an image of: install it (busybox-static), or give --image',
    );
  }
  const root = mkdtempSync(join(tmpdir(), 'fanway-image-'));
  try {
    const [folder, tar] = [join(root, 'fs'), join(root, 'image.tar')];
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    copyFileSync(realpathSync(busybox), join(folder, path));
    fill(folder);
    await run('tar', ['-C', folder, '-cf', tar, '.']);
    await use(tar);
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
  const trials = new Trials();
  const on = ['--network', network] as const;
  const ask = (target: string): Promise<string> =>
    docker(env, 'run', '--rm', ...on, used, IMAGE_PATH, 'sh', '-c', ASK, 'sh', target);
  try {
    if (image === undefined) {
      await withImage(
        IMAGE_PATH,
        () => undefined,
        (tar) => docker(env, 'import', tar, name),
      );
    }
    await trials.attempt('a container starts', () =>
      docker(env, 'run', '-d', '--name', name, ...on, used, IMAGE_PATH, 'sh', '-c', SERVE),
    );
    const format = `{{(index .NetworkSettings.Networks "${network}").IPAddress}}`;
    const address = await docker(env, 'inspect', '-f', format, name).catch(() => '');
    await trials.attempt('another one reaches it by its address', () => ask(address));
    await trials.attempt('another one reaches it by its name', () => ask(name));
  } finally {
    await docker(env, 'rm', '-f', name).catch(() => '');
    if (image === undefined) await docker(env, 'rmi', name).catch(() => '');
  }
  return trials.tried;
}
