/**
 * Measurements that this machine's kernel lacks something for, made on another kernel: a User-Mode Linux
 * guest that runs the same programs. It has one slow core, so that links are slow too: only how figures of
 * one table stand to each other counts.
 * @module
 */
import { dirname, join } from 'node:path';
import { distDirectory } from '../src/sys/host/paths.ts';
import { skipWithoutUml, UmlGuest } from '../test/interop/uml-guest.ts';
import { hasBond } from './bond.ts';
import type { Extra } from './extras.ts';
import type { ExtraTable, Results } from './results.ts';

const MODULES = ['ipv6', 'tun', 'veth', 'bridge', 'vxlan', 'bonding', 'sch_tbf', 'nf_tables'];
/** Of each link, Mb/s. */
const LINK_MBITS = 8;
const TIMEOUT_MS = 3_600_000;
/** What the guest's bench tells on its way, in the folder that both see. */
const PROGRESS = '/mnt/progress';

async function run(): Promise<ExtraTable | string> {
  const missing = skipWithoutUml();
  if (missing !== false) return missing;
  const dist = distDirectory();
  const guest = await UmlGuest.bootAlone(dirname(dist), MODULES);
  try {
    const release = (await guest.run('uname -r')).trim();
    const { FANWAY_BENCH_LINK_MBITS: mbits = LINK_MBITS, FANWAY_BENCH_LINK_SECONDS: seconds = 3 } =
      process.env;
    const modes = process.env['FANWAY_BENCH_LINK_MODES'] ?? '';
    const set = `FANWAY_BENCH_LINK_MBITS=${mbits} FANWAY_BENCH_LINK_SECONDS=${seconds} FANWAY_BENCH_LINK_MODES='${modes}'`;
    const command = `${process.execPath} '${join(dist, 'bench.js')}' --only underlays --no-keep --json`;
    const text = await guest.run(
      `${set} ${command} 2>${PROGRESS} || { tail -n 5 ${PROGRESS}; exit 1; }`,
      TIMEOUT_MS,
    );
    const { extras = [], notAvailable } = JSON.parse(text) as Results;
    const [table] = extras;
    if (table === undefined) return notAvailable[0]?.reason ?? 'the guest measured nothing';
    return { ...table, title: `${table.title}, in a guest with Linux ${release} (UML)` };
  } finally {
    guest.close();
  }
}

/** The table of underlays once more where there is a bond, if this kernel has none. */
export const underlaysGuest: Extra = {
  key: 'underlaysGuest',
  slow: true,
  run: async () => (hasBond() ? 'this kernel has a bond itself: --only underlays' : run()),
};
