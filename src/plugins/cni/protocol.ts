/**
 * The words of CNI 1.1 (containernetworking/cni SPEC.md): what a runtime gives a plugin in its
 * environment and on standard input, and what it gets back.
 * @module
 */
import { printable } from '../../log.ts';

/** Versions answered, oldest first; a result is given in the one that was asked for. */
export const VERSIONS = ['0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'] as const;
export const NEWEST = '1.1.0';
const CONFIG_BYTES_MAX = 1 << 20;

/** SPEC.md, "Error": 1 to 99 are the specification's, ours are above. */
export const CniCode = {
  Version: 1,
  ContainerUnknown: 3,
  Environment: 4,
  InputOutput: 5,
  Json: 6,
  Config: 7,
  TryAgain: 11,
  NotReady: 50,
  NotReadyAndSuffering: 51,
  Failed: 100,
  /** CHECK found something else than ADD made. */
  Different: 101,
} as const;
export type CniCode = (typeof CniCode)[keyof typeof CniCode];

/** An error as the runtime reads it. */
export class CniError extends Error {
  readonly code: CniCode;

  constructor(code: CniCode, message: string) {
    super(message);
    this.name = 'CniError';
    this.code = code;
  }
}

export const COMMANDS = ['ADD', 'DEL', 'CHECK', 'GC', 'STATUS', 'VERSION'] as const;
type Command = (typeof COMMANDS)[number];

/** One call. Names that a command has no use for are ''. */
export type Invocation = {
  command: Command;
  container: string;
  /** Path of a network namespace. */
  netns: string;
  ifname: string;
  args: ReadonlyMap<string, string>;
  config: Config;
};

type Config = {
  cniVersion: string;
  name: string;
  /** The bridge of the fan; '' = the only fan. */
  bridge: string;
  /** Whether the container's default route goes by the fan. */
  isDefaultGateway: boolean;
  /** Addresses asked for by the capability `ips`. */
  ips: string[];
  prevResult: Result | undefined;
  /** GC: attachments that are still there; undefined where the runtime does not say. */
  validAttachments: { containerID: string; ifname: string }[] | undefined;
};

export type Interface = { name: string; mac?: string; mtu?: number; sandbox?: string };
export type Address = { version?: '4'; address: string; gateway?: string; interface?: number };
type Route = { dst: string; gw?: string };
/** What ADD answers. */
export type Result = {
  cniVersion: string;
  interfaces: Interface[];
  ips: Address[];
  routes: Route[];
  dns: object;
};

const CONTAINER = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,255}$/;
const IFNAME = /^[^\s/:]{1,15}$/;
const NETWORK = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$/;

function field(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined;
}

const word = (value: unknown): string => (typeof value === 'string' ? value : '');

/** The command of an environment. @throws CniError */
export function commandOf(env: NodeJS.ProcessEnv): Command {
  const command = COMMANDS.find((one) => one === env['CNI_COMMAND']);
  if (command !== undefined) return command;
  throw new CniError(
    CniCode.Environment,
    `CNI_COMMAND is ${JSON.stringify(env['CNI_COMMAND'] ?? '')}: this program is run by container runtimes, with ${COMMANDS.join(', ')}; fanway cni install puts it where they look`,
  );
}

/** The JSON that a runtime gave. @throws CniError */
export function parseInput(text: string): unknown {
  if (text.length > CONFIG_BYTES_MAX)
    throw new CniError(CniCode.Json, 'the configuration is too large');
  try {
    return JSON.parse(text);
  } catch {
    throw new CniError(CniCode.Json, 'what came on standard input is no JSON');
  }
}

/** Environment and configuration together. @throws CniError for what is missing or malformed. */
export function parseInvocation(env: NodeJS.ProcessEnv, input: unknown): Invocation {
  const command = commandOf(env);
  const config = parseConfig(input, command);
  const need = (name: string, pattern: RegExp, optional: boolean): string => {
    const value = env[name] ?? '';
    if ((optional && value === '') || pattern.test(value)) return value;
    throw new CniError(CniCode.Environment, `${name} is ${JSON.stringify(value)}, which cannot be`);
  };
  const isOne = command === 'ADD' || command === 'DEL' || command === 'CHECK';
  const invocation = {
    ...{ command, config },
    container: need('CNI_CONTAINERID', CONTAINER, !isOne),
    netns: need('CNI_NETNS', /^\/./, command !== 'ADD' && command !== 'CHECK'),
    ifname: need('CNI_IFNAME', IFNAME, !isOne),
    args: parseArgs(env['CNI_ARGS'] ?? ''),
  };
  if (invocation.ifname === '.' || invocation.ifname === '..') {
    throw new CniError(CniCode.Environment, 'CNI_IFNAME is no name of an interface');
  }
  return invocation;
}

function parseArgs(text: string): Map<string, string> {
  const pairs = text.split(';').filter((pair) => pair.includes('='));
  return new Map(
    pairs.map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]),
  );
}

function parseConfig(input: unknown, command: Command): Config {
  const cniVersion = word(field(input, 'cniVersion'));
  if (!VERSIONS.some((one) => one === cniVersion)) {
    throw new CniError(
      CniCode.Version,
      `cniVersion ${JSON.stringify(cniVersion)} is not spoken here; ${VERSIONS.join(', ')} are`,
    );
  }
  const name = word(field(input, 'name'));
  if (!NETWORK.test(name)) {
    throw new CniError(
      CniCode.Config,
      `the network's name is ${JSON.stringify(name)}, which cannot be`,
    );
  }
  const ips = field(field(input, 'runtimeConfig'), 'ips');
  const valid = field(input, 'cni.dev/valid-attachments');
  const previous = field(input, 'prevResult');
  return {
    ...{ cniVersion, name, bridge: word(field(input, 'bridge')) },
    isDefaultGateway: field(input, 'isDefaultGateway') !== false,
    ips: Array.isArray(ips) ? ips.map(word) : [],
    prevResult: previous === undefined ? undefined : parseResult(previous, command),
    validAttachments: Array.isArray(valid)
      ? valid.map((one: unknown) => ({
          containerID: word(field(one, 'containerID')),
          ifname: word(field(one, 'ifname')),
        }))
      : undefined,
  };
}

/** What a plugin before us, or our own ADD, made. */
function parseResult(value: unknown, command: Command): Result | undefined {
  const list = (key: string): unknown[] => {
    const found = field(value, key);
    return Array.isArray(found) ? found : [];
  };
  if (typeof value !== 'object' || value === null) {
    if (command === 'DEL') return undefined;
    throw new CniError(CniCode.Config, 'prevResult is no object');
  }
  return {
    cniVersion: word(field(value, 'cniVersion')),
    interfaces: list('interfaces').map((one) => ({ ...(one as Interface) })),
    ips: list('ips').map((one) => ({ ...(one as Address) })),
    routes: list('routes').map((one) => ({ ...(one as Route) })),
    dns: (field(value, 'dns') as object | undefined) ?? {},
  };
}

/** Whether a version of the specification is at least another. */
function isSince(version: string, wanted: (typeof VERSIONS)[number]): boolean {
  const known: readonly string[] = VERSIONS;
  return known.indexOf(version) >= known.indexOf(wanted);
}

/** A result in the words of the version that was asked for. */
export function resultIn(version: string, result: Result): Result {
  return {
    ...result,
    cniVersion: version,
    interfaces: result.interfaces.map(({ mtu, ...one }) =>
      isSince(version, '1.1.0') && mtu !== undefined ? { ...one, mtu } : one,
    ),
    ips: result.ips.map(({ version: _, ...one }) =>
      isSince(version, '1.0.0') ? one : { version: '4', ...one },
    ),
  };
}

/** An error as it goes to standard output. */
export function errorJson(error: unknown, version: string): object {
  const known = error instanceof CniError;
  const message = error instanceof Error ? error.message : String(error);
  return {
    cniVersion: version || NEWEST,
    code: known ? error.code : CniCode.Failed,
    msg: printable(message.replace(/\s*\n\s*/g, ' ')),
  };
}
