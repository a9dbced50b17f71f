/**
 * Malformed BGP messages and the reaction that RFC 4271 and RFC 7606 ask for. They are made for
 * fanway's own reader and go nowhere else.
 * @module
 */
import { fromHex, toHex } from './hex.ts';

/**
 * `ok`, `discard CODE`, `withdraw CODE` (attribute codes) or `reset CODE/SUBCODE`; several faults
 * with a blank between them.
 */
export type BadMessage = readonly [what: string, bytes: Uint8Array, reaction: string];
/** The same with the bytes as people read them. */
type Row = readonly [what: string, hex: string, reaction: string];

const RD = '0001 0a000001 0002';
const ESI = '00'.repeat(10);
/** A sound type 3. */
export const ROUTE3 = `03 11 ${RD} 00000000 20 0a000001`;
const hex2 = (value: number): string => value.toString(16).padStart(2, '0');
const hex4 = (value: number): string => value.toString(16).padStart(4, '0');
const bytesOf = (hex: string): number => fromHex(hex).length;

/** An attribute: flags, code, length, value; the length may lie. */
export function attribute(
  flags: string,
  code: number,
  value: string,
  length = bytesOf(value),
): string {
  return `${flags} ${hex2(code)} ${hex2(length)} ${value}`;
}

/** The body of an UPDATE from its three parts. */
export function update(attributes: string, nlri = '', withdrawn = ''): Uint8Array {
  return fromHex(
    `${hex4(bytesOf(withdrawn))} ${withdrawn} ${hex4(bytesOf(attributes))} ${attributes} ${nlri}`,
  );
}

const reach = (routes: string, hop = '04 0a000001'): string =>
  attribute('80', 14, `0019 46 ${hop} 00 ${routes}`);
const unreach = (routes: string): string => attribute('80', 15, `0019 46 ${routes}`);
const ORIGIN = '40 01 01 00';
const AS_PATH = '40 02 06 02 01 0000fde9';
const LOCAL_PREF = '40 05 04 00000064';
const MANDATORY = `${ORIGIN} ${AS_PATH} ${LOCAL_PREF}`;
const REACH = reach(ROUTE3);

/** Attributes beside a sound announcement: a mistake in them must cost no more than the route. */
const BESIDE: readonly Row[] = [
  ['nothing else', '', 'ok'],
  ['MED of 3 bytes', attribute('80', 4, '000001'), 'withdraw 4'],
  ['MED of 5 bytes', attribute('80', 4, '0000000001'), 'withdraw 4'],
  ['MED without a value', attribute('80', 4, ''), 'withdraw 4'],
  ['MED that is transitive', attribute('c0', 4, '00000001'), 'withdraw 4'],
  ['MED that is well-known', attribute('40', 4, '00000001'), 'withdraw 4'],
  ['MED with the partial bit', attribute('a0', 4, '00000001'), 'ok'],
  ['MED with all reserved flags', attribute('8f', 4, '00000001'), 'ok'],
  ['MED twice', attribute('80', 4, '00000001') + attribute('80', 4, '00000002'), 'discard 4'],
  ['MED twice, the second malformed', `${attribute('80', 4, '00000001')} 80 04 01 00`, 'discard 4'],
  ['ATOMIC_AGGREGATE with a value', attribute('40', 6, '00'), 'discard 6'],
  ['ATOMIC_AGGREGATE that is optional', attribute('c0', 6, ''), 'discard 6'],
  ['AGGREGATOR of 6 bytes', attribute('c0', 7, 'fde8 0a000001'), 'discard 7'],
  ['AGGREGATOR of 9 bytes', attribute('c0', 7, '0000fde8 0a000001 00'), 'discard 7'],
  ['AGGREGATOR without a value', attribute('c0', 7, ''), 'discard 7'],
  ['AGGREGATOR that is not transitive', attribute('80', 7, '0000fde8 0a000001'), 'discard 7'],
  ['COMMUNITIES without one', attribute('c0', 8, ''), 'withdraw 8'],
  ['COMMUNITIES of 5 bytes', attribute('c0', 8, '0000000000'), 'withdraw 8'],
  ['COMMUNITIES that are not transitive', attribute('80', 8, '00000000'), 'withdraw 8'],
  ['ORIGINATOR_ID of 3 bytes', attribute('80', 9, '0a0000'), 'withdraw 9'],
  ['ORIGINATOR_ID of 5 bytes', attribute('80', 9, '0a00000100'), 'withdraw 9'],
  ['ORIGINATOR_ID that is transitive', attribute('c0', 9, '0a000001'), 'withdraw 9'],
  ['CLUSTER_LIST without one', attribute('80', 10, ''), 'withdraw 10'],
  ['CLUSTER_LIST of 7 bytes', attribute('80', 10, '00000000000000'), 'withdraw 10'],
  ['EXTENDED_COMMUNITIES without one', attribute('c0', 16, ''), 'withdraw 16'],
  ['EXTENDED_COMMUNITIES of 7 bytes', attribute('c0', 16, '00'.repeat(7)), 'withdraw 16'],
  ['EXTENDED_COMMUNITIES of 12 bytes', attribute('c0', 16, '00'.repeat(12)), 'withdraw 16'],
  ['EXTENDED_COMMUNITIES that are well-known', attribute('40', 16, '00'.repeat(8)), 'withdraw 16'],
  ['AS4_PATH with an empty segment', attribute('c0', 17, '02 00'), 'discard 17'],
  ['AS4_PATH with segment type 9', attribute('c0', 17, '09 01 00000001'), 'discard 17'],
  ['AS4_PATH between speakers of four octets', attribute('c0', 17, '02 01 00000001'), 'ok'],
  ['AS4_AGGREGATOR of 7 bytes', attribute('c0', 18, '00'.repeat(7)), 'discard 18'],
  ['PMSI_TUNNEL without a value', attribute('c0', 22, ''), 'withdraw 22'],
  ['PMSI_TUNNEL of 4 bytes', attribute('c0', 22, '00 06 0000'), 'withdraw 22'],
  ['PMSI_TUNNEL to an address of 0 bytes', attribute('c0', 22, '00 06 000064'), 'withdraw 22'],
  ['PMSI_TUNNEL to an address of 3 bytes', attribute('c0', 22, '0006000064 0a0000'), 'withdraw 22'],
  [
    'PMSI_TUNNEL to an address of 5 bytes',
    attribute('c0', 22, '0006000064 0a00000100'),
    'withdraw 22',
  ],
  [
    'PMSI_TUNNEL of type none with an id',
    attribute('c0', 22, '0000000064 0a000001'),
    'withdraw 22',
  ],
  ['PMSI_TUNNEL of type none', attribute('c0', 22, '0000000064'), 'ok'],
  ['PMSI_TUNNEL of a type to come', attribute('c0', 22, '00ee000064 010203'), 'ok'],
  ['PMSI_TUNNEL that is not transitive', attribute('80', 22, '0006000064 0a000001'), 'withdraw 22'],
  ['TUNNEL_ENCAP whose TLV overruns', attribute('c0', 23, '0008 0009 00'), 'withdraw 23'],
  ['TUNNEL_ENCAP cut in a TLV’s head', attribute('c0', 23, '0008 00'), 'withdraw 23'],
  ['TUNNEL_ENCAP without a TLV', attribute('c0', 23, ''), 'ok'],
  ['TE with the wrong flags', attribute('c0', 24, '00'), 'discard 24'],
  ['IPV6_EXTENDED_COMMUNITIES of 19 bytes', attribute('c0', 25, '00'.repeat(19)), 'withdraw 25'],
  ['IPV6_EXTENDED_COMMUNITIES without one', attribute('c0', 25, ''), 'withdraw 25'],
  ['AIGP whose TLV is shorter than its head', attribute('80', 26, '01 0002'), 'discard 26'],
  ['AIGP whose TLV overruns', attribute('80', 26, '01 000b 00'), 'discard 26'],
  ['AIGP that is transitive', attribute('c0', 26, '01 0003'), 'discard 26'],
  ['LARGE_COMMUNITIES of 11 bytes', attribute('c0', 32, '00'.repeat(11)), 'withdraw 32'],
  ['LARGE_COMMUNITIES without one', attribute('c0', 32, ''), 'withdraw 32'],
  ['OTC of 3 bytes', attribute('c0', 35, '000001'), 'withdraw 35'],
  ['OTC of 5 bytes', attribute('c0', 35, '0000000001'), 'withdraw 35'],
  ['PREFIX_SID whose TLV overruns', attribute('c0', 40, '01 0009 00'), 'discard 40'],
  ['an optional attribute to come', attribute('80', 200, '010203'), 'ok'],
  ['an optional transitive attribute to come', attribute('c0', 200, ''), 'ok'],
  [
    'an optional attribute to come, twice',
    `${attribute('c0', 200, '')} ${attribute('c0', 200, '')}`,
    'discard 200',
  ],
  ['a well-known attribute to come', attribute('40', 200, ''), 'reset 3/2'],
  ['a well-known attribute to come that is not transitive', attribute('00', 200, ''), 'reset 3/2'],
  ['attribute 0, optional', attribute('80', 0, ''), 'ok'],
  ['attribute 255, optional', attribute('80', 255, '00'), 'ok'],
  ['an attribute longer than the list', attribute('80', 4, '00000001', 5), 'withdraw 4'],
  ['an attribute of 65535 bytes', '90 04 ffff 00', 'withdraw 4'],
  ['flags alone at the end', '80', 'withdraw -1'],
  ['flags and code at the end', '80 04', 'withdraw 4'],
  ['half of a long length at the end', '90 04 00', 'withdraw 4'],
  ['a long length for a short value', '90 04 0004 00000001', 'ok'],
  ['NEXT_HOP of 3 bytes', attribute('40', 3, '0a0000'), 'withdraw 3'],
  ['NEXT_HOP of 16 bytes', attribute('40', 3, '00'.repeat(16)), 'withdraw 3'],
  ['NEXT_HOP that is optional', attribute('c0', 3, '0a000001'), 'withdraw 3'],
  [
    'two mistakes: one discards, one withdraws',
    `${attribute('40', 6, '00')} ${attribute('80', 4, '')}`,
    'discard 6 withdraw 4',
  ],
  ['the routes in two attributes', REACH, 'reset 3/1'],
  ['a withdrawal that overruns the list', '80 0f 40 0019 46', 'reset 3/1'],
  ['a withdrawal with the wrong flags', attribute('40', 15, `0019 46 ${ROUTE3}`), 'withdraw 15'],
];

/** All attributes of an UPDATE from our own AS. */
const WHOLE: readonly Row[] = [
  ['all that is needed', `${REACH} ${MANDATORY}`, 'ok'],
  ['the routes last', `${MANDATORY} ${REACH}`, 'ok'],
  ['no ORIGIN', `${REACH} ${AS_PATH} ${LOCAL_PREF}`, 'withdraw 1'],
  ['no AS_PATH', `${REACH} ${ORIGIN} ${LOCAL_PREF}`, 'withdraw 2'],
  ['no LOCAL_PREF', `${REACH} ${ORIGIN} ${AS_PATH}`, 'withdraw 5'],
  ['nothing but routes', REACH, 'withdraw 1 withdraw 2 withdraw 5'],
  ['ORIGIN 3', `${REACH} 40 01 01 03 ${AS_PATH} ${LOCAL_PREF}`, 'withdraw 1'],
  ['ORIGIN 255', `${REACH} 40 01 01 ff ${AS_PATH} ${LOCAL_PREF}`, 'withdraw 1'],
  ['ORIGIN without a value', `${REACH} 40 01 00 ${AS_PATH} ${LOCAL_PREF}`, 'withdraw 1'],
  ['ORIGIN of 2 bytes', `${REACH} 40 01 02 0000 ${AS_PATH} ${LOCAL_PREF}`, 'withdraw 1'],
  ['ORIGIN that is optional', `${REACH} c0 01 01 00 ${AS_PATH} ${LOCAL_PREF}`, 'withdraw 1'],
  ['ORIGIN twice', `${REACH} ${MANDATORY} 40 01 01 02`, 'discard 1'],
  ['an empty AS_PATH', `${REACH} ${ORIGIN} 40 02 00 ${LOCAL_PREF}`, 'ok'],
  ['an empty AS_PATH with a long length', `${REACH} ${ORIGIN} 50 02 0000 ${LOCAL_PREF}`, 'ok'],
  ...(
    [
      ['segment type 0', '00 01 0000fde9'],
      ['segment type 5', '05 01 0000fde9'],
      ['a confederation sequence', '03 01 0000fde9'],
      ['a confederation set', '04 01 0000fde9'],
      ['an empty segment', '02 00'],
      ['a segment that overruns', '02 02 0000fde9'],
      ['a segment that underruns', '02 01 0000fde9 00'],
      ['a segment of 255 in no room', '02 ff 0000fde9'],
      ['numbers of two octets', '02 01 fde9'],
      ['one byte', '02'],
    ] as const
  ).map(
    ([what, path]): Row => [
      `AS_PATH with ${what}`,
      `${REACH} ${ORIGIN} ${attribute('40', 2, path)} ${LOCAL_PREF}`,
      'withdraw 2',
    ],
  ),
  [
    'AS_PATH that is optional',
    `${REACH} ${ORIGIN} ${attribute('c0', 2, '')} ${LOCAL_PREF}`,
    'withdraw 2',
  ],
  ['LOCAL_PREF of 3 bytes', `${REACH} ${ORIGIN} ${AS_PATH} 40 05 03 000001`, 'withdraw 5'],
  ['LOCAL_PREF of 5 bytes', `${REACH} ${ORIGIN} ${AS_PATH} 40 05 05 0000000001`, 'withdraw 5'],
  // RFC 7606 §5.2: a mistake, and nothing to withdraw.
  ['ORIGIN 9 and no routes', '40 01 01 09', 'reset 3/6'],
  ['AS_PATH with an empty segment and no routes', attribute('40', 2, '02 00'), 'reset 3/11'],
  ['MED of 1 byte and no routes', attribute('80', 4, '00'), 'reset 3/9'],
  ['LOCAL_PREF of 1 byte and no routes', attribute('40', 5, '00'), 'reset 3/5'],
  ['the wrong flags and no routes', attribute('40', 4, '00000000'), 'reset 3/4'],
  ['ATOMIC_AGGREGATE with a value and no routes', attribute('40', 6, '00'), 'discard 6'],
  ['ORIGIN 9 beside withdrawn routes', `${unreach(ROUTE3)} 40 01 01 09`, 'reset 3/6'],
  ['an overrun beside withdrawn routes', `${unreach(ROUTE3)} 80 04 05 00`, 'reset 3/1'],
  ['an overrun before the routes', `80 c8 ff ${REACH}`, 'reset 3/1'],
  ['MP_REACH that overruns the list', `${MANDATORY} 80 0e 40 0019 46 04`, 'reset 3/1'],
  ['MP_UNREACH twice', `${unreach(ROUTE3)} ${unreach(ROUTE3)}`, 'reset 3/1'],
  [
    'MP_REACH with the wrong flags',
    `${attribute('c0', 14, `0019 46 04 0a000001 00 ${ROUTE3}`)} ${MANDATORY}`,
    'withdraw 14',
  ],
  ['MP_REACH of 0 bytes', `${attribute('80', 14, '')} ${MANDATORY}`, 'reset 3/9'],
  ['MP_REACH of 3 bytes', `${attribute('80', 14, '0019 46')} ${MANDATORY}`, 'reset 3/9'],
  [
    'MP_REACH without its reserved byte',
    `${attribute('80', 14, '0019 46 04 0a000001')} ${MANDATORY}`,
    'reset 3/9',
  ],
  ['MP_REACH without routes', `${reach('')} ${MANDATORY}`, 'ok'],
  [
    'MP_REACH of IPv6 unicast',
    `${attribute('80', 14, `0002 01 10${'00'.repeat(16)}00 40${'00'.repeat(8)}`)} ${MANDATORY}`,
    'ok',
  ],
  [
    'MP_REACH of a family to come',
    `${attribute('80', 14, '1234 56 02 0000 00 ff')} ${MANDATORY}`,
    'ok',
  ],
  ['MP_UNREACH of 0 bytes', attribute('80', 15, ''), 'reset 3/9'],
  ['MP_UNREACH of 2 bytes', attribute('80', 15, '0019'), 'reset 3/9'],
  ['MP_UNREACH of a family to come', attribute('80', 15, '1234 56 ff'), 'ok'],
  ['a next hop of zero', `${reach(ROUTE3, '04 00000000')} ${MANDATORY}`, 'withdraw 14'],
  ['a route of a type to come, cut', `${reach('0b 05 00')} ${MANDATORY}`, 'reset 3/9'],
  ['a route of a type to come', `${reach(`0b 03 000000 ${ROUTE3}`)} ${MANDATORY}`, 'ok'],
  ['half of a route’s head', `${reach('03')} ${MANDATORY}`, 'reset 3/9'],
  ['a sound route, then half of one', `${reach(`${ROUTE3} 03 11 00`)} ${MANDATORY}`, 'reset 3/9'],
  ['a withdrawn route that is cut', unreach('03 11 00'), 'reset 3/9'],
  [
    'type 5 with a segment and a gateway',
    `${reach(`05 22 ${RD} 01${'00'.repeat(9)} 00000000 18 fa001c00 0a000001 000001`)} ${MANDATORY}`,
    'withdraw 14',
  ],
  [
    'type 5 of 33 bits',
    `${reach(`05 22 ${RD} ${ESI} 00000000 21 fa001c00 00000000 000001`)} ${MANDATORY}`,
    'reset 3/9',
  ],
  [
    'type 5 of IPv6 with 129 bits',
    `${reach(`05 3a ${RD} ${ESI} 00000000 81 ${'00'.repeat(32)} 000001`)} ${MANDATORY}`,
    'reset 3/9',
  ],
];

function nextHops(): Row[] {
  const sound = [4, 16, 32];
  return Array.from(
    { length: 40 },
    (_, bytes): Row => [
      `a next hop of ${bytes} bytes`,
      `${reach(ROUTE3, `${hex2(bytes)} ${'0a'.repeat(bytes)}`)} ${MANDATORY}`,
      sound.includes(bytes) ? 'ok' : 'reset 3/9',
    ],
  );
}

/** Every EVPN type with every length: only the lengths of the RFC are read. */
function routeLengths(): Row[] {
  // With address lengths of 32 bits where the type has one at all.
  const sound: Readonly<Record<number, readonly number[]>> = {
    1: [25],
    2: [37, 40],
    3: [17],
    4: [23],
    5: [34, 58],
  };
  const full: Readonly<Record<number, string>> = {
    2: `${RD} ${ESI} 00000000 30 000000000001 20`,
    3: `${RD} 00000000 20`,
    4: `${RD} ${ESI} 20`,
  };
  const rows: Row[] = [];
  for (const type of [1, 2, 3, 4, 5]) {
    const head = fromHex(full[type] ?? '');
    for (let length = 0; length <= 64; length++) {
      const value = new Uint8Array(length);
      value.set(head.subarray(0, length));
      const list = `${reach(`${hex2(type)} ${hex2(length)} ${toHex(value)}`)} ${MANDATORY}`;
      rows.push([
        `type ${type} of ${length} bytes`,
        list,
        sound[type]?.includes(length) ? 'ok' : 'reset 3/9',
      ]);
    }
  }
  return rows;
}

/** Every length of a MAC and of an address, in bits, with the bytes it needs where there is room. */
function bitLengths(): Row[] {
  const rows: Row[] = [];
  for (let bits = 0; bits < 256; bits++) {
    const mac = `${RD} ${ESI} 00000000 ${hex2(bits)} 000000000001 00 000064`;
    rows.push([
      `a MAC of ${bits} bits`,
      `${reach(`02 21 ${mac}`)} ${MANDATORY}`,
      bits === 48 ? 'ok' : 'reset 3/9',
    ]);
    const bytes = Math.ceil(bits / 8);
    const ip = `${RD} ${ESI} 00000000 30 000000000001 ${hex2(bits)} ${'01'.repeat(bytes)} 000064`;
    const isSound = [0, 32, 128].includes(bits);
    rows.push([
      `an address of ${bits} bits`,
      `${reach(`02 ${hex2(bytesOf(ip))} ${ip}`)} ${MANDATORY}`,
      isSound ? 'ok' : 'reset 3/9',
    ]);
  }
  return rows;
}

function updateRows(): BadMessage[] {
  const rows = [
    ...BESIDE.map(
      ([what, hex, reaction]): Row => [
        `beside a route: ${what}`,
        `${REACH} ${MANDATORY} ${hex}`,
        reaction,
      ],
    ),
    ...WHOLE,
    ...nextHops(),
    ...routeLengths(),
    ...bitLengths(),
  ];
  return rows.map(([what, hex, reaction]) => [what, update(hex), reaction]);
}

/** Bodies that are not made of three sound parts. */
const FRAMES: readonly Row[] = [
  ['no body', '', 'reset 3/1'],
  ['one byte', '00', 'reset 3/1'],
  ['no length of attributes', '0000', 'reset 3/1'],
  ['half a length of attributes', '0000 00', 'reset 3/1'],
  ['attributes beyond the end', '0000 0001', 'reset 3/1'],
  ['withdrawn routes beyond the end', '0005 0000', 'reset 3/1'],
  ['withdrawn routes that take all', 'ffff 0000', 'reset 3/1'],
  ['an empty UPDATE: End-of-RIB of IPv4', '0000 0000', 'ok'],
  ['a withdrawn IPv4 prefix', '0004 18 0a0001 0000', 'ok'],
  ['a withdrawn IPv4 prefix of 33 bits', '0006 21 0a00010000 0000', 'reset 3/10'],
  ['a withdrawn IPv4 prefix that is cut', '0002 18 0a 0000', 'reset 3/10'],
  [
    'an IPv4 prefix without attributes',
    '0000 0000 18 0a0001',
    'withdraw 1 withdraw 2 withdraw 3 withdraw 5',
  ],
  ['an IPv4 prefix of 255 bits', '0000 0000 ff 0a0001', 'reset 3/10'],
  ['an IPv4 prefix that is cut', '0000 0000 20 0a0001', 'reset 3/10'],
];

/** Bodies of UPDATEs from our own AS, and what they cost. */
export const BAD_UPDATES: readonly BadMessage[] = [
  ...FRAMES.map(([what, hex, reaction]): BadMessage => [what, fromHex(hex), reaction]),
  ...updateRows(),
];

/** Bodies of OPENs. */
export const BAD_OPENS: readonly BadMessage[] = (
  [
    ['sound', '04 fde8 005a 0a000001 00', 'ok'],
    ['no body', '', 'reset 2/0'],
    ['9 bytes', '04 fde8 005a 0a000001', 'reset 2/0'],
    ['version 3', '03 fde8 005a 0a000001 00', 'reset 2/1'],
    ['version 5', '05 fde8 005a 0a000001 00', 'reset 2/1'],
    ['a hold time of 0 s', '04 fde8 0000 0a000001 00', 'ok'],
    ['a hold time of 1 s', '04 fde8 0001 0a000001 00', 'reset 2/6'],
    ['a hold time of 2 s', '04 fde8 0002 0a000001 00', 'reset 2/6'],
    ['a hold time of 3 s', '04 fde8 0003 0a000001 00', 'ok'],
    ['identifier 0.0.0.0', '04 fde8 005a 00000000 00', 'reset 2/3'],
    ['parameters beyond the end', '04 fde8 005a 0a000001 05', 'reset 2/0'],
    ['bytes behind the parameters', '04 fde8 005a 0a000001 00 00', 'reset 2/0'],
    ['parameter 1, authentication', '04 fde8 005a 0a000001 02 01 00', 'reset 2/4'],
    ['a parameter to come', '04 fde8 005a 0a000001 03 63 01 00', 'reset 2/4'],
    ['half a parameter', '04 fde8 005a 0a000001 01 02', 'reset 2/0'],
    ['a parameter that overruns', '04 fde8 005a 0a000001 02 02 05', 'reset 2/0'],
    ['a capability that overruns', '04 fde8 005a 0a000001 04 02 02 41 04', 'reset 2/0'],
    ['half a capability', '04 fde8 005a 0a000001 03 02 01 41', 'reset 2/0'],
    ['multiprotocol of 3 bytes', '04 fde8 005a 0a000001 07 02 05 01 03 0019 00', 'reset 2/0'],
    ['multiprotocol of 5 bytes', '04 fde8 005a 0a000001 09 02 07 01 05 0019 00 46 00', 'reset 2/0'],
    ['four-octet AS of 2 bytes', '04 fde8 005a 0a000001 06 02 04 41 02 fde8', 'reset 2/0'],
    ['graceful restart of 1 byte', '04 fde8 005a 0a000001 05 02 03 40 01 00', 'ok'],
    ['graceful restart with half a family', '04 fde8 005a 0a000001 07 02 05 40 03 0078 00', 'ok'],
    ['the longer form', '04 fde8 005a 0a000001 ff ff 0005 02 0002 0200', 'ok'],
    ['the longer form, cut', '04 fde8 005a 0a000001 ff ff 00', 'reset 2/0'],
    ['the longer form beyond the end', '04 fde8 005a 0a000001 ff ff 0009 02', 'reset 2/0'],
  ] as const
).map(([what, hex, reaction]) => [what, fromHex(hex), reaction]);

const MARKER = 'ff'.repeat(16);

/** Whole messages, as a stream brings them. */
export const BAD_FRAMES: readonly BadMessage[] = (
  [
    ['a KEEPALIVE', `${MARKER} 0013 04`, 'ok'],
    ['a marker of zeros', `${'00'.repeat(16)} 0013 04`, 'reset 1/1'],
    ['a marker with one bit off', `fe${'ff'.repeat(15)} 0013 04`, 'reset 1/1'],
    ['a marker with its last bit off', `${'ff'.repeat(15)}fe 0013 04`, 'reset 1/1'],
    ['length 0', `${MARKER} 0000 04`, 'reset 1/2'],
    ['length 18', `${MARKER} 0012 04`, 'reset 1/2'],
    ['length 4097', `${MARKER} 1001 02`, 'reset 1/2'],
    ['length 65535', `${MARKER} ffff 02`, 'reset 1/2'],
    ['a KEEPALIVE of 20 bytes', `${MARKER} 0014 04 00`, 'reset 1/2'],
    ['an OPEN of 28 bytes', `${MARKER} 001c 01`, 'reset 1/2'],
    ['an UPDATE of 22 bytes', `${MARKER} 0016 02`, 'reset 1/2'],
    ['a NOTIFICATION of 20 bytes', `${MARKER} 0014 03`, 'reset 1/2'],
    ...[0, ...Array.from({ length: 250 }, (_, index) => index + 6)].map(
      (type) => [`a message of type ${type}`, `${MARKER} 0013 ${hex2(type)}`, 'reset 1/3'] as const,
    ),
  ] as const
).map(([what, hex, reaction]) => [what, fromHex(hex), reaction]);
