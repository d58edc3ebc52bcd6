/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small UDP datagrams between two namespaces, as fast as one core can send them and read them in turn: what the way between them lets through.
 *
 *      namespace A  --- sendmmsg ---> ... ---> namespace B  --- recvmmsg --->  counted
 *                      one thread of this program is at both ends
 *
 * It sends from a socket in A and empties one in B, so neither end starves the other of the core. Without B it only sends. Each datagram
 * is its own packet (no segmentation requests).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH	32
#define BUFFER	(4 << 20)
#define PAYLOAD 18 /* 60 bytes of Ethernet, 64 with FCS */

static void die(const char *what)
{
	fprintf(stderr, "udp_pps: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int socket_in(const char *netns)
{
	char path[128];
	int fd, sock, size = BUFFER;

	snprintf(path, sizeof(path), "/run/netns/%s", netns);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET))
		die(path);
	close(fd);
	sock = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (sock < 0)
		die("socket");
	setsockopt(sock, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	setsockopt(sock, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	return sock;
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static uint64_t messages(struct mmsghdr *m, int sock, int (*move)(int, struct mmsghdr *))
{
	int n = move(sock, m);

	if (n < 0 && errno != EAGAIN && errno != ENOBUFS && errno != ECONNREFUSED)
		die("datagrams");
	return n > 0 ? (uint64_t)n : 0;
}

static int send_some(int sock, struct mmsghdr *m)
{
	return sendmmsg(sock, m, BATCH, 0);
}

static int receive_some(int sock, struct mmsghdr *m)
{
	return recvmmsg(sock, m, BATCH, 0, NULL);
}

static void fill(struct mmsghdr *m, struct iovec *iov, uint8_t (*buf)[64], size_t len)
{
	for (unsigned i = 0; i < BATCH; i++) {
		iov[i] = (struct iovec){buf[i], len};
		m[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &iov[i], .msg_iovlen = 1}};
	}
}

int main(int argc, char **argv)
{
	static struct mmsghdr out[BATCH], in[BATCH];
	static struct iovec out_iov[BATCH], in_iov[BATCH];
	static uint8_t out_buf[BATCH][64], in_buf[BATCH][64];
	struct sockaddr_in to = {.sin_family = AF_INET};
	uint64_t sent = 0, received = 0;
	double start, end, seconds;
	int tx, rx = -1;

	if (argc != 6) {
		fprintf(stderr, "usage: udp_pps FROM_NETNS TO_NETNS|- ADDRESS PORT SECONDS\n");
		return 1;
	}
	to.sin_port = htons((uint16_t)atoi(argv[4]));
	if (inet_pton(AF_INET, argv[3], &to.sin_addr) != 1)
		die(argv[3]);
	seconds = atof(argv[5]);
	if (strcmp(argv[2], "-") != 0) {
		rx = socket_in(argv[2]);
		if (bind(rx, (struct sockaddr *)&to, sizeof(to)))
			die("bind");
	}
	tx = socket_in(argv[1]);
	if (connect(tx, (struct sockaddr *)&to, sizeof(to)))
		die("connect");
	fill(out, out_iov, out_buf, PAYLOAD);
	fill(in, in_iov, in_buf, sizeof(in_buf[0]));
	start = now();
	do {
		sent += messages(out, tx, send_some);
		for (uint64_t n = rx >= 0; n;) {
			n = messages(in, rx, receive_some);
			received += n;
		}
		end = now();
	} while (end - start < seconds);
	printf("{\"seconds\": %.6f, \"sent\": %llu, \"received\": %llu}\n", end - start, (unsigned long long)sent,
	       (unsigned long long)received);
	return 0;
}
