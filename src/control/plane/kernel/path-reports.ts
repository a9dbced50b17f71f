/**
 * What ICMP says of the paths of a link that the kernel forwards, and whether it is so.
 *
 * The kernel believes "fragmentation needed" about the datagrams of a VXLAN device that serves all networks of its port,
 * whatever source port and network they are said to have had, and keeps to it for ten minutes: one forged
 * message would cut off a host. So each is heard here too, and the path asked: an echo request of the size that it is
 * said not to carry, which goes out whatever the kernel believes. Where it is answered, the message was false, and the
 * kernel is made to forget what ICMP told it.
 * @module
 */
import { randomBytes } from 'node:crypto';
import { codeOf, messageOf } from '../../../errors.ts';
import type { Log } from '../../../log.ts';
import { formatIpv4 } from '../../../net/ipv4.ts';
import { writeSysctl } from '../../../sys/host/sysctl.ts';
import { EchoSocket } from '../../../sys/sockets/echo-socket.ts';
import {
  getIcmpCode,
  getIcmpMtu,
  getIcmpType,
  ICMP_CODE_FRAGMENTATION_NEEDED,
  ICMP_HEADER_BYTES,
  ICMP_UNREACHABLE,
} from '../../../wire/icmp.ts';
import {
  getIpv4Destination,
  getIpv4HeaderBytes,
  getIpv4Protocol,
  getIpv4Source,
  IPV4_HEADER_BYTES,
  PROTOCOL_UDP,
} from '../../../wire/ipv4.ts';
import { emitEchoRequest, readEchoToken } from '../echo/echo.ts';

/** An answer comes within this, ms, and is looked for so often. */
const ANSWER_MS = 500;
const LOOK_MS = 5;
/** Requests without an answer that make a message believed. */
const TRIES = 3;
/** Messages that are read in one go. */
const MESSAGES_MAX = 64;
/** The kernel forgets for all destinations: not more often than this, ms. */
const FORGET_MS = 100;
const FORGET_KEY = 'net/ipv4/route/flush';
const PORTS_BYTES = 4;

/** Whose path carries `mtu` bytes at most, as a message says about a datagram to `port`; undefined = no such message. */
export function readReport(
  message: Buffer,
  local: number,
  port: number,
): { peer: number; mtu: number } | undefined {
  const view = new DataView(message.buffer, message.byteOffset, message.length);
  if (message.length < IPV4_HEADER_BYTES) return undefined;
  const icmp = getIpv4HeaderBytes(view, 0);
  const quote = icmp + ICMP_HEADER_BYTES;
  if (message.length < quote + IPV4_HEADER_BYTES) return undefined;
  if (getIcmpType(view, icmp) !== ICMP_UNREACHABLE) return undefined;
  if (getIcmpCode(view, icmp) !== ICMP_CODE_FRAGMENTATION_NEEDED) return undefined;
  const udp = quote + getIpv4HeaderBytes(view, quote);
  if (message.length < udp + PORTS_BYTES || getIpv4Protocol(view, quote) !== PROTOCOL_UDP) {
    return undefined;
  }
  if (getIpv4Source(view, quote) !== local || view.getUint16(udp + 2) !== port) return undefined;
  return { peer: getIpv4Destination(view, quote), mtu: getIcmpMtu(view, icmp) };
}

export class PathReports {
  readonly #log: Log;
  readonly #name: string;
  readonly #local: number;
  readonly #port: number;
  /** Undefined where none may be opened: then only the programs tell. */
  readonly #socket: EchoSocket | undefined;
  #forgotMs = Number.NEGATIVE_INFINITY;
  #canForget = true;

  /** Listens at the underlay address of a link and its port. */
  constructor(log: Log, { name, local, port }: { name: string; local: number; port: number }) {
    this.#log = log;
    this.#name = name;
    this.#local = local;
    this.#port = port;
    try {
      this.#socket = EchoSocket.openForErrors(local);
    } catch (error) {
      log.warn(name, `ICMP about its paths is not judged: ${messageOf(error)}`);
    }
  }

  /** To be read when it is readable; −1 = there is none. */
  get fd(): number {
    return this.#socket?.fd ?? -1;
  }

  /** Hosts that messages were about since the last call, each with the MTU that the last one told. */
  take(): Map<number, number> {
    const told = new Map<number, number>();
    for (let i = 0; i < MESSAGES_MAX; i++) {
      const message = this.#socket?.receive();
      if (message === undefined) break;
      const report = readReport(message, this.#local, this.#port);
      if (report !== undefined) told.set(report.peer, report.mtu);
    }
    return told;
  }

  /** Whether the way to a host carries packets of `bytes` for certain. */
  async carries(peer: number, bytes: number): Promise<boolean> {
    let socket: EchoSocket;
    try {
      socket = EchoSocket.open(this.#local);
    } catch (error) {
      this.#log.warn(this.#name, `a path cannot be asked: ${messageOf(error)}`);
      return false;
    }
    try {
      for (let i = 0; i < TRIES; i++) if (await answers(socket, peer, bytes)) return true;
    } finally {
      socket.close();
    }
    return false;
  }

  /**
   * Has the kernel forget what ICMP told it of paths; whether it has. A host whose path is smaller indeed
   * tells it again.
   */
  forget(peer: number, mtu: number): boolean {
    const nowMs = performance.now();
    if (!this.#canForget || nowMs - this.#forgotMs < FORGET_MS) return false;
    this.#forgotMs = nowMs;
    const what = `ICMP said that packets of ${mtu} bytes at most get to ${formatIpv4(peer)}`;
    try {
      writeSysctl(FORGET_KEY, '1');
    } catch (error) {
      this.#canForget = !['EROFS', 'EACCES', 'ENOENT'].includes(codeOf(error));
      this.#log.warn(
        this.#name,
        `${what}, falsely, and the kernel goes by it: ${messageOf(error)}`,
      );
      return false;
    }
    this.#log.info(this.#name, `${what}, falsely: the kernel has forgotten it`);
    return true;
  }

  close(): void {
    this.#socket?.close();
  }
}

/** Whether a host answers an echo request of so many bytes. */
async function answers(socket: EchoSocket, peer: number, bytes: number): Promise<boolean> {
  const token = randomBytes(8).toString('hex');
  if (!socket.send(peer, emitEchoRequest(4, bytes, token))) return false;
  const deadlineMs = performance.now() + ANSWER_MS;
  while (performance.now() < deadlineMs) {
    for (let i = 0; i < MESSAGES_MAX; i++) {
      const message = socket.receive();
      if (message === undefined) break;
      if (readEchoToken(message, 4, socket.showsOuterHeader) === token) return true;
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
  return false;
}
