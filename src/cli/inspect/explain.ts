/**
 * `fanway explain ADDRESS`: where a packet to that address goes, and why.
 * @module
 */

import { type AnswerJson, explainCall } from '../../api/entries.ts';
import { parseOverlay, parseUnderlay } from '../../config/schema.ts';
import { ValueError } from '../../config/value.ts';
import { ask, callRouter } from '../../control/admin/admin-client.ts';
import { readSnapshot } from '../../control/host/read-snapshot.ts';
import { openHost } from '../../control/host/real-host.ts';
import type { FanRecord } from '../../control/host/snapshot.ts';
import { isResolved, resolveUnderlay } from '../../control/links/resolve.ts';
import type { PathStatus } from '../../control/plane/paths.ts';
import type { RouterStatus } from '../../control/status.ts';
import { isBridged } from '../../control/store/link-spec.ts';
import { RunDirectory } from '../../control/store/run-directory.ts';
import { codeOf, ExitCode, messageOf, usageError } from '../../errors.ts';
import { type FanMap, hostRangeOf, peerOf, sliceOf } from '../../net/fan.ts';
import { formatIpv4, parseIpv4 } from '../../net/ipv4.ts';
import { contains, formatPrefix, networkOf, type Prefix } from '../../net/prefix.ts';
import { printJson, takeFlags, type Verb } from '../verb/verb.ts';
import { pathText } from './paths-text.ts';

export type Explanation = {
  address: string;
  /** '' when no fan has it. */
  overlay: string;
  slice: string;
  /** Underlay address of the host that has it. */
  host: string;
  local: boolean;
  role: 'container' | 'gateway' | 'network' | 'broadcast' | 'outside';
  /**
   * Whether the host follows from the address, or from what the table has: announced by a member over
   * gossip, or by BGP, or given here.
   */
  source: 'arithmetic' | AnswerJson['source'];
  /** Who says so, null when nobody does or no router was asked. */
  announced: { prefix: string; owner: string; name: string } | null;
  text: string;
};

/** `local` is −1 where no address of this host is meant, `name` '' where no fan runs. */
/** `bridged` undefined: not known, as no fan of it runs here. */
type Fan = { map: FanMap; local: number; name: string; bridged?: boolean };

const PLAIN = { source: 'arithmetic', announced: null } as const;

/** The fan that an address is in: the longest overlay wins. */
function fanOf(address: number, fans: readonly Fan[]): Fan | undefined {
  return fans
    .filter((fan) => contains(fan.map.overlay, address))
    .sort((a, b) => b.map.overlay.length - a.map.overlay.length)[0];
}

/** How it is known, in words. */
function sourceText({ source, owner, name, prefix }: AnswerJson): string {
  switch (source) {
    case 'gossip':
      return `announced (${prefix}) by ${name === '' ? owner : `${name} (${owner})`} over gossip`;
    case 'bgp':
      return `announced (${prefix}) by BGP with the tunnel endpoint ${owner}`;
    case 'static':
      return `given (${prefix}) by the configuration`;
    case 'local':
      return `announced (${prefix}) by this host over BGP`;
    case 'learned':
      return `learned (${prefix}) from frames`;
  }
}

/** The same where the table has an entry: that is where packets go. */
export function explainAnswer(plain: Explanation, answer: AnswerJson, fan: Fan): Explanation {
  const { prefix, owner, name, host, source } = answer;
  const local = host === formatIpv4(fan.local);
  return {
    ...plain,
    ...{ host, local, source, announced: { prefix, owner, name } },
    text: `${plain.address} is ${sourceText(answer)}, ${local ? 'this host' : `host ${host}`}, and goes there; by arithmetic: ${plain.text}`,
  };
}

/** What the table of the running router has for an address of a fan of its own. */
async function answerOf(
  address: number,
  fan: Fan | undefined,
  run: RunDirectory,
): Promise<AnswerJson | null> {
  if (fan === undefined || fan.name === '') return null;
  return await ask(run, explainCall, { address, link: fan.name });
}

/** What a fan says about an address (u32); the longest overlay wins. */
export function explainAddress(address: number, fans: readonly Fan[]): Explanation {
  const shown = formatIpv4(address);
  const fan = fanOf(address, fans);
  if (fan === undefined) {
    const base = { address: shown, overlay: '', slice: '', host: '', local: false, ...PLAIN };
    return {
      ...base,
      role: 'outside',
      text: `${shown} is in no fan of this host; fanway show lists them`,
    };
  }
  const peer = peerOf(fan.map, address);
  const slice = sliceOf(fan.map, peer);
  const role = roleOf(slice, address, fan.bridged ?? false);
  const local = peer === fan.local;
  const where = local
    ? `this host (${formatIpv4(peer)})${fan.name === '' ? '' : `, bridge ${fan.name}`}`
    : `host ${formatIpv4(peer)}`;
  const nobody =
    fan.bridged === undefined
      ? 'nobody has on a routed fan; on a bridged one (vxlan) it is an address for a container'
      : 'nobody has';
  const what = {
    container: 'an address for a container',
    gateway: "the host's own address",
    network: `the network address, which ${nobody}`,
    broadcast: `the broadcast address, which ${nobody}`,
    outside: '',
  }[role];
  return {
    address: shown,
    overlay: formatPrefix(fan.map.overlay),
    slice: formatPrefix(slice),
    host: formatIpv4(peer),
    local,
    role,
    ...PLAIN,
    text: `${shown} is in fan ${formatPrefix(fan.map.overlay)}, slice ${formatPrefix(slice)} of ${where}: ${what}`,
  };
}

function roleOf(slice: Prefix, address: number, bridged: boolean): Explanation['role'] {
  const { first, last } = hostRangeOf(slice, bridged);
  if (address < first) return 'network';
  if (address > last) return 'broadcast';
  return address === networkOf(slice) + 1 ? 'gateway' : 'container';
}

async function fansNow(run: RunDirectory): Promise<Fan[]> {
  const records = (await callRouter(run, '/v1/fans').catch((error: unknown) => {
    if (codeOf(error) === 'not-running') return [];
    throw error;
  })) as FanRecord[];
  return records.map(({ spec }) => ({
    ...{ map: spec, local: spec.local, name: spec.name },
    bridged: isBridged(spec),
  }));
}

/** What is different about the way to a host; null where nothing is, or no router runs. */
async function pathOf(host: string, run: RunDirectory): Promise<PathStatus | null> {
  if (host === '') return null;
  const status = (await callRouter(run, '/v1/status').catch((error: unknown) => {
    if (codeOf(error) === 'not-running') return undefined;
    throw error;
  })) as RouterStatus | undefined;
  return status?.paths.find(({ peer }) => peer === host) ?? null;
}

/** A fan that need not run: from its overlay and underlay as they would be given to `up`. */
async function fanFromWords(overlay: string, underlay: string, run: RunDirectory): Promise<Fan> {
  const selector = parseUnderlay(underlay);
  const map = { overlay: parseOverlay(overlay) };
  if (selector.kind === 'address') {
    const network = networkOf(selector);
    const prefix = { address: network, length: selector.length };
    // Arithmetic alone: the address need not be one of this host.
    return { map: { ...map, underlay: prefix }, local: -1, name: '' };
  }
  const host = openHost(run);
  try {
    const resolved = resolveUnderlay(selector, await readSnapshot(host, []));
    if (!isResolved(resolved)) throw usageError(resolved.code, resolved.message);
    return { map: { ...map, underlay: resolved.underlay }, local: resolved.local, name: '' };
  } finally {
    host.close();
  }
}

export const explain: Verb = {
  name: 'explain',
  summary: 'which host has an overlay address',
  usage: ['explain ADDRESS [--json]', 'explain ADDRESS OVERLAY UNDERLAY [--json]'],
  options: [['--json', 'the same as JSON']],
  examples: [
    ['fanway explain 250.0.28.7', 'among the fans that run here'],
    ['fanway explain 250.0.28.7 250.0.0.0/8 172.30.0.0/16', 'plain arithmetic, needs no fan'],
  ],
  async run(args, io) {
    const { flags, rest } = takeFlags(args, { '--json': 'switch' });
    const [addressText, overlay, underlay] = rest;
    if (addressText === undefined || rest.length === 2 || rest.length > 3) {
      throw usageError(
        'usage',
        'give an address (fanway explain 250.1.27.10), or an address, an overlay and an underlay (fanway explain 250.1.27.10 250 172.30.0.0/16)',
      );
    }
    const run = new RunDirectory(io.env['FANWAY_RUN_DIR']);
    let explanation: Explanation;
    try {
      const address = parseIpv4(addressText);
      const fans =
        overlay === undefined || underlay === undefined
          ? await fansNow(run)
          : [await fanFromWords(overlay, underlay, run)];
      explanation = explainAddress(address, fans);
      const fan = fanOf(address, fans);
      const answer = await answerOf(address, fan, run);
      if (answer !== null && fan !== undefined) {
        explanation = explainAnswer(explanation, answer, fan);
      }
    } catch (error) {
      if (error instanceof ValueError || codeOf(error) === 'ERR_IPV4') {
        throw usageError('usage', messageOf(error));
      }
      throw error;
    }
    const path = overlay === undefined ? await pathOf(explanation.host, run) : null;
    if (flags.has('--json')) printJson(io, { ...explanation, path });
    else io.out(`${explanation.text}${path === null ? '' : `; ${pathText(path, Date.now())}`}\n`);
    return explanation.role === 'outside' ? ExitCode.Failed : ExitCode.Ok;
  },
};
