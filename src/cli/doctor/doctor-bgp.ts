/**
 * What a BGP speaker needs of this machine.
 * @module
 */
import { BGP_PORT } from '../../config/bgp.ts';
import { codeOf } from '../../errors.ts';
import { closeTcp, openTcpListener, setMd5Key, setTtlGuard } from '../../sys/sockets/tcp.ts';

const LOOPBACK = 0x7f000001;

/** Whether the port may be had by whoever runs this; another speaker that has it is no obstacle here. */
export function portReport(): { isThere: boolean; text: string } {
  try {
    closeTcp(openTcpListener(LOOPBACK, BGP_PORT, () => undefined));
    return { isThere: true, text: `TCP port ${BGP_PORT} can be had` };
  } catch (error) {
    const isTaken = codeOf(error) === 'EADDRINUSE';
    const text = isTaken ? `somebody listens on TCP port ${BGP_PORT} already` : codeOf(error);
    return { isThere: isTaken, text };
  }
}

/** Tries the guards of a session on a socket of their own. @throws SystemError */
export function guardReport(): string {
  const fd = openTcpListener(LOOPBACK, 0, (listener) => {
    setMd5Key(listener, LOOPBACK, 'fanway');
    setTtlGuard(listener, 4, 1);
  });
  closeTcp(fd);
  return 'MD5 keys (RFC 2385) and the TTL guard (RFC 5082)';
}
