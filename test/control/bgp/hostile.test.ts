/**
 * A neighbour that keeps to the letter and means harm, on real sockets: whoever else is there does not
 * notice (session.test.ts has the same in virtual time, message by message).
 */
import { connect, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import type { NeighbourSettings } from '../../../src/bgp/base/api.ts';
import { derivedExport, targetCommunity } from '../../../src/bgp/base/targets.ts';
import { Speaker } from '../../../src/bgp/speaker.ts';
import { realTimers } from '../../../src/control/speakers/bgp/timers.ts';
import { BgpTransport } from '../../../src/control/speakers/bgp/transport.ts';
import { silentLog } from '../../../src/log.ts';
import { parseIpv4 } from '../../../src/net/ipv4.ts';
import { emitReach } from '../../../src/wire/bgp/emit-update.ts';
import { ESI_ZERO, type EvpnRoute } from '../../../src/wire/bgp/evpn.ts';
import { MessageType } from '../../../src/wire/bgp/iana.ts';
import { emitMessage, KEEPALIVE } from '../../../src/wire/bgp/message.ts';
import { emitOpen } from '../../../src/wire/bgp/open.ts';
import { neighbourSettings, network } from '../../bgp/lab.ts';
import { sleep, until } from '../../support/patience.ts';

const PORT = 45_000 + (process.pid % 15_000);
const [US, HONEST, HOSTILE] = ['127.0.0.1', '127.0.0.2', '127.0.0.3'];
const HALF_OPEN = 1000;

async function startAt(t: Test, own: string, neighbours: readonly NeighbourSettings[]) {
  const local = parseIpv4(own);
  const transport = new BgpTransport({
    ...{ bind: local, port: PORT, neighbours, log: silentLog },
    accept: (from, connection) => speaker.accept(from, connection),
  });
  const speaker = new Speaker({
    settings: {
      ...{ as: 65000, routerId: local, vtep: local, restartSeconds: 0, staleSeconds: 60 },
      ...{ isRestarting: false, transit: false, vteps: [{ address: 0, length: 0 }], neighbours },
    },
    ...{ transport, timers: realTimers, random: Math.random, events: { log: () => undefined } },
    changed: () => undefined,
  });
  speaker.setNetworks([network(100)]);
  await transport.listen();
  speaker.start();
  t.teardown(async () => {
    speaker.stop();
    await transport.close();
  });
  return speaker;
}

/** A connection of the hostile neighbour. */
function attack(t: Test): Socket {
  const socket = connect({ host: US, port: PORT, localAddress: HOSTILE });
  socket.on('error', () => undefined);
  socket.resume();
  t.teardown(() => socket.destroy());
  return socket;
}

const OPEN = emitMessage(
  MessageType.Open,
  emitOpen({
    ...{ version: 4, as: 65000, holdSeconds: 90, identifier: 9 },
    capabilities: [
      { kind: 'multiprotocol', afi: 25, safi: 70 },
      { kind: 'four-octet-as', as: 65000 },
    ],
  }),
);

/** An UPDATE of 60 MACs from number `first` on, at the hostile's own endpoint. */
function flood(first: number): Uint8Array {
  const extended = [targetCommunity(derivedExport(65000, 100))];
  const rd = { type: 1, administrator: 9, assigned: 100 };
  const routes = Array.from({ length: 60 }, (_, index): EvpnRoute => {
    const own = { esi: ESI_ZERO, tag: 0, ip: null, label: 100, label2: null };
    return { type: 2, rd, mac: 0x0200_0100_0000 + first + index, ...own };
  });
  const attributes = { origin: 0, asPath: [], localPref: 100, extended };
  const [body = new Uint8Array()] = emitReach(attributes, parseIpv4(HOSTILE), routes, {
    ...{ as4: true, internal: true },
  });
  return emitMessage(MessageType.Update, body);
}

t.test('one of two neighbours is hostile: the other converges all the same', async (t) => {
  const near = (address: string, more: Partial<NeighbourSettings> = {}) =>
    neighbourSettings({ address, port: PORT, connectRetrySeconds: 1, ...more });
  const us = await startAt(t, US, [near(HONEST), near(HOSTILE, { passive: true })]);
  const hostile = us.neighbour(HOSTILE);

  // 1,000 connections that say nothing, and one that says a byte now and then.
  const silent = Array.from({ length: HALF_OPEN }, () => attack(t));
  const slow = attack(t);
  let at = 0;
  const drip = setInterval(() => slow.write(OPEN.subarray(at, ++at)), 100);
  t.teardown(() => clearInterval(drip));
  const honest = await startAt(t, HONEST, [near(US)]);
  const mac = { kind: 'mac', vni: 100, ip: null, sequence: 0, sticky: false } as const;
  honest.announce({ ...mac, mac: 0x0200_0000_0001, gateway: false });
  await until('the honest one is heard', 10_000, () => us.imports.size === 1);
  await until('all but the newest are closed', 10_000, () => {
    return silent.filter(({ destroyed }) => !destroyed).length <= 2;
  });
  clearInterval(drip);
  slow.destroy();

  // Then it is a neighbour, and tells a million routes: 10,000 are the most.
  const speaker = attack(t);
  speaker.write(OPEN);
  speaker.write(KEEPALIVE);
  await until('its session', 10_000, () => hostile?.state === 'Established');
  let told = 0;
  let most = 0;
  for (; told < 1_000_000 && !speaker.destroyed; told += 60) {
    speaker.write(flood(told));
    most = Math.max(most, us.table.size);
    if (told % 6000 === 0) await sleep(0);
  }
  await until('it is cut off', 10_000, () => hostile?.isHeld === true);
  t.ok(told < 1_000_000, `cut off after ${told} routes`);
  t.ok(most <= 10_061, `${most} routes at most`);
  await until('nothing of it is left', 5000, () => us.table.size === 1);
  t.equal(us.neighbour(HONEST)?.state, 'Established');
  t.equal(us.neighbour(HONEST)?.counters.dropped, 0, 'the honest session never ended');
  const again = attack(t);
  await until('it is refused for a while', 5000, () => again.destroyed);
  t.match(hostile?.lastEnd, /more than 10000 routes/);
  honest.announce({ ...mac, mac: 0x0200_0000_0002, gateway: false });
  await until('news of the honest one', 5000, () => us.imports.size === 2);
});
