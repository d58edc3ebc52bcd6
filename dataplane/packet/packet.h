/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_PACKET_H
#define DATAPLANE_PACKET_H

/*
 * What the files of the af-packet kind share. See packet_kind.h for the whole.
 *
 *      packet_port  (control thread's; kind_port.priv)
 *        queues[i] --> packet_queue: one socket, one ring
 *                        .rx  worker of rx queue i, alone on its cache lines
 *                        .tx  worker of tx queue i, which may be another worker
 *
 * A queue lives as long as its socket. When the netdev comes back the port gets new queues; the old ones are freed when every
 * worker has let go of them (kind_quiesce), and what they had counted moves to packet_port.past.
 */

#include <stdbool.h>
#include <stdint.h>

#include <net/if.h>
#include <sys/queue.h>

#include "kind.h"

#define PACKET_SLOT	     2048 /* bytes of a ring slot: 76 of headers, and frames to 1972 bytes, so MTU 1500 with tags */
#define PACKET_SLOTS_DEFAULT 1024
#define PACKET_SLOTS_MIN     64
#define PACKET_SLOTS_MAX     16384
#define PACKET_SOCKBUF	     (8 << 20)		    /* bytes, as the kernel counts them: a 64 KB frame is charged about 70 KB */
#define PACKET_MAX_FRAME     (65535 + 40 + 14 + 32) /* longest IPv6 packet without a jumbo option, Ethernet, eight tags */
#define PACKET_TX_BATCH	     32			    /* frames handed to the kernel in one call */
#define PACKET_MTU_TAGS	     8			    /* VLAN tags that the netdev must carry beyond the port's MTU */

struct packet_rxq {
	int fd;
	uint32_t head, mask; /* next slot; slots - 1 */
	uint8_t *ring;
	struct rte_mempool *pool;
	unsigned idle_wakes; /* wake-ups since a frame was there */
	uint64_t no_buffer, error, truncated, malformed;
} __rte_cache_aligned;

struct packet_tx_batch;

struct packet_txq {
	int fd;
	uint64_t error;
	struct packet_tx_batch *batch; /* scratch, packet_tx.c */
} __rte_cache_aligned;

struct packet_queue {
	struct packet_rxq rx;
	struct packet_txq tx;
	/* Control thread's. */
	uint64_t missed;	/* PACKET_STATISTICS starts anew at every reading */
	uint64_t missed_before; /* at the last packet_queue_stuck() */
	uint32_t head_before;
};

struct packet_port {
	LIST_ENTRY(packet_port) next; /* packet_link.c */
	struct kind_port *kp;
	struct dp *dp;
	struct rte_mempool *pool;
	char ifname[IFNAMSIZ];
	int ifindex; /* 0: the netdev is gone */
	uint16_t n_queues, mtu;
	uint32_t slots;
	bool up;
	bool trunk;	/* what comes back under its name is for others to judge (device.h) */
	int failed;	/* last errno of trying to take the netdev back, logged once */
	unsigned stuck; /* times that a ring had to be replaced */
	struct packet_queue *queues[KIND_MAX_QUEUES];
	struct kind_lost past;
};

/* --- packet_socket.c: control thread ---------------------------------------------------------------------------------- */

/* Make n queues on the netdev, receiving from the moment this returns. 0, or -errno with nothing left behind. */
int packet_queues_open(struct packet_queue **queues, unsigned n, int ifindex, uint32_t slots, struct rte_mempool *pool);
/* No worker uses them. NULLs are skipped. */
void packet_queues_close(struct packet_queue **queues, unsigned n);
/* Add what the queues lost to *sum. While workers run. */
void packet_queues_lost(struct packet_queue **queues, unsigned n, struct kind_lost *sum);

/*
 * Asked twice a second: since the last time the kernel dropped frames, though the ring was empty all the while. See
 * packet_kind.h.
 */
bool packet_queue_stuck(struct packet_queue *q);

/* --- packet_rx.c, packet_tx.c: workers -------------------------------------------------------------------------------- */

uint16_t packet_rx(void *queue, struct rte_mbuf **frames, uint16_t n); /* queue: struct packet_rxq */
uint16_t packet_tx(void *queue, struct rte_mbuf **frames, uint16_t n); /* queue: struct packet_txq */
/* A frame waits. */
bool packet_rx_ready(const struct packet_rxq *q);
/* The worker woke up: forget a pending socket error, now and then, if there is nothing else to wake for. */
void packet_rx_woken(struct packet_rxq *q);
/* Control thread. NULL: no memory. */
struct packet_tx_batch *packet_tx_batch_new(void);

/* --- packet_link.c: control thread ------------------------------------------------------------------------------------ */

/* Index of the netdev, or -errno. */
int packet_netdev_index(const char *name);
/* 0 if it is an Ethernet netdev, -EINVAL if it is another kind, -errno. */
int packet_netdev_is_ethernet(int ifindex);
/* Bring it up. 0 or -errno. */
int packet_netdev_up(int ifindex);
/* Up and running. false if it is gone. */
bool packet_netdev_running(int ifindex);
/* Make the netdev carry the port's MTU, see packet_kind.h. 0 or -errno. */
int packet_netdev_carry(int ifindex, uint16_t mtu);

/* Tell the port's netdev events from now on, by packet_port_*(), below. 0 or -errno. */
int packet_link_add(struct packet_port *port);
void packet_link_del(struct packet_port *port);

/* --- packet_kind.c: called by packet_link.c --------------------------------------------------------------------------- */

void packet_port_link(struct packet_port *port, bool up);
void packet_port_gone(struct packet_port *port);
void packet_port_back(struct packet_port *port, int ifindex);
/* Twice a second. */
void packet_port_tend(struct packet_port *port);

/* --- packet_probe.c --------------------------------------------------------------------------------------------------- */

/* Packet sockets take UDP segmentation (Linux 6.2). Tried once, in a network namespace that exists only for it. Control thread. */
bool packet_uso_supported(void);

#endif
