/**
 * Router advertisements of our own on the bridge (RFC 4861 §6.2): containers make themselves addresses of
 * the slice and hear the MTU. Who reads them of others is protected by the guard beside.
 * @module
 */
import { formatPrefix6 } from '../../../net/prefix6.ts';
import type { AdvertSpec } from '../../host/host.ts';
import { hasFields } from '../../store/link-spec.ts';
import type { Kind } from './kind.ts';

const SPEC_FIELDS: Readonly<Record<keyof AdvertSpec, string>> = {
  bridge: 'string',
  mac: 'number',
  lan: 'object',
  overlay: 'object',
  routed: 'boolean',
  mtu: 'number',
};

export type AdvertsChange = { kind: 'adverts'; adverts: AdvertSpec };

export const adverts: Kind<AdvertsChange> = {
  fields: { adverts: 'object' },
  isWhole: ({ adverts }) => hasFields(adverts, SPEC_FIELDS),
  describe({ adverts: { lan, bridge, mtu } }) {
    return `announce ${formatPrefix6(lan)} and MTU ${mtu} to containers on ${bridge}`;
  },
  async apply({ adverts }, _memo, { host }) {
    host.announce(adverts);
  },
  async missing({ adverts }, _memo, { host }) {
    return host.isAnnouncing(adverts) ? [] : [`router advertisements on ${adverts.bridge}`];
  },
  async undo({ adverts }, _memo, { host }) {
    host.withdraw(adverts.bridge);
  },
};
