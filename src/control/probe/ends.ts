/**
 * What becomes of a packet, told by the host that it leaves and by the one where it arrives: the other one
 * is asked over the gossip channel, by a question that is signed. What members ask of us is bounded, and
 * nobody else is answered.
 * @module
 */
import {
  END_LINKS_MAX,
  type EndJson,
  type EndQuestion,
  type EndsRequest,
  endAnswer,
  endsCall,
  type Finding,
  readEndQuestion,
} from '../../api/network/ends.ts';
import { Bucket } from '../../dataplane/ground/bucket.ts';
import { codeOf, messageOf, usageError } from '../../errors.ts';
import type { MemberView } from '../../gossip/base/api.ts';
import type { Asked } from '../../gossip/seal/asked.ts';
import {
  formatHostAddress,
  parseHostAddress,
  type UnderlayAddress,
} from '../../net/underlay-address.ts';
import { Question } from '../../wire/gossip/types.ts';
import type { Route } from '../admin/admin.ts';
import { answerTo } from '../admin/answer-to.ts';
import type { EntryService } from '../entries/entry-service.ts';
import {
  type AnySpec,
  isNetwork,
  type LinkSpec,
  type NetworkSpec,
  overlaysOf,
  vniTo,
} from '../store/link-spec.ts';
import { type FanEnd, type FanEndOptions, wayIn } from './fan-end.ts';
import { wireOf } from './finding.ts';
import { isMac, type NetworkEnd, targetIn } from './network-end.ts';

/** Answers a second, and at once, to one member and to all. */
const PER_MEMBER = 4;
const PER_MEMBER_BURST = 16;
const IN_ALL = 32;
const IN_ALL_BURST = 64;
/** Members whose share is kept; of more the one that asked longest ago begins anew. */
const ASKERS_MAX = 256;
/** A host that says nothing for so long has no say, ms. */
const ANSWER_MS = 4000;

export type EndsOptions = {
  fans: () => readonly LinkSpec[];
  networks: () => readonly NetworkSpec[];
  members: () => readonly MemberView[];
  entries: Pick<EntryService, 'get'>;
  answer: FanEndOptions['answer'];
  network: Pick<NetworkEnd, 'find'>;
  fan: Pick<FanEnd, 'find'>;
  /** Asks a member. @throws Error */
  ask: (member: string, about: string) => Promise<string>;
  /** A question was not answered because there were too many. */
  limited: () => void;
};

/** Where one end of a packet is: an underlay address, and its owner as far as that is known. */
type Place = { host: UnderlayAddress; owner: string };

const NOTHING: Finding = { facts: [], dies: '', counter: '' };

export class Ends {
  readonly #options: EndsOptions;
  /** By node id, the one that asked last at the end. */
  readonly #shares = new Map<string, Bucket>();
  readonly #all = new Bucket(IN_ALL, IN_ALL_BURST);

  constructor(options: EndsOptions) {
    this.#options = options;
  }

  /** Our answer to a member's question; undefined when it is none of these. */
  answer(asked: Asked): Promise<string> | undefined {
    if (asked.question !== Question.Explain) return undefined;
    const problem = this.#refusal(asked);
    if (problem !== '') return Promise.resolve(JSON.stringify({ problem, finding: NOTHING }));
    try {
      const found = this.#find(readEndQuestion(JSON.parse(asked.about), ''));
      return Promise.resolve(JSON.stringify({ problem: '', finding: found }));
    } catch (error) {
      const text = `it does not understand the question: ${messageOf(error)}`;
      return Promise.resolve(JSON.stringify({ problem: text, finding: NOTHING }));
    }
  }

  #refusal({ from, isProved }: Asked): string {
    const member = this.#options.members().find(({ id }) => id === from);
    const isMember = member?.state === 'alive' || member?.state === 'suspect';
    if (!isMember || !isProved) return 'it answers members only, whose questions are signed';
    const nowMs = performance.now();
    const share = this.#shares.get(from) ?? new Bucket(PER_MEMBER, PER_MEMBER_BURST);
    this.#shares.delete(from);
    this.#shares.set(from, share);
    const [first] = this.#shares.keys();
    if (this.#shares.size > ASKERS_MAX && first !== undefined) this.#shares.delete(first);
    if (share.take(nowMs) && this.#all.take(nowMs)) return '';
    this.#options.limited();
    return 'it was asked too often just now: ask again in a second';
  }

  /** What this host does. @throws AddressError */
  #find(question: EndQuestion): Finding {
    const { fans, networks, network, fan } = this.#options;
    const { kind, vni, overlay, side } = question;
    if (kind === 'network') {
      const spec = networks().find((one) => one.vni === vni);
      if (spec !== undefined) return network.find(spec, question);
      const counter = side === 'arrives' ? 'ingress.drop.wrong_vni' : '';
      return { facts: [], dies: `no network with VNI ${vni} is up on that host`, counter };
    }
    const spec = fans().find((one) => overlaysOf(one) === overlay);
    if (spec !== undefined) return fan.find(spec, question);
    return { facts: [], dies: `no fan ${overlay} is up on that host`, counter: '' };
  }

  /**
   * Both ends of every link that knows one of them. @throws AddressError
   */
  async explain(request: EndsRequest): Promise<EndJson[]> {
    const { fans, networks } = this.#options;
    const links: AnySpec[] = [...networks(), ...fans()];
    const known = links.filter((spec) => {
      const isKnown = (what: string): boolean =>
        what !== '' && this.#placeIn(spec, what) !== undefined;
      return isKnown(request.to) || isKnown(request.from);
    });
    const all = known.slice(0, END_LINKS_MAX).map((spec) => this.#both(spec, request));
    return (await Promise.all(all)).flat();
  }

  /** Where something is on a link; undefined where nobody is known to have it. */
  #placeIn(spec: AnySpec, what: string): Place | undefined {
    const { entries, answer } = this.#options;
    if (isNetwork(spec)) {
      const { at } = targetIn(entries, spec.name, what);
      if (at === undefined) return undefined;
      return { host: at.source === 'local' ? spec.local : at.peer, owner: at.owner };
    }
    if (isMac(what)) return undefined;
    const way = wayIn({ answer }, spec, parseHostAddress(what));
    return way && { host: way.host, owner: '' };
  }

  async #both(spec: AnySpec, request: EndsRequest): Promise<EndJson[]> {
    const here: Place = { host: spec.local, owner: '' };
    const source = request.from === '' ? here : (this.#placeIn(spec, request.from) ?? here);
    const target = this.#placeIn(spec, request.to);
    const question = {
      ...request,
      ...(isNetwork(spec)
        ? ({ kind: 'network', vni: spec.vni, overlay: '' } as const)
        : ({ kind: 'fan', vni: 0, overlay: overlaysOf(spec) } as const)),
      wire: wireOf(isNetwork(spec) ? spec : { ...spec, vni: vniOf(spec, request.to) }),
    };
    const isLocal = target?.host === source.host;
    const leaves: EndQuestion = { ...question, side: 'leaves', outer: '' };
    const outer = isNetwork(spec) && source.host === spec.local ? spec.outer : undefined;
    const from = formatHostAddress(outer ?? source.host);
    const arrives: EndQuestion = { ...question, side: 'arrives', outer: from };
    return Promise.all([
      this.#end(spec, isLocal ? 'local' : 'leaves', source, leaves),
      ...(target === undefined || isLocal ? [] : [this.#end(spec, 'arrives', target, arrives)]),
    ]);
  }

  async #end(
    spec: AnySpec,
    side: EndJson['side'],
    place: Place,
    question: EndQuestion,
  ): Promise<EndJson> {
    const isHere = place.host === spec.local;
    const members = this.#options.members();
    const member = isHere ? members.find(({ isSelf }) => isSelf) : memberAt(members, place);
    const end = {
      ...{ side, kind: question.kind, host: formatHostAddress(place.host) },
      link: isNetwork(spec) ? spec.network : overlaysOf(spec),
      ...{ member: member?.id ?? '', name: member?.name ?? '', problem: '' },
    };
    if (isHere) return { ...end, finding: this.#find(question) };
    if (member === undefined) {
      const problem = 'it is no member of gossip that is known here: nobody there can be asked';
      return { ...end, problem, finding: NOTHING };
    }
    try {
      return { ...end, ...(await this.#asked(member.id, question)) };
    } catch (error) {
      return { ...end, problem: `it does not say: ${messageOf(error)}`, finding: NOTHING };
    }
  }

  async #asked(member: string, question: EndQuestion) {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`no answer in ${ANSWER_MS / 1000} s`)), ANSWER_MS);
    });
    try {
      const told = await Promise.race([this.#options.ask(member, JSON.stringify(question)), late]);
      return endAnswer(JSON.parse(told), '');
    } finally {
      clearTimeout(timer);
    }
  }

  route(): Route {
    return answerTo(endsCall, async (request) => {
      try {
        return await this.explain(request);
      } catch (error) {
        if (codeOf(error).startsWith('ERR_')) throw usageError('bad-request', messageOf(error));
        throw error;
      }
    });
  }
}

function vniOf(spec: LinkSpec, to: string): number {
  return isMac(to) ? spec.vni : vniTo(spec, parseHostAddress(to));
}

/** The member that is meant: the owner by its id, else who is at that underlay address. */
function memberAt(members: readonly MemberView[], { host, owner }: Place): MemberView | undefined {
  return members.find(
    ({ id, isSelf, fans, endpoints }) =>
      !isSelf &&
      (owner === ''
        ? fans.some(({ local }) => local === host) ||
          endpoints.some(({ address }) => address === host)
        : id === owner),
  );
}
