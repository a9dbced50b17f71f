/**
 * What passes the door between a router and the network namespace that it serves: one JSON object a
 * line, a question and its answer, in order. A descriptor comes beside, over a datagram socket of
 * whoever asks for it.
 * @module
 */
import { FanwayError } from '../../errors.ts';
import { SysctlError } from '../../sys/host/sysctl.ts';
import type { TunOptions } from '../../sys/host/tun.ts';

/** Questions that the host of the namespace answers, by the names of its methods. */
export const HOST_QUESTIONS = [
  'links',
  'link',
  'addresses',
  'defaultRoutes',
  'routesMeeting',
  'routesOf',
  'hasRoute',
  'createBridge',
  'setLink',
  'deleteLink',
  'addAddress',
  'deleteAddress',
  'addRoute',
  'deleteRoute',
  'addKernelRoute',
  'hasOwnMac',
  'addOwnMac',
  'bridgeHolds',
  'bridgePort',
  'ipv6Addresses',
  'ipv6WayOut',
  'addresses6',
  'routes6',
  'hasRoute6',
  'addAddress6',
  'deleteAddress6',
  'addRoute6',
  'deleteRoute6',
  'readSysctl',
  'writeSysctl',
  'otherTables',
  'packetFilter',
  'legacyTables',
  'loadRules',
  'announce',
  'isAnnouncing',
  'withdraw',
  'startDhcp',
  'stopDhcp',
] as const;
export type HostQuestion = (typeof HOST_QUESTIONS)[number];

/** Questions of layer-2 networks, by the names of the methods of `NetworkHost`. */
export const NETWORK_QUESTIONS = [
  'link',
  'bridgePortOf',
  'bridgeHeard',
  'bridgeEntries',
  'addressesOf',
  'writtenNeighbours',
  'forgetNeighbour',
  'pointBridge',
] as const;
export type NetworkQuestion = (typeof NETWORK_QUESTIONS)[number];

/** A frame that is to go out of a device of the namespace, in base64. */
export type FrameQuestion = { ifindex: number; frame: string };

/** A device that is to be opened, and where its descriptor goes. */
export type DeviceQuestion = { name: string; options: TunOptions; to: string };

/** What is said of the door itself. */
/** `holders`: connections that keep the namespace. */
export type DoorState = { pid: number; namespace: number; holders: number };

/** Happenings that a router watches for; `bridges` says what happened as `news`. */
export const DOOR_EVENTS = ['links', 'filter', 'bridges'] as const;
export type DoorEvent = (typeof DOOR_EVENTS)[number];

/** A line is at most so long: the routing table of a crowded namespace. */
export const LINE_BYTES_MAX = 4 << 20;

type Wrong = { name: string; code: string; key: string; message: string };
export type DoorAnswer = { id: number; value?: unknown; wrong?: Wrong };

/** An error as it passes. */
export function wrongOf(error: unknown): Wrong {
  const { name, message } = error instanceof Error ? error : new Error(String(error));
  const text = (key: string): string => {
    const value: unknown = Reflect.get(Object(error), key);
    return typeof value === 'string' ? value : '';
  };
  return { name, message, code: text('code'), key: text('key') };
}

/** The same on the other side; those that somebody tells apart by their class keep it. */
export function errorOf({ name, code, key, message }: Wrong): Error {
  if (name === 'SysctlError') {
    const bare = new SysctlError(key, code, '');
    return new SysctlError(key, code, message.slice(bare.message.length));
  }
  return new FanwayError(code, message);
}

/** Reads one line. @throws Error for what is no question or answer. */
export function parseLine(line: string): Record<string, unknown> {
  const value: unknown = JSON.parse(line);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new TypeError('a line at the door is one object');
  }
  return { ...value };
}

/** Cuts what arrives into lines; `line` is called for each. @throws RangeError for one without end. */
export class Lines {
  #rest = '';

  take(text: string, line: (line: string) => void): void {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop() ?? '';
    if (this.#rest.length > LINE_BYTES_MAX) throw new RangeError('a line without end at the door');
    for (const one of lines) if (one !== '') line(one);
  }
}
