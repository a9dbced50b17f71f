/**
 * What a user suffers, from counters: which packets were dropped in the last minute, what the
 * likely cause is, and whether so many are that the link fails although everything on this host
 * stands. One table says which counter means what; docs/reference.md has them all.
 * @module
 */
import type { DropStatus } from '../../api/status.ts';
import { carriesFrames, type EncapName, onTheWire } from '../../encap/encap.ts';
import { Witnesses } from './drops/witnesses.ts';
import type { CounterValues } from './tables/counter-values.ts';

type Counters = Readonly<Record<string, number>>;

/** What the causes of a link's drops are told with. */
export type DropContext = {
  encap: EncapName;
  port: number;
  vni: number;
  /** `172.30.0.0/16`. */
  underlay: string;
  /** Who sends with a foreign source, as a sentence; '' or absent when nobody is known. */
  foreign?: string;
  /** What lets its sockets have the buffers that they were refused, as a command; '' or absent when none was. */
  buffers?: string;
  /** Who was dropped for the reason of a counter, '' when nobody is known. */
  who?: (counter: string) => string;
  /** It is a layer-2 network, not a fan. */
  isNetwork?: true;
};

/** How far back `status` tells of drops. */
export const DROPS_SHOWN_MS = 60_000;
/** What fails is judged by a shorter time, so that it is well again soon after it was mended. */
export const FAILING_MS = 15_000;
const SAMPLE_MS = 5000;
/** Fewer drops than this may be a stray. */
const FAILING_DROPS_MIN = 3;
/**
 * Sent without any answer, so many are worth a word. Where frames are carried, something always
 * comes back from a host that hears us, even of UDP that only goes one way: answers to ARP, at the latest
 * when the kernel asks again after half a minute. So a minute of that is a link that fails.
 */
const UNANSWERED_MIN = 10;

/**
 * - `failing`: when more is dropped for it than gets through, the link fails.
 * - `silent-side`: it fails when, while we send, nothing at all gets through.
 * - `told`: worth a word; a stray container or a host that is off does it.
 * Counters that are not here happen on a healthy fan: containers' IPv6, floods of a bridge.
 */
type Rule = { weight: 'failing' | 'silent-side' | 'told'; cause: (of: DropContext) => string };

const wireOf = ({ encap, port }: DropContext): string => onTheWire(encap, port);

const COMPARE = 'compare fanway status on both hosts';

const RULES: Readonly<Record<string, Rule>> = {
  'ingress.drop.wrong_vni': {
    weight: 'failing',
    cause: ({ vni }) => `another --vni or overlay on the other side (here VNI ${vni}): ${COMPARE}`,
  },
  'ingress.drop.mode_mismatch': {
    weight: 'failing',
    cause: ({ encap }) => `another --encap on the other side (here ${encap}): ${COMPARE}`,
  },
  'ingress.drop.bad_header': {
    weight: 'failing',
    cause: (of) => `the other side speaks another protocol to ${wireOf(of)}: ${COMPARE}`,
  },
  'ingress.drop.foreign_source': {
    weight: 'failing',
    cause: () =>
      `another overlay or other widths on the other side, masquerading between the hosts, or forgery: ${COMPARE}`,
  },
  'ingress.drop.foreign_destination': {
    weight: 'failing',
    cause: () => `another overlay or other widths on the other side, or forgery: ${COMPARE}`,
  },
  'ingress.drop.stranger': {
    weight: 'silent-side',
    cause: ({ underlay }) =>
      `from hosts outside of ${underlay}: another underlay width on the other side, NAT between the hosts, or strangers (fanway capture --outer shows whom)`,
  },
  'ingress.drop.own_source': {
    weight: 'silent-side',
    cause: () => "another host uses this host's underlay address, or a loop",
  },
  'ingress.drop.bad_mac': {
    weight: 'told',
    cause: () => 'one MAC on two hosts, or a broken sender',
  },
  'ingress.drop.foreign_mac': {
    weight: 'told',
    cause: () =>
      'a MAC that is not known to be at that host: news of it is late, or somebody forges',
  },
  'ingress.drop.policy': {
    weight: 'told',
    cause: () => 'a rule denies it that the other host does not know: fanway net rules on both',
  },
  'ingress.drop.rogue_dhcp': {
    weight: 'told',
    cause: () => 'a DHCP server at another host that was not announced as one',
  },
  'ingress.drop.flood_limited': {
    weight: 'told',
    cause: () => 'another host floods more than the network lets pass',
  },
  'ingress.drop.bad_checksum': { weight: 'told', cause: () => 'damage on the way' },
  'ingress.drop.too_big': { weight: 'told', cause: () => 'larger MTU on the other side' },
  'egress.drop.overload': {
    weight: 'told',
    cause: () => 'small packets come faster than this host sends them on',
  },
  'ingress.drop.overload': {
    weight: 'told',
    cause: () => 'small packets come faster than this host delivers them',
  },
  'event.socket_drops': {
    weight: 'told',
    cause: ({ buffers = '', ...of }) =>
      `more came at once on ${wireOf(of)} than the receive buffer holds: ${
        buffers === ''
          ? 'this host is too busy (--queues, --priority)'
          : `${buffers}, and make the link anew`
      }`,
  },
  'event.device_drops': {
    weight: 'told',
    cause: () =>
      'containers sent more at once than the tunnel device holds: this host is too busy (--queues, --priority, --txqueuelen)',
  },
  'ingress.drop.device_full': { weight: 'told', cause: () => 'containers take less than comes' },
  'ingress.drop.device_error': { weight: 'failing', cause: () => 'see last error below' },
  'egress.drop.send_denied': {
    weight: 'failing',
    cause: (of) => `this host's firewall refuses what we send: allow ${wireOf(of)} in its output`,
  },
  'egress.drop.send_error': { weight: 'failing', cause: () => 'see last error below' },
  'egress.drop.send_unreachable': {
    weight: 'told',
    cause: () => 'no route to a host, it is off, or its neighbour entry is missing',
  },
  'egress.drop.send_full': {
    weight: 'told',
    cause: () => 'the network is slower than the load',
  },
  'egress.drop.foreign_source': {
    weight: 'told',
    cause: ({ foreign = '' }) =>
      foreign || 'a source that is not in the slice of this host: fanway show --json has it',
  },
  'egress.drop.outside_overlay': {
    weight: 'told',
    cause: () =>
      "a container sends, or asks for, what is not of the overlay: its default route should be by this host's own address there",
  },
  'egress.drop.bad_mac': {
    weight: 'told',
    cause: () => 'a container sends from a MAC that belongs elsewhere',
  },
  'ingress.drop.wrong_underlay': {
    weight: 'told',
    cause: () =>
      'from the address of a peer on another underlay than it came by: two of them on one wire, or somebody pretends',
  },
  'egress.drop.policy': {
    weight: 'told',
    cause: () => 'a rule denies it: fanway net rules',
  },
  'egress.drop.rogue_dhcp': {
    weight: 'told',
    cause: () => 'a container answers DHCP clients and was not announced as a server',
  },
  'egress.drop.flood_limited': {
    weight: 'told',
    cause: () => 'containers broadcast more than the network lets pass',
  },
  'egress.drop.unsupported_offload': {
    weight: 'told',
    cause: () => 'a super-packet that cannot be cut here: --offload off avoids it',
  },
  'event.port_unreachable': {
    weight: 'silent-side',
    cause: (of) =>
      `a host of the fan answers that nobody listens on ${wireOf(of)}: fanway is not up there, or with another --port or --encap`,
  },
};

/** What means something else on a layer-2 network. */
const NETWORK_RULES: Readonly<Record<string, Rule>> = {
  'ingress.drop.foreign_destination': {
    weight: 'told',
    cause: () =>
      'another host sends here what is known to be elsewhere: news of a move is late there, or it floods to learn',
  },
};

function ruleOf(counter: string, { isNetwork }: DropContext): Rule | undefined {
  return (isNetwork === true ? NETWORK_RULES[counter] : undefined) ?? RULES[counter];
}

/** Counters of one link as they grew; one that is new, or began anew, counts from zero. */
export function growth(before: Counters, now: Counters): Counters {
  return Object.fromEntries(
    Object.entries(now).map(([name, value]) => {
      const from = before[name] ?? 0;
      return [name, value < from ? value : value - from];
    }),
  );
}

/** What was dropped, worst first, with the likely cause of each. */
export function dropsOf(grown: Counters, context: DropContext): DropStatus[] {
  const of = (name: string): number => grown[name] ?? 0;
  const drops = Object.keys(RULES)
    .map((counter) => {
      const cause = ruleOf(counter, context)?.cause(context) ?? '';
      const who = of(counter) > 0 ? (context.who?.(counter) ?? '') : '';
      return { counter, count: of(counter), cause: who === '' ? cause : `${cause}: ${who}` };
    })
    .filter(({ count }) => count > 0)
    .sort((a, b) => b.count - a.count);
  const sent = of('egress.delivered');
  if (drops.length > 0 || of('ingress.received') > 0 || sent < UNANSWERED_MIN) return drops;
  const cause = `nothing came back: is ${wireOf(context)} open between the hosts, and fanway up on the other with the same overlay, --vni and --encap?`;
  return [{ counter: 'egress.delivered', count: sent, cause }];
}

/** Why the link carries nothing although all of it stands on this host; '' when it does. */
export function failureOf(grown: Counters, context: DropContext): string {
  const of = (name: string): number => grown[name] ?? 0;
  for (const { counter, count, cause } of dropsOf(grown, context)) {
    const rule = ruleOf(counter, context);
    const direction = counter.startsWith('egress.') ? 'egress' : 'ingress';
    const through = of(`${direction}.delivered`);
    const fails =
      rule?.weight === 'failing'
        ? count >= FAILING_DROPS_MIN && count > through
        : rule?.weight === 'silent-side' &&
          through === 0 &&
          of('egress.delivered') >= FAILING_DROPS_MIN &&
          // One report of ICMP stands for many datagrams: hosts send few of them.
          (counter.startsWith('event.') || count >= FAILING_DROPS_MIN);
    if (fails) return `${counter} ${count} in ${FAILING_MS / 1000} s: ${cause}`;
  }
  return '';
}

/** Why a link fails that sends still and heard nothing at all in the last minute; '' when it did. */
function silenceOf(lately: Counters, minute: Counters, context: DropContext): string {
  const sends = (lately['egress.delivered'] ?? 0) >= UNANSWERED_MIN;
  const mayBeOneWay = !carriesFrames(context.encap);
  if (mayBeOneWay || !sends || (minute['ingress.received'] ?? 0) > 0) return '';
  const [{ count, cause } = { count: 0, cause: '' }] = dropsOf(
    { 'egress.delivered': minute['egress.delivered'] ?? 0 },
    context,
  );
  return `${count} packets sent in ${DROPS_SHOWN_MS / 1000} s, ${cause}`;
}

/** The counters that any of this needs: their values in this order are what is sampled. */
export const DROP_COUNTERS: readonly string[] = [
  ...Object.keys(RULES),
  ...['egress.delivered', 'ingress.received', 'ingress.delivered'],
];

function named(values: Float64Array): Counters {
  return Object.fromEntries(DROP_COUNTERS.map((name, i) => [name, values[i] ?? 0]));
}

/** Remembers counters of the last minute. */
export class DropMeter {
  /** Who was in what was dropped. */
  readonly witnesses = new Witnesses(DROPS_SHOWN_MS);
  readonly #samples: { atMs: number; counters: CounterValues }[] = [];

  /** Whether {@link sample} would take one at a monotonic time. */
  isDue(atMs: number): boolean {
    return atMs - (this.#samples.at(-1)?.atMs ?? Number.NEGATIVE_INFINITY) >= SAMPLE_MS;
  }

  /**
   * Takes the values of {@link DROP_COUNTERS} as they stand at a monotonic time; may be called more often
   * than needed.
   */
  sample(counters: CounterValues, atMs: number): void {
    if (!this.isDue(atMs)) return;
    this.#samples.push({ atMs, counters });
    while ((this.#samples[0]?.atMs ?? atMs) < atMs - DROPS_SHOWN_MS - SAMPLE_MS) {
      this.#samples.shift();
    }
  }

  /**
   * How a link that has these counters now does.
   * @returns what was dropped in the last minute, and why the link fails, '' when it does not.
   */
  judge(
    link: DropContext & { name: string },
    now: Counters,
    nowMs: number,
  ): { drops: DropStatus[]; failure: string } {
    const grown = (ms: number): Counters => {
      const since = this.#samples.find(({ atMs }) => atMs >= nowMs - ms);
      const values = since?.counters.get(link.name);
      return growth(values === undefined ? {} : named(values), now);
    };
    const minute = grown(DROPS_SHOWN_MS);
    const lately = grown(FAILING_MS);
    const who = (counter: string) => this.witnesses.textOf(link.name, counter, nowMs);
    return {
      drops: dropsOf(minute, { ...link, who }),
      failure: failureOf(lately, link) || silenceOf(lately, minute, link),
    };
  }
}
