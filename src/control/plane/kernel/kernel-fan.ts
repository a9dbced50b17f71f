/**
 * One fan that the kernel forwards.
 * @module
 */
import { fanClosed, fanEgress } from '../../../bpf/fan/fan-egress.ts';
import { fanIngress } from '../../../bpf/fan/fan-ingress.ts';
import type { FanPath } from '../../../bpf/fan-path.ts';
import { FanwayError } from '../../../errors.ts';
import { formatHostPrefix, type UnderlayPrefix } from '../../../net/underlay-address.ts';
import { openFouPath } from '../../../sys/bpf/kernel-path.ts';
import { EventKind, MovedTo, type NetEvent } from '../../../table/events.ts';
import { needsFouPort } from '../../host/kernel/fou-port.ts';
import { isBridged, type LinkSpec } from '../../store/link-spec.ts';
import { Bypass } from './bypass.ts';
import { FanLinkMaps } from './fan-maps.ts';
import {
  KernelLink,
  type KernelTools,
  type LinkCode,
  type LinkOpening,
  openOnDevice,
} from './kernel-link.ts';

/** Claims that wait to be looked into; others are claimed again while they matter. */
const CLAIMS_MAX = 64;
/** Entries of a predecessor that nobody has confirmed go after this, ms: gossip has told all by then. */
const UNCONFIRMED_MS = 30_000;

/** What the programs need to know of a fan. @throws FanwayError for one that they cannot carry */
function pathOf(spec: LinkSpec): FanPath {
  const { overlay, six, underlay, local, port, innerMtu, dscp } = spec;
  if (typeof local !== 'number' || typeof underlay.address !== 'number') {
    throw new FanwayError('no-kernel-datapath', `${spec.name}: its underlay is IPv6`);
  }
  const { address, length } = underlay;
  const frames = isBridged(spec);
  const vni = frames ? spec.vni : 0;
  return {
    ...{ overlay, underlay: { address, length }, local, frames, vni, port, innerMtu, dscp },
    ...(six !== undefined && { six: { overlay: six.overlay, vni: six.vni } }),
  };
}

export class KernelFan extends KernelLink<LinkSpec, FanLinkMaps> {
  readonly bypass: Bypass | undefined;
  /** MACs of containers here that somebody claims from outside. */
  readonly #claims = new Set<number>();
  #unconfirmed = new Set<string>();
  #timer: NodeJS.Timeout | undefined;

  private constructor(opening: LinkOpening<FanLinkMaps>, spec: LinkSpec) {
    super(opening, spec);
    const { netlink, device, maps } = opening;
    if (isBridged(spec)) {
      this.bypass = new Bypass(netlink, maps, pathOf(spec), spec.name, device.index);
    }
    if (!maps.inherited) return;
    this.#unconfirmed = new Set(maps.entries().map(formatHostPrefix));
    this.#timer = setTimeout(() => this.#dropUnconfirmed(), UNCONFIRMED_MS);
    this.#timer.unref();
  }

  /** As {@link openOnDevice}. @throws SystemError where the kernel refuses programs, and as that */
  static open(tools: KernelTools, spec: LinkSpec, name = spec.device): Promise<KernelFan> {
    pathOf(spec);
    return openOnDevice(tools, spec, name, async (device) => {
      const maps = FanLinkMaps.open(device.program);
      let link: KernelFan;
      try {
        link = new KernelFan({ ...tools, device, maps }, spec);
      } catch (error) {
        maps.close();
        throw error;
      }
      return link.begin();
    });
  }

  protected code(spec: LinkSpec): LinkCode {
    const path = pathOf(spec);
    const { fds } = this.maps;
    const found = needsFouPort(spec) ? openFouPath() : undefined;
    const whole = { ...path, ...(found && { fou: found.functions }) };
    return {
      forward: {
        code: { egress: fanEgress(whole, fds), ingress: fanIngress(whole, fds) },
        types: found?.types,
      },
      closed: { egress: fanClosed('egress', path, fds), ingress: fanClosed('ingress', path, fds) },
    };
  }

  override async become(spec: LinkSpec): Promise<void> {
    await super.become(spec);
    this.bypass?.become(pathOf(spec));
  }

  setEntry(prefix: UnderlayPrefix, host: number): boolean {
    this.#unconfirmed.delete(formatHostPrefix(prefix));
    return this.maps.setEntry(prefix, host);
  }

  deleteEntry(prefix: UnderlayPrefix): void {
    this.#unconfirmed.delete(formatHostPrefix(prefix));
    this.maps.deleteEntry(prefix);
  }

  #dropUnconfirmed(): void {
    for (const prefix of this.maps.entries()) {
      if (this.#unconfirmed.has(formatHostPrefix(prefix))) this.maps.deleteEntry(prefix);
    }
    this.#unconfirmed.clear();
  }

  protected override heard({ kind, mac, detail }: NetEvent): void {
    if (kind !== EventKind.Moved || detail !== MovedTo.Peer) return;
    if (this.#claims.size < CLAIMS_MAX) this.#claims.add(mac);
  }

  takeClaims(): number[] {
    const claims = [...this.#claims];
    this.#claims.clear();
    return claims;
  }

  forgetMac(mac: number): void {
    this.maps.forgetMac(mac);
  }

  override close(): void {
    clearTimeout(this.#timer);
    super.close();
  }
}
