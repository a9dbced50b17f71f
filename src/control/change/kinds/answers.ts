/**
 * The bridge of a network answers ARP for what is behind the tunnel device. For which addresses it does
 * comes and goes with those who ask (networks/kernel-answers.ts); what is left of them is taken back here.
 * @module
 */
import type { Kind } from './kind.ts';

export type AnswersChange = { kind: 'answers'; device: string; bridge: string };

export const answers: Kind<AnswersChange> = {
  fields: { device: 'string', bridge: 'string' },
  describe({ device, bridge }) {
    return `have ${bridge} answer ARP for what is behind ${device} (proxy_arp_wifi)`;
  },
  async apply({ device }, _memo, { host }) {
    await host.setLink(device, { answersArp: true });
  },
  async missing({ device, bridge }, _memo, { host }) {
    const port = (await host.links()).find(({ name }) => name === device);
    // While it is no port it can answer nothing; that is another piece.
    if (port === undefined || port.master === 0 || port.answersArp === true) return [];
    return [`ARP answered by ${bridge} for ${device}`];
  },
  async undo({ bridge }, _memo, { host }) {
    // The port's setting goes with its device.
    await host.forgetAnswers?.(bridge);
  },
};
