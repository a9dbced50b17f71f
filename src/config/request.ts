/**
 * One fan as somebody asked for it, before it meets a host: what `fanway up`, a line of
 * /etc/network/fan and a `[fan]` section of a configuration file all become.
 * @module
 */
import { formatIpv4 } from '../net/ipv4.ts';
import type { Prefix } from '../net/prefix.ts';

export const ENCAPS = ['vxlan', 'ipip', 'fou'] as const;
export type Encap = (typeof ENCAPS)[number];

/** Where the underlay address comes from. `length` is the underlay's prefix length in bits. */
export type UnderlaySelector =
  /** One address of this host, or a network one of its addresses lies in (no host bits set). */
  | { kind: 'address'; address: number; length: number }
  /** The first global address of a device. */
  | { kind: 'device'; device: string; length: number }
  /** The first global address of the device that holds the default route. */
  | { kind: 'default'; length: number };

export type FanRequest = {
  overlay: Prefix;
  underlay: UnderlaySelector;
  encap: Encap;
  /** UDP destination port; null = the encapsulation's own. */
  port: number | null;
  /** VXLAN network identifier; null = overlay address >> 8. */
  vni: number | null;
  compat: 'none' | 'lxd';
  /** Bytes of an inner packet; null = from the underlay's MTU. */
  mtu: number | null;
  dhcp: boolean;
  /** Addresses .1 to .N of the slice are the host's own. */
  hostReserve: number;
  /** Bridge name; null = from the slice. */
  bridge: string | null;
  offload: 'auto' | 'off';
  dscp: 'pipe' | 'uniform';
  sourcePort: 'pool' | 'fixed';
  /** Masquerade overlay traffic that leaves the overlay, where nft is there. */
  masquerade: boolean;
  /** Brought up from /etc/network/fan or marked `auto`: `down -a` takes it down again. */
  auto: boolean;
  /** Marked `off`: known, not to be started. */
  off: boolean;
  /** Go on although the overlay contains a route or an address of this host. */
  force: boolean;
};

export const UNDERLAY_LENGTH_DEFAULT = 16;
export const HOST_RESERVE_DEFAULT = 1;
export const HOST_RESERVE_MAX = 64;
/** RFC 791 §3.1: every host must take 576 bytes; below it nothing useful runs. */
export const MTU_BYTES_MIN = 576;
export const MTU_BYTES_MAX = 65535;

/** A request with every default filled in. */
export function fanRequest(
  required: Pick<FanRequest, 'overlay' | 'underlay'> & Partial<FanRequest>,
): FanRequest {
  return {
    encap: 'vxlan',
    port: null,
    vni: null,
    compat: 'none',
    mtu: null,
    dhcp: false,
    hostReserve: HOST_RESERVE_DEFAULT,
    bridge: null,
    offload: 'auto',
    dscp: 'pipe',
    sourcePort: 'pool',
    masquerade: true,
    auto: false,
    off: false,
    force: false,
    ...required,
  };
}

/** An underlay selector as it is written on the command line (`eth0/16`). */
export function formatUnderlay(selector: UnderlaySelector): string {
  switch (selector.kind) {
    case 'address':
      return `${formatIpv4(selector.address)}/${selector.length}`;
    case 'device':
      return `${selector.device}/${selector.length}`;
    case 'default':
      return `default/${selector.length}`;
  }
}
