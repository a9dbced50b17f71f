/**
 * Why a path is as it is, from what both ends saw: which side drops, and for what. Pure; a verdict names
 * no more than the evidence does.
 * @module
 */
import type { LayerReport } from '../../api/test.ts';

/** Dropped packets of one kind on one side meanwhile, with what that kind means. */
export type Drop = { counter: string; count: number; cause: string };

/** Lost as it leaves a host, or as it arrives: what it dropped itself, and what the kernel dropped before it was read. */
const OUTWARD = /^(egress\.drop\.|event\.device_drops$)/;
const INWARD = /^(ingress\.drop\.|event\.socket_drops$)/;
const KERNELS = /^event\.(device|socket)_drops$/;

/** The drops that are packets lost, and not only something to know. */
export function lossesOf(drops: readonly Drop[]): Drop[] {
  return drops.filter(({ counter }) => OUTWARD.test(counter) || INWARD.test(counter));
}

const only = (drops: readonly Drop[] | undefined, way: RegExp): Drop[] =>
  (drops ?? []).filter(({ counter }) => way.test(counter));

/** What is known of one path. */
export type Evidence = {
  underlay: LayerReport;
  tunnel: LayerReport;
  /** Between underlay MTU and inner MTU, bytes. */
  overheadBytes: number;
  /** What the packets are on the wire, `UDP port 4789`. */
  wire: string;
  /** Dropped here meanwhile, most first. */
  nearDrops: readonly Drop[];
  /** Dropped there meanwhile; undefined where the far side was not heard. */
  farDrops?: readonly Drop[] | undefined;
  /** Tunnel packets that came there meanwhile; undefined as above. */
  farReceived?: number | undefined;
  /** ICMP "port unreachable" came from there meanwhile. */
  portUnreachable: boolean;
  /** Seen on our underlay device: tunnel packets to there, and from there; undefined where nobody looked. */
  left?: number | undefined;
  back?: number | undefined;
  /** As gossip has it, '' where nobody knows. */
  member: string;
  segmentation: 'unknown' | 'works' | 'refused';
};

export type PathVerdict = { isWell: boolean; text: string };

const FEW_BYTES = 16;
/** Reordering that is worth a word: a share of the answers. */
const REORDERED_SHARE = 0.1;

function lossOf({ sent, received }: LayerReport): number {
  return sent === 0 ? 0 : 1 - received / sent;
}

const percent = (share: number): string => `${Math.round(share * 100)} %`;

function dropText(side: string, [worst]: readonly Drop[]): string | undefined {
  if (worst === undefined) return undefined;
  return `${side} drops: ${worst.counter} ${worst.count}: ${worst.cause}`;
}

/** The tunnel does not answer although the plain network does. */
function silentTunnel(evidence: Evidence): string {
  const { nearDrops, farDrops, farReceived, portUnreachable, left, back, wire } = evidence;
  const ingress = only(nearDrops, INWARD);
  const here = dropText('this side', only(nearDrops, OUTWARD));
  if (here !== undefined) return here;
  if (portUnreachable) {
    return `the far side refuses: nobody listens on ${wire} there: fanway is not up there, or with another --port or --encap`;
  }
  if (left === 0) return 'this side: nothing left this host, and nothing was counted as dropped';
  const farIngress = only(farDrops, INWARD);
  if (ingress[0] !== undefined && ingress[0].counter === farIngress[0]?.counter) {
    return `both sides drop: ${ingress[0].counter}: ${ingress[0].cause}`;
  }
  const inward = dropText('this side', ingress);
  if (inward !== undefined) return inward;
  if (back !== undefined && back > 0) {
    return "this side: answers came to this host and ended in it: its firewall (input, or the bridge), or the address is another host's";
  }
  const there = dropText('the far side', farIngress);
  if (there !== undefined) return there;
  if (farReceived === 0) {
    return `lost on the way there: the far side got nothing: let ${wire} through between the hosts, and in at its firewall`;
  }
  const outward = dropText('the far side', only(farDrops, OUTWARD));
  if (outward !== undefined) return outward;
  if (farReceived !== undefined) {
    return `lost on the way back: the far side got them; let ${wire} through from there to here, and in at this host's firewall`;
  }
  return `what left this host had no answer: let ${wire} through between the hosts; on the far side fanway status says whether it drops`;
}

function sizeProblems({ underlay, tunnel, overheadBytes }: Evidence): string[] {
  const problems: string[] = [];
  if (underlay.mtu !== 0 && underlay.mtu < underlay.mtuMax) {
    problems.push(
      `the network between carries ${underlay.mtu} bytes, this host's device says ${underlay.mtuMax}`,
    );
  }
  if (tunnel.mtu !== 0 && tunnel.mtu + FEW_BYTES < tunnel.mtuMax) {
    const isExplained = underlay.mtu !== 0 && underlay.mtu < tunnel.mtuMax + overheadBytes;
    problems.push(
      `the tunnel carries ${tunnel.mtu} bytes, containers are told ${tunnel.mtuMax}${isExplained ? ', and are told less when they send more' : ': lower the MTU on both sides (--mtu)'}`,
    );
  }
  return problems;
}

/** What is wrong, the worst first, in one sentence each; well when nothing is. */
export function verdictOf(evidence: Evidence): PathVerdict {
  const { underlay, tunnel, member, nearDrops, farDrops, segmentation } = evidence;
  const outward = underlay.received > 0;
  if (tunnel.received === 0) {
    if (outward) return { isWell: false, text: silentTunnel(evidence) };
    const heard =
      member === 'alive' || member === 'suspect'
        ? `gossip hears it (${member}): a firewall there, or between, drops ICMP and ${evidence.wire}`
        : member === ''
          ? 'it is off, not connected, or a firewall drops all of it'
          : `gossip says it is ${member}: it is off, or not connected`;
    return { isWell: false, text: `the host answers by neither way: ${heard}` };
  }
  const problems: string[] = [];
  const [loss, plainLoss] = [lossOf(tunnel), lossOf(underlay)];
  if (loss > 0) {
    const drop =
      dropText('this side', lossesOf(nearDrops)) ??
      dropText('the far side', lossesOf(farDrops ?? []));
    const why =
      outward && plainLoss >= loss / 2
        ? `the network between loses as much (${percent(plainLoss)})`
        : (drop ?? 'the network between loses it, or a queue of it does');
    problems.push(`the tunnel loses ${percent(loss)}: ${why}`);
  } else if (outward && plainLoss > 0) {
    problems.push(`the plain network loses ${percent(plainLoss)} of its echo requests`);
  }
  problems.push(...sizeProblems(evidence));
  if (tunnel.reordered > REORDERED_SHARE * tunnel.received) {
    problems.push(
      `answers overtake one another in the tunnel (${tunnel.reordered} of ${tunnel.received}${underlay.reordered > 0 ? ', and in the network between' : ''})`,
    );
  }
  if (segmentation === 'refused') {
    problems.push('udp-segment is refused on this path: large packets go one by one, and slower');
  }
  if (problems.length > 0) return { isWell: false, text: problems.join('; ') };
  const plain = outward
    ? 'all is well'
    : 'the tunnel works; the plain network lets no echo request through';
  // None of these, but others' packets meanwhile.
  const busy =
    dropText('this side', only(nearDrops, KERNELS)) ??
    dropText('the far side', only(farDrops, KERNELS));
  return { isWell: true, text: busy === undefined ? plain : `${plain}, but ${busy}` };
}
