/**
 * Routes as programs give them over the admin socket: checked field by field, and kept over a
 * restart of the control process, whose data process goes on meanwhile.
 * @module
 */
import type { OwnRouteJson } from '../../../api/bgp.ts';
import type { OwnRoute } from '../../../bgp/rib/own-routes.ts';
import { codeOf, messageOf, usageError } from '../../../errors.ts';
import type { Log } from '../../../log.ts';
import { formatMac, isGroupMac, parseMac } from '../../../net/mac.ts';
import { MOVES_COUNT_MAX } from '../../../rib/entry.ts';
import { bitsOf, equalIp, type Ip, maskIp } from '../../../wire/bgp/address.ts';
import { readIfThere, writeAtomically } from '../../store/run-directory.ts';
import { formatIp, parseHostAddress } from './addresses.ts';

/** Routes in one call. */
export const ROUTES_PER_CALL_MAX = 256;
const VNI_MAX = 0xff_ffff;
const SAVE_DELAY_MS = 100;

export function ownRouteJson(route: OwnRoute): OwnRouteJson {
  switch (route.kind) {
    case 'mac': {
      const { kind, vni, sequence, sticky, gateway } = route;
      const ip = route.ip === null ? null : formatIp(route.ip);
      return { kind, vni, mac: formatMac(route.mac), ip, sequence, sticky, gateway };
    }
    case 'flood':
      return { kind: 'flood', vni: route.vni };
    case 'prefix': {
      const { kind, vni, address, length, routerMac } = route;
      const mac = routerMac === null ? null : formatMac(routerMac);
      return { kind, vni, prefix: `${formatIp(address)}/${length}`, routerMac: mac };
    }
  }
}

type Fields = Readonly<Record<string, unknown>>;

function refuse(message: string): never {
  throw usageError('bad-route', message);
}

function textOf(fields: Fields, key: string): string {
  const value = fields[key];
  return typeof value === 'string' ? value : refuse(`${key} is text`);
}

function numberOf(fields: Fields, key: string, max: number, absent?: number): number {
  const value = fields[key] ?? absent;
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= max) {
    return value;
  }
  return refuse(`${key} is a number from 0 to ${max}`);
}

function unicastMac(text: string): number {
  const mac = parseMac(text);
  if (mac === 0 || isGroupMac(mac)) refuse(`${text} is not the MAC of one station`);
  return mac;
}

function prefixOf(text: string): { address: Ip; length: number } {
  const [addressText = '', lengthText = ''] = text.split('/');
  const address = parseHostAddress(addressText);
  const length = /^\d{1,3}$/.test(lengthText) ? Number(lengthText) : -1;
  if (length < 0 || length > bitsOf(address)) refuse(`${text} is no prefix`);
  if (!equalIp(maskIp(address, length), address)) refuse(`${text} has bits below its mask`);
  return { address, length };
}

function read(value: unknown): OwnRoute {
  if (typeof value !== 'object' || value === null) refuse('a route is an object');
  const fields: Fields = { ...value };
  const vni = numberOf(fields, 'vni', VNI_MAX);
  switch (fields['kind']) {
    case 'mac':
      return {
        ...{ kind: 'mac', vni, mac: unicastMac(textOf(fields, 'mac')) },
        ip: (fields['ip'] ?? null) === null ? null : parseHostAddress(textOf(fields, 'ip')),
        sequence: numberOf(fields, 'sequence', MOVES_COUNT_MAX, 0),
        sticky: fields['sticky'] === true,
        gateway: fields['gateway'] === true,
      };
    case 'flood':
      return { kind: 'flood', vni };
    case 'prefix': {
      const given = (fields['routerMac'] ?? null) === null;
      const routerMac = given ? null : unicastMac(textOf(fields, 'routerMac'));
      return { kind: 'prefix', vni, ...prefixOf(textOf(fields, 'prefix')), routerMac };
    }
    default:
      return refuse('kind is mac, flood or prefix');
  }
}

/** Reads the routes of a call. @throws FanwayError (exit code 2) */
export function readRoutes(value: unknown): OwnRoute[] {
  if (!Array.isArray(value) || value.length > ROUTES_PER_CALL_MAX) {
    refuse(`routes is a list of at most ${ROUTES_PER_CALL_MAX}`);
  }
  try {
    return value.map(read);
  } catch (error) {
    if (codeOf(error).startsWith('ERR_')) refuse(messageOf(error));
    throw error;
  }
}

/** The file in the run directory that remembers them; its being there means no clean end. */
export class GivenRoutes {
  readonly #path: string;
  readonly #log: Log;
  #routes: () => readonly OwnRoute[] = () => [];
  #timer: NodeJS.Timeout | undefined;

  constructor(path: string, log: Log) {
    this.#path = path;
    this.#log = log;
  }

  /** What a predecessor that was killed had; undefined = there was none, or it ended cleanly. */
  load(): OwnRoute[] | undefined {
    const text = readIfThere(this.#path);
    if (text === undefined) return undefined;
    try {
      const routes: unknown = JSON.parse(text);
      return Array.isArray(routes) ? routes.map(read) : [];
    } catch (error) {
      this.#log.error('bgp', `${this.#path}: ${messageOf(error)}; give the routes again`);
      return [];
    }
  }

  /** From now on the file says what `routes` returns. */
  keep(routes: () => readonly OwnRoute[]): void {
    this.#routes = routes;
    this.#save();
  }

  /** They are others now; a burst of changes is written once. */
  changed(): void {
    this.#timer ??= setTimeout(() => this.#save(), SAVE_DELAY_MS);
  }

  #save(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    try {
      writeAtomically(this.#path, `${JSON.stringify(this.#routes().map(ownRouteJson))}\n`);
    } catch (error) {
      this.#log.error('bgp', `a restart would not know the given routes: ${messageOf(error)}`);
    }
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
