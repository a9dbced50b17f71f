/**
 * Classifiers of tc: the hook that a device has for what comes in and goes out (clsact), and the
 * programs that are attached to it.
 * @module
 */
import { MessageWriter, readAttributes } from './codec.ts';
import { LITTLE, NetlinkError, type NetlinkSocket, NLM_F_CREATE, NLM_F_EXCL } from './socket.ts';

const RTM_NEWQDISC = 36;
const RTM_DELQDISC = 37;
const RTM_NEWTFILTER = 44;
const RTM_GETTFILTER = 46;
/** linux/rtnetlink.h, pkt_sched.h, pkt_cls.h. */
const TCA = { KIND: 1, OPTIONS: 2 } as const;
const TCA_BPF = { FD: 6, NAME: 7, FLAGS: 8, ID: 11 } as const;
const ACT_DIRECT = 1;
const CLSACT = 0xffff_fff1;
const CLSACT_HANDLE = 0xffff_0000;
const PARENT = { ingress: 0xffff_fff2, egress: 0xffff_fff3 } as const;
/** The first to be asked, before filters of others, and the one behind it. */
export const FilterPriority = { First: 1, Second: 2 } as const;
export type FilterPriority = (typeof FilterPriority)[keyof typeof FilterPriority];
const HANDLE = 1;
/** ETH_P_ALL in network order. */
const ALL_PROTOCOLS = 0x0300;
const TCMSG_BYTES = 20;

export type Hook = keyof typeof PARENT;

/** struct tcmsg: family, ifindex, handle, parent, info. */
function header(index: number, handle: number, parent: number, info: number): Buffer {
  const bytes = Buffer.alloc(TCMSG_BYTES);
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  view.setInt32(4, index, LITTLE);
  view.setUint32(8, handle, LITTLE);
  view.setUint32(12, parent, LITTLE);
  view.setUint32(16, info, LITTLE);
  return bytes;
}

/** What may be where the hooks of a device are: by its kind, `ingress` has the one for what comes in alone. */
function hooksOf(kind: 'clsact' | 'ingress', index: number): Buffer {
  const writer = new MessageWriter(header(index, CLSACT_HANDLE, CLSACT, 0));
  return writer.text(TCA.KIND, kind).build();
}

/**
 * Gives a device its hooks, unless it has them. Somebody's `ingress` qdisc in their place goes: it takes what is
 * attached at the egress for what comes in, too. @throws NetlinkError
 */
export async function addHooks(socket: NetlinkSocket, index: number): Promise<void> {
  const operation = `add clsact to link ${index}`;
  const add = () =>
    socket.request(operation, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, hooksOf('clsact', index));
  try {
    await add();
  } catch (error) {
    if (!(error instanceof NetlinkError && error.code === 'EEXIST')) throw error;
    if (await deleteIngress(socket, index)) await add();
  }
}

/** Takes an `ingress` qdisc off a device; false where what is there is of another kind. */
async function deleteIngress(socket: NetlinkSocket, index: number): Promise<boolean> {
  const operation = `delete the ingress qdisc of link ${index}`;
  try {
    await socket.request(operation, RTM_DELQDISC, 0, hooksOf('ingress', index));
    return true;
  } catch (error) {
    if (error instanceof NetlinkError && error.code === 'EINVAL') return false;
    throw error;
  }
}

/**
 * Attaches a program, by its descriptor, to a hook, in place of the one that is there: no packet meets
 * neither. @throws NetlinkError
 */
export async function attachProgram(
  socket: NetlinkSocket,
  index: number,
  hook: Hook,
  program: { fd: number; name: string; priority: FilterPriority },
): Promise<void> {
  const info = (program.priority << 16) | ALL_PROTOCOLS;
  const writer = new MessageWriter(header(index, HANDLE, PARENT[hook], info));
  writer.text(TCA.KIND, 'bpf').nested(TCA.OPTIONS, (options) => {
    options.u32(TCA_BPF.FD, program.fd).text(TCA_BPF.NAME, program.name);
    options.u32(TCA_BPF.FLAGS, ACT_DIRECT);
  });
  const operation = `attach ${program.name} to the ${hook} of link ${index}`;
  await socket.request(operation, RTM_NEWTFILTER, NLM_F_CREATE, writer.build());
}

/** Number of the program that {@link attachProgram} attached to a hook, 0 where there is none. */
export async function attachedProgram(
  socket: NetlinkSocket,
  index: number,
  hook: Hook,
  priority: FilterPriority,
): Promise<number> {
  const operation = `list the ${hook} filters of link ${index}`;
  const body = header(index, 0, PARENT[hook], 0);
  const ids = await socket.dump(operation, RTM_GETTFILTER, body, (payload) => {
    if (payload.length < TCMSG_BYTES) return undefined;
    const view = new DataView(payload.buffer, payload.byteOffset);
    const isOurs = view.getUint32(8, LITTLE) === HANDLE;
    if (!isOurs || view.getUint32(16, LITTLE) >>> 16 !== priority) return undefined;
    const options = readAttributes(payload, TCMSG_BYTES).get(TCA.OPTIONS);
    const id = options && readAttributes(options, 0).get(TCA_BPF.ID);
    return id && (LITTLE ? id.readUInt32LE(0) : id.readUInt32BE(0));
  });
  return ids[0] ?? 0;
}
