/**
 * What a guest with a kernel of its own and a container behind fanway have to say to each other.
 * The guest uses busybox, not ours.
 * @module
 */
import type { Test } from 'tap';
import { sliceOf } from '../../src/net/fan.ts';
import { formatIpv4, parseIpv4 } from '../../src/net/ipv4.ts';
import { runEcho } from '../../src/traffic/run.ts';
import { FAN, type FanHost } from './fan-host.ts';
import { fetchSha256, serveBytes } from './web.ts';

/** A machine that runs shell scripts. */
export type Guest = {
  /** Runs a script and returns what it wrote. @throws Error with that when it fails. */
  run(script: string, timeoutMs?: number): Promise<string>;
};

/** The guest's underlay address, and the address that it has in the overlay. */
export const GUEST = '172.30.1.27';
export const GUEST_OVERLAY = formatIpv4(sliceOf(FAN, parseIpv4(GUEST)).address + 1);
/** Fits one packet, twice; goes in three inner fragments. */
export const ECHO_SIZES_BYTES = [56, 1400, 4000];
export const ECHO_COUNT = 5;
const WEB_PORT = 8080;
const FILE_BYTES = 2 << 20;

/** Echo requests both ways, small, large and in inner fragments. */
export async function echo(t: Test, fan: FanHost, guest: Guest): Promise<void> {
  const near = formatIpv4(fan.container.address);
  for (const size of ECHO_SIZES_BYTES) {
    const { targets } = await runEcho(fan.container, [GUEST_OVERLAY], { count: ECHO_COUNT, size });
    t.match(targets, [{ sent: ECHO_COUNT, received: ECHO_COUNT }], `${size} bytes to the guest`);
    const said = await guest.run(`busybox ping -c ${ECHO_COUNT} -i 0.1 -s ${size} ${near}`);
    t.match(said, ` ${ECHO_COUNT} packets received`, `${size} bytes from the guest`);
  }
}

/** Files both ways over HTTP, compared by SHA-256. */
export async function web(t: Test, fan: FanHost, guest: Guest): Promise<void> {
  const { container } = fan;
  const near = formatIpv4(container.address);
  await guest.run(`set -e
    mkdir -p /tmp/www
    busybox dd if=/dev/urandom of=/tmp/www/file bs=65536 count=${FILE_BYTES >>> 16}
    busybox httpd -f -p ${GUEST_OVERLAY}:${WEB_PORT} -h /tmp/www >/dev/null 2>&1 &
    echo $! >/tmp/httpd.pid`);
  const sum = (await guest.run('busybox sha256sum </tmp/www/file')).slice(0, 64);
  const fetched = await fetchSha256(container, `http://${GUEST_OVERLAY}:${WEB_PORT}/file`);
  t.strictSame(fetched, { bytes: FILE_BYTES, sha256: sum }, 'fetched from the guest');

  const server = await serveBytes(container, near, WEB_PORT, FILE_BYTES);
  try {
    const got = await guest.run(
      `busybox wget -q -O - http://${near}:${WEB_PORT}/ | busybox sha256sum`,
    );
    t.equal(got.slice(0, 64), server.sha256, 'fetched by the guest');
  } finally {
    server.close();
  }
  await guest.run('kill $(cat /tmp/httpd.pid)');
}
