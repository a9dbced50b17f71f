/**
 * The links of a running loop, and the endpoints that they use. They come and go between two rounds,
 * by control's word (table/links/link-change.ts), while everything else that the process has learned and
 * holds stays as it is. Its descriptors are closed when a link leaves.
 * @module
 */
import { LINKS_MAX } from '../limits.ts';
import { EAGAIN, EEXIST, ENOENT, ESTALE } from '../sys/libc/constants.ts';
import { SystemError } from '../sys/libc/libc.ts';
import {
  descriptorsOf,
  type EndpointGrant,
  type LinkChange,
  type LinkGrant,
} from '../table/links/link-change.ts';
import {
  type EndpointRow,
  endpointsOf,
  type LinkReader,
  type LinkRow,
  type Numbered,
} from '../table/links/links.ts';
import type { SeatReader } from '../table/links/seats.ts';
import type { UnderlayReader } from '../table/links/underlays.ts';
import { ENDPOINTS_MAX } from '../table/segment.ts';
import { DataEndpoint, DataLink, type LinkScene } from './ground/link.ts';
import type { PollSet } from './pace/poll-set.ts';
import type { SenderWatch } from './send/sender-watch.ts';
import { Seats } from './underlays/seats.ts';
import { Underlays } from './underlays/underlays.ts';

/** Who is to be told which socket asks about the ways from an endpoint. */
export type RouteProbes = {
  addProbe(endpoint: number, local: EndpointRow, socket: number): void;
  removeProbe(endpoint: number): void;
};

/** What the roles of a device and of a listening socket are in the poll set. */
export type Roles = { device: number; receive: number };

type Surroundings = {
  scene: LinkScene;
  rows: LinkReader;
  reaches: UnderlayReader;
  seats: SeatReader;
  /** Arena offset of room for a socket address, of which no two links need one at a time. */
  scratch: number;
  poll: PollSet;
  senders: SenderWatch;
  probes: RouteProbes;
  roles: Roles;
  /** What others keep of a link by its number means nothing any more. */
  forgetLink: (id: number) => void;
};

type Held<T> = { it: T; incarnation: number };
type HeldEndpoint = Held<DataEndpoint> & { index: number; probe: number };
type HeldLink = Held<DataLink> & { version: number };

type RowsOfChange = { endpoints: Numbered<EndpointRow>[]; links: Numbered<LinkRow>[] };

export class LinkSet {
  /** Those that are there; the same array for ever. */
  readonly links: DataLink[] = [];
  readonly #around: Surroundings;
  readonly #byId: (HeldLink | undefined)[] = Array(LINKS_MAX).fill(undefined);
  readonly #endpoints: (HeldEndpoint | undefined)[] = Array(ENDPOINTS_MAX).fill(undefined);

  constructor(around: Surroundings) {
    this.#around = around;
  }

  /** The link with a number, which must be there. */
  link(id: number): DataLink {
    return (this.#byId[id] as HeldLink).it;
  }

  find(id: number): DataLink | undefined {
    return this.#byId[id]?.it;
  }

  /** The endpoint with a number, which must be there. */
  endpoint(index: number): DataEndpoint {
    return (this.#endpoints[index] as HeldEndpoint).it;
  }

  get endpoints(): DataEndpoint[] {
    return this.#endpoints.flatMap((held) => (held === undefined ? [] : [held.it]));
  }

  /** All that is here, with its descriptors. */
  holding(): Pick<LinkChange, 'endpoints' | 'links'> {
    const endpoints = this.#endpoints.flatMap((held) => {
      if (held === undefined) return [];
      const { it, index, incarnation, probe } = held;
      return [{ index, incarnation, sockets: it.sockets, probe }];
    });
    const links = this.links.map(({ id, deviceFd }) => {
      const { incarnation } = this.#byId[id] as HeldLink;
      return { id, incarnation, device: deviceFd };
    });
    return { endpoints, links };
  }

  /**
   * Serves a change; 0, or the errno for which it was refused. Then the descriptors that came with it
   * are closed again, and nothing has come; control starts another process instead.
   */
  apply(change: LinkChange): number {
    const rows = this.#judge(change);
    if (typeof rows === 'number') {
      this.#closeAll(descriptorsOf(change));
      return rows;
    }
    for (const { id } of change.left) this.#drop(id);
    try {
      for (const [i, grant] of change.endpoints.entries()) {
        this.#addEndpoint(grant, rows.endpoints[i] as Numbered<EndpointRow>);
      }
      for (const [i, grant] of change.links.entries()) {
        this.#addLink(grant, rows.links[i] as Numbered<LinkRow>);
      }
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      this.#takeBack(change);
      return error.errno;
    } finally {
      for (const held of this.#endpoints) if (held?.it.links.length === 0) this.#dropEndpoint(held);
    }
    return 0;
  }

  /** The rows of what comes, or the errno for which the change cannot be served whole. */
  #judge({ left, endpoints, links }: LinkChange): RowsOfChange | number {
    const { rows } = this.#around;
    const leaves = (id: number): boolean => left.some((name) => name.id === id);
    const comes = (index: number): boolean => endpoints.some((grant) => grant.index === index);
    const found: RowsOfChange = { endpoints: [], links: [] };
    for (const { id, incarnation } of left) {
      if (this.#byId[id]?.incarnation !== incarnation) return ENOENT;
    }
    for (const { index, incarnation } of endpoints) {
      const row = rows.endpoint(index);
      if (row === undefined) return EAGAIN;
      if (row.incarnation !== incarnation) return ESTALE;
      if (this.#endpoints[index]?.it.links.some(({ id }) => !leaves(id)) === true) return EEXIST;
      found.endpoints.push(row);
    }
    for (const { id, incarnation } of links) {
      const row = rows.link(id);
      if (row === undefined) return EAGAIN;
      if (row.incarnation !== incarnation) return ESTALE;
      if (this.#byId[id] !== undefined && !leaves(id)) return EEXIST;
      for (const endpoint of endpointsOf(row.row)) {
        const held = this.#endpoints[endpoint]?.incarnation;
        const isHeld = held !== undefined && held === rows.endpoint(endpoint)?.incarnation;
        if (!isHeld && !comes(endpoint)) return ENOENT;
      }
      found.links.push(row);
    }
    return found;
  }

  #addEndpoint(grant: EndpointGrant, { row, incarnation }: Numbered<EndpointRow>): void {
    const { scene, poll, senders, probes, roles } = this.#around;
    const { index, sockets, probe } = grant;
    const before = this.#endpoints[index];
    if (before !== undefined) this.#dropEndpoint(before);
    const it = new DataEndpoint({ ...row, sockets }, scene.ports.underlay, index);
    this.#endpoints[index] = { it, incarnation, index, probe };
    if (probe >= 0) probes.addProbe(index, row, probe);
    senders.add(it);
    for (const listener of it.listeners) poll.add(roles.receive, index, listener);
  }

  #addLink({ id, device }: LinkGrant, { row, incarnation, version }: Numbered<LinkRow>): void {
    const { scene, poll, roles, reaches, seats, scratch } = this.#around;
    const endpoints = endpointsOf(row).map((index) => (this.#endpoints[index] as HeldEndpoint).it);
    const it = new DataLink({ ...row, id, deviceFd: device }, endpoints[0] as DataEndpoint, scene);
    const { peers } = scene;
    if (row.nat === 1) {
      it.ways = new Seats({ link: id, endpoint: it.endpoint, reader: seats, peers, scratch });
    } else if (endpoints.length > 1) {
      const homes = reaches.homesOf(id, endpoints.length);
      const parts = { row: { ...row, id }, link: it, endpoints, reaches, homes, peers, scratch };
      it.ways = new Underlays(parts);
    }
    this.#byId[id] = { it, incarnation, version };
    this.links.push(it);
    for (const endpoint of endpoints) endpoint.add(it);
    poll.add(roles.device, id, device);
  }

  #drop(id: number): void {
    const { scene, poll, forgetLink } = this.#around;
    const held = this.#byId[id];
    if (held === undefined) return;
    const { it } = held;
    this.#byId[id] = undefined;
    this.links.splice(this.links.indexOf(it), 1);
    for (const endpoint of it.ways?.endpoints ?? [it.endpoint]) endpoint.remove(it);
    poll.remove(it.deviceFd);
    scene.ports.close(it.deviceFd);
    forgetLink(id);
  }

  #dropEndpoint({ it, index, probe }: HeldEndpoint): void {
    const { poll, senders, probes } = this.#around;
    this.#endpoints[index] = undefined;
    senders.remove(it);
    for (const listener of it.listeners) poll.remove(listener);
    if (probe >= 0) probes.removeProbe(index);
    this.#closeAll(probe < 0 ? it.sockets : [...it.sockets, probe]);
  }

  /** What of a change has come leaves again, and what has not is closed. */
  #takeBack({ endpoints, links }: LinkChange): void {
    const unused: LinkChange = {
      sequence: 0,
      left: [],
      links: links.filter(({ id, incarnation }) => this.#byId[id]?.incarnation !== incarnation),
      endpoints: endpoints.filter(
        ({ index, incarnation }) => this.#endpoints[index]?.incarnation !== incarnation,
      ),
    };
    for (const grant of links) if (!unused.links.includes(grant)) this.#drop(grant.id);
    this.#closeAll(descriptorsOf(unused));
  }

  #closeAll(descriptors: readonly number[]): void {
    for (const descriptor of descriptors) this.#around.scene.ports.close(descriptor);
  }

  /**
   * Looks at the rows again and takes over what may change while a link runs. Returns how many could
   * not be read: control was stopped or died while it wrote, and what we have holds until it rings again.
   */
  refresh(): number {
    const { rows } = this.#around;
    let unreadable = 0;
    for (const { id, deviceFd } of this.links) {
      const held = this.#byId[id] as HeldLink;
      if (rows.linkVersion(id) === held.version) continue;
      const now = rows.link(id);
      if (now === undefined) unreadable++;
      else if (now.incarnation === held.incarnation) {
        held.it.update({ ...now.row, id, deviceFd });
        held.version = now.version;
      }
    }
    return unreadable;
  }
}
