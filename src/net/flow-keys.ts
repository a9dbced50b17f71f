/**
 * The fields of a packet inside a tunnel by which flows are told apart, under the names that a patch to
 * Linux' flow classifier once gave them (`tc ... flow hash keys tunnel-src,...`).
 * @module
 */

export const FlowKey = {
  Source: 1,
  Destination: 2,
  Protocol: 4,
  SourcePort: 8,
  DestinationPort: 16,
} as const;

const BITS = {
  'tunnel-src': FlowKey.Source,
  'tunnel-dst': FlowKey.Destination,
  'tunnel-proto': FlowKey.Protocol,
  'tunnel-proto-src': FlowKey.SourcePort,
  'tunnel-proto-dst': FlowKey.DestinationPort,
} as const;

export type FlowKeyName = keyof typeof BITS;

export const FLOW_KEY_NAMES: readonly FlowKeyName[] = [
  'tunnel-src',
  'tunnel-dst',
  'tunnel-proto',
  'tunnel-proto-src',
  'tunnel-proto-dst',
];

export function isFlowKeyName(text: string): text is FlowKeyName {
  return Object.hasOwn(BITS, text);
}

/** The bits of some keys; all of them for none. */
export function flowKeyBits(names: readonly FlowKeyName[]): number {
  const chosen = names.length === 0 ? FLOW_KEY_NAMES : names;
  return chosen.reduce((bits, name) => bits | BITS[name], 0);
}
