import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Lab } from '../../src/demo/lab.ts';
import { know } from '../faults/rig.ts';
import { PATIENCE, sleep } from '../support/patience.ts';
import { decide, generator, NO_IMPAIRMENT } from './impair.ts';
import { skipWithoutNamespaces } from './privileges.ts';
import { startRelay } from './relay.ts';

const skip = skipWithoutNamespaces();
const COUNT = 2000;

// Numbered datagrams at an even pace, then a pause for the last ones to arrive.
const SEND = `
  const socket = require('dgram').createSocket('udp4');
  let number = 0;
  const timer = setInterval(() => {
    for (let i = 0; i < 10; i++) {
      const bytes = Buffer.alloc(200, number);
      bytes.writeUInt32BE(number++);
      socket.send(bytes, 9, '172.30.1.27');
      if (number === ${COUNT}) { clearInterval(timer); setTimeout(() => socket.close(), 300); break; }
    }
  }, 2);
`;
const RECEIVE = `
  const socket = require('dgram').createSocket({ type: 'udp4', recvBufferSize: 1 << 20 });
  const seen = []; let damaged = 0;
  socket.on('message', (bytes) => {
    const number = bytes.readUInt32BE();
    if (bytes.length !== 200 || bytes.subarray(4).some((byte) => byte !== (number & 255))) damaged++;
    seen.push(number);
  });
  process.on('SIGTERM', () => { process.stdout.write(JSON.stringify({ seen, damaged })); process.exit(); });
  socket.bind(9, () => process.stdout.write('\\n'));
`;

const ended = (child: ChildProcess) => new Promise((resolve) => child.once('close', resolve));

async function transfer(lab: Lab): Promise<{ seen: number[]; damaged: number }> {
  // What waits for an answer to ARP is dropped where many are sent meanwhile.
  await know(lab.host(0), lab.host(1));
  const receiver = lab.host(1).spawn(process.execPath, ['-e', RECEIVE], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await new Promise((resolve) => receiver.stdout?.once('data', resolve));
  let text = '';
  receiver.stdout?.on('data', (chunk) => {
    text += String(chunk);
  });
  const sender = lab.host(0).spawn(process.execPath, ['-e', SEND], { stdio: 'inherit' });
  await ended(sender);
  receiver.kill('SIGTERM');
  await ended(receiver);
  return JSON.parse(text);
}

async function wiredLab(t: Test): Promise<Lab> {
  const lab = await Lab.create({
    hosts: 2,
    containersPerHost: 0,
    middle: 'wired',
    underlayOffloads: false,
  });
  t.teardown(() => lab.close());
  return lab;
}

t.test('decide() is the same for the same seed', async (t) => {
  const impairment = { ...NO_IMPAIRMENT, loss: 0.1, duplicate: 0.1, reorder: 0.1, flip: 0.1 };
  const run = (seed: number) => {
    const random = generator(seed);
    return Array.from({ length: 5000 }, () => decide(random, impairment, 100, true));
  };
  t.equal(JSON.stringify(run(1)), JSON.stringify(run(1)));
  t.not(JSON.stringify(run(1)), JSON.stringify(run(2)));
  const drops = run(3).filter((decision) => decision.drop).length;
  t.ok(drops > 400 && drops < 600, `${drops} of 5000 at 10 %`);
  t.ok(run(3).every(({ flipBit }) => flipBit === -1 || (flipBit >= 112 && flipBit < 800)));
  const unflipped = decide(generator(1), { ...impairment, flip: 1 }, 100, false);
  t.equal(unflipped.flipBit, -1, 'ARP stays whole');
});

t.test('an unimpaired relay passes everything in order', { skip }, async (t) => {
  const lab = await wiredLab(t);
  const relay = await startRelay(lab, { seed: 1 });
  const { seen, damaged } = await transfer(lab);
  t.strictSame(
    seen,
    Array.from({ length: COUNT }, (_, i) => i),
  );
  t.equal(damaged, 0);
  const statistics = await relay.stop();
  t.ok((statistics.directions[0]?.received ?? 0) >= COUNT);
  t.strictSame(statistics.directions[0]?.failed, {});
});

t.test('loss, copies, reordering and damage', { skip }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'fanway-test-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const log = join(folder, 'decisions');
  const lab = await wiredLab(t);
  // Neighbours are resolved before anything is lost.
  const relay = await startRelay(lab, { seed: 5, log });
  await relay.set({ loss: 0.05, duplicate: 0.05, reorder: 0.05, flip: 0.05 }, 0);
  const { seen, damaged } = await transfer(lab);
  const statistics = (await relay.stop()).directions[0];
  if (statistics === undefined) throw new Error('two directions');
  const distinct = new Set(seen).size;
  t.equal(damaged, 0, 'UDP and IP checksums caught every turned bit');
  t.ok(distinct < COUNT && distinct > COUNT * 0.85, `${distinct} of ${COUNT}`);
  t.ok(seen.length > distinct, 'some came twice');
  t.ok(
    seen.some((number, i) => number < (seen[i - 1] ?? 0)),
    'some overtook others',
  );
  t.ok(statistics.flipped > 0 && statistics.dropped > 0 && statistics.duplicated > 0);
  const lines = readFileSync(log, 'utf8').trim().split('\n');
  t.equal(lines.filter((line) => line.includes('"drop":true')).length, statistics.dropped);
});

t.test('cut() in one direction', { skip }, async (t) => {
  const lab = await wiredLab(t);
  const relay = await startRelay(lab, { seed: 9 });
  // Known beforehand, or the first datagrams afterwards would wait for a failed look-up.
  const mac = (await lab.host(1).netlink.link('eth0')).address;
  await lab.host(0).netlink.addNeighbour('eth0', lab.host(1).address, mac);
  await relay.cut(0);
  t.equal((await transfer(lab)).seen.length, 0);
  await relay.set({ loss: 0 });
  t.equal((await transfer(lab)).seen.length, COUNT);
  await relay.stop();
});

const TRAIN = `
  const koffi = require(process.argv[1]);
  const c = koffi.load(null);
  const fd = c.func('int socket(int, int, int)')(2, 2, 0);
  const int = Buffer.alloc(4);
  int.writeInt32LE(1000);
  c.func('int setsockopt(int, int, int, uint8_t *, uint)')(fd, 17, 103, int, 4);
  const to = Buffer.from('02000009ac1e011b0000000000000000', 'hex');
  const send = c.func('long sendto(int, uint8_t *, size_t, int, uint8_t *, uint)');
  process.exit(send(fd, Buffer.alloc(10000), 10000, 0, to, 16) === 10000 ? 0 : 1);
`;

t.test('the wire sees real frames: trains cut up, black holes by length', { skip }, async (t) => {
  const koffi = createRequire(import.meta.url).resolve('koffi');
  const lab = await wiredLab(t);
  const relay = await startRelay(lab, { seed: 1 });
  const sendTrain = async () => {
    const child = lab.host(0).spawn(process.execPath, ['-e', TRAIN, koffi], { stdio: 'inherit' });
    t.equal(await new Promise((resolve) => child.once('exit', resolve)), 0);
  };
  await sendTrain();
  await relay.set({ maxBytes: 1000 });
  await sendTrain();
  await sleep(100 * PATIENCE);
  const statistics = (await relay.stop()).directions[0];
  t.equal(statistics?.longest, 1042, 'no super-packet on the wire');
  t.ok((statistics?.received ?? 0) >= 20);
  t.equal(statistics?.dropped, 10);
});
