import t from 'tap';
import { answerOf, askedFor } from '../../src/control/host/neighbour-proxy.ts';
import { bytesOfIpv6, formatAddress6, type Ipv6, parseAddress6 } from '../../src/net/prefix6.ts';
import { addToSum, internetChecksum, pseudoSumIpv6 } from '../../src/wire/checksum.ts';
import { Fault } from '../../src/wire/classify.ts';
import { getMac, setMac } from '../../src/wire/ethernet.ts';
import { PROTOCOL_ICMPV6 } from '../../src/wire/ipv4.ts';
import { IPV6_HEADER_BYTES } from '../../src/wire/ipv6.ts';
import { checkNeighbour } from '../../src/wire/six/nd.ts';
import {
  emitNeighbourSolicit,
  NEIGHBOUR_SOLICIT_PACKET_BYTES,
  ndMacAt,
} from '../../src/wire/six/nd-link.ts';

const L3 = 14;
const MESSAGE = L3 + IPV6_HEADER_BYTES;
const ASKING_MAC = 0x0200_0000_0007;
const BRIDGE_MAC = 0x0200_0000_0001;
const ASKING = parseAddress6('fd00:fa:1c::10');
const TARGET = parseAddress6('fd00:fa:1c::77');

/** A container's question on its bridge. */
function question(source: Ipv6 = ASKING): Uint8Array {
  const frame = new Uint8Array(L3 + NEIGHBOUR_SOLICIT_PACKET_BYTES);
  const view = new DataView(frame.buffer);
  setMac(view, 0, 0x3333_ff00_0077);
  setMac(view, 6, ASKING_MAC);
  view.setUint16(12, 0x86dd);
  emitNeighbourSolicit(view, L3, bytesOfIpv6(source), bytesOfIpv6(TARGET), ASKING_MAC);
  return frame;
}

/** The same with its ICMPv6 checksum made anew. */
function resummed(frame: Uint8Array): Uint8Array {
  const view = new DataView(frame.buffer);
  const bytes = NEIGHBOUR_SOLICIT_PACKET_BYTES - IPV6_HEADER_BYTES;
  view.setUint16(MESSAGE + 2, 0);
  const pseudo = pseudoSumIpv6(view, L3, PROTOCOL_ICMPV6, bytes);
  view.setUint16(
    MESSAGE + 2,
    internetChecksum(view, MESSAGE, 0, addToSum(view, MESSAGE, bytes, pseudo)),
  );
  return frame;
}

t.test('askedFor() knows an honest question, and nothing else', async (t) => {
  const asked = askedFor(question());
  t.equal(asked === undefined ? '' : formatAddress6(asked), 'fd00:fa:1c::77');
  t.ok(askedFor(resummed(question())), 'the sum is made as it was');
  const changed = (at: number, value: number): Uint8Array => {
    const frame = question();
    frame[at] = value;
    return resummed(frame);
  };
  t.equal(askedFor(changed(L3 + 7, 254)), undefined, 'it was forwarded');
  t.equal(askedFor(changed(MESSAGE, 136)), undefined, 'an answer');
  t.equal(askedFor(changed(MESSAGE + 8, 0xff)), undefined, 'about a group');
  t.equal(askedFor(changed(MESSAGE + 25, 0)), undefined, 'an option without length');
  t.equal(askedFor(changed(12, 8)), undefined, 'another protocol');
  t.equal(askedFor(changed(6, 1)), undefined, 'from a group');
  const wrong = question();
  wrong[MESSAGE + 2] = (wrong[MESSAGE + 2] ?? 0) ^ 1;
  t.equal(askedFor(wrong), undefined, 'a wrong sum');
  const whole = question();
  for (let length = 0; length < whole.length; length++) {
    if (askedFor(whole.subarray(0, length)) !== undefined) t.fail(`cut to ${length} bytes`);
  }
  t.equal(askedFor(question([0, 0, 0, 0])), undefined, 'duplicate address detection');
});

t.test('answerOf() names the bridge, to whoever asked, and overrides nobody', async (t) => {
  const answer = answerOf(question(), BRIDGE_MAC);
  const view = new DataView(answer.buffer, answer.byteOffset, answer.byteLength);
  const bytes = answer.length - MESSAGE;
  t.equal(getMac(view, 0), ASKING_MAC);
  t.equal(getMac(view, 6), BRIDGE_MAC);
  t.equal(checkNeighbour(view, L3, MESSAGE, bytes), Fault.None);
  t.same([...answer.subarray(L3 + 24, L3 + 40)], [...bytesOfIpv6(ASKING)]);
  t.same([...answer.subarray(L3 + 8, L3 + 24)], [...bytesOfIpv6(TARGET)]);
  t.equal(getMac(view, ndMacAt(view, MESSAGE, bytes)), BRIDGE_MAC);
  t.equal(view.getUint8(MESSAGE + 4), 0xc0, 'a router, asked for; not override');
});
