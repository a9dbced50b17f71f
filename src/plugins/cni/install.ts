/**
 * What is put where a container runtime looks for CNI plugins and networks.
 * @module
 */

/** The plugin's name, which is the `type` in configurations and the program's file name. */
export const CNI_TYPE = 'fanway-cni';
export const CNI_NETWORK = 'fan';
/** Whose addresses these are in the address book. */
export const CNI_OWNER = 'cni';
/** What Debian 12's plugins and runtimes of some years speak too. */
const CONF_VERSION = '1.0.0';

/** A configuration list; without a bridge the host's only fan is meant. */
export function conflistOf(of: {
  name: string;
  bridge?: string | undefined;
  portmap: boolean;
}): string {
  const { name, bridge, portmap } = of;
  const list = {
    cniVersion: CONF_VERSION,
    name,
    plugins: [
      { type: CNI_TYPE, ...(bridge !== undefined && { bridge }), capabilities: { ips: true } },
      ...(portmap ? [{ type: 'portmap', capabilities: { portMappings: true } }] : []),
    ],
  };
  return `${JSON.stringify(list, null, 2)}\n`;
}

/** A word for sh(1) that means itself. */
const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

/**
 * The program that runtimes start: a file of its own, as they take no links, that starts ours. A
 * runtime's environment has none of ours, so what differs from the usual is written down.
 */
export function wrapperOf(command: readonly string[], env: NodeJS.ProcessEnv): string {
  const settings = ['FANWAY_RUN_DIR', 'FANWAY_STATE_DIR'].flatMap((name) => {
    const value = env[name];
    return value === undefined ? [] : [`export ${name}=${quote(value)}`];
  });
  return ['#!/bin/sh', ...settings, `exec ${command.map(quote).join(' ')} "$@"`, ''].join('\n');
}
