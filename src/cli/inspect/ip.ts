/**
 * `fanway ip`: who hands out which addresses of this host's slices.
 * @module
 */

import { fansCall } from '../../api/fans.ts';
import { ask } from '../../control/admin/admin-client.ts';
import { dhcpLeases } from '../../control/host/dhcp.ts';
import { AddressBook, stateDirectoryOf } from '../../control/store/address-book.ts';
import { RunDirectory } from '../../control/store/run-directory.ts';
import { ExitCode, usageError } from '../../errors.ts';
import { formatIpv4 } from '../../net/ipv4.ts';
import { formatPrefix } from '../../net/prefix.ts';
import { isNoHost } from '../../net/underlay-address.ts';
import { type EngineFan, engineFanOf } from '../../plugins/fan.ts';
import { printJson, takeFlags, type Verb } from '../verb/verb.ts';

/** One line: addresses, whose they are, and what for. */
type Row = { addresses: string; owner: string; what: string };
type Slice = { bridge: string; slice: string; rows: Row[] };

function rangeText(first: number, last: number): string {
  return first === last ? formatIpv4(first) : `${formatIpv4(first)}-${formatIpv4(last)}`;
}

function sliceOf(fan: EngineFan, run: RunDirectory, env: NodeJS.ProcessEnv): Slice {
  const book = new AddressBook(stateDirectoryOf(env), fan.slice).read();
  const [first = fan.gateway] = fan.reserved;
  const rows: Row[] = [
    { addresses: rangeText(first, fan.reserved.at(-1) ?? first), owner: 'host', what: fan.bridge },
    ...book.claims.map(({ owner, ...range }) => {
      return { addresses: rangeText(range.first, range.last), owner, what: 'hands them out' };
    }),
    ...book.leases.map(({ address, owner, network, container, interface: ifname }) => {
      const what = `${network} ${container} ${ifname}`;
      return { addresses: formatIpv4(address), owner, what };
    }),
    ...(fan.dhcp ? dhcpLeases(run, fan.bridge, Date.now()) : []).map(({ address, name }) => {
      return { addresses: formatIpv4(address), owner: 'dhcp', what: `lease ${name}`.trim() };
    }),
  ];
  return { bridge: fan.bridge, slice: formatPrefix(fan.slice), rows };
}

export const ip: Verb = {
  name: 'ip',
  summary: "who hands out which addresses of this host's slices",
  usage: ['ip show [BRIDGE] [--json]'],
  options: [['--json', 'the same as JSON']],
  examples: [['fanway ip show', 'ranges of engines, addresses of containers, leases of DHCP']],
  async run(args, io) {
    const { flags, rest } = takeFlags(args, { '--json': 'switch' });
    const [action, bridge, ...more] = rest;
    if (action !== 'show' || more.length > 0) throw usageError('usage', 'give show, and a bridge');
    const run = new RunDirectory(io.env['FANWAY_RUN_DIR']);
    const records = await ask(run, fansCall);
    const slices = records
      .filter(({ spec }) => !isNoHost(spec.local) && (bridge === undefined || spec.name === bridge))
      .map((record) => sliceOf(engineFanOf(record), run, io.env));
    if (flags.has('--json')) printJson(io, slices);
    else {
      for (const slice of slices) {
        io.out(`${slice.bridge} ${slice.slice}\n`);
        for (const { addresses, owner, what } of slice.rows) {
          io.out(`  ${addresses.padEnd(31)} ${owner.padEnd(7)} ${what}\n`);
        }
      }
    }
    return ExitCode.Ok;
  },
};
