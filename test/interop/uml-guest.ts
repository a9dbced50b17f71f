/**
 * Another kernel, with the tunnel devices that this machine's own may lack: a User-Mode Linux guest
 * on a lab's switch. It boots the host's file system read-only and runs shell scripts that are
 * handed to it through a shared folder.
 * @module
 */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import {
  accessSync,
  constants,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Lab, MIDDLE_BRIDGE } from '../../src/demo/lab.ts';
import { openTun, setTunPersistent } from '../../src/sys/host/tun.ts';
import { libc } from '../../src/sys/libc/libc.ts';
import { PATIENCE, sleep } from '../support/patience.ts';
import { failureIn } from './guest-failure.ts';

const KERNEL = '/usr/bin/linux.uml';
const MODULES = '/usr/lib/uml/modules';
/** It tests the clock when it is loaded, and a guest's on a busy machine fails that; drbg can do without it. */
const JITTER = 'jitterentropy_rng';
const TAP = 'uml0';
const MEMORY = '96M';
const BOOT_MS_MAX = 30_000 * PATIENCE;
const POLL_MS = 10;
const KILL_MS = 1000;
const CONSOLE_CHARS_MAX = 4000;

const TUNNEL_MODULES = ['ipip', 'fou'];
/** Of whatever starts a Node process or more. */
const MEMORY_FOR_NODE = '1500M';

// The root is the host's, so /proc has to be covered before any program is started by name: it
// still shows the host's. A script is complete when it has its final name, an answer likewise.
const INIT = `#!/bin/sh
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs tmp /tmp
mount -t hostfs -o "$FANWAY_SHARE" none /mnt
n=1
while :; do
  if [ -e /mnt/$n.sh ]; then
    sh /mnt/$n.sh >/mnt/$n.out 2>&1 </dev/null
    echo $? >/mnt/$n.code
    mv /mnt/$n.code /mnt/$n.rc
    n=$((n + 1))
  else
    busybox usleep 10000
  fi
done
`;

/** Why no guest can run here, or false. */
export function skipWithoutUml(): string | false {
  const missing = [
    [KERNEL, 'user-mode-linux'],
    [MODULES, 'user-mode-linux'],
    ['/bin/busybox', 'busybox-static'],
    ['/sbin/ip', 'iproute2'],
  ].filter(([path = '']) => !existsSync(path));
  if (missing.length > 0) {
    const packages = new Set(missing.map(([, name]) => name));
    return `needs the Debian packages ${[...packages].join(', ')} for a guest with its own kernel`;
  }
  try {
    accessSync(KERNEL, constants.X_OK);
    return process.arch === 'x64' ? false : `${KERNEL} runs on x86-64 only`;
  } catch (error) {
    return (error as Error).message;
  }
}

function bootArguments(folder: string, init: string, memory: string): string[] {
  return [
    ...[`mem=${memory}`, 'rootfstype=hostfs', 'rootflags=/', 'ro', `init=${init}`],
    ...[`FANWAY_SHARE=${folder}`, 'con=null', 'con0=null,fd:1', 'quiet', `uml_dir=${folder}`],
  ];
}

function bootOptions(folder: string): SpawnOptions {
  const env = { ...process.env, TMPDIR: folder, HOME: folder };
  return { stdio: ['ignore', 'pipe', 'pipe'], env };
}

/** Shell lines that load these modules and what they need, each once. @throws Error for an unknown one. */
function insmodLines(names: readonly string[]): string[] {
  const [release = ''] = readdirSync(MODULES);
  const folder = join(MODULES, release);
  const needs = new Map<string, string[]>();
  for (const line of readFileSync(join(folder, 'modules.dep'), 'utf8').split('\n')) {
    const [module = '', rest = ''] = line.split(':');
    needs.set(module, rest.split(' ').filter(Boolean));
  }
  const order: string[] = [];
  const add = (module: string): void => {
    if (order.includes(module)) return;
    for (const needed of needs.get(module) ?? []) add(needed);
    order.push(module);
  };
  for (const name of names) {
    const module = [...needs.keys()].find((path) => path.endsWith(`/${name}.ko`));
    if (module === undefined) throw new Error(`${folder} has no module ${name}`);
    add(module);
  }
  return order.map((module) => {
    const insmod = `busybox insmod ${join(folder, module)}`;
    if (!module.endsWith(`/${JITTER}.ko`)) return `${insmod} || exit 1`;
    return `for try in 1 2 3 4 5; do ${insmod} && break; done`;
  });
}

export class UmlGuest {
  readonly #child: ChildProcess;
  readonly #folder: string;
  #scripts = 0;
  #console = '';
  #ended = false;
  /** Whoever ends without {@link close} leaves no machine behind. */
  readonly #onExit = () => this.close();

  private constructor(child: ChildProcess, folder: string) {
    this.#child = child;
    this.#folder = folder;
    child.once('exit', () => {
      this.#ended = true;
    });
    process.once('exit', this.#onExit);
    const keep = (chunk: Buffer) => {
      this.#console = `${this.#console}${chunk.toString()}`.slice(-CONSOLE_CHARS_MAX);
    };
    child.stdout?.on('data', keep);
    child.stderr?.on('data', keep);
  }

  /**
   * Boots a guest whose eth0 is a port of the lab's switch with this address, tunnel modules loaded.
   * @throws Error with the end of its console when it does not come up in 30 s.
   */
  static async boot(lab: Lab, address: string, length: number): Promise<UmlGuest> {
    lab.middle.run(() => {
      // Without virtio-net headers: the guest must not be fed super-frames.
      const { fd } = openTun(TAP, { kind: 'tap', offload: false, multiQueue: false });
      setTunPersistent(fd, true);
      libc.close(fd);
    });
    await lab.middle.netlink.setLink(TAP, { master: MIDDLE_BRIDGE, up: true });
    const folder = mkdtempSync(join(tmpdir(), 'fanway-uml-'));
    const init = join(folder, 'init');
    writeFileSync(init, INIT, { mode: 0o755 });
    const child = lab.middle.spawn(
      KERNEL,
      [...bootArguments(folder, init, MEMORY), `eth0=tuntap,${TAP}`],
      bootOptions(folder),
    );
    const guest = new UmlGuest(child, folder);
    return guest.#prepare([
      ...insmodLines(TUNNEL_MODULES),
      'ip link set lo up',
      `ip addr add ${address}/${length} dev eth0`,
      'ip link set eth0 up',
    ]);
  }

  /**
   * Boots a guest without a network, with memory for Node processes, in which `checkout` can be read:
   * a machine of its own for whole tests.
   * @param modules what the kernel loads, by name
   * @throws Error with the end of its console when it does not come up in 30 s.
   */
  static async bootAlone(checkout: string, modules: readonly string[]): Promise<UmlGuest> {
    const folder = mkdtempSync(join(tmpdir(), 'fanway-uml-'));
    const init = join(folder, 'init');
    writeFileSync(init, INIT, { mode: 0o755 });
    const child = spawn(KERNEL, bootArguments(folder, init, MEMORY_FOR_NODE), bootOptions(folder));
    const guest = new UmlGuest(child, folder);
    return guest.#prepare([
      ...insmodLines(modules),
      'ip link set lo up',
      'mount -t tmpfs run /run',
      '[ -e /dev/net/tun ] || { mkdir -p /dev/net && mknod /dev/net/tun c 10 200; }',
      // It may lie below /tmp, which is covered.
      `mkdir -p '${checkout}' && mount -t hostfs -o '${checkout}' none '${checkout}'`,
    ]);
  }

  async #prepare(lines: readonly string[]): Promise<this> {
    try {
      await this.run(lines.join('\n'), BOOT_MS_MAX);
    } catch (error) {
      this.close();
      throw error;
    }
    return this;
  }

  /**
   * Runs a shell script in the guest and returns what it wrote.
   * @throws Error with that, or with the end of the console, when it fails or takes too long.
   */
  async run(script: string, timeoutMs = 20_000): Promise<string> {
    const number = ++this.#scripts;
    const path = (suffix: string) => join(this.#folder, `${number}.${suffix}`);
    writeFileSync(path('new'), `${script}\n`);
    renameSync(path('new'), path('sh'));
    const deadline = Date.now() + timeoutMs;
    while (!existsSync(path('rc'))) {
      if (this.#ended) throw new Error(`the guest ended: ${this.#console}`);
      if (Date.now() > deadline) {
        throw new Error(`no end after ${timeoutMs} ms: ${script}\n${this.#console}`);
      }
      await sleep(POLL_MS);
    }
    const output = readFileSync(path('out'), 'utf8');
    const code = readFileSync(path('rc'), 'utf8').trim();
    if (code !== '0') throw new Error(failureIn(output, `exit ${code} of ${script}`));
    return output;
  }

  /** Ends the guest at once. Harmless twice. */
  close(): void {
    process.off('exit', this.#onExit);
    // SIGTERM has it end and reap the processes that stand for the guest's own.
    this.#child.kill('SIGTERM');
    setTimeout(() => this.#child.kill('SIGKILL'), KILL_MS).unref();
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 20 });
  }
}
