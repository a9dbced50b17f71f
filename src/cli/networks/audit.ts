/**
 * `fanway audit`: layer-2 networks, what is decided against what really forwards.
 * @module
 */
import { auditCall } from '../../api/network/audit.ts';
import { ask } from '../../control/admin/admin-client.ts';
import { RunDirectory } from '../../control/store/run-directory.ts';
import { ExitCode } from '../../errors.ts';
import { noMore, printJson, takeFlags, type Verb } from '../verb/verb.ts';

export const audit: Verb = {
  name: 'audit',
  summary: 'layer-2 networks: what is decided against what really forwards',
  usage: ['audit [--repair] [--json]'],
  options: [
    ['--repair', 'put right what differs'],
    ['--json', 'as JSON'],
  ],
  examples: [
    ['fanway audit', 'exits with 1 when tables, bridge and decisions differ'],
    ['fanway audit --repair', 'and writes anew what does'],
  ],
  async run(args, io) {
    const { flags, rest } = takeFlags(args, { '--repair': 'switch', '--json': 'switch' });
    noMore(rest, audit);
    const run = new RunDirectory(io.env['FANWAY_RUN_DIR']);
    const found = await ask(run, auditCall, { repair: flags.has('--repair') });
    if (flags.has('--json')) printJson(io, found);
    else if (found.length === 0) io.out('no networks are up\n');
    else {
      for (const { network, checked, drift, drifts, repaired } of found) {
        const put = repaired > 0 ? `, ${repaired} put right` : '';
        io.out(`network ${network}: ${checked} compared, ${drift} differ${put}\n`);
        for (const text of drifts) io.out(`  ${text}\n`);
      }
    }
    return found.every(({ drift, repaired }) => drift === repaired) ? ExitCode.Ok : ExitCode.Failed;
  },
};
