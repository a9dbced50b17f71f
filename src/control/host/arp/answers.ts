/**
 * ARP that the kernel's bridge answers by itself (`proxy_arp_wifi` of a port): for each neighbour of the
 * bridge device whose MAC its forwarding table has behind that port. The question goes to all other
 * ports as before, and not into that one.
 *
 * `neigh_suppress` would answer too, and IPv6 as well, but keeps gratuitous ARP, probes and duplicate
 * address detection from the port: nobody would hear whose an address is.
 * @module
 */
import { NUD_NOARP } from '../../../sys/netlink/codec.ts';
import type { Netlink } from '../../../sys/netlink/netlink.ts';
import { BPF, BPF_ACCEPT, type BpfInstruction } from '../../../sys/sockets/bpf.ts';
import { PacketSocket } from '../../../sys/sockets/packet-socket.ts';
import {
  ARP_BYTES,
  ARP_OPERATION_OFFSET,
  ARP_REQUEST,
  getArpSenderAddress,
  getArpSenderMac,
  getArpTargetAddress,
} from '../../../wire/arp.ts';
import { checkArp, Fault } from '../../../wire/classify.ts';
import {
  ETHERNET_HEADER_BYTES,
  ETHERTYPE_ARP,
  ETHERTYPE_OFFSET,
  getEthernetSource,
} from '../../../wire/ethernet.ts';

/** A question of ARP that a bridge was asked: by whom (u48, and an address of 0 = it has none yet). */
export type ArpQuestion = { mac: number; sender: number; target: number };

/** What a bridge is asked by its ports, since the last look. */
export type ArpQuestions = {
  /** At most `max` of them; what there is no room for is lost. @throws when the bridge is gone */
  take(max: number): ArpQuestion[];
  close(): void;
};

/** A neighbour of a bridge that bears our mark. */
export type ListedAnswer = { address: number; mac: number; isAsWritten: boolean };

/** ARP that a bridge answers by itself, for addresses that are behind one of its ports. */
export type AnswersHost = {
  /**
   * Has `bridge` answer for `address` with `mac`, which is behind its port `device` unless it knows
   * better. False where somebody has written down who has that address.
   */
  add(bridge: number, device: number, address: number, mac: number): Promise<boolean>;
  remove(bridge: number, address: number): Promise<void>;
  /** `isAsWritten`: in the state that {@link add} writes, whatever its MAC. */
  list(bridge: number): Promise<ListedAnswer[]>;
  /** @throws SystemError without CAP_NET_RAW */
  questions(bridge: number): ArpQuestions;
};

/** Keeps requests of ARP. */
const REQUESTS: readonly BpfInstruction[] = [
  [BPF.LOAD_HALF, 0, 0, ETHERTYPE_OFFSET],
  [BPF.JUMP_EQUAL, 0, 3, ETHERTYPE_ARP],
  [BPF.LOAD_HALF, 0, 0, ETHERNET_HEADER_BYTES + ARP_OPERATION_OFFSET],
  [BPF.JUMP_EQUAL, 0, 1, ARP_REQUEST],
  [BPF.RETURN, 0, 0, BPF_ACCEPT],
  [BPF.RETURN, 0, 0, 0],
];

/** A whole question that names its frame's own sender; undefined = anything else. */
function questionIn(bytes: Uint8Array): ArpQuestion | undefined {
  if (bytes.length < ETHERNET_HEADER_BYTES + ARP_BYTES) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const arp = ETHERNET_HEADER_BYTES;
  if (checkArp(view, arp, ARP_BYTES) !== Fault.None) return undefined;
  const mac = getArpSenderMac(view, arp);
  if (mac !== getEthernetSource(view, 0)) return undefined;
  return { mac, sender: getArpSenderAddress(view, arp), target: getArpTargetAddress(view, arp) };
}

/** What ports of a bridge ask all others, this host among them. */
class BridgeQuestions implements ArpQuestions {
  readonly #socket: PacketSocket;

  constructor(bridge: number) {
    this.#socket = new PacketSocket(bridge, REQUESTS, ETHERTYPE_ARP);
  }

  take(max: number): ArpQuestion[] {
    const questions: ArpQuestion[] = [];
    for (let reads = 0; reads < max; reads++) {
      const seen = this.#socket.read();
      if (seen === undefined) break;
      // What this host asks itself is no word of a port.
      const question = seen.outgoing ? undefined : questionIn(seen.bytes);
      if (question !== undefined) questions.push(question);
    }
    return questions;
  }

  close(): void {
    this.#socket.close();
  }
}

export function answersOf(netlink: Netlink): AnswersHost {
  return {
    async add(bridge, device, address, mac) {
      if (!(await netlink.addAnswer(bridge, address, mac))) return false;
      await netlink.pointBridge(device, mac, 'unknown');
      return true;
    },
    remove: (bridge, address) => netlink.deleteAnswer(bridge, address),
    list: async (bridge) =>
      (await netlink.answers(bridge)).map(({ address, mac, state }) => {
        return { address, mac, isAsWritten: state === NUD_NOARP };
      }),
    questions: (bridge) => new BridgeQuestions(bridge),
  };
}

/** Takes back all that a bridge answers for us. */
export async function forgetAnswers(netlink: Netlink, bridge: string): Promise<void> {
  const found = await netlink.findLink(bridge);
  if (found === undefined) return;
  for (const { address } of await netlink.answers(found.index)) {
    await netlink.deleteAnswer(found.index, address);
  }
}
