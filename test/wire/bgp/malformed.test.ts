import t, { type Test } from 'tap';
import { AttributeDiscard, SessionReset } from '../../../src/wire/bgp/faults.ts';
import { MessageReader, parseRouteRefresh } from '../../../src/wire/bgp/message.ts';
import { parseOpen } from '../../../src/wire/bgp/open.ts';
import { parseUpdate } from '../../../src/wire/bgp/update.ts';
import {
  attribute,
  BAD_FRAMES,
  BAD_OPENS,
  BAD_UPDATES,
  type BadMessage,
  ROUTE3,
  update,
} from '../../vectors/bgp-malformed.ts';
import { fromHex, toHex } from '../../vectors/hex.ts';

const INTERNAL = { as4: true, internal: true };

/** The reaction as the tables write it. */
function reactionOf(read: () => string): string {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof SessionReset)) throw error;
    return `reset ${error.notification.code}/${error.notification.subcode}`;
  }
}

function reactionToUpdate(body: Uint8Array): string {
  return reactionOf(() => {
    const { faults, reach } = parseUpdate(body, INTERNAL);
    const words = faults.map((fault) => {
      const kind = fault instanceof AttributeDiscard ? 'discard' : 'withdraw';
      return `${kind} ${fault.attribute}`;
    });
    // Whatever is withdrawn must not be announced as well.
    if (words.some((word) => word.startsWith('withdraw')) && reach.length > 0) return 'both';
    return words.join(' ') || 'ok';
  });
}

function checkAll(t: Test, rows: readonly BadMessage[], react: (bytes: Uint8Array) => string) {
  let wrong = 0;
  for (const [what, bytes, reaction] of rows) {
    const got = react(bytes);
    if (got === reaction) continue;
    wrong++;
    t.equal(got, reaction, `${what}: ${toHex(bytes)}`);
  }
  t.equal(wrong, 0, `${rows.length} messages`);
}

t.test('each malformed UPDATE costs what RFC 7606 says', async (t) => {
  t.ok(BAD_UPDATES.length >= 400, `${BAD_UPDATES.length} cases`);
  checkAll(t, BAD_UPDATES, reactionToUpdate);
});

t.test('each malformed OPEN ends the session with its code', async (t) => {
  checkAll(t, BAD_OPENS, (bytes) =>
    reactionOf(() => (parseOpen(bytes).version === 4 ? 'ok' : 'read')),
  );
});

t.test('each malformed header ends the session with its code', async (t) => {
  checkAll(t, BAD_FRAMES, (bytes) =>
    reactionOf(() => {
      for (const _ of new MessageReader().push(bytes)) return 'ok';
      return 'nothing';
    }),
  );
});

t.test('a reset says what it is about', async (t) => {
  const dataOf = (read: () => unknown): string => {
    try {
      read();
    } catch (error) {
      if (error instanceof SessionReset) return toHex(error.notification.data);
    }
    return 'no reset';
  };
  const push = (hex: string) => () => [...new MessageReader().push(fromHex(hex))];
  t.equal(dataOf(push(`${'ff'.repeat(16)} 0012 04`)), '0012', 'the wrong length');
  t.equal(dataOf(push(`${'ff'.repeat(16)} 0013 77`)), '77', 'the unknown type');
  t.equal(
    dataOf(() => parseOpen(fromHex('03 fde8 005a 0a000001 00'))),
    '0004',
    'our version',
  );
  t.equal(
    dataOf(() => parseRouteRefresh(fromHex('0019 00'))),
    '001900',
    'the message',
  );
  const hop = `0019 46 03 0a0000 00 ${ROUTE3}`;
  t.equal(
    dataOf(() => parseUpdate(update(attribute('80', 14, hop)), INTERNAL)),
    hop.replace(/ /g, ''),
  );
});

t.test('a mistake withdraws the routes it came with, and those only', async (t) => {
  const hex = `80 0e 2f 0019 46 04 0a000001 00 ${ROUTE3} ${ROUTE3.replace('0002', '0003')} 40 01 01 07`;
  const { reach, unreach } = parseUpdate(update(hex), INTERNAL);
  t.same([reach.length, unreach.length], [0, 2]);
});
