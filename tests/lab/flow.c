// SPDX-License-Identifier: Apache-2.0
/*
 * TCP and UDP whose every byte is checked, between guests and whatever they talk to. One static program: it runs in an initramfs as
 * well as in a namespace.
 *
 *     flow listen PORT [GATE]        take TCP connections, each in a process of its own, and send UDP datagrams back, for ever
 *     flow send ADDRESS PORT BYTES   send that many bytes by TCP, wait for the receiver's verdict, print it and the rate
 *     flow echo ADDRESS PORT SIZE    send UDP datagrams of 1 to SIZE bytes, one after the other, and compare what comes back
 *
 * A sent byte is a function of its place in the stream, so that a lost, repeated, moved or changed piece is seen wherever it is.
 * Kernels do not see all of it: between two guests that offload checksums nobody ever computes one, and a frame damaged on its way
 * arrives as good.
 *
 * `listen` goes to the background once it listens: when the command has returned, a sender may start, and nobody has to wait. With a
 * GATE, a fifo, it reads nothing until somebody has opened that for writing. Until then what arrives (up to HOLD_BYTES) stays where
 * the network card put it: pages that no instruction of the guest has touched.
 *
 * `send` prints `BYTES bytes, RATE Mbit/s` and exits with 0, or says what the receiver objects to and exits with 1. So does `echo`; it
 * has one datagram on its way at a time, which nobody has a reason to lose, and ECHO_STEPS sizes between the first and the last.
 */
#include <arpa/inet.h>
#include <err.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CHUNK	   (256 << 10)
#define HOLD_BYTES (16 << 20)
#define VERDICT	   128
#define DATAGRAM   65507
#define ECHO_STEPS 50
#define ECHO_S	   10

/* 8 bytes at 8 * `word`: splitmix64, so that no two places of a stream look alike. */
static uint64_t pattern(uint64_t word)
{
	uint64_t z = (word + 1) * 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

/* `length` and the stream's place are multiples of 8 but at the end. */
static void fill(void *data, uint64_t place, size_t length)
{
	for (size_t at = 0; at < length; at += 8) {
		uint64_t word = pattern((place + at) / 8);
		memcpy((char *)data + at, &word, length - at < 8 ? length - at : 8);
	}
}

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void receive(int fd, const char *gate)
{
	static char got[CHUNK], want[CHUNK];
	char verdict[VERDICT];
	uint64_t place = 0;
	bool good = true;
	ssize_t n;

	if (gate) {
		int open_gate = open(gate, O_RDONLY);
		if (open_gate < 0)
			err(1, "%s", gate);
		close(open_gate);
	}
	while ((n = recv(fd, got, CHUNK, 0)) > 0) {
		/* TCP may stop anywhere: compare with what begins at the word before. */
		size_t lead = place % 8;
		for (size_t at = 0; good && at < (size_t)n;) {
			size_t part = (size_t)n - at;
			if (part > CHUNK - lead)
				part = CHUNK - lead;
			fill(want, place - lead, part + lead);
			if (memcmp(got + at, want + lead, part) != 0) {
				size_t first = 0;
				while (got[at + first] == want[lead + first])
					first++;
				good = false;
				snprintf(verdict, sizeof(verdict), "bad: byte %llu is not what was sent\n",
					 (unsigned long long)place + first);
			}
			at += part;
			place += part;
			lead = place % 8;
		}
	}
	if (n < 0)
		exit(1);
	if (good)
		snprintf(verdict, sizeof(verdict), "ok %llu\n", (unsigned long long)place);
	send(fd, verdict, strlen(verdict), MSG_NOSIGNAL);
	exit(0);
}

/* Numbers only: names would want libraries that a static program does not have. Returns the address's length. */
static socklen_t address_of(struct sockaddr_storage *to, const char *address, const char *port)
{
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)to;
	struct sockaddr_in *v4 = (struct sockaddr_in *)to;
	unsigned long number = strtoul(port, NULL, 10);

	if (number < 1 || number > UINT16_MAX)
		errx(2, "port %s", port);
	memset(to, 0, sizeof(*to));
	if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)number);
		return sizeof(*v4);
	}
	if (inet_pton(AF_INET6, address, &v6->sin6_addr) != 1)
		errx(2, "address %s", address);
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons((uint16_t)number);
	return sizeof(*v6);
}

static void send_back(int fd)
{
	static char data[DATAGRAM];
	struct sockaddr_storage from;

	for (;;) {
		socklen_t length = sizeof(from);
		ssize_t n = recvfrom(fd, data, sizeof(data), 0, (struct sockaddr *)&from, &length);
		if (n >= 0)
			sendto(fd, data, (size_t)n, 0, (struct sockaddr *)&from, length);
	}
}

static int listen_at(const char *port, const char *gate)
{
	struct sockaddr_storage at;
	socklen_t length = address_of(&at, "::", port);
	int on = 1, hold = HOLD_BYTES;

	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)))
		err(1, "socket");
	if (gate && setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &hold, sizeof(hold)))
		err(1, "receive buffer");
	if (bind(fd, (struct sockaddr *)&at, length) || listen(fd, 16))
		err(1, "port %s", port);
	int datagrams = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (datagrams < 0 || bind(datagrams, (struct sockaddr *)&at, length))
		err(1, "port %s, UDP", port);
	/* Nobody waits for the output of the one that stays. */
	if (daemon(1, 0))
		err(1, "daemon");
	signal(SIGCHLD, SIG_IGN);
	if (fork() == 0)
		send_back(datagrams);
	for (;;) {
		int peer = accept(fd, NULL, NULL);
		if (peer >= 0 && fork() == 0)
			receive(peer, gate);
		close(peer);
	}
}

static int send_to(const char *address, const char *port, uint64_t bytes)
{
	static char data[CHUNK];
	struct sockaddr_storage to;
	socklen_t to_length = address_of(&to, address, port);
	char verdict[VERDICT] = "", expected[VERDICT];
	size_t heard = 0;
	ssize_t n;

	int fd = socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, to_length))
		err(1, "%s port %s", address, port);
	double start = now_s();
	for (uint64_t place = 0; place < bytes;) {
		size_t length = bytes - place < CHUNK ? bytes - place : CHUNK;
		fill(data, place, length);
		for (size_t at = 0; at < length; at += (size_t)n) {
			n = send(fd, data + at, length - at, MSG_NOSIGNAL);
			if (n < 0)
				err(1, "send, after %llu bytes", (unsigned long long)place + at);
		}
		place += length;
	}
	shutdown(fd, SHUT_WR);
	while (heard < sizeof(verdict) - 1 && (n = recv(fd, verdict + heard, sizeof(verdict) - 1 - heard, 0)) > 0)
		heard += (size_t)n;
	double took = now_s() - start;
	snprintf(expected, sizeof(expected), "ok %llu\n", (unsigned long long)bytes);
	if (strcmp(verdict, expected) != 0)
		errx(1, "sent %llu bytes; the receiver says: %s", (unsigned long long)bytes, verdict);
	printf("%llu bytes, %.1f Mbit/s\n", (unsigned long long)bytes, (double)bytes * 8e-6 / took);
	return 0;
}

static int echo_from(const char *address, const char *port, size_t size)
{
	static char sent[DATAGRAM], got[DATAGRAM];
	struct sockaddr_storage to;
	socklen_t to_length = address_of(&to, address, port);
	size_t step = size > ECHO_STEPS ? (size - 1) / ECHO_STEPS : 1;
	struct timeval patience = {.tv_sec = ECHO_S};
	unsigned count = 0;

	if (size < 1 || size > DATAGRAM)
		errx(2, "size %zu", size);
	int fd = socket(to.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, to_length) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)))
		err(1, "%s port %s", address, port);
	for (size_t length = 1 + (size - 1) % step; length <= size; length += step, count++) {
		fill(sent, (uint64_t)length * DATAGRAM, length);
		if (send(fd, sent, length, 0) != (ssize_t)length)
			err(1, "send of %zu bytes", length);
		ssize_t n = recv(fd, got, sizeof(got), 0);
		if (n < 0)
			err(1, "%zu bytes have not come back", length);
		if ((size_t)n != length || memcmp(sent, got, length) != 0)
			errx(1, "%zu bytes came back changed", length);
	}
	printf("%u datagrams of up to %zu bytes\n", count, size);
	return 0;
}

int main(int argc, char **argv)
{
	if ((argc == 3 || argc == 4) && !strcmp(argv[1], "listen"))
		return listen_at(argv[2], argv[3]);
	if (argc == 5 && !strcmp(argv[1], "send"))
		return send_to(argv[2], argv[3], strtoull(argv[4], NULL, 10));
	if (argc == 5 && !strcmp(argv[1], "echo"))
		return echo_from(argv[2], argv[3], strtoul(argv[4], NULL, 10));
	errx(2, "flow listen PORT [GATE] | flow send ADDRESS PORT BYTES | flow echo ADDRESS PORT SIZE");
}
