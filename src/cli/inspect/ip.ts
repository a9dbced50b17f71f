/**
 * `fanway ip`: who hands out which addresses of this host's slices, of fans and of layer-2 networks.
 * @module
 */

import { fansCall } from '../../api/fans.ts';
import { ipamCall } from '../../api/network/ipam.ts';
import { ask } from '../../control/admin/admin-client.ts';
import { dhcpLeases } from '../../control/host/dhcp.ts';
import {
  AddressBook,
  bootId,
  freeLeases,
  freeRanges,
  stateDirectoryOf,
  takeLease,
} from '../../control/store/address-book.ts';
import { RunDirectory } from '../../control/store/run-directory.ts';
import { ExitCode, refusedError, usageError } from '../../errors.ts';
import { formatIpv4, parseIpv4 } from '../../net/ipv4.ts';
import { formatPrefix } from '../../net/prefix.ts';
import { isNoHost } from '../../net/underlay-address.ts';
import { type EngineFan, engineFanOf, engineNetworkOf, findNetwork } from '../../plugins/fan.ts';
import { type FlagSpec, type Io, printJson, takeFlags, type Verb } from '../verb/verb.ts';

/** Who takes addresses by hand, in the address book. */
const BY_HAND = 'hand';

/** One line: addresses, whose they are, and what for. */
type Row = { addresses: string; owner: string; what: string };
type Slice = { bridge: string; slice: string; rows: Row[] };

function rangeText(first: number, last: number): string {
  return first === last ? formatIpv4(first) : `${formatIpv4(first)}-${formatIpv4(last)}`;
}

function sliceOf(fan: EngineFan, run: RunDirectory, env: NodeJS.ProcessEnv): Slice {
  const book = new AddressBook(stateDirectoryOf(env), fan.slice).read();
  const [first] = fan.reserved;
  const leased = new Set(book.leases.map(({ address }) => address));
  const rows: Row[] = [
    ...(first === undefined
      ? []
      : [
          {
            addresses: rangeText(first, fan.reserved.at(-1) ?? first),
            ...{ owner: 'host', what: fan.bridge },
          },
        ]),
    ...book.claims.map(({ owner, ...range }) => {
      return { addresses: rangeText(range.first, range.last), owner, what: 'hands them out' };
    }),
    ...book.leases.map(({ address, owner, network, container, interface: ifname }) => {
      const what = `${network} ${container} ${ifname}`.trim();
      return { addresses: formatIpv4(address), owner, what };
    }),
    ...(fan.dhcp ? dhcpLeases(run, fan.bridge, Date.now()) : []).map(({ address, name }) => {
      return { addresses: formatIpv4(address), owner: 'dhcp', what: `lease ${name}`.trim() };
    }),
    ...(fan.busy ?? [])
      .filter((address) => !leased.has(address))
      .map((address) => ({ addresses: formatIpv4(address), owner: '-', what: 'in use' })),
  ];
  return { bridge: fan.bridge, slice: formatPrefix(fan.slice), rows };
}

const FLAGS: FlagSpec = { '--json': 'switch', '--name': 'value', '--address': 'value' };

async function show(bridge: string | undefined, isJson: boolean, io: Io): Promise<ExitCode> {
  const run = new RunDirectory(io.env['FANWAY_RUN_DIR']);
  const records = await ask(run, fansCall);
  const networks = await ask(run, ipamCall, { network: bridge ?? null });
  const slices = [
    ...records
      .filter(({ spec }) => !isNoHost(spec.local) && (bridge === undefined || spec.name === bridge))
      .map((record) => engineFanOf(record)),
    ...networks.map((network) => engineNetworkOf({ ...network, conflicts: [] })),
  ].map((place) => sliceOf(place, run, io.env));
  if (isJson) printJson(io, slices);
  else {
    for (const slice of slices) {
      io.out(`${slice.bridge} ${slice.slice}\n`);
      for (const { addresses, owner, what } of slice.rows) {
        io.out(`  ${addresses.padEnd(31)} ${owner.padEnd(7)} ${what}\n`);
      }
    }
  }
  const conflicts = networks.flatMap((network) => network.conflicts);
  for (const conflict of conflicts) io.err(`fanway: ${conflict}\n`);
  return conflicts.length === 0 ? ExitCode.Ok : ExitCode.Failed;
}

function addressOf(text: string): number {
  try {
    return parseIpv4(text);
  } catch {
    throw usageError('usage', `${text} is not an IPv4 address like 10.1.28.7`);
  }
}

async function lease(
  network: string,
  flags: ReadonlyMap<string, string>,
  io: Io,
): Promise<ExitCode> {
  const place = await findNetwork(new RunDirectory(io.env['FANWAY_RUN_DIR']), network);
  const book = new AddressBook(stateDirectoryOf(io.env), place.slice);
  const wanted = flags.get('--address');
  const busy = (place.busy ?? []).map((address) => ({ owner: '', first: address, last: address }));
  const room = { first: place.first, last: place.last };
  const boot = bootId();
  const address = book.change((now) =>
    takeLease(now, {
      ...{ owner: BY_HAND, boot },
      // Without a name each call is a wish of its own.
      key: { network, container: flags.get('--name') ?? `${boot}-${now.latest}`, interface: '' },
      rooms: freeRanges({ claims: busy, leases: [], latest: 0 }, room),
      ...(wanted !== undefined && { address: addressOf(wanted) }),
    }),
  );
  const text = `${formatIpv4(address)}/${place.network.length}`;
  const gateway = place.gateway === 0 ? null : formatIpv4(place.gateway);
  if (flags.has('--json')) printJson(io, { network, address: text, gateway });
  else io.out(`${text}\n`);
  return ExitCode.Ok;
}

async function release(network: string, what: string, io: Io): Promise<ExitCode> {
  const place = await findNetwork(new RunDirectory(io.env['FANWAY_RUN_DIR']), network);
  const book = new AddressBook(stateDirectoryOf(io.env), place.slice);
  const address = /^[0-9.]+$/.test(what) ? addressOf(what.split('/')[0] ?? '') : undefined;
  const freed = book.change((now) => {
    const leased = now.leases.find((one) => one.address === address);
    return freeLeases(now, BY_HAND, (key) =>
      address === undefined ? key.container === what : key.container === leased?.container,
    );
  });
  if (freed === 0) {
    throw refusedError('no-lease', `nobody took ${what} by hand here; fanway ip show lists them`);
  }
  io.out(`${network}: ${what} given back\n`);
  return ExitCode.Ok;
}

export const ip: Verb = {
  name: 'ip',
  summary: "who hands out which addresses of this host's slices, and taking one",
  usage: [
    'ip show [BRIDGE|NETWORK] [--json]',
    'ip lease NETWORK [--name NAME] [--address ADDRESS] [--json]',
    'ip release NETWORK ADDRESS|NAME',
  ],
  options: [
    ['--name NAME', 'whose it is: the same name has the same address'],
    ['--address ADDRESS', 'this one, if it is free (the next free one)'],
    ['--json', 'as JSON'],
  ],
  examples: [
    ['fanway ip show', 'ranges of engines, addresses of containers, leases of DHCP'],
    ['fanway ip lease blue --name c1', 'an address that no other host hands out'],
    ['fanway ip release blue c1', 'and it is free again'],
  ],
  async run(args, io) {
    const { flags, rest } = takeFlags(args, FLAGS);
    const [action, name, what, ...more] = rest;
    if (more.length === 0) {
      if (action === 'show' && what === undefined) return show(name, flags.has('--json'), io);
      if (action === 'lease' && name !== undefined && what === undefined) {
        return lease(name, flags, io);
      }
      if (action === 'release' && name !== undefined && what !== undefined) {
        return release(name, what, io);
      }
    }
    throw usageError('usage', 'give show, lease NETWORK or release NETWORK ADDRESS; see --help');
  },
};
