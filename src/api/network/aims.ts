/**
 * What a measurement to somebody on a layer-2 network is between, on the admin socket.
 * @module
 */
import { post } from '../call.ts';
import { count, fields, list, nullable, type ReadBy, text } from '../reader.ts';

/** From this host to another, by one network. Addresses are text, '' = none is known. */
const aim = fields({
  network: text,
  bridge: text,
  device: text,
  vni: count,
  port: count,
  /** The underlay's prefix, and this host in it. */
  underlay: text,
  local: text,
  /** Bytes. */
  innerMtu: count,
  underlayMtu: count,
  /** This host's own address on the network, of the family of `inside`. */
  own: text,
  /** The far host in the underlay; '' = it is this one. */
  host: text,
  /** Node id, name and state as gossip has them. */
  member: text,
  name: text,
  state: text,
  /** Whom to ask on the network: what was asked for, or the far host's own address there. */
  inside: text,
});
export type NetworkAim = ReadBy<typeof aim>;

/** `what`: an address or MAC on a network, or a host by name, node id or underlay address. `network` null = all. */
export const networkAimsCall = post<{ what: string; network: string | null }, NetworkAim[]>(
  '/v1/networks/aims',
  fields({ what: text, network: nullable(text) }),
  list(aim),
);
