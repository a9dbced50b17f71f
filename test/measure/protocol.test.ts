import fc from 'fast-check';
import t from 'tap';
import {
  type FarEndAnswer,
  type FarEndCommand,
  formatAnswer,
  formatCommand,
  GREETING,
  LINE_BYTES_MAX,
  LineReader,
  ProtocolError,
  parseAnswer,
  parseCommand,
} from '../../src/measure/protocol.ts';
import { holds } from '../support/property.ts';

const ascii = (text: string): Uint8Array => Buffer.from(text, 'latin1');

t.test('commands: parse and format are inverse', async (t) => {
  const commands: [line: string, command: FarEndCommand][] = [
    ['fan 250.0.0.0/8', { verb: 'fan', overlay: { address: 0xfa000000, length: 8 } }],
    ['tcp-receive tunnel 4 500', { verb: 'tcp-receive', way: 'tunnel', streams: 4, moveMs: 500 }],
    ['tcp-send underlay 1 3000', { verb: 'tcp-send', way: 'underlay', streams: 1, moveMs: 3000 }],
    [
      'udp-receive tunnel 64 200',
      { verb: 'udp-receive', way: 'tunnel', payloadBytes: 64, moveMs: 200 },
    ],
    ['reflect 60000', { verb: 'reflect', moveMs: 60_000 }],
    ['finish', { verb: 'finish' }],
    ['bye', { verb: 'bye' }],
  ];
  for (const [line, command] of commands) {
    t.same(parseCommand(line), command, line);
    t.equal(formatCommand(command), line);
  }
});

t.test('parseCommand() refuses everything else', async (t) => {
  for (const line of [
    ...['', ' ', 'fan', 'fan 250', 'fan 250.0.0.0/33', 'fan 250.0.0.0/8 x', 'fan  250.0.0.0/8'],
    ...[
      'tcp-receive',
      'tcp-receive tunnel 1',
      'tcp-receive 172.30.0.1 1 500',
      'TCP-SEND tunnel 1 1',
    ],
    ...['tcp-send tunnel 0 500', 'tcp-send tunnel 5 500', 'tcp-send tunnel 1 15001'],
    ...['tcp-send tunnel 1 1', 'tcp-send tunnel 1 1e3', 'tcp-send tunnel 1 -500'],
    ...[
      'tcp-send tunnel 1 500.5',
      'tcp-send tunnel 1 0x1f4',
      'tcp-send tunnel 1 99999999999999999',
    ],
    ...[
      'tcp-send tunnel 1 500 --connect',
      'tcp-send tunnel --seconds 500',
      'udp-send tunnel 64 200',
    ],
    ...['udp-receive tunnel 15 200', 'udp-receive tunnel 1473 200', 'udp-receive tunnel 64'],
    ...['reflect', 'reflect 60001', 'reflect tunnel 500', 'reflect 1'],
    ...['finish now', 'bye bye', 'constructor', '__proto__', 'toString', 'fan constructor'],
  ]) {
    t.throws(() => parseCommand(line), ProtocolError, JSON.stringify(line));
  }
});

t.test('answers: parse and format are inverse', async (t) => {
  const answers: [line: string, answer: FarEndAnswer][] = [
    [GREETING, { kind: 'greeting' }],
    ['ok', { kind: 'ok' }],
    ['ready 5271', { kind: 'ready', port: 5271 }],
    ['result 0 0.000001', { kind: 'result', amount: 0, seconds: 0.000001 }],
    ['result 123456789012 0.502000', { kind: 'result', amount: 123456789012, seconds: 0.502 }],
    ['failed traffic tcp: bind', { kind: 'failed', text: 'traffic tcp: bind' }],
    ['error one thing at a time', { kind: 'error', text: 'one thing at a time' }],
  ];
  for (const [line, answer] of answers) {
    t.same(parseAnswer(line), answer, line);
    t.equal(formatAnswer(answer), line);
  }
});

t.test('parseAnswer() refuses everything else', async (t) => {
  for (const line of [
    ...['', 'OK', 'ok ', 'fanway-bench 2', 'fanway-bench', 'ready', 'ready 0', 'ready 65536'],
    ...['ready 5271 5272', 'ready -1', 'result', 'result 1', 'result 1 1', 'result 1 1e3'],
    ...['result 1 NaN', 'result 1 -0.5', 'result 1.5 0.5', 'result 99999999999999999 0.5'],
    ...[
      'result 99999999999999 100000.5',
      'error',
      'error ',
      'SSH-2.0-OpenSSH_9.6',
      'HTTP/1.1 200 OK',
    ],
  ]) {
    t.throws(() => parseAnswer(line), ProtocolError, JSON.stringify(line));
  }
});

t.test('an error is one line that fits, whatever it says', async (t) => {
  const line = formatAnswer({ kind: 'error', text: `a\nb\u001b[2J\u0000é${'x'.repeat(1000)}` });
  t.match(line, /^error a b \[2J x+$/);
  t.ok(line.length < LINE_BYTES_MAX);
});

t.test('LineReader cuts lines wherever chunks end', async (t) => {
  holds(
    t,
    fc.property(
      fc.array(fc.stringMatching(/^[ -~]{0,40}$/), { maxLength: 8 }),
      fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 20 }),
      (lines, sizes) => {
        const bytes = ascii(lines.map((line) => `${line}\n`).join(''));
        const reader = new LineReader();
        const taken: string[] = [];
        for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
          const size = sizes[turn % sizes.length] ?? 1;
          taken.push(...reader.take(bytes.subarray(at, at + size)));
          at += size;
        }
        return taken.join('|') === lines.join('|') && taken.length === lines.length;
      },
    ),
  );
});

t.test('LineReader refuses what is no line', async (t) => {
  for (const text of ['a\r\n', '\u0000\n', 'a\tb\n', '\u007f', '\u00e9', '\u001b[2J\n']) {
    t.throws(() => new LineReader().take(ascii(text)), ProtocolError, JSON.stringify(text));
  }
  const reader = new LineReader();
  t.same(reader.take(ascii('x'.repeat(LINE_BYTES_MAX))), []);
  t.same(reader.take(ascii('\n')), ['x'.repeat(LINE_BYTES_MAX)]);
  reader.take(ascii('x'.repeat(LINE_BYTES_MAX)));
  t.throws(() => reader.take(ascii('x')), ProtocolError, 'endless');
});

t.test('any bytes end in lines or in a ProtocolError', async (t) => {
  holds(
    t,
    fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
      try {
        for (const line of new LineReader().take(bytes)) {
          try {
            parseCommand(line);
          } finally {
            parseAnswer(line);
          }
        }
        return true;
      } catch (error) {
        return error instanceof ProtocolError;
      }
    }),
  );
});
