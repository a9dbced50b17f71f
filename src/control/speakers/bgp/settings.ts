/**
 * From the configuration to what the speaker is given.
 * @module
 */
import type {
  AddressRange,
  NeighbourSettings,
  NetworkSettings,
  SpeakerSettings,
} from '../../../bgp/base/api.ts';
import type { BgpNeighbourSettings, BgpSettings } from '../../../config/bgp.ts';
import { refusedError } from '../../../errors.ts';
import { parseAdministered } from '../../../net/administered.ts';
import type { UnderlayAddress } from '../../../net/underlay-address.ts';
import { MD5_KEY_BYTES_MAX } from '../../../sys/sockets/tcp.ts';
import type { Ip } from '../../../wire/bgp/address.ts';
import type { RouteDistinguisher } from '../../../wire/bgp/evpn.ts';
import { readPrivateFile } from '../../store/private-file.ts';
import { formatIp, ipOf, parseHostAddress } from './addresses.ts';

function rangeOf(text: string): AddressRange {
  const [address = '', length = ''] = text.split('/');
  return { address: parseHostAddress(address), length: Number(length) };
}

/** How a network is marked: by its own section, else by its VNI. */
export function networkMarks(vni: number, settings: BgpSettings): NetworkSettings {
  const own = settings.networks.find((network) => network.vni === vni);
  const targets = (texts: readonly string[] = []) =>
    texts.flatMap((text) => parseAdministered(text) ?? []);
  return {
    ...{ vni, rd: rdOf(own?.rd ?? null), isGateway: own?.gateway ?? false },
    importTargets: targets(own?.importTargets),
    exportTargets: targets(own?.exportTargets),
  };
}

function rdOf(text: string | null): RouteDistinguisher | undefined {
  const read = text === null ? undefined : parseAdministered(text);
  if (read === undefined || read.administrator === null) return undefined;
  const { form: type, administrator, assigned } = read;
  return { type, administrator, assigned };
}

/** The key in a private file; a line end behind it is not part of it. @throws FanwayError */
function md5KeyOf(path: string): string {
  const key = readPrivateFile(path)?.replace(/\r?\n$/, '');
  if (key === undefined) throw refusedError('md5-file', `${path} is not there: it holds the key`);
  if (key === '' || Buffer.byteLength(key) > MD5_KEY_BYTES_MAX) {
    throw refusedError('md5-file', `${path}: a key has 1 to ${MD5_KEY_BYTES_MAX} bytes`);
  }
  return key;
}

function neighbourOf(settings: BgpNeighbourSettings): NeighbourSettings {
  const { holdTime, connectRetry, md5File, ttlSecurity, ...same } = settings;
  return {
    ...same,
    holdSeconds: holdTime,
    connectRetrySeconds: connectRetry,
    md5Password: md5File === null ? '' : md5KeyOf(md5File),
    ttlSecurityHops: ttlSecurity,
  };
}

/**
 * @param local the underlay address of the first fan, else network; undefined where none is up
 * @returns undefined while nobody knows where this host is
 * @throws FanwayError for a key file that cannot be read
 */
export function speakerSettings(
  settings: BgpSettings,
  local: UnderlayAddress | undefined,
  isRestarting: boolean,
): SpeakerSettings | undefined {
  const own = local === undefined ? undefined : ipOf(local);
  const vtep: Ip | undefined = settings.vtep === null ? own : parseHostAddress(settings.vtep);
  if (vtep === undefined) return undefined;
  const routerId = parseHostAddress(settings.routerId ?? formatIp(vtep));
  if (typeof routerId !== 'number') return undefined;
  return {
    ...{ as: settings.as, routerId, vtep, isRestarting },
    restartSeconds: settings.restartTime,
    staleSeconds: settings.staleTime,
    transit: settings.transit,
    vteps: settings.vteps.map(rangeOf),
    neighbours: settings.neighbours.map(neighbourOf),
  };
}
