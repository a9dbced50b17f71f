/**
 * Offload switches of a network device (ioctl SIOCETHTOOL, linux/ethtool.h), in the namespace the
 * main thread is in. For tests and `doctor`: a veth with its offloads off behaves like a plain
 * network card, one with them on hands over unfinished checksums and super-packets.
 * @module
 */
import { AF_INET, SOCK_CLOEXEC, SOCK_DGRAM } from '../libc/constants.ts';
import { addressOf, check, libc } from '../libc/libc.ts';

const SIOCETHTOOL = 0x8946;
const IFREQ_BYTES = 40;
const INTERFACE_NAME_BYTES = 16;
const ETHTOOL_GRXCSUM = 0x14;
const ETHTOOL_SRXCSUM = 0x15;

/** Get and set commands of each switch; the set command follows the get command. */
const commands = {
  txChecksum: 0x16,
  scatterGather: 0x18,
  tso: 0x1e,
  gso: 0x23,
  gro: 0x2b,
} as const;

/** What the device leaves to hardware, or on a veth to the receiver. */
export type Offloads = { [K in keyof typeof commands]: boolean } & { rxChecksum: boolean };

function request(socket: number, name: string, command: number, value: number): number {
  const bytes = Buffer.from(name);
  if (bytes.length === 0 || bytes.length >= INTERFACE_NAME_BYTES) {
    throw new Error(`'${name}' cannot be an interface name`);
  }
  const argument = new Uint32Array([command, value]);
  const ifreq = Buffer.alloc(IFREQ_BYTES);
  bytes.copy(ifreq);
  new BigUint64Array(ifreq.buffer, ifreq.byteOffset + INTERFACE_NAME_BYTES, 1)[0] = BigInt(
    addressOf(argument),
  );
  check(
    `ethtool 0x${command.toString(16)} ${name}`,
    libc.ioctl(socket, SIOCETHTOOL, addressOf(ifreq)),
  );
  return argument[1] ?? 0;
}

function withSocket<T>(work: (socket: number) => T): T {
  const socket = check('socket', libc.socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  try {
    return work(socket);
  } finally {
    libc.close(socket);
  }
}

/** @throws SystemError ENODEV, EOPNOTSUPP. */
export function readOffloads(name: string): Offloads {
  return withSocket((socket) => {
    const get = (command: number) => request(socket, name, command, 0) === 1;
    return {
      txChecksum: get(commands.txChecksum),
      scatterGather: get(commands.scatterGather),
      tso: get(commands.tso),
      gso: get(commands.gso),
      gro: get(commands.gro),
      rxChecksum: get(ETHTOOL_GRXCSUM),
    };
  });
}

/**
 * Switches what is named. Turning the transmit checksum off makes the kernel finish checksums in
 * software and takes TSO and UDP segmentation with it.
 * @throws SystemError EPERM, ENODEV, EOPNOTSUPP.
 */
export function setOffloads(name: string, change: Partial<Offloads>): void {
  withSocket((socket) => {
    for (const key of Object.keys(commands) as (keyof typeof commands)[]) {
      const value = change[key];
      if (value !== undefined) request(socket, name, commands[key] + 1, value ? 1 : 0);
    }
    if (change.rxChecksum !== undefined) {
      request(socket, name, ETHTOOL_SRXCSUM, change.rxChecksum ? 1 : 0);
    }
  });
}
