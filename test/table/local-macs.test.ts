import t from 'tap';
import { LOCAL_MAC_LIFETIME_MS, LocalMacs, UNANSWERED_MS } from '../../src/table/local-macs.ts';

t.test('LocalMacs knows what was noted, for its lifetime', async (t) => {
  const macs = new LocalMacs();
  macs.note(0x0242, 0xfa001c0a, 0xfa001c0a, 1000);
  t.ok(macs.has(0x0242, 0xfa001c0a, 1000));
  t.notOk(macs.has(0x0243, 0xfa001c0a, 1000), 'another first half');
  t.notOk(macs.has(0x0242, 0xfa001c0b, 1000), 'another second half');
  t.ok(macs.has(0x0242, 0xfa001c0a, 1000 + LOCAL_MAC_LIFETIME_MS));
  t.notOk(macs.has(0x0242, 0xfa001c0a, 1001 + LOCAL_MAC_LIFETIME_MS), 'it may have moved away');
  macs.note(0x0242, 0xfa001c0a, 0xfa001c0a, 900_000);
  t.ok(macs.has(0x0242, 0xfa001c0a, 900_000), 'and back');
});

t.test('LocalMacs keeps a busy address through a flood of invented ones', async (t) => {
  const macs = new LocalMacs();
  for (let i = 0; i < 1_000_000; i++) {
    const nowMs = 1000 + i / 100;
    if (i % 50 === 0) macs.note(0x0242, 0xfa001c0a, 0xfa001c0a, nowMs);
    macs.note(0x0200, Math.imul(i, 2654435761) >>> 0, 0xfa001c0a, nowMs);
  }
  t.ok(macs.has(0x0242, 0xfa001c0a, 11_000));
});

t.test('LocalMacs forgets what it is told to, until it is heard again', async (t) => {
  const macs = new LocalMacs();
  t.notOk(macs.forget(0x0242, 1), 'it never was here');
  macs.note(0x0242, 1, 0xfa001c0a, 1000);
  t.equal(macs.addressOf(0x0242, 1), 0xfa001c0a);
  t.ok(macs.isClaimNews(0x0242, 1, 1000));
  t.notOk(macs.isClaimNews(0x0242, 1, 1100), 'one word about it is enough');
  t.ok(macs.isClaimNews(0x0242, 1, 1600), 'for a while');
  t.ok(macs.forget(0x0242, 1));
  t.notOk(macs.has(0x0242, 1, 1000));
  t.notOk(macs.forget(0x0242, 1));
  macs.note(0x0242, 1, 0xfa001c0b, 1000);
  t.ok(macs.has(0x0242, 1, 1000), 'in the same millisecond too');
  t.equal(macs.addressOf(0x0242, 1), 0xfa001c0b);
});

t.test('LocalMacs tells which MAC does not answer', async (t) => {
  const macs = new LocalMacs();
  t.notOk(macs.isUnanswered(0x0242, 1, 500), 'one that was never here is nobody to ask for');
  macs.note(0x0242, 1, 0xfa001c0a, 1000);
  t.notOk(macs.isUnanswered(0x0242, 1, 9000), 'the first frame after a silence');
  t.notOk(macs.isUnanswered(0x0242, 1, 9000 + UNANSWERED_MS - 1));
  t.ok(macs.isUnanswered(0x0242, 1, 9000 + UNANSWERED_MS));
  t.notOk(macs.isUnanswered(0x0242, 1, 9001 + UNANSWERED_MS), 'asked just now');
  t.ok(macs.isUnanswered(0x0242, 1, 9600 + UNANSWERED_MS));
  macs.note(0x0242, 1, 0xfa001c0a, 11_000);
  t.notOk(macs.isUnanswered(0x0242, 1, 11_500), 'it has answered');
  t.notOk(macs.isUnanswered(0x0243, 7, 11_600), 'another MAC in between');
  t.ok(macs.isUnanswered(0x0242, 1, 12_000));
});
