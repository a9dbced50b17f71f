/**
 * The pulse's two ends, each a process in a container. `answer ADDRESS PORT` sends every datagram
 * back. `ask ADDRESS PORT INTERVAL_MS` sends a numbered datagram every interval and prints a line
 * for each answer: number, nanoseconds when sent, nanoseconds when answered (CLOCK_MONOTONIC, which
 * every process of the machine shares). Both end with their standard input.
 */
import { createSocket } from 'node:dgram';
import { writeSync } from 'node:fs';

const [role, address = '', port = '0', interval = '5'] = process.argv.slice(2);
if (role === 'answer' || role === 'ask') run(role);

function run(role: 'answer' | 'ask'): void {
  const socket = createSocket('udp4');
  const ended = () => process.exit(0);
  process.stdin.on('end', ended).on('error', ended).resume();
  // What cannot be sent is lost like what is lost on the way: the numbers tell.
  socket.on('error', () => undefined);
  if (role === 'answer') {
    socket.on('message', (message, from) => socket.send(message, from.port, from.address, ignore));
    socket.bind(Number(port), address, () => writeSync(1, 'ready\n'));
    return;
  }
  let next = 0;
  const lines: string[] = [];
  socket.on('message', (message) => {
    const number = message.readUInt32LE(0);
    lines.push(`${number} ${message.readBigUInt64LE(4)} ${process.hrtime.bigint()}\n`);
  });
  socket.bind(0, () => writeSync(1, 'ready\n'));
  setInterval(() => {
    const message = Buffer.alloc(64);
    message.writeUInt32LE(next++, 0);
    message.writeBigUInt64LE(process.hrtime.bigint(), 4);
    socket.send(message, Number(port), address, ignore);
    if (lines.length > 0) process.stdout.write(lines.splice(0).join(''));
  }, Number(interval));
}

function ignore(): void {}
