/**
 * How soon a question of ARP is answered: for a container of the other host, which the router answers at
 * home, and for the bridge's own address, which the kernel of this host answers.
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseIpv4 } from '../src/net/ipv4.ts';
import { PacketSocket } from '../src/sys/sockets/packet-socket.ts';
import {
  ARP_REPLY,
  ARP_REQUEST,
  emitArp,
  getArpOperation,
  getArpSenderAddress,
  setArpTarget,
} from '../src/wire/arp.ts';
import { ETHERNET_HEADER_BYTES, ETHERTYPE_ARP, emitEthernet } from '../src/wire/ethernet.ts';
import type { Figures } from './measures.ts';
import type { Tunnel } from './variants.ts';

const FRAME_BYTES = 60;
const MAC_BROADCAST = 0xffff_ffff_ffff;
const TYPE_OFFSET = 12;
const QUESTIONS = 200;
const ANSWER_MS = 200;
const PAUSE_MS = 2;

/** ms from one question to its answer; undefined when there was none. */
async function ask(
  socket: PacketSocket,
  question: Uint8Array,
  target: number,
): Promise<number | undefined> {
  while (socket.read() !== undefined);
  const startMs = performance.now();
  socket.send(question);
  while (performance.now() - startMs < ANSWER_MS) {
    for (let seen = socket.read(); seen !== undefined; seen = socket.read()) {
      const view = new DataView(seen.bytes.buffer, seen.bytes.byteOffset, seen.bytes.length);
      const isArp = seen.bytes.length >= 42 && view.getUint16(TYPE_OFFSET) === ETHERTYPE_ARP;
      if (!isArp || getArpOperation(view, ETHERNET_HEADER_BYTES) !== ARP_REPLY) continue;
      if (getArpSenderAddress(view, ETHERNET_HEADER_BYTES) !== target) continue;
      return performance.now() - startMs;
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
  return undefined;
}

/** Median of the answers to a number of questions, µs; undefined when fewer than half came. */
async function median(
  socket: PacketSocket,
  mac: number,
  sender: number,
  target: number,
): Promise<number | undefined> {
  const question = new Uint8Array(FRAME_BYTES);
  const view = new DataView(question.buffer);
  emitEthernet(view, 0, MAC_BROADCAST, mac, ETHERTYPE_ARP);
  emitArp(view, ETHERNET_HEADER_BYTES, ARP_REQUEST, mac, sender);
  setArpTarget(view, ETHERNET_HEADER_BYTES, 0, target);
  const tookMs: number[] = [];
  for (let i = 0; i < QUESTIONS; i++) {
    const ms = await ask(socket, question, target);
    if (ms !== undefined) tookMs.push(ms);
    await sleep(PAUSE_MS);
  }
  tookMs.sort((a, b) => a - b);
  return tookMs.length < QUESTIONS / 2 ? undefined : (tookMs[tookMs.length >> 1] ?? 0) * 1000;
}

/** `arp`: of the other host's container; `arpLocal`: of this host's bridge; both µs. */
export async function arpAnswers({
  containerA,
  addressA,
  containerAddressB,
}: Tunnel): Promise<Figures> {
  const { index, address: mac } = await containerA.netlink.link('eth0');
  const socket = containerA.run(() => new PacketSocket(index));
  try {
    const figures: Figures = {};
    const sender = containerA.address;
    const local = await median(socket, mac, sender, parseIpv4(addressA));
    const far = await median(socket, mac, sender, parseIpv4(containerAddressB));
    if (local !== undefined) figures['arpLocal'] = local;
    if (far !== undefined) figures['arp'] = far;
    return figures;
  } finally {
    socket.close();
  }
}
