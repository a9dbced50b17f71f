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
/** Endpoints that have routes at a time. */
const VTEPS_MAX = 8;
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

/** The tunnel endpoint that MAC number `index` is at after so many moves, each to another one. */
export function vtepOf(index: number, moves = 0): number {
  return FIRST_VTEP + Math.floor(index / ROUTES_PER_VTEP) + moves * VTEPS_MAX;
}

export function macOf(index: number): number {
  return FIRST_MAC + index;
}

function routeOf(index: number, moves = 0): { route: EvpnRoute; vtep: number } {
  const vtep = vtepOf(index, moves);
  const rd = { type: 1, administrator: vtep, assigned: VNI };
  const mac = macOf(index);
  const common = { tag: 0, esi: ESI_ZERO, ip: null, label: VNI, label2: null };
  return { route: { type: EvpnType.MacIp, rd, mac, ...common }, vtep };
}

/** RFC 7432 §7.7; a MAC that never moved has none. */
function mobility(sequence: number): NonNullable<Attributes['extended']> {
  if (sequence === 0) return [];
  return [encodeCommunity({ kind: 'mac-mobility', sticky: false, sequence })];
}

/** UPDATEs that announce or withdraw the routes from number `from` up to `to`. */
function* updates(from: number, to: number, announces: boolean, moves = 0): Generator<Uint8Array> {
  const attributes = {
    ...ATTRIBUTES,
    extended: [...(ATTRIBUTES.extended ?? []), ...mobility(moves)],
  };
  for (let start = from; start < to; ) {
    const vtep = vtepOf(start, moves);
    const end = Math.min(to, (Math.floor(start / ROUTES_PER_VTEP) + 1) * ROUTES_PER_VTEP);
    const routes = Array.from(
      { length: end - start },
      (_, index) => routeOf(start + index, moves).route,
    );
    const bodies = announces ? emitReach(attributes, vtep, routes, CONTEXT) : emitUnreach(routes);
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
  tell(from: number, to: number, announces: boolean): Promise<void> {
    return this.#send(updates(from, to, announces));
  }

  /** Each of these MACs has moved for the `moves`th time: its new endpoint says so, and the old one gives it up. */
  async move(from: number, to: number, moves: number): Promise<void> {
    await this.#send(updates(from, to, true, moves));
    await this.#send(updates(from, to, false, moves - 1));
  }

  async #send(messages: Iterable<Uint8Array>): Promise<void> {
    for (const message of messages) {
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
