/**
 * DHCP for a slice: one dnsmasq per bridge, as fanctl has it, with the MTU told (option 26).
 * @module
 */
import { spawn } from 'node:child_process';
import {
  accessSync,
  closeSync,
  constants,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { FanwayError } from '../../errors.ts';
import { formatIpv4, parseIpv4 } from '../../net/ipv4.ts';
import { maskOf } from '../../net/prefix.ts';
import { readResolvers } from '../../sys/host/resolvers.ts';
import {
  AddressBook,
  type AddressSpan,
  freeRanges,
  stateDirectoryOf,
} from '../store/address-book.ts';
import { type RunDirectory, readIfThere } from '../store/run-directory.ts';
import type { DhcpSpec, ProcessMark } from './host.ts';

const FOLDERS = ['/usr/sbin', '/usr/bin', '/sbin', '/usr/local/sbin'];
/** dnsmasq says what is wrong and exits at once, or it runs. */
const START_MS = 300;
const STOP_MS = 2000;
const LEASES_MAX = 65_536;
/** RFC 2132 §5.1: interface MTU; §3.8: domain name servers. */
const OPTION_MTU = 26;
const OPTION_DNS = 6;
/** dnsmasq's words, in English, for a port 53 and a port 67 that somebody else has. */
const DNS_PORT_TAKEN = /failed to create listening socket/;
const DHCP_PORT_TAKEN = /failed to bind DHCP server socket/;

/** The path of dnsmasq, undefined where it is not installed. */
export function findDnsmasq(): string | undefined {
  for (const folder of [...(process.env['PATH'] ?? '').split(':'), ...FOLDERS]) {
    if (!folder.startsWith('/')) continue;
    const path = join(folder, 'dnsmasq');
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not in this folder.
    }
  }
  return undefined;
}

function leaseFile(run: RunDirectory, bridge: string): string {
  return join(run.dhcp, `${bridge}.leases`);
}

/** Who answers names: dnsmasq itself, or these servers, which containers are told. */
export type Names = 'served' | readonly number[];

/** dnsmasq's arguments; addresses and names only, each its own argument. */
export function dnsmasqArguments(
  spec: DhcpSpec,
  run: RunDirectory,
  user: string,
  names: Names = 'served',
  ranges: readonly AddressSpan[] = [spec],
): string[] {
  const mask = formatIpv4(maskOf(spec.length));
  const leases = Math.min(spec.last - spec.first + 1, LEASES_MAX);
  return [
    '--keep-in-foreground',
    '--conf-file=/dev/null',
    '--pid-file=',
    `--user=${user}`,
    '--bind-interfaces',
    '--strict-order',
    '--except-interface=lo',
    `--interface=${spec.bridge}`,
    `--listen-address=${formatIpv4(spec.gateway)}`,
    ...ranges.map(
      ({ first, last }) => `--dhcp-range=${formatIpv4(first)},${formatIpv4(last)},${mask},1h`,
    ),
    `--dhcp-option-force=${OPTION_MTU},${spec.mtu}`,
    `--dhcp-leasefile=${leaseFile(run, spec.bridge)}`,
    `--dhcp-lease-max=${leases}`,
    '--dhcp-authoritative',
    '--dhcp-no-override',
    ...(names === 'served' ? [] : ['--port=0']),
    ...(names === 'served' || names.length === 0
      ? []
      : [`--dhcp-option=${OPTION_DNS},${names.map(formatIpv4).join(',')}`]),
  ];
}

/**
 * What of a slice DHCP hands out: all that no container engine has in the slice's address book.
 * @throws FanwayError `no-dhcp-range` when they have it all.
 */
export function dhcpRanges(spec: DhcpSpec, env: NodeJS.ProcessEnv = process.env): AddressSpan[] {
  // From .1 to one before the broadcast address.
  const size = spec.last + 3 - spec.gateway;
  const slice = { address: spec.gateway - 1, length: 32 - Math.log2(size) };
  const book = new AddressBook(stateDirectoryOf(env), slice).read();
  const ranges = freeRanges(book, { first: spec.first, last: spec.last });
  if (ranges.length > 0) return ranges;
  throw new FanwayError(
    'no-dhcp-range',
    `container engines have every address of ${formatIpv4(slice.address)}/${slice.length}, so DHCP has none to hand out: leave dhcp out, or give them less (fanway ip show tells who has what)`,
  );
}

/** The same as text, to tell whether it has changed. */
export function dhcpRangesText(spec: DhcpSpec): string {
  return dhcpRanges(spec)
    .map(({ first, last }) => `${formatIpv4(first)}-${formatIpv4(last)}`)
    .join(',');
}

/** An address that DHCP has handed out, u32, and what its holder calls itself; '' = nothing. */
export type DhcpLease = { address: number; name: string };

/** What DHCP has handed out on a bridge and that has not run out. */
export function dhcpLeases(run: RunDirectory, bridge: string, nowMs: number): DhcpLease[] {
  const text = readIfThere(leaseFile(run, bridge)) ?? '';
  return text.split('\n').flatMap((line) => {
    // dnsmasq: end in seconds (0 = never), MAC, address, name, client id.
    const [end, , address, name = '*'] = line.split(' ');
    if (end === undefined || address === undefined || !/^[0-9]+$/.test(end)) return [];
    const isOver = end !== '0' && Number(end) * 1000 < nowMs;
    if (isOver || !/^[0-9.]+$/.test(address)) return [];
    return [{ address: parseIpv4(address), name: name === '*' ? '' : name }];
  });
}

/** Whom dnsmasq becomes once it has its sockets: the first of these that exists. */
function dnsmasqUser(): string {
  let passwd = '';
  try {
    passwd = readFileSync('/etc/passwd', 'utf8');
  } catch {
    // No such file: nobody is as good a guess as any.
  }
  const users = ['fan-dnsmasq', 'dnsmasq', 'nobody'];
  return users.find((user) => passwd.includes(`\n${user}:`)) ?? 'nobody';
}

/** The start time of a process in clock ticks (proc(5) stat field 22), undefined when it is gone. */
export function startTimeOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The name in parentheses may hold anything: count fields after its last one.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    // A zombie has ended.
    return fields[0] === 'Z' ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

/** True while exactly this process runs. */
export function isRunning(mark: ProcessMark): boolean {
  return startTimeOf(mark.pid) === mark.startTime;
}

/** A server that was started, and what it does not do, '' when it does everything. */
export type StartedDhcp = ProcessMark & { note: string; ranges: string };

/**
 * Starts dnsmasq on a bridge. It outlives this process, so that a restart of the router does not
 * interrupt it. DHCP needs no DNS: where something else has port 53, dnsmasq only hands out
 * addresses, and with them the name servers of this host.
 * @throws FanwayError `no-dnsmasq`, `dhcp-port-taken`, or `dnsmasq-failed` with its own words.
 */
export async function startDhcp(spec: DhcpSpec, run: RunDirectory): Promise<StartedDhcp> {
  const first = await tryDhcp(spec, run, 'served');
  const ranges = dhcpRangesText(spec);
  if (typeof first !== 'string') return { ...first, note: '', ranges };
  let said = first;
  if (DNS_PORT_TAKEN.test(said)) {
    const resolvers = readResolvers();
    const second = await tryDhcp(spec, run, resolvers);
    const told =
      resolvers.length === 0
        ? 'none, as this host names none that they could ask'
        : `this host's: ${resolvers.map(formatIpv4).join(', ')}`;
    const note = `something else has port 53 of ${formatIpv4(spec.gateway)}, so DHCP runs without DNS; the name servers that containers are told: ${told}`;
    if (typeof second !== 'string') return { ...second, note, ranges };
    said = second;
  }
  if (DHCP_PORT_TAKEN.test(said)) {
    throw new FanwayError(
      'dhcp-port-taken',
      `UDP port 67 is taken, perhaps by another DHCP server on all interfaces (ss -ulpn sport = :67 names it): keep that one off ${spec.bridge} (dnsmasq: bind-interfaces and except-interface=${spec.bridge}), or leave dhcp out and address containers yourself`,
    );
  }
  throw new FanwayError('dnsmasq-failed', `dnsmasq did not start: ${said}`);
}

/** One try: the process that runs, or what dnsmasq said when it ended. */
async function tryDhcp(
  spec: DhcpSpec,
  run: RunDirectory,
  names: Names,
): Promise<ProcessMark | string> {
  const path = findDnsmasq();
  if (path === undefined) {
    throw new FanwayError(
      'no-dnsmasq',
      'dnsmasq is not on this host: install it (Debian: apt-get install dnsmasq-base)',
    );
  }
  mkdirSync(run.dhcp, { recursive: true, mode: 0o700 });
  const errors = openSync(join(run.dhcp, `${spec.bridge}.log`), 'w', 0o600);
  const uid = process.geteuid?.() ?? 0;
  const user = uid === 0 ? dnsmasqUser() : '';
  const args = dnsmasqArguments(spec, run, user, names, dhcpRanges(spec)).filter(
    (arg) => arg !== '--user=',
  );
  const child = spawn(path, args, {
    stdio: ['ignore', errors, errors],
    detached: true,
    env: { LC_ALL: 'C', PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
  });
  closeSync(errors);
  const failed = await new Promise<string | undefined>((resolve) => {
    const timer = setTimeout(() => resolve(undefined), START_MS);
    child.once('error', (error) => {
      clearTimeout(timer);
      resolve(error.message);
    });
    child.once('exit', () => {
      clearTimeout(timer);
      resolve(
        readFileSync(join(run.dhcp, `${spec.bridge}.log`), 'utf8')
          .trim()
          .slice(0, 300),
      );
    });
  });
  const pid = child.pid;
  const startTime = pid === undefined ? undefined : startTimeOf(pid);
  if (failed !== undefined || pid === undefined || startTime === undefined) {
    return failed || 'it says nothing';
  }
  child.unref();
  return { pid, startTime };
}

/** dnsmasq processes whose lease file is the one of this bridge in this run directory. */
function findServers(run: RunDirectory, bridge: string): ProcessMark[] {
  const wanted = `--dhcp-leasefile=${leaseFile(run, bridge)}`;
  const found: ProcessMark[] = [];
  for (const name of readdirSync('/proc')) {
    if (!/^[0-9]+$/.test(name)) continue;
    try {
      const words = readFileSync(`/proc/${name}/cmdline`, 'utf8').split('\0');
      const startTime = words.includes(wanted) ? startTimeOf(Number(name)) : undefined;
      if (startTime !== undefined) found.push({ pid: Number(name), startTime });
    } catch {
      // It ended while we looked.
    }
  }
  return found;
}

/** Ends every dnsmasq of this bridge and run directory, and waits until it is gone. */
export async function stopDhcp(
  run: RunDirectory,
  bridge: string,
  mark?: ProcessMark,
): Promise<void> {
  const servers = findServers(run, bridge);
  if (mark !== undefined && isRunning(mark) && !servers.some(({ pid }) => pid === mark.pid)) {
    // Same id and start time, but another command line: not what we started.
    return;
  }
  for (const server of servers) {
    try {
      process.kill(server.pid, 'SIGTERM');
    } catch {
      // Gone already.
    }
  }
  const deadline = Date.now() + STOP_MS;
  while (servers.some(isRunning)) {
    if (Date.now() > deadline) {
      for (const server of servers) if (isRunning(server)) process.kill(server.pid, 'SIGKILL');
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
