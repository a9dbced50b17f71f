/**
 * Which two hosts a word of the command line means for a measurement, by a fan or a layer-2 network over IPv4.
 * @module
 */
import { fansCall } from '../../api/fans.ts';
import { type NetworkAim, networkAimsCall } from '../../api/network/aims.ts';
import { networksCall } from '../../api/networks.ts';
import { ask } from '../../control/admin/admin-client.ts';
import { RunDirectory } from '../../control/store/run-directory.ts';
import { VXLAN } from '../../encap/encap.ts';
import { refusedError, usageError } from '../../errors.ts';
import { type Fan, findPair, pairOn } from '../../measure/fans.ts';
import type { ListeningNetwork } from '../../measure/listen-links.ts';
import type { Pair } from '../../measure/pair.ts';
import { formatIpv4 } from '../../net/ipv4.ts';
import { contains, networkOf, parsePrefix } from '../../net/prefix.ts';
import {
  formatHostAddress,
  parseHostAddress,
  type UnderlayAddress,
} from '../../net/underlay-address.ts';
import type { Io } from '../verb/verb.ts';
import { fansUp } from './measured.ts';
import { type Aim, aimsOf } from './ping-aims.ts';

/** @throws FanwayError where one end has no IPv4 address of its own, or the underlay is IPv6 */
function pairOf(aim: NetworkAim): Pair {
  const { network, bridge, vni, local, host, own, inside } = aim;
  const ipv4 = (text: string, whose: string): number => {
    const address = text === '' ? undefined : parseHostAddress(text);
    if (typeof address === 'number') return address;
    throw refusedError(
      'no-own-address',
      `network ${network}: ${whose} has no IPv4 address to measure by: fanway net add takes --address on both hosts, over an underlay of IPv4`,
    );
  };
  const near = { tunnel: ipv4(own, 'this host'), underlay: ipv4(local, 'this host') };
  const far = { tunnel: ipv4(inside, 'the other host'), underlay: ipv4(host, 'the other host') };
  const { length } = parsePrefix(aim.underlay);
  const link = {
    ...{ name: bridge, title: `network ${network} (VNI ${vni})`, encap: VXLAN.name },
    underlay: { address: networkOf({ address: near.underlay, length }), length },
    device: bridge,
    command: { verb: 'network', vni, own: near.tunnel } as const,
  };
  return { link, near, far };
}

async function pairByNetwork({ link, host }: Aim, run: RunDirectory): Promise<Pair> {
  // Whatever was named there: it is the host that listens, at its own address.
  const what = formatHostAddress(host);
  const [aim] = await ask(run, networkAimsCall, { what, network: link.name });
  if (aim !== undefined) return pairOf(aim);
  throw refusedError('no-host', `${what} is not on ${link.title} any more: see fanway net show`);
}

function ipv4Of(word: string): number | undefined {
  let address: UnderlayAddress;
  try {
    address = parseHostAddress(word);
  } catch {
    return undefined;
  }
  return typeof address === 'number' ? address : undefined;
}

/**
 * This host and the one that `word` means: an address of a fan or its underlay, an address or MAC on a
 * network, or a member's name. `network` undefined = fans first.
 * @throws FanwayError with what would work
 */
export async function pairTo(word: string, network: string | undefined, io: Io): Promise<Pair> {
  const run = new RunDirectory(io.env['FANWAY_RUN_DIR']);
  const fans = await fansUp(io);
  const address = ipv4Of(word);
  const isInFan = (one: number): boolean =>
    fans.some(({ overlay, underlay }) => contains(overlay, one) || contains(underlay, one));
  if (network === undefined && address !== undefined && isInFan(address)) {
    return findPair(fans, address);
  }
  const specs = (await ask(run, fansCall)).map(({ spec }) => spec);
  const aims = await aimsOf(word, specs, network, run);
  const aim = aims.find(({ host, link }) => typeof host === 'number' && host !== link.local);
  if (aim?.fan === undefined) {
    if (aim !== undefined) return pairByNetwork(aim, run);
    if (address !== undefined && network === undefined) return findPair(fans, address);
    throw usageError(
      'no-host',
      `${word} is no other host ${network === undefined ? 'that shares a fan or network over IPv4 with this one' : `on network ${network}`}: fanway peers, fanway net show and fanway arp have what there is`,
    );
  }
  return pairByFan(fans, aims, word, io);
}

/** By a fan that has IPv4, whatever address was named. @throws FanwayError where none of them has */
function pairByFan(fans: readonly Fan[], aims: readonly Aim[], word: string, io: Io): Pair {
  for (const { host, link } of aims) {
    const fan = fans.find(({ name }) => name === link.name);
    if (fan === undefined || typeof host !== 'number' || host === fan.local) continue;
    const pair = pairOn(fan, host);
    if (typeof aims[0]?.inside !== 'number') {
      const there = formatIpv4(pair.far.tunnel);
      io.err(`fanway: note: ${word} is at that host, which is measured by IPv4: ${there}\n`);
    }
    return pair;
  }
  throw refusedError(
    'ipv6-alone',
    `${word} is in a fan of IPv6 alone, and this measures by IPv4: fanway ping ${word} measures round trips, loss and packet sizes`,
  );
}

/** The layer-2 networks over IPv4 of the running router that are up. @throws FanwayError `not-running` */
export async function networksUp(io: Io): Promise<ListeningNetwork[]> {
  const run = new RunDirectory(io.env['FANWAY_RUN_DIR']);
  const networks = await ask(run, networksCall);
  return networks
    .filter(({ state, underlay }) => state !== 'stopped' && !underlay.includes(':'))
    .map(({ network, vni, underlay }): ListeningNetwork => {
      const { address, length } = parsePrefix(underlay);
      return {
        ...{ name: network, vni, local: address },
        underlay: { address: networkOf({ address, length }), length },
        pairWith: async (own) => {
          const what = formatIpv4(own);
          const [aim] = await ask(run, networkAimsCall, { what, network });
          if (aim !== undefined && aim.host !== '') return pairOf(aim);
          throw refusedError('no-host', `network ${network} knows no other host with ${what}`);
        },
      };
    });
}
