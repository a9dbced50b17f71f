/**
 * A container's interface and its address together, for whichever engine: taken from the address book
 * of the slice, attached, and given back where that fails.
 * @module
 */
import {
  AddressBook,
  bootId,
  freeLeases,
  isSameKey,
  type LeaseKey,
  leaseOf,
  stateDirectoryOf,
  takeLease,
} from '../../control/store/address-book.ts';
import type { EngineFan } from '../fan.ts';
import { type AttachedMacs, attach, type ContainerAttachment, detach } from './attach.ts';
import { roomsFor } from './rooms.ts';

/** Whose containers they are in the address book, and the command that made the network. */
export type LeaseOwner = { owner: string; command: string };

/** An attachment to a network of the engine's. */
export type LeasedAttachment = ContainerAttachment & {
  /** As the engine calls it. */
  network: string;
  /** The address that is asked for, u32; undefined = any. */
  address?: number | undefined;
};

/** What the address book knows an attachment by. */
export function leaseKeyOf({
  network,
  container,
  ifname,
}: Pick<LeasedAttachment, 'network' | 'container' | 'ifname'>): LeaseKey {
  return { network, container, interface: ifname };
}

/**
 * Takes an address and attaches the container with it. Where that fails the address is free again, unless an
 * earlier call took it.
 * @throws FanwayError, or CniError as {@link attach}
 */
export async function attachLeased(
  { owner, command }: LeaseOwner,
  call: LeasedAttachment,
  fan: EngineFan,
  book: AddressBook,
): Promise<{ address: number; macs: AttachedMacs }> {
  const key = leaseKeyOf(call);
  const had = leaseOf(book.read(), owner, key) !== undefined;
  const { address: wanted } = call;
  const address = book.change((now) =>
    takeLease(now, {
      ...{ owner, key, boot: bootId(), rooms: roomsFor(now, fan, owner, command) },
      ...(wanted !== undefined && { address: wanted }),
    }),
  );
  try {
    return { address, macs: await attach(call, fan, address) };
  } catch (error) {
    if (!had) book.change((now) => freeLeases(now, owner, (one) => isSameKey(one, key)));
    throw error;
  }
}

/** Takes both away. Succeeds also the second time, without its namespace, and without a router. */
export async function detachLeased(
  owner: string,
  call: Pick<LeasedAttachment, 'network' | 'container' | 'ifname'>,
  env: NodeJS.ProcessEnv,
): Promise<void> {
  await detach(call.container, call.ifname);
  const key = leaseKeyOf(call);
  for (const book of AddressBook.all(stateDirectoryOf(env))) {
    book.change((now) => freeLeases(now, owner, (one) => isSameKey(one, key)));
  }
}
