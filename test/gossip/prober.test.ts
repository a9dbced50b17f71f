import t from 'tap';
import { Counters } from '../../src/gossip/base/counters.ts';
import { PROBES_MAX, RELAYS_MAX } from '../../src/gossip/base/limits.ts';
import { Awareness } from '../../src/gossip/members/awareness.ts';
import { Members } from '../../src/gossip/members/members.ts';
import { Prober, pickSome } from '../../src/gossip/members/prober.ts';
import { Relays } from '../../src/gossip/members/relays.ts';
import { suspicionTimes } from '../../src/gossip/members/suspicion.ts';
import { type Endpoint, ItemKind, type Message, MessageType } from '../../src/wire/gossip/types.ts';
import { peerRecord } from './node-lab.ts';

const SELF = '80'.repeat(16);
const idOf = (i: number): string => (i * 16).toString(16).padStart(2, '0').repeat(16);

type Sent = { to: Endpoint; message: Message };

/** A prober among `count` members, whose ids are spread around ours. */
function make(count: number) {
  const counters = new Counters();
  const awareness = new Awareness();
  const sent: Sent[] = [];
  const failed: string[] = [];
  const members = new Members({
    self: SELF,
    ownName: () => 'me',
    times: (all) => suspicionTimes(all, 1000),
    changed: () => {},
  });
  for (let i = 0; i < count; i++) {
    const record = {
      ...peerRecord(i),
      kind: ItemKind.Peer,
      instance: new Uint8Array(8),
    };
    members.head(idOf(i), { epoch: 1, sequence: 1 }, false, 0, 0, record);
  }
  let draws = 0;
  const prober = new Prober({
    self: SELF,
    members,
    awareness,
    counters,
    random: () => (draws++ * 0.381966) % 1,
    intervalMs: 1000,
    timeoutMs: 500,
    send: (to, message) => sent.push({ to, message }),
    failed: (member) => failed.push(member.id),
  });
  return { prober, members, awareness, counters, sent, failed };
}

/** Pings among what was sent, as [number, target]. */
function pings(sent: Sent[]): [number, string][] {
  return sent.flatMap(({ message }) =>
    message.type === MessageType.Ping ? [[message.number, message.target]] : [],
  );
}

t.test('two probes a second: one goes round all, one to the next id', async (t) => {
  const { prober, sent } = make(10);
  const targets: string[] = [];
  for (let now = 0; now < 30_000; now += 100) {
    prober.tick(now, now);
    for (const [number, target] of pings(sent.splice(0))) {
      targets.push(target);
      prober.ack(number, target, now);
    }
  }
  t.equal(targets.length, 60);
  const next = targets.filter((target) => target === idOf(8 + 1)).length;
  t.ok(next >= 30, `${next} probes of the next id`);
  for (let i = 0; i < 10; i++) {
    const times = targets.filter((target) => target === idOf(i)).length;
    t.ok(times >= 3, `${times} probes of member ${i} in three rounds of the list`);
  }
});

t.test('without an answer: once more, then through three others, then it has failed', async (t) => {
  const { prober, members, awareness, sent, failed, counters } = make(6);
  const member = members.get(idOf(2));
  if (member === undefined) throw new Error('no member');
  prober.probe(member, 0, 0);
  t.same(pings(sent).length, 1);
  prober.probe(member, 10, 10);
  t.equal(pings(sent).length, 1, 'one probe of a member at a time');
  sent.length = 0;
  prober.tick(499, 499);
  const early = sent.filter(({ message }) => message.type === MessageType.PingRequest);
  t.equal(early.length, 0);
  prober.tick(500, 500);
  const requests = sent.flatMap(({ message }) =>
    message.type === MessageType.PingRequest ? [message] : [],
  );
  t.equal(requests.length, 3);
  t.ok(requests.every(({ target }) => target === member.id));
  t.equal(counters.value('probes.indirect'), 3);
  t.ok(
    pings(sent).some(([, target]) => target === member.id),
    'and once more directly',
  );
  sent.length = 0;
  prober.tick(1000, 1000);
  t.ok(
    pings(sent).some(([, target]) => target === member.id),
    'and for the last time after an interval',
  );
  prober.tick(1499, 1499);
  t.same(failed, []);
  prober.tick(1500, 1500);
  t.same(failed, [member.id]);
  t.equal(awareness.score, 3, 'three helpers that said nothing: perhaps it is us');
  t.equal(member.path.loss, 1);
});

t.test('helpers that say no clear us of suspicion', async (t) => {
  const { prober, members, awareness, sent, failed } = make(6);
  const member = members.get(idOf(2));
  if (member === undefined) throw new Error('no member');
  prober.probe(member, 0, 0);
  prober.tick(500, 500);
  for (const { to, message } of sent) {
    if (message.type !== MessageType.PingRequest) continue;
    prober.nack(message.number, idOf(Number(to.address) - peerRecordAddress(0)));
  }
  prober.tick(1500, 1500);
  t.same(failed, [member.id]);
  t.equal(awareness.score, 0);
});

t.test('an answer through a helper counts, one from anybody else does not', async (t) => {
  const { prober, members, awareness, sent, failed } = make(12);
  const member = members.get(idOf(2));
  if (member === undefined) throw new Error('no member');
  awareness.apply(2);
  prober.probe(member, 0, 0);
  const [[number] = [0]] = pings(sent);
  prober.ack(number, idOf(3), 10);
  prober.ack(number + 1, idOf(2), 10);
  prober.tick(1500, 1500);
  const helper = sent.find(({ message }) => message.type === MessageType.PingRequest);
  t.ok(helper, 'time-outs are three times as long');
  prober.ack(number, idOf(Number(helper?.to.address ?? 0) - peerRecordAddress(0)), 1600);
  prober.tick(3000, 3000);
  t.same(failed, []);
  t.equal(awareness.score, 1);
  t.equal(member.path.loss, 1, 'the direct path lost it all the same');
});

t.test('a direct answer tells the round trip', async (t) => {
  const { prober, members, sent } = make(3);
  const member = members.get(idOf(1));
  if (member === undefined) throw new Error('no member');
  prober.probe(member, 50, 10_000);
  const [[number] = [0]] = pings(sent);
  prober.ack(number, member.id, 10_012);
  t.equal(member.path.rttMs, 12);
  t.equal(member.path.loss, 0);
});

t.test('void() gives up all probes and accuses nobody', async (t) => {
  const { prober, members, failed, counters } = make(6);
  for (const member of members.all()) prober.probe(member, 0, 0);
  prober.void();
  prober.tick(60_000, 60_000);
  t.equal(counters.value('probes.void'), 6);
  t.same(failed, []);
});

t.test('probes are bounded', async (t) => {
  const { prober, members } = make(12);
  for (let i = 12; i < PROBES_MAX + 20; i++) {
    const id = i.toString(16).padStart(32, '0');
    const member = members.head(id, { epoch: 1, sequence: 1 }, false, 0, 0);
    member.heardFrom = { address: i, port: 7946 };
  }
  for (const member of members.all()) prober.probe(member, 0, 0);
  t.equal(prober.size, PROBES_MAX);
});

t.test('pickSome() picks different values, all when there are not enough', async (t) => {
  let draws = 0;
  const random = (): number => (draws++ * 0.618034) % 1;
  const values = [1, 2, 3, 4, 5];
  for (let i = 0; i < 50; i++) {
    const picked = pickSome(values, 3, random);
    t.equal(new Set(picked).size, 3);
  }
  t.same(pickSome(values, 9, random).sort(), values);
  t.same(pickSome([], 3, random), []);
});

t.test('Relays ask for others, and say no in time to be heard', async (t) => {
  const counters = new Counters();
  const sent: Sent[] = [];
  const send = (to: Endpoint, message: Message): void => {
    sent.push({ to, message });
  };
  const relays = new Relays({ counters, random: () => 0, timeoutMs: 500, send });
  const [asker, target] = [
    { address: 1, port: 1 },
    { address: 2, port: 2 },
  ];
  relays.ask(idOf(1), target, asker, 77, 0);
  const [[number] = [0]] = pings(sent);
  t.same(sent[0]?.to, target);
  t.notOk(relays.ack(number, idOf(2)), 'not the one that was asked');
  t.ok(relays.ack(number, idOf(1)));
  t.same(sent.at(-1), { to: asker, message: { type: MessageType.Ack, number: 77 } });
  relays.tick(1000);
  t.equal(counters.value('nacks.sent'), 0);

  relays.ask(idOf(1), target, asker, 78, 1000);
  relays.tick(1299);
  t.equal(counters.value('nacks.sent'), 0);
  relays.tick(1300);
  t.same(sent.at(-1), { to: asker, message: { type: MessageType.Nack, number: 78 } });

  for (let i = 0; i < RELAYS_MAX + 5; i++) relays.ask(idOf(1), target, asker, i, 2000);
  t.equal(relays.size, RELAYS_MAX);
  t.equal(counters.value('overflow.relays'), 5);
});

function peerRecordAddress(index: number): number {
  return Number(peerRecord(index).endpoints[0]?.address ?? 0);
}
