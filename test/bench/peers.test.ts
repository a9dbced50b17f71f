import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { isNewer } from '../../bench/peer-apt.ts';
import { installedPackages, isDynamic, keptPackages } from '../../bench/peer-packages.ts';
import { peerVariants, unmeasuredPeers } from '../../bench/peers.ts';
import { titleOf } from '../../bench/variants.ts';

const noDpkg = spawnSync('dpkg', ['--version']).status !== 0 && 'there is no dpkg here';

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'fanway-peers-test-'));
  t.teardown(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

t.test('isNewer() counts as Debian does', { skip: noDpkg }, async (t) => {
  t.ok(isNewer('1.11.0+dfsg-1', '1.6.1+dfsg-3+b4'));
  t.notOk(isNewer('1.0', '1.0'));
  t.notOk(isNewer('2.0~rc1', '2.0'));
});

t.test('isDynamic() tells programs that a loader has to start', async (t) => {
  const path = join(folder(), 'program');
  const elf = Buffer.alloc(4096);
  elf.writeUInt32BE(0x7f454c46);
  elf.writeBigUInt64LE(64n, 32);
  elf.writeUInt16LE(56, 54);
  elf.writeUInt16LE(2, 56);
  writeFileSync(path, elf);
  t.notOk(isDynamic(path), 'static');
  elf.writeUInt32LE(3, 64 + 56);
  writeFileSync(path, elf);
  t.ok(isDynamic(path));
  elf.writeBigUInt64LE(2n ** 60n, 32);
  writeFileSync(path, elf);
  t.notOk(isDynamic(path), 'a header that lies far outside');
  writeFileSync(path, '#!/bin/sh\n');
  t.notOk(isDynamic(path), 'a script');
});

t.test('what was unpacked is known by its record, with version and program', async (t) => {
  const path = folder();
  t.equal(keptPackages(path), undefined);
  writeFileSync(join(path, 'packages.json'), '{"format":7}');
  t.equal(keptPackages(path), undefined);
  const record = {
    ...{ format: 1, missing: { fastd: 'fastd 23 of sid: unmet dependencies' } },
    found: { nebula: { version: '1.11.0-1', suite: 'forky', root: '/there' } },
    ...{ programs: { nebula: '/there/start/nebula' }, other: 'no such package in sid' },
  };
  writeFileSync(join(path, 'packages.json'), JSON.stringify(record));
  const packages = keptPackages(path);
  if (packages === undefined) throw new Error('the record was not read');
  t.equal(packages.program('nebula'), '/there/start/nebula');
  t.equal(packages.file('nebula', 'usr/x'), '/there/usr/x');
  const titles = peerVariants(() => packages).map(titleOf);
  t.ok(titles.includes('nebula 1.11.0-1'), titles.join());
  t.match(packages.whyMissing('fastd'), 'unmet dependencies');
  const unmeasured = unmeasuredPeers(packages);
  t.match(
    unmeasured.find(({ what }) => what.startsWith('Tailscale')),
    { reason: 'tailscale: no such package in sid' },
  );
});

t.test('what dpkg has installed has its version', { skip: noDpkg }, async (t) => {
  const packages = installedPackages(['dpkg', 'fanway-no-such-package']);
  t.match(packages.of('dpkg'), { version: /^\d/, suite: '', root: '/' });
  t.equal(packages.of('fanway-no-such-package'), undefined);
  t.match(packages.whyMissing('fanway-no-such-package'), /not installed/);
});
