/**
 * How a link may carry packets, by name. Words alone: the page of `fanway web` reads them too, and a browser
 * has no need of the settings around them.
 * @module
 */

export const ENCAPS = ['vxlan', 'ipip', 'fou'] as const;
export type FanEncap = (typeof ENCAPS)[number];

/** Who forwards: data processes of ours, the kernel, or the kernel where it can. */
export const DATAPATHS = ['userspace', 'kernel', 'auto'] as const;
export type Datapath = (typeof DATAPATHS)[number];
