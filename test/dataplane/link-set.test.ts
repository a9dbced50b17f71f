/**
 * Links that come and go while a loop runs: the loop in earnest, over sockets of the kernel that stand for
 * devices and underlay, told by messages with descriptors as control tells it.
 */
import { closeSync, openSync, readdirSync } from 'node:fs';
import t from 'tap';
import { ARENA_BYTES } from '../../src/dataplane/arena-bytes.ts';
import { ChangeChannel } from '../../src/dataplane/changes.ts';
import { Arena } from '../../src/dataplane/ground/arena.ts';
import { KernelPorts } from '../../src/dataplane/ground/ports.ts';
import { Loop } from '../../src/dataplane/loop.ts';
import { ENCAPS } from '../../src/encap/encap.ts';
import { LINKS_MAX } from '../../src/limits.ts';
import { LAYOUT_BYTES, Layout } from '../../src/shm/layout.ts';
import {
  AF_INET,
  EAGAIN,
  EEXIST,
  EINVAL,
  EMFILE,
  ENOENT,
  EPERM,
  ESTALE,
  SOCK_DGRAM,
  SOCK_SEQPACKET,
} from '../../src/sys/libc/constants.ts';
import { addressOf, libc } from '../../src/sys/libc/libc.ts';
import { createEventFd, signalEventFd } from '../../src/sys/libc/memory.ts';
import { sendDescriptors } from '../../src/sys/sockets/fdpass.ts';
import { closeDescriptor, socketPair } from '../../src/sys/sockets/local-sockets.ts';
import { namedCounters } from '../../src/table/counters.ts';
import {
  descriptorsOf,
  encodeLinkChange,
  type LinkChange,
} from '../../src/table/links/link-change.ts';
import { EndpointKind } from '../../src/table/links/links.ts';
import { IPV4_PACKET_BYTES_MAX } from '../../src/wire/ipv4.ts';
import { NO_ROUTES } from '../support/peers.ts';
import { TestTables } from '../support/tables.ts';
import { FAN, packet } from '../vectors/craft.ts';

const FOU = ENCAPS.fou;
const RLIMIT_NOFILE = 7;
const open = (): number => readdirSync('/proc/self/fd').length;

/** A loop without links, control's end of its channel, and what control would do. */
class Stage {
  readonly tables = new TestTables();
  readonly layout = new Layout(new ArrayBuffer(LAYOUT_BYTES));
  readonly loop: Loop;
  readonly probes: [number, number][] = [];
  readonly #wake = createEventFd();
  readonly #channel = socketPair(SOCK_SEQPACKET);
  readonly #parent = socketPair(SOCK_SEQPACKET);
  readonly #mine: number[] = [];
  #sequence = 0;

  /** Number of the last change that went past {@link tell}. */
  sent(sequence: number): void {
    this.#sequence = sequence;
  }

  constructor() {
    const arena = new Arena(ARENA_BYTES);
    this.layout.initialize();
    this.layout.queues = 1;
    const [, childEnd] = this.#channel;
    this.loop = new Loop(arena, this.layout, this.tables.segment, this.#wake, this.#parent[1], {
      ports: new KernelPorts(arena),
      family: AF_INET,
      routes: {
        ...NO_ROUTES,
        addProbe: (endpoint, { localAddress }) => void this.probes.push([localAddress, endpoint]),
        removeProbe: (endpoint) => {
          const index = this.probes.findIndex(([, number]) => number === endpoint);
          this.probes.splice(index, 1);
        },
      },
      changes: new ChangeChannel(childEnd),
    });
  }

  /** Control's end. */
  get channelEnd(): number {
    return this.#channel[0];
  }

  /** A pair of which control keeps one end open to look at. */
  pair(type: number): [number, number] {
    const pair = socketPair(type);
    this.#mine.push(...pair);
    return pair;
  }

  endpointRow(index: number, incarnation: number): void {
    this.tables.linkWriter.setEndpoint(index, incarnation, {
      ...{ kind: EndpointKind.Udp, localAddress: FAN.sender, localPort: FOU.defaultPort + index },
      offloads: 0,
    });
  }

  linkRow(id: number, incarnation: number, endpoint: number, innerMtu = 1472): void {
    this.tables.linkWriter.setLink(id, incarnation, {
      ...{ encap: FOU.id, offloads: 0, endpoint },
      ...{ overlayAddress: (0xfa000000 + (id << 24)) >>> 0, overlayLength: 8 },
      ...{ underlayAddress: 0xac1e0000, underlayLength: 16, localAddress: FAN.sender },
      ...{ vni: 0, peerPort: FOU.defaultPort, underlayMtu: 1500, innerMtu },
      ...{ gateway: 0, dscpUniform: 0 },
      superBytesToHost: IPV4_PACKET_BYTES_MAX,
      superBytesToPorts: IPV4_PACKET_BYTES_MAX,
    });
  }

  /** Sends a change, lets the loop serve it, and returns its answer. */
  tell(change: Partial<LinkChange>): number | undefined {
    const whole = { left: [], endpoints: [], links: [], ...change, sequence: ++this.#sequence };
    sendDescriptors(this.#channel[0], encodeLinkChange(whole, false), descriptorsOf(whole));
    this.loop.tryRound();
    return this.layout.changeAnswer(this.#sequence);
  }

  ring(): void {
    signalEventFd(this.#wake);
    this.loop.tryRound();
  }

  counters(id: number): Record<string, number> {
    return namedCounters(this.layout.counters(id));
  }

  close(): void {
    this.loop.close();
    const all = [this.#wake, ...this.#channel, ...this.#parent, ...this.#mine];
    for (const fd of all) closeDescriptor(fd);
  }
}

/** A packet from a container here into the overlay of link `id`, to nobody who has it. */
function packetOf(id: number): Uint8Array<ArrayBuffer> {
  const shift = id << 24;
  const addresses = { source: FAN.source + shift, destination: FAN.destination + shift };
  return Uint8Array.from(packet(addresses));
}

t.test('a link comes, forwards, and goes with all its descriptors', async (t) => {
  const before = open();
  const stage = new Stage();
  t.teardown(() => stage.close());
  stage.endpointRow(0, 1);
  stage.linkRow(0, 1, 0);
  const [device, host] = stage.pair(SOCK_SEQPACKET);
  const [listener] = stage.pair(SOCK_DGRAM);
  const [sender] = stage.pair(SOCK_DGRAM);
  const [probe] = stage.pair(SOCK_DGRAM);
  const idle = open();
  const endpoints = [{ index: 0, incarnation: 1, sockets: [listener, sender], probe }];
  t.equal(stage.tell({ endpoints, links: [{ id: 0, incarnation: 1, device }] }), 0);
  t.equal(open(), idle + 4, 'it has four of its own');
  t.match(stage.probes, [[FAN.sender]], 'ways from its address can be asked about');
  sendDescriptors(host, packetOf(0), []);
  stage.loop.tryRound();
  t.equal(stage.counters(0)['egress.received'], 1, 'what its device brings is looked at');

  // A second one on the same sockets, then the first leaves: the sockets stay.
  stage.linkRow(1, 2, 0);
  const [another, itsHost] = stage.pair(SOCK_SEQPACKET);
  const withAnother = open();
  t.equal(stage.tell({ links: [{ id: 1, incarnation: 2, device: another }] }), 0);
  t.equal(open(), withAnother + 1);
  t.equal(stage.tell({ left: [{ id: 0, incarnation: 1 }] }), 0);
  t.equal(open(), withAnother, 'its device is closed, nothing else');
  sendDescriptors(itsHost, packetOf(1), []);
  sendDescriptors(host, packetOf(0), []);
  stage.loop.tryRound();
  t.equal(stage.counters(1)['egress.received'], 1);
  t.equal(stage.counters(0)['egress.received'], 1, 'the first is not read any more');

  // The last one takes the sockets along.
  t.equal(stage.tell({ left: [{ id: 1, incarnation: 2 }] }), 0);
  t.equal(open(), withAnother - 4);
  t.same(stage.probes, []);
  t.equal(stage.loop.tryRound(), 0, 'a loop without links has nothing to do');
  t.ok(open() >= before);
});

t.test('in one change a link gives its number and its sockets to another', async (t) => {
  const stage = new Stage();
  t.teardown(() => stage.close());
  const grant = (index: number, incarnation: number) => ({
    ...{ index, incarnation, probe: -1 },
    sockets: [stage.pair(SOCK_DGRAM)[0]],
  });
  stage.endpointRow(0, 1);
  stage.linkRow(0, 1, 0);
  const [device] = stage.pair(SOCK_SEQPACKET);
  const links = [{ id: 0, incarnation: 1, device }];
  t.equal(stage.tell({ endpoints: [grant(0, 1)], links }), 0);
  const idle = open();
  // The same endpoint.
  stage.linkRow(0, 2, 0);
  const left = [{ id: 0, incarnation: 1 }];
  t.equal(stage.tell({ left, links: [{ id: 0, incarnation: 2, device }] }), 0);
  t.equal(open(), idle, 'one device less, one more');
  // Another endpoint under the old one's number, as after a change of address.
  stage.endpointRow(0, 3);
  stage.linkRow(0, 3, 0);
  const endpoints = [grant(0, 3)];
  const more = open();
  const gone = [{ id: 0, incarnation: 2 }];
  t.equal(stage.tell({ left: gone, endpoints, links: [{ id: 0, incarnation: 3, device }] }), 0);
  t.equal(open(), more, 'its sockets have gone, and others come');
});

t.test('what cannot be served whole is refused, and its descriptors are closed', async (t) => {
  const stage = new Stage();
  t.teardown(() => stage.close());
  const [device, host] = stage.pair(SOCK_SEQPACKET);
  const [listener] = stage.pair(SOCK_DGRAM);
  stage.endpointRow(0, 1);
  stage.linkRow(0, 1, 0);
  const endpoints = [{ index: 0, incarnation: 1, sockets: [listener], probe: -1 }];
  const links = [{ id: 0, incarnation: 1, device }];
  t.equal(stage.tell({ links }), ENOENT, 'nobody has given the sockets');
  t.equal(stage.tell({ endpoints, links: [{ id: 5, incarnation: 1, device }] }), EAGAIN, 'no row');
  t.equal(stage.tell({ endpoints, links: [{ id: -1, incarnation: 1, device }] }), EAGAIN);
  t.equal(stage.tell({ endpoints, links: [{ id: 0, incarnation: 9, device }] }), ESTALE);
  t.equal(stage.tell({ left: [{ id: 0, incarnation: 1 }] }), ENOENT, 'it is not there');
  const idle = open();
  t.equal(stage.tell({ endpoints, links }), 0);
  t.equal(open(), idle + 2);
  t.equal(stage.tell({ endpoints, links }), EEXIST, 'twice the same');
  t.equal(stage.tell({ left: [{ id: 0, incarnation: 7 }] }), ENOENT, 'another one is meant');
  // What control leaves that is stopped, or killed, in the middle of writing a row.
  stage.linkRow(1, 2, 0);
  const words = new Int32Array(stage.tables.segment.buffer, stage.tables.segment.links.offset, 128);
  words[64] = (words[64] ?? 0) + 1;
  t.equal(stage.tell({ links: [{ id: 1, incarnation: 2, device }] }), EAGAIN);
  // epoll refuses a plain file: the sockets that came are closed, and so is the device.
  stage.endpointRow(1, 3);
  stage.linkRow(2, 3, 1);
  const file = openSync('/proc/self/status', 'r');
  const broken = [{ index: 1, incarnation: 3, sockets: [listener, file], probe: -1 }];
  t.equal(stage.tell({ endpoints: broken, links: [{ id: 2, incarnation: 3, device }] }), EPERM);
  closeSync(file);
  t.equal(open(), idle + 2, 'nothing of all that is left open');
  sendDescriptors(host, packetOf(0), []);
  stage.loop.tryRound();
  t.equal(stage.counters(0)['egress.received'], 1, 'and the link goes on as ever');
});

t.test('a message that lost descriptors on its way is answered', async (t) => {
  const stage = new Stage();
  t.teardown(() => stage.close());
  stage.endpointRow(0, 1);
  stage.linkRow(0, 1, 0);
  const [device] = stage.pair(SOCK_SEQPACKET);
  const whole: LinkChange = {
    ...{ sequence: 1, left: [] },
    endpoints: [{ index: 0, incarnation: 1, sockets: [device], probe: -1 }],
    links: [{ id: 0, incarnation: 1, device }],
  };
  const idle = open();
  sendDescriptors(stage.channelEnd, encodeLinkChange(whole, false), [device]);
  stage.loop.tryRound();
  t.equal(stage.layout.changeAnswer(1), EINVAL);
  t.equal(open(), idle);

  // The process may open one more file, and two come.
  const limits = new BigUint64Array(2);
  libc.prlimit(0, RLIMIT_NOFILE, 0, addressOf(limits));
  const [soft = 0n, hard = 0n] = limits;
  const probe = openSync('/dev/null', 'r');
  closeSync(probe);
  limits[0] = BigInt(probe + 1);
  libc.prlimit(0, RLIMIT_NOFILE, addressOf(limits), 0);
  const more = { ...whole, sequence: 2 };
  sendDescriptors(stage.channelEnd, encodeLinkChange(more, false), [device, device]);
  stage.loop.tryRound();
  limits.set([soft, hard]);
  libc.prlimit(0, RLIMIT_NOFILE, addressOf(limits), 0);
  t.equal(stage.layout.changeAnswer(2), EMFILE);
  t.equal(open(), idle, 'the one that found room is closed too');
  stage.sent(2);
  t.equal(stage.tell({ ...whole }), 0, 'and with room it comes');
});

t.test('control dies: what it sent is served, and nothing turns in circles', async (t) => {
  const stage = new Stage();
  t.teardown(() => stage.close());
  stage.endpointRow(0, 1);
  stage.linkRow(0, 1, 0);
  const [device] = stage.pair(SOCK_SEQPACKET);
  const [listener] = stage.pair(SOCK_DGRAM);
  const whole: LinkChange = {
    ...{ sequence: 1, left: [] },
    endpoints: [{ index: 0, incarnation: 1, sockets: [listener], probe: -1 }],
    links: [{ id: 0, incarnation: 1, device }],
  };
  sendDescriptors(stage.channelEnd, encodeLinkChange(whole, false), descriptorsOf(whole));
  closeDescriptor(stage.channelEnd);
  stage.loop.tryRound();
  t.equal(stage.layout.changeAnswer(1), 0);
  const rounds = stage.counters(0)['event.rounds'];
  for (let i = 0; i < 5; i++) stage.loop.tryRound();
  t.equal(stage.counters(0)['event.rounds'], rounds, 'the closed channel wakes nobody');
});

t.test('values change by a ring; a row in the middle of writing is counted', async (t) => {
  const stage = new Stage();
  t.teardown(() => stage.close());
  stage.endpointRow(0, 1);
  stage.linkRow(0, 1, 0, 1472);
  const [device, host] = stage.pair(SOCK_SEQPACKET);
  const endpoints = [{ index: 0, incarnation: 1, sockets: [stage.pair(SOCK_DGRAM)[0]], probe: -1 }];
  t.equal(stage.tell({ endpoints, links: [{ id: 0, incarnation: 1, device }] }), 0);
  const addresses = { source: FAN.source, destination: FAN.destination };
  const large = Uint8Array.from(packet({ ...addresses, payload: '00'.repeat(1300) }));
  const tooBig = (): number => {
    sendDescriptors(host, large, []);
    stage.loop.tryRound();
    return stage.counters(0)['egress.drop.too_big'] ?? 0;
  };
  t.equal(tooBig(), 0);
  stage.linkRow(0, 1, 0, 1200);
  stage.ring();
  t.equal(tooBig(), 1, 'the new MTU holds');
  const words = new Int32Array(stage.tables.segment.buffer, stage.tables.segment.links.offset, 1);
  words[0] = (words[0] ?? 0) + 1;
  stage.ring();
  t.equal(stage.counters(0)['event.tables_unreadable'], 1);
  t.equal(tooBig(), 2, 'what it had holds on');
  words[0] = (words[0] ?? 0) + 1;
  stage.linkRow(0, 9, 0, 1472);
  stage.ring();
  t.equal(tooBig(), 3, "another link's row is none of its business");
});

t.test(`${LINKS_MAX} links come one by one, and go again`, async (t) => {
  const stage = new Stage();
  t.teardown(() => stage.close());
  stage.endpointRow(0, 1);
  const [device, host] = stage.pair(SOCK_SEQPACKET);
  const endpoints = [{ index: 0, incarnation: 1, sockets: [stage.pair(SOCK_DGRAM)[0]], probe: -1 }];
  const idle = open();
  for (let id = 0; id < LINKS_MAX; id++) {
    stage.linkRow(id, id + 1, 0);
    const links = [{ id, incarnation: id + 1, device }];
    const answer = stage.tell(id === 0 ? { endpoints, links } : { links });
    if (answer !== 0) t.equal(answer, 0, `link ${id}`);
  }
  t.equal(open(), idle + LINKS_MAX + 1);
  // All have the same device here: whoever is asked first reads it.
  sendDescriptors(host, packetOf(0), []);
  stage.loop.tryRound();
  let received = 0;
  for (let id = 0; id < LINKS_MAX; id++) received += stage.counters(id)['egress.received'] ?? 0;
  t.equal(received, 1);
  const left = Array.from({ length: LINKS_MAX }, (_, id) => ({ id, incarnation: id + 1 }));
  t.equal(stage.tell({ left: left.slice(1) }), 0, 'many at once');
  t.equal(open(), idle + 2);
  t.equal(stage.tell({ left: left.slice(0, 1) }), 0);
  t.equal(open(), idle);
});
