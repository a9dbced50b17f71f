/**
 * From the words after `up`, `plan` and `down` to the fans that are meant.
 * @module
 */

import { FAN_FILE_DEFAULT, parseFanFile } from '../../config/fan-file.ts';
import { readConfigFile } from '../../config/file.ts';
import { type FanRequest, ipv4First } from '../../config/request.ts';
import { parseFanWords } from '../../config/words.ts';
import { ExitCode, FanwayError, usageError } from '../../errors.ts';
import { UNDERLAY_MODES, XMIT_HASH_POLICIES } from '../../net/underlay-modes.ts';
import type { Io } from '../verb/verb.ts';

/** A fan and where it was written, '' for the command line. */
export type NamedRequest = { request: FanRequest; where: string };

/** The options that `up` and `plan` share, for their help. */
export const FAN_OPTIONS: [string, string][] = [
  ['-o, --overlay NET', 'the overlay, as 250.0.0.0/8, 250 or fd00:fa::/32'],
  ['-u, --underlay WHERE', 'address, device or `default`, with /width (16); up to four'],
  ['--underlay-mode MODE', `of several: ${UNDERLAY_MODES.join(', ')}`],
  ['--xmit-hash-policy P', `flows of balance-xor: ${XMIT_HASH_POLICIES.join(', ')}`],
  ['--encap vxlan|ipip|fou', 'how packets travel (default vxlan)'],
  ['--port N', 'UDP destination port (default vxlan 4789, fou 5555)'],
  ['--vni N', 'VXLAN network identifier (default overlay address >> 8)'],
  ['--compat lxd', "speak to LXD's fans: UDP port 8472"],
  ['--mtu BYTES', "largest inner packet (default from the underlay's MTU)"],
  ['dhcp, --dhcp', 'hand out the slice by DHCP; needs dnsmasq'],
  ['host-reserve N, --host-reserve N', "the slice's .1 to .N stay with this host (default 1)"],
  [
    'bridge NAME, --bridge NAME',
    'name of the bridge (default fan- and the slice, as fan-250-0-28)',
  ],
  ['--device NAME', 'a TUN or TAP that root made for this user'],
  ['off, --off', 'keep the line, but do not bring this fan up'],
  ['auto, --auto', 'down -a takes it down again; fans of -a are all auto'],
  ['--offload auto|off', 'use what offloads this machine has, or none (default auto)'],
  ['--dscp pipe|uniform', 'leave the inner DSCP alone, or copy it both ways (default pipe)'],
  ['--source-port pool|fixed', 'outer source ports by inner flow, or a single one (default pool)'],
  ['--nat ADDRESSES', 'hosts by underlay address that may be behind a NAT'],
  ['--behind-nat', 'this host is behind one: keep its way in open, and use one port'],
  ['--keep-alive SECONDS', 'how often it does so (default 25)'],
  ['--rate RATE|auto', 'most that goes out, as 95M bit/s; more waits in fair queues'],
  ['--flow-keys KEYS', 'which fields tell flows apart there, as tunnel-src'],
  ['--peer-rate LIST', 'the most to single hosts, as 172.30.1.27=20M'],
  ['--datapath kernel|auto', 'the kernel forwards, or does where it can (default userspace)'],
  ['--no-masquerade', 'do not masquerade what leaves the overlay (done where nft is)'],
  ['--force', 'although the overlay hides routes or addresses of this host'],
  ['-a', 'every fan of /etc/network/fan that is not off'],
  ['--file FILE', 'another file for -a (also FANWAY_FAN_FILE)'],
];

/** Flags of the verbs themselves, for those who mistype them. */
const VERB_FLAGS = ['--file', '--foreground', '--json', '--queues', '--busy-poll'];

/**
 * The fans of one command line: one from its words, or all of a file with -a.
 * @throws FanwayError (exit code 2) with every problem, a line each.
 */
export function readRequests(
  rest: readonly string[],
  flags: ReadonlyMap<string, string>,
  io: Io,
): NamedRequest[] {
  if (!flags.has('-a')) {
    if (flags.has('--file')) throw usageError('usage', '--file belongs to -a');
    const { request, problems } = parseFanWords(rest, 'overlay-first', VERB_FLAGS);
    if (request === undefined) throw usageError('usage', problems.join('\n'));
    return [{ request, where: '' }];
  }
  if (rest.length > 0) throw usageError('usage', `-a takes its fans from a file, not ${rest[0]}`);
  const path = flags.get('--file') ?? io.env['FANWAY_FAN_FILE'] ?? FAN_FILE_DEFAULT;
  const { fans, problems } = parseFanFile(readConfigFile(path));
  if (problems.length > 0) {
    throw new FanwayError(
      'fan-file',
      problems.map(({ line, message }) => `${path}:${line}: ${message}`).join('\n'),
      { exitCode: ExitCode.Usage },
    );
  }
  return ipv4First(fans)
    .filter(({ request }) => !request.off)
    .map(({ line, request }) => ({ request, where: `${path}:${line}: ` }));
}
