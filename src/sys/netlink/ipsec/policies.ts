/**
 * The policies of IPsec: what they say of a packet that leaves, nobody obeys who sends it past the kernel's own way out.
 * @module
 */
import { readAttributes } from '../codec.ts';
import { LITTLE, listen, NetlinkSocket } from '../socket.ts';

/** Of linux/netlink.h and linux/xfrm.h. */
const NETLINK_XFRM = 6;
const XFRM_MSG_NEWSPDINFO = 0x24;
const XFRM_MSG_GETSPDINFO = 0x25;
const XFRMA_SPD_INFO = 1;
const XFRMNLGRP_POLICY = 4;
/** A word of flags before the attributes; how many are about what leaves is the second number of this one. */
const FLAGS_BYTES = 4;
const OUTWARD_OFFSET = 4;

/** Those of the network namespace that it was opened in. */
export class IpsecPolicies {
  readonly #socket: NetlinkSocket;

  /** @throws Error with code EPROTONOSUPPORT where the kernel has no IPsec, or none that is told by netlink. */
  constructor() {
    this.#socket = new NetlinkSocket(NETLINK_XFRM);
  }

  /** How many there are about packets that leave. @throws NetlinkError EPERM without CAP_NET_ADMIN */
  async outward(): Promise<number> {
    const body = Buffer.alloc(FLAGS_BYTES);
    const answer = await this.#socket.request('count policies', XFRM_MSG_GETSPDINFO, 0, body);
    const info = answer.find(({ type }) => type === XFRM_MSG_NEWSPDINFO);
    const counts = info && readAttributes(info.payload, FLAGS_BYTES).get(XFRMA_SPD_INFO);
    if (counts === undefined || counts.length < OUTWARD_OFFSET + 4) {
      throw new Error('the kernel does not say how many policies of IPsec there are');
    }
    return LITTLE ? counts.readUInt32LE(OUTWARD_OFFSET) : counts.readUInt32BE(OUTWARD_OFFSET);
  }

  close(): void {
    this.#socket.close();
  }
}

/** Calls `listener` after each change of them; returns how to end it. Does not keep the loop. */
export function watchIpsecPolicies(listener: () => void): () => void {
  const options = { background: true, protocol: NETLINK_XFRM };
  return listen([XFRMNLGRP_POLICY], listener, listener, options);
}
