/** What the tests on loopback share: a port of their own, and waiting. */
import { createSocket } from 'node:dgram';

/** A port that nobody has just now. */
export async function freePort(): Promise<number> {
  const socket = createSocket('udp4');
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  const { port } = socket.address();
  await new Promise<void>((resolve) => socket.close(() => resolve()));
  return port;
}

/** Waits until `look` gives true; throws with `what` after 20 s. */
export async function until(what: string, look: () => boolean): Promise<void> {
  for (let i = 0; i < 2000; i++) {
    if (look()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`not within 20 s: ${what}`);
}
