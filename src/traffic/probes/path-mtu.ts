/**
 * The largest IPv4 packet that gets to a target whole: echo requests with "don't fragment", halving.
 * What this host remembers of the path is left aside, so a path that grew again is seen. RFC 1191.
 * @module
 */
import { formatIpv4 } from '../../net/ipv4.ts';
import { libc } from '../../sys/libc/libc.ts';
import { nowNs } from '../base/clock.ts';
import type { Options } from '../base/options.ts';
import { report } from '../base/report.ts';
import { setOption } from '../base/socket.ts';
import { askAll, type Echo, gather, ICMP_HEADER_BYTES, openEcho } from './icmp.ts';

const IPPROTO_IP = 0;
const IP_MTU_DISCOVER = 10;
const IP_PMTUDISC_PROBE = 3;
const IPV4_HEADER_BYTES = 20;
/** Every IPv4 link carries this much (RFC 791 asks for 68, hosts for 576). */
const MTU_BYTES_MIN = 68;
const MTU_BYTES_MAX = 65_535;
/** A size counts as too large only after this many requests without an answer. */
const TRIES = 3;

/**
 * `path-mtu --target ADDRESS [--low BYTES] [--high BYTES] [--timeout MS] [--device NAME]`: sizes are of whole IPv4
 * packets. Needs CAP_NET_RAW.
 * @throws SystemError, OptionError
 */
export function runPathMtu(options: Options): void {
  const target = options.address('target');
  const bounds = { min: MTU_BYTES_MIN, max: MTU_BYTES_MAX };
  const low = options.integer('low', { ...bounds, default: 576 });
  const high = options.integer('high', { ...bounds, default: MTU_BYTES_MAX });
  const timeoutMs = options.number('timeout', { min: 1, max: 10_000, default: 500 });
  const device = options.device();
  options.done();

  const echo = openEcho([target], high - IPV4_HEADER_BYTES - ICMP_HEADER_BYTES, device);
  setOption(echo.arena, echo.fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE);
  let fits = passes(echo, low, timeoutMs) ? low : 0;
  let tooLarge = high + 1;
  while (fits > 0 && tooLarge - fits > 1) {
    const middle = Math.floor((fits + tooLarge) / 2);
    if (passes(echo, middle, timeoutMs)) fits = middle;
    else tooLarge = middle;
  }
  libc.close(echo.fd);
  report({ event: 'path-mtu', target: formatIpv4(target), mtuBytes: fits });
}

/** True when a packet of `mtuBytes` is answered. What the device refuses is known at once. */
function passes(echo: Echo, mtuBytes: number, timeoutMs: number): boolean {
  echo.packetBytes = mtuBytes - IPV4_HEADER_BYTES;
  const before = echo.received[0] ?? 0;
  for (let attempt = 0; attempt < TRIES; attempt += 1) {
    const sequence = (echo.sent[0] ?? 0) & 0xffff;
    if (askAll(echo, sequence) === 0) return false;
    gather(echo, 1, nowNs() + timeoutMs * 1e6);
    if ((echo.received[0] ?? 0) > before) return true;
  }
  return false;
}
