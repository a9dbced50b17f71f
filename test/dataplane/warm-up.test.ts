import { readdirSync } from 'node:fs';
import t from 'tap';
import { ARENA_BYTES } from '../../src/dataplane/arena-bytes.ts';
import { Arena } from '../../src/dataplane/ground/arena.ts';
import { WARM_UP_ARENA_BYTES, WarmUp } from '../../src/dataplane/warm-up.ts';
import { ENCAPS } from '../../src/encap/encap.ts';
import { EPERM } from '../../src/sys/libc/constants.ts';
import { SystemError } from '../../src/sys/libc/libc.ts';
import { unaccounted } from '../../src/table/counters.ts';

const descriptors = (): string[] => readdirSync('/proc/self/fd').sort();

for (const { name, id } of Object.values(ENCAPS)) {
  t.test(`${name}: both ways, all kinds, and nothing remains`, async (t) => {
    const arena = new Arena(WARM_UP_ARENA_BYTES + ARENA_BYTES);
    const before = descriptors();
    const warmUp = WarmUp.open(arena, id);
    if (warmUp === undefined) throw new Error('this machine refuses socket pairs');
    const own = arena.turnPage();
    t.ok(own <= WARM_UP_ARENA_BYTES, 'it has no more of the arena than it says');
    arena.bytes[own] = 1;
    t.ok(warmUp.step(), 'a round at a time');
    t.not(descriptors().length, before.length);
    warmUp.finish();
    t.notOk(warmUp.step(), 'and it has an end');
    const counters = warmUp.counters();
    t.same(descriptors(), before, 'no descriptor is left');
    t.ok((counters['egress.delivered'] ?? 0) > 100, `${counters['egress.delivered']} out`);
    t.ok((counters['ingress.delivered'] ?? 0) > 100, `${counters['ingress.delivered']} in`);
    t.ok((counters['event.super_packets_in'] ?? 0) > 0, 'super-packets were cut');
    t.ok((counters['event.super_packets_out'] ?? 0) > 0, 'and made');
    t.equal(unaccounted(counters, 'egress'), 0);
    t.equal(unaccounted(counters, 'ingress'), 0);
    const drops = Object.entries(counters).filter(([key, value]) => /drop/.test(key) && value > 0);
    // A full socket may cost some where the machine lets it happen; no check refuses any.
    const refused = drops.filter(([key]) => !/full|paused/.test(key));
    t.same(refused, [], 'the frames are what a fan carries');
    t.equal(arena.bytes[own], 1, 'what others have of the arena is theirs');
    arena.bytes[own] = 0;
    t.ok(
      arena.bytes.every((byte) => byte === 0),
      'all that it had is as if untouched',
    );
  });
}

t.test('a process that may not make sockets begins cold', async (t) => {
  const refuse = (): never => {
    throw new SystemError('socketpair', EPERM);
  };
  const arena = new Arena(WARM_UP_ARENA_BYTES + ARENA_BYTES);
  t.equal(WarmUp.open(arena, ENCAPS.vxlan.id, refuse), undefined);
});
