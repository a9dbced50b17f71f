/**
 * How each userspace peer is configured for two hosts.
 * @module
 */
import { execFileSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import type { LabHost } from '../src/demo/lab.ts';
import type { PeerPackages } from './peer-packages.ts';

const PORT = 5000;
const PEER_LOG = 'peer.log';
const LAST_WORDS_MAX = 300;

/** How one peer is started at one end. */
export type PeerEnd = {
  host: LabHost;
  /** 0 or 1; the other end is `1 - index`. */
  index: 0 | 1;
  underlay: readonly [string, string];
  overlay: readonly [string, string];
  device: string;
  /** A folder of this end, removed afterwards. */
  folder: string;
  packages: PeerPackages;
};

export type PeerSetup = {
  key: string;
  title: string;
  /** Debian package; its version is the one that is shown. */
  package: string;
  programs: readonly string[];
  mtu: number;
  /** True when the program itself gives the device its address. */
  addresses: boolean;
  /** Starts both ends. */
  start(ends: readonly [PeerEnd, PeerEnd]): Promise<void>;
  /** Gives back what it took of a host; its programs have ended. */
  undo?(end: PeerEnd): Promise<void>;
};

const programOf = ({ packages }: PeerEnd, name: string): string => packages.program(name) ?? name;

/** Starts a program in the end's namespace; it ends with the namespace. What it prints is kept. */
function launch(end: PeerEnd, name: string, args: readonly string[], env = {}): void {
  const log = openSync(join(end.folder, PEER_LOG), 'a');
  try {
    end.host.spawn(programOf(end, name), args, {
      stdio: ['ignore', log, log],
      cwd: end.folder,
      env: { ...process.env, ...env },
    });
  } finally {
    closeSync(log);
  }
}

/** What an end's programs said last, for whoever wonders why there is no tunnel; '' = nothing. */
export function lastWordsOf({ folder }: PeerEnd): string {
  const path = join(folder, PEER_LOG);
  if (!existsSync(path)) return '';
  const lines = readFileSync(path, 'utf8').trim().split('\n');
  return (lines.at(-1) ?? '').slice(0, LAST_WORDS_MAX);
}

const other = (end: PeerEnd) => ({
  underlay: end.underlay[1 - end.index] ?? '',
  overlay: end.overlay[1 - end.index] ?? '',
});
const own = (end: PeerEnd) => ({
  underlay: end.underlay[end.index],
  overlay: end.overlay[end.index],
});

async function startWireguard(ends: readonly [PeerEnd, PeerEnd]): Promise<void> {
  const keys = ends.map(() => {
    const { d = '', x = '' } = generateKeyPairSync('x25519').privateKey.export({ format: 'jwk' });
    const hex = (text: string) => Buffer.from(text, 'base64url').toString('hex');
    return { secret: hex(d), public: hex(x) };
  });
  for (const end of ends) launch(end, 'wireguard-go', ['-f', end.device]);
  for (const end of ends) {
    const lines = [
      'set=1',
      `private_key=${keys[end.index]?.secret}`,
      `listen_port=${PORT}`,
      `public_key=${keys[1 - end.index]?.public}`,
      `endpoint=${other(end).underlay}:${PORT}`,
      'allowed_ip=0.0.0.0/0',
    ];
    await tellWireguard(`/var/run/wireguard/${end.device}.sock`, `${lines.join('\n')}\n\n`);
  }
}

/** Speaks wireguard's configuration protocol on its socket, once the socket is there. */
async function tellWireguard(path: string, request: string): Promise<void> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await new Promise<void>((resolve, reject) => {
        const socket = connect(path, () => socket.write(request));
        socket.setTimeout(2000, () => socket.destroy(new Error('wireguard-go does not answer')));
        socket.on('error', reject);
        socket.once('data', (answer) => {
          socket.destroy();
          if (answer.includes('errno=0')) resolve();
          else reject(new Error(`wireguard-go: ${answer.toString().trim()}`));
        });
      });
    } catch (error) {
      if (attempt === 40) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

async function startTinc(ends: readonly [PeerEnd, PeerEnd]): Promise<void> {
  const name = (index: number) => `host${index}`;
  const publics = ends.map((end) => {
    mkdirSync(join(end.folder, 'hosts'));
    const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const config = [
      `Name = ${name(end.index)}`,
      `Interface = ${end.device}`,
      'AddressFamily = ipv4',
      `ConnectTo = ${name(1 - end.index)}`,
    ];
    writeFileSync(join(end.folder, 'tinc.conf'), `${config.join('\n')}\n`);
    const pem = { type: 'pkcs1', format: 'pem' } as const;
    writeFileSync(join(end.folder, 'rsa_key.priv'), privateKey.export(pem), { mode: 0o600 });
    return publicKey.export(pem);
  });
  for (const end of ends) {
    for (const index of [0, 1] as const) {
      const lines = [
        `Address = ${end.underlay[index]} ${PORT}`,
        `Port = ${PORT}`,
        `Subnet = ${end.overlay[index]}/32`,
        'Cipher = none',
        'Digest = none',
        'Compression = 0',
        String(publics[index]),
      ];
      writeFileSync(join(end.folder, 'hosts', name(index)), lines.join('\n'));
    }
    const pid = join(end.folder, 'pid');
    launch(end, 'tincd', ['-c', end.folder, '-D', `--pidfile=${pid}`]);
  }
}

async function startVtun(ends: readonly [PeerEnd, PeerEnd]): Promise<void> {
  const [client, server] = ends;
  for (const end of ends) {
    const session = `bench {
  passwd none; type tun; proto udp; device ${end.device};
  encrypt no; compress no; keepalive yes; up { }; down { };
}`;
    writeFileSync(join(end.folder, 'conf'), `options { port ${PORT}; }\n${session}\n`);
  }
  launch(server, 'vtund', ['-s', '-n', '-f', join(server.folder, 'conf'), '-P', String(PORT)]);
  await new Promise((resolve) => setTimeout(resolve, 300));
  const at = own(server).underlay;
  launch(client, 'vtund', [
    '-n',
    '-f',
    join(client.folder, 'conf'),
    '-P',
    String(PORT),
    'bench',
    at,
  ]);
}

async function startFastd(ends: readonly [PeerEnd, PeerEnd]): Promise<void> {
  const keys = ends.map((end) => {
    const text = execFileSync(programOf(end, 'fastd'), ['--generate-key'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const hex = (label: string) => new RegExp(`${label}: ([0-9a-f]{64})`).exec(text)?.[1] ?? '';
    return { secret: hex('Secret'), public: hex('Public') };
  });
  for (const end of ends) {
    const config = `interface "${end.device}";
mode tun;
method "null";
mtu 1426;
bind ${own(end).underlay}:${PORT};
secret "${keys[end.index]?.secret}";
peer "other" { remote ${other(end).underlay} port ${PORT}; key "${keys[1 - end.index]?.public}"; }
`;
    const path = join(end.folder, 'conf');
    writeFileSync(path, config, { mode: 0o600 });
    launch(end, 'fastd', ['--config', path]);
  }
}

async function startOpenvpn(ends: readonly [PeerEnd, PeerEnd]): Promise<void> {
  for (const end of ends) {
    const args = ['--dev', end.device, '--dev-type', 'tun', '--proto', 'udp', '--disable-dco'];
    args.push('--local', own(end).underlay, '--remote', other(end).underlay, '--port', `${PORT}`);
    args.push('--ifconfig', own(end).overlay, other(end).overlay, '--auth', 'none');
    args.push('--cipher', 'none', '--data-ciphers-fallback', 'none', '--verb', '1');
    args.push('--allow-deprecated-insecure-static-crypto');
    launch(end, 'openvpn', args);
  }
}

async function startNebula(ends: readonly [PeerEnd, PeerEnd]): Promise<void> {
  const [first] = ends;
  const cert = (args: string[]) => {
    execFileSync(programOf(first, 'nebula-cert'), args, { cwd: first.folder, stdio: 'ignore' });
  };
  cert(['ca', '-name', 'bench']);
  for (const end of ends) {
    cert(['sign', '-name', `host${end.index}`, '-ip', `${own(end).overlay}/24`]);
  }
  for (const end of ends) {
    const file = (name: string) => JSON.stringify(join(first.folder, name));
    const config = `pki: { ca: ${file('ca.crt')}, cert: ${file(`host${end.index}.crt`)}, key: ${file(`host${end.index}.key`)} }
static_host_map: { "${other(end).overlay}": ["${other(end).underlay}:${PORT}"] }
lighthouse: { am_lighthouse: false }
listen: { host: 0.0.0.0, port: ${PORT} }
tun: { dev: ${end.device}, mtu: 1400, tx_queue: 1000 }
firewall:
  outbound: [ { port: any, proto: any, host: any } ]
  inbound: [ { port: any, proto: any, host: any } ]
`;
    const path = join(end.folder, 'config.yml');
    writeFileSync(path, config);
    launch(end, 'nebula', ['-config', path]);
  }
}

/** How long edges of n2n take to find the direct way, once they have heard of each other, ms. */
const N2N_PUNCH_MS = 3000;
const N2N_SUPERNODE_PORT = 7654;

/** Both are edges, and the first host is their supernode as well; packets go directly. */
async function startN2n(ends: readonly [PeerEnd, PeerEnd]): Promise<void> {
  const [first] = ends;
  const asRoot = ['-f', '-u', '0', '-g', '0'];
  launch(first, 'supernode', ['-p', String(N2N_SUPERNODE_PORT), ...asRoot]);
  for (const end of ends) {
    const { underlay, overlay } = own(end);
    const args = ['-d', end.device, '-a', `static:${overlay}/24`, '-c', 'bench', '-M', '1400'];
    args.push('-A1', '-l', `${own(first).underlay}:${N2N_SUPERNODE_PORT}`);
    launch(end, 'edge', [...args, '-e', `${underlay}`, '-p', String(PORT), ...asRoot]);
  }
  await new Promise((resolve) => setTimeout(resolve, N2N_PUNCH_MS));
}

const OVS_UNDERLAY_BRIDGE = 'underlay';
const OVS_SCHEMA = 'usr/share/openvswitch/vswitch.ovsschema';

/**
 * Open vSwitch with its userspace datapath sends tunnel packets by a bridge of its own that has the
 * underlay's device as a port and the underlay's address.
 */
async function startOpenvswitch(ends: readonly [PeerEnd, PeerEnd]): Promise<void> {
  for (const end of ends) {
    const { host, folder, device } = end;
    const env = { OVS_RUNDIR: folder, OVS_LOGDIR: folder, OVS_DBDIR: folder };
    const socket = join(folder, 'db.sock');
    const run = (name: string, args: string[]) =>
      execFileSync(programOf(end, name), args, {
        stdio: 'ignore',
        env: { ...process.env, ...env },
        timeout: 10_000,
      });
    const schema = end.packages.file('openvswitch-switch', OVS_SCHEMA);
    run('ovsdb-tool', ['create', join(folder, 'conf.db'), schema]);
    const control = `--unixctl=${join(folder, 'db.ctl')}`;
    launch(
      end,
      'ovsdb-server',
      [join(folder, 'conf.db'), `--remote=punix:${socket}`, control],
      env,
    );
    for (let look = 0; look < 100 && !existsSync(socket); look += 1) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const configure = (...args: string[]) => run('ovs-vsctl', [`--db=unix:${socket}`, ...args]);
    configure('--no-wait', 'init');
    launch(end, 'ovs-vswitchd', [`unix:${socket}`, `--unixctl=${join(folder, 'ctl')}`], env);
    const add = (bridge: string, port: string, ...more: string[]) => {
      const kind = ['--', 'set', 'bridge', bridge, 'datapath_type=netdev'];
      configure('add-br', bridge, ...kind, '--', 'add-port', bridge, port, ...more);
    };
    const far = `options:remote_ip=${other(end).underlay}`;
    add(OVS_UNDERLAY_BRIDGE, 'eth0');
    add(device, 'vx0', '--', 'set', 'interface', 'vx0', 'type=vxlan', far, 'options:key=7');
    await host.netlink.deleteAddress('eth0', host.address, host.length);
    await host.netlink.setLink(OVS_UNDERLAY_BRIDGE, { up: true });
    await host.netlink.addAddress(OVS_UNDERLAY_BRIDGE, host.address, host.length);
  }
}

/** Its devices outlive it; the address goes back to where it was. */
async function undoOpenvswitch({ host }: PeerEnd): Promise<void> {
  for (const name of [OVS_UNDERLAY_BRIDGE, 'ovs-netdev']) {
    if ((await host.netlink.findLink(name)) !== undefined) await host.netlink.deleteLink(name);
  }
  const addresses = await host.netlink.addresses('eth0');
  if (addresses.some(({ address }) => address === host.address)) return;
  await host.netlink.addAddress('eth0', host.address, host.length);
}

export const peerSetups: readonly PeerSetup[] = [
  {
    key: 'wireguard',
    title: 'wireguard-go',
    package: 'wireguard-go',
    programs: ['wireguard-go'],
    mtu: 1420,
    addresses: false,
    start: startWireguard,
  },
  {
    key: 'tinc',
    title: 'tinc, no cipher',
    package: 'tinc',
    programs: ['tincd'],
    mtu: 1400,
    addresses: false,
    start: startTinc,
  },
  {
    key: 'vtun',
    title: 'vtun, UDP',
    package: 'vtun',
    programs: ['vtund'],
    mtu: 1450,
    addresses: false,
    start: startVtun,
  },
  {
    key: 'fastd',
    title: 'fastd, null',
    package: 'fastd',
    programs: ['fastd'],
    mtu: 1426,
    addresses: false,
    start: startFastd,
  },
  {
    key: 'openvpn',
    title: 'OpenVPN, no cipher',
    package: 'openvpn',
    programs: ['openvpn'],
    mtu: 1472,
    addresses: true,
    start: startOpenvpn,
  },
  {
    key: 'nebula',
    title: 'nebula',
    package: 'nebula',
    programs: ['nebula', 'nebula-cert'],
    mtu: 1400,
    addresses: true,
    start: startNebula,
  },
  {
    key: 'n2n',
    title: 'n2n, no cipher',
    package: 'n2n',
    programs: ['edge', 'supernode'],
    mtu: 1400,
    addresses: true,
    start: startN2n,
  },
  {
    key: 'openvswitch',
    title: 'Open vSwitch, userspace VXLAN',
    package: 'openvswitch-switch',
    programs: ['ovs-vswitchd', 'ovsdb-server', 'ovsdb-tool', 'ovs-vsctl'],
    mtu: 1450,
    addresses: false,
    start: startOpenvswitch,
    undo: undoOpenvswitch,
  },
];
