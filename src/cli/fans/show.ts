/**
 * `fanway show`: fanctl's table.
 * @module
 */
import { type LinkStatus, statusCall } from '../../api/status.ts';
import { ask } from '../../control/admin/admin-client.ts';
import { flagsOf } from '../../control/status.ts';
import { RunDirectory } from '../../control/store/run-directory.ts';
import { codeOf, ExitCode } from '../../errors.ts';
import { noMore, printJson, takeFlags, type Verb } from '../verb/verb.ts';

/** fanctl 0.3.0: three columns of 16, 20 and 20, each followed by a blank, then the flags. */
function row(bridge: string, overlay: string, underlay: string, flags: string): string {
  return `${bridge.padEnd(16)} ${overlay.padEnd(20)} ${underlay.padEnd(20)} ${flags}\n`;
}

/** What the table has of a link. */
type Shown = Parameters<typeof flagsOf>[0] &
  Pick<LinkStatus, 'overlay' | 'underlay'> & {
    underlays?: readonly { address: string }[] | undefined;
  };

/** Our address on each, as `up` takes them. */
function underlaysOf({ underlay, underlays }: Shown): string {
  return underlays === undefined ? underlay : underlays.map(({ address }) => address).join(',');
}

/** The whole table, header first. */
export function showText(links: readonly Shown[]): string {
  const header = row('Bridge', 'Overlay', 'Underlay', 'Flags');
  return (
    header +
    links
      .flatMap((link) =>
        // A fan of each family has a row of its own.
        link.overlay
          .split(' and ')
          .map((overlay) => row(link.name, overlay, underlaysOf(link), flagsOf(link))),
      )
      .join('')
  );
}

/** The links of the running router; none without one. */
export async function linksNow(run: RunDirectory): Promise<LinkStatus[]> {
  try {
    return (await ask(run, statusCall)).links;
  } catch (error) {
    if (codeOf(error) === 'not-running') return [];
    throw error;
  }
}

export const show: Verb = {
  name: 'show',
  summary: "list this host's fans, as fanctl does",
  usage: ['show [--json]'],
  options: [['--json', 'more, as JSON']],
  examples: [
    ['fanway show', 'the table'],
    ['fanway show --json', 'with slice, gateway, MTU, device, encapsulation'],
  ],
  async run(args, io) {
    const { flags, rest } = takeFlags(args, { '--json': 'switch' });
    noMore(rest, show);
    const links = await linksNow(new RunDirectory(io.env['FANWAY_RUN_DIR']));
    if (flags.has('--json')) printJson(io, links);
    else io.out(showText(links));
    return ExitCode.Ok;
  },
};
