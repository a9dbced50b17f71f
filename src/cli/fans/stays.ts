/**
 * What keeps a router that has no fans, and how to end it.
 * @module
 */
import { type RouterStatus, statusCall } from '../../api/status.ts';
import { ask } from '../../control/admin/admin-client.ts';
import type { RunDirectory } from '../../control/store/run-directory.ts';

type Kept = Pick<RouterStatus, 'mode'> & {
  links: readonly object[];
  networks: readonly { network: string }[];
  gossip: object | null;
};

const AS_A_SERVICE = 'systemctl stop fanway, or SIGTERM, ends it';

/** `a`, `a and b`, `a, b and c`. */
function listed(words: readonly string[]): string {
  const [last = ''] = words.slice(-1);
  const rest = words.slice(0, -1);
  return rest.length === 0 ? last : `${rest.join(', ')} and ${last}`;
}

function ends(commands: readonly string[]): string {
  return `${listed(commands)} ${commands.length === 1 ? 'ends' : 'end'} it`;
}

function commandsOf({ networks, gossip }: Kept): string[] {
  return [
    ...networks.map(({ network }) => `fanway net rm ${network}`),
    ...(gossip === null ? [] : ['fanway leave']),
  ];
}

/** Why a router stays when its last fan has gone, and what ends it; '' when it ends by itself. */
export function staysFor(router: Kept): string {
  if (router.mode === 'daemon') return `as a service: ${AS_A_SERVICE}`;
  const names = router.networks.map(({ network }) => network);
  const reasons = [
    ...(names.length === 0
      ? []
      : [`${names.length === 1 ? 'network' : 'networks'} ${listed(names)}`]),
    ...(router.gossip === null ? [] : ['gossip']),
  ];
  if (reasons.length === 0) return '';
  return `for ${reasons.join(' and for ')}: ${ends(commandsOf(router))}`;
}

/** What ends a router that runs, whatever it does. */
export function whatEnds(router: Kept): string {
  if (router.mode === 'daemon') {
    return `${AS_A_SERVICE}; systemctl reload fanway, or SIGHUP, has it read its file again`;
  }
  const commands = [
    ...(router.links.length === 0 ? [] : ['fanway down -e']),
    ...commandsOf(router),
  ];
  return commands.length === 0 ? 'it ends by itself' : ends(commands);
}

/** {@link staysFor} of the router that runs here; '' too when it does not answer any more. */
export async function staysNow(run: RunDirectory): Promise<string> {
  const status = await ask(run, statusCall).catch(() => undefined);
  return status === undefined ? '' : staysFor(status);
}
