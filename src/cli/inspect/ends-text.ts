/**
 * Both ends of a packet: asked of the router, and as text.
 * @module
 */
import { type EndJson, type EndsRequest, endsCall } from '../../api/network/ends.ts';
import { ask } from '../../control/admin/admin-client.ts';
import type { RunDirectory } from '../../control/store/run-directory.ts';
import { codeOf } from '../../errors.ts';

/** What both ends say; nothing where no router runs. */
export async function endsOf(run: RunDirectory, request: EndsRequest): Promise<EndJson[]> {
  return await ask(run, endsCall, request).catch((error: unknown) => {
    if (codeOf(error) === 'not-running') return [];
    throw error;
  });
}

/** The same for an address or a MAC, whoever asks for it here. */
export function endsOfAddress(run: RunDirectory, to: string): Promise<EndJson[]> {
  return endsOf(run, { from: '', to, protocol: 1, port: 0 });
}

const SIDES = { leaves: 'leaves', arrives: 'arrives at', local: 'stays on' } as const;

function endText({ side, name, host, kind, link, problem, finding }: EndJson): string[] {
  const who = name === '' ? host : `${name} (${host})`;
  const head = `${SIDES[side]} ${who}, ${kind} ${link}:`;
  if (problem !== '') return [head, `  not known: ${problem}`];
  const { facts, dies, counter } = finding;
  const passes = { leaves: 'goes out', arrives: 'is delivered', local: 'is delivered' }[side];
  return [
    head,
    ...facts.map(({ what, value, by }) => `  ${what}: ${value}${by === '' ? '' : ` (${by})`}`),
    dies === '' ? `  ${passes}` : `  DIES: ${dies}${counter === '' ? '' : ` (${counter})`}`,
  ];
}

/** A few lines for each end. */
export function endsText(ends: readonly EndJson[]): string {
  return ends
    .flatMap(endText)
    .map((line) => `${line}\n`)
    .join('');
}
