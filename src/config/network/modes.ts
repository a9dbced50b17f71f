/**
 * The ways in which a layer-2 network may treat what is for many, and its ports. Words alone: the page of
 * `fanway web` reads them too, and a browser has no need of the settings around them.
 * @module
 */

/** What becomes of broadcast, unknown unicast and multicast. */
export const BUM_MODES = ['none', 'replicate', 'service-node', 'learn'] as const;
export type BumModeName = (typeof BUM_MODES)[number];

/** How strictly the ports of a network are watched. */
export const GUARD_MODES = ['learn', 'strict', 'off'] as const;
export type GuardName = (typeof GUARD_MODES)[number];

/** Who answers ARP for other hosts' addresses: the kernel's bridge where it can, or the data path alone. */
export const ARP_MODES = ['auto', 'kernel', 'userspace'] as const;
