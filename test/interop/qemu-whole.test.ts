/** A whole router in a guest with a newer kernel than the other guest's: what programs find only there. */
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { distDirectory } from '../../src/sys/host/paths.ts';
import { skipWithoutTun } from '../netns/privileges.ts';
import { skipLong } from '../support/long.ts';
import { QemuGuest, skipWithoutShare } from './qemu-guest.ts';

const skip = skipLong || skipWithoutTun() || skipWithoutShare(6, 4);
const MODULES = [
  ...[
    'tun',
    'veth',
    'bridge',
    'nf_tables',
    'nft_masq',
    'nft_chain_nat',
    'nft_ct',
    'nft_nat',
    'nft_meta_bridge',
  ],
  ...['sch_ingress', 'cls_bpf', 'ipip', 'fou'],
];
const CASE = 'a fan of fou, forwarded by the kernel';
/** The guest's processors are emulated. */
const TIMEOUT_MS = 500_000;

t.test('on a newer kernel', { skip, timeout: TIMEOUT_MS }, async (t) => {
  const checkout = dirname(distDirectory());
  const guest = await QemuGuest.bootAlone(checkout, MODULES);
  t.teardown(() => guest.close());
  t.comment(`the guest runs Linux ${(await guest.run('uname -r')).trim()}`);
  const file = join(
    dirname(fileURLToPath(import.meta.url)),
    '../security/crafted-kernel-ipip.test.js',
  );
  const environment = `FANWAY_TEST_LONG=1 FANWAY_TEST_EMULATED=1 TAP_TIMEOUT=470 TAP_GREP='${CASE}'`;
  const said = await guest.run(
    `cd '${checkout}' && ${environment} ${process.execPath} '${file}' 2>&1`,
    TIMEOUT_MS,
  );
  t.match(said, new RegExp(`^ok \\d+ - ${CASE} # time`, 'm'), 'it ran there, and passed');
  for (const [line] of said.matchAll(/^ *# .*$/gm)) t.comment(line);
});
