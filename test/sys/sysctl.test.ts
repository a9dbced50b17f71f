import t from 'tap';
import { readOffloads, setOffloads } from '../../src/sys/host/ethtool.ts';
import { readSysctl, SysctlError, writeSysctl } from '../../src/sys/host/sysctl.ts';
import { Netlink } from '../../src/sys/netlink/netlink.ts';
import { NetworkNamespace } from '../../src/sys/process/netns.ts';
import { skipWithoutNamespaces } from '../netns/privileges.ts';

const skip = skipWithoutNamespaces();

t.test('readSysctl()', async (t) => {
  t.match(readSysctl('net/ipv4/ip_forward'), /^[01]$/);
  t.equal(readSysctl('net/ipv4/no_such_key'), null);
  t.equal(readSysctl('net/ipv4/conf/no-such-if/rp_filter'), null);
  t.throws(() => readSysctl('../etc/passwd'), /not a sysctl key/);
  t.throws(() => readSysctl('net'), /not a sysctl key/);
  t.throws(() => readSysctl('net//x'), /not a sysctl key/);
});

t.test('writeSysctl() writes in the namespace of run()', { skip }, async (t) => {
  const before = readSysctl('net/ipv4/ip_forward');
  const namespace = NetworkNamespace.create();
  t.teardown(() => namespace.close());
  const netlink = Netlink.open(namespace);
  await netlink.createBridge('br0.5');
  netlink.close();
  namespace.run(() => {
    writeSysctl('net/ipv4/ip_forward', '1');
    t.equal(readSysctl('net/ipv4/ip_forward'), '1');
    writeSysctl('net/ipv4/conf/br0.5/rp_filter', '2');
    t.equal(readSysctl('net/ipv4/conf/br0.5/rp_filter'), '2');
    t.throws(() => writeSysctl('net/ipv4/ip_forward', 'x'), { code: 'EINVAL' });
    t.throws(() => writeSysctl('net/ipv4/conf/gone/rp_filter', '2'), SysctlError);
  });
  t.equal(readSysctl('net/ipv4/ip_forward'), before);
});

t.test('setOffloads() switches a veth', { skip }, async (t) => {
  const namespace = NetworkNamespace.create();
  const netlink = Netlink.open(namespace);
  t.teardown(() => {
    netlink.close();
    namespace.close();
  });
  await netlink.createVeth('a', 'b');
  namespace.run(() => {
    t.match(readOffloads('a'), { txChecksum: true, tso: true, gso: true });
    setOffloads('a', { txChecksum: false });
    t.match(readOffloads('a'), { txChecksum: false, tso: false });
    t.match(readOffloads('b'), { txChecksum: true });
    setOffloads('a', { txChecksum: true, tso: true });
    t.match(readOffloads('a'), { txChecksum: true, tso: true });
    t.throws(() => readOffloads('none'), { code: 'ENODEV' });
    t.throws(() => readOffloads('x'.repeat(16)), /interface name/);
  });
});
