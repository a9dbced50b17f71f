// The rough edges of the netlink package that src/sys/netlink/raw.ts works around. When one of
// these is no longer there, the work-around may go.
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import t from 'tap';

// Lists the links and throws in the listener, with a handler that ought to catch it.
const THROWING_LISTENER = `
  const { RawNetlinkSocket } = require(process.argv[1]);
  const socket = new RawNetlinkSocket(0);
  socket.on('message', () => { throw new Error('from the listener'); });
  process.on('uncaughtException', () => { process.exit(0); });
  const request = Buffer.alloc(32);
  request.writeUInt32LE(32, 0);
  request.writeUInt16LE(18, 4);
  request.writeUInt16LE(0x305, 6);
  socket.send(request, {}, () => undefined);
  setTimeout(() => process.exit(1), 2000);
`;

t.test('the package aborts when a listener throws', async (t) => {
  const path = createRequire(import.meta.url).resolve('netlink');
  const result = spawnSync(process.execPath, ['-e', THROWING_LISTENER, path], { encoding: 'utf8' });
  t.equal(result.signal, 'SIGABRT', 'so every listener of ours is guarded');
  t.match(result.stderr, /Napi::Error/);
});
