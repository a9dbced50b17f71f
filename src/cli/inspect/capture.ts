/**
 * `fanway capture`: packets of a link as pcapng on stdout, for Wireshark and tcpdump.
 * @module
 */
import { fansCall } from '../../api/fans.ts';
import { networksCall } from '../../api/networks.ts';
import { ask } from '../../control/admin/admin-client.ts';
import { captureLinks, type SeenLink } from '../../control/capture/capture.ts';
import { parseFilter } from '../../control/capture/filter.ts';
import { RunDirectory } from '../../control/store/run-directory.ts';
import { VXLAN } from '../../encap/encap.ts';
import { ExitCode, FanwayError, refusedError, usageError } from '../../errors.ts';
import { formatHostPrefix, parseHostAddress } from '../../net/underlay-address.ts';
import { hasCapability } from '../../sys/process/capabilities.ts';
import { noMore, takeFlags, type Verb } from '../verb/verb.ts';

/** A link, and its underlay for the words that people read. */
export type ShownLink = SeenLink & { vni: number; underlay: string };

/** Every link that can be looked at, fans and layer-2 networks, with the names that people use. */
export async function linksOf(run: RunDirectory): Promise<{ names: string[]; link: ShownLink }[]> {
  const fans = await ask(run, fansCall);
  const networks = await ask(run, networksCall);
  return [
    ...fans.map(({ spec }) => ({
      names: [spec.name],
      link: { ...spec, underlay: formatHostPrefix(spec.underlay) },
    })),
    ...networks
      .filter(({ state }) => state !== 'stopped')
      .map(({ network, bridge, device, port, vni, underlay }) => {
        const local = parseHostAddress(underlay.split('/')[0] ?? '');
        const at = { device, port, vni, underlay, local };
        const link: ShownLink = { name: bridge, ...at, encap: VXLAN.name };
        return { names: [network, bridge], link };
      }),
  ];
}

export const capture: Verb = {
  name: 'capture',
  summary: 'write packets as pcapng to stdout',
  details: [
    'FILTER is in the words of tcpdump: host ADDRESS, net PREFIX, port N, proto NAME or icmp, tcp, udp,',
    'arp, ip, ip6, vni N, with src and dst, not, and, or, and parentheses. What it says is about the',
    'packets of the overlay, also with --outer; about those of the underlay where outer stands before.',
  ],
  usage: ['capture [FILTER...] [--link BRIDGE|NETWORK] [--outer|--inner] [--count N]'],
  options: [
    ['--link BRIDGE|NETWORK', 'of this link only; all links otherwise'],
    ['--inner', 'as they cross the TUN/TAP device (default); super-packets are normal there'],
    ['--outer', 'as they cross the underlay device, encapsulated'],
    ['--count N', 'end after N packets'],
  ],
  examples: [
    ['fanway capture | wireshark -k -i -', 'watch what containers send'],
    ['fanway capture --outer --count 100 > tunnel.pcapng', 'what the network sees'],
    ["fanway capture 'host 250.1.27.10 and not port 22' > some.pcapng", 'of one workload'],
    ["fanway capture --outer 'outer host 172.30.1.27 and icmp' > pings.pcapng", 'of one host'],
  ],
  async run(args, io) {
    const { flags, rest } = takeFlags(args, {
      '--link': 'value',
      '--inner': 'switch',
      '--outer': 'switch',
      '--count': 'value',
    });
    if (flags.has('--inner') && flags.has('--outer')) {
      throw usageError('usage', 'choose --inner or --outer; run it twice for both');
    }
    const countText = flags.get('--count') ?? '0';
    if (!/^[0-9]{1,9}$/.test(countText)) {
      throw usageError('usage', '--count is a number of packets: fanway capture --count 100');
    }
    const side = flags.has('--outer') ? 'outer' : 'inner';
    noMore(
      rest.filter((word) => word.startsWith('-')),
      capture,
    );
    const filter = rest.length === 0 ? undefined : parseFilter(rest.join(' '), side);
    const packetsMax = Number(countText) || Number.POSITIVE_INFINITY;
    if (process.stdout.isTTY) {
      throw usageError(
        'terminal',
        'packets would come out as rubbish on a terminal: fanway capture > packets.pcapng, or fanway capture | wireshark -k -i -',
      );
    }
    if (!hasCapability('NET_RAW')) {
      throw new FanwayError('not-permitted', 'capture needs CAP_NET_RAW: run it as root', {
        exitCode: ExitCode.NotPermitted,
      });
    }
    const run = new RunDirectory(io.env['FANWAY_RUN_DIR']);
    const wanted = flags.get('--link');
    const links = (await linksOf(run)).filter(
      ({ names }) => wanted === undefined || names.includes(wanted),
    );
    if (links.length === 0) {
      throw refusedError(
        'not-configured',
        `${wanted ?? 'no link'}: not configured; see fanway show`,
      );
    }
    let stopped = false;
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.once(signal, () => {
        stopped = true;
      });
    }
    await captureLinks({
      links: links.map(({ link }) => link),
      ...{ side, filter },
      packetsMax,
      write: (bytes) => io.outBytes(bytes),
      isStopped: () => stopped,
    });
    return ExitCode.Ok;
  },
};
