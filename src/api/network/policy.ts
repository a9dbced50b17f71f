/**
 * Rules and labels of layer-2 networks on the admin socket.
 * @module
 */
import { post } from '../call.ts';
import { count, fields, flag, list, number, text } from '../reader.ts';

/** One rule that is in force, in the order in which they are asked. */
export type RuleJson = {
  network: string;
  /** Its canonical text. */
  rule: string;
  /** Why this host tells it: file, given, carried; '' = it does not. */
  here: string;
  /** Who else tells it, by name or node id; those that have vanished are in `vanished`. */
  by: string[];
  vanished: string[];
  /** How often it decided on this host: of what is allowed connections, of what is denied packets. */
  hits: number;
};

/** Labels of one workload. */
export type LabelsJson = { network: string; mac: string; labels: string[] };

const rule = fields<RuleJson>({
  ...{ network: text, rule: text, here: text, by: list(text), vanished: list(text), hits: number },
});

/** What becomes of what no rule speaks of: inside the network, and to and from others of the same host. */
export const DEFAULT_ACTIONS = { inside: 'allow', between: 'deny' } as const;
export type DefaultActions = { inside: string; between: string };

export type PolicyJson = {
  default: DefaultActions;
  rules: RuleJson[];
  labels: LabelsJson[];
  problems: string[];
};

export const rulesCall = post<{ network: string }, PolicyJson>(
  '/v1/networks/rules',
  fields({ network: text }),
  fields<PolicyJson>({
    default: fields<DefaultActions>({ inside: text, between: text }),
    ...{ rules: list(rule), problems: list(text) },
    labels: list(fields<LabelsJson>({ network: text, mac: text, labels: list(text) })),
  }),
);

/** `rule`: any text of it; `isRevoked`: it is taken back. */
export type SetRuleRequest = { network: string; rule: string; isRevoked: boolean };
export type SetRuleAnswer = { rule: string; isNew: boolean };

export const setRuleCall = post<SetRuleRequest, SetRuleAnswer>(
  '/v1/networks/rule',
  fields({ network: text, rule: text, isRevoked: flag }),
  fields({ rule: text, isNew: flag }),
);

/** `what`: a MAC, or an address that somebody has. No labels = it has none from now on. */
export const setLabelsCall = post<
  { network: string; what: string; labels: string[] },
  { mac: string; labels: string[] }
>(
  '/v1/networks/labels',
  fields({ network: text, what: text, labels: list(text) }),
  fields({ mac: text, labels: list(text) }),
);

/** A connection that may be opened: addresses as text, `port` 0 where there is none. */
export type FlowRequest = { from: string; to: string; protocol: number; port: number };
/** What one network's rules say of it; `rule` '' = none speaks of it. */
export type FlowVerdict = {
  network: string;
  allowed: boolean;
  rule: string;
  /** Where the ends are: an underlay address, '' = here. */
  fromHost: string;
  toHost: string;
  text: string;
};

export const explainFlowCall = post<FlowRequest, FlowVerdict[]>(
  '/v1/networks/explain-flow',
  fields({ from: text, to: text, protocol: count, port: count }),
  list(
    fields<FlowVerdict>({
      ...{ network: text, allowed: flag, rule: text, fromHost: text, toHost: text, text },
    }),
  ),
);
