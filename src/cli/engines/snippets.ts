/**
 * `fanway lxc` and `fanway nspawn`: the lines that put such a container on the fan.
 * @module
 */
import { RunDirectory } from '../../control/store/run-directory.ts';
import { ExitCode, messageOf, usageError } from '../../errors.ts';
import { parseIpv4 } from '../../net/ipv4.ts';
import { findFan } from '../../plugins/fan.ts';
import { lxcConfig, nspawnConfig } from '../../plugins/snippets.ts';
import { takeFlags, type Verb } from '../verb/verb.ts';
import { actionOf } from './engine-words.ts';

export const lxc: Verb = {
  name: 'lxc',
  summary: 'lines for the config of an LXC container on the fan',
  usage: ['lxc config [BRIDGE] [--address ADDRESS]'],
  options: [['--address ADDRESS', 'a fixed address of the slice; else the container asks DHCP']],
  examples: [
    ['fanway lxc config >> /var/lib/lxc/c1/config', 'a container that asks DHCP'],
    ['fanway lxc config --address 250.0.28.20', 'one with a fixed address'],
  ],
  async run(args, io) {
    const { flags, rest } = takeFlags(args, { '--address': 'value' });
    const { bridge } = actionOf(rest, ['config']);
    const text = flags.get('--address');
    let address: number | undefined;
    try {
      if (text !== undefined) address = parseIpv4(text);
    } catch (error) {
      throw usageError('usage', `--address: ${messageOf(error)}`);
    }
    const fan = await findFan(new RunDirectory(io.env['FANWAY_RUN_DIR']), bridge);
    io.out(lxcConfig(fan, address));
    if (address === undefined && !fan.dhcp) {
      io.err('fanway: note: this fan has no DHCP: give --address, or bring it up with dhcp\n');
    }
    return ExitCode.Ok;
  },
};

export const nspawn: Verb = {
  name: 'nspawn',
  summary: 'a file that puts a systemd-nspawn container on the fan',
  usage: ['nspawn config [BRIDGE]'],
  options: [],
  examples: [['fanway nspawn config > /etc/systemd/nspawn/c1.nspawn', 'for the machine c1']],
  async run(args, io) {
    const { bridge } = actionOf(takeFlags(args, {}).rest, ['config']);
    const fan = await findFan(new RunDirectory(io.env['FANWAY_RUN_DIR']), bridge);
    io.out(nspawnConfig(fan));
    if (!fan.dhcp) {
      io.err('fanway: note: this fan has no DHCP, which is how nspawn containers get addresses\n');
    }
    return ExitCode.Ok;
  },
};
