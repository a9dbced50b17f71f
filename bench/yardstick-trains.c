/*
 * The yardstick with offloads: the same tunnel as yardstick.c's in UDP, but super-packets are read from the
 * device and cut into trains (UDP_SEGMENT), trains are received whole (UDP_GRO) and joined to super-packets
 * again, and small packets of one length share a send. Inner checksums are computed and verified; nothing
 * else is checked, there is one peer, one socket and no table. What fanway does beside this is its own cost.
 *
 *   yardstick-trains DEVICE LOCAL REMOTE
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif
#define PORT 5000
#define BURST 64
#define SLOT_BYTES (66 * 1024)
#define TRAIN_BYTES_MAX 65000
#define TRAIN_SEGMENTS_MAX 64
#define HEADER_BYTES_MAX 128
#define SOCKET_BUFFER_BYTES (4 << 20)
#define JOINED_BYTES_MAX 65000

typedef struct virtio_net_hdr Vnet;

static uint8_t slots[BURST][SLOT_BYTES];
static int device, tunnel;

static int fail(const char *what) {
  perror(what);
  return 1;
}

/* Sum of bytes in network order, not folded. */
static uint64_t add(const uint8_t *bytes, size_t length, uint64_t sum) {
  size_t at = 0;
  for (; at + 4 <= length; at += 4) {
    uint32_t word;
    memcpy(&word, bytes + at, 4);
    sum += word;
  }
  uint32_t rest = 0;
  memcpy(&rest, bytes + at, length - at);
  return sum + rest;
}

static uint16_t fold(uint64_t sum) {
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return (uint16_t)sum;
}

/* The pseudo header of IPv4 for `bytes` of transport. */
static uint64_t pseudo(const uint8_t *ip, size_t bytes) {
  return add(ip + 12, 8, 0) + htons((uint16_t)ip[9]) + htons((uint16_t)bytes);
}

static size_t checksum_offset(uint8_t protocol) { return protocol == IPPROTO_TCP ? 16 : 6; }

static void finish_ip(uint8_t *ip, size_t total) {
  struct iphdr *header = (struct iphdr *)ip;
  header->tot_len = htons((uint16_t)total);
  header->check = 0;
  header->check = (uint16_t)~fold(add(ip, header->ihl * 4u, 0));
}

/* One train: what is to be sent in one call. */
static struct iovec train[2 * TRAIN_SEGMENTS_MAX];
static uint8_t headers[TRAIN_SEGMENTS_MAX][HEADER_BYTES_MAX];
static size_t train_pieces, train_segments, train_bytes, train_length;
static int train_ended;

static void send_train(void) {
  if (train_segments == 0) return;
  struct msghdr message = {.msg_iov = train, .msg_iovlen = train_pieces};
  union {
    char bytes[CMSG_SPACE(sizeof(uint16_t))];
    struct cmsghdr align;
  } control;
  if (train_segments > 1) {
    memset(&control, 0, sizeof control);
    message.msg_control = control.bytes;
    message.msg_controllen = sizeof control.bytes;
    struct cmsghdr *item = CMSG_FIRSTHDR(&message);
    item->cmsg_level = IPPROTO_UDP;
    item->cmsg_type = UDP_SEGMENT;
    item->cmsg_len = CMSG_LEN(sizeof(uint16_t));
    uint16_t length = (uint16_t)train_length;
    memcpy(CMSG_DATA(item), &length, sizeof length);
  }
  /* What the socket cannot take is lost, as in any tunnel. */
  (void)!sendmsg(tunnel, &message, 0);
  train_pieces = train_segments = train_bytes = 0;
  train_ended = 0;
}

/* Room for a segment of `bytes`: sends what does not go with it first; returns its scratch. */
static uint8_t *begin_segment(size_t bytes) {
  if (train_segments > 0 &&
      (train_ended || bytes > train_length || train_segments == TRAIN_SEGMENTS_MAX ||
       train_bytes + bytes > TRAIN_BYTES_MAX)) {
    send_train();
  }
  if (train_segments == 0) train_length = bytes;
  if (bytes < train_length) train_ended = 1;
  train_bytes += bytes;
  return headers[train_segments++];
}

static void piece(uint8_t *bytes, size_t length) {
  if (length > 0) train[train_pieces++] = (struct iovec){bytes, length};
}

static void cut(uint8_t *ip, size_t total, size_t segment) {
  size_t ip_bytes = (ip[0] & 15) * 4u;
  size_t header = ip_bytes + (size_t)(ip[ip_bytes + 12] >> 4) * 4;
  if (header > HEADER_BYTES_MAX || header > total || segment == 0) return;
  const struct tcphdr *first = (const struct tcphdr *)(ip + ip_bytes);
  uint32_t sequence = ntohl(first->seq);
  uint16_t id = ntohs(((const struct iphdr *)ip)->id);
  for (size_t at = header, i = 0; at < total; at += segment, i++) {
    size_t bytes = total - at < segment ? total - at : segment;
    uint8_t *scratch = begin_segment(header + bytes);
    memcpy(scratch, ip, header);
    ((struct iphdr *)scratch)->id = htons((uint16_t)(id + i));
    finish_ip(scratch, header + bytes);
    struct tcphdr *tcp = (struct tcphdr *)(scratch + ip_bytes);
    tcp->seq = htonl(sequence + (uint32_t)(at - header));
    if (at + bytes < total) tcp->fin = tcp->psh = 0;
    tcp->check = 0;
    size_t transport = header - ip_bytes + bytes;
    uint64_t sum = add((uint8_t *)tcp, header - ip_bytes, pseudo(scratch, transport));
    tcp->check = (uint16_t)~fold(add(ip + at, bytes, sum));
    piece(scratch, header);
    piece(ip + at, bytes);
  }
}

static void egress(void) {
  int read_count = 0;
  for (; read_count < BURST; read_count++) {
    uint8_t *slot = slots[read_count];
    ssize_t length = read(device, slot, SLOT_BYTES);
    if (length <= (ssize_t)sizeof(Vnet)) break;
    Vnet *vnet = (Vnet *)slot;
    uint8_t *ip = slot + sizeof(Vnet);
    size_t total = (size_t)length - sizeof(Vnet);
    int type = vnet->gso_type & ~VIRTIO_NET_HDR_GSO_ECN;
    if (type == VIRTIO_NET_HDR_GSO_TCPV4) {
      cut(ip, total, vnet->gso_size);
      continue;
    }
    if (vnet->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
      size_t start = vnet->csum_start, field = start + vnet->csum_offset;
      if (field + 2 <= total) {
        uint16_t sum = (uint16_t)~fold(add(ip + start, total - start, 0));
        memcpy(ip + field, &sum, 2);
      }
    }
    begin_segment(total);
    piece(ip, total);
  }
  send_train();
}

/* Segments of one flow that wait to be written in one piece. */
static struct iovec joined[2 + 2 * TRAIN_SEGMENTS_MAX];
static Vnet joined_vnet;
static uint8_t *joined_ip;
static size_t joined_pieces, joined_count, joined_payload, joined_segment, joined_header;
static uint32_t joined_next;
static int joined_ended;

static void write_joined(void) {
  if (joined_count == 0) return;
  memset(&joined_vnet, 0, sizeof joined_vnet);
  if (joined_count > 1) {
    size_t ip_bytes = (joined_ip[0] & 15) * 4u;
    size_t total = joined_header + joined_payload;
    uint8_t protocol = joined_ip[9];
    finish_ip(joined_ip, total);
    if (protocol == IPPROTO_UDP) {
      ((struct udphdr *)(joined_ip + ip_bytes))->len = htons((uint16_t)(total - ip_bytes));
    }
    uint16_t sum = fold(pseudo(joined_ip, total - ip_bytes));
    memcpy(joined_ip + ip_bytes + checksum_offset(protocol), &sum, 2);
    joined_vnet = (Vnet){
        .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
        .gso_type = protocol == IPPROTO_TCP ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_UDP_L4,
        .hdr_len = (uint16_t)joined_header,
        .gso_size = (uint16_t)joined_segment,
        .csum_start = (uint16_t)ip_bytes,
        .csum_offset = (uint16_t)checksum_offset(protocol),
    };
  } else {
    joined_vnet.flags = VIRTIO_NET_HDR_F_DATA_VALID;
  }
  joined[0] = (struct iovec){&joined_vnet, sizeof joined_vnet};
  (void)!writev(device, joined, (int)joined_pieces);
  joined_count = 0;
}

static void write_plain(uint8_t *ip, size_t total) {
  write_joined();
  Vnet vnet = {0};
  struct iovec pieces[2] = {{&vnet, sizeof vnet}, {ip, total}};
  (void)!writev(device, pieces, 2);
}

static int goes_on(const uint8_t *ip, size_t ip_bytes, size_t header, size_t payload) {
  if (joined_count == 0 || joined_ended || joined_count == TRAIN_SEGMENTS_MAX) return 0;
  if (header != joined_header || payload > joined_segment) return 0;
  if (joined_header + joined_payload + payload > JOINED_BYTES_MAX) return 0;
  if (ip[9] != joined_ip[9] || ip[1] != joined_ip[1] || ip[8] != joined_ip[8]) return 0;
  if (memcmp(ip + 12, joined_ip + 12, 12) != 0) return 0;
  if (ip[9] == IPPROTO_UDP) return 1;
  const struct tcphdr *tcp = (const struct tcphdr *)(ip + ip_bytes);
  const uint8_t *other = joined_ip + ip_bytes;
  if (ntohl(tcp->seq) != joined_next) return 0;
  if (tcp->ack_seq != ((const struct tcphdr *)other)->ack_seq) return 0;
  return memcmp(ip + ip_bytes + 20, other + 20, header - ip_bytes - 20) == 0;
}

static void deliver(uint8_t *ip, size_t total) {
  if (total < 20 || ip[0] >> 4 != 4) return write_plain(ip, total);
  size_t ip_bytes = (ip[0] & 15) * 4u;
  int is_tcp = ip[9] == IPPROTO_TCP;
  int is_fragment = (ip[6] & 0x3f) != 0 || ip[7] != 0;
  if ((!is_tcp && ip[9] != IPPROTO_UDP) || is_fragment || total < ip_bytes + (is_tcp ? 20 : 8)) {
    return write_plain(ip, total);
  }
  size_t header = ip_bytes + (is_tcp ? (size_t)(ip[ip_bytes + 12] >> 4) * 4 : 8);
  if (header > total) return;
  if (fold(add(ip + ip_bytes, total - ip_bytes, pseudo(ip, total - ip_bytes))) != 0xffff) return;
  size_t payload = total - header;
  const struct tcphdr *tcp = (const struct tcphdr *)(ip + ip_bytes);
  /* Only ACK and PSH may be joined; PSH ends what it is in. */
  int plain = !is_tcp || ((ip[ip_bytes + 13] & ~0x18) == 0 && payload > 0);
  if (!plain || !goes_on(ip, ip_bytes, header, payload)) {
    write_joined();
    joined_ip = ip;
    joined_header = header;
    joined_segment = payload;
    joined_payload = 0;
    joined_ended = !plain || payload == 0;
    joined[1] = (struct iovec){ip, header};
    joined_pieces = 2;
  } else if (is_tcp && tcp->psh) {
    ((struct tcphdr *)(joined_ip + ip_bytes))->psh = 1;
  }
  if (payload > 0) joined[joined_pieces++] = (struct iovec){ip + header, payload};
  joined_payload += payload;
  joined_count++;
  if (payload < joined_segment || (is_tcp && tcp->psh)) joined_ended = 1;
  if (is_tcp) joined_next = ntohl(tcp->seq) + (uint32_t)payload;
}

static void ingress(void) {
  static struct mmsghdr messages[BURST];
  static struct iovec places[BURST];
  static char controls[BURST][CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
  for (int i = 0; i < BURST; i++) {
    places[i] = (struct iovec){slots[i], SLOT_BYTES};
    messages[i].msg_hdr = (struct msghdr){.msg_iov = &places[i],
                                          .msg_iovlen = 1,
                                          .msg_control = controls[i],
                                          .msg_controllen = sizeof controls[i]};
  }
  int count = recvmmsg(tunnel, messages, BURST, MSG_DONTWAIT, NULL);
  for (int i = 0; i < count; i++) {
    size_t length = messages[i].msg_len, segment = length;
    for (struct cmsghdr *item = CMSG_FIRSTHDR(&messages[i].msg_hdr); item != NULL;
         item = CMSG_NXTHDR(&messages[i].msg_hdr, item)) {
      int bytes;
      if (item->cmsg_level != IPPROTO_UDP || item->cmsg_type != UDP_GRO) continue;
      memcpy(&bytes, CMSG_DATA(item), sizeof bytes);
      if (bytes > 0) segment = (size_t)bytes;
    }
    for (size_t at = 0; at < length; at += segment) {
      deliver(slots[i] + at, length - at < segment ? length - at : segment);
    }
  }
  write_joined();
}

int main(int argc, char **argv) {
  if (argc != 4) {
    fprintf(stderr, "usage: yardstick-trains DEVICE LOCAL REMOTE\n");
    return 2;
  }
  device = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
  if (device < 0) return fail("/dev/net/tun");
  struct ifreq request;
  memset(&request, 0, sizeof request);
  strncpy(request.ifr_name, argv[1], IFNAMSIZ - 1);
  request.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR;
  if (ioctl(device, TUNSETIFF, &request) < 0) return fail("TUNSETIFF");
  if (ioctl(device, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4) < 0) return fail("TUNSETOFFLOAD");

  tunnel = socket(AF_INET, SOCK_DGRAM, 0);
  if (tunnel < 0) return fail("socket");
  int bytes = SOCKET_BUFFER_BYTES, on = 1;
  setsockopt(tunnel, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
  setsockopt(tunnel, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes);
  if (setsockopt(tunnel, IPPROTO_UDP, UDP_GRO, &on, sizeof on) < 0) return fail("UDP_GRO");
  struct sockaddr_in local = {.sin_family = AF_INET, .sin_port = htons(PORT)};
  struct sockaddr_in remote = local;
  if (inet_pton(AF_INET, argv[2], &local.sin_addr) != 1) return 2;
  if (inet_pton(AF_INET, argv[3], &remote.sin_addr) != 1) return 2;
  if (bind(tunnel, (struct sockaddr *)&local, sizeof local) < 0) return fail("bind");
  if (connect(tunnel, (struct sockaddr *)&remote, sizeof remote) < 0) return fail("connect");

  struct pollfd ready[2] = {{.fd = device, .events = POLLIN}, {.fd = tunnel, .events = POLLIN}};
  for (;;) {
    if (poll(ready, 2, -1) < 0) return fail("poll");
    if (ready[0].revents != 0) egress();
    if (ready[1].revents != 0) ingress();
  }
}
