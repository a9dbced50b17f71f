import { join } from 'node:path';
import t from 'tap';
import type { FlowsReport } from '../../src/cli/inspect/flows.ts';
import { Lab, type LabHost } from '../../src/demo/lab.ts';
import { distDirectory } from '../../src/sys/host/paths.ts';
import { isTunnelPacket } from '../../src/sys/sockets/packet-socket.ts';
import { fanway } from '../control/lab-router.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { skipLong } from '../support/long.ts';

// Real processes on a busy machine.
t.setTimeout(1_200_000);

const skip = skipWithoutTun();

type Block = { type: number; body: Buffer };

/** The blocks of a pcapng file, little endian. */
function blocksOf(file: Buffer): Block[] {
  const blocks: Block[] = [];
  for (let at = 0; at + 12 <= file.length; ) {
    const length = file.readUInt32LE(at + 4);
    if (file.readUInt32LE(at + length - 4) !== length) throw new Error(`broken block at ${at}`);
    blocks.push({ type: file.readUInt32LE(at), body: file.subarray(at + 8, at + length - 4) });
    at += length;
  }
  return blocks;
}

/** Frames of the enhanced packet blocks. */
function framesOf(file: Buffer): Buffer[] {
  return blocksOf(file)
    .filter(({ type }) => type === 6)
    .map(({ body }) => body.subarray(20, 20 + body.readUInt32LE(12)));
}

/** Captures while `traffic` runs. */
async function capture(host: LabHost, args: string[], traffic: () => void): Promise<Buffer> {
  const program = join(distDirectory(), 'fanway.js');
  const child = host.spawn(process.execPath, [program, 'capture', ...args], {
    env: host.environment,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const chunks: Buffer[] = [];
  let started = false;
  child.stdout?.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    if (!started) {
      started = true;
      traffic();
    }
  });
  await new Promise((resolve) => child.once('close', resolve));
  return Buffer.concat(chunks);
}

/** Sends datagrams from a container to an address of another host's slice. */
const SENDER = `
const socket = require('node:dgram').createSocket('udp4');
const timer = setInterval(() => {
  for (const to of process.argv.slice(1)) socket.send('fanway capture test', 9, to);
}, 100);
setTimeout(() => { clearInterval(timer); socket.close(); }, 4000);
`;

for (const encap of ['vxlan', 'fou', 'ipip'] as const) {
  const skipThis = (encap === 'fou' && skipLong) || skip;
  t.test(`capture shows both sides of ${encap}`, { skip: skipThis }, async (t) => {
    const lab = await Lab.create({ hosts: 2 });
    t.teardown(() => lab.close());
    const [host, other] = lab.hosts;
    if (host === undefined || other === undefined) throw new Error('two hosts');
    const container = lab.container(0);
    for (const one of [host, other]) {
      t.equal((await fanway(one, 'up', '250', 'eth0', '--encap', encap)).code, 0);
    }
    const gateway = 0xfa001c01;
    await container.attach({
      bridge: 'fan-250-0-28',
      address: gateway + 1,
      length: encap === 'vxlan' ? 8 : 24,
      gateway,
    });
    const send = (...more: string[]): void => {
      const words = ['-e', SENDER, '250.1.27.1', ...more];
      container.spawn(process.execPath, words, { stdio: 'ignore' });
    };
    const text = 'fanway capture test';
    const inner = await capture(host, ['--inner', '--count', '3'], () => send());
    t.equal(blocksOf(inner)[0]?.type, 0x0a0d0d0a);
    t.equal(blocksOf(inner)[1]?.body.readUInt16LE(0), encap === 'vxlan' ? 1 : 101, 'link type');
    t.equal(framesOf(inner).length, 3);
    t.ok(
      framesOf(inner).some((frame) => frame.includes(text)),
      'what the container sent',
    );

    const words = ['--link', 'fan-250-0-28', '--outer', '--count', '3'];
    const outer = await capture(host, [...words, 'outer host 172.30.1.27 and udp'], () => send());
    const frames = framesOf(outer);
    t.equal(frames.length, 3);
    const carrying = frames.find((frame) => frame.includes(text));
    t.ok(carrying, 'inside of the tunnel');
    t.equal(carrying?.readUInt8(14 + 9), encap === 'ipip' ? 4 : 17, 'outer protocol');
    t.equal(carrying?.readUInt32BE(14 + 12), host.address, 'from this host');
    // Nobody carries it on a fan: it goes into the router, and ends there.
    if (encap === 'vxlan') send('224.0.0.9');
    else send();
    const flows = await fanway(host, 'flows', '--seconds', '3', '--json', 'udp');
    const [report] = JSON.parse(flows.out) as FlowsReport[];
    t.match(report, { missed: 0, untold: 0 }, flows.err);
    const to = (there: string) => report?.flows.find((flow) => flow.there === there);
    t.match(to('250.1.27.1:9'), { protocol: 'udp', outLost: 0, inLost: 0 });
    t.ok((to('250.1.27.1:9')?.outPackets ?? 0) > 3, 'as many as were sent');
    if (encap === 'vxlan') {
      t.match(to('224.0.0.9:9'), { outLost: 1 });
      const names = report?.drops.map(({ counter }) => counter);
      t.ok(names?.includes('egress.drop.multicast'), `${names}`);
    }
    t.match(await fanway(host, 'capture', '--link', 'nope'), { code: 3, err: /nope: not config/ });
  });
}

t.test('isTunnelPacket() takes our tunnels and nothing else', async (t) => {
  const packet = (protocol: number, port: number, source = 0xac1e001c): Buffer => {
    const bytes = Buffer.alloc(60);
    bytes[0] = 0x45;
    bytes[9] = protocol;
    bytes.writeUInt32BE(source, 12);
    bytes.writeUInt32BE(0xac1e011b, 16);
    bytes.writeUInt16BE(port, 22);
    return bytes;
  };
  const local = 0xac1e001c;
  t.equal(isTunnelPacket(packet(17, 4789), 0, local, 4789), true);
  t.equal(isTunnelPacket(packet(17, 4790), 0, local, 4789), false);
  t.equal(isTunnelPacket(packet(17, 4789, 0x01020304), 0, local, 4789), false, 'not ours');
  t.equal(isTunnelPacket(packet(17, 4789, 0x01020304), 0, 0xac1e011b, 4789), true, 'to us');
  t.equal(isTunnelPacket(packet(4, 0), 0, local, 0), true);
  t.equal(isTunnelPacket(packet(6, 4789), 0, local, 4789), false);
  t.equal(isTunnelPacket(packet(17, 4789).subarray(0, 20), 0, local, 4789), false, 'cut');
  const fragment = packet(17, 4789);
  fragment.writeUInt16BE(0x2001, 6);
  t.equal(isTunnelPacket(fragment, 0, local, 4789), false);
  const six = packet(17, 4789);
  six[0] = 0x60;
  t.equal(isTunnelPacket(six, 0, local, 4789), false);
});
