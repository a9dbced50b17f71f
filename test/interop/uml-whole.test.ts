/**
 * Whole routers inside a guest with another kernel: what this machine's own kernel may lack (IPsec, IP in IP), and
 * what the guest's lacks (translation of addresses by nftables), which other machines lack too.
 */
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { distDirectory } from '../../src/sys/host/paths.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { skipLong } from '../support/long.ts';
import { skipWithoutUml, UmlGuest } from './uml-guest.ts';

const skip = skipLong || skipWithoutTun() || skipWithoutUml();
const ROUTER = ['ipv6', 'tun', 'veth', 'bridge', 'vxlan', 'nf_tables', 'nft_masq', 'nft_ct'];
const ESP = [
  ...['hmac', 'sha512_generic', 'jitterentropy_rng', 'drbg', 'ctr', 'gcm', 'ghash-generic'],
  ...['seqiv', 'esp4', 'xfrm_user', 'dummy'],
];
/** What the kernel forwards by, as of before Linux 6.6. */
const KERNEL_PATH = ['ipip', 'sch_ingress', 'cls_bpf'];
/** The guest has one slow core. */
const TIMEOUT_MS = 600_000;

t.test('on another kernel', { skip, timeout: 2 * TIMEOUT_MS }, async (t) => {
  const dist = distDirectory();
  const guest = await UmlGuest.bootAlone(dirname(dist), [...ROUTER, ...ESP, ...KERNEL_PATH]);
  t.teardown(() => guest.close());
  t.comment(`the guest runs Linux ${(await guest.run('uname -r')).trim()}`);
  const node = process.execPath;

  await t.test('without NAT in nftables a fan goes on and says what it costs', async (t) => {
    const fanway = `${node} ${join(dist, 'fanway.js')}`;
    await guest.run(
      'ip link add under type dummy; ip addr add 172.30.0.1/16 dev under; ip link set under up',
    );
    const lacks = await guest.run(
      'printf "add table ip x\nadd chain ip x y { type nat hook postrouting priority 100; }\n" | nft -f - 2>&1 || true; nft delete table ip x 2>/dev/null || true',
    );
    t.match(lacks, /not supported|No such file/, 'the guest has none');
    t.match(await guest.run(`${fanway} up 250 under/16 2>&1`, TIMEOUT_MS), /fan-250/);
    const status = await guest.run(`${fanway} status; true`, TIMEOUT_MS);
    t.match(status, /containers of 250\.0\.1\.0\/24 reach nothing outside of the overlay/);
    await guest.run(`${fanway} down -e`, TIMEOUT_MS);
    t.notMatch(await guest.run('ip link'), /fan-250/);
    await guest.run('ip link del under');
  });

  /** Runs a test file of ours in the guest; returns what it said. */
  const runThere = (file: string, only: string): Promise<string> => {
    const path = join(dirname(fileURLToPath(import.meta.url)), '..', file);
    const environment = `FANWAY_TEST_LONG=1 TAP_TIMEOUT=580 TAP_GREP="${only}"`;
    return guest.run(`cd '${dirname(dist)}' && ${environment} ${node} '${path}' 2>&1`, TIMEOUT_MS);
  };

  for (const [what, file] of [
    ['IPsec beneath', 'control/path-mtu.test.js'],
    ['a fan of ipip, forwarded by the kernel', 'security/crafted-kernel-ipip.test.js'],
  ] as const) {
    await t.test(what, { timeout: TIMEOUT_MS }, async (t) => {
      const said = await runThere(file, what);
      t.match(said, new RegExp(`^ok \\d+ - ${what} # time`, 'm'), 'it ran there, and passed');
    });
  }
});
