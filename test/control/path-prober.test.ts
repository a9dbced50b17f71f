import t from 'tap';
import { emitEchoRequest, readEchoToken } from '../../src/control/plane/echo/echo.ts';
import { endTo, type VtepAt } from '../../src/control/plane/paths/path-ends.ts';
import {
  ANSWER_MS,
  BASE_BYTES,
  PathProber,
  PROBED_MAX,
} from '../../src/control/plane/paths/path-prober.ts';
import { largePeers, memberMtus } from '../../src/control/plane/paths/path-watch.ts';
import type { NetworkSpec } from '../../src/control/store/link-spec.ts';
import { MtuSource, type PathRecord } from '../../src/table/paths.ts';
import { internetChecksum } from '../../src/wire/checksum.ts';
import { Random } from '../fuzz/mutate.ts';

const PEER = 0xac1e011b;
const STEP_MS = 100;

/** A network on virtual time: each host's path carries so many bytes, or it never answers (0). */
class Network {
  nowMs = 1000;
  sent = 0;
  readonly carries = new Map<number, number>();
  /** Share of answers that are lost. */
  loss = 0;
  readonly #random = new Random(5);
  #answers: string[] = [];
  #token = 0;
  readonly prober = new PathProber({
    token: () => String(++this.#token),
    send: (peer, bytes, token) => {
      this.sent++;
      const reaches = bytes <= (this.carries.get(Number(peer)) ?? 0);
      if (reaches && this.#random.below(1000) >= this.loss * 1000) this.#answers.push(token);
      return true;
    },
  });

  /** Lets time pass while large packets go to `peers`. */
  run(peers: readonly number[], ms: number, deviceMtu = 9000): void {
    const wanted = new Map(peers.map((peer) => [peer, deviceMtu]));
    for (const until = this.nowMs + ms; this.nowMs < until; this.nowMs += STEP_MS) {
      for (const token of this.#answers.splice(0)) this.prober.answered(token, this.nowMs);
      this.prober.step(wanted, this.nowMs);
    }
  }
}

t.test('what a path carries is found, never more than that', async (t) => {
  for (const carries of [9000, 8999, 8508, 8500, 5000, 1508, 1500, 1499, 1420, 1281, 1201, 1200]) {
    const network = new Network();
    network.carries.set(PEER, carries);
    network.run([PEER], 60_000);
    const limit = network.prober.limits().get(PEER) ?? 9000;
    t.ok(limit <= carries && limit > carries - 9, `${carries}: found ${limit}`);
    t.equal(network.prober.state(PEER), carries === 9000 ? 'full' : 'limited');
    t.ok(network.sent <= 60, `${carries}: ${network.sent} requests`);
  }
});

t.test('the usual case is found soon', async (t) => {
  const network = new Network();
  network.carries.set(PEER, 1500);
  const start = network.nowMs;
  while (network.prober.limits().size === 0) network.run([PEER], STEP_MS);
  t.ok(network.nowMs - start < 10 * ANSWER_MS, `after ${network.nowMs - start} ms`);
  t.equal(network.prober.limits().get(PEER), 1500);
});

t.test('where large packets vanish, smaller ones go long before all is known', async (t) => {
  for (const [carries, first, all] of [
    [1450, 6, 20],
    [1400, 6, 20],
    [1280, 10, 20],
    [1200, 20, 24],
  ] as const) {
    const network = new Network();
    network.carries.set(PEER, carries);
    const after = (isSo: () => boolean): number => {
      const start = network.nowMs;
      while (!isSo()) network.run([PEER], STEP_MS, 1500);
      return (network.nowMs - start) / ANSWER_MS;
    };
    const firstAfter = after(() => network.prober.limits().size > 0);
    t.ok(firstAfter < first, `${carries}: ${firstAfter} waits`);
    t.ok((network.prober.limits().get(PEER) ?? 1500) <= carries, 'never more than it carries');
    const more = after(() => network.prober.state(PEER) === 'limited');
    t.ok(firstAfter + more < all, `${carries}: ${more} more for all`);
    t.equal(network.prober.limits().get(PEER), carries);
  }
});

t.test('a path that is looked at again is not lowered meanwhile', async (t) => {
  const network = new Network();
  network.carries.set(PEER, 1400);
  network.run([PEER], 60_000);
  for (let i = 0; i < 7000; i++) {
    network.run([PEER], STEP_MS);
    if (network.prober.limits().get(PEER) !== 1400) return t.fail('it was lowered');
  }
  return t.pass('for more than ten minutes');
});

t.test('a host that never answers teaches nothing, and is asked less and less', async (t) => {
  const network = new Network();
  network.run([PEER], 3600_000);
  t.equal(network.prober.state(PEER), 'silent');
  t.equal(network.prober.limits().size, 0);
  t.ok(network.sent < 40, `${network.sent} requests in an hour`);
});

t.test('a path that grows, or shrinks, is followed; one that dies keeps what it had', async (t) => {
  const network = new Network();
  network.carries.set(PEER, 1500);
  network.run([PEER], 60_000);
  network.carries.set(PEER, 9000);
  network.run([PEER], 700_000);
  t.equal(network.prober.limits().size, 0, 'it grew');
  network.carries.set(PEER, 1400);
  network.run([PEER], 130_000);
  t.equal(network.prober.limits().get(PEER), 1400, 'it shrank');
  network.carries.set(PEER, 0);
  network.run([PEER], 700_000);
  t.equal(network.prober.limits().get(PEER), 1400, 'its host is away');
});

t.test('losses do not lower a path to nothing', async (t) => {
  for (let seed = 0; seed < 20; seed++) {
    const network = new Network();
    network.loss = 0.1;
    const peer = PEER + seed;
    network.carries.set(peer, 9000);
    network.run([peer], 30_000);
    const limit = network.prober.limits().get(peer) ?? 9000;
    t.ok(limit >= BASE_BYTES, `${limit}`);
  }
});

t.test('only where large packets go, and to so many', async (t) => {
  const network = new Network();
  network.carries.set(PEER, 1500);
  network.run([], 10_000);
  t.equal(network.sent, 0, 'nobody is asked for nothing');
  network.run([PEER], 10_000, BASE_BYTES);
  t.equal(network.sent, 0, 'a small device needs no search');
  network.run([PEER], 20_000);
  const before = network.sent;
  network.run([], 1000_000);
  t.equal(network.sent, before, 'no more once nothing goes there');
  t.equal(network.prober.state(PEER), undefined, 'forgotten');
  const many = Array.from({ length: 5000 }, (_, i) => 0xac1e0001 + i);
  for (const peer of many) network.carries.set(peer, 1500);
  network.run(many, 60_000);
  t.equal(network.prober.limits().size, PROBED_MAX);
});

t.test('an answer that nobody can have seen the question of is none', async (t) => {
  const network = new Network();
  network.run([PEER], 200);
  for (let i = 100; i < 1000; i++) network.prober.answered(String(i), network.nowMs);
  t.equal(network.prober.state(PEER), 'searching');
  const token = '0123456789abcdef';
  const request = emitEchoRequest(4, 1500, token);
  t.equal(request.length, 1480);
  const view = new DataView(request.buffer, request.byteOffset, request.length);
  t.equal(internetChecksum(view, 0, request.length), 0);
  t.equal(readEchoToken(request, 4, false), undefined, 'a request is no answer');
  request.writeUInt8(0, 0);
  t.equal(readEchoToken(request, 4, false), token);
  const header = Buffer.alloc(24);
  header.writeUInt8(0x46, 0);
  t.equal(
    readEchoToken(Buffer.concat([header, request]), 4, true),
    token,
    'with options before it',
  );
  for (let length = 0; length < 40; length++) {
    readEchoToken(Buffer.concat([header, request]).subarray(0, length), 4, true);
    readEchoToken(Buffer.alloc(length, 0xff), 4, true);
  }
});

t.test('the smallest of what members tell of themselves', async (t) => {
  const member = (mtu: number, locals: number[], extra = {}) => ({
    ...{
      id: 'a',
      name: 'a',
      state: 'alive' as const,
      endpoint: undefined,
      encaps: [],
      mtu,
      vnis: [],
    },
    endpoints: locals.map((address) => ({ address, port: 7946 })),
    underlays: [],
    fans: locals.map((local) => ({
      overlay: { address: 0xfa000000, length: 8 },
      underlay: { address: 0xac1e0000, length: 16 },
      local,
    })),
    ...{
      version: '',
      rttMs: undefined,
      loss: 0,
      lastHeardMs: 0,
      sinceMs: 0,
      epoch: 1,
      sequence: 1,
    },
    isSelf: false,
    ...extra,
  });
  t.same(
    memberMtus([
      member(9000, [1, 2]),
      member(1500, [2]),
      member(1400, [3], { isSelf: true }),
      member(1400, [4], { state: 'dead' }),
      member(0, [5]),
    ]),
    new Map([
      [1, 9000],
      [2, 1500],
    ]),
  );
});

t.test('hosts that a layer-2 network leads to are asked, wherever they are', async (t) => {
  const spec: NetworkSpec = {
    ...{ name: 'br-blue', network: 'blue', encap: 'vxlan', device: 'fwn-100', vni: 100 },
    ...{ underlay: { address: 0xac1e0000, length: 16 }, local: 0xac1e001c, mac: 2, port: 4789 },
    ...{ underlayMtu: 1500, innerMtu: 1450, dscp: 'pipe', sourcePorts: 16, offload: 'auto' },
    ...{ bum: 'none', serviceNodes: [], guard: 'learn', replicator: false },
  };
  const elsewhere = 0xac1f0007;
  const stranger = 0xac1f0008;
  const vtep: VtepAt = (link, member) =>
    link === spec.name && member === elsewhere
      ? { peer: member, owner: 'b', sequence: 0, mac: 0, source: 'gossip' }
      : undefined;
  const at = (peer: number): PathRecord => ({
    ...{ peer, mtu: 0, mtuSource: MtuSource.None, mtuSinceMs: 0, segmentation: 0 },
    ...{ segmentErrno: 0, refusedSinceMs: 0, portUnreachable: 0, portUnreachableAtMs: 0 },
    ...{ largeAtMs: 1000, usedAtMs: 1000 },
  });
  const paths = [at(PEER), at(elsewhere), at(stranger)];
  const large = largePeers(paths, [spec], 2000, vtep);
  t.same(
    [...large],
    [
      [PEER, 1500],
      [elsewhere, 1500],
    ],
  );
  t.equal(endTo(elsewhere, [spec], vtep)?.local, spec.local);
  t.equal(endTo(stranger, [spec], vtep), undefined);
});
