// Links that the kernel forwards, and what of them is open here.
import { readdirSync } from 'node:fs';
import t, { type Test } from 'tap';
import { planFan } from '../../src/control/links/plan.ts';
import { KernelPlane } from '../../src/control/plane/kernel/kernel-plane.ts';
import { KernelPaths } from '../../src/control/plane/kernel/paths.ts';
import type { LinkSpec } from '../../src/control/store/link-spec.ts';
import { codeOf } from '../../src/errors.ts';
import { silentLog } from '../../src/log.ts';
import { linkToDevice, loadClassifier, mapsOfProgram } from '../../src/sys/bpf/bpf.ts';
import { whyNoKernelPath } from '../../src/sys/bpf/kernel-path.ts';
import { tcxPrograms } from '../../src/sys/bpf/tcx.ts';
import { check, libc } from '../../src/sys/libc/libc.ts';
import type { RouteRecord } from '../../src/sys/netlink/codec.ts';
import { Netlink } from '../../src/sys/netlink/netlink.ts';
import { closeDescriptor } from '../../src/sys/sockets/local-sockets.ts';
import { skipWithoutNamespaces } from '../netns/privileges.ts';
import { withDescriptorsLeft } from '../support/descriptors.ts';
import { plainHost, request } from './snapshots.ts';

const CLONE_NEWNET = 0x4000_0000;
/** r0 = 0, exit. */
const PASS = Uint8Array.of(0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0);

/** A way that is smaller than the device, and no route of anybody's says so. */
const LEARNED: RouteRecord = {
  ...{ dst: { address: 0xac1e_0001, length: 32 }, via: 0, oif: 2, src: 0, table: 254, metric: 0 },
  ...{ mtu: 1300, type: 'unicast', protocol: 0, scope: 0, hops: [], nextHopId: 0 },
};

const noNamespace = skipWithoutNamespaces();
// All of this process is there from here on: what looks at devices by number looks there.
if (noNamespace === false) check('unshare', libc.unshare(CLONE_NEWNET));

async function whyNot(): Promise<string | false> {
  if (noNamespace !== false) return noNamespace;
  const netlink = Netlink.open();
  const why = await whyNoKernelPath(netlink, 'frames').finally(() => netlink.close());
  if (why !== '') return why;
  return tcxPrograms(1, 'ingress') === undefined && 'needs Linux 6.6';
}

const skip = await whyNot();

function kernelSpec(): LinkSpec {
  const plan = planFan(request('250.0.0.0/8', 'eth0/16', { datapath: 'kernel' }), plainHost());
  if (plan.outcome !== 'changes') throw new TypeError(`the plan: ${plan.outcome}`);
  return plan.spec;
}

function openPlane(): KernelPlane {
  return new KernelPlane({ tell: () => undefined, kept: () => undefined, log: silentLog });
}

/** The underlay and the bridge of the link, until the end of the test. */
async function host(t: Test, spec: LinkSpec): Promise<Netlink> {
  const netlink = Netlink.open();
  await netlink.createVeth('eth0', 'far0');
  await netlink.addAddress('eth0', 0xac1e_001c, 16);
  await netlink.setLink('eth0', { up: true });
  await netlink.createBridge(spec.name);
  await netlink.setLink(spec.name, { up: true });
  t.teardown(async () => {
    for (const name of [spec.device, spec.name, 'eth0']) {
      if ((await netlink.findLink(name)) !== undefined) await netlink.deleteLink(name);
    }
    netlink.close();
  });
  return netlink;
}

/** Has others take all places at a hook of a device that are left; for as long as these descriptors are open. */
function fillHook(ifindex: number): number[] {
  const links: number[] = [];
  for (;;) {
    const program = loadClassifier(`other_${links.length}`, PASS);
    try {
      links.push(linkToDevice(ifindex, 'egress', program));
    } catch (error) {
      if (codeOf(error) === 'ERANGE') return links;
      throw error;
    } finally {
      closeDescriptor(program);
    }
  }
}

const descriptors = (): number => readdirSync('/proc/self/fd').length;

t.test('a link that goes while its way past the bridge is looked at', { skip }, async (t) => {
  const spec = kernelSpec();
  await host(t, spec);
  const failures: unknown[] = [];
  const note = (reason: unknown): void => void failures.push(reason);
  process.on('unhandledRejection', note);
  t.teardown(() => process.off('unhandledRejection', note));
  for (let steps = 0; steps < 12; steps++) {
    const plane = openPlane();
    // The look begins with the link.
    await plane.add(spec);
    for (let i = 0; i < steps; i++) await new Promise(setImmediate);
    plane.close();
    for (let i = 0; i < 50; i++) await new Promise(setImmediate);
  }
  t.strictSame(failures, [], 'nobody touches maps that are closed');
});

t.test('a link that cannot have its programs leaves nothing open', { skip }, async (t) => {
  const spec = kernelSpec();
  const netlink = await host(t, spec);
  const first = openPlane();
  const { ifindex } = await first.add(spec);
  first.close();
  for (const link of fillHook(ifindex)) t.teardown(() => closeDescriptor(link));
  const plane = openPlane();
  t.teardown(() => plane.close());
  const before = descriptors();
  await t.rejects(plane.add(spec), { name: 'SystemError' });
  t.equal(descriptors(), before);
  t.ok(await netlink.findLink(spec.device), 'the device was there before');
});

t.test('maps of a predecessor, of which not all can be opened', { skip }, async (t) => {
  const spec = kernelSpec();
  await host(t, spec);
  const plane = openPlane();
  t.teardown(() => plane.close());
  const { ifindex } = await plane.add(spec);
  const [program = 0] = tcxPrograms(ifindex, 'ingress') ?? [];
  let thrown: unknown;
  const rest = withDescriptorsLeft(4, () => {
    try {
      mapsOfProgram(program);
    } catch (error) {
      thrown = error;
    }
  });
  t.match(thrown, { code: 'EMFILE' });
  t.equal(rest, 4);
});

t.test('a path whose answer comes when its link is gone is not judged', async (t) => {
  const judged: string[] = [];
  let asked = 0;
  const paths = new KernelPaths({
    netlink: { routeTo: async () => LEARNED, routeMatching: async () => undefined },
    reports: () => ({
      async carries() {
        asked++;
        paths.close();
        return false;
      },
      forget: () => true,
    }),
    underlayMtu: () => 1500,
    judged: (what) => void judged.push(what),
  });
  paths.told(0xac1e_0001, LEARNED.mtu);
  await new Promise(setImmediate);
  t.equal(asked, 1);
  t.strictSame(judged, [], 'its maps are closed');
});

t.test(
  'what a killed router tried the kernel with is no obstacle, and goes',
  { skip },
  async (t) => {
    const [netlink, other] = [Netlink.open(), Netlink.open()];
    t.teardown(() => {
      netlink.close();
      other.close();
    });
    const leftovers = async () =>
      (await netlink.links())
        .filter(({ name }) => name.startsWith('fanway-'))
        .map(({ name }) => name);
    await netlink.createExternalVxlan('fanway-probe', { port: 9, mtu: 1500 });
    t.equal(await whyNoKernelPath(netlink, 'frames'), '');
    t.same(await leftovers(), []);
    // Two routers that try at the same time.
    for (let round = 0; round < 20; round++) {
      const both = [netlink, other].map((one) => whyNoKernelPath(one, 'frames'));
      t.same(await Promise.all(both), ['', '']);
    }
    t.same(await leftovers(), []);
  },
);
