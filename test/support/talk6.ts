/**
 * Traffic over IPv6 between two namespaces, by programs of a few lines.
 * @module
 */
import type { ChildProcess } from 'node:child_process';
import type { Test } from 'tap';
import type { LabNode } from '../../src/demo/lab.ts';

/** What a program says in a namespace, and its exit code. */
export function say(node: LabNode, command: string, ...args: string[]): Promise<[string, number]> {
  return new Promise((resolve) => {
    const child: ChildProcess = node.spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let text = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        text += chunk.toString();
      });
    }
    child.on('error', (error) => resolve([error.message, -1]));
    child.on('close', (code) => resolve([text, code ?? -1]));
  });
}

/** Takes a stream and says its hash, and echoes datagrams. */
const SERVER = `
const { createHash } = require('node:crypto');
require('node:net').createServer({ allowHalfOpen: true }, (socket) => {
  const hash = createHash('sha256');
  socket.on('data', (chunk) => hash.update(chunk));
  socket.on('end', () => socket.end(hash.digest('hex')));
}).listen(7000, process.argv[1], () => console.log('ready'));
require('node:dgram').createSocket('udp6').on('message', function (message, from) {
  this.send(message, from.port, from.address);
}).bind(7001, process.argv[1]);
`;
const CLIENT = `
const { createHash, randomBytes } = require('node:crypto');
const [address, megabytes] = process.argv.slice(1);
const hash = createHash('sha256');
const socket = require('node:net').connect(7000, address, async () => {
  for (let i = 0; i < Number(megabytes) * 4; i++) {
    const chunk = randomBytes(262144);
    hash.update(chunk);
    if (!socket.write(chunk)) await new Promise((done) => socket.once('drain', done));
  }
  socket.end();
});
let said = '';
socket.on('data', (chunk) => { said += chunk; });
socket.on('end', () => {
  if (said !== hash.digest('hex')) throw new Error('another hash');
  const udp = require('node:dgram').createSocket('udp6');
  const question = randomBytes(4000);
  const again = setInterval(() => udp.send(question, 7001, address), 200);
  udp.on('message', (answer) => {
    if (!answer.equals(question)) throw new Error('another datagram');
    clearInterval(again);
    udp.close();
    console.log('same');
  });
});
`;

/** Sends `megabytes` by TCP and a datagram in pieces to `address`, and asserts that the same came. */
export async function talk6(
  t: Test,
  from: LabNode,
  to: LabNode,
  address: string,
  megabytes: number,
): Promise<void> {
  const server = to.spawn(process.execPath, ['-e', SERVER, address], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await new Promise((resolve) => server.stdout?.once('data', resolve));
  const [said, code] = await say(from, process.execPath, '-e', CLIENT, address, String(megabytes));
  server.kill('SIGKILL');
  t.equal(said.trim(), 'same', 'TCP with its SHA-256, and UDP in pieces');
  t.equal(code, 0);
}
