/**
 * Whom `fanway ping` asks: a host or a workload, by each link that it is on.
 * @module
 */
import { type AnswerJson, explainCall } from '../../api/entries.ts';
import { type MemberJson, membersCall } from '../../api/members.ts';
import { type NetworkAim, networkAimsCall } from '../../api/network/aims.ts';
import { ask } from '../../control/admin/admin-client.ts';
import {
  type LinkSpec,
  ownAddressIn,
  placeOf,
  sideOf,
  titleOf,
  vniTo,
} from '../../control/store/link-spec.ts';
import type { RunDirectory } from '../../control/store/run-directory.ts';
import { type EncapName, VXLAN } from '../../encap/encap.ts';
import { refusedError } from '../../errors.ts';
import { hasIpv4 } from '../../net/fan.ts';
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

/** A fan in the family of `inside`. */
function linkOfFan(spec: LinkSpec, inside: UnderlayAddress): PingLink {
  const { name, encap, port, local, underlayMtu, innerMtu } = spec;
  const side = sideOf(spec, inside);
  const title = side === undefined ? titleOf(spec) : formatHostPrefix(side.overlay);
  const underlay = formatHostPrefix(spec.underlay);
  const at = { name, encap, port, vni: vniTo(spec, inside), local, underlayMtu, innerMtu };
  return { ...at, underlay, title, far: titleOf(spec), device: '' };
}

/** The address that a word is, undefined when it is a name. */
function addressOf(word: string): UnderlayAddress | undefined {
  try {
    return parseHostAddress(word);
  } catch {
    return undefined;
  }
}

/** Where a member says that it is spoken to, without the ports. */
function endpointsOf({ endpoints }: MemberJson): string[] {
  return endpoints.map((text) => text.replace(/:[0-9]+$/, '').replace(/^\[(.*)\]$/, '$1'));
}

function memberOf(
  { overlay }: LinkSpec,
  host: UnderlayAddress,
  members: readonly MemberJson[],
): MemberJson | undefined {
  const text = formatHostAddress(host);
  const others = members.filter(({ self }) => !self);
  return others.find((member) =>
    hasIpv4(overlay)
      ? member.fans.some(({ local }) => local === text)
      : endpointsOf(member).includes(text),
  );
}

/** Where a member is on a fan; of a fan of IPv6 alone records do not tell, but its hosts' addresses do. */
function hostsOf(member: MemberJson, spec: LinkSpec): UnderlayAddress[] {
  if (hasIpv4(spec.overlay)) {
    const own = member.fans.filter(({ overlay }) => overlay === titleOf(spec));
    return own.map(({ local }) => parseHostAddress(local));
  }
  return [...new Set(endpointsOf(member))]
    .map(addressOf)
    .filter((host) => host !== undefined)
    .filter((host) => holdsHost(spec.underlay, host));
}

/** Whom a word means in fans. */
async function fanAims(
  word: string,
  specs: readonly LinkSpec[],
  run: RunDirectory,
): Promise<{ aims: Aim[]; isInside: boolean }> {
  const members = await ask(run, membersCall);
  const address = addressOf(word);
  const aimAt = (spec: LinkSpec, host: UnderlayAddress, inside: UnderlayAddress): Aim => ({
    ...{ link: linkOfFan(spec, inside), fan: spec, host, inside },
    gateway: sideOf(spec, inside)?.gateway ?? spec.gateway,
    member: memberOf(spec, host, members),
  });
  const atHost = (spec: LinkSpec, host: UnderlayAddress): Aim =>
    aimAt(spec, host, ownAddressIn(spec, host));
  if (address === undefined) {
    const named = members.find(({ name, id }) => name === word || id === word);
    if (named === undefined) return { aims: [], isInside: false };
    const aims = specs.flatMap((spec) =>
      hostsOf(named, spec).map((host) => ({ ...atHost(spec, host), member: named })),
    );
    return { aims, isInside: false };
  }
  const place = placeIn(address, specs);
  if (place === undefined) {
    const aims = specs
      .filter(({ underlay }) => holdsHost(underlay, address))
      .map((spec) => atHost(spec, address));
    return { aims, isInside: false };
  }
  const { spec, peer } = place;
  const answer: AnswerJson | null = await ask(run, explainCall, { link: spec.name, address });
  const host = answer === null ? peer : parseHostAddress(answer.host);
  return { aims: [aimAt(spec, host, address)], isInside: true };
}

/** The fan that has an address in an overlay, of either family, and the host there by arithmetic. */
function placeIn(
  address: UnderlayAddress,
  specs: readonly LinkSpec[],
): { spec: LinkSpec; peer: UnderlayAddress } | undefined {
  for (const spec of specs) {
    const side = sideOf(spec, address);
    const place = placeOf(spec, address);
    if (side === undefined || place === undefined || !holdsHost(side.overlay, address)) continue;
    return { spec, peer: place.peer };
  }
  return undefined;
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
