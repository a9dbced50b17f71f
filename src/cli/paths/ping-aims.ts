/**
 * Whom `fanway ping` asks: a host or a workload, by each link that it is on.
 * @module
 */
import { type AnswerJson, explainCall } from '../../api/entries.ts';
import { type MemberJson, membersCall } from '../../api/members.ts';
import { type NetworkAim, networkAimsCall } from '../../api/network/aims.ts';
import { ask } from '../../control/admin/admin-client.ts';
import type { LinkSpec } from '../../control/store/link-spec.ts';
import type { RunDirectory } from '../../control/store/run-directory.ts';
import { type EncapName, VXLAN } from '../../encap/encap.ts';
import { refusedError } from '../../errors.ts';
import { gatewayOf, peerOf, sliceOf } from '../../net/fan.ts';
import { contains, formatPrefix } from '../../net/prefix.ts';
import {
  formatHostAddress,
  formatHostPrefix,
  holdsHost,
  parseHostAddress,
  type UnderlayAddress,
} from '../../net/underlay-address.ts';

/** What of a link a ping needs: fans and layer-2 networks have it. */
export type PingLink = {
  /** Its bridge, and what people and the far side call it. */
  name: string;
  title: string;
  /** By which counters of the far side are asked for. */
  far: string;
  encap: EncapName;
  port: number;
  vni: number;
  underlay: string;
  local: UnderlayAddress;
  underlayMtu: number;
  innerMtu: number;
  /** A network's bridge, by which alone what is inside goes; '' on a fan. */
  device: string;
};

/** Whom to ask. */
export type Aim = {
  link: PingLink;
  /** Outer source ports are tried on fans. */
  fan: LinkSpec | undefined;
  host: UnderlayAddress;
  /** In the overlay: our own address, and a workload's or the host's own. */
  gateway: UnderlayAddress;
  inside: UnderlayAddress;
  member: Pick<MemberJson, 'id' | 'name' | 'state'> | undefined;
};

function linkOfFan(spec: LinkSpec): PingLink {
  const { name, encap, port, vni, local, underlayMtu, innerMtu } = spec;
  const title = formatPrefix(spec.overlay);
  const underlay = formatHostPrefix(spec.underlay);
  const at = { name, encap, port, vni, local, underlayMtu, innerMtu, underlay };
  return { ...at, title, far: title, device: '' };
}

/** The address that a word is, undefined when it is a name. */
function addressOf(word: string): UnderlayAddress | undefined {
  try {
    return parseHostAddress(word);
  } catch {
    return undefined;
  }
}

function memberOf(host: UnderlayAddress, members: readonly MemberJson[]): MemberJson | undefined {
  const text = formatHostAddress(host);
  return members.find(({ fans, self }) => !self && fans.some(({ local }) => local === text));
}

/** Whom a word means in fans. */
async function fanAims(
  word: string,
  specs: readonly LinkSpec[],
  run: RunDirectory,
): Promise<{ aims: Aim[]; isInside: boolean }> {
  const members = await ask(run, membersCall);
  const address = addressOf(word);
  const atHost = (spec: LinkSpec, host: UnderlayAddress): Aim => {
    const inside = gatewayOf(sliceOf(spec, host));
    const link = linkOfFan(spec);
    return {
      link,
      fan: spec,
      host,
      gateway: spec.gateway,
      inside,
      member: memberOf(host, members),
    };
  };
  if (address === undefined) {
    const named = members.find(({ name, id }) => name === word || id === word);
    const hosts = (named?.fans ?? []).map(({ overlay, local }) => ({ overlay, local }));
    const aims = hosts.flatMap(({ overlay, local }) =>
      specs
        .filter((spec) => formatPrefix(spec.overlay) === overlay)
        .map((spec) => ({ ...atHost(spec, parseHostAddress(local)), member: named })),
    );
    return { aims, isInside: false };
  }
  const inside =
    typeof address === 'number'
      ? specs.find(({ overlay }) => contains(overlay, address))
      : undefined;
  if (inside === undefined || typeof address !== 'number') {
    const aims = specs
      .filter(({ underlay }) => holdsHost(underlay, address))
      .map((spec) => atHost(spec, address));
    return { aims, isInside: false };
  }
  const answer: AnswerJson | null = await ask(run, explainCall, { link: inside.name, address });
  const host = answer === null ? peerOf(inside, address) : parseHostAddress(answer.host);
  return { aims: [{ ...atHost(inside, host), inside: address }], isInside: true };
}

/** One way by a network. @throws FanwayError where nobody there can be asked */
function networkAim(aim: NetworkAim): Aim {
  const { network, bridge, vni, port, innerMtu, underlayMtu, member, name, state } = aim;
  if (aim.host === '') {
    throw refusedError('own-host', `it is on this host, network ${network}: no tunnel leads there`);
  }
  if (aim.own === '') {
    throw refusedError(
      'no-own-address',
      `this host has no address of its own on network ${network} to ask from: add it with --address (fanway net add ${network} --vni ${vni} --address ADDRESS/N)`,
    );
  }
  const local = parseHostAddress(aim.local);
  const link: PingLink = {
    ...{ name: bridge, title: `network ${network}`, far: `VNI ${vni}`, encap: VXLAN.name },
    ...{ port, vni, underlay: aim.underlay, local, underlayMtu, innerMtu, device: bridge },
  };
  return {
    ...{ link, fan: undefined, host: parseHostAddress(aim.host) },
    ...{ gateway: parseHostAddress(aim.own), inside: parseHostAddress(aim.inside) },
    member: member === '' ? undefined : { id: member, name, state: stateOf(state) },
  };
}

function stateOf(state: string): MemberJson['state'] {
  return state === 'alive' || state === 'suspect' || state === 'left' ? state : 'dead';
}

/** Whom a word means, on each link that it is on. @throws FanwayError when that is not clear. */
export async function aimsOf(
  word: string,
  specs: readonly LinkSpec[],
  network: string | undefined,
  run: RunDirectory,
): Promise<Aim[]> {
  const fans = network === undefined ? await fanAims(word, specs, run) : undefined;
  const found = await ask(run, networkAimsCall, { what: word, network: network ?? null });
  // An address or a MAC of a workload is meant, and not a host by what it is called.
  const isHost = ({ inside, host }: NetworkAim): boolean => inside !== word && host === word;
  const workloads = found.filter((aim) => aim.inside === word || /^..[:-]..[:-]..[:-]/.test(word));
  const places = workloads.length + (fans?.isInside === true ? 1 : 0);
  if (places > 1) {
    const names = workloads.map((aim) => aim.network);
    const also = fans?.isInside === true ? ', and in a fan' : '';
    throw refusedError(
      'ambiguous',
      `${word} is on ${names.length === 1 ? 'network' : 'networks'} ${names.join(', ')}${also}: say which by --net, as in fanway ping ${word} --net ${names[0]}`,
    );
  }
  if (workloads.length === 1) return workloads.map(networkAim);
  if (fans?.isInside === true) return fans.aims;
  const hosts = found.filter((aim) => isHost(aim) || aim.inside !== word);
  // By a network a host is asked where both ends have an address of their own.
  const usable = hosts.filter(
    ({ own, inside, host }) => own !== '' && inside !== '' && host !== '',
  );
  const aims = [...(fans?.aims ?? []), ...usable.map(networkAim)];
  const [first] = hosts;
  if (aims.length === 0 && first !== undefined) {
    throw refusedError(
      'no-own-address',
      `on network ${first.network} this host and ${word} have no addresses of their own to ask from and to: fanway net add takes --address; or name a container's address there (fanway arp ${first.network})`,
    );
  }
  return aims;
}
