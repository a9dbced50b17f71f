import { once } from 'node:events';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import { requestFromJson } from '../../src/config/request-json.ts';
import {
  ADMIN_BODY_BYTES_MAX,
  ADMIN_CLIENTS_MAX,
  ADMIN_TIMEOUT_MS,
  type AdminServer,
  serveAdmin,
} from '../../src/control/admin/admin.ts';
import { callRouter } from '../../src/control/admin/admin-client.ts';
import { RunDirectory } from '../../src/control/store/run-directory.ts';
import { FanwayError } from '../../src/errors.ts';
import { silentLog } from '../../src/log.ts';
import { NetworkNamespace } from '../../src/sys/process/netns.ts';
import { promised, sleep, until } from '../support/patience.ts';
import { request } from './snapshots.ts';

const folder = mkdtempSync(join(tmpdir(), 'fanway-admin-'));
const run = new RunDirectory(folder);
let server: AdminServer;
let handled = 0;

t.before(async () => {
  run.create();
  server = await serveAdmin(
    run.socket,
    [
      { method: 'GET', path: '/v1/ping', handle: async () => ({ pong: true }) },
      {
        method: 'POST',
        path: '/v1/echo',
        handle: async (body) => {
          handled++;
          return body;
        },
      },
      {
        method: 'GET',
        path: '/v1/refuse',
        handle: async () => {
          throw new FanwayError('no', 'Not like this.', { exitCode: 3 });
        },
      },
      {
        method: 'GET',
        path: '/v1/hostile',
        handle: async () => ({ '\u001b[2J': ['\u001b]0;owned\u0007', 'a\u202eb\n', 'é', 5, null] }),
      },
      {
        method: 'GET',
        path: '/v1/throw',
        handle: async () => {
          throw new TypeError('a bug');
        },
      },
    ],
    silentLog,
    {
      admit: (namespace) => {
        if (namespace !== NetworkNamespace.current().inode) {
          throw new FanwayError('other-namespace', 'Not from there.', { exitCode: 3 });
        }
      },
    },
  );
});
t.teardown(async () => {
  await server.close();
  rmSync(folder, { recursive: true });
});

/** Sends bytes as they are; resolves with all that came back when the other end closes. */
function send(bytes: string | Buffer, options: { end?: boolean } = {}): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(run.socket);
    let answer = '';
    socket.on('data', (chunk: Buffer) => {
      answer += chunk.toString('latin1');
    });
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(answer));
    socket.write(bytes, () => {
      if (options.end === true) socket.end();
    });
  });
}

const status = (answer: string): string => /^HTTP\/1\.1 (\d+)/.exec(answer)?.[1] ?? 'closed';

t.test('what a router answers does nothing to a terminal', async (t) => {
  const answer = await callRouter(run, '/v1/hostile');
  t.same(answer, { '?[2J': ['?]0;owned?', 'a?b?', 'é', 5, null] });
});

t.test('a command from another network namespace is not carried out', async (t) => {
  const text = '{"a":1}';
  const of = (namespace: string): Promise<string> =>
    send(
      `POST /v1/echo HTTP/1.1\r\nHost: fanway\r\nContent-Type: application/json\r\n${namespace}Content-Length: ${text.length}\r\n\r\n${text}`,
    );
  const before = handled;
  t.match(await of('fanway-network-namespace: 1\r\n'), /409 .*other-namespace/s);
  t.match(await of('fanway-network-namespace: x\r\n'), /other-namespace/);
  t.equal(handled, before);
  t.match(await of(''), /200 OK/, 'who says nothing of it is no command of ours');
});

t.test('callRouter() gets values and errors with their exit code', async (t) => {
  t.same(await callRouter(run, '/v1/ping'), { pong: true });
  t.same(await callRouter(run, '/v1/echo', { a: [1, 'é'] }), { a: [1, 'é'] });
  await t.rejects(callRouter(run, '/v1/refuse'), { code: 'no', exitCode: 3 });
  await t.rejects(callRouter(run, '/v1/throw'), { message: 'a bug', exitCode: 1 });
  await t.rejects(callRouter(run, '/v1/nothing'), { code: 'bad-request' });
  const nowhere = new RunDirectory(join(folder, 'nowhere'));
  await t.rejects(callRouter(nowhere, '/v1/ping'), { code: 'not-running', exitCode: 5 });
});

t.test('the socket is for its owner only', async (t) => {
  t.equal(statSync(run.socket).mode & 0o777, 0o600);
  t.equal(statSync(folder).mode & 0o777, 0o700);
});

t.test('requests that are not ours are refused and do nothing', async (t) => {
  const before = handled;
  const post = (headers: string, body: string): string =>
    `POST /v1/echo HTTP/1.1\r\nHost: fanway\r\n${headers}\r\n\r\n${body}`;
  const json = 'Content-Type: application/json';
  const table: [name: string, bytes: string | Buffer, expected: string][] = [
    ['no host', 'GET /v1/ping HTTP/1.1\r\n\r\n', 'closed'],
    ['foreign host', 'GET /v1/ping HTTP/1.1\r\nHost: localhost\r\n\r\n', '403'],
    ['an origin', 'GET /v1/ping HTTP/1.1\r\nHost: fanway\r\nOrigin: http://x\r\n\r\n', '403'],
    ['another path', 'GET /v1/../../etc/passwd HTTP/1.1\r\nHost: fanway\r\n\r\n', '404'],
    ['a query', 'GET /v1/ping?x=1 HTTP/1.1\r\nHost: fanway\r\n\r\n', '404'],
    ['encoded path', 'GET /v1/%70ing HTTP/1.1\r\nHost: fanway\r\n\r\n', '404'],
    ['absolute form', 'GET http://fanway/v1/ping HTTP/1.1\r\nHost: fanway\r\n\r\n', '404'],
    ['another method', 'DELETE /v1/ping HTTP/1.1\r\nHost: fanway\r\n\r\n', '405'],
    ['head', 'HEAD /v1/ping HTTP/1.1\r\nHost: fanway\r\n\r\n', '405'],
    ['get for post', 'GET /v1/echo HTTP/1.1\r\nHost: fanway\r\n\r\n', '405'],
    ['form body', post('Content-Type: text/plain\r\nContent-Length: 2', '{}'), '415'],
    ['no json', post(`${json}\r\nContent-Length: 3`, '{a}'), '409'],
    ['empty body', post(`${json}\r\nContent-Length: 0`, ''), '409'],
    ['announced 1 GB', post(`${json}\r\nContent-Length: 1073741824`, '{'), '413'],
    [
      'chunked and too large',
      post(`${json}\r\nTransfer-Encoding: chunked`, `20000\r\n${'x'.repeat(0x20000)}\r\n0\r\n\r\n`),
      '413',
    ],
    [
      'both lengths',
      post(`${json}\r\nContent-Length: 2\r\nTransfer-Encoding: chunked`, '{}'),
      'closed',
    ],
    [
      'large header',
      `GET /v1/ping HTTP/1.1\r\nHost: fanway\r\nX: ${'y'.repeat(20_000)}\r\n\r\n`,
      'closed',
    ],
    ['no http', Buffer.from([0, 1, 2, 3, 255, 254, 10, 10]), 'closed'],
    ['no newline', 'x'.repeat(100_000), 'closed'],
  ];
  for (const [name, bytes, expected] of table) {
    const answer = await send(bytes);
    const ok = status(answer) === expected || (expected === 'closed' && /^4/.test(status(answer)));
    t.ok(ok, `${name}: ${status(answer)}`);
  }
  t.equal(handled, before, 'none of them reached a handler');
  t.same(await callRouter(run, '/v1/ping'), { pong: true }, 'and it still answers');
});

/**
 * A client in a thread of its own: it connects, and sends `bytes` once the first of `steps` is 1, whatever this thread
 * does; then it sets the second.
 */
function sendFromThread(
  bytes: string,
  steps: Int32Array,
): { connected: Promise<void>; answer: Promise<string> } {
  const program = `
    const { parentPort, workerData } = require('node:worker_threads');
    const { path, bytes, steps } = workerData;
    const socket = require('node:net').connect(path);
    let answer = '';
    socket.on('connect', () => {
      parentPort.postMessage('connected');
      Atomics.wait(steps, 0, 0);
      socket.write(bytes, () => {
        Atomics.store(steps, 1, 1);
        Atomics.notify(steps, 1);
      });
    });
    socket.on('data', (chunk) => { answer += chunk; });
    socket.on('error', (error) => { answer += error.code; });
    socket.on('close', () => parentPort.postMessage(answer));`;
  const worker = new Worker(program, {
    eval: true,
    workerData: { path: run.socket, bytes, steps },
  });
  const next = async (): Promise<string> => String((await once(worker, 'message'))[0]);
  const connected = next();
  return { connected: connected.then(() => undefined), answer: connected.then(next) };
}

t.test(
  'a client that stalls is dropped after five seconds; one that we keep waiting is not',
  async (t) => {
    const started = Date.now();
    const stalled = [
      send('GET /v1/ping HTTP/1.1\r\nHost: fan'),
      send(
        'POST /v1/echo HTTP/1.1\r\nHost: fanway\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{',
      ),
    ];
    const steps = new Int32Array(new SharedArrayBuffer(8));
    const kept = sendFromThread('GET /v1/ping HTTP/1.1\r\nHost: fanway\r\n\r\n', steps);
    await kept.connected;
    await until('all of them are clients', 20_000, () => server.clients() === stalled.length + 1);
    // This thread is the router's: it stands still while the request comes, and for longer than a client has.
    Atomics.store(steps, 0, 1);
    Atomics.notify(steps, 0);
    Atomics.wait(steps, 1, 0);
    Atomics.wait(steps, 1, 1, ADMIN_TIMEOUT_MS + 500);
    t.match(await kept.answer, /200 OK/);
    await Promise.all(stalled);
    const took = Date.now() - started;
    t.ok(took >= ADMIN_TIMEOUT_MS - 500, `${took} ms`);
    promised(t, 'dropped', took, ADMIN_TIMEOUT_MS + 3000);
  },
);

t.test('a thousand clients: at most 32 at a time, and it answers afterwards', async (t) => {
  const sockets: Socket[] = [];
  let most = 0;
  for (let i = 0; i < 1000; i++) {
    const socket = connect(run.socket);
    socket.on('error', () => undefined);
    sockets.push(socket);
    if (i % 100 === 99) await sleep(10);
    most = Math.max(most, server.clients());
  }
  await sleep(200);
  most = Math.max(most, server.clients());
  t.ok(most <= ADMIN_CLIENTS_MAX, `${most} at once`);
  for (const socket of sockets) socket.destroy();
  await sleep(200);
  t.same(await callRouter(run, '/v1/ping'), { pong: true });
});

t.test('two thousand requests do not pile up', async (t) => {
  const started = process.memoryUsage().rss;
  for (let i = 0; i < 200; i++) {
    await Promise.all(Array.from({ length: 10 }, () => callRouter(run, '/v1/ping')));
  }
  const grown = (process.memoryUsage().rss - started) / 1e6;
  t.ok(grown < 200, `${grown.toFixed(0)} MB more`);
  t.equal(server.clients(), 0);
});

t.test('requestFromJson() takes what it gives and nothing else', async (t) => {
  const good = request('250', 'eth0/16', { dhcp: true, bridge: 'br-fan', mtu: 1400 });
  t.same(requestFromJson(JSON.parse(JSON.stringify(good))), good);
  const plain = JSON.parse(JSON.stringify(good)) as Record<string, unknown>;
  const bad: [field: string, value: unknown][] = [
    ['overlay', null],
    ['overlay', { address: 0xfa000001, length: 8 }],
    ['overlay', { address: 1.5, length: 8 }],
    ['overlay', { address: 0, length: 33 }],
    ['overlay', { address: 0, length: 8, extra: 1 }],
    ['underlay', 'eth0'],
    ['underlay', { kind: 'device', device: '../x', length: 16 }],
    ['underlay', { kind: 'device', device: 'default', length: 16 }],
    ['underlay', { kind: 'file', length: 16 }],
    ['encap', 'gre'],
    ['port', 0],
    ['port', '4789'],
    ['vni', -1],
    ['mtu', 1e9],
    ['hostReserve', 1e6],
    ['bridge', 'a;b'],
    ['bridge', ['a']],
    ['dhcp', 1],
    ['force', 'yes'],
    ['dscp', {}],
  ];
  for (const [field, value] of bad) {
    t.throws(() => requestFromJson({ ...plain, [field]: value }), `${field}`);
    const { [field]: _left, ...without } = plain;
    t.throws(() => requestFromJson(without), `${field} missing`);
  }
  t.throws(() => requestFromJson({ ...plain, extra: 1 }), 'an unknown field');
  t.throws(() => requestFromJson(JSON.parse('{"__proto__": {"a": 1}}')));
  for (const value of [null, [], 'x', 1, undefined]) t.throws(() => requestFromJson(value));
  t.ok(ADMIN_BODY_BYTES_MAX > JSON.stringify(good).length * 10);
});

t.test(
  'what the router hung up on before it heard a word is asked again, not for ever',
  async (t) => {
    const elsewhere = mkdtempSync(join(tmpdir(), 'fanway-admin-'));
    t.teardown(() => rmSync(elsewhere, { recursive: true }));
    const deaf = new RunDirectory(elsewhere);
    deaf.create();
    let connections = 0;
    let deafTo = 2;
    const router = createServer((socket) => {
      connections++;
      socket.on('error', () => undefined);
      if (connections <= deafTo) return void socket.destroy();
      socket.once('data', () =>
        socket.end('HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\r\n{"told":true}'),
      );
    });
    router.listen(deaf.socket);
    await once(router, 'listening');
    t.teardown(() => router.close());
    t.same(await callRouter(deaf, '/v1/echo', { word: 1 }), { told: true });
    t.equal(connections, 3);
    [connections, deafTo] = [0, Number.POSITIVE_INFINITY];
    await t.rejects(callRouter(deaf, '/v1/echo', { word: 1 }), {
      code: 'router-silent',
      message: /hung up/,
    });
    t.equal(connections, 3, 'not for ever');
  },
);
