/**
 * Into a port of a layer-2 network: a frame from another host goes to the bridge if that host is one of the network,
 * may send from the MAC and address that it does, and its destination is here; else it is dropped for a reason. The
 * order of the checks is that of dataplane/ingress/network/vni.ts.
 *
 * Before it the kernel has judged the outer headers and the VXLAN header, and has put the outer ECN mark into the
 * packet or dropped it (RFC 6040 §4.2).
 * @module
 */
import { BumMode } from '../../shm/network.ts';
import { ingressIndex } from '../../table/counters.ts';
import { EventKind, MovedTo, Snooped } from '../../table/events.ts';
import { FdbFlag } from '../../table/fdb.ts';
import { Service } from '../../table/flood.ts';
import { VtepFlag } from '../../table/vteps.ts';
import { PROTOCOL_UDP } from '../../wire/ipv4.ts';
import {
  DHCP_ACK,
  DHCP_BYTES_MIN,
  DHCP_OPTION_END,
  DHCP_OPTION_PAD,
  DHCP_OPTION_TYPE,
  DHCP_SERVER_PORT,
  DHCP_YOUR_ADDRESS_OFFSET,
  DHCPV6_SERVER_PORT,
} from '../../wire/lan/dhcp.ts';
import { ND_NEIGHBOUR_ADVERT, ND_NEIGHBOUR_SOLICIT, ND_ROUTER_SOLICIT } from '../../wire/six/nd.ts';
import { UDP_HEADER_BYTES } from '../../wire/udp.ts';
import { reg } from '../assembler.ts';
import { checkFragment, checkHeader, checkSize, takeTos } from '../four-header.ts';
import { Register, SKB, TC_SHOT, TUNNEL_KEY } from '../instructions.ts';
import { deliver, ownAnswer } from '../inward.ts';
import { ARP, ETHERNET_BYTES, ETHERTYPE, IPV4, STACK } from '../link-program.ts';
import { TARGET } from '../neighbour.ts';
import { dropTold, endTold, writeNews } from '../news.ts';
import { OWN_ANSWER } from '../outward.ts';
import { copyAt, SOURCE, takeIpv6 } from '../six-header.ts';
import { checkSize6, takeClass } from '../six-ingress.ts';
import { passAnswers } from './answers.ts';
import { mustBeFree, type StackAddress } from './claims.ts';
import { sendCopies } from './copies.ts';
import { checkEthernet, keepIpv4, noTunnelInside, takeClient, takePorts } from './frames.ts';
import { branchToNd, takeNd } from './nd.ts';
import { FDB_PLACE, type NetworkMaps, type NetworkPath } from './network-path.ts';
import { NetworkProgram, PLACES } from './network-program.ts';

const { R0, R1, R2, R3, R4, R6, R9, FP } = Register;

/** Drops that control hears of; who sent the packet is known by then, and in R9. */
const TOLD_DROPS = [
  ...(['drop.stranger', 'drop.wrong_vni', 'drop.foreign_source', 'drop.foreign_mac'] as const),
  ...(['drop.foreign_destination', 'drop.too_big', 'drop.nested'] as const),
].map(ingressIndex);
const FOREIGN_MAC = ingressIndex('drop.foreign_mac');
/** A MAC that was learned is told again so often while it talks, ns. */
const LEARN_AGAIN_NS = 60_000_000_000;
/** Options of a DHCP message that are looked at before the search is given up. */
const OPTIONS_MAX = 16;
const IPV4_SOURCE: StackAddress = { at: STACK.l3 + IPV4.source, bytes: 4 };
const IPV6_SOURCE: StackAddress = { at: SOURCE, bytes: 16 };

/** Who sent it must be a peer, on this network, and have meant this host; R9 becomes its address. */
function checkOuter(program: NetworkProgram): void {
  const { asm, maps, path } = program;
  program.takeTunnelKey();
  asm.jumpIf(R0, 'notEqual', 0, program.dropAt(ingressIndex('drop.bad_header')));
  program.takeHost();
  asm.jumpIf32(R9, 'equal', path.local, program.dropAt(ingressIndex('drop.own_source')));
  asm.load(4, R1, FP, STACK.tunnelKey + TUNNEL_KEY.vni);
  asm.jumpIf(R1, 'anyBit', OWN_ANSWER, ownAnswer(program)).store(4, FP, STACK.scratch, reg(R9));
  program.find(maps.vteps, STACK.scratch);
  asm.jumpIf(R0, 'equal', 0, program.dropAt(ingressIndex('drop.stranger')));
  asm.load(4, R1, R0, 0).store(4, FP, PLACES.vtepFlags, reg(R1));
  asm.load(4, R1, FP, STACK.tunnelKey + TUNNEL_KEY.vni);
  asm.jumpIf32(R1, 'notEqual', path.vni, program.dropAt(ingressIndex('drop.wrong_vni')));
  asm.load(4, R1, FP, STACK.tunnelKey + TUNNEL_KEY.localIpv4);
  const foreign = program.dropAt(ingressIndex('drop.foreign_destination'));
  asm.jumpIf32(R1, 'notEqual', path.local, foreign);
}

/** The host in R9 may send from the frame's MAC, or it ends; on a network that learns, control is told. */
function checkSource(program: NetworkProgram): void {
  const { asm, path } = program;
  const [known, others, learn] = [asm.fresh('known'), asm.fresh('others'), asm.fresh('learn')];
  const [same, pass] = [asm.fresh('same'), asm.fresh('pass')];
  const remote = { kind: EventKind.RemoteMac, mac: STACK.sourceMac, host: true } as const;
  const foreign = program.dropAt(FOREIGN_MAC);
  const learns = path.bum === BumMode.Learn;
  program.takeMac();
  program.findPlace();
  asm.jumpIf(R0, 'notEqual', 0, known);
  asm
    .store(4, FP, PLACES.sourceFlags, 0)
    .jump(learns ? learn : foreign)
    .label(known);
  program.keepSource();
  asm.jumpIf(R1, 'notEqual', 0, others);
  // The bridge would believe that our container has moved to the tunnel; perhaps it has.
  asm.jump(
    dropTold(program, program.index('drop.bad_mac'), {
      ...{ kind: EventKind.Moved, detail: MovedTo.Peer, mac: STACK.sourceMac, host: true },
    }),
  );
  asm.label(others).jumpIf32(R1, 'equal', reg(R9), learns ? same : pass);
  const ofMember = asm.fresh('member');
  asm.load(4, R1, FP, PLACES.vtepFlags).alu32('and', R1, VtepFlag.Replicator);
  asm.jumpIf(R1, 'equal', 0, ofMember).load(1, R1, FP, STACK.frame).jumpIf(R1, 'anyBit', 1, pass);
  asm.label(ofMember);
  if (learns) {
    program.mustHaveFlag(FdbFlag.Learned, foreign);
    asm.label(learn);
    program.tell(remote);
    program.takeHost();
    asm.jump(pass).label(same);
    program.mustHaveFlag(FdbFlag.Learned, pass);
    program.tell(remote, LEARN_AGAIN_NS);
    program.takeHost();
  } else asm.jump(foreign);
  asm.label(pass);
}

/** A server has given an address to the client whose MAC was taken: control is told, if it has. Loses R0 to R5, R9. */
function tellGiven(program: NetworkProgram, done: string): void {
  const { asm } = program;
  const [next, option, given] = [asm.fresh('next'), asm.fresh('option'), asm.fresh('given')];
  const [at, left, address] = [STACK.longHeader, PLACES.optionsLeft, PLACES.answer];
  const header = UDP_HEADER_BYTES + DHCP_BYTES_MIN;
  asm.load(8, R2, FP, STACK.nextAt).alu('add', R2, UDP_HEADER_BYTES + DHCP_YOUR_ADDRESS_OFFSET);
  copyAt(program, address, 4, done);
  asm.load(8, R2, FP, STACK.nextAt).alu('add', R2, header).store(8, FP, at, reg(R2));
  asm.move(R1, OPTIONS_MAX).store(8, FP, left, reg(R1)).label(next);
  asm.load(8, R1, FP, left).jumpIf(R1, 'equal', 0, done).alu('sub', R1, 1);
  asm.store(8, FP, left, reg(R1)).load(8, R2, FP, at).load(8, R4, FP, STACK.end);
  asm.move(R3, reg(R2)).alu('add', R3, 3).jumpIf(R3, 'above', reg(R4), done);
  copyAt(program, STACK.extension, 3, done);
  asm.load(1, R1, FP, STACK.extension).jumpIf(R1, 'equal', DHCP_OPTION_END, done);
  asm.load(8, R2, FP, at).move(R3, 1).jumpIf(R1, 'equal', DHCP_OPTION_PAD, option);
  asm.jumpIf(R1, 'equal', DHCP_OPTION_TYPE, given);
  asm.load(1, R3, FP, STACK.extension + 1).alu('add', R3, 2);
  asm.label(option).alu('add', R2, reg(R3)).store(8, FP, at, reg(R2)).jump(next).label(given);
  asm.load(1, R1, FP, STACK.extension + 1).jumpIf(R1, 'notEqual', 1, done);
  asm.load(1, R1, FP, STACK.extension + 2).jumpIf(R1, 'notEqual', DHCP_ACK, done);
  program.tell({
    ...{ kind: EventKind.Binding, detail: Snooped.Dhcp, mac: STACK.macKey },
    address: { at: address, bytes: 4 },
  });
  program.takeHost();
  asm.jump(done);
}

/** What of a UDP datagram its sender may send; whether it is of a service. On to `done`, or it ends. */
function checkUdp(program: NetworkProgram, bytes: 4 | 16, done: string): string {
  return program.tail(`udp.${bytes}`, () => {
    const { asm, path } = program;
    const server = bytes === 4 ? DHCP_SERVER_PORT : DHCPV6_SERVER_PORT;
    const other = asm.fresh('other');
    takePorts(program, done);
    asm.jumpIf(R2, 'equal', path.port, program.drop('drop.nested'));
    asm.jumpIf(R2, 'notEqual', server, other);
    program.mustServe(Service.Dhcp, done);
    asm.store(4, FP, PLACES.isService, 1).jump(done);
    asm.label(other).jumpIf(R1, 'notEqual', server, done);
    program.mustHaveFlag(FdbFlag.DhcpServer, program.drop('drop.rogue_dhcp'));
    if (bytes === 4) {
      takeClient(program, done);
      program.findPlace();
      asm.jumpIf(R0, 'equal', 0, done).load(4, R1, R0, FDB_PLACE.host);
      // Answered by broadcast, for want of an address: it was carried to where its client is.
      asm.jumpIf(R1, 'notEqual', 0, done).store(4, FP, PLACES.isService, 1);
      tellGiven(program, done);
    } else asm.jump(done);
  });
}

/** Floods of members go on to the others from here, but for what another one of us has sent on. Loses R0 to R5, R9. */
function replicate(program: NetworkProgram): void {
  const { asm } = program;
  const done = asm.fresh('replicated');
  const tos = STACK.tunnelKey + TUNNEL_KEY.tos;
  asm.load(4, R1, FP, PLACES.vtepFlags).alu32('and', R1, VtepFlag.Replicator);
  asm.jumpIf(R1, 'notEqual', 0, done).load(4, R1, FP, PLACES.isService);
  asm.jumpIf(R1, 'notEqual', 0, done).store(4, FP, PLACES.exceptHost, reg(R9));
  asm.load(1, R1, FP, tos).store(4, FP, PLACES.savedTos, reg(R1));
  if (program.path.dscp === 'uniform') asm.store(4, FP, PLACES.outerClass, 0);
  sendCopies(program, 'replica');
  program.unmark();
  asm.load(4, R1, FP, PLACES.savedTos).store(1, FP, tos, reg(R1));
  asm.label(done);
}

/** Where a frame that may come from there ends: at the bridge, where its destination is here. */
function toPort(program: NetworkProgram): string {
  return program.tail('port', () => {
    const { asm, path } = program;
    const [many, pass] = [asm.fresh('many'), asm.fresh('pass')];
    const [six, plain] = [asm.fresh('six'), asm.fresh('plain')];
    asm.load(1, R1, FP, STACK.frame).jumpIf(R1, 'anyBit', 1, many);
    program.takeMacAt(STACK.frame);
    program.findPlace();
    const unknown = program.dropAt(ingressIndex('drop.unknown_unicast'));
    asm.jumpIf(R0, 'equal', 0, path.bum === BumMode.None ? unknown : pass);
    asm.load(4, R1, R0, FDB_PLACE.host).jumpIf(R1, 'equal', 0, pass);
    asm.jump(program.dropAt(ingressIndex('drop.foreign_destination'))).label(many);
    if (path.bum === BumMode.None) onlyServices(program);
    const limited = ingressIndex('drop.flood_limited');
    program.withinRate(limited, path.floodsPerSecond, program.dropAt(limited));
    if (path.isReplicator) replicate(program);
    asm.label(pass).load(2, R1, FP, STACK.etherType);
    asm.jumpIf(R1, 'equal', swapped(ETHERTYPE.ipv6), six);
    asm.jumpIf(R1, 'notEqual', swapped(ETHERTYPE.ipv4), plain);
    takeTos(program);
    deliver(program, true);
    asm.label(six);
    takeClass(program);
    asm.label(plain);
    deliver(program, false);
  });
}

/** A number of 16 bits in network order, as a little-endian machine reads it. */
function swapped(word: number): number {
  return ((word & 0xff) << 8) | (word >>> 8);
}

/** A frame for many ends here unless it is of a service. Loses R1. */
function onlyServices(program: NetworkProgram): void {
  const { asm } = program;
  const [service, multicast] = [asm.fresh('service'), program.drop('drop.multicast')];
  asm.load(4, R1, FP, PLACES.isService).jumpIf(R1, 'notEqual', 0, service);
  for (const at of [0, 2, 4]) {
    asm.load(2, R1, FP, STACK.frame + at).jumpIf(R1, 'notEqual', 0xffff, multicast);
  }
  asm.jump(program.drop('drop.broadcast')).label(service);
}

function ipv4(program: NetworkProgram): void {
  const { asm } = program;
  const sized = asm.fresh('sized');
  program.ipv4Lengths(program.drop('drop.malformed'));
  checkHeader(program);
  checkFragment(program);
  keepIpv4(program);
  mustBeFree(program, IPV4_SOURCE);
  noTunnelInside(program);
  asm.jumpIf(R1, 'equal', PROTOCOL_UDP, checkUdp(program, 4, sized)).label(sized);
  checkSize(program);
  asm.jump(toPort(program));
}

function ipv6(program: NetworkProgram): void {
  const { asm } = program;
  const [sized, nd] = [asm.fresh('sized'), asm.fresh('nd')];
  takeIpv6(program);
  mustBeFree(program, IPV6_SOURCE);
  noTunnelInside(program);
  asm.jumpIf(R1, 'equal', PROTOCOL_UDP, checkUdp(program, 16, sized));
  branchToNd(program, nd);
  asm.label(sized);
  checkSize6(program);
  asm.jump(toPort(program)).label(nd);
  neighbours(program, sized);
}

/** A message of Neighbour Discovery: on to `done`, or it ends. */
function neighbours(program: NetworkProgram, done: string): void {
  const { asm, path } = program;
  const [advert, ofRouter] = [asm.fresh('advert'), asm.fresh('router')];
  takeNd(program, program.dropAt(FOREIGN_MAC));
  asm.load(1, R1, FP, STACK.neighbour).jumpIf(R1, 'equal', ND_NEIGHBOUR_SOLICIT, done);
  asm.jumpIf(R1, 'equal', ND_NEIGHBOUR_ADVERT, advert);
  asm.jumpIf(R1, 'notEqual', ND_ROUTER_SOLICIT, ofRouter);
  program.mustServe(Service.Router, done);
  asm.store(4, FP, PLACES.isService, 1).jump(done).label(ofRouter);
  program.mustHaveFlag(FdbFlag.Router, program.drop('drop.rogue_router'));
  // Where nothing is flooded it came to us alone, and is for all of ours.
  if (path.bum === BumMode.None) asm.store(4, FP, PLACES.isService, 1);
  asm.jump(done).label(advert);
  mustBeFree(program, { at: TARGET, bytes: 16 });
  asm.jump(done);
}

function arp(program: NetworkProgram): void {
  const { asm } = program;
  program.arp();
  program.mustBeSenderMac(STACK.l3 + 8, program.dropAt(FOREIGN_MAC));
  mustBeFree(program, { at: STACK.l3 + ARP.sender, bytes: 4 });
  asm.jump(toPort(program));
}

/** The program for what comes in by the device, as the kernel takes it. */
export function networkIngress(path: NetworkPath, maps: NetworkMaps): Uint8Array<ArrayBuffer> {
  const program = new NetworkProgram('ingress', path, maps);
  const { asm } = program;
  program.whenDropped(TOLD_DROPS, (detail) => {
    writeNews(asm, { kind: EventKind.Dropped, detail, host: true });
    endTold(program, TC_SHOT, detail);
  });
  passAnswers(program);
  program.begin();
  checkOuter(program);
  asm.store(4, FP, PLACES.isService, 0);
  program.frame({ arp: 'arp', ipv6: 'ipv6', other: 'other' }, () => {
    checkEthernet(program);
    checkSource(program);
  });
  ipv4(program);
  asm.label('arp');
  arp(program);
  asm.label('ipv6');
  ipv6(program);
  asm.label('other').load(4, R1, R6, SKB.length).alu('sub', R1, ETHERNET_BYTES);
  asm.jumpIf(R1, 'above', path.innerMtu, program.drop('drop.too_big')).jump(toPort(program));
  return program.build();
}
