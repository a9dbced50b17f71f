/**
 * Workloads of this host by the names that they were given addresses under: the address books of its
 * slices, and the leases of its DHCP.
 * @module
 */
import { dhcpLeases } from '../host/dhcp.ts';
import type { FanRecord } from '../host/snapshot.ts';
import { AddressBook, stateDirectoryOf } from '../store/address-book.ts';
import type { RunDirectory } from '../store/run-directory.ts';
import type { Workload } from './find.ts';

/** Everything that was handed out here and is not given back. */
export function workloadsOf(fans: readonly FanRecord[], run: RunDirectory): Workload[] {
  const state = stateDirectoryOf(process.env);
  return fans.flatMap(({ request, spec }) => {
    if (spec.local === 0) return [];
    const { leases } = new AddressBook(state, spec.slice).read();
    const dhcp = request.dhcp ? dhcpLeases(run, spec.name, Date.now()) : [];
    return [
      ...leases.map(({ address, network, container, interface: port }) => {
        return { address, name: `${container} (${network}, ${port})` };
      }),
      ...dhcp.filter(({ name }) => name !== ''),
    ];
  });
}
