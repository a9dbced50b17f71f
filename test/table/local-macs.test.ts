import t from 'tap';
import { LOCAL_MAC_LIFETIME_MS, LocalMacs } from '../../src/table/local-macs.ts';

t.test('LocalMacs knows what was noted, for its lifetime', async (t) => {
  const macs = new LocalMacs();
  macs.note(0x0242, 0xfa001c0a, 1000);
  t.ok(macs.has(0x0242, 0xfa001c0a, 1000));
  t.notOk(macs.has(0x0243, 0xfa001c0a, 1000), 'another first half');
  t.notOk(macs.has(0x0242, 0xfa001c0b, 1000), 'another second half');
  t.ok(macs.has(0x0242, 0xfa001c0a, 1000 + LOCAL_MAC_LIFETIME_MS));
  t.notOk(macs.has(0x0242, 0xfa001c0a, 1001 + LOCAL_MAC_LIFETIME_MS), 'it may have moved away');
  macs.note(0x0242, 0xfa001c0a, 900_000);
  t.ok(macs.has(0x0242, 0xfa001c0a, 900_000), 'and back');
});

t.test('LocalMacs keeps a busy address through a flood of invented ones', async (t) => {
  const macs = new LocalMacs();
  for (let i = 0; i < 1_000_000; i++) {
    const nowMs = 1000 + i / 100;
    if (i % 50 === 0) macs.note(0x0242, 0xfa001c0a, nowMs);
    macs.note(0x0200, Math.imul(i, 2654435761) >>> 0, nowMs);
  }
  t.ok(macs.has(0x0242, 0xfa001c0a, 11_000));
});
