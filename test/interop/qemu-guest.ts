/**
 * A guest that runs a distribution's own kernel in QEMU's emulator (no KVM), with busybox and
 * iproute2 of this machine, on a lab's switch. Scripts go in and answers come out by its serial line.
 * @module
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { type Lab, MIDDLE_BRIDGE } from '../../src/demo/lab.ts';
import { openTun, setTunPersistent } from '../../src/sys/host/tun.ts';
import { libc } from '../../src/sys/libc/libc.ts';
import { PATIENCE, until } from '../support/patience.ts';
import { failureIn } from './guest-failure.ts';
import { BUSYBOX, findKernel, modulesOf } from './guest-kernel.ts';
import { Initramfs } from './initramfs.ts';

const QEMU = '/usr/bin/qemu-system-x86_64';
const IP = '/sbin/ip';
/** Where qemu-system-common has it, and where the package of its own has. */
const VIRTIOFSD = ['/usr/lib/qemu/virtiofsd', '/usr/libexec/virtiofsd'].find(existsSync);
const TAP = 'qemu0';
const BOOT_MS_MAX = 40_000 * PATIENCE;
const CONSOLE_LINES_MAX = 40;

/** What every guest has, and what a host with tunnels of its own. */
const NETWORK = ['virtio_pci', 'virtio_net'];
const TUNNELS = ['ipip', 'fou', 'sit', 'ip6_tunnel'];
/** Of a guest, and of one for Node, megabytes. */
const MEMORY = 256;
const MEMORY_FOR_NODE = 1500;
/** What a guest has this machine's files by. */
const SHARE = 'host';

const INIT = `#!/bin/busybox sh
/bin/busybox mkdir -p /bin /sbin /proc /sys /dev /tmp
/bin/busybox --install -s /bin
export PATH=/sbin:/bin:/usr/sbin:/usr/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in /modules/*; do insmod $module || echo "insmod $module failed"; done
mkdir -p /host /files
mount -t virtiofs -o ro ${SHARE} /host 2>/dev/null || exec sh /loop
# With this machine's root, read-only, that is the root of all scripts.
mount -o bind /host /files
mount -t proc proc /host/proc
mount -t sysfs sys /host/sys
mount -t devtmpfs dev /host/dev
mount -t tmpfs tmp /host/tmp
for folder in run var/lib; do mount -t tmpfs -o mode=755 tmp /host/$folder; done
# The checkout and Node may lie below one of these, which are covered.
for folder in "$FANWAY_CHECKOUT" "$FANWAY_NODE"; do
  mkdir -p "/host$folder"
  mount -o bind "/files$folder" "/host$folder"
done
cp /loop /host/tmp/loop
exec switch_root /host /bin/busybox sh /tmp/loop
`;

// An answer is `=BEGIN number exit-code`, base64 of what the script wrote, `=END number`.
const LOOP = `exec </dev/ttyS0 >/dev/ttyS0 2>&1
stty raw -echo
echo =READY
while read -r number script; do
  # The shell prefers its own ip, which knows no fou.
  echo 'ip() { /sbin/ip "$@"; }' >/tmp/script
  echo "$script" | base64 -d >>/tmp/script
  sh /tmp/script >/tmp/output 2>&1 </dev/null
  echo "=BEGIN $number $?"
  base64 /tmp/output
  echo "=END $number"
done
/bin/busybox poweroff -f
`;

/** Why no guest can run here, or false. */
export function skipWithoutQemu(): string | false {
  if (process.arch !== 'x64') return 'the emulated guest is for x86-64 only';
  const missing = [
    [QEMU, 'qemu-system-x86'],
    [BUSYBOX, 'busybox-static'],
    [IP, 'iproute2'],
  ].flatMap(([path = '', name = '']) => (existsSync(path) ? [] : [name]));
  if (findKernel() === undefined) missing.push('linux-image-cloud-amd64 (or FANWAY_GUEST_ROOT)');
  if (missing.length === 0) return false;
  return `needs the Debian packages ${missing.join(', ')} for a guest with a stock kernel`;
}

type Answer = { code: number; lines: string[] };

/** Why no guest with this machine's files and a kernel of at least this version can run here, or false. */
export function skipWithoutShare(major: number, minor: number): string | false {
  const files = VIRTIOFSD === undefined ? 'needs virtiofsd for a guest with these files' : false;
  const without = skipWithoutQemu() || files;
  if (without) return without;
  const { release = '' } = findKernel() ?? {};
  const [own = 0, ownMinor = 0] = release.split('.').map((part) => Number.parseInt(part, 10));
  return own > major || (own === major && ownMinor >= minor)
    ? false
    : `needs Linux ${major}.${minor} for a guest (FANWAY_GUEST_ROOT), and has ${release}`;
}

/** Arguments of every guest, and those of one with a network, or with a server of files at a socket. */
function argumentsOf(
  image: string,
  initramfs: string,
  megabytes: number,
  environment: string,
): string[] {
  return [
    ...['-M', 'pc,accel=tcg', '-m', String(megabytes), '-nodefaults', '-no-user-config'],
    ...['-display', 'none', '-serial', 'stdio', '-no-reboot'],
    ...['-kernel', image, '-initrd', initramfs],
    ...['-append', `console=ttyS0 quiet loglevel=1 panic=-1 ${environment}`],
  ];
}

function networkArguments(): string[] {
  return [
    ...['-netdev', `tap,id=net,ifname=${TAP},script=no,downscript=no,vnet_hdr=off`],
    ...['-device', 'virtio-net-pci,netdev=net,mac=52:54:00:1e:01:1b,romfile='],
  ];
}

function shareArguments(socket: string, megabytes: number): string[] {
  return [
    // Of WebAssembly its vectors, which the plain one lacks.
    ...['-smp', '2', '-cpu', 'Nehalem'],
    ...['-object', `memory-backend-memfd,id=memory,size=${megabytes}M,share=on`],
    ...['-numa', 'node,memdev=memory', '-chardev', `socket,id=files,path=${socket}`],
    ...['-device', `vhost-user-fs-pci,chardev=files,tag=${SHARE}`],
  ];
}

export class QemuGuest {
  readonly #child: ChildProcess;
  readonly #folder: string;
  readonly #console: string[] = [];
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  #answer: Answer | undefined;
  #scripts = 0;
  #fail: (error: Error) => void = () => {};
  readonly #ended: Promise<never>;

  private constructor(child: ChildProcess, folder: string) {
    this.#child = child;
    this.#folder = folder;
    this.#ended = new Promise((_, reject) => {
      this.#fail = reject;
    });
    this.#ended.catch(() => undefined);
    child.once('exit', (code, signal) => {
      this.#fail(new Error(`the guest ended (${signal ?? code}): ${this.#console.join('\n')}`));
    });
    child.stdin?.on('error', () => undefined);
    for (const stream of [child.stdout, child.stderr]) {
      if (stream === null) continue;
      createInterface({ input: stream }).on('line', (line) => this.#line(line.trim()));
    }
  }

  /**
   * Boots a guest whose eth0 is a port of the lab's switch with this address.
   * @throws Error with the end of its console when it does not come up in 40 s.
   */
  static async boot(lab: Lab, address: string, length: number): Promise<QemuGuest> {
    lab.middle.run(() => {
      // Without virtio-net headers: the guest must not be fed super-frames.
      const { fd } = openTun(TAP, { kind: 'tap', offload: false, multiQueue: false });
      setTunPersistent(fd, true);
      libc.close(fd);
    });
    await lab.middle.netlink.setLink(TAP, { master: MIDDLE_BRIDGE, up: true });
    const { folder, words } = prepare(TUNNELS, MEMORY, '');
    const child = lab.middle.spawn(QEMU, [...words, ...networkArguments()], {
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    const guest = new QemuGuest(child, folder);
    try {
      await guest.#ready();
      await guest.run(
        `set -e
        ip link set lo up
        ip addr add ${address}/${length} dev eth0
        ip link set eth0 up`,
        BOOT_MS_MAX,
      );
    } catch (error) {
      guest.close();
      throw error;
    }
    return guest;
  }

  /**
   * Boots a guest without a network, with memory for Node processes, in which all files of this machine can be read,
   * a checkout among them: a machine of its own for whole tests.
   * @param modules what the kernel loads, by name
   * @throws Error with the end of its console when it does not come up
   */
  static async bootAlone(checkout: string, modules: readonly string[]): Promise<QemuGuest> {
    const folders = `FANWAY_CHECKOUT=${checkout} FANWAY_NODE=${dirname(process.execPath)}`;
    const { folder, words } = prepare(modules, MEMORY_FOR_NODE, folders);
    const socket = join(folder, 'files');
    // It ends with the guest.
    const files = [`--socket-path=${socket}`, '-o', 'source=/,cache=always,sandbox=chroot'];
    const server = spawn(VIRTIOFSD ?? '', files, { stdio: 'ignore' });
    const failed = new Promise<never>((_, reject) => server.once('error', reject));
    await Promise.race([until('a server of files', BOOT_MS_MAX, () => existsSync(socket)), failed]);
    const child = spawn(QEMU, [...words, ...shareArguments(socket, MEMORY_FOR_NODE)]);
    const guest = new QemuGuest(child, folder);
    try {
      await guest.#ready();
      await guest.run('ip link set lo up', BOOT_MS_MAX);
    } catch (error) {
      guest.close();
      server.kill();
      throw error;
    }
    return guest;
  }

  /**
   * Runs a shell script in the guest and returns what it wrote.
   * @throws Error with that, or with the end of the console, when it fails or takes too long.
   */
  async run(script: string, timeoutMs = 20_000): Promise<string> {
    const number = ++this.#scripts;
    const { code, lines } = await this.#within<Answer>(timeoutMs, script, (resolve) => {
      this.#waiting.set(number, resolve);
      this.#child.stdin?.write(`${number} ${Buffer.from(script).toString('base64')}\n`);
    });
    const output = Buffer.from(lines.join(''), 'base64').toString();
    if (code !== 0) throw new Error(failureIn(output, `exit ${code} of ${script}`));
    return output;
  }

  /** Ends the guest at once. Harmless twice. */
  close(): void {
    this.#child.kill('SIGKILL');
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #ready(): Promise<Answer> {
    return this.#within(BOOT_MS_MAX, 'boot', (resolve) => this.#waiting.set(0, resolve));
  }

  async #within<T>(
    timeoutMs: number,
    what: string,
    begin: (resolve: (value: T) => void) => void,
  ): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        reject(new Error(`no end after ${timeoutMs} ms: ${what}\n${this.#console.join('\n')}`));
      }, timeoutMs);
    });
    try {
      return await Promise.race([new Promise<T>(begin), late, this.#ended]);
    } finally {
      clearTimeout(timer);
    }
  }

  #line(line: string): void {
    const [, mark, number = '0', code = '0'] =
      /^=(READY|BEGIN|END) ?(\d+)? ?(\d+)?/.exec(line) ?? [];
    if (mark === 'READY') this.#waiting.get(0)?.({ code: 0, lines: [] });
    else if (mark === 'BEGIN') this.#answer = { code: Number(code), lines: [] };
    else if (mark === 'END' && this.#answer !== undefined) {
      this.#waiting.get(Number(number))?.(this.#answer);
      this.#answer = undefined;
    } else if (this.#answer !== undefined) this.#answer.lines.push(line);
    else {
      this.#console.push(line);
      if (this.#console.length > CONSOLE_LINES_MAX) this.#console.shift();
    }
  }
}

/** A folder for a guest, and the words that start it. */
function prepare(
  modules: readonly string[],
  megabytes: number,
  environment: string,
): { folder: string; words: string[] } {
  const kernel = findKernel();
  if (kernel === undefined) throw new Error('no kernel for the guest');
  const folder = mkdtempSync(join(tmpdir(), 'fanway-qemu-'));
  const initramfs = join(folder, 'initramfs');
  const root = new Initramfs()
    .file('/init', INIT)
    .file('/loop', LOOP)
    .file('/bin/busybox', readFileSync(BUSYBOX));
  for (const [index, module] of modulesOf(kernel, [...NETWORK, ...modules]).entries()) {
    root.file(`/modules/${String(index).padStart(2, '0')}.ko`, module);
  }
  writeFileSync(initramfs, root.program(IP).build());
  return { folder, words: argumentsOf(kernel.image, initramfs, megabytes, environment) };
}
