/**
 * `fanway explain ADDRESS|MAC`: where a packet to that address goes, and why.
 * @module
 */

import { type AnswerJson, explainCall } from '../../api/entries.ts';
import { fansCall, type RunningFan } from '../../api/fans.ts';
import { explainNetworkCall, type NetworkExplanation } from '../../api/networks.ts';
import { type PathStatus, statusCall } from '../../api/status.ts';
import { parseOverlay, parseOverlay6, parseUnderlay } from '../../config/link/sides.ts';
import { ValueError } from '../../config/row/setting.ts';
import { ask } from '../../control/admin/admin-client.ts';
import {
  type ExplainedFan,
  type Explanation,
  explainAddress,
  explainAnswer,
  fanOf,
} from '../../control/entries/explain.ts';
import { explainAddress6, fanOf6 } from '../../control/entries/explain6.ts';
import { readSnapshot } from '../../control/host/read-snapshot.ts';
import { openHost } from '../../control/host/real-host.ts';
import { isResolved, resolveUnderlay } from '../../control/links/underlay/resolve.ts';
import { isBridged } from '../../control/store/link-spec.ts';
import { RunDirectory } from '../../control/store/run-directory.ts';
import { codeOf, ExitCode, messageOf, usageError } from '../../errors.ts';
import { parseIpv4 } from '../../net/ipv4.ts';
import { bytesOfIpv6, parseAddress6 } from '../../net/prefix6.ts';
import {
  hostNetworkOf,
  hostOfBytes,
  type UnderlayAddress,
  type UnderlayPrefix,
} from '../../net/underlay-address.ts';
import { type Io, printJson, takeFlags, type Verb } from '../verb/verb.ts';
import { endsOfAddress, endsText } from './ends-text.ts';
import { explainFlow, isFlow } from './explain-flow.ts';
import { pathText } from './paths-text.ts';

/** What the table of the running router has for an address of a fan of its own. */
async function answerOf(
  address: UnderlayAddress,
  fan: { name: string } | undefined,
  run: RunDirectory,
): Promise<AnswerJson | null> {
  if (fan === undefined || fan.name === '') return null;
  return await ask(run, explainCall, { address, link: fan.name });
}

async function recordsNow(run: RunDirectory): Promise<RunningFan[]> {
  return await ask(run, fansCall).catch((error: unknown) => {
    if (codeOf(error) === 'not-running') return [];
    throw error;
  });
}

async function fansNow(run: RunDirectory): Promise<ExplainedFan[]> {
  const records = await recordsNow(run);
  return records.map(({ spec }) => ({
    ...{ map: spec, local: spec.local, name: spec.name },
    bridged: isBridged(spec),
  }));
}

/** What is different about the way to a host; null where nothing is, or no router runs. */
async function pathOf(host: string, run: RunDirectory): Promise<PathStatus | null> {
  if (host === '') return null;
  const status = await ask(run, statusCall).catch((error: unknown) => {
    if (codeOf(error) === 'not-running') return undefined;
    throw error;
  });
  return status?.paths.find(({ peer }) => peer === host) ?? null;
}

/** An underlay as it would be given to `up`, and where this host is on it. */
async function underlayFromWords(
  words: string,
  run: RunDirectory,
): Promise<{ underlay: UnderlayPrefix; local: UnderlayAddress }> {
  const selector = parseUnderlay(words);
  if (selector.kind === 'address') {
    const network = hostNetworkOf(selector);
    // Arithmetic alone: the address need not be one of this host.
    return { underlay: { address: network, length: selector.length }, local: -1 };
  }
  const host = openHost(run);
  try {
    const resolved = resolveUnderlay(selector, await readSnapshot(host, []));
    if (!isResolved(resolved)) throw usageError(resolved.code, resolved.message);
    return resolved;
  } finally {
    host.close();
  }
}

/** A fan that need not run: from its overlay and underlay as they would be given to `up`. */
async function fanFromWords(
  overlay: string,
  words: string,
  run: RunDirectory,
): Promise<ExplainedFan> {
  const { underlay, local } = await underlayFromWords(words, run);
  return { map: { overlay: parseOverlay(overlay), underlay }, local, name: '' };
}

/** The same for an IPv6 address. */
async function explainSix(
  text: string,
  overlay: string | undefined,
  words: string | undefined,
  run: RunDirectory,
): Promise<Explanation> {
  const address = parseAddress6(text);
  if (overlay !== undefined && words !== undefined) {
    const at = await underlayFromWords(words, run);
    return explainAddress6(address, [{ overlay: parseOverlay6(overlay), ...at, name: '' }]);
  }
  const records = await recordsNow(run);
  const fans = records.flatMap(({ spec: { six, underlay, local, name } }) =>
    six === undefined ? [] : [{ overlay: six.overlay, underlay, local, name }],
  );
  const plain = explainAddress6(address, fans);
  const fan = fanOf6(address, fans);
  const answer = await answerOf(hostOfBytes(bytesOfIpv6(address)), fan, run);
  return answer === null || fan === undefined ? plain : explainAnswer(plain, answer, fan);
}

const MAC = /^[0-9a-f]{2}([:-][0-9a-f]{2}){5}$/i;

/** What the layer-2 networks of the running router know of a MAC or an address. */
async function inNetworks(what: string, run: RunDirectory): Promise<NetworkExplanation[]> {
  return await ask(run, explainNetworkCall, { what }).catch((error: unknown) => {
    if (codeOf(error) === 'not-running') return [];
    throw error;
  });
}

/** A MAC is in networks only. */
async function tellMac(
  mac: string,
  run: RunDirectory,
  asks: boolean,
  isJson: boolean,
  io: Io,
): Promise<ExitCode> {
  const networks = await inNetworks(mac, run);
  const ends = asks && networks.length > 0 ? await endsOfAddress(run, mac) : [];
  if (isJson) printJson(io, { mac, networks, ends });
  else if (networks.length === 0) io.out(`no network of this host knows ${mac}\n`);
  else io.out(`${networks.map(({ text }) => `${text}\n`).join('')}${endsText(ends)}`);
  return networks.length === 0 ? ExitCode.Failed : ExitCode.Ok;
}

export const explain: Verb = {
  name: 'explain',
  summary: 'which host has an overlay address or a MAC, and what both ends do with a packet',
  details: [
    'The host that has it is asked too, where it is a member of gossip: for each end owner, rule, outer',
    'packet and MTU, which entry decides each, and where the packet would die. FROM to TO exits with 1',
    'where it does.',
  ],
  usage: [
    'explain ADDRESS|MAC [--here] [--json]',
    'explain ADDRESS OVERLAY UNDERLAY [--json]',
    'explain FROM to TO [PROTOCOL [port N]] [--here] [--json]',
  ],
  options: [
    ['--here', 'what this host knows alone; no other host is asked'],
    ['--json', 'the same as JSON'],
  ],
  examples: [
    ['fanway explain 250.0.28.7', 'among the fans that run here'],
    ['fanway explain fd00:fa:1c::7', 'the same for IPv6'],
    ['fanway explain 02:42:0a:01:00:05', 'a MAC in the layer-2 networks here'],
    ['fanway explain 250.0.28.7 250.0.0.0/8 172.30.0.0/16', 'plain arithmetic, needs no fan'],
    ['fanway explain 10.1.0.5 to 10.1.0.9 tcp port 443', 'on a network: by which rule it passes'],
  ],
  async run(args, io) {
    const { flags, rest } = takeFlags(args, { '--here': 'switch', '--json': 'switch' });
    const asks = !flags.has('--here');
    if (isFlow(rest)) {
      const run = new RunDirectory(io.env['FANWAY_RUN_DIR']);
      return explainFlow(rest, run, { asks, isJson: flags.has('--json') }, io);
    }
    const [addressText, overlay, underlay] = rest;
    if (addressText === undefined || rest.length === 2 || rest.length > 3) {
      throw usageError(
        'usage',
        'give an address (fanway explain 250.1.27.10), or an address, an overlay and an underlay (fanway explain 250.1.27.10 250 172.30.0.0/16)',
      );
    }
    const run = new RunDirectory(io.env['FANWAY_RUN_DIR']);
    const tell = async (found: Explanation): Promise<ExitCode> => {
      const path = overlay === undefined ? await pathOf(found.host, run) : null;
      const networks = overlay === undefined ? await inNetworks(addressText, run) : [];
      const isOutside = found.role === 'outside';
      const isPlain = overlay !== undefined || (isOutside && networks.length === 0);
      const ends = asks && !isPlain ? await endsOfAddress(run, found.address) : [];
      const words = `${found.text}${path === null ? '' : `; ${pathText(path, Date.now())}`}`;
      // What no fan has and a network does is there.
      const lines = isOutside && networks.length > 0 ? [] : [words];
      if (flags.has('--json')) printJson(io, { ...found, path, networks, ends });
      else {
        const told = [...lines, ...networks.map(({ text }) => text)].join('\n');
        io.out(`${told}\n${endsText(ends)}`);
      }
      return isOutside && networks.length === 0 ? ExitCode.Failed : ExitCode.Ok;
    };
    if (MAC.test(addressText)) {
      return tellMac(addressText, run, asks, flags.has('--json'), io);
    }
    let explanation: Explanation;
    try {
      const isSix = addressText.includes(':');
      if (isSix) return await tell(await explainSix(addressText, overlay, underlay, run));
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
      if (error instanceof ValueError || ['ERR_IPV4', 'ERR_IPV6'].includes(codeOf(error))) {
        throw usageError('usage', messageOf(error));
      }
      throw error;
    }
    return tell(explanation);
  },
};
