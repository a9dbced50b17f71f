/**
 * Asks a server on the loopback address of the namespace that this program runs in: each head, as it is,
 * in a connection of its own; before that it holds some that say nothing.
 * `node ask-main.js PORT SILENT HEADS-AS-JSON`: prints how many of the silent ones were not hung up on
 * once no more were, and the beginning of every answer, as JSON.
 * @module
 */
import { connect, type Socket } from 'node:net';

const [port = '', silentText = '', headsText = ''] = process.argv.slice(2);
const heads = JSON.parse(headsText) as string[][];
const ANSWER_CHARACTERS_MAX = 100_000;

function dial(): Socket {
  const socket = connect(Number(port), '127.0.0.1');
  socket.on('error', () => undefined);
  return socket;
}

function ask(head: readonly string[]): Promise<string> {
  return new Promise((resolve) => {
    const socket = dial();
    let answer = '';
    socket.on('data', (chunk) => {
      answer = (answer + chunk.toString()).slice(0, ANSWER_CHARACTERS_MAX);
    });
    socket.on('close', () => resolve(answer));
    socket.write(`${head.join('\r\n')}\r\n\r\n`);
  });
}

const silent = Array.from({ length: Number(silentText) }, dial);
let held = silent.length;
for (let still = 0; held > 0 && still < 5; still++) {
  await new Promise((resolve) => setTimeout(resolve, 100));
  const left = silent.filter(({ destroyed }) => !destroyed).length;
  if (left !== held) still = 0;
  held = left;
}
for (const socket of silent) socket.destroy();
await new Promise((resolve) => setTimeout(resolve, 200));
const answers: string[] = [];
for (const head of heads) answers.push(await ask(head));
process.stdout.write(JSON.stringify({ held, answers }));
