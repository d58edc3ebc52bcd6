/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "packet/packet.h"

#define BLOCK (64 << 10) /* the kernel's unit of ring memory: a multiple of the page and of the slot */

static int set_int(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) ? -errno : 0;
}

/* Above the sysctl's maximum where we may (CAP_NET_ADMIN), up to it where not. */
static void set_buffer(int fd, int force, int plain)
{
	if (set_int(fd, SOL_SOCKET, force, PACKET_SOCKBUF))
		set_int(fd, SOL_SOCKET, plain, PACKET_SOCKBUF);
}

static int set_options(int fd)
{
	int rc;

	/* The vnet header must be asked for before there is a ring. */
	rc = set_int(fd, SOL_PACKET, PACKET_VERSION, TPACKET_V2);
	if (!rc)
		rc = set_int(fd, SOL_PACKET, PACKET_VNET_HDR, 1);
	if (!rc)
		rc = set_int(fd, SOL_PACKET, PACKET_COPY_THRESH, 1);
	if (!rc)
		rc = set_int(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1);
	set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF);
	set_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF);
	return rc;
}

static int make_ring(struct packet_rxq *q, uint32_t slots)
{
	struct tpacket_req req = {
		.tp_block_size = BLOCK,
		.tp_block_nr = slots * PACKET_SLOT / BLOCK,
		.tp_frame_size = PACKET_SLOT,
		.tp_frame_nr = slots,
	};
	void *ring;

	if (setsockopt(q->fd, SOL_PACKET, PACKET_RX_RING, &req, sizeof(req)))
		return -errno;
	ring = mmap(NULL, (size_t)slots * PACKET_SLOT, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, q->fd, 0);
	if (ring == MAP_FAILED)
		return -errno;
	q->ring = ring;
	q->mask = slots - 1;
	return 0;
}

/* Members of a fanout group that is still being made would each get every frame: until it is complete, none gets any. */
static int mute(int fd)
{
	struct sock_filter none = BPF_STMT(BPF_RET | BPF_K, 0);
	struct sock_fprog prog = {.len = 1, .filter = &none};

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)) ? -errno : 0;
}

static int bind_to(int fd, int ifindex)
{
	struct sockaddr_ll addr = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = ifindex};

	return bind(fd, (struct sockaddr *)&addr, sizeof(addr)) ? -errno : 0;
}

/*
 * Forgotten by the kernel when the socket is closed, so that the netdev's counter of those who asked stays right even if we
 * crash.
 */
static int be_promiscuous(int fd, int ifindex)
{
	struct packet_mreq req = {.mr_ifindex = ifindex, .mr_type = PACKET_MR_PROMISC};

	return setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &req, sizeof(req)) ? -errno : 0;
}

/* The first socket lets the kernel choose an id that nobody in the namespace uses; the others join it. */
static int join_fanout(int fd, uint16_t *id, bool first)
{
	socklen_t len = sizeof(int);
	int value, rc;

	if (!first)
		return set_int(fd, SOL_PACKET, PACKET_FANOUT, *id | PACKET_FANOUT_HASH << 16);
	rc = set_int(fd, SOL_PACKET, PACKET_FANOUT, (PACKET_FANOUT_HASH | PACKET_FANOUT_FLAG_UNIQUEID) << 16);
	if (rc)
		return rc;
	if (getsockopt(fd, SOL_PACKET, PACKET_FANOUT, &value, &len))
		return -errno;
	*id = value;
	return 0;
}

static struct packet_queue *queue_new(uint32_t slots, struct rte_mempool *pool, int *rc)
{
	struct packet_queue *q = aligned_alloc(RTE_CACHE_LINE_SIZE, sizeof(*q));

	*rc = -ENOMEM;
	if (!q)
		return NULL;
	memset(q, 0, sizeof(*q));
	q->rx.pool = pool;
	/* Protocol 0: receives nothing until it is bound. */
	q->rx.fd = q->tx.fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (q->rx.fd < 0) {
		*rc = -errno;
		goto free_queue;
	}
	q->tx.batch = packet_tx_batch_new();
	if (!q->tx.batch)
		goto close_socket;
	*rc = set_options(q->rx.fd);
	if (!*rc)
		*rc = make_ring(&q->rx, slots);
	if (!*rc)
		return q;
	free(q->tx.batch);
close_socket:
	close(q->rx.fd);
free_queue:
	free(q);
	return NULL;
}

void packet_queues_close(struct packet_queue **queues, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct packet_queue *q = queues[i];

		if (!q)
			continue;
		munmap(q->rx.ring, (size_t)(q->rx.mask + 1) * PACKET_SLOT);
		close(q->rx.fd);
		free(q->tx.batch);
		free(q);
		queues[i] = NULL;
	}
}

int packet_queues_open(struct packet_queue **queues, unsigned n, int ifindex, uint32_t slots, struct rte_mempool *pool)
{
	uint16_t fanout = 0;
	int rc = 0;

	memset(queues, 0, n * sizeof(*queues));
	for (unsigned i = 0; i < n; i++) {
		queues[i] = queue_new(slots, pool, &rc);
		if (!queues[i])
			goto fail;
		if (n > 1)
			rc = mute(queues[i]->rx.fd);
		if (!rc)
			rc = bind_to(queues[i]->rx.fd, ifindex);
		if (!rc && n > 1)
			rc = join_fanout(queues[i]->rx.fd, &fanout, i == 0);
		if (rc)
			goto fail;
	}
	rc = be_promiscuous(queues[0]->rx.fd, ifindex);
	for (unsigned i = 0; i < n && n > 1 && !rc; i++)
		rc = set_int(queues[i]->rx.fd, SOL_SOCKET, SO_DETACH_FILTER, 0);
	if (!rc)
		return 0;
fail:
	packet_queues_close(queues, n);
	return rc;
}

static uint64_t load(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

static void count_missed(struct packet_queue *q)
{
	struct tpacket_stats stats;
	socklen_t len = sizeof(stats);

	if (!getsockopt(q->rx.fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len))
		q->missed += stats.tp_drops;
}

bool packet_queue_stuck(struct packet_queue *q)
{
	uint32_t head = __atomic_load_n(&q->rx.head, __ATOMIC_RELAXED);
	bool stuck;

	count_missed(q);
	stuck = q->missed > q->missed_before && head == q->head_before && !packet_rx_ready(&q->rx);
	q->missed_before = q->missed;
	q->head_before = head;
	return stuck;
}

void packet_queues_lost(struct packet_queue **queues, unsigned n, struct kind_lost *sum)
{
	for (unsigned i = 0; i < n; i++) {
		struct packet_queue *q = queues[i];

		if (!q)
			continue;
		count_missed(q);
		sum->rx_missed += q->missed;
		sum->rx_no_buffer += load(&q->rx.no_buffer);
		sum->rx_error += load(&q->rx.error);
		sum->truncated += load(&q->rx.truncated);
		sum->malformed += load(&q->rx.malformed);
		sum->tx_error += load(&q->tx.error);
	}
}
