import t from 'tap';
import type { ConnectionListener } from '../../src/bgp/base/api.ts';
import type { OwnRoute } from '../../src/bgp/rib/own-routes.ts';
import type { Attributes } from '../../src/wire/bgp/attributes.ts';
import { emitReach } from '../../src/wire/bgp/emit-update.ts';
import { ESI_ZERO, type EvpnRoute } from '../../src/wire/bgp/evpn.ts';
import { MessageType } from '../../src/wire/bgp/iana.ts';
import { emitMessage, KEEPALIVE, MessageReader } from '../../src/wire/bgp/message.ts';
import { emitOpen, type Open } from '../../src/wire/bgp/open.ts';
import { toHex } from '../vectors/hex.ts';
import { type Host, Lab, neighbourSettings, network, stateOf } from './lab.ts';

const MAC: OwnRoute = {
  ...{ kind: 'mac', vni: 100, mac: 0x0200_0000_0001, ip: null, sequence: 0 },
  ...{ sticky: false, gateway: false },
};

function start(...hosts: readonly Host[]): void {
  for (const { speaker } of hosts) speaker.start();
}

t.test('a session comes up, from both sides, from one, inside an AS and between two', async (t) => {
  const cases: [string, Parameters<Lab['pair']>, string][] = [
    ['both dial', [], 'Established'],
    ['one waits', [{ passive: true }, {}], 'Established'],
    ['both wait', [{ passive: true }, { passive: true }], 'Idle'],
    ['two AS', [{ as: 65001 }, { as: 65002 }], 'Established'],
    ['an AS of four octets', [{ as: 4200000001 }, { as: 65002 }], 'Established'],
    ['no hold time', [{ holdSeconds: 0 }, {}], 'Established'],
    ['one identifier for two', [{ routerId: 7 }, { routerId: 7 }], 'refused'],
  ];
  for (const [what, settings, wanted] of cases) {
    for (const seed of [1, 2, 3]) {
      const lab = new Lab(seed);
      const [a, b] = lab.pair(...settings);
      start(a, b);
      lab.run(60_000);
      if (wanted === 'refused') t.not(stateOf(a), 'Established', what);
      else t.same([stateOf(a), stateOf(b)], [wanted, wanted], `${what}, seed ${seed}`);
    }
  }
});

t.test('an AS that is not the one expected is refused, and said', async (t) => {
  const lab = new Lab();
  const [a, b] = lab.pair();
  const c = lab.add('10.0.0.3', {
    as: 65009,
    neighbours: [neighbourSettings({ address: '10.0.0.1', as: 65000 })],
  });
  void b;
  c.speaker.start();
  const d = lab.add('10.0.0.1', {
    neighbours: [neighbourSettings({ address: '10.0.0.3', as: 65001 })],
  });
  void a;
  d.speaker.start();
  lab.run(5000);
  t.match(d.speaker.neighbours[0]?.lastEnd, /AS 65009 and not 65001/);
  t.match(c.speaker.neighbours[0]?.lastEnd, /OPEN Message Error\/2/);
});

t.test('connections that collide leave one, whichever was first', async (t) => {
  for (let seed = 1; seed <= 40; seed++) {
    const lab = new Lab(seed);
    const [a, b] = lab.pair();
    a.speaker.start();
    lab.run(seed % 7);
    b.speaker.start();
    lab.run(20_000);
    if (stateOf(a) !== 'Established' || stateOf(b) !== 'Established') t.fail(`seed ${seed}`);
    const before = a.speaker.neighbours[0]?.counters.dropped;
    lab.run(300_000);
    if (a.speaker.neighbours[0]?.counters.dropped !== before) t.fail(`seed ${seed} flaps`);
  }
  t.pass('40 beginnings');
});

t.test('routes go over and come back as our own values', async (t) => {
  const lab = new Lab();
  const [a, b] = lab.pair();
  t.equal(a.speaker.announce(MAC), '');
  start(a, b);
  lab.run(5000);
  const to = {
    vtep: 0x0a000001,
    label: 100,
    mac: MAC.mac,
    sequence: 0,
    sticky: false,
    gateway: false,
    router: false,
  };
  const entry = { kind: 'mac', vni: 100, mac: MAC.mac };
  t.same(b.changes, [{ entry, from: undefined, to }]);
  a.speaker.announce({ ...MAC, ip: 0xfa001c02, sequence: 3 });
  a.speaker.announce({ kind: 'flood', vni: 100 });
  a.speaker.announce({
    ...{ kind: 'prefix', vni: 100, address: 0xfa001c00, length: 24 },
    routerMac: 5,
  });
  t.match(a.speaker.announce({ kind: 'flood', vni: 101 }), /no network with VNI 101/);
  lab.run(100);
  t.match(b.changes.slice(1), [
    { entry: { kind: 'mac' }, to: { sequence: 3 } },
    { entry: { kind: 'address', ip: 0xfa001c02 }, to: { mac: MAC.mac, sequence: 3 } },
    { entry: { kind: 'flood', member: 0x0a000001 }, to: { label: 100, vtep: 0x0a000001 } },
    { entry: { kind: 'prefix', address: 0xfa001c00, length: 24 }, to: { mac: 5, label: 100 } },
  ]);
  b.changes.length = 0;
  t.equal(a.speaker.withdraw({ kind: 'flood', vni: 100 }), true);
  t.equal(a.speaker.withdraw({ kind: 'flood', vni: 100 }), false);
  lab.run(100);
  const from = { label: 100, vtep: 0x0a000001 };
  t.match(b.changes, [{ entry: { kind: 'flood' }, from, to: undefined }]);
  b.changes.length = 0;
  a.speaker.stop();
  lab.run(100);
  t.equal(b.changes.length, 3, 'a clean stop takes everything, at once');
  t.equal(b.speaker.imports.size, 0);
  t.equal(b.speaker.table.size, 0);
});

t.test('silence ends a session when the hold time is over, not before', async (t) => {
  const lab = new Lab();
  const [a, b] = lab.pair({ holdSeconds: 9 }, {});
  b.speaker.announce(MAC);
  start(a, b);
  lab.run(60_000);
  t.equal(a.speaker.neighbours[0]?.counters.dropped, 0, 'keepalives keep it');
  lab.cut.add('10.0.0.1 10.0.0.2');
  // The last keepalive may be a third of the hold time old.
  lab.run(5900);
  t.equal(stateOf(a), 'Established');
  lab.run(3700);
  t.not(stateOf(a), 'Established');
  t.match(a.speaker.neighbours[0]?.lastEnd, /nothing heard for 9\.5 s/);
  t.equal(a.speaker.imports.size, 1, 'what it told is kept for its restart time');
  lab.run(120_000);
  t.equal(a.speaker.imports.size, 0);
  lab.cut.clear();
  lab.run(80_000);
  t.equal(stateOf(a), 'Established');
  t.equal(a.speaker.imports.size, 1);
});

t.test('a neighbour that restarts loses nothing', async (t) => {
  const lab = new Lab();
  const [a, b] = lab.pair({}, { passive: true });
  b.speaker.announce(MAC);
  b.speaker.announce({ kind: 'flood', vni: 100 });
  start(a, b);
  lab.run(5000);
  a.changes.length = 0;
  b.isDead = true;
  lab.breakWires();
  lab.run(20_000);
  t.same(a.changes, [], 'while it is away');
  t.equal(a.speaker.neighbours[0]?.ribIn.stale, 2);
  const again = lab.add(b.address, { ...b.speaker.settings, isRestarting: true });
  again.speaker.setNetworks([network(100)]);
  again.speaker.announce(MAC);
  again.speaker.start();
  lab.run(60_000);
  t.equal(stateOf(a), 'Established');
  t.match(a.changes, [{ entry: { kind: 'flood' }, to: undefined }], 'what it did not send again');
  t.equal(a.speaker.neighbours[0]?.ribIn.stale, 0);
  t.equal(again.speaker.isSettled, true);
});

t.test('without graceful restart everything goes with the session', async (t) => {
  const lab = new Lab();
  const [a, b] = lab.pair({}, { restartSeconds: 0 });
  b.speaker.announce(MAC);
  start(a, b);
  lab.run(5000);
  t.equal(a.speaker.imports.size, 1);
  b.isDead = true;
  lab.breakWires();
  t.equal(a.speaker.imports.size, 0);
});

t.test('many routes of a lost neighbour go in turns; a stop is no walk over them', async (t) => {
  const lab = new Lab();
  const [a, b] = lab.pair({ maxPrefixes: 10_000 }, { restartSeconds: 0 });
  const count = 5000;
  for (let i = 0; i < count; i++) b.speaker.announce({ ...MAC, mac: MAC.mac + i });
  start(a, b);
  lab.run(5000);
  t.equal(a.speaker.imports.size, count);
  lab.breakWires();
  const { size } = a.speaker.imports;
  t.ok(size > 0 && size < count, `${size} have another turn`);
  lab.run(10);
  t.same([a.speaker.imports.size, a.speaker.neighbours[0]?.ribIn.size], [0, 0]);
  lab.run(30_000);
  t.equal(a.speaker.imports.size, count, 'and come back');
  a.changes.length = 0;
  a.speaker.stop();
  t.same([a.speaker.table.size, a.changes], [0, []]);
  lab.run(100);
  t.not(stateOf(b), 'Established');
});

t.test('too many routes: a warning, then the end, and a long wait', async (t) => {
  const lab = new Lab();
  const [a, b] = lab.pair({ maxPrefixes: 8 }, {});
  for (let mac = 1; mac <= 7; mac++) b.speaker.announce({ ...MAC, mac });
  start(a, b);
  lab.run(5000);
  t.equal(stateOf(a), 'Established');
  t.match(a.log.join('\n'), /warn 10\.0\.0\.2 7 routes, of 8/);
  for (let mac = 8; mac <= 9; mac++) b.speaker.announce({ ...MAC, mac });
  lab.run(100);
  t.equal(a.speaker.neighbours[0]?.isHeld, true);
  t.equal(a.speaker.imports.size, 0);
  t.match(b.speaker.neighbours[0]?.lastEnd, /Maximum Number of Prefixes Reached/);
  lab.run(100_000);
  t.not(stateOf(a), 'Established');
  b.speaker.withdraw({ ...MAC, mac: 9 });
  lab.run(300_000);
  t.equal(stateOf(a), 'Established');
});

t.test('RFC 8212: nothing crosses to another AS without a policy', async (t) => {
  for (const [policy, there] of [
    [{}, 0],
    [{ import: 'all' }, 0],
    [{ export: 'all' }, 0],
    [{ import: 'all', export: 'all' }, 1],
  ] as const) {
    const lab = new Lab();
    const [a, b] = lab.pair({ as: 65001, ...policy }, { as: 65002, ...policy });
    a.speaker.announce(MAC);
    start(a, b);
    lab.run(5000);
    t.equal(stateOf(b), 'Established');
    t.equal(b.speaker.imports.size, there, JSON.stringify(policy));
  }
});

t.test('a next hop that no policy admits becomes no peer', async (t) => {
  const lab = new Lab();
  const [a, b] = lab.pair({}, { vteps: [{ address: 0x0a000100, length: 24 }] });
  a.speaker.announce(MAC);
  start(a, b);
  lab.run(5000);
  t.equal(b.speaker.table.size, 1, 'shown');
  t.same(b.changes, [], 'not used');
  t.equal(b.speaker.imports.counters.notAdmitted, 1);
});

t.test('routes asked for once more are sent once more', async (t) => {
  const lab = new Lab();
  const [a, b] = lab.pair();
  a.speaker.announce(MAC);
  start(a, b);
  lab.run(5000);
  const neighbour = b.speaker.neighbours[0];
  const before = neighbour?.counters.updatesReceived ?? 0;
  t.equal(neighbour?.refresh(), true);
  lab.run(100);
  t.equal(neighbour?.counters.updatesReceived, before + 1);
  t.equal(b.changes.length, 1, 'and are what they were');
});

t.test('what is withdrawn while it is asked for once more is withdrawn', async (t) => {
  const lab = new Lab();
  const [a, b] = lab.pair();
  a.speaker.announce(MAC);
  start(a, b);
  lab.run(5000);
  t.equal(b.speaker.imports.size, 1);
  const neighbour = a.speaker.neighbours[0];
  neighbour?.ribOut.again(a.speaker.table.bests());
  a.speaker.withdraw(MAC);
  lab.run(100);
  t.equal(b.speaker.table.size, 0);
  t.equal(neighbour?.ribOut.size, 0);
});

t.test(
  'a neighbour that takes nothing costs a set of keys, and is sent the last state',
  async (t) => {
    const lab = new Lab();
    const [a, b] = lab.pair();
    start(a, b);
    lab.run(5000);
    for (const { ends } of lab.wires) for (const end of ends) end.held = 1e9;
    for (let round = 1; round <= 50; round++) {
      a.speaker.announce({ ...MAC, sequence: round });
      lab.run(20);
    }
    t.equal(a.speaker.neighbours[0]?.ribOut.pending, 1);
    for (const { ends } of lab.wires) {
      for (const end of ends) {
        end.held = undefined;
        end.listener?.drained();
      }
    }
    lab.run(100);
    t.match(b.changes, [{ to: { sequence: 50 } }]);
  },
);

/** Speaks to a speaker byte by byte. */
class Hand {
  readonly heard: string[] = [];
  readonly listener: ConnectionListener | undefined;
  isOpen = true;

  constructor(host: Host) {
    const reader = new MessageReader();
    this.listener = host.speaker.accept('10.0.0.2', {
      send: (bytes) => {
        for (const { type, body } of reader.push(bytes)) {
          this.heard.push(type === MessageType.Notification ? `3 ${toHex(body)}` : String(type));
        }
      },
      queuedBytes: () => 0,
      close: () => {
        this.isOpen = false;
      },
    });
  }

  say(type: MessageType, body: Uint8Array): void {
    this.listener?.data(emitMessage(type, body));
  }
}

const OPEN: Open = {
  ...{ version: 4, as: 65000, holdSeconds: 90, identifier: 9 },
  capabilities: [
    { kind: 'multiprotocol', afi: 25, safi: 70 },
    { kind: 'four-octet-as', as: 65000 },
  ],
};
const NOTHING = new Uint8Array(0);

t.test('each message at the wrong time ends the session with its code', async (t) => {
  const open = emitOpen(OPEN);
  const update = new Uint8Array(4);
  const { Open, Update, Notification, Keepalive } = MessageType;
  const rows: [string, [MessageType, Uint8Array][], string][] = [
    ['UPDATE instead of OPEN', [[Update, update]], '3 0501'],
    ['KEEPALIVE instead of OPEN', [[Keepalive, NOTHING]], '3 0501'],
    [
      'OPEN twice',
      [
        [Open, open],
        [Open, open],
      ],
      '3 0502',
    ],
    [
      'UPDATE before KEEPALIVE',
      [
        [Open, open],
        [Update, update],
      ],
      '3 0502',
    ],
    [
      'OPEN when established',
      [
        [Open, open],
        [Keepalive, NOTHING],
        [Open, open],
      ],
      '3 0503',
    ],
    ['no EVPN', [[Open, emitOpen({ ...OPEN, capabilities: [] })]], '3 0207010400190046'],
    ['our identifier', [[Open, emitOpen({ ...OPEN, identifier: 0x0a000001 })]], '3 0203'],
    [
      'NOTIFICATION',
      [
        [Open, open],
        [Notification, Uint8Array.of(6, 2)],
      ],
      '4',
    ],
  ];
  for (const [what, messages, last] of rows) {
    const [a] = new Lab().pair({ passive: true }, {});
    a.speaker.start();
    const hand = new Hand(a);
    for (const [type, body] of messages) hand.say(type, body);
    t.equal(hand.heard.at(-1), last, what);
    t.equal(hand.isOpen, false, `${what}: closed`);
    t.equal(stateOf(a), 'Idle');
    hand.listener?.data(KEEPALIVE);
    hand.listener?.closed('late');
    t.equal(hand.heard.at(-1), last, `${what}: what comes later is not heard`);
  }
});

t.test('who never says a whole message is cut off, and holds nobody up meanwhile', async (t) => {
  const lab = new Lab();
  const [a] = lab.pair({ passive: true }, {});
  a.speaker.start();
  const slow = new Hand(a);
  const bytes = emitMessage(MessageType.Open, emitOpen(OPEN));
  for (const byte of bytes.subarray(0, 20)) {
    slow.listener?.data(Uint8Array.of(byte));
    lab.run(1000);
  }
  const hand = new Hand(a);
  t.equal(slow.isOpen, false, 'a newer one takes its place');
  hand.say(MessageType.Open, emitOpen(OPEN));
  hand.say(MessageType.Keepalive, NOTHING);
  t.equal(stateOf(a), 'Established');
  const third = new Hand(a);
  lab.run(241_000);
  t.equal(third.isOpen, false, 'silent for four minutes');
  t.equal(a.speaker.accept('10.9.9.9', { send() {}, queuedBytes: () => 0, close() {} }), undefined);
  t.equal(a.speaker.strangers, 1);
});

t.test('a thousand flaps of a route a second are sent, and leave no trace', async (t) => {
  const lab = new Lab();
  const [a, b] = lab.pair();
  start(a, b);
  lab.run(5000);
  for (let round = 0; round < 1000; round++) {
    if (round % 2 === 0) a.speaker.announce(MAC);
    else a.speaker.withdraw(MAC);
    lab.run(1);
  }
  lab.run(100);
  t.equal(b.speaker.table.size, 0);
  t.equal(b.speaker.imports.size, 0);
  t.equal(a.speaker.neighbours[0]?.ribOut.size, 0);
});

t.test('valid but hostile: long paths, our own routes, more than there may be', async (t) => {
  const [a] = new Lab().pair({ passive: true, maxPrefixes: 1000 }, {});
  a.speaker.start();
  const hand = new Hand(a);
  hand.say(MessageType.Open, emitOpen(OPEN));
  hand.say(MessageType.Keepalive, NOTHING);
  const context = { as4: true, internal: true };
  const route = (mac: number): EvpnRoute => {
    const rd = { type: 1, administrator: 9, assigned: 100 };
    return { type: 2, rd, esi: ESI_ZERO, tag: 0, mac, ip: null, label: 100, label2: null };
  };
  const say = (attributes: Attributes, nextHop: number, ...macs: number[]): void => {
    const all = { origin: 0, asPath: [], localPref: 100, ...attributes };
    for (const body of emitReach(all, nextHop, macs.map(route), context)) {
      hand.say(MessageType.Update, body);
    }
  };
  const long = Array.from({ length: 4 }, () => {
    return { type: 2, numbers: Array.from({ length: 220 }, (_, index) => 70_000 + index) };
  });
  say({ asPath: long }, 0x0a000009, 1);
  t.equal(a.speaker.table.size, 1, 'a path of 3.5 kB');
  const rows: [string, Attributes, number][] = [
    ['our own next hop', {}, 0x0a000001],
    ['our AS in the path', { asPath: [{ type: 2, numbers: [65000] }] }, 0x0a000009],
    ['we are the originator', { originatorId: 0x0a000001 }, 0x0a000009],
    ['we are in the cluster list', { clusterList: [5, 0x0a000001] }, 0x0a000009],
  ];
  for (const [what, attributes, nextHop] of rows) {
    say(attributes, nextHop, 2);
    t.equal(a.speaker.table.size, 1, what);
  }
  t.equal(a.speaker.neighbours[0]?.counters.looped, rows.length);
  say({}, 0x0a000001, 1);
  t.equal(a.speaker.table.size, 0, 'a refused announcement takes back what was there');
  for (let first = 1; first < 100_000 && hand.isOpen; first += 100) {
    say({}, 0x0a000009, ...Array.from({ length: 100 }, (_, index) => first + index));
  }
  t.equal(hand.heard.at(-1), '3 0601001946000003e8', 'the maximum ends it');
  t.equal(a.speaker.table.size, 0);
  t.equal(a.speaker.imports.size, 0);
  t.same([...a.speaker.imports.entries()], []);
});
