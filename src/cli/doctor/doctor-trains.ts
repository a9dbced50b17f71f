/**
 * What the router that runs here has seen of trains of datagrams on their way to peers.
 * @module
 */
import { damagesTrains, statusCall } from '../../api/status.ts';
import { ask } from '../../control/admin/admin-client.ts';
import { RunDirectory } from '../../control/store/run-directory.ts';

/** The peers that trains arrive damaged at. @throws FanwayError where no router answers */
export async function trainsReport(): Promise<string[]> {
  const { paths } = await ask(new RunDirectory(process.env['FANWAY_RUN_DIR']), statusCall);
  return paths.filter(damagesTrains).map(({ peer }) => peer);
}
