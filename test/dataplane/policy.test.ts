/**
 * Rules of a layer-2 network between routers inside one process: who may open a connection to whom, that
 * answers pass, and that every packet that is refused has its counter at the host that refused it.
 */
import t from 'tap';
import { compilePolicy } from '../../src/control/networks/policy/compile.ts';
import { RULES_PER_LINK_MAX } from '../../src/limits.ts';
import { decidingRule } from '../../src/net/policy/decide.ts';
import { FdbFlag } from '../../src/table/fdb.ts';
import { ipv4Bytes } from '../../src/table/peers.ts';
import { PolicyWriter } from '../../src/table/policy.ts';
import { arp, ethernet, ipv4, tcp, udp } from '../support/bytes.ts';
import { address6, ipv6, tcp6, udp6 } from '../support/bytes6.ts';
import { Fabric } from '../support/fabric.ts';
import { LanRouter, settle } from '../support/lan.ts';

const [A, B] = [0xac1e_0001, 0xac1e_0002];
const [MAC_A, MAC_B] = [0x0242_0000_000a, 0x0242_0000_000b];
const [IP_A, IP_B] = [0x0a01_000a, 0x0a01_000b];
const [SIX_A, SIX_B] = ['fd00::a', 'fd00::b'];
const [IPV4, ARP, IPV6] = [0x0800, 0x0806, 0x86dd];
const [SYN, ACK, SYN_ACK, RST] = [0x02, 0x10, 0x12, 0x04];
const FORWARD = { source: IP_A, destination: IP_B };
const BACK = { source: IP_B, destination: IP_A };
const BEGIN_MS = 30_000;

/** Two routers with a station each, and the rules that `texts` say, at the hosts in `where`. */
function makeLan() {
  // A process that has just begun is lenient: these began long ago.
  const { now } = performance;
  const fabric = new Fabric();
  performance.now = () => now.call(performance) - 2 * BEGIN_MS;
  const routers = [A, B].map((local) => new LanRouter(fabric, local, [{ vni: 100 }]));
  performance.now = now;
  const [a, b] = routers;
  if (a === undefined || b === undefined) throw new Error('two routers');
  for (const router of routers) {
    router.admit(0, router === a ? B : A);
    router.station(0, A, MAC_A, [ipv4Bytes(IP_A), address6(SIX_A)]);
    router.station(0, B, MAC_B, [ipv4Bytes(IP_B), address6(SIX_B)]);
  }
  const writers = routers.map(({ tables }) => new PolicyWriter(tables.segment));
  const setRules = (
    texts: readonly string[],
    labels: readonly (readonly [number, readonly string[]])[] = [],
    where: readonly number[] = [0, 1],
  ): void => {
    const compiled = compilePolicy(texts, labels);
    for (const [i, writer] of writers.entries()) {
      if (!where.includes(i)) continue;
      for (const [mac, mask] of compiled.labels) writer.setLabels(0, mac, mask);
      writer.setRules(
        0,
        compiled.rules.map(({ row }, slot) => ({ ...row, slot })),
      );
    }
  };
  /** What comes of a frame that the host of `from` gives: 'passes', or where it was dropped. */
  const send = (from: LanRouter, frame: Uint8Array): string => {
    for (const router of routers) router.clear();
    from.send(0, frame);
    settle(routers);
    for (const router of routers) {
      t.equal(router.unaccounted(), 0);
      for (const [name, count] of Object.entries(router.ends())) {
        if (name.includes('.drop.')) return count === 1 ? name : `${name} ${count}`;
      }
    }
    const other = from === a ? b : a;
    return other.received(0).length === 1 ? 'passes' : 'lost';
  };
  return { a, b, setRules, send };
}

function udpFrame(ends: typeof FORWARD, sourcePort: number, destinationPort: number): Buffer {
  const [to, from] = ends === FORWARD ? [MAC_B, MAC_A] : [MAC_A, MAC_B];
  return ethernet(to, from, IPV4, ipv4(ends, udp(ends, { sourcePort, destinationPort })));
}

function tcpFrame(ends: typeof FORWARD, flags: number, ports: [number, number]): Buffer {
  const [sourcePort, destinationPort] = ports;
  const [to, from] = ends === FORWARD ? [MAC_B, MAC_A] : [MAC_A, MAC_B];
  const segment = tcp(ends, { sourcePort, destinationPort, flags });
  return ethernet(to, from, IPV4, ipv4({ ...ends, protocol: 6 }, segment));
}

const SERVICE: [number, number] = [40_000, 80];
const ANSWER: [number, number] = [80, 40_000];
const AT_SOURCE = 'egress.drop.policy';
const AT_DESTINATION = 'ingress.drop.policy';

t.test('without rules everything passes', async (t) => {
  const { a, b, send } = makeLan();
  t.equal(send(a, tcpFrame(FORWARD, SYN, SERVICE)), 'passes');
  t.equal(send(b, udpFrame(BACK, 5, 6)), 'passes');
});

t.test(
  'what is denied ends at its source, and where only the other end knows, there',
  async (t) => {
    const { a, b, setRules, send } = makeLan();
    setRules(['deny from 10.1.0.10 to 10.1.0.11 tcp port 80']);
    t.equal(send(a, tcpFrame(FORWARD, SYN, SERVICE)), AT_SOURCE);
    t.equal(send(a, tcpFrame(FORWARD, SYN, [40_000, 81])), 'passes', 'another port');
    t.equal(send(a, udpFrame(FORWARD, 40_000, 80)), 'passes', 'another protocol');
    t.equal(send(b, tcpFrame(BACK, SYN, SERVICE)), 'passes', 'the other way');
    const question = arp({ senderMac: MAC_A, sender: IP_A, targetMac: MAC_B, target: IP_B });
    t.equal(send(a, ethernet(MAC_B, MAC_A, ARP, question)), 'passes', 'ARP is nobody’s connection');
    setRules([], [], [0]);
    t.equal(send(a, tcpFrame(FORWARD, SYN, SERVICE)), AT_DESTINATION);
    t.equal(b.layout.ruleHits()[0], 1, 'and counts for the rule');
  },
);

t.test('what answers passes although it may not begin: TCP and UDP', async (t) => {
  const { a, b, setRules, send } = makeLan();
  setRules(['deny from 10.1.0.11']);
  t.equal(send(b, tcpFrame(BACK, SYN_ACK, ANSWER)), AT_SOURCE, 'an answer to nothing');
  t.equal(send(b, tcpFrame(BACK, ACK, ANSWER)), AT_SOURCE);
  t.equal(send(b, udpFrame(BACK, 53, 4000)), AT_SOURCE);
  t.equal(send(a, tcpFrame(FORWARD, SYN, SERVICE)), 'passes');
  t.equal(send(b, tcpFrame(BACK, SYN_ACK, ANSWER)), 'passes');
  t.equal(send(b, tcpFrame(BACK, RST, ANSWER)), 'passes');
  t.equal(send(b, tcpFrame(BACK, SYN, ANSWER)), AT_SOURCE, 'but it opens none by the same ports');
  t.equal(send(a, udpFrame(FORWARD, 4000, 53)), 'passes');
  t.equal(send(b, udpFrame(BACK, 53, 4000)), 'passes');
  t.equal(send(b, udpFrame(BACK, 53, 4001)), AT_SOURCE, 'another port is another connection');
});

t.test(
  'a change of the rules asks everything anew, the way round that it was opened',
  async (t) => {
    const { a, b, setRules, send } = makeLan();
    setRules(['deny from 10.1.0.11']);
    send(a, tcpFrame(FORWARD, SYN, SERVICE));
    send(a, udpFrame(FORWARD, 4000, 53));
    setRules(['deny from 10.1.0.11', 'deny tcp port 9999']);
    t.equal(send(b, tcpFrame(BACK, ACK, ANSWER)), 'passes', 'what is still allowed goes on');
    t.equal(send(b, udpFrame(BACK, 53, 4000)), 'passes');
    setRules(['deny from 10.1.0.10 to 10.1.0.11 tcp port 80']);
    t.equal(send(a, tcpFrame(FORWARD, ACK, SERVICE)), AT_SOURCE, 'what is not ends');
    t.equal(send(a, tcpFrame(FORWARD, ACK, [40_001, 443])), 'passes');
  },
);

t.test('labels: the workload counts, not its address', async (t) => {
  const { a, b, setRules, send } = makeLan();
  const rules = ['deny to label:db', 'allow from label:web to label:db tcp port 5432'];
  setRules(rules, [
    [MAC_A, ['web', 'other']],
    [MAC_B, ['db']],
  ]);
  t.equal(send(a, tcpFrame(FORWARD, SYN, [40_000, 5432])), 'passes');
  t.equal(send(b, tcpFrame(BACK, SYN_ACK, [5432, 40_000])), 'passes');
  t.equal(send(a, tcpFrame(FORWARD, SYN, [40_000, 22])), AT_SOURCE);
  t.equal(send(b, tcpFrame(BACK, SYN, [40_000, 22])), 'passes');
  const stranger = makeLan();
  stranger.setRules(rules, [[MAC_B, ['db']]]);
  t.equal(stranger.send(stranger.a, tcpFrame(FORWARD, SYN, [40_000, 5432])), AT_SOURCE);
});

t.test('open connections of a workload that has moved go on; new ones are asked for', async (t) => {
  const { a, b, setRules, send } = makeLan();
  // Neither end has seen how they began.
  setRules([
    'deny from 10.1.0.11',
    'allow to 10.1.0.11 tcp port 80',
    'deny to 10.1.0.11 order 2000',
  ]);
  for (const router of [a, b]) router.station(0, B, MAC_B, [], { fdb: FdbFlag.Moved });
  t.equal(send(b, tcpFrame(BACK, ACK, ANSWER)), 'passes');
  t.equal(send(a, tcpFrame(FORWARD, ACK, SERVICE)), 'passes');
  t.equal(send(b, tcpFrame(BACK, SYN, [40_000, 80])), AT_SOURCE);
  t.equal(send(b, tcpFrame(BACK, ACK, [81, 40_000])), AT_SOURCE, 'nobody may open that');
});

t.test('pieces of a packet go with the first; IPv6 and its prefixes', async (t) => {
  const { a, setRules, send } = makeLan();
  setRules(['deny udp port 53', 'deny from fd00::/64 tcp port 80']);
  const piece = (id: number, offset: number, more: boolean, payload: Buffer): Buffer =>
    ethernet(
      MAC_B,
      MAC_A,
      IPV4,
      ipv4({ ...FORWARD, identification: id, fragment: (more ? 0x2000 : 0) | offset }, payload),
    );
  const whole = udp(FORWARD, { destinationPort: 54, sourcePort: 9 }, Buffer.alloc(64));
  t.equal(send(a, piece(7, 3, false, whole.subarray(24))), AT_SOURCE, 'a later one alone');
  t.equal(send(a, piece(7, 0, true, whole.subarray(0, 24))), 'passes');
  t.equal(send(a, piece(7, 3, false, whole.subarray(24))), 'passes');
  t.equal(send(a, piece(8, 3, false, whole.subarray(24))), AT_SOURCE, 'of another packet');
  const six = { source: SIX_A, destination: SIX_B };
  const frame6 = (payload: Buffer): Buffer => ethernet(MAC_B, MAC_A, IPV6, payload);
  const http = tcp6(six, { destinationPort: 80, flags: SYN });
  t.equal(send(a, frame6(ipv6({ ...six, protocol: 6 }, http))), AT_SOURCE);
  t.equal(send(a, frame6(ipv6(six, udp6(six, { destinationPort: 80 })))), 'passes');
});

t.test('the data path decides as the plain way does', async (t) => {
  const texts = [
    'deny from 10.1.0.0/28 udp port 1000-1999',
    'allow to 10.1.0.8/29 udp port 1500-1600',
    'deny to 10.1.0.11 udp port 1550 order 10',
    'allow udp port 1700 order 1',
    'deny 17 port 3000',
    'deny from 10.0.0.0/8 to 11.0.0.0/8',
  ];
  const { a, setRules, send } = makeLan();
  setRules(texts);
  const { rules } = compilePolicy(texts, []);
  const ends = {
    from: { address: IP_A, labels: [] },
    to: { address: IP_B, labels: [] },
  };
  for (const port of [999, 1000, 1499, 1500, 1550, 1600, 1601, 1700, 1999, 2000, 3000, 3001]) {
    const rule = decidingRule(
      rules.map((each) => each.rule),
      { ...ends, protocol: 17, port },
    );
    const wanted = rule?.action === 'deny' ? AT_SOURCE : 'passes';
    t.equal(send(a, udpFrame(FORWARD, 7, port)), wanted, `port ${port}`);
  }
});

t.test('more rules and labels than there is room for are named', async (t) => {
  const many = Array.from({ length: RULES_PER_LINK_MAX + 3 }, (_, i) => `deny udp port ${i + 1}`);
  const compiled = compilePolicy(many, []);
  t.equal(compiled.rules.length, RULES_PER_LINK_MAX);
  t.match(compiled.problems, [/3 rules are more/]);
  const labelled = Array.from({ length: 31 }, (_, i) => `deny to label:l${i}`);
  t.match(compilePolicy([...labelled, 'deny from nowhere'], []).problems, [
    /does not know/,
    /more than 29 labels/,
  ]);
});
