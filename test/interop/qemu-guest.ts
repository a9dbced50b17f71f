/**
 * A guest that runs a distribution's own kernel in QEMU's emulator (no KVM), with busybox and
 * iproute2 of this machine, on a lab's switch. Scripts go in and answers come out by its serial line.
 * @module
 */
import type { ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type Lab, MIDDLE_BRIDGE } from '../../src/demo/lab.ts';
import { openTun, setTunPersistent } from '../../src/sys/host/tun.ts';
import { libc } from '../../src/sys/libc/libc.ts';
import { PATIENCE } from '../support/patience.ts';
import { Initramfs } from './initramfs.ts';

const QEMU = '/usr/bin/qemu-system-x86_64';
const BUSYBOX = '/bin/busybox';
const IP = '/sbin/ip';
const TAP = 'qemu0';
const BOOT_MS_MAX = 40_000 * PATIENCE;
const CONSOLE_LINES_MAX = 40;

/** In the order in which they need each other. */
const MODULES = [
  'drivers/virtio/virtio_ring',
  'drivers/virtio/virtio',
  'drivers/virtio/virtio_pci_legacy_dev',
  'drivers/virtio/virtio_pci_modern_dev',
  'drivers/virtio/virtio_pci',
  'net/core/failover',
  'drivers/net/net_failover',
  'drivers/net/virtio_net',
  'net/ipv4/tunnel4',
  'net/ipv4/ip_tunnel',
  'net/ipv4/ipip',
  'net/ipv4/udp_tunnel',
  'net/ipv6/ip6_udp_tunnel',
  'net/ipv4/fou',
  'net/ipv6/sit',
  'net/ipv6/tunnel6',
  'net/ipv6/ip6_tunnel',
];

// An answer is `=BEGIN number exit-code`, base64 of what the script wrote, `=END number`.
const INIT = `#!/bin/busybox sh
/bin/busybox mkdir -p /bin /sbin /proc /sys /dev /tmp
/bin/busybox --install -s /bin
export PATH=/sbin:/bin:/usr/sbin:/usr/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in /modules/*; do insmod $module || echo "insmod $module failed"; done
exec </dev/ttyS0 >/dev/ttyS0 2>&1
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
poweroff -f
`;

type Kernel = { image: string; modules: string };

/**
 * A kernel with its modules: below FANWAY_GUEST_ROOT (an unpacked package) or installed here.
 */
function findKernel(): Kernel | undefined {
  for (const root of [process.env['FANWAY_GUEST_ROOT'], '/']) {
    if (root === undefined || !existsSync(join(root, 'boot'))) continue;
    for (const name of readdirSync(join(root, 'boot'))) {
      if (!name.startsWith('vmlinuz-')) continue;
      const release = name.slice('vmlinuz-'.length);
      const modules = join(root, 'lib/modules', release, 'kernel');
      if (MODULES.every((module) => existsSync(join(modules, `${module}.ko`)))) {
        return { image: join(root, 'boot', name), modules };
      }
    }
  }
  return undefined;
}

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
    const kernel = findKernel();
    if (kernel === undefined) throw new Error('no kernel for the guest');
    lab.middle.run(() => {
      // Without virtio-net headers: the guest must not be fed super-frames.
      const { fd } = openTun(TAP, { kind: 'tap', offload: false, multiQueue: false });
      setTunPersistent(fd, true);
      libc.close(fd);
    });
    await lab.middle.netlink.setLink(TAP, { master: MIDDLE_BRIDGE, up: true });
    const folder = mkdtempSync(join(tmpdir(), 'fanway-qemu-'));
    const initramfs = join(folder, 'initramfs');
    writeFileSync(initramfs, rootOf(kernel));
    const child = lab.middle.spawn(
      QEMU,
      [
        ...['-M', 'pc,accel=tcg', '-m', '160', '-nodefaults', '-no-user-config'],
        ...['-display', 'none', '-serial', 'stdio', '-no-reboot'],
        ...['-kernel', kernel.image, '-initrd', initramfs],
        ...['-append', 'console=ttyS0 quiet loglevel=1 panic=-1'],
        ...['-netdev', `tap,id=net,ifname=${TAP},script=no,downscript=no,vnet_hdr=off`],
        ...['-device', 'virtio-net-pci,netdev=net,mac=52:54:00:1e:01:1b,romfile='],
      ],
      { stdio: ['pipe', 'pipe', 'pipe'] },
    );
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
    if (code !== 0) throw new Error(`exit ${code} of ${script}\n${output}`);
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

function rootOf(kernel: Kernel): Buffer {
  const root = new Initramfs().file('/init', INIT).file('/bin/busybox', readFileSync(BUSYBOX));
  for (const [index, module] of MODULES.entries()) {
    const name = `/modules/${String(index).padStart(2, '0')}.ko`;
    root.file(name, readFileSync(join(kernel.modules, `${module}.ko`)));
  }
  return root.program(IP).build();
}
