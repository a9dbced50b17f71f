/**
 * Sends single frames out of a device, for questions to neighbours: nothing is received.
 * @module
 */
import { SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_RAW } from '../libc/constants.ts';
import { addressOf, check, libc } from '../libc/libc.ts';

const AF_PACKET = 17;
/** `struct sockaddr_ll`, 20 bytes; of it a sender needs the family and the device. */
const ADDRESS_BYTES = 20;

export class FrameSender {
  readonly #fd: number;
  readonly #address = Buffer.alloc(ADDRESS_BYTES);

  /** @throws SystemError EPERM without CAP_NET_RAW. */
  constructor() {
    // Protocol 0: nothing ever arrives.
    const type = SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK;
    this.#fd = check('socket(AF_PACKET)', libc.socket(AF_PACKET, type, 0));
    this.#address.writeUInt16LE(AF_PACKET, 0);
  }

  /** Sends a whole Ethernet frame; false when the device takes none now, or is gone. */
  send(ifindex: number, frame: Uint8Array): boolean {
    this.#address.writeInt32LE(ifindex, 4);
    const { length } = frame;
    const name = addressOf(this.#address);
    return libc.sendto(this.#fd, addressOf(frame), length, 0, name, ADDRESS_BYTES) === length;
  }

  close(): void {
    libc.close(this.#fd);
  }
}
