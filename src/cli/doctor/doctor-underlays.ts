/**
 * What the router that runs here knows of the underlays of links that have several.
 * @module
 */
import { type LinkUnderlays, statusCall } from '../../api/status.ts';
import { ask } from '../../control/admin/admin-client.ts';
import { RunDirectory } from '../../control/store/run-directory.ts';
import { counted, timeText } from '../verb/quantities.ts';

/** Of what was asked; less is no reason to look for a fault. */
const LOST_PERCENT_MAX = 5;

/** What is wrong, and otherwise each underlay in a few words; `isSeveral`: some link has more than one. */
export type UnderlaysReport = { isSeveral: boolean; wrong: string[]; well: string[] };

/** @throws FanwayError where no router answers */
export async function underlaysReport(): Promise<UnderlaysReport> {
  const { links, networks } = await ask(
    new RunDirectory(process.env['FANWAY_RUN_DIR']),
    statusCall,
  );
  return judgeUnderlays([
    ...links,
    ...networks.map((network) => ({ ...network, name: network.network })),
  ]);
}

export function judgeUnderlays(
  links: readonly (LinkUnderlays & { name: string })[],
): UnderlaysReport {
  const several = links.filter(({ underlays }) => underlays !== undefined);
  const wrong: string[] = [];
  const well: string[] = [];
  for (const { name, underlays = [] } of several) {
    for (const { device, carrier, mtu, found, peers } of underlays) {
      const at = `${name} by ${device}`;
      const lost = peers.filter(({ state }) => state === 'lost' || state === 'rising');
      const worst = Math.max(0, ...peers.map(({ lostPercent }) => lostPercent));
      if (!carrier) wrong.push(`${at}: no carrier`);
      if (found === 'nobody') wrong.push(`${at}: nobody finds this host there without gossip`);
      if (lost.length > 0)
        wrong.push(`${at}: ${lost.length} of ${counted(peers.length, 'host')} lost`);
      else if (worst > LOST_PERCENT_MAX) wrong.push(`${at}: ${worst.toFixed(0)} % lost`);
      const delays = peers.flatMap(({ delayMs }) => (delayMs === null ? [] : [delayMs]));
      const most = delays.length === 0 ? '' : `, up to ${timeText(Math.max(...delays))}`;
      well.push(`${at}: MTU ${mtu}, ${counted(peers.length, 'host')}${most}`);
    }
  }
  return { isSeveral: several.length > 0, wrong, well };
}
