/**
 * `fanway-cni`: the program that container runtimes run for each container (CNI 1.1). It asks the
 * router of this host for the fan, and the address book of the slice for an address.
 * @module
 */
import { readFileSync, writeSync } from 'node:fs';
import {
  AddressBook,
  freeLeases,
  isSameKey,
  type LeaseKey,
  leaseOf,
  stateDirectoryOf,
} from '../../control/store/address-book.ts';
import { RunDirectory } from '../../control/store/run-directory.ts';
import { codeOf, messageOf } from '../../errors.ts';
import { parseIpv4 } from '../../net/ipv4.ts';
import { type EngineFan, findPlace } from '../fan.ts';
import { detach, differences, resultOf } from './attach.ts';
import { CNI_OWNER } from './install.ts';
import { attachLeased, detachLeased, type LeaseOwner, leaseKeyOf } from './lease.ts';
import {
  CniCode,
  CniError,
  commandOf,
  errorJson,
  type Invocation,
  NEWEST,
  parseInput,
  parseInvocation,
  resultIn,
  VERSIONS,
} from './protocol.ts';

type Place = { fan: EngineFan; book: AddressBook };

/** @throws CniError 11 when no router answers: runtimes try again. */
async function placeOf({ config }: Invocation, env: NodeJS.ProcessEnv): Promise<Place> {
  const run = new RunDirectory(env['FANWAY_RUN_DIR']);
  try {
    const fan = await findPlace(run, config.bridge === '' ? undefined : config.bridge);
    return { fan, book: new AddressBook(stateDirectoryOf(env), fan.slice) };
  } catch (error) {
    const again = ['not-running', 'router-silent', 'fan-stopped', 'no-fan'].includes(codeOf(error));
    throw new CniError(again ? CniCode.TryAgain : CniCode.Config, messageOf(error));
  }
}

const OWNER: LeaseOwner = { owner: CNI_OWNER, command: 'fanway cni install' };

/** The address asked for by `CNI_ARGS` (`IP=`) or the capability `ips`. @throws CniError */
function wantedAddress({ args, config }: Invocation): number | undefined {
  const wanted = config.ips[0] ?? args.get('IP');
  if (wanted === undefined) return undefined;
  try {
    return parseIpv4(wanted.split('/')[0] ?? '');
  } catch (error) {
    throw new CniError(CniCode.Config, `the address asked for: ${messageOf(error)}`);
  }
}

async function add(call: Invocation, env: NodeJS.ProcessEnv): Promise<object> {
  const { fan, book } = await placeOf(call, env);
  const { isDefaultGateway, name: network } = call.config;
  const attachment = { ...call, isDefaultGateway, network, address: wantedAddress(call) };
  const { address, macs } = await attachLeased(OWNER, attachment, fan, book);
  return resultIn(call.config.cniVersion, resultOf(call, fan, address, macs));
}

async function del(call: Invocation, env: NodeJS.ProcessEnv): Promise<undefined> {
  await detachLeased(CNI_OWNER, { ...call, network: call.config.name }, env);
}

async function check(call: Invocation, env: NodeJS.ProcessEnv): Promise<undefined> {
  if (call.config.prevResult === undefined) {
    throw new CniError(CniCode.Config, 'CHECK needs prevResult, the result of ADD');
  }
  const { fan, book } = await placeOf(call, env);
  const lease = leaseOf(book.read(), CNI_OWNER, leaseKeyOf({ ...call, network: call.config.name }));
  if (lease === undefined) {
    throw new CniError(
      CniCode.Different,
      'its address is not in the address book (fanway ip show)',
    );
  }
  const wrong = await differences(call, fan, lease.address);
  if (wrong.length > 0) throw new CniError(CniCode.Different, wrong.join('; '));
}

/** Gives back what no attachment that the runtime names has. */
async function collect(call: Invocation, env: NodeJS.ProcessEnv): Promise<undefined> {
  const { validAttachments: valid, name } = call.config;
  if (valid === undefined) {
    throw new CniError(CniCode.Config, 'GC needs cni.dev/valid-attachments');
  }
  const isValid = (one: LeaseKey): boolean =>
    valid.some(
      ({ containerID, ifname }) => containerID === one.container && ifname === one.interface,
    );
  for (const book of AddressBook.all(stateDirectoryOf(env))) {
    const gone = book
      .read()
      .leases.filter(({ owner, network }) => owner === CNI_OWNER && network === name)
      .filter((one) => !isValid(one));
    for (const one of gone) await detach(one.container, one.interface);
    book.change((now) =>
      freeLeases(now, CNI_OWNER, (one) => gone.some((lease) => isSameKey(one, lease))),
    );
  }
}

async function status(call: Invocation, env: NodeJS.ProcessEnv): Promise<undefined> {
  try {
    await placeOf(call, env);
  } catch (error) {
    throw new CniError(CniCode.NotReady, messageOf(error));
  }
}

async function run(env: NodeJS.ProcessEnv, input: () => string): Promise<object | undefined> {
  if (commandOf(env) === 'VERSION') {
    const asked = parseInput(input() || '{}') as { cniVersion?: unknown } | null;
    const version = VERSIONS.find((one) => one === asked?.cniVersion) ?? NEWEST;
    return { cniVersion: version, supportedVersions: VERSIONS };
  }
  const call = parseInvocation(env, parseInput(input()));
  const commands = { ADD: add, DEL: del, CHECK: check, GC: collect, STATUS: status };
  if (call.command === 'VERSION') return undefined;
  return commands[call.command](call, env);
}

function print(value: object): void {
  writeSync(1, `${JSON.stringify(value)}\n`);
}

/** One call of CNI's, as environment and standard input say it; the answer goes to standard output. */
export async function cniMain(): Promise<void> {
  let asked = '';
  try {
    const result = await run(process.env, () => {
      const text = readFileSync(0, 'utf8');
      asked = /"cniVersion"\s*:\s*"([0-9.]{1,16})"/.exec(text)?.[1] ?? '';
      return text;
    });
    if (result !== undefined) print(result);
  } catch (error) {
    print(errorJson(error, asked));
    process.exitCode = 1;
  }
}
