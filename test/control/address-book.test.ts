import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import {
  AddressBook,
  type BlockWish,
  type Book,
  claimBlock,
  dropClaim,
  freeLeases,
  freeRanges,
  type LeaseWish,
  takeLease,
} from '../../src/control/store/address-book.ts';
import { formatIpv4, parseIpv4 } from '../../src/net/ipv4.ts';
import { formatPrefix, parsePrefix } from '../../src/net/prefix.ts';

const SLICE = parsePrefix('250.0.28.0/24');
const ROOM = { first: parseIpv4('250.0.28.2'), last: parseIpv4('250.0.28.254') };
const empty = (): Book => ({ claims: [], leases: [], latest: 0 });

function claim(book: Book, wish: Partial<BlockWish>): string {
  return formatPrefix(
    claimBlock(book, SLICE, { owner: 'docker', busy: [], shared: false, ...wish }),
  );
}

function lease(book: Book, container: string, more: Partial<LeaseWish> = {}): string {
  const key = { network: 'fan', container, interface: 'eth0' };
  return formatIpv4(takeLease(book, { owner: 'cni', key, boot: 'b1', rooms: [ROOM], ...more }));
}

t.test('an engine alone gets the slice, several share it', async (t) => {
  const book = empty();
  t.equal(claim(book, {}), '250.0.28.0/24');
  t.throws(() => claim(book, { owner: 'podman' }), /left for podman: docker 250\.0\.28\.0 to/);
  t.throws(() => lease(book, 'a'), /no address .*docker has/);
  t.equal(claim(book, { block: parsePrefix('250.0.28.128/25') }), '250.0.28.128/25', 'less');
  t.equal(claim(book, { owner: 'podman' }), '250.0.28.0/25');
  t.ok(dropClaim(book, 'podman'));
  t.notOk(dropClaim(book, 'podman'));
  t.equal(claim(empty(), { shared: true }), '250.0.28.128/25', 'half beside DHCP');
  const busy = [parseIpv4('250.0.28.200')];
  t.equal(claim(empty(), { busy }), '250.0.28.0/25', 'not what somebody uses');
  t.throws(() => claim(empty(), { busy, block: SLICE }), /250\.0\.28\.200 is in use/);
  t.throws(() => claim(empty(), { block: parsePrefix('250.0.29.0/25') }), /no part of/);
});

t.test('single addresses', async (t) => {
  const book = empty();
  t.equal(lease(book, 'a'), '250.0.28.2');
  t.equal(lease(book, 'b'), '250.0.28.3');
  t.equal(lease(book, 'a'), '250.0.28.2', 'the same one again');
  t.equal(
    freeLeases(book, 'cni', ({ container }) => container === 'a'),
    1,
  );
  t.equal(lease(book, 'c'), '250.0.28.4', 'one given back rests');
  t.throws(() => lease(book, 'd', { address: parseIpv4('250.0.28.4') }), /is not free/);
  t.throws(() => lease(book, 'd', { address: parseIpv4('250.0.28.1') }), /is not free/);
  t.equal(lease(book, 'd', { address: parseIpv4('250.0.28.254') }), '250.0.28.254');
  t.equal(lease(book, 'e'), '250.0.28.2', 'around the end');
  for (let at = 0; at < 249; at++) lease(book, `more${at}`);
  t.equal(new Set(book.leases.map(({ address }) => address)).size, 253);
  t.throws(() => lease(book, 'last'), /no address of the slice is left/);
  t.equal(lease(book, 'after', { boot: 'b2' }), '250.0.28.254', 'a reboot frees them all');
  t.equal(book.leases.length, 1);
  claim(book, { block: parsePrefix('250.0.28.64/26') });
  t.same(
    freeRanges(book, ROOM).map(({ first, last }) => [formatIpv4(first), formatIpv4(last)]),
    [
      ['250.0.28.2', '250.0.28.63'],
      ['250.0.28.128', '250.0.28.253'],
    ],
  );
});

t.test('the file is whole or set aside', async (t) => {
  const state = mkdtempSync(join(tmpdir(), 'fanway-book-'));
  t.teardown(() => rmSync(state, { recursive: true }));
  const book = new AddressBook(state, SLICE);
  t.same(book.read(), empty(), 'none yet');
  book.change((now) => lease(now, 'a'));
  const change = (): void => {
    book.change((now) => {
      lease(now, 'b');
      throw new Error('in the middle');
    });
  };
  t.throws(change, /in the middle/);
  t.same(
    new AddressBook(state, SLICE).read().leases.map(({ container }) => container),
    ['a'],
  );
  const folder = join(state, 'addresses');
  writeFileSync(join(folder, '250.0.28.0-24.json'), '{"version":1,"claims":[{}],"leases":[]');
  t.same(book.read(), empty());
  t.ok(readdirSync(folder).some((name) => name.endsWith('.damaged')));
});
