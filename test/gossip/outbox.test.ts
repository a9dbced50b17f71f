import fc from 'fast-check';
import t from 'tap';
import { Counters } from '../../src/gossip/base/counters.ts';
import { BROADCASTS_MAX, MEMBERS_MAX, PAYLOAD_BYTES_MAX } from '../../src/gossip/base/limits.ts';
import { Directory } from '../../src/gossip/members/directory.ts';
import { Members } from '../../src/gossip/members/members.ts';
import { suspicionTimes } from '../../src/gossip/members/suspicion.ts';
import { BroadcastQueue, Lane } from '../../src/gossip/post/broadcast.ts';
import { readPayload } from '../../src/gossip/post/inbox.ts';
import { Outbox } from '../../src/gossip/post/outbox.ts';
import { encodeMessages, messageBytes } from '../../src/wire/gossip/message.ts';
import { type Endpoint, type Message, MessageType } from '../../src/wire/gossip/types.ts';

const HERE = { address: 0x0a000001, port: 7946 };
const SELF = '00'.repeat(16);

function make() {
  const counters = new Counters();
  const payloads: Uint8Array[] = [];
  const queue = new BroadcastQueue(BROADCASTS_MAX, counters, messageBytes);
  const outbox = new Outbox({
    wire: { send: (_to, payload) => payloads.push(payload), pull: () => {} },
    queue,
    counters,
    members: () => 8,
    intervalMs: 100,
  });
  const read = (): Message[][] => payloads.map((payload) => readPayload(payload, new Counters()));
  return { outbox, queue, counters, payloads, read };
}

const block = fc.uint8Array({ minLength: 1, maxLength: 960 }).map((body): Message => {
  return { type: MessageType.Blocks, blocks: [{ body, signature: new Uint8Array(64) }] };
});
const small = fc.nat(2 ** 32 - 1).map((number): Message => ({ type: MessageType.Ack, number }));

t.test('send() sends all messages in order, in datagrams that fit', async (t) => {
  const property = fc.property(fc.array(fc.oneof(block, small), { maxLength: 30 }), (messages) => {
    const { outbox, payloads, read } = make();
    outbox.send(HERE, messages);
    const sent = read().flat();
    return (
      payloads.every((payload) => payload.length <= PAYLOAD_BYTES_MAX) &&
      Buffer.compare(encodeMessages(sent), encodeMessages(messages)) === 0
    );
  });
  fc.assert(property, { numRuns: 200 });
  t.pass('200 lists of messages');
});

t.test('what room is left carries what waits', async (t) => {
  const { outbox, queue, payloads, read } = make();
  for (let i = 0; i < 200; i++) queue.add(`${i}`, { type: MessageType.Nack, number: i }, Lane.Bulk);
  outbox.send(HERE, [{ type: MessageType.Ack, number: 1 }]);
  t.equal(payloads.length, 1);
  const [messages = []] = read();
  t.equal(messages[0]?.type, MessageType.Ack, 'what was to be sent comes first');
  t.ok(messages.length > 100);
  t.ok((payloads[0]?.length ?? 0) <= PAYLOAD_BYTES_MAX);
});

t.test('gossip() sends at most once in its interval, and only if something waits', async (t) => {
  const { outbox, queue, payloads } = make();
  const targets = (): Endpoint[] => [HERE, HERE, HERE];
  outbox.gossip(0, targets);
  t.equal(payloads.length, 0);
  queue.add('a', { type: MessageType.Nack, number: 1 }, Lane.Urgent);
  outbox.gossip(10, targets);
  outbox.gossip(109, targets);
  t.equal(payloads.length, 3);
  outbox.gossip(110, targets);
  t.equal(payloads.length, 6);
});

t.test('readPayload() counts, and takes nothing from a payload with a fault in it', async (t) => {
  const counters = new Counters();
  const good = encodeMessages([{ type: MessageType.Ack, number: 1 }]);
  t.equal(readPayload(good, counters).length, 1);
  t.same(readPayload(good.subarray(0, -1), counters), []);
  t.equal(counters.value('datagrams.received'), 2);
  t.equal(counters.value('messages.received'), 1);
  t.equal(counters.value('refused.payload'), 1);
});

t.test('Directory remembers strangers until they are members, and not too many', async (t) => {
  const members = new Members({
    self: SELF,
    ownName: () => 'me',
    times: (count) => suspicionTimes(count, 1000),
    changed: () => {},
  });
  const directory = new Directory(SELF, members);
  const idOf = (i: number): string => i.toString(16).padStart(32, '0');
  t.ok(directory.note(idOf(1), HERE));
  t.notOk(directory.note(idOf(1), HERE), 'the second time it is not the first');
  t.same(directory.endpointOf(idOf(1)), HERE);
  t.notOk(directory.note(SELF, HERE), 'we are no stranger');
  members.head(idOf(1), { epoch: 1, sequence: 1 }, false, 0, 0);
  t.notOk(directory.note(idOf(1), HERE));
  t.equal(directory.visitorCount, 0);
  for (let i = 2; i < MEMBERS_MAX + 12; i++) directory.note(idOf(i), HERE);
  t.equal(directory.visitorCount, MEMBERS_MAX);
  t.equal(directory.endpointOf(idOf(2)), undefined, 'the oldest went');
});
