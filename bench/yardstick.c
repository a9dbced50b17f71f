/*
 * The plainest userspace tunnel there is: one packet a system call, nothing batched, no offloads,
 * no checks. The benchmark compiles it where there is a C compiler, as a yardstick.
 *
 *   yardstick DEVICE LOCAL REMOTE udp|ipip
 *
 * Makes the TUN device DEVICE and carries its packets to REMOTE (IPv4), inside UDP from and to
 * port 5000, or as IP protocol 4 (RFC 2003), whose outer header the kernel writes.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define PORT 5000
#define PACKET_BYTES_MAX 65536
#define SOCKET_BUFFER_BYTES (4 << 20)

static int fail(const char *what) {
  perror(what);
  return 1;
}

int main(int argc, char **argv) {
  static unsigned char packet[PACKET_BYTES_MAX];
  if (argc != 5) {
    fprintf(stderr, "usage: yardstick DEVICE LOCAL REMOTE udp|ipip\n");
    return 2;
  }
  int raw = strcmp(argv[4], "ipip") == 0;

  int device = open("/dev/net/tun", O_RDWR);
  if (device < 0) return fail("/dev/net/tun");
  struct ifreq request;
  memset(&request, 0, sizeof request);
  strncpy(request.ifr_name, argv[1], IFNAMSIZ - 1);
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  if (ioctl(device, TUNSETIFF, &request) < 0) return fail("TUNSETIFF");

  int tunnel = raw ? socket(AF_INET, SOCK_RAW, IPPROTO_IPIP) : socket(AF_INET, SOCK_DGRAM, 0);
  if (tunnel < 0) return fail("socket");
  int bytes = SOCKET_BUFFER_BYTES;
  setsockopt(tunnel, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
  setsockopt(tunnel, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes);
  struct sockaddr_in local = {.sin_family = AF_INET, .sin_port = htons(raw ? 0 : PORT)};
  struct sockaddr_in remote = local;
  if (inet_pton(AF_INET, argv[2], &local.sin_addr) != 1) return 2;
  if (inet_pton(AF_INET, argv[3], &remote.sin_addr) != 1) return 2;
  if (bind(tunnel, (struct sockaddr *)&local, sizeof local) < 0) return fail("bind");
  if (connect(tunnel, (struct sockaddr *)&remote, sizeof remote) < 0) return fail("connect");

  struct pollfd ready[2] = {{.fd = device, .events = POLLIN}, {.fd = tunnel, .events = POLLIN}};
  for (;;) {
    if (poll(ready, 2, -1) < 0) return fail("poll");
    if (ready[0].revents != 0) {
      ssize_t length = read(device, packet, sizeof packet);
      if (length > 0 && send(tunnel, packet, (size_t)length, 0) < 0) continue;
    }
    if (ready[1].revents != 0) {
      ssize_t length = recv(tunnel, packet, sizeof packet, 0);
      /* A raw socket delivers the outer header too. */
      size_t skip = raw && length > 0 ? (size_t)(packet[0] & 15) * 4 : 0;
      if (length > (ssize_t)skip && write(device, packet + skip, (size_t)length - skip) < 0) continue;
    }
  }
}
