/**
 * What two ends of a measurement say to each other: short lines of ASCII on one TCP connection.
 *
 *     far end:  fanway-bench 1
 *     near end: fan 250.0.0.0/8                      which of the far end's fans is meant, or
 *                                                    network 100 10.1.0.101: VNI, own address there
 *     far end:  ok
 *     near end: tcp-receive tunnel 4 500             streams, milliseconds
 *     far end:  ready 5271                           the near end connects there and sends
 *     far end:  result 123456789 0.502000            bytes, seconds
 *     near end: udp-receive underlay 64 200          payload bytes, milliseconds
 *     far end:  ready 5271
 *     near end: finish                               all was sent
 *     far end:  result 51234 0.199000                datagrams, seconds
 *     near end: reflect 20000                        milliseconds; probes on both ways come back
 *     far end:  ready 5271                           and the same client may connect twice more
 *     near end: finish
 *     far end:  result 2345 19.100000                probes, seconds
 *     near end: bye
 *
 * Instead of any answer the far end may say `failed TEXT`, when what it was asked did not work, or
 * `error TEXT`, and then hangs up. `finish` also ends a `tcp-` command that goes nowhere. It never connects to
 * anybody: `tcp-send` data goes only to the address that asked, and only through a connection which that
 * address opened; a datagram is sent only as the answer to a probe of that address, no larger than it.
 * @module
 */
import { formatIpv4, parseIpv4 } from '../net/ipv4.ts';
import { formatPrefix, type Prefix, parsePrefix } from '../net/prefix.ts';

/** Where the far end listens; data goes to the next port. */
export const CONTROL_PORT_DEFAULT = 5270;
export const GREETING = 'fanway-bench 1';

/** Longer than any line there is; an error text is cut to fit. */
export const LINE_BYTES_MAX = 256;
/** A full run has about a hundred. */
export const COMMANDS_MAX = 300;
export const STREAMS_MAX = 4;
/** How long one command may move data. */
export const MOVE_MS_MAX = 15_000;
/** How long one command may send probes back. */
export const REFLECT_MS_MAX = 60_000;
const MOVE_MS_MIN = 50;
const PAYLOAD_BYTES_MIN = 16;
const PAYLOAD_BYTES_MAX = 1472;
const VNI_MAX = 0xff_ff_ff;

/** Through the tunnel, or between the underlay addresses. */
export type Way = 'tunnel' | 'underlay';

/** Which fan or network is meant; `own` (u32) is the near end's address there. */
export type LinkCommand =
  | { verb: 'fan'; overlay: Prefix }
  | { verb: 'network'; vni: number; own: number };

export type FarEndCommand =
  | LinkCommand
  | { verb: 'tcp-receive' | 'tcp-send'; way: Way; streams: number; moveMs: number }
  | { verb: 'udp-receive'; way: Way; payloadBytes: number; moveMs: number }
  | { verb: 'reflect'; moveMs: number }
  | { verb: 'finish' }
  | { verb: 'bye' };

export type FarEndAnswer =
  | { kind: 'greeting' }
  | { kind: 'ok' }
  | { kind: 'ready'; port: number }
  /** `amount` is bytes (TCP) or datagrams (UDP). */
  | { kind: 'result'; amount: number; seconds: number }
  | { kind: 'failed' | 'error'; text: string };

/** A line that the protocol does not have; the message says what is wrong with it. */
export class ProtocolError extends Error {
  override readonly name = 'ProtocolError';
}

/** The line of a command, without its newline. */
export function formatCommand(command: FarEndCommand): string {
  switch (command.verb) {
    case 'fan':
      return `fan ${formatPrefix(command.overlay)}`;
    case 'network':
      return `network ${command.vni} ${formatIpv4(command.own)}`;
    case 'tcp-receive':
    case 'tcp-send':
      return `${command.verb} ${command.way} ${command.streams} ${command.moveMs}`;
    case 'udp-receive':
      return `udp-receive ${command.way} ${command.payloadBytes} ${command.moveMs}`;
    case 'reflect':
      return `reflect ${command.moveMs}`;
    case 'finish':
    case 'bye':
      return command.verb;
  }
}

/** Reads a command. @throws ProtocolError */
export function parseCommand(line: string): FarEndCommand {
  const [verb = '', ...words] = line.split(' ');
  const expect = (count: number) => {
    if (words.length !== count) throw new ProtocolError(`${verb} takes ${count} words`);
  };
  switch (verb) {
    case 'fan':
      expect(1);
      return { verb, overlay: parseOverlay(words[0] ?? '') };
    case 'network':
      expect(2);
      return { verb, vni: parseWhole('VNI', words[0], 0, VNI_MAX), own: parseOwn(words[1] ?? '') };
    case 'tcp-receive':
    case 'tcp-send':
      expect(3);
      return {
        verb,
        way: parseWay(words[0]),
        streams: parseWhole('streams', words[1], 1, STREAMS_MAX),
        moveMs: parseWhole('milliseconds', words[2], MOVE_MS_MIN, MOVE_MS_MAX),
      };
    case 'udp-receive':
      expect(3);
      return {
        verb,
        way: parseWay(words[0]),
        payloadBytes: parseWhole('payload', words[1], PAYLOAD_BYTES_MIN, PAYLOAD_BYTES_MAX),
        moveMs: parseWhole('milliseconds', words[2], MOVE_MS_MIN, MOVE_MS_MAX),
      };
    case 'reflect':
      expect(1);
      return { verb, moveMs: parseWhole('milliseconds', words[0], MOVE_MS_MIN, REFLECT_MS_MAX) };
    case 'finish':
    case 'bye':
      expect(0);
      return { verb };
    default:
      throw new ProtocolError('there is no such command');
  }
}

/** The line of an answer, without its newline; an error text is made fit for one. */
export function formatAnswer(answer: FarEndAnswer): string {
  switch (answer.kind) {
    case 'greeting':
      return GREETING;
    case 'ok':
      return 'ok';
    case 'ready':
      return `ready ${answer.port}`;
    case 'result':
      return `result ${answer.amount} ${answer.seconds.toFixed(6)}`;
    case 'failed':
    case 'error':
      return `${answer.kind} ${answer.text.replace(/[^ -~]+/g, ' ').slice(0, LINE_BYTES_MAX - 8)}`;
  }
}

/** Reads an answer. @throws ProtocolError */
export function parseAnswer(line: string): FarEndAnswer {
  if (line === GREETING) return { kind: 'greeting' };
  if (line === 'ok') return { kind: 'ok' };
  const refusal = /^(failed|error) (.+)$/.exec(line);
  if (refusal !== null) {
    return { kind: refusal[1] === 'failed' ? 'failed' : 'error', text: refusal[2] ?? '' };
  }
  const ready = /^ready ([0-9]+)$/.exec(line);
  if (ready !== null) return { kind: 'ready', port: parseWhole('port', ready[1], 1, 65_535) };
  const result = /^result ([0-9]+) ([0-9]{1,5}\.[0-9]{1,9})$/.exec(line);
  if (result !== null) {
    const amount = parseWhole('amount', result[1], 0, 2 ** 46);
    return { kind: 'result', amount, seconds: Number(result[2]) };
  }
  throw new ProtocolError('there is no such answer');
}

function parseOverlay(word: string): Prefix {
  try {
    return parsePrefix(word);
  } catch {
    throw new ProtocolError('fan takes an overlay such as 250.0.0.0/8');
  }
}

function parseOwn(word: string): number {
  try {
    return parseIpv4(word);
  } catch {
    throw new ProtocolError('network takes a VNI and an address such as 10.1.0.101');
  }
}

function parseWay(word: string | undefined): Way {
  if (word === 'tunnel' || word === 'underlay') return word;
  throw new ProtocolError('the way is tunnel or underlay');
}

function parseWhole(what: string, word: string | undefined, least: number, most: number): number {
  const value = /^[0-9]{1,15}$/.test(word ?? '') ? Number(word) : Number.NaN;
  if (value >= least && value <= most) return value;
  throw new ProtocolError(`${what}: a whole number from ${least} to ${most}`);
}

/** Cuts a byte stream into lines. Holds no more than one unfinished line. */
export class LineReader {
  #rest = '';

  /**
   * The lines that end within `chunk`.
   * @throws ProtocolError for a line that is too long or not printable ASCII.
   */
  take(chunk: Uint8Array): string[] {
    const lines: string[] = [];
    for (const byte of chunk) {
      if (byte === 0x0a) {
        lines.push(this.#rest);
        this.#rest = '';
        continue;
      }
      if (byte < 0x20 || byte > 0x7e) throw new ProtocolError('a line is printable ASCII');
      if (this.#rest.length === LINE_BYTES_MAX) {
        throw new ProtocolError(`a line has at most ${LINE_BYTES_MAX} bytes`);
      }
      this.#rest += String.fromCharCode(byte);
    }
    return lines;
  }
}
