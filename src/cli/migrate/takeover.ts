/**
 * Taking this host's part of a running fan over from whoever made it, and giving it back. The bridge stays as it
 * is, with its address and its containers: the other's tunnel device is put down, which frees its UDP port,
 * and fanway's own joins the same bridge. The wire is the same, so hosts that are not done yet stay its peers.
 *
 * What was put down is written down before it is, in the state directory.
 * @module
 */
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { downCall, upCall } from '../../api/fans.ts';
import type { FanRequest } from '../../config/request.ts';
import { ask } from '../../control/admin/admin-client.ts';
import type { Host } from '../../control/host/host.ts';
import { readSnapshot } from '../../control/host/read-snapshot.ts';
import { openHost } from '../../control/host/real-host.ts';
import type { Snapshot, SnapshotLink } from '../../control/host/snapshot.ts';
import { isResolved, resolveUnderlay } from '../../control/links/underlay/resolve.ts';
import { stateDirectoryOf } from '../../control/store/address-book.ts';
import { hasFields } from '../../control/store/link-spec.ts';
import {
  type RunDirectory,
  readIfThere,
  writeAtomically,
} from '../../control/store/run-directory.ts';
import { carriesFrames, ENCAPS } from '../../encap/encap.ts';
import { codeOf, messageOf, refusedError } from '../../errors.ts';
import { gatewayOf, sliceOf } from '../../net/fan.ts';
import { formatIpv4 } from '../../net/ipv4.ts';
import { withRouter } from '../fans/with-router.ts';
import type { Io } from '../verb/verb.ts';

/** What was put down for a fan: the bridge that stays, and the tunnel's device by name. */
type Taken = { bridge: string; tunnel: string };

/** The kernel's word for the device of an old fan. */
const TUNNEL_KIND: string = ENCAPS.vxlan.name;
const FIELDS = { bridge: 'string', tunnel: 'string' };
const FILE = /^[a-z0-9_][a-z0-9_.-]{0,14}\.json$/;

function isTaken(value: unknown): value is Taken {
  return hasFields(value, FIELDS);
}

function folderOf(io: Io): string {
  return join(stateDirectoryOf(io.env), 'taken-over');
}

/** Every fan that was taken over and not given back. */
export function takenOver(io: Io): Taken[] {
  const folder = folderOf(io);
  let files: string[];
  try {
    files = readdirSync(folder);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return [];
    throw error;
  }
  return files
    .filter((file) => FILE.test(file))
    .map((file) => {
      const value: unknown = JSON.parse(readIfThere(join(folder, file)) ?? 'null');
      if (isTaken(value)) return value;
      throw refusedError(
        'taken-over',
        `${join(folder, file)} is damaged: remove it, and put the old fan up by hand`,
      );
    });
}

/** The bridge and the tunnel of a fan that somebody else made here. @throws FanwayError */
function findOld(
  request: FanRequest,
  snapshot: Snapshot,
): { bridge: SnapshotLink; tunnel: SnapshotLink } {
  if (!carriesFrames(request.encap)) {
    throw refusedError(
      'not-bridged',
      `only fans over VXLAN are taken over as they run: for ${request.encap} take the steps that fanway migrate prints`,
    );
  }
  const at = resolveUnderlay(request.underlay, snapshot);
  if (!isResolved(at)) throw refusedError(at.code, at.message);
  if (typeof at.local !== 'number') {
    throw refusedError('not-bridged', 'a fan over IPv6 is none of the old ones');
  }
  const gateway = gatewayOf(sliceOf({ overlay: request.overlay, underlay: at.underlay }, at.local));
  const own = snapshot.addresses.find(({ address }) => address === gateway);
  const bridge = snapshot.links.find(
    ({ index, kind }) => index === own?.index && kind === 'bridge',
  );
  if (bridge === undefined || bridge.alias !== '') {
    throw refusedError(
      'no-old-fan',
      bridge === undefined
        ? `no bridge here has ${formatIpv4(gateway)}, which a fan that runs would have: fanway up makes one`
        : `${bridge.name} is fanway's already`,
    );
  }
  const tunnels = snapshot.links.filter(
    ({ kind, master, up }) => kind === TUNNEL_KIND && master === bridge.index && up,
  );
  const [tunnel, ...more] = tunnels;
  if (tunnel !== undefined && more.length === 0) return { bridge, tunnel };
  throw refusedError(
    'no-old-fan',
    tunnel === undefined
      ? `${bridge.name} has no VXLAN device that is up: nothing runs there that could be taken over`
      : `${bridge.name} has several VXLAN devices (${tunnels.map(({ name }) => name).join(', ')}): put all but the fan's down`,
  );
}

async function inHost<T>(run: RunDirectory, work: (host: Host) => Promise<T>): Promise<T> {
  const host = openHost(run);
  try {
    return await work(host);
  } finally {
    host.close();
  }
}

/** Takes one fan over; when it cannot be brought up, the old one is put up again. */
export async function takeOver(run: RunDirectory, request: FanRequest, io: Io): Promise<Taken> {
  return inHost(run, async (host) => {
    const { bridge, tunnel } = findOld(request, await readSnapshot(host, []));
    const taken = { bridge: bridge.name, tunnel: tunnel.name };
    const folder = folderOf(io);
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const path = join(folder, `${bridge.name}.json`);
    writeAtomically(path, `${JSON.stringify(taken)}\n`);
    await host.setLink(tunnel.index, { up: false });
    try {
      // Whoever hands out addresses on the bridge goes on with it.
      const wanted = { ...request, bridge: bridge.name, dhcp: false, auto: false };
      await withRouter(run, io, 'migrate', async () => {
        const plan = await ask(run, upCall, { request: wanted });
        if (plan.outcome === 'refused') {
          throw refusedError('refused', plan.refusals.map(({ message }) => message).join('\n'));
        }
      });
    } catch (error) {
      await host.setLink(tunnel.index, { up: true });
      rmSync(path, { force: true });
      throw refusedError('not-taken', `${bridge.name}: as before, for ${messageOf(error)}`);
    }
    return taken;
  });
}

/** Gives one back: fanway's tunnel goes, the old one comes up. */
export async function giveBack(
  run: RunDirectory,
  { bridge, tunnel }: Taken,
  io: Io,
): Promise<void> {
  await inHost(run, async (host) => {
    const old = (await host.links()).find(({ name }) => name === tunnel);
    if (old === undefined) {
      throw refusedError(
        'no-old-fan',
        `${tunnel} is not there any more: take the fan down (fanway down ${bridge} --force), start the old one its own way, and remove ${join(folderOf(io), `${bridge}.json`)}`,
      );
    }
    try {
      await ask(run, downCall, { name: bridge, force: true });
    } catch (error) {
      // It is down already, and perhaps the router with it.
      if (!['not-running', 'not-configured'].includes(codeOf(error))) throw error;
    }
    await host.setLink(old.index, { up: true });
    rmSync(join(folderOf(io), `${bridge}.json`), { force: true });
  });
}
