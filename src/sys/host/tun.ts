/**
 * TUN and TAP devices (kernel Documentation/networking/tuntap.rst).
 * @module
 */
import {
  IFF_BACKPRESSURE,
  IFF_MULTI_QUEUE,
  IFF_NO_PI,
  IFF_TAP,
  IFF_TUN,
  IFF_VNET_HDR,
  O_CLOEXEC,
  O_NONBLOCK,
  O_RDWR,
  TUN_F_CSUM,
  TUN_F_TSO_ECN,
  TUN_F_TSO4,
  TUN_F_TSO6,
  TUN_F_USO4,
  TUN_F_USO6,
  TUNGETFEATURES,
  TUNGETIFF,
  TUNSETIFF,
  TUNSETOFFLOAD,
  TUNSETPERSIST,
} from '../libc/constants.ts';
import { addressOf, errno, libc, SystemError } from '../libc/libc.ts';

/** Bytes of the virtio-net header in front of each packet when `vnetHeader` is on. */
export const VNET_HEADER_BYTES = 10;

const IFREQ_BYTES = 40;
const IFREQ_FLAGS_OFFSET = 16;
const INTERFACE_NAME_PATTERN = /^[a-z0-9_.-]{1,15}$/;

export type TunOptions = {
  /** `tap` carries Ethernet frames, `tun` bare IP packets. */
  kind: 'tun' | 'tap';
  /** Ask for the virtio-net header and segmentation offloads; each is dropped where refused. */
  offload: boolean;
  multiQueue: boolean;
};

export type TunDevice = {
  fd: number;
  /** Each packet is preceded by {@link VNET_HEADER_BYTES} bytes of virtio-net header. */
  vnetHeader: boolean;
  /** The device hands us TCP super-packets and unfinished checksums. */
  tso: boolean;
  /** The device takes and hands us UDP super-packets (kernel 6.2 and later). */
  uso: boolean;
};

/** Whether TUN stops its queue when its ring is full, instead of dropping (Linux 7.3 and later). */
export function hasBackpressure(): boolean {
  const fd = libc.open('/dev/net/tun', O_RDWR | O_CLOEXEC | O_NONBLOCK, 0);
  if (fd === -1) return false;
  const has = (featuresOf(fd) & IFF_BACKPRESSURE) !== 0;
  libc.close(fd);
  return has;
}

/** The flags that the kernel knows; none where it does not say. */
function featuresOf(fd: number): number {
  const features = new Uint32Array(1);
  return libc.ioctl(fd, TUNGETFEATURES, addressOf(features)) === -1 ? 0 : (features[0] ?? 0);
}

function setInterface(name: string, flags: number): number {
  const fd = libc.open('/dev/net/tun', O_RDWR | O_CLOEXEC | O_NONBLOCK, 0);
  if (fd === -1) throw new SystemError('open', errno(), '/dev/net/tun');
  const request = Buffer.alloc(IFREQ_BYTES);
  request.write(name, 0, 'latin1');
  // With it a qdisc on the device works; without, the ring drops at its tail, whosever packet it is.
  request.writeUInt16LE(flags | (featuresOf(fd) & IFF_BACKPRESSURE), IFREQ_FLAGS_OFFSET);
  if (libc.ioctl(fd, TUNSETIFF, addressOf(request)) === -1) {
    const failure = new SystemError('ioctl TUNSETIFF', errno(), name);
    libc.close(fd);
    throw failure;
  }
  return fd;
}

/**
 * Opens (and creates, or attaches to the persistent) device `name`, non-blocking.
 * @throws SystemError EPERM without CAP_NET_ADMIN, EBUSY when another process holds the device,
 *   EINVAL when a device of that name has another kind, ENOENT without /dev/net/tun.
 */
export function openTun(name: string, options: TunOptions): TunDevice {
  if (!INTERFACE_NAME_PATTERN.test(name)) {
    throw new RangeError(`'${name}' cannot be an interface name: 1 to 15 of [a-z0-9_.-]`);
  }
  const base =
    (options.kind === 'tap' ? IFF_TAP : IFF_TUN) |
    IFF_NO_PI |
    (options.multiQueue ? IFF_MULTI_QUEUE : 0);
  if (!options.offload) {
    return { fd: setInterface(name, base), vnetHeader: false, tso: false, uso: false };
  }
  let fd: number;
  try {
    fd = setInterface(name, base | IFF_VNET_HDR);
  } catch (error) {
    // Only EINVAL speaks of the flags; anything else fails without them too.
    if (!(error instanceof SystemError) || error.code !== 'EINVAL') throw error;
    return { fd: setInterface(name, base), vnetHeader: false, tso: false, uso: false };
  }
  return { fd, vnetHeader: true, ...segmentOffloads(fd) };
}

/** Asks for all segmentation offloads that the kernel knows, and says which there are. */
function segmentOffloads(fd: number): { tso: boolean; uso: boolean } {
  const tsoBits = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
  // The kernel takes the two USO bits only together (set_offload in drivers/net/tun.c).
  const usoBits = TUN_F_USO4 | TUN_F_USO6;
  const uso = libc.ioctl(fd, TUNSETOFFLOAD, tsoBits | usoBits) === 0;
  const tso = uso || libc.ioctl(fd, TUNSETOFFLOAD, tsoBits) === 0;
  return { tso, uso };
}

/** The name of the device that a descriptor is a queue of; undefined where it was deleted. */
export function tunNameOf(fd: number): string | undefined {
  return interfaceOf(fd)?.name;
}

function interfaceOf(fd: number): { name: string; flags: number } | undefined {
  const request = Buffer.alloc(IFREQ_BYTES);
  if (libc.ioctl(fd, TUNGETIFF, addressOf(request)) === -1) return undefined;
  const [name = ''] = request.toString('latin1', 0, IFREQ_FLAGS_OFFSET).split('\0');
  return { name, flags: request.readUInt16LE(IFREQ_FLAGS_OFFSET) };
}

/** A queue of a device that somebody else opened; undefined where it is not what {@link openTun} would give. */
export function takeTun(fd: number, options: TunOptions): TunDevice | undefined {
  const flags = interfaceOf(fd)?.flags;
  if (flags === undefined) return undefined;
  const has = (flag: number): boolean => (flags & flag) !== 0;
  const isFit =
    has(options.kind === 'tap' ? IFF_TAP : IFF_TUN) &&
    has(IFF_MULTI_QUEUE) === options.multiQueue &&
    has(IFF_VNET_HDR) === options.offload;
  if (!isFit) return undefined;
  if (!options.offload) return { fd, vnetHeader: false, tso: false, uso: false };
  return { fd, vnetHeader: true, ...segmentOffloads(fd) };
}

/**
 * Makes the device outlive its descriptors (`true`), or vanish with the last of them.
 * @throws SystemError
 */
export function setTunPersistent(fd: number, persistent: boolean): void {
  if (libc.ioctl(fd, TUNSETPERSIST, persistent ? 1 : 0) === -1) {
    throw new SystemError('ioctl TUNSETPERSIST', errno());
  }
}
