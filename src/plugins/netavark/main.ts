/**
 * The plugin `fanway` of netavark, podman's network program (4.5 and later): a driver for `podman network create`
 * whose networks take each address from the address book of the slice, so that nothing of it has to be set
 * aside for podman alone.
 * @module
 */
import { readFileSync, writeSync } from 'node:fs';
import { AddressBook, stateDirectoryOf } from '../../control/store/address-book.ts';
import { RunDirectory } from '../../control/store/run-directory.ts';
import { messageOf, usageError } from '../../errors.ts';
import { printable } from '../../log.ts';
import { VERSION } from '../../version.ts';
import { attachLeased, detachLeased, type LeaseOwner } from '../cni/lease.ts';
import { type EngineFan, findPlace, text } from '../fan.ts';
import { NETAVARK_OWNER } from './install.ts';
import {
  API_VERSION,
  type Attached,
  bridgeOf,
  commandOf,
  createdNetwork,
  parseAttached,
  parseInput,
  refusePorts,
} from './protocol.ts';

function placeOf(bridge: string, env: NodeJS.ProcessEnv): Promise<EngineFan> {
  return findPlace(new RunDirectory(env['FANWAY_RUN_DIR']), bridge === '' ? undefined : bridge);
}

const OWNER: LeaseOwner = { owner: NETAVARK_OWNER, command: 'fanway podman enable --plugin' };

async function setup(netns: string, call: Attached, env: NodeJS.ProcessEnv): Promise<object> {
  const fan = await placeOf(call.bridge, env);
  const book = new AddressBook(stateDirectoryOf(env), fan.slice);
  const { address, macs } = await attachLeased(OWNER, { ...call, netns }, fan, book);
  const subnet = {
    ipnet: `${text(address)}/${fan.network.length}`,
    ...(fan.gateway !== 0 && { gateway: text(fan.gateway) }),
  };
  return {
    ...{ dns_search_domains: [], dns_server_ips: [] },
    interfaces: { [call.ifname]: { mac_address: macs.inner, subnets: [subnet] } },
  };
}

async function run(words: readonly string[], env: NodeJS.ProcessEnv): Promise<object | undefined> {
  const command = commandOf(words);
  if (command === 'info') return { version: VERSION, api_version: API_VERSION };
  const input = parseInput(readFileSync(0, 'utf8'));
  if (command === 'create') {
    return createdNetwork(input, (await placeOf(bridgeOf(input), env)).bridge);
  }
  const [, netns] = words;
  if (netns === undefined)
    throw usageError('usage', `${command} needs the path of a network namespace`);
  const call = parseAttached(input);
  if (command === 'teardown') {
    await detachLeased(NETAVARK_OWNER, call, env);
    return undefined;
  }
  refusePorts(input);
  return await setup(netns, call, env);
}

/** One call: the answer, or `{"error": ...}` and exit code 1. @param words after the program's name */
export async function netavarkMain(
  words: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<void> {
  const print = (value: object): void => {
    writeSync(1, `${JSON.stringify(value)}\n`);
  };
  try {
    const answer = await run(words, env);
    if (answer !== undefined) print(answer);
  } catch (error) {
    print({ error: printable(messageOf(error).replace(/\s*\n\s*/g, ' ')) });
    process.exitCode = 1;
  }
}
