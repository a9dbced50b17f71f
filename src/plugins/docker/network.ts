/**
 * A Docker network on the bridge of a fan: made by one call of the Engine API, found again, removed.
 * Docker takes a bridge that is there as it is, and hands out addresses of its range by itself.
 * @module
 */
import {
  type AddressBook,
  type BlockWish,
  claimBlock,
  dropClaim,
} from '../../control/store/address-book.ts';
import { FanwayError, refusedError } from '../../errors.ts';
import { printable } from '../../log.ts';
import {
  broadcastOf,
  contains,
  formatPrefix,
  networkOf,
  overlaps,
  type Prefix,
  parsePrefix,
} from '../../net/prefix.ts';
import { type EngineFan, text } from '../fan.ts';
import { fieldOf } from '../unix-http.ts';
import { complaintOf, type DockerApi } from './api.ts';

/** The label by which a network of ours is known; its value is the bridge. */
const LABEL = 'fanway';
const OPTION = 'com.docker.network.bridge';
/** dockerd 28.2: names the interfaces by which packets may come to a container besides its bridge. */
const TRUSTED_SINCE = '1.50';
const NAMES_SHOWN_MAX = 5;

export const DOCKER_OWNER = 'docker';
const NETWORK_NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,63}$/;

/** What of a network has to be right for the fan, by its name in sentences. */
type Facts = Readonly<Record<'driver' | 'bridge' | 'subnet' | 'range' | 'gateway' | 'mtu', string>>;

/** Whether Docker and the admin's words take this for the name of a network. */
export function isNetworkName(name: string): boolean {
  return NETWORK_NAME.test(name);
}

/** The body of `POST /networks/create`. */
export function networkBody(
  name: string,
  fan: EngineFan,
  range: Prefix,
  api: Pick<DockerApi, 'isAtLeast'>,
): object {
  const trusted = !fan.bridged && api.isAtLeast(TRUSTED_SINCE);
  return {
    Name: name,
    Driver: 'bridge',
    CheckDuplicate: true,
    IPAM: {
      Driver: 'default',
      Config: [
        {
          Subnet: formatPrefix(fan.network),
          IPRange: formatPrefix(range),
          Gateway: text(fan.gateway),
          AuxiliaryAddresses: auxiliaryOf(fan, range),
        },
      ],
    },
    Options: {
      [`${OPTION}.name`]: fan.bridge,
      'com.docker.network.driver.mtu': String(fan.mtu),
      // fanway's own masquerading leaves what goes to the overlay alone.
      [`${OPTION}.enable_ip_masquerade`]: 'false',
      ...(trusted && { [`${OPTION}.trusted_host_interfaces`]: fan.device }),
    },
    Labels: { [LABEL]: fan.bridge },
  };
}

/** Addresses of the range that Docker is not to hand out, by a name for each. */
function auxiliaryOf(fan: EngineFan, range: Prefix): Record<string, string> {
  const special: [string, number][] = fan.reserved
    .slice(1)
    .map((address, at) => [`reserve${at + 2}`, address]);
  // In its own network Docker leaves them out by itself, and refuses to hear of them.
  if (fan.bridged) {
    special.push(['net', networkOf(fan.slice)], ['broadcast', broadcastOf(fan.slice)]);
  }
  const inside = special.filter(([, address]) => contains(range, address));
  return Object.fromEntries(inside.map(([name, address]) => [name, text(address)]));
}

function factsOf(network: unknown): Facts {
  const options = fieldOf(network, 'Options');
  const configs = fieldOf(fieldOf(network, 'IPAM'), 'Config');
  const config: unknown = Array.isArray(configs) ? configs[0] : undefined;
  const word = (value: unknown): string => (typeof value === 'string' ? printable(value) : '');
  return {
    driver: word(fieldOf(network, 'Driver')),
    bridge: word(fieldOf(options, `${OPTION}.name`)),
    subnet: word(fieldOf(config, 'Subnet')),
    range: word(fieldOf(config, 'IPRange')),
    gateway: word(fieldOf(config, 'Gateway')),
    mtu: word(fieldOf(options, 'com.docker.network.driver.mtu')),
  };
}

/** The network of a name, undefined when Docker has none. */
async function findNetwork(api: DockerApi, name: string): Promise<unknown> {
  const answer = await api.call('GET', `/networks/${encodeURIComponent(name)}`);
  if (answer.status === 404) return undefined;
  if (answer.status === 200) return answer.body;
  throw new FanwayError(
    'docker-refused',
    `Docker does not tell of ${name}: ${complaintOf(answer)}`,
  );
}

export type Enabled = {
  /** False when the network was there already. */
  made: boolean;
  network: string;
  bridge: string;
  subnet: string;
  range: string;
  gateway: string;
  mtu: number;
  /** Docker's version. */
  server: string;
};

/** What `enable` was asked for. */
export type EnableWish = {
  name: string;
  /** undefined = what is free. */
  range: Prefix | undefined;
  /** Addresses that DHCP has handed out. */
  busy: readonly number[];
};

/**
 * Makes the network, or finds that it is there as it should be.
 * @throws FanwayError when a network of that name is another one, the pool is another network's, or
 *   nothing of the slice is free.
 */
export async function enableDocker(
  api: DockerApi,
  fan: EngineFan,
  book: AddressBook,
  wish: EnableWish,
): Promise<Enabled> {
  const { name } = wish;
  const there = await findNetwork(api, name);
  const before = book.read();
  const block: BlockWish = {
    ...{ owner: DOCKER_OWNER, busy: wish.busy, shared: fan.dhcp },
    ...(wish.range !== undefined && { block: wish.range }),
  };
  if (there !== undefined) {
    const facts = factsOf(there);
    const range = requireSame(name, facts, fan, wish);
    // The book may have been lost; what Docker hands out counts.
    book.change((now) => claimBlock(now, fan.slice, { ...block, block: range }));
    return enabledOf(api, fan, name, range, false);
  }
  const range = book.change((now) => claimBlock(now, fan.slice, block));
  const answer = await api.call('POST', '/networks/create', networkBody(name, fan, range, api));
  if (answer.status === 201) return enabledOf(api, fan, name, range, true);
  book.change((now) => {
    dropClaim(now, DOCKER_OWNER);
    now.claims.push(...before.claims.filter(({ owner }) => owner === DOCKER_OWNER));
  });
  throw await refusal(api, fan, name, answer);
}

function enabledOf(
  api: DockerApi,
  fan: EngineFan,
  name: string,
  range: Prefix,
  made: boolean,
): Enabled {
  return {
    ...{ made, network: name, bridge: fan.bridge, subnet: formatPrefix(fan.network) },
    ...{ range: formatPrefix(range), gateway: text(fan.gateway), mtu: fan.mtu, server: api.server },
  };
}

/** @returns the range that it hands out. @throws FanwayError with what is different. */
function requireSame(name: string, facts: Facts, fan: EngineFan, { range }: EnableWish): Prefix {
  const wanted: Facts = {
    driver: 'bridge',
    bridge: fan.bridge,
    subnet: formatPrefix(fan.network),
    range: range === undefined ? facts.range : formatPrefix(range),
    gateway: text(fan.gateway),
    mtu: String(fan.mtu),
  };
  const keys = Object.keys(wanted) as (keyof Facts)[];
  const different = keys.filter((key) => facts[key] !== wanted[key]);
  const isInside = /^[0-9.]+\/[0-9]+$/.test(facts.range);
  if (different.length === 0 && isInside) return parsePrefix(facts.range);
  const list = different.map((key) => `${key} ${facts[key] || 'none'}, not ${wanted[key]}`);
  const way =
    facts.bridge === fan.bridge
      ? `Docker cannot change a network: fanway docker disable --name ${name} and then enable makes it anew (its containers have to leave it first)`
      : `choose another name with --name, or remove it (docker network rm ${name})`;
  throw refusedError(
    'docker-network-differs',
    `Docker has a network ${name} with ${list.join('; ') || 'no range of addresses'}: ${way}`,
  );
}

/** Docker's refusal in words that say what to do. */
async function refusal(
  api: DockerApi,
  fan: EngineFan,
  name: string,
  answer: { status: number; body: unknown },
): Promise<FanwayError> {
  const said = complaintOf(answer);
  if (answer.status === 409) {
    return refusedError(
      'docker-name-taken',
      `Docker has a network called ${name} (${said}): choose another with --name`,
    );
  }
  if (answer.status === 403) {
    const others = await overlapping(api, fan.network);
    return refusedError(
      'docker-pool-taken',
      `Docker does not give ${formatPrefix(fan.network)} twice (${said}): ${
        others.length === 0
          ? 'another network of it, or its own bridge (dockerd --bip or -b), has it'
          : `network ${others.join(', ')} has it; docker network rm removes one`
      }`,
    );
  }
  return new FanwayError('docker-refused', `Docker does not make the network: ${said}`);
}

async function networksOfFans(api: DockerApi): Promise<{ name: string; bridge: string }[]> {
  const { status, body } = await api.call('GET', '/networks');
  if (status !== 200 || !Array.isArray(body)) return [];
  return body.flatMap((network: unknown) => {
    const bridge = fieldOf(fieldOf(network, 'Labels'), LABEL);
    const name = fieldOf(network, 'Name');
    return typeof bridge === 'string' && typeof name === 'string' ? [{ name, bridge }] : [];
  });
}

/** The bridges that Docker has networks of ours on. */
export async function networkBridges(api: DockerApi): Promise<string[]> {
  return (await networksOfFans(api)).map(({ bridge }) => bridge);
}

/** Names of the networks of ours on a bridge. */
export async function networksOfBridge(api: DockerApi, bridge: string): Promise<string[]> {
  return (await networksOfFans(api)).flatMap((one) => (one.bridge === bridge ? [one.name] : []));
}

/** Names of Docker's networks that share addresses with a prefix. */
async function overlapping(api: DockerApi, prefix: Prefix): Promise<string[]> {
  const { status, body } = await api.call('GET', '/networks');
  if (status !== 200 || !Array.isArray(body)) return [];
  return body
    .filter((network) => {
      const { subnet } = factsOf(network);
      return /^[0-9.]+\/[0-9]+$/.test(subnet) && overlaps(parsePrefix(subnet), prefix);
    })
    .map((network) => printable(String(fieldOf(network, 'Name'))))
    .slice(0, NAMES_SHOWN_MAX);
}

/**
 * Removes the network of a fan, and gives its range back.
 * @returns false when Docker had none of that name.
 * @throws FanwayError when it is none of ours, or containers are on it.
 */
export async function disableDocker(
  api: DockerApi,
  bridge: string | undefined,
  name: string,
): Promise<boolean> {
  const network = await findNetwork(api, name);
  if (network === undefined) return false;
  const ours = fieldOf(fieldOf(network, 'Labels'), LABEL);
  const facts = factsOf(network);
  if (typeof ours !== 'string' && facts.bridge !== bridge) {
    throw refusedError(
      'docker-network-foreign',
      `Docker's network ${name} was not made by fanway: docker network rm ${name} removes it`,
    );
  }
  const answer = await api.call('DELETE', `/networks/${encodeURIComponent(name)}`);
  if (answer.status === 204 || answer.status === 404) return true;
  const containers = Object.values(fieldOf(network, 'Containers') ?? {})
    .map((one: unknown) => printable(String(fieldOf(one, 'Name'))))
    .slice(0, NAMES_SHOWN_MAX);
  throw refusedError(
    'docker-network-used',
    `Docker keeps ${name}: ${
      containers.length > 0
        ? `${containers.join(', ')} ${containers.length === 1 ? 'is' : 'are'} on it; stop what is there first, or take it off (docker network disconnect ${name} CONTAINER)`
        : complaintOf(answer)
    }`,
  );
}
