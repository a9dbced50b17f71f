/**
 * What `fanway run` looks after while its command runs: that there is a router, and that the command
 * sees the names of the overlay's hosts.
 * @module
 */
import { hostname } from 'node:os';
import { fansCall } from '../../api/fans.ts';
import { membersCall } from '../../api/members.ts';
import { ask } from '../../control/admin/admin-client.ts';
import type { RunDirectory } from '../../control/store/run-directory.ts';
import { startRouter, waitReady } from '../../control/supervise.ts';
import { messageOf } from '../../errors.ts';
import { gatewayOf, hasIpv4, sliceOf } from '../../net/fan.ts';
import { formatIpv4, parseIpv4 } from '../../net/ipv4.ts';
import { formatPrefix, parsePrefix } from '../../net/prefix.ts';
import { formatAddress6 } from '../../net/prefix6.ts';
import { hostsFile, hostsText, machineText, type NamedHost, writeInPlace } from './files.ts';

/** A member that has joined has its name by then, ms. */
const LOOK_MS = 2000;
/** So many looks in a row that failed are told, once. */
const FAILURES_TOLD = 3;

/** The router outside of the namespace, started where none runs. The caller holds the lock `lock`. */
export async function ensureRouter(run: RunDirectory): Promise<void> {
  const free = run.lock('router.lock', { wait: false });
  if (free === undefined) return waitReady(run);
  await startRouter(run, free, ['--door']);
  free.release();
}

/**
 * Every named host of the overlays that this one is on; this one where gossip does not name it. Others
 * are named by their IPv4 addresses only.
 */
async function namedHosts(run: RunDirectory): Promise<NamedHost[]> {
  const fans = await ask(run, fansCall);
  const overlays = fans.map(({ spec }) => formatPrefix(spec.overlay));
  const own = fans.flatMap(({ spec: { overlay, gateway, six } }) => [
    ...(hasIpv4(overlay) ? [{ name: hostname(), address: formatIpv4(gateway) }] : []),
    ...(six === undefined ? [] : [{ name: hostname(), address: formatAddress6(six.gateway) }]),
  ]);
  // Without gossip nobody has a name but us.
  const members = await ask(run, membersCall).catch(() => []);
  const named = members.flatMap(({ name, state, fans: theirs }) =>
    state === 'dead' || state === 'left'
      ? []
      : theirs
          .filter(({ overlay }) => overlays.includes(overlay))
          .map(({ overlay, underlay, local }) => {
            const map = { overlay: parsePrefix(overlay), underlay: parsePrefix(underlay) };
            return { name, address: formatIpv4(gatewayOf(sliceOf(map, parseIpv4(local)))) };
          }),
  );
  const known = new Set(named.map(({ name }) => name));
  return [...own.filter(({ name }) => !known.has(name)), ...named];
}

export class Watch {
  readonly #run: RunDirectory;
  readonly #warn: (text: string) => void;
  #timer: NodeJS.Timeout | undefined;
  #busy = false;
  #failures = 0;

  /** @param warn told once of what keeps the router from running */
  constructor(run: RunDirectory, warn: (text: string) => void) {
    this.#run = run;
    this.#warn = warn;
  }

  async start(): Promise<void> {
    await this.#look();
    this.#timer = setInterval(() => void this.#look(), LOOK_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  async #look(): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    try {
      await this.#mend();
      const hosts = await namedHosts(this.#run);
      writeInPlace(hostsFile(this.#run), hostsText(machineText('/etc/hosts'), hosts));
      this.#failures = 0;
    } catch (error) {
      // What was known stays, and the next look is soon; a router that restarts is back by then.
      if (++this.#failures === FAILURES_TOLD) this.#warn(messageOf(error));
    } finally {
      this.#busy = false;
    }
  }

  /** Somebody killed the router with all that could have restarted it. */
  async #mend(): Promise<void> {
    const free = this.#run.lock('router.lock', { wait: false });
    if (free === undefined) return;
    free.release();
    const lock = this.#run.lock('lock', { wait: false });
    if (lock === undefined) return;
    try {
      await ensureRouter(this.#run);
    } finally {
      lock.release();
    }
  }
}
