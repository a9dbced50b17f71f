/**
 * A copy of the packet for each flood target of a layer-2 network (head-end replication, RFC 8365 §5.1). Each leaves
 * by the network's device, and meets the program there: it bears a tunnel key of ours already.
 * @module
 */
import { egressIndex, eventIndex } from '../../table/counters.ts';
import { FLOOD_TARGETS_MAX } from '../../table/segment.ts';
import { reg } from '../assembler.ts';
import { Register, SKB, TC_OK, TUNNEL_KEY } from '../instructions.ts';
import { STACK } from '../link-program.ts';
import { beginTunnelKey, giveTunnelKey, OWN_ANSWER } from '../outward.ts';
import { FLOOD } from './network-path.ts';
import { type NetworkProgram, PLACES } from './network-program.ts';

const { R0, R1, R2, R3, R6, R8, R9, FP } = Register;

/** Beside {@link OWN_ANSWER}: a copy of ours, and one of what another host has sent. */
const COPY = 1 << 25;
const REPLICA = 1 << 26;
const TARGET_SHIFT = 3;

/** What of a tunnel key is the same wherever the frame goes. Loses R1. */
export function beginNetworkKey(program: NetworkProgram): void {
  const { asm, path } = program;
  if (path.dscp !== 'uniform') return beginTunnelKey(program);
  asm.load(4, R1, FP, PLACES.outerClass);
  beginTunnelKey(program, R1);
}

/** Sends a copy to each target but the host at `exceptHost`, 0 = to all. Loses R0 to R5, R8 and R9. */
export function sendCopies(program: NetworkProgram, of: 'flood' | 'replica'): void {
  const { asm, maps } = program;
  const [next, done, failed] = [asm.fresh('copy'), asm.fresh('copied'), asm.fresh('failed')];
  const bits = OWN_ANSWER | COPY | (of === 'replica' ? REPLICA : 0);
  program.markOwn();
  beginNetworkKey(program);
  asm.move(R8, 0).label(next).jumpIf(R8, 'aboveOrEqual', FLOOD_TARGETS_MAX, done);
  asm.loadMapValue(R1, maps.floods).load(4, R2, R1, FLOOD.count);
  asm.jumpIf(R8, 'aboveOrEqual', reg(R2), done);
  asm.move(R2, reg(R8)).alu('shiftLeft', R2, TARGET_SHIFT).alu('add', R1, reg(R2));
  asm.alu('add', R8, 1);
  asm.load(4, R9, R1, FLOOD.targets).jumpIf(R9, 'equal', 0, next);
  asm.load(4, R2, FP, PLACES.exceptHost).jumpIf(R9, 'equal', reg(R2), next);
  asm.load(4, R2, R1, FLOOD.targets + FLOOD.target.vni).alu32('or', R2, bits);
  giveTunnelKey(program, reg(R2), failed);
  asm.move(R1, reg(R6)).load(4, R2, R6, SKB.deviceIndex).move(R3, 0).call('cloneRedirect');
  asm.alu32('shiftRight', R0, 31).jumpIf(R0, 'equal', 0, next);
  // There was no memory for it, and it met no program: nobody else counts it.
  asm.label(failed).move(R2, 1);
  program.add(egressIndex('received'), R2);
  program.add(egressIndex('drop.send_error'), R2);
  asm.jump(next).label(done);
  program.takeSegments();
}

/** Before all else: a copy of ours has its tunnel key, and goes. The packet is at R1. Loses R0 to R5. */
export function passCopies(program: NetworkProgram): void {
  const { asm, path } = program;
  const main = asm.fresh('main');
  program.branchIfOwn(
    program.tail('copy', () => {
      const flooded = asm.fresh('flooded');
      asm.move(R1, reg(R6)).jumpIf(R0, 'notEqual', 0, main);
      // Read as of a packet that came in, of which we would be the sender.
      asm.load(4, R2, FP, STACK.tunnelKey + TUNNEL_KEY.remoteIpv4);
      asm.jumpIf32(R2, 'notEqual', path.local, main);
      asm.load(4, R2, FP, STACK.tunnelKey + TUNNEL_KEY.vni).alu32('and', R2, COPY);
      asm.jumpIf(R2, 'equal', 0, main);
      program.findCounters();
      program.count(egressIndex('received'));
      asm.load(4, R2, FP, STACK.tunnelKey + TUNNEL_KEY.vni).alu32('and', R2, REPLICA);
      asm.jumpIf(R2, 'equal', 0, flooded);
      program.count(eventIndex('replicated'));
      program.countBytes(egressIndex('receivedBytes'));
      asm.label(flooded);
      program.deliver(TC_OK);
    }),
  );
  asm.label(main);
}
