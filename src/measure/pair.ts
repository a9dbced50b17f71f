/**
 * Which two hosts a measurement is between, and by which fan or layer-2 network.
 * @module
 */
import type { Prefix } from '../net/prefix.ts';
import type { LinkCommand, Way } from './protocol.ts';

/** The addresses of one host (u32): its own in the overlay, and in the underlay. */
export type HostAddresses = Record<Way, number>;

/** What of a fan or network matters here. */
export type MeasuredLink = {
  /** Its bridge, and what people call it. */
  name: string;
  title: string;
  encap: string;
  underlay: Prefix;
  /** What sockets of the tunnel are held to, since networks may share addresses; '' = to none. */
  device: string;
  /** By which the far end is told. */
  command: LinkCommand;
};

/** `near` is this host. */
export type Pair = { link: MeasuredLink; near: HostAddresses; far: HostAddresses };

/** The option of a traffic program that goes this way. */
export function deviceOf({ link }: Pair, way: Way): { device: string | undefined } {
  return { device: way === 'tunnel' && link.device !== '' ? link.device : undefined };
}
