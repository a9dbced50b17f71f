import { connect } from 'node:net';
import t, { type Test } from 'tap';
import type {
  Connection,
  ConnectionListener,
  NeighbourSettings,
} from '../../../src/bgp/base/api.ts';
import { plainAddress } from '../../../src/control/speakers/bgp/addresses.ts';
import { BgpTransport } from '../../../src/control/speakers/bgp/transport.ts';
import { silentLog } from '../../../src/log.ts';
import { neighbourSettings } from '../../bgp/lab.ts';
import { sleep, until } from '../../support/patience.ts';

const PORT = 43_000 + (process.pid % 20_000);

/** What one side of a wire saw. */
type Side = { heard: string; reason: string; connection: Connection | undefined };

function side(): Side & { listener: ConnectionListener } {
  const state: Side = { heard: '', reason: '', connection: undefined };
  const listener: ConnectionListener = {
    data: (bytes) => {
      state.heard += Buffer.from(bytes).toString();
    },
    drained: () => undefined,
    closed: (reason) => {
      state.reason = reason;
    },
  };
  return Object.assign(state, { listener });
}

/** Listens at `address` for a neighbour at the same address. */
async function listenAt(t: Test, near: NeighbourSettings) {
  const accepted = side();
  const transport = new BgpTransport({
    ...{ bind: null, port: PORT, neighbours: [near], log: silentLog },
    accept: (_, connection) => {
      accepted.connection = connection;
      return accepted.listener;
    },
  });
  await transport.listen();
  t.teardown(async () => {
    accepted.connection?.close();
    await transport.close();
  });
  return { transport, accepted };
}

/** Dials, and resolves with how that went. */
function dial(transport: BgpTransport, near: NeighbourSettings): Promise<Side> {
  const dialled = side();
  return new Promise((resolve) => {
    transport.dial(near, {
      connected: (connection) => {
        dialled.connection = connection;
        resolve(dialled);
        return dialled.listener;
      },
      failed: (reason) => resolve({ ...dialled, reason }),
    });
  });
}

const near = (more: Partial<NeighbourSettings>): NeighbourSettings =>
  neighbourSettings({ address: '127.0.0.1', port: PORT, ...more });

for (const [what, more] of [
  ['IPv4', {}],
  ['IPv6', { address: '::1' }],
  ['a key', { md5Password: 'a key' }],
  ['a key over IPv6', { address: '::1', md5Password: 'a key' }],
  ['the TTL guard', { ttlSecurityHops: 1 }],
  ['the TTL guard over IPv6', { address: '::1', ttlSecurityHops: 1 }],
] as const) {
  t.test(`a connection with ${what} carries both ways and ends with the last words`, async (t) => {
    const { transport, accepted } = await listenAt(t, near(more));
    const dialled = await dial(transport, near(more));
    t.equal(dialled.reason, '');
    dialled.connection?.send(Buffer.from('there'));
    await until('it is heard', 2000, () => accepted.heard === 'there');
    accepted.connection?.send(Buffer.from('and back'));
    accepted.connection?.close();
    await until('so is the answer', 2000, () => dialled.heard === 'and back');
    await until('and the end', 2000, () => dialled.reason !== '');
    t.match(dialled.reason, 'closed by the other side');
    t.equal(accepted.reason, '', 'who closes is not told');
  });
}

t.test('nobody home, another key, another distance: no neighbour', async (t) => {
  const alone = new BgpTransport({
    ...{ bind: null, port: PORT, neighbours: [], log: silentLog, accept: () => undefined },
  });
  t.match((await dial(alone, near({}))).reason, 'ECONNREFUSED');
  const keyed = await listenAt(t, near({ md5Password: 'a key' }));
  let outcome = 'still connecting';
  const giveUp = keyed.transport.dial(near({ md5Password: 'another' }), {
    connected: () => {
      outcome = 'connected';
      return side().listener;
    },
    failed: (reason) => {
      outcome = reason;
    },
  });
  await sleep(1500);
  giveUp();
  t.equal(outcome, 'still connecting', 'segments with another key are not heard');
  t.equal(keyed.accepted.connection, undefined);
  await keyed.transport.close();
  const guarded = await listenAt(t, near({ ttlSecurityHops: 1 }));
  // A plain socket sends with TTL 64, as somebody a few routers away would.
  const stranger = connect(PORT, '127.0.0.1');
  stranger.on('error', () => undefined);
  t.teardown(() => stranger.destroy());
  stranger.write('I am next door');
  await sleep(500);
  t.equal(guarded.accepted.heard, '', 'what comes from further away is not heard');
});

t.test('strangers are closed at once, also a thousand of them', async (t) => {
  const { transport, accepted } = await listenAt(t, near({ address: '127.0.0.9' }));
  for (let round = 0; round < 20; round++) {
    await Promise.all(
      Array.from(
        { length: 50 },
        () =>
          new Promise<void>((resolve) => {
            const socket = connect(PORT, '127.0.0.1');
            socket.on('error', () => undefined);
            socket.once('close', () => resolve());
          }),
      ),
    );
  }
  t.equal(accepted.connection, undefined);
  t.ok(transport.strangers > 900, `${transport.strangers} were refused`);
});

t.test('plainAddress() is the form that neighbours are found by', async (t) => {
  for (const [given, wanted] of [
    ['10.0.0.1', '10.0.0.1'],
    ['::ffff:10.0.0.1', '10.0.0.1'],
    ['FE80:0::1%eth0', 'fe80::1'],
    ['fd00:0:0::1', 'fd00::1'],
    ['nonsense', 'nonsense'],
  ] as const) {
    t.equal(plainAddress(given), wanted);
  }
});
