/** Both sides of a NAT without one: who is given a seat, what moves it, and what does not. */
import { randomBytes } from 'node:crypto';
import t from 'tap';
import { planFan } from '../../../src/control/links/plan.ts';
import { KeepAlives } from '../../../src/control/plane/nat/keep-alives.ts';
import { readSeatAnswer, SeatBook } from '../../../src/control/plane/nat/seat-book.ts';
import type { LinkSpec } from '../../../src/control/store/link-spec.ts';
import type { MemberView } from '../../../src/gossip/base/api.ts';
import { silentLog } from '../../../src/log.ts';
import { EventKind, type LinkEvent } from '../../../src/table/events.ts';
import { Question } from '../../../src/wire/gossip/types.ts';
import {
  KEEP_ALIVE_ADDRESS_OFFSET,
  KEEP_ALIVE_BYTES,
  KEEP_ALIVE_PORT_OFFSET,
  KEEP_ALIVE_SEAT_OFFSET,
  KeepAliveKind,
  keepAliveKind,
} from '../../../src/wire/lan/keep-alive.ts';
import { VXLAN_HEADER_BYTES } from '../../../src/wire/vxlan.ts';
import { plainHost, request } from '../snapshots.ts';

const [OUTSIDE, INSIDE, NAT] = [0xac1e001c, 0xac1e011b, 0xac1e00fe];
const SECOND = 1000;

function specWith(nat: NonNullable<LinkSpec['nat']>, local: number): LinkSpec {
  const plan = planFan(request('250.0.0.0/8', 'eth0/16', { nat }), plainHost());
  if (plan.outcome !== 'changes') throw new Error(`the plan is ${plan.outcome}`);
  return { ...plan.spec, local };
}

function member(id: string, local: number, epoch = 1, sequence = 1): MemberView {
  const prefix = (address: number, length: number) => ({ address, length });
  return {
    ...{ id, name: `name-${id}`, state: 'alive', endpoint: undefined, endpoints: [], encaps: [] },
    underlays: [],
    fans: [{ overlay: prefix(0xfa000000, 8), underlay: prefix(0xac1e0000, 16), local }],
    ...{ mtu: 1500, vnis: [], version: '', rttMs: 1, loss: 0, lastHeardMs: 1, sinceMs: 1 },
    ...{ epoch, sequence, isSelf: false },
  };
}

/** What a data process tells of a datagram that came from an address and port. */
function eventOf(link: string, datagram: Uint8Array, address: number, port: number): LinkEvent {
  const frame = datagram.subarray(VXLAN_HEADER_BYTES);
  const view = new DataView(frame.buffer, frame.byteOffset, KEEP_ALIVE_BYTES);
  const isAlive = keepAliveKind(view, 0, KEEP_ALIVE_BYTES) === KeepAliveKind.Alive;
  const said = Uint8Array.from(frame.subarray(KEEP_ALIVE_ADDRESS_OFFSET));
  if (isAlive) new DataView(said.buffer).setUint32(0, address);
  return {
    ...{ name: link, link: 0, detail: 0, address: said },
    kind: isAlive ? EventKind.KeepAlive : EventKind.KeepAliveAnswer,
    mac:
      view.getUint16(KEEP_ALIVE_SEAT_OFFSET) * 2 ** 32 + view.getUint32(KEEP_ALIVE_SEAT_OFFSET + 2),
    peer: isAlive ? port : view.getUint16(KEEP_ALIVE_PORT_OFFSET),
  };
}

/** A host that lets 172.30.1.27 be elsewhere, that host, and a NAT between. */
function world() {
  const outer = specWith({ peers: [INSIDE], keepAliveSeconds: 0 }, OUTSIDE);
  const inner = specWith({ peers: [], keepAliveSeconds: 25 }, INSIDE);
  const members = { outside: [member('in', INSIDE)], inside: [member('out', OUTSIDE)] };
  const sent: Uint8Array[] = [];
  const nat = { address: NAT, port: 40_000, isOpen: true };
  let [nowMs, specs] = [0, [outer]];
  const now = () => nowMs;
  const makeBook = () =>
    new SeatBook({
      ...{ specs: () => specs, members: () => members.outside, random: randomBytes, now },
      log: silentLog,
      send: (link, _to, datagram) => keepAlives.events([eventOf(link, datagram, OUTSIDE, 4789)]),
    });
  let book = makeBook();
  const asked = (about: string, from = 'in', isProved = true) =>
    book.answer({ question: Question.Seat, about, from, isProved }) ?? Promise.resolve('');
  const questions: string[] = [];
  const keepAlives: KeepAlives = new KeepAlives({
    ...{ specs: () => [inner], members: () => members.inside, now },
    ask: (_member, about) => {
      questions.push(about);
      return asked(about);
    },
    send: (link, _to, datagram) => {
      sent.push(datagram);
      if (nat.isOpen) book.events([eventOf(link, datagram, nat.address, nat.port)]);
    },
  });
  /** Lets time pass, a look a second. */
  const pass = async (seconds: number): Promise<void> => {
    for (let i = 0; i < seconds; i++) {
      keepAlives.look();
      await new Promise((resolve) => setImmediate(resolve));
      nowMs += SECOND;
    }
  };
  const restart = () => {
    book = makeBook();
    members.inside = [member('out', OUTSIDE, 2)];
  };
  /** The fan of the host outside goes and comes, faster than gossip tells of the former. */
  const again = () => {
    book = makeBook();
    members.inside = [member('out', OUTSIDE, 1, 2)];
  };
  const setSpecs = (isUp: boolean) => {
    specs = isUp ? [outer] : [];
  };
  return {
    ...{ inner, outer, members, sent, nat, questions, keepAlives, asked, pass },
    ...{ restart, again, setSpecs },
    rows: () => book.rows(outer),
    refused: () => book.refused,
    hear: (datagram: Uint8Array, address: number, port: number) =>
      book.events([eventOf(outer.name, datagram, address, port)]),
    close: () => {
      specs = [];
      book.look();
    },
  };
}

t.test('a seat is where the newest keep-alive came from', async (t) => {
  const w = world();
  await w.pass(2);
  t.same(w.rows(), [{ peer: INSIDE, address: NAT, port: 40_000 }]);
  t.match(w.keepAlives.views(w.inner.name), [{ address: NAT, port: 40_000, reason: '' }]);
  t.equal(w.sent.length, 1);
  await w.pass(100);
  t.equal(w.sent.length, 5, 'one in 25 s');
  t.equal(w.questions.length, 1);
  w.nat.port = 50_000;
  await w.pass(25);
  t.same(w.rows(), [{ peer: INSIDE, address: NAT, port: 50_000 }], 'another port is followed');
  Object.assign(w.nat, { address: INSIDE, port: 4789 });
  await w.pass(25);
  t.same(w.rows(), [], 'without a NAT it is at its own address');
  w.close();
  Object.assign(w.nat, { address: NAT, port: 40_000 });
  await w.pass(25);
  t.same(w.rows(), [], 'the fan has gone, and the seat with it');
});

t.test('nothing else moves it', async (t) => {
  const w = world();
  await w.pass(30);
  const before = w.rows();
  for (const datagram of w.sent) w.hear(datagram, 0x0a000001, 666);
  t.equal(w.refused(), w.sent.length, 'repeated');
  for (const datagram of w.sent) {
    for (const at of [
      VXLAN_HEADER_BYTES + KEEP_ALIVE_SEAT_OFFSET,
      VXLAN_HEADER_BYTES + KEEP_ALIVE_SEAT_OFFSET + 5,
      datagram.length - 1,
    ]) {
      const forged = Uint8Array.from(datagram);
      forged[at] = (forged[at] ?? 0) ^ 0x40;
      w.hear(forged, 0x0a000001, 666);
    }
  }
  t.equal(w.refused(), 4 * w.sent.length, 'forged');
  t.same(w.rows(), before);
});

t.test('who may not have a seat is told why', async (t) => {
  const w = world();
  await w.pass(1);
  const [about = ''] = w.questions;
  const why = async (told: Promise<string>) => readSeatAnswer(JSON.parse(await told), '').refused;
  t.equal(await why(w.asked(about)), '');
  t.match(await why(w.asked(about, 'in', false)), /not signed/);
  t.match(await why(w.asked(about, 'other')), /another host says/);
  t.match(await why(w.asked(about.replace('250.0.0.0', '251.0.0.0'))), /no such fan/);
  t.match(
    await why(w.asked(about.replace(String(INSIDE), String(INSIDE + 1)))),
    /--nat 172\.30\.1\.28/,
  );
  t.match(await why(w.asked('nonsense')), /does not|not one/);
  w.members.outside = [member('in', INSIDE), member('other', INSIDE)];
  t.match(await why(w.asked(about)), /another host says/, 'two who say so');
});

t.test('a host that is not answered asks anew', async (t) => {
  const w = world();
  await w.pass(2);
  w.nat.isOpen = false;
  await w.pass(40);
  t.ok(w.questions.length >= 2, `${w.questions.length} questions`);
  t.match(w.keepAlives.views(w.inner.name), [{ reason: /./ }]);
  w.nat.isOpen = true;
  await w.pass(15);
  t.match(w.keepAlives.views(w.inner.name), [{ reason: '' }]);
  const before = w.questions.length;
  w.restart();
  await w.pass(2);
  t.equal(w.questions.length, before + 1, 'and at once, where the other side started again');
  t.same(w.rows(), [{ peer: INSIDE, address: NAT, port: 40_000 }]);
});

t.test('after the fan of the other side went and came it knocks within seconds', async (t) => {
  const w = world();
  await w.pass(2);
  w.again();
  await w.pass(5);
  t.same(w.rows(), [{ peer: INSIDE, address: NAT, port: 40_000 }]);
  t.equal(w.questions.length, 2);

  // It is told of before it is there.
  w.setSpecs(false);
  w.restart();
  await w.pass(3);
  t.match(w.keepAlives.views(w.inner.name), [{ reason: /no such fan/ }]);
  w.setSpecs(true);
  await w.pass(3);
  t.same(w.rows(), [{ peer: INSIDE, address: NAT, port: 40_000 }]);
  w.setSpecs(false);
  w.restart();
  const before = w.questions.length;
  await w.pass(100);
  t.ok(w.questions.length - before < 16, 'who refuses is left alone');
});
