/**
 * What a node says of itself, between values and records: see block.ts.
 * @module
 */
import { VNI_MAX } from '../vxlan.ts';
import {
  CAPABILITIES_MAX,
  ENCAPS_MAX,
  ENDPOINTS_MAX,
  INSTANCE_BYTES,
  NAME_CHARS_MAX,
  RECORD_FANS_MAX,
  RECORD_UNDERLAYS_MAX,
  VERSION_CHARS_MAX,
  VNIS_MAX,
} from './bounds.ts';
import {
  constant,
  type Ipv4Endpoint,
  type Ipv6Endpoint,
  ipv4Address,
  ipv4Endpoint,
  ipv6Endpoint,
  ipv6Host,
  port,
  withoutHostBits,
  withoutIpv6HostBits,
} from './common.ts';
import {
  bytes,
  type Codec,
  field,
  list,
  record,
  refuse,
  type SkippingCodec,
  text,
  tuple,
  uint,
} from './fields.ts';
import {
  type AnnouncedEncap,
  EncapNumber,
  type Endpoint,
  type FanItem,
  ItemKind,
  type PeerItem,
  type UnderlayItem,
} from './types.ts';

const vni = uint(VNI_MAX);
const prefixLength = uint(32);

const encapNames = new Map(
  Object.entries(EncapNumber).map(([name, number]) => [number as number, name as AnnouncedEncap]),
);
const numberedEncap = tuple<{ number: number; port: number }>({ number: uint(0xffff), port });
/** [encapsulation's number, port]; encapsulations that are not known here are skipped. */
const encap: SkippingCodec<PeerItem['encaps'][number]> = {
  encode: (value) => numberedEncap.encode({ number: EncapNumber[value.encap], port: value.port }),
  decode(value) {
    const decoded = numberedEncap.decode(value);
    const name = encapNames.get(decoded.number);
    return name === undefined ? undefined : { encap: name, port: decoded.port };
  },
};

/** [address, length] without bits behind the length. */
const prefix = withoutHostBits(
  tuple<{ address: number; length: number }>({ address: ipv4Address, length: prefixLength }),
);

type Ipv4Fan = FanItem & { underlay: { address: number; length: number }; local: number };
type Ipv6Fan = FanItem & { underlay: { address: string; length: number }; local: string };
const fan: Codec<Ipv4Fan> = tuple({ overlay: prefix, underlay: prefix, local: ipv4Address });

/** [address, length] of IPv6 without bits behind the length. */
const ipv6Prefix = withoutIpv6HostBits(
  tuple<{ address: string; length: number }>({ address: ipv6Host, length: uint(128) }),
);
const ipv6Fan: Codec<Ipv6Fan> = tuple({
  overlay: prefix,
  underlay: ipv6Prefix,
  local: ipv6Host,
});

type Ipv4Way = UnderlayItem & {
  first: number;
  underlay: { address: number; length: number };
  local: number;
};
type Ipv6Way = UnderlayItem & {
  first: string;
  underlay: { address: string; length: number };
  local: string;
};
/** [first, underlay, local]. */
const way: Codec<Ipv4Way> = tuple({ first: ipv4Address, underlay: prefix, local: ipv4Address });
const ipv6Way: Codec<Ipv6Way> = tuple({ first: ipv6Host, underlay: ipv6Prefix, local: ipv6Host });

/**
 * A peer as it is written: what is of IPv6 has fields of its own, which a reader that knows only IPv4
 * skips, and which are not there where there is none of it.
 */
type WrittenPeer = Omit<PeerItem, 'endpoints' | 'fans' | 'underlays'> & {
  endpoints: Ipv4Endpoint[];
  fans: Ipv4Fan[];
  ipv6Endpoints: Ipv6Endpoint[];
  ipv6Fans: Ipv6Fan[];
  ways: Ipv4Way[];
  ipv6Ways: Ipv6Way[];
};
const NO_ENDPOINTS: Ipv6Endpoint[] = [];
const NO_FANS: Ipv6Fan[] = [];
const NO_WAYS: Ipv4Way[] = [];
const NO_IPV6_WAYS: Ipv6Way[] = [];

const writtenPeer = record<WrittenPeer>({
  kind: field(0, constant(ItemKind.Peer)),
  name: field(1, text(NAME_CHARS_MAX)),
  endpoints: field(2, list(ipv4Endpoint, ENDPOINTS_MAX)),
  encaps: field(3, list(encap, ENCAPS_MAX)),
  mtu: field(4, uint(0xffff)),
  vnis: field(5, list(vni, VNIS_MAX)),
  fans: field(6, list(fan, RECORD_FANS_MAX)),
  version: field(7, text(VERSION_CHARS_MAX)),
  capabilities: field(8, list(uint(0xffff), CAPABILITIES_MAX)),
  instance: field(9, bytes(INSTANCE_BYTES)),
  ipv6Endpoints: field(16, list(ipv6Endpoint, ENDPOINTS_MAX), NO_ENDPOINTS),
  ipv6Fans: field(17, list(ipv6Fan, RECORD_FANS_MAX), NO_FANS),
  ways: field(18, list(way, RECORD_UNDERLAYS_MAX), NO_WAYS),
  ipv6Ways: field(19, list(ipv6Way, RECORD_UNDERLAYS_MAX), NO_IPV6_WAYS),
});

const isIpv4Endpoint = (value: Endpoint): value is Ipv4Endpoint =>
  typeof value.address === 'number';
const isIpv6Endpoint = (value: Endpoint): value is Ipv6Endpoint =>
  typeof value.address === 'string';
const isIpv4Fan = ({ underlay, local }: FanItem): boolean =>
  typeof underlay.address === 'number' && typeof local === 'number';
const isIpv6Fan = ({ underlay, local }: FanItem): boolean =>
  typeof underlay.address === 'string' && typeof local === 'string';

const familiesOf = ({ first, underlay, local }: UnderlayItem): string[] =>
  [first, underlay.address, local].map((address) => typeof address);
const isIpv4Way = (value: UnderlayItem): value is Ipv4Way =>
  familiesOf(value).every((family) => family === 'number');
const isIpv6Way = (value: UnderlayItem): value is Ipv6Way =>
  familiesOf(value).every((family) => family === 'string');

/** At most `max` in all, whatever their families. */
function atMost<T>(values: T[], max: number): T[] {
  if (values.length > max) refuse('bound', `a list of ${values.length}`);
  return values;
}

/** Lists of both families are bounded together. */
export const peerItem: Codec<PeerItem> = {
  encode({ endpoints, fans, underlays = [], ...others }) {
    const ipv6Endpoints = endpoints.filter(isIpv6Endpoint);
    const ipv4Fans = fans.filter((each): each is Ipv4Fan => isIpv4Fan(each));
    const ipv6Fans = fans.filter((each): each is Ipv6Fan => isIpv6Fan(each));
    atMost(endpoints, ENDPOINTS_MAX);
    atMost(fans, RECORD_FANS_MAX);
    if (ipv4Fans.length + ipv6Fans.length < fans.length) {
      refuse('field-type', 'a fan whose host is of another family than its underlay');
    }
    const [ways, ipv6Ways] = [underlays.filter(isIpv4Way), underlays.filter(isIpv6Way)];
    atMost(underlays, RECORD_UNDERLAYS_MAX);
    if (ways.length + ipv6Ways.length < underlays.length) {
      refuse('field-type', 'an underlay with addresses of both families');
    }
    return writtenPeer.encode({
      ...others,
      endpoints: endpoints.filter(isIpv4Endpoint),
      fans: ipv4Fans,
      ipv6Endpoints: ipv6Endpoints.length === 0 ? NO_ENDPOINTS : ipv6Endpoints,
      ipv6Fans: ipv6Fans.length === 0 ? NO_FANS : ipv6Fans,
      ways: ways.length === 0 ? NO_WAYS : ways,
      ipv6Ways: ipv6Ways.length === 0 ? NO_IPV6_WAYS : ipv6Ways,
    });
  },
  decode(value) {
    const { endpoints, fans, ipv6Endpoints, ipv6Fans, ways, ipv6Ways, ...others } =
      writtenPeer.decode(value);
    const underlays = atMost<UnderlayItem>([...ways, ...ipv6Ways], RECORD_UNDERLAYS_MAX);
    return {
      ...others,
      ...(underlays.length > 0 && { underlays }),
      endpoints: atMost<Endpoint>([...endpoints, ...ipv6Endpoints], ENDPOINTS_MAX),
      fans: atMost<FanItem>([...fans, ...ipv6Fans], RECORD_FANS_MAX),
    };
  },
};
