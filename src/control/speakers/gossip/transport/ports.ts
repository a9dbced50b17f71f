/**
 * The UDP sockets of the gossip channel: one for each family that there is on this host, or for that
 * of the one address it is bound to.
 * @module
 */
import { codeOf, messageOf } from '../../../../errors.ts';
import { type Family, familyOf, type UnderlayAddress } from '../../../../net/underlay-address.ts';
import type { Endpoint } from '../../../../wire/gossip/types.ts';
import { type UdpOptions, UdpSocket } from './udp.ts';

/** What says that this host has no IPv6 at all; everything else is an error. */
const NO_IPV6 = ['EAFNOSUPPORT', 'EADDRNOTAVAIL', 'EINVAL'];

export class UdpPorts {
  readonly #sockets: ReadonlyMap<Family, UdpSocket>;
  readonly #options: Omit<UdpOptions, 'family'>;

  private constructor(
    options: Omit<UdpOptions, 'family'>,
    sockets: ReadonlyMap<Family, UdpSocket>,
  ) {
    this.#options = options;
    this.#sockets = sockets;
  }

  /** @throws the binding error (EADDRINUSE, EADDRNOTAVAIL) */
  static async open(options: Omit<UdpOptions, 'family'>): Promise<UdpPorts> {
    const sockets = new Map<Family, UdpSocket>();
    try {
      for (const family of wantedFamilies(options.bind)) {
        const socket = await UdpSocket.open({ ...options, family }).catch((error: unknown) => {
          const isOptional = family === 6 && options.bind === null;
          if (!isOptional || !NO_IPV6.includes(codeOf(error))) throw error;
          options.log.debug('gossip', `no IPv6 here: ${messageOf(error)}`);
          return undefined;
        });
        if (socket !== undefined) sockets.set(family, socket);
      }
    } catch (error) {
      for (const socket of sockets.values()) await socket.close();
      throw error;
    }
    return new UdpPorts(options, sockets);
  }

  /** The families that there is a socket of. */
  get families(): readonly Family[] {
    return [...this.#sockets.keys()];
  }

  /** Sends, or counts why not. Never throws. */
  send(to: Endpoint, datagram: Uint8Array): void {
    const socket = this.#sockets.get(familyOf(to.address));
    if (socket === undefined) this.#options.counters.count('udp.no_family');
    else socket.send(to, datagram);
  }

  /** Resolves once what was given to send has gone out. */
  async close(): Promise<void> {
    await Promise.all([...this.#sockets.values()].map((socket) => socket.close()));
  }
}

function wantedFamilies(bind: UnderlayAddress | null): readonly Family[] {
  return bind === null ? [4, 6] : [familyOf(bind)];
}
