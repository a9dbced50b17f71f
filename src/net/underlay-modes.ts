/**
 * How a link's traffic is spread over several underlays, by the names that the kernel's bonding has for
 * it. The data processes know each by its place in the list.
 * @module
 */

/** Underlays that one link may have. */
export const UNDERLAYS_MAX = 4;

/**
 * `active-backup`: the first that leads to a peer; `balance-xor`: by inner flow; `balance-rr`: in turn,
 * which reorders; `latency`: the one with the least delay. Append only.
 */
export const UNDERLAY_MODES = ['active-backup', 'balance-xor', 'balance-rr', 'latency'] as const;
export type UnderlayMode = (typeof UNDERLAY_MODES)[number];

/** What `balance-xor` goes by, of the headers inside. Append only. */
export const XMIT_HASH_POLICIES = ['layer2', 'layer2+3', 'layer3+4'] as const;
export type XmitHashPolicy = (typeof XMIT_HASH_POLICIES)[number];

/** Nothing is reordered, and nobody has to think. */
export const UNDERLAY_MODE_DEFAULT = 'active-backup' satisfies UnderlayMode;
/** Connections between two containers are spread too. */
export const XMIT_HASH_POLICY_DEFAULT = 'layer3+4' satisfies XmitHashPolicy;
