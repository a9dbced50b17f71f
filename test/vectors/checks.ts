/**
 * Bad and good bytes for every check of `wire/classify.ts`, and the fault each must give.
 * @module
 */
import {
  checkArp,
  checkEthernet,
  checkIpv4,
  checkIpv4Exact,
  checkIpv4Fragment,
  checkIpv4Options,
  checkIpv4Sum,
  checkIpv6,
  checkTransport,
  checkVirtioNet,
  checkVxlan,
  Fault,
} from '../../src/wire/classify.ts';

type Check = (view: DataView, offset: number, length: number) => number;

/** One row: what it shows, the bytes, the fault. */
export type CheckVector = readonly [what: string, hex: string, fault: Fault];
export type CheckTable = {
  readonly name: string;
  readonly check: Check;
  readonly rows: readonly CheckVector[];
};

/** A 20-byte header with chosen first word, fragment word, and TTL+protocol word. */
const v4 = (first: string, fragment = '4000', rest = '4006 0000 0a000001 0a000002'): string =>
  `${first} 0000 ${fragment} ${rest}`;
const v6 = (first: string): string => `${first} ${'00'.repeat(32)}`;
const ARP_TAIL = '0242fa001b02 fa001b02 000000000000 fa001c02';

export const CHECKS: readonly CheckTable[] = [
  {
    name: 'checkEthernet()',
    check: checkEthernet,
    rows: [
      ['nothing', '', Fault.Truncated],
      ['13 bytes', '00'.repeat(13), Fault.Truncated],
      ['a header', '0242fa001c01 0242fa001b01 0800', Fault.None],
      ['a broadcast', 'ffffffffffff 0242fa001b01 0806', Fault.None],
      ['a multicast source', '0242fa001c01 01005e000001 0800', Fault.SourceGroup],
      ['a broadcast source', '0242fa001c01 ffffffffffff 0800', Fault.SourceGroup],
    ],
  },
  {
    name: 'checkVxlan()',
    check: checkVxlan,
    rows: [
      ['nothing', '', Fault.Truncated],
      ['7 bytes', '08 000000 fa0000', Fault.Truncated],
      ['a header', '08 000000 fa0000 00', Fault.None],
      ['I flag missing', '00 000000 fa0000 00', Fault.VxlanFlags],
      ['all flags', 'ff 000000 fa0000 00', Fault.VxlanFlags],
      ['GBP extension', '88 000000 fa0000 00', Fault.VxlanFlags],
      ['GPE next protocol', '0c 000003 fa0000 00', Fault.VxlanFlags],
      ['a reserved bit before the VNI', '08 000001 fa0000 00', Fault.VxlanReserved],
      ['a high reserved bit', '08 800000 fa0000 00', Fault.VxlanReserved],
      ['a reserved bit behind the VNI', '08 000000 fa0000 01', Fault.VxlanReserved],
    ],
  },
  {
    name: 'checkIpv4()',
    check: checkIpv4,
    rows: [
      ['nothing', '', Fault.Truncated],
      ['one byte', '45', Fault.Truncated],
      ['19 bytes', `4500 0014 ${'00'.repeat(15)}`, Fault.Truncated],
      ['a bare header', v4('4500 0014'), Fault.None],
      ['padding behind the end', `${v4('4500 0014')} 000000000000`, Fault.None],
      ['version 6', v4('6500 0014'), Fault.Version],
      ['version 0', v4('0500 0014'), Fault.Version],
      ['header length 0', v4('4000 0014'), Fault.HeaderLength],
      ['header length 16', v4('4400 0014'), Fault.HeaderLength],
      ['header longer than the window', v4('4600 0018'), Fault.HeaderLength],
      ['total shorter than the header', v4('4500 0013'), Fault.TotalLength],
      ['total 0', v4('4500 0000'), Fault.TotalLength],
      ['total longer than the window', v4('4500 0015'), Fault.TotalLength],
      ['total 65535', v4('4500 ffff'), Fault.TotalLength],
      ['options inside the header, total before', `${v4('4600 0017')} 00000000`, Fault.TotalLength],
      ['60 bytes of header', `${v4('4f00 003c')} ${'01'.repeat(40)}`, Fault.None],
    ],
  },
  {
    name: 'checkIpv4Exact()',
    check: checkIpv4Exact,
    rows: [
      ['a bare header', v4('4500 0014'), Fault.None],
      ['one byte behind', `${v4('4500 0014')} 00`, Fault.Trailing],
      ['cut', v4('4500 0015'), Fault.TotalLength],
    ],
  },
  {
    name: 'checkIpv4Sum()',
    check: checkIpv4Sum,
    rows: [
      ['right', '4500 003c 1c46 4000 4006 b1e6 ac100a63 ac100a0c', Fault.None],
      ['one bit wrong', '4500 003c 1c46 4000 4006 b1e7 ac100a63 ac100a0c', Fault.Checksum],
      ['all zero', v4('4500 0014'), Fault.Checksum],
    ],
  },
  {
    name: 'checkIpv4Options()',
    check: checkIpv4Options,
    rows: [
      ['none', v4('4500 0014'), Fault.None],
      ['end of list', `${v4('4600 0018')} 00ffffff`, Fault.None],
      ['only NOPs', `${v4('4600 0018')} 01010101`, Fault.None],
      ['router alert', `${v4('4600 0018')} 94040000`, Fault.None],
      ['timestamp', `${v4('4700 001c')} 4408 0500 00000000`, Fault.None],
      ['loose source route', `${v4('4700 001c')} 8307 04 0a000001 00`, Fault.SourceRoute],
      ['strict source route', `${v4('4700 001c')} 01 8907 04 0a000001`, Fault.SourceRoute],
      ['length 0', `${v4('4600 0018')} 94000000`, Fault.OptionsMalformed],
      ['length 1', `${v4('4600 0018')} 94010000`, Fault.OptionsMalformed],
      ['length past the header', `${v4('4600 0018')} 94050000`, Fault.OptionsMalformed],
      ['no room for a length', `${v4('4600 0018')} 01010194`, Fault.OptionsMalformed],
    ],
  },
  {
    name: 'checkIpv4Fragment()',
    check: checkIpv4Fragment,
    rows: [
      ['no fragment', v4('4500 0014', '4000'), Fault.None],
      ['first, 24 bytes of TCP', `${v4('4500 002c', '2000')}`, Fault.None],
      ['first, 16 bytes of TCP', v4('4500 0024', '2000'), Fault.FragmentForged],
      ['first, 8 bytes of UDP', v4('4500 001c', '2000', '4011 0000 0a000001 0a000002'), Fault.None],
      ['empty', v4('4500 0014', '2000'), Fault.FragmentForged],
      ['not on a border', v4('4500 0031', '2000'), Fault.FragmentForged],
      ['TCP at 8', v4('4500 002c', '0001'), Fault.FragmentForged],
      ['UDP at 8', v4('4500 002c', '0001', '4011 0000 0a000001 0a000002'), Fault.None],
      ['last one, odd length', v4('4500 0015', '00b9'), Fault.None],
      ['ping of death', v4('4500 05dc', '1fff'), Fault.FragmentForged],
    ],
  },
  {
    name: 'checkIpv6()',
    check: checkIpv6,
    rows: [
      ['nothing', '', Fault.Truncated],
      ['39 bytes', `6000 0000 0000 3b 40 ${'00'.repeat(31)}`, Fault.Truncated],
      ['a bare header', v6('6000 0000 0000 3b 40'), Fault.None],
      ['version 4', v6('4000 0000 0000 3b 40'), Fault.Version],
      ['payload beyond', v6('6000 0000 0001 3b 40'), Fault.TotalLength],
      ['padding behind', `${v6('6000 0000 0000 3b 40')} 0000`, Fault.None],
      ['jumbogram', v6('6000 0000 0000 00 40'), Fault.Extension],
    ],
  },
  {
    name: 'checkArp()',
    check: checkArp,
    rows: [
      ['nothing', '', Fault.Truncated],
      ['27 bytes', '00'.repeat(27), Fault.Truncated],
      ['a request', `0001 0800 06 04 0001 ${ARP_TAIL}`, Fault.None],
      ['a reply', `0001 0800 06 04 0002 ${ARP_TAIL}`, Fault.None],
      ['hardware 6', `0006 0800 06 04 0001 ${ARP_TAIL}`, Fault.ArpKind],
      ['protocol IPv6', `0001 86dd 06 04 0001 ${ARP_TAIL}`, Fault.ArpKind],
      ['hardware length 8', `0001 0800 08 04 0001 ${ARP_TAIL}`, Fault.ArpKind],
      ['address length 16', `0001 0800 06 10 0001 ${ARP_TAIL}`, Fault.ArpKind],
      ['operation 0', `0001 0800 06 04 0000 ${ARP_TAIL}`, Fault.ArpOperation],
      ['RARP request', `0001 0800 06 04 0003 ${ARP_TAIL}`, Fault.ArpOperation],
    ],
  },
  {
    name: 'checkTransport() for TCP',
    check: (view, offset, length) => checkTransport(view, offset, length, 6),
    rows: [
      ['19 bytes', '00'.repeat(19), Fault.Truncated],
      ['a header', `${'00'.repeat(12)} 50 02 0000 0000 0000`, Fault.None],
      ['data offset 4', `${'00'.repeat(12)} 40 02 0000 0000 0000`, Fault.HeaderLength],
      ['data offset past the end', `${'00'.repeat(12)} 60 02 0000 0000 0000`, Fault.HeaderLength],
    ],
  },
  {
    name: 'checkTransport() for UDP',
    check: (view, offset, length) => checkTransport(view, offset, length, 17),
    rows: [
      ['7 bytes', '00'.repeat(7), Fault.Truncated],
      ['a header', 'c000 12b5 0008 0000', Fault.None],
      ['length 7', 'c000 12b5 0007 0000', Fault.TotalLength],
      ['length past the end', 'c000 12b5 0009 0000', Fault.TotalLength],
      ['shorter than the packet', 'c000 12b5 0008 0000 00', Fault.None],
    ],
  },
  {
    name: 'checkVirtioNet() before 100 bytes',
    check: (view, offset) => checkVirtioNet(view, offset, 100),
    rows: [
      ['nothing asked', '00 00 0000 0000 0000 0000', Fault.None],
      ['TCP super-packet', '01 01 4200 7605 2200 1000', Fault.None],
      ['ECN bit', '01 81 4200 7605 2200 1000', Fault.None],
      ['UDP segmentation', '01 05 2a00 b004 2200 0600', Fault.None],
      ['checksum field past the end', '01 00 0000 0000 6200 0100', Fault.Virtio],
      ['checksum field at the end', '01 00 0000 0000 6200 0000', Fault.None],
      ['checksum start 65535', '01 00 0000 0000 ffff ffff', Fault.Virtio],
      ['segments of 0 bytes', '01 01 4200 0000 2200 1000', Fault.Virtio],
      ['old UFO', '01 03 2a00 b004 2200 0600', Fault.Virtio],
      ['unknown type', '01 7f 2a00 b004 2200 0600', Fault.Virtio],
    ],
  },
];
