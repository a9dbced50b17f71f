/**
 * What a loop is given of the world around it.
 * @module
 */
import type { FlowSet } from '../shm/flow-set.ts';
import type { Changes } from './changes.ts';
import type { Ports } from './ground/ports.ts';
import type { Handover } from './handover.ts';
import type { RouteProbes } from './link-set.ts';
import type { RouteOracle } from './send/path-mtu.ts';

/** What a loop supposes beyond its descriptors: a warm-up has another world than a host. */
export type Outside = {
  ports: Ports;
  /** Family of the IPv4 addresses that are sent to. */
  family: number;
  /** Who knows the ways from our addresses. */
  routes: RouteOracle & RouteProbes;
  /** Where changes of the links come from while it runs. */
  changes?: Changes;
  /** Connections that all data processes know. */
  flows?: FlowSet;
  /** How a successor of a control that died takes over from this process. */
  handover?: Handover;
};

/** Does a little of it; false = that was the last. */
export type IdleWork = () => boolean;
