/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "packet/packet.h"
#include "vnet.h"

#define DATAGRAM 64
#define HEADERS	 (ETH_HLEN + 20 + 8)

/*
 * A kernel that does not know a segmentation type refuses the frame, and one that does sends it: so the question can only be
 * asked with a frame that goes somewhere. It goes to the loopback device of a namespace that this thread alone is in, and that
 * ends with it.
 */
static bool sends_udp_segments(void)
{
	struct virtio_net_hdr vh = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = VIRTIO_NET_HDR_GSO_UDP_L4,
		.hdr_len = HEADERS,
		.gso_size = DATAGRAM,
		.csum_start = ETH_HLEN + 20,
		.csum_offset = 6,
	};
	/* IPv4, UDP, 127.0.0.1 to itself, two datagrams to port 9 (discard). */
	uint8_t frame[HEADERS + 2 * DATAGRAM] = {
		[12] = 0x08, [14] = 0x45, [17] = 20 + 8 + 2 * DATAGRAM,
		[22] = 64,   [23] = 17,	  [26] = 127,
		[29] = 1,    [30] = 127,  [33] = 1,
		[35] = 9,    [37] = 9,	  [39] = 8 + 2 * DATAGRAM,
	};
	struct iovec iov[] = {{&vh, sizeof(vh)}, {frame, sizeof(frame)}};
	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP)};
	struct msghdr msg = {.msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = iov, .msg_iovlen = 2};
	struct ifreq ifr = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), one = 1;
	bool ok = false;

	if (fd < 0)
		return false;
	to.sll_ifindex = if_nametoindex("lo");
	if (!ioctl(fd, SIOCSIFFLAGS, &ifr) && !setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof(one)))
		ok = sendmsg(fd, &msg, MSG_DONTWAIT) == sizeof(vh) + sizeof(frame);
	close(fd);
	return ok;
}

static void *probe(void *result)
{
	*(bool *)result = unshare(CLONE_NEWNET) == 0 && sends_udp_segments();
	return NULL;
}

bool packet_uso_supported(void)
{
	static bool asked, answer;
	pthread_t thread;

	if (!asked && !pthread_create(&thread, NULL, probe, &answer)) {
		pthread_join(thread, NULL);
		asked = true;
	}
	return answer;
}
