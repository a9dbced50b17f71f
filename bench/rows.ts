/**
 * The rows of the result, in the order they are shown, and the bars that fanway is held to.
 * @module
 */

export type Row = {
  key: string;
  title: string;
  unit: string;
  better: 'more' | 'less';
  /** Whether a chart is drawn of it. */
  chart: boolean;
};

export const rows: readonly Row[] = [
  { key: 'tcp1', title: 'TCP, 1 stream', unit: 'Gb/s', better: 'more', chart: true },
  { key: 'tcp4', title: 'TCP, 4 streams', unit: 'Gb/s', better: 'more', chart: true },
  { key: 'tcpReverse', title: 'TCP, 1 stream, reverse', unit: 'Gb/s', better: 'more', chart: true },
  {
    key: 'tcpContainers',
    title: 'TCP, container to container',
    unit: 'Gb/s',
    better: 'more',
    chart: true,
  },
  ...[
    ['udpContainers', '64-byte UDP, 1 flow, container to container', 'pps', 'more'],
    ['udpContainersFlows', '64-byte UDP, 64 flows, container to container', 'pps', 'more'],
    ['echoContainers', 'ping -f, container to container', 'us', 'less'],
    ['cpuPerGbContainers', 'CPU per GB of TCP, container to container', 's', 'less'],
  ].map(
    ([key = '', title = '', unit = '', better]): Row => ({
      ...{ key, title, unit, chart: false },
      better: better === 'more' ? 'more' : 'less',
    }),
  ),
  {
    key: 'tcpHop',
    title: 'TCP over a hop that segments',
    unit: 'Gb/s',
    better: 'more',
    chart: true,
  },
  {
    key: 'tcpLossy',
    title: 'TCP (cubic), 1 % loss on the underlay',
    unit: 'Gb/s',
    better: 'more',
    chart: true,
  },
  {
    key: 'tcpLossyBbr',
    title: 'TCP (BBR), 1 % loss on the underlay',
    unit: 'Gb/s',
    better: 'more',
    chart: true,
  },
  {
    key: 'udp1',
    title: '64-byte UDP, 1 flow, < 1 % loss',
    unit: 'pps',
    better: 'more',
    chart: true,
  },
  {
    key: 'udp64Flows',
    title: '64-byte UDP, 64 flows, < 1 % loss',
    unit: 'pps',
    better: 'more',
    chart: true,
  },
  {
    key: 'udp16Peers',
    title: '64-byte UDP, 64 flows to 16 peers, < 1 % loss',
    unit: 'pps',
    better: 'more',
    chart: true,
  },
  {
    key: 'udp10kFlows',
    title: '64-byte UDP, 10,000 flows, < 1 % loss',
    unit: 'pps',
    better: 'more',
    chart: false,
  },
  {
    key: 'udpOverload',
    title: '64-byte UDP delivered at overload',
    unit: 'pps',
    better: 'more',
    chart: true,
  },
  {
    key: 'floodFirst',
    title: '64 flows flood, the first after the start',
    unit: 'pps',
    better: 'more',
    chart: false,
  },
  { key: 'floodLoss', title: 'lost of that flood', unit: '%', better: 'less', chart: false },
  { key: 'floodPingLoss', title: 'pings lost beside it', unit: '%', better: 'less', chart: false },
  { key: 'floodPingP99', title: 'ping p99 beside it', unit: 'ms', better: 'less', chart: false },
  ...[
    ['overloadShare', '64 flows flood, share of the best rate without loss', '', 'more'],
    ['overloadShareFirst', 'the same of the first after the start', '', 'more'],
    ['overloadPingLoss', 'pings lost beside a later one', '%', 'less'],
    ['overloadPingP99', 'ping p99 beside a later one', 'ms', 'less'],
    ['overloadTcpBack', 'TCP against the flood, share of it alone', '', 'more'],
  ].map(
    ([key = '', title = '', unit = '', better]): Row => ({
      ...{ key, title, unit, chart: false },
      better: better === 'more' ? 'more' : 'less',
    }),
  ),
  {
    key: 'tcpBusy',
    title: 'TCP, 1 stream, beside 4 busy loops a core',
    unit: 'Gb/s',
    better: 'more',
    chart: false,
  },
  {
    key: 'arp',
    title: "ARP for the other host's container, median",
    unit: 'us',
    better: 'less',
    chart: false,
  },
  {
    key: 'arpLocal',
    title: "ARP for this host's bridge, median",
    unit: 'us',
    better: 'less',
    chart: false,
  },
  { key: 'echo', title: 'ping -f, average', unit: 'us', better: 'less', chart: true },
  { key: 'echoIdle', title: 'idle ping, average', unit: 'us', better: 'less', chart: true },
  {
    key: 'echoLoaded',
    title: 'ping p99 beside one TCP stream',
    unit: 'us',
    better: 'less',
    chart: false,
  },
  {
    key: 'cpuPerGb',
    title: 'CPU per GB of TCP, whole machine',
    unit: 's',
    better: 'less',
    chart: true,
  },
  { key: 'idleCpu', title: 'CPU while idle', unit: '% core', better: 'less', chart: false },
  { key: 'memory', title: 'memory, control and data', unit: 'MB', better: 'less', chart: false },
  { key: 'startMs', title: 'command to first packet', unit: 'ms', better: 'less', chart: false },
];

/**
 * A bar: the `variant`'s figure in `row`, divided by what `against` names (a variant's figure in
 * the same row, another row of the same variant, or nothing: the figure itself), has to reach it.
 */
export type Bar = {
  row: string;
  variant: string;
  against: { variant: string } | { row: string } | undefined;
  bar: number;
  goal: number;
};

const kernel = { variant: 'kernel' };

export const bars: readonly Bar[] = [
  { row: 'tcp1', variant: 'vxlan', against: kernel, bar: 0.55, goal: 0.8 },
  { row: 'tcp4', variant: 'vxlan', against: kernel, bar: 0.4, goal: 0.6 },
  { row: 'tcpReverse', variant: 'vxlan', against: kernel, bar: 0.55, goal: 0.8 },
  { row: 'tcpContainers', variant: 'vxlan', against: kernel, bar: 0.6, goal: 0.85 },
  { row: 'tcpContainers', variant: 'kernel-path', against: kernel, bar: 1, goal: 1.15 },
  { row: 'udpContainers', variant: 'kernel-path', against: kernel, bar: 1, goal: 1.15 },
  { row: 'udpContainersFlows', variant: 'kernel-path', against: kernel, bar: 1, goal: 1.15 },
  { row: 'echoContainers', variant: 'kernel-path', against: kernel, bar: 1.1, goal: 1 },
  { row: 'cpuPerGbContainers', variant: 'kernel-path', against: kernel, bar: 1, goal: 0.9 },
  { row: 'tcpContainers', variant: 'network', against: kernel, bar: 0.58, goal: 0.85 },
  { row: 'arp', variant: 'network', against: { row: 'arpLocal' }, bar: 1.5, goal: 1 },
  { row: 'tcpHop', variant: 'vxlan', against: kernel, bar: 1, goal: 1.2 },
  { row: 'tcpLossy', variant: 'vxlan', against: kernel, bar: 1, goal: 1.3 },
  { row: 'tcpLossyBbr', variant: 'vxlan', against: kernel, bar: 1, goal: 1.3 },
  { row: 'tcp1', variant: 'fou', against: kernel, bar: 0.5, goal: 0.8 },
  { row: 'tcp1', variant: 'ipip', against: { variant: 'c-ipip' }, bar: 3, goal: 6 },
  { row: 'tcp1', variant: 'fou-off', against: { variant: 'c-udp' }, bar: 0.6, goal: 1 },
  { row: 'udp1', variant: 'vxlan', against: kernel, bar: 1.4, goal: 2.4 },
  { row: 'udp64Flows', variant: 'vxlan', against: kernel, bar: 0.9, goal: 1.5 },
  { row: 'udp16Peers', variant: 'vxlan', against: kernel, bar: 0.8, goal: 1.2 },
  { row: 'udpOverload', variant: 'vxlan', against: { row: 'udp1' }, bar: 0.85, goal: 0.95 },
  { row: 'udp10kFlows', variant: 'vxlan', against: { row: 'udp1' }, bar: 0.9, goal: 1 },
  { row: 'echo', variant: 'vxlan', against: undefined, bar: 60, goal: 40 },
  { row: 'echoIdle', variant: 'vxlan', against: kernel, bar: 2, goal: 1.5 },
  { row: 'cpuPerGb', variant: 'vxlan', against: kernel, bar: 2.6, goal: 1.8 },
  { row: 'idleCpu', variant: 'vxlan', against: undefined, bar: 0.5, goal: 0.2 },
  { row: 'memory', variant: 'vxlan', against: undefined, bar: 130, goal: 90 },
  // 400 ms of it warm the code up.
  { row: 'startMs', variant: 'vxlan', against: undefined, bar: 1000, goal: 700 },
];
