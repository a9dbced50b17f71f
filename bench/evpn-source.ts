/**
 * A BGP neighbour that has many MACs to tell and takes nothing: bytes made beforehand, on a socket in
 * a lab host's namespace. fanway's own speaker would hold what it announces, and measure itself.
 * @module
 */
import type { Connection } from '../src/bgp/base/api.ts';
import { derivedExport, targetCommunity } from '../src/bgp/base/targets.ts';
import { BgpTransport } from '../src/control/speakers/bgp/transport.ts';
import type { LabHost } from '../src/demo/lab.ts';
import { silentLog } from '../src/log.ts';
import type { Attributes } from '../src/wire/bgp/attributes.ts';
import { encodeCommunity } from '../src/wire/bgp/communities.ts';
import { emitReach, emitUnreach } from '../src/wire/bgp/emit-update.ts';
import { ESI_ZERO, type EvpnRoute } from '../src/wire/bgp/evpn.ts';
import { Afi, EvpnType, MessageType, Origin, Safi, TunnelType } from '../src/wire/bgp/iana.ts';
import { emitMessage, KEEPALIVE } from '../src/wire/bgp/message.ts';
import { BGP_VERSION, emitOpen } from '../src/wire/bgp/open.ts';
import { neighbourSettings } from '../test/bgp/lab.ts';
import { sleep, until } from '../test/support/patience.ts';

export const AS = 65000;
export const VNI = 100;
const CONTEXT = { as4: true, internal: true };
/** Routes of one tunnel endpoint; one member has no more of the table than a share. */
const ROUTES_PER_VTEP = 12_500;
/** 172.30.200.1 and on: hosts that are not there. */
const FIRST_VTEP = 0xac1e_c801;
const FIRST_MAC = 0x0200_0000_0000;
const QUEUED_BYTES_MAX = 1 << 20;
const KEEPALIVE_MS = 10_000;

const ATTRIBUTES: Attributes = {
  ...{ origin: Origin.Igp, asPath: [], localPref: 100 },
  extended: [
    targetCommunity(derivedExport(AS, VNI)),
    encodeCommunity({ kind: 'encapsulation', tunnelType: TunnelType.Vxlan }),
  ],
};

function routeOf(index: number): { route: EvpnRoute; vtep: number } {
  const vtep = FIRST_VTEP + Math.floor(index / ROUTES_PER_VTEP);
  const rd = { type: 1, administrator: vtep, assigned: VNI };
  const mac = FIRST_MAC + index;
  const common = { tag: 0, esi: ESI_ZERO, ip: null, label: VNI, label2: null };
  return { route: { type: EvpnType.MacIp, rd, mac, ...common }, vtep };
}

/** UPDATEs that announce or withdraw the routes from number `from` up to `to`. */
function* updates(from: number, to: number, announces: boolean): Generator<Uint8Array> {
  for (let start = from; start < to; ) {
    const { vtep } = routeOf(start);
    const end = Math.min(to, (Math.floor(start / ROUTES_PER_VTEP) + 1) * ROUTES_PER_VTEP);
    const routes = Array.from({ length: end - start }, (_, index) => routeOf(start + index).route);
    const bodies = announces ? emitReach(ATTRIBUTES, vtep, routes, CONTEXT) : emitUnreach(routes);
    for (const body of bodies) yield emitMessage(MessageType.Update, body);
    start = end;
  }
}

export class Source {
  readonly #transport: BgpTransport;
  readonly #timer: NodeJS.Timeout;
  #connection: Connection | undefined;

  private constructor(transport: BgpTransport) {
    this.#transport = transport;
    this.#timer = setInterval(() => this.#connection?.send(KEEPALIVE), KEEPALIVE_MS);
  }

  /** Dials `address` from `host`. */
  static async start(host: LabHost, address: string): Promise<Source> {
    const near = neighbourSettings({ address });
    const transport = new BgpTransport({
      ...{ bind: host.address, port: 179, neighbours: [near], log: silentLog },
      accept: () => undefined,
      enter: (work) => host.run(work),
    });
    const source = new Source(transport);
    await until('the source is connected', 10_000, () => source.#dial(near, host.address));
    return source;
  }

  #dial(near: ReturnType<typeof neighbourSettings>, identifier: number): Promise<boolean> {
    const capabilities = [
      { kind: 'multiprotocol', afi: Afi.L2vpn, safi: Safi.Evpn },
      { kind: 'four-octet-as', as: AS },
    ] as const;
    const open = { version: BGP_VERSION, as: AS, holdSeconds: 90, identifier };
    return new Promise((resolve) => {
      this.#transport.dial(near, {
        connected: (connection) => {
          this.#connection = connection;
          connection.send(
            emitMessage(MessageType.Open, emitOpen({ ...open, capabilities: [...capabilities] })),
          );
          connection.send(KEEPALIVE);
          resolve(true);
          const closed = (): void => {
            this.#connection = undefined;
          };
          return { data: () => undefined, drained: () => undefined, closed };
        },
        failed: () => resolve(false),
      });
    });
  }

  /** Announces or withdraws, as fast as the other side takes it. */
  async tell(from: number, to: number, announces: boolean): Promise<void> {
    for (const message of updates(from, to, announces)) {
      while ((this.#connection?.queuedBytes() ?? 0) > QUEUED_BYTES_MAX) await sleep(5);
      if (this.#connection === undefined) throw new Error('the reflector closed the connection');
      this.#connection.send(message);
    }
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#connection?.close();
    await this.#transport.close();
  }
}
