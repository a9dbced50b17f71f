/**
 * The devices of a link as the data plane holds them: one queue for each data process, opened in this
 * network namespace or, where somebody else opens them, in another one.
 * @module
 */
import { ENCAPS } from '../../encap/encap.ts';
import { openTun, setTunPersistent, type TunDevice, type TunOptions } from '../../sys/host/tun.ts';
import { libc } from '../../sys/libc/libc.ts';
import type { WireSpec } from '../store/link-spec.ts';
import type { Estate } from './process/estate.ts';

/** A device that is open, its number where it is, and a process that is there where this one is not. */
export type OpenDevice = TunDevice & { ifindex: number; pid?: number };

/** Opens (makes, or attaches to the persistent) a device by name. @throws SystemError */
export type DeviceOpener = (name: string, options: TunOptions) => OpenDevice;

/** In the network namespace that this process is in. */
export const openHere: DeviceOpener = (name, options) => {
  const device = openTun(name, options);
  return { ...device, ifindex: libc.if_nametoindex(name) };
};

/** How a link's device is opened. */
export function deviceOptions(spec: WireSpec, queues: number): TunOptions {
  const { device: kind } = ENCAPS[spec.encap];
  return { kind, offload: spec.offload === 'auto', multiQueue: queues > 1 };
}

/**
 * One queue of the link's device for each of `queues` data processes; the device outlives them.
 * @param left what a predecessor left open
 * @throws SystemError; none stays open.
 */
export function openDevices(
  spec: WireSpec,
  queues: number,
  open: DeviceOpener,
  left: Pick<Estate, 'takeDevice'>,
): OpenDevice[] {
  const devices: OpenDevice[] = [];
  try {
    for (let i = 0; i < queues; i++) {
      const options = deviceOptions(spec, queues);
      const taken = left.takeDevice(spec.device, i, options);
      if (taken === undefined) devices.push(open(spec.device, options));
      else devices.push({ ...taken, ifindex: libc.if_nametoindex(spec.device) });
    }
    const [first] = devices;
    if (first !== undefined && spec.owned !== true) setTunPersistent(first.fd, true);
  } catch (error) {
    for (const device of devices) libc.close(device.fd);
    throw error;
  }
  return devices;
}

/** Lets go of them; the device goes with its last queue unless `keep`. */
export function closeDevices(devices: readonly TunDevice[], keep: boolean): void {
  for (const { fd } of devices) {
    if (!keep) forget(fd);
    libc.close(fd);
  }
}

/** A device that somebody deleted cannot be told anything any more, and need not be. */
function forget(fd: number): void {
  try {
    setTunPersistent(fd, false);
  } catch {
    // Gone already: what was asked for is true.
  }
}
