/**
 * What the kernel throws away before a data process could read it: datagrams for which a socket's receive buffer had no
 * room, and packets for which the ring of the tunnel device had none. Both happen while the data process does not
 * get to run, and nothing of it passes there, so control looks: it has the descriptors, and they stay when a data
 * process is replaced.
 *
 * Never received, such packets are outside of `received = delivered + drops`. The kernel counts what it had in hand: a
 * train that it had joined, or a super-packet, is one.
 * @module
 */
import { buffersForUsers } from '../../../sys/process/rootless.ts';
import { readSocketMemory } from '../../../sys/sockets/socket-memory.ts';
import { SOCKET_BUFFER_BYTES } from '../../../sys/sockets/sockets.ts';
import { eventIndex } from '../../../table/counters.ts';
import { deviceErrors } from './device-errors.ts';

const SOCKET_DROPS = eventIndex('socket_drops');
const DEVICE_DROPS = eventIndex('device_drops');

/** What of a link is looked at: its sockets that receive, and its device, which is where the process `pid` is. */
export type Watched = {
  sockets: readonly { fd: number }[];
  device: string;
  /** undefined = where this one is. */
  pid: number | undefined;
};

/** The counters of one link, from when it was opened. */
export class KernelDrops {
  /** What each socket said last. One that several links use counts for each of them. */
  readonly #said = new WeakMap<object, number>();
  #deviceSaid: number | undefined;
  #sockets = 0;
  #device = 0;

  /** What the sockets and the device of `link` have dropped since the last look; of those that are new, nothing. */
  look({ sockets, device, pid }: Watched): void {
    for (const socket of sockets) {
      const now = readSocketMemory(socket.fd)?.drops;
      if (now === undefined) continue;
      // The kernel's is a u32, and runs over.
      this.#sockets += (now - (this.#said.get(socket) ?? now)) >>> 0;
      this.#said.set(socket, now);
    }
    const now = deviceErrors(device, pid)?.sent;
    // Somebody renamed it or took it away: it comes back, or another link does.
    if (now === undefined) return;
    this.#device += Math.max(0, now - (this.#deviceSaid ?? now));
    this.#deviceSaid = now;
  }

  /** Adds them to `values`, which are those of `places`; looks only where one of them is asked for. */
  addTo(values: Float64Array, places: readonly number[], link: Watched): Float64Array {
    const [sockets, device] = [places.indexOf(SOCKET_DROPS), places.indexOf(DEVICE_DROPS)];
    if (sockets < 0 && device < 0) return values;
    this.look(link);
    if (sockets >= 0) values[sockets] = (values[sockets] ?? 0) + this.#sockets;
    if (device >= 0) values[device] = (values[device] ?? 0) + this.#device;
    return values;
  }
}

/** The line by which root lets the sockets of a link have the buffers that they were refused; '' when they have them. */
export function buffersRefused({ sockets }: Watched): string {
  const sizes = sockets.flatMap(({ fd }) => readSocketMemory(fd) ?? []);
  const receiveBytes = Math.min(...sizes.map((size) => size.receiveBytes));
  const sendBytes = Math.min(...sizes.map((size) => size.sendBytes));
  return buffersForUsers(SOCKET_BUFFER_BYTES, (path) =>
    String(path.endsWith('rmem_max') ? receiveBytes : sendBytes),
  );
}
