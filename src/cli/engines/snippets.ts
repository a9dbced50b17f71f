/**
 * `fanway lxc` and `fanway nspawn`: the lines that put such a container on the fan.
 * @module
 */
import { dhcpLeases } from '../../control/host/dhcp.ts';
import {
  AddressBook,
  freeLeases,
  type LeaseKey,
  stateDirectoryOf,
  takeLease,
} from '../../control/store/address-book.ts';
import { RunDirectory } from '../../control/store/run-directory.ts';
import { ExitCode, messageOf, refusedError, usageError } from '../../errors.ts';
import { formatIpv4, parseIpv4 } from '../../net/ipv4.ts';
import { type EngineFan, findFan } from '../../plugins/fan.ts';
import { lxcConfig, nspawnConfig } from '../../plugins/snippets.ts';
import { type Io, takeFlags, type Verb } from '../verb/verb.ts';
import { actionOf } from './engine-words.ts';

/** Whose fixed addresses these are in the address book. */
const LXC_OWNER = 'lxc';

function keyOf(fan: EngineFan, address: number): LeaseKey {
  return { network: fan.bridge, container: formatIpv4(address), interface: 'eth0' };
}

/**
 * Keeps a fixed address for a container from all that hand out others; asked again it is the same.
 * @throws FanwayError (exit code 3) when somebody has it.
 */
function keepAddress(fan: EngineFan, address: number, run: RunDirectory, io: Io): void {
  const text = formatIpv4(address);
  const leased = fan.dhcp ? dhcpLeases(run, fan.bridge, Date.now()) : [];
  if (leased.some((lease) => lease.address === address)) {
    throw refusedError('no-address', `${text} is leased by DHCP: fanway ip show has them all`);
  }
  new AddressBook(stateDirectoryOf(io.env), fan.slice).change((book) =>
    takeLease(book, {
      // The container outlives a boot, and its address with it.
      ...{ owner: LXC_OWNER, key: keyOf(fan, address), boot: '', address },
      rooms: [{ first: fan.first, last: fan.last }],
    }),
  );
}

function release(fan: EngineFan, address: number, io: Io): void {
  const { container } = keyOf(fan, address);
  const freed = new AddressBook(stateDirectoryOf(io.env), fan.slice).change((book) =>
    freeLeases(book, LXC_OWNER, (key) => key.container === container),
  );
  if (freed > 0) return io.out(`${container}: free again\n`);
  throw refusedError('no-address', `${container} was not given out by lxc config`);
}

export const lxc: Verb = {
  name: 'lxc',
  summary: 'lines for the config of an LXC container on the fan',
  usage: ['lxc config [BRIDGE] [--address ADDRESS]', 'lxc release [BRIDGE] --address ADDRESS'],
  options: [
    [
      '--address ADDRESS',
      'a fixed address of the slice, kept for it; else the container asks DHCP',
    ],
  ],
  examples: [
    ['fanway lxc config >> /var/lib/lxc/c1/config', 'a container that asks DHCP'],
    ['fanway lxc config --address 250.0.28.20', 'one with a fixed address'],
    ['fanway lxc release --address 250.0.28.20', 'others may have it again'],
  ],
  async run(args, io) {
    const { flags, rest } = takeFlags(args, { '--address': 'value' });
    const { action, bridge } = actionOf(rest, ['config', 'release']);
    const text = flags.get('--address');
    let address: number | undefined;
    try {
      if (text !== undefined) address = parseIpv4(text);
    } catch (error) {
      throw usageError('usage', `--address: ${messageOf(error)}`);
    }
    const run = new RunDirectory(io.env['FANWAY_RUN_DIR']);
    const fan = await findFan(run, bridge);
    if (action === 'release') {
      if (address === undefined) throw usageError('usage', 'release which one? --address ADDRESS');
      release(fan, address, io);
      return ExitCode.Ok;
    }
    const config = lxcConfig(fan, address);
    if (address !== undefined) keepAddress(fan, address, run, io);
    io.out(config);
    if (address === undefined && !fan.dhcp) {
      io.err('fanway: note: this fan has no DHCP: give --address, or bring it up with dhcp\n');
    }
    return ExitCode.Ok;
  },
};

export const nspawn: Verb = {
  name: 'nspawn',
  summary: 'a file that puts a systemd-nspawn container on the fan',
  usage: ['nspawn config [BRIDGE]'],
  options: [],
  examples: [['fanway nspawn config > /etc/systemd/nspawn/c1.nspawn', 'for the machine c1']],
  async run(args, io) {
    const { bridge } = actionOf(takeFlags(args, {}).rest, ['config']);
    const fan = await findFan(new RunDirectory(io.env['FANWAY_RUN_DIR']), bridge);
    io.out(nspawnConfig(fan));
    if (!fan.dhcp) {
      io.err('fanway: note: this fan has no DHCP, which is how nspawn containers get addresses\n');
    }
    return ExitCode.Ok;
  },
};
