import { readdirSync } from 'node:fs';
import t from 'tap';
import { Arena } from '../../src/dataplane/ground/arena.ts';
import { ARENA_BYTES } from '../../src/dataplane/loop.ts';
import { warmUp } from '../../src/dataplane/warm-up.ts';
import { ENCAPS } from '../../src/encap/encap.ts';
import { EPERM } from '../../src/sys/libc/constants.ts';
import { SystemError } from '../../src/sys/libc/libc.ts';
import { unaccounted } from '../../src/table/counters.ts';

const descriptors = (): string[] => readdirSync('/proc/self/fd').sort();

for (const { name, id } of Object.values(ENCAPS)) {
  t.test(`${name}: both ways, all kinds, and nothing remains`, async (t) => {
    const arena = new Arena(ARENA_BYTES);
    const before = descriptors();
    const counters = warmUp(arena, id) ?? {};
    t.same(descriptors(), before, 'no descriptor is left');
    t.ok((counters['egress.delivered'] ?? 0) > 1000, `${counters['egress.delivered']} out`);
    t.ok((counters['ingress.delivered'] ?? 0) > 1000, `${counters['ingress.delivered']} in`);
    t.ok((counters['event.super_packets_in'] ?? 0) > 0, 'super-packets were cut');
    t.ok((counters['event.super_packets_out'] ?? 0) > 0, 'and made');
    t.equal(unaccounted(counters, 'egress'), 0);
    t.equal(unaccounted(counters, 'ingress'), 0);
    const drops = Object.entries(counters).filter(([key, value]) => /drop/.test(key) && value > 0);
    // A full socket may cost some where the machine lets it happen; no check refuses any.
    const refused = drops.filter(([key]) => !/full|paused/.test(key));
    t.same(refused, [], 'the frames are what a fan carries');
    t.ok(
      arena.bytes.every((byte) => byte === 0),
      'the arena is as if untouched',
    );
    t.equal(arena.allocate(8), 0);
  });
}

t.test('a process that may not make sockets begins cold', async (t) => {
  const refuse = (): never => {
    throw new SystemError('socketpair', EPERM);
  };
  t.equal(warmUp(new Arena(ARENA_BYTES), ENCAPS.vxlan.id, refuse), undefined);
});
