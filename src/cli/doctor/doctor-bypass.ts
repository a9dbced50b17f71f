/**
 * The way past the bridge of fans that the kernel forwards, in words.
 * @module
 */
import { type LinkStatus, statusCall } from '../../api/status.ts';
import { ask } from '../../control/admin/admin-client.ts';
import { RunDirectory } from '../../control/store/run-directory.ts';
import { bypassText } from '../inspect/status.ts';

/** What there is to say of each such fan, and whether all of their ports have the way past it. */
export function bypassFindings(links: readonly Pick<LinkStatus, 'name' | 'bypass'>[]): {
  isWhole: boolean;
  fans: string[];
} {
  const found = links.flatMap(({ name, bypass }) => (bypass === undefined ? [] : { name, bypass }));
  return {
    isWhole: found.every(({ bypass }) => bypass.why === '' && bypass.others.length === 0),
    fans: found.map(({ name, bypass }) => `${name}: ${bypassText(bypass)}`),
  };
}

/** The same of the router that runs here. @throws FanwayError where none answers */
export async function bypassReport(): Promise<ReturnType<typeof bypassFindings>> {
  const directory = new RunDirectory(process.env['FANWAY_RUN_DIR']);
  return bypassFindings((await ask(directory, statusCall)).links);
}
