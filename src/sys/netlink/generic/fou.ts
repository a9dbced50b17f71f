/**
 * Listeners of the kernel for IP in UDP, as `ip fou` shows and makes them: by generic netlink, whose families have
 * numbers that differ from kernel to kernel (linux/genetlink.h, linux/fou.h).
 * @module
 */
import { codeOf } from '../../../errors.ts';
import { AF_INET, MessageWriter, readAttributes } from '../codec.ts';
import { LITTLE, NetlinkError, NetlinkSocket } from '../socket.ts';

const NETLINK_GENERIC = 16;
/** The family that tells the others' numbers. */
const CONTROL = { family: 16, getFamily: 3, id: 1, name: 2 } as const;
const NAME = 'fou';
const COMMAND = { add: 1, delete: 2, get: 3 } as const;
const ATTRIBUTE = { port: 1, family: 2, protocol: 3, type: 4 } as const;
const TYPE_DIRECT = 1;
/** IPv4 in IP (IANA, Protocol Numbers). */
export const FOU_PROTOCOL = 4;
const HEADER_BYTES = 4;
/** A port is where others are already: of another listener the same, of any other socket the second. */
const TAKEN = ['EALREADY', 'EADDRINUSE'];

/** A listener of IPv4: its UDP port, and the protocol that it takes packets for, 0 where they say it themselves (GUE). */
export type FouListener = { port: number; protocol: number };

/** struct genlmsghdr: command, version, reserved. */
function header(command: number): Buffer {
  return Buffer.of(command, 1, 0, 0);
}

function readListener(payload: Buffer): FouListener | undefined {
  const attributes = readAttributes(payload, HEADER_BYTES);
  const number = (type: number): number => attributes.get(type)?.readUInt8(0) ?? 0;
  const port = attributes.get(ATTRIBUTE.port);
  if (number(ATTRIBUTE.family) !== AF_INET || port === undefined) return undefined;
  const protocol = number(ATTRIBUTE.type) === TYPE_DIRECT ? number(ATTRIBUTE.protocol) : 0;
  return { port: port.readUInt16BE(0), protocol };
}

export class FouListeners {
  readonly #socket = new NetlinkSocket(NETLINK_GENERIC);
  #family: number | undefined;

  /** @throws NetlinkError ENOENT where the kernel has no module fou, or has not loaded it */
  async #number(): Promise<number> {
    if (this.#family !== undefined) return this.#family;
    const body = new MessageWriter(header(CONTROL.getFamily)).text(CONTROL.name, NAME).build();
    const operation = `find the family '${NAME}' of netlink`;
    const [answer] = await this.#socket.request(operation, CONTROL.family, 0, body);
    const id = answer && readAttributes(answer.payload, HEADER_BYTES).get(CONTROL.id);
    if (id === undefined) throw new NetlinkError(operation, 'ENOENT');
    this.#family = LITTLE ? id.readUInt16LE(0) : id.readUInt16BE(0);
    return this.#family;
  }

  /** All of this network namespace; none where the kernel has no module fou. @throws NetlinkError */
  async all(): Promise<FouListener[]> {
    try {
      const family = await this.#number();
      return await this.#socket.dump(
        'list listeners of FOU',
        family,
        header(COMMAND.get),
        readListener,
      );
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return [];
      throw error;
    }
  }

  /** Has the kernel take IPv4 packets out of UDP at a port. @throws NetlinkError EADDRINUSE */
  async add(port: number): Promise<void> {
    const body = this.#writer(COMMAND.add, port)
      .u8(ATTRIBUTE.protocol, FOU_PROTOCOL)
      .u8(ATTRIBUTE.type, TYPE_DIRECT);
    try {
      const operation = `listen for FOU at UDP port ${port}`;
      await this.#socket.request(operation, await this.#number(), 0, body.build());
    } catch (error) {
      if (!TAKEN.includes(codeOf(error))) throw error;
      throw new NetlinkError(`listen for FOU at UDP port ${port}`, 'EADDRINUSE');
    }
  }

  /** @throws NetlinkError EINVAL where there is none */
  async delete(port: number): Promise<void> {
    const body = this.#writer(COMMAND.delete, port).build();
    const operation = `stop listening for FOU at UDP port ${port}`;
    await this.#socket.request(operation, await this.#number(), 0, body);
  }

  #writer(command: number, port: number): MessageWriter {
    return new MessageWriter(header(command))
      .u8(ATTRIBUTE.family, AF_INET)
      .be16(ATTRIBUTE.port, port);
  }

  close(): void {
    this.#socket.close();
  }
}
