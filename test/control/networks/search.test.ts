/**
 * The search for workloads that never said a word: how often others are asked, and how much a host does
 * for others.
 */
import t from 'tap';
import { Finder, type FinderNetwork } from '../../../src/control/networks/search/finder.ts';
import {
  questionFor,
  SEARCHER_MAC,
  searchFor,
} from '../../../src/control/networks/search/questions.ts';
import { Seeker, SOUGHT_MAX } from '../../../src/control/networks/search/seeker.ts';
import type { UnderlayAddress } from '../../../src/net/underlay-address.ts';
import { getArpSenderAddress, getArpTargetAddress } from '../../../src/wire/arp.ts';
import { checkIpv6, Fault } from '../../../src/wire/classify.ts';
import {
  ETHERNET_HEADER_BYTES,
  getEthernetDestination,
  getEthernetSource,
} from '../../../src/wire/ethernet.ts';
import { checkNeighbour } from '../../../src/wire/six/nd.ts';
import { checkNd, ndMacAt } from '../../../src/wire/six/nd-link.ts';

const BLUE = { name: 'br-blue', vni: 100 };
const [ASKER, OTHER] = [0x0242_0000_0001, 0x0242_0000_0002];
const ADDRESS = 0x0a01_0009;
const SIX = 'fd000000000000000000000000abcdef';

/** A seeker among `members` other hosts, and what it asked. */
function makeSeeker(members = 2) {
  const asked: UnderlayAddress[][] = [];
  let later: (() => void)[] = [];
  const seeker = new Seeker({
    members: () => members,
    ask: (_vni, addresses) => void asked.push([...addresses]),
    soon: (work) => void later.push(work),
  });
  const turn = (): void => {
    const now = later;
    later = [];
    for (const work of now) work();
  };
  return { seeker, asked, turn };
}

t.test('an address is asked for at once, then more and more seldom', async (t) => {
  const { seeker, asked, turn } = makeSeeker();
  const times: number[] = [];
  for (let ms = 0; ms < 100_000; ms += 1000) {
    const before = asked.length;
    seeker.wanted(BLUE, ASKER, ADDRESS, ms);
    turn();
    if (asked.length > before) times.push(ms / 1000);
  }
  t.same(times, [0, 1, 3, 7, 15, 31, 61, 91]);
  t.same(asked[0], [ADDRESS]);
  t.match(seeker.counts('br-blue'), { asked: 8, damped: 92, limited: 0, found: 0 });
});

t.test('what was found is no question any more', async (t) => {
  const { seeker, turn } = makeSeeker();
  seeker.wanted(BLUE, ASKER, SIX, 0);
  turn();
  seeker.found('br-red', SIX);
  seeker.found('br-blue', ADDRESS);
  t.equal(seeker.size, 1);
  seeker.found('br-blue', SIX);
  t.equal(seeker.size, 0);
  t.equal(seeker.counts('br-blue').found, 1);
});

t.test('a container that invents addresses has its share, and others theirs', async (t) => {
  const { seeker, asked, turn } = makeSeeker();
  const SECONDS = 10;
  for (let ms = 0; ms < SECONDS * 1000; ms++) {
    for (let i = 0; i < 5; i++) seeker.wanted(BLUE, ASKER, 0x0b00_0000 + ms * 5 + i, ms);
    turn();
  }
  const inAll = asked.flat().length;
  t.ok(inAll > 8 * SECONDS && inAll <= 16 + 8 * SECONDS, `${inAll} of 50,000 were asked for`);
  t.equal(seeker.counts('br-blue').limited, 50_000 - inAll);
  seeker.wanted(BLUE, OTHER, ADDRESS, SECONDS * 1000);
  turn();
  t.same(asked.at(-1), [ADDRESS], 'somebody else is not held up');
});

t.test('with many MACs the network has its share, and memory its end', async (t) => {
  const { seeker, asked, turn } = makeSeeker();
  for (let i = 0; i < 200_000; i++) {
    seeker.wanted(BLUE, i, i + 1, i);
    if (i % 100 === 0) turn();
  }
  const inAll = asked.flat().length;
  t.ok(inAll <= 64 + 32 * 200, `${inAll} of 200,000`);
  t.ok(inAll > 32 * 190);
  t.ok(seeker.size <= SOUGHT_MAX, `${seeker.size} are remembered`);
  seeker.age(200_000 + 61_000);
  t.equal(seeker.size, 0, 'and forgotten when nobody asks');
});

t.test('datagrams are counted by members, and questions of a turn share them', async (t) => {
  const { seeker, asked, turn } = makeSeeker(1000);
  for (let i = 0; i < 10; i++) seeker.wanted(BLUE, ASKER, i + 1, 0);
  turn();
  t.same(asked, [[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]], 'one datagram a member for ten addresses');
  seeker.wanted(BLUE, ASKER, 99, 1000);
  turn();
  t.equal(asked.length, 1, 'the next would be too many');
  seeker.wanted(BLUE, ASKER, 99, 5000);
  turn();
  t.equal(asked.length, 2);
  const alone = makeSeeker(0);
  alone.seeker.wanted(BLUE, ASKER, ADDRESS, 0);
  t.match(alone.seeker.counts('br-blue'), { asked: 0, limited: 0 }, 'nobody to be asked');
});

/** A network with so many ports, and the frames that went out of them. */
function makeBridge(ports: number, known: readonly UnderlayAddress[] = []) {
  const sent: { port: number; frame: Uint8Array }[] = [];
  const own: UnderlayAddress[] = [];
  const network: FinderNetwork = {
    name: 'br-blue',
    isKnown: (address) => known.includes(address),
    isOwn: async (address) => own.includes(address),
    ports: async () => Array.from({ length: ports }, (_, i) => i + 1),
    send: (port, frame) => void sent.push({ port, frame }),
  };
  return { network, sent, own };
}

t.test('what others ask for is looked for behind every port, once', async (t) => {
  const finder = new Finder();
  const { network, sent, own } = makeBridge(3, [7]);
  own.push(8);
  await finder.asked(network, 'a', [ADDRESS, 7, 8], 0);
  await finder.asked(network, 'b', [ADDRESS], 500);
  t.same(
    sent.map(({ port }) => port),
    [1, 2, 3],
    'not what is known, nor our own, nor the same again',
  );
  t.same(finder.counts('br-blue'), { looked: 1, refused: 0 });
  await finder.asked(network, 'b', [ADDRESS], 1000);
  t.equal(sent.length, 6);
});

t.test('a host that asks too much is refused, another one is not', async (t) => {
  const finder = new Finder();
  const { network, sent } = makeBridge(2);
  const many = Array.from({ length: 1000 }, (_, i) => i + 1);
  await finder.asked(network, 'a', many, 0);
  t.equal(sent.length, 2 * 128);
  t.same(finder.counts('br-blue'), { looked: 128, refused: 872 });
  await finder.asked(network, 'b', [ADDRESS], 0);
  t.equal(sent.length, 2 * 129);
});

t.test('a bridge with many ports gets fewer questions', async (t) => {
  const finder = new Finder();
  const { network, sent } = makeBridge(500);
  await finder.asked(network, 'a', [1, 2, 3, 4, 5, 6], 0);
  t.equal(sent.length, 2000);
  t.match(finder.counts('br-blue'), { looked: 4, refused: 2 });
});

t.test('questions are in a form that those who are meant answer', async (t) => {
  const viewOf = (frame: Uint8Array) =>
    new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  for (const [frame, to] of [
    [searchFor(ADDRESS), 0xffff_ffff_ffff],
    [questionFor(OTHER, ADDRESS), OTHER],
  ] as const) {
    const view = viewOf(frame);
    t.equal(getEthernetDestination(view, 0), to);
    t.equal(getEthernetSource(view, 0), SEARCHER_MAC);
    t.equal(getArpSenderAddress(view, ETHERNET_HEADER_BYTES), 0);
    t.equal(getArpTargetAddress(view, ETHERNET_HEADER_BYTES), ADDRESS);
  }
  for (const [frame, to] of [
    [searchFor(SIX), 0x3333_ffab_cdef],
    [questionFor(OTHER, SIX), OTHER],
  ] as const) {
    const view = viewOf(frame);
    const l3 = ETHERNET_HEADER_BYTES;
    const bytes = frame.length - l3 - 40;
    t.equal(getEthernetDestination(view, 0), to);
    t.equal(checkIpv6(view, l3, frame.length - l3), Fault.None);
    t.equal(checkNd(view, l3, l3 + 40, bytes), Fault.None);
    t.equal(checkNeighbour(view, l3, l3 + 40, bytes), Fault.None);
    t.equal(ndMacAt(view, l3 + 40, bytes), l3 + 40 + 26, 'it says who asks');
    t.notSame(frame.subarray(l3 + 8, l3 + 24), new Uint8Array(16), 'and is no address detection');
  }
});
