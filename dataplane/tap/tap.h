/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_TAP_H
#define DATAPLANE_TAP_H

/* What the files of the tap kind share. See tap_kind.h for the whole. */

#include <stdbool.h>
#include <stdint.h>

#include <linux/virtio_net.h>
#include <net/if.h>
#include <sys/uio.h>

#include "kind.h"
#include "vnet_iov.h"

#define TAP_MAX_FRAME (65535 + 40 + 14 + 32) /* longest IPv6 packet without a jumbo option, Ethernet, eight tags */
#define TAP_MAX_SEGS  72		     /* of the longest frame, with buffers of 1 KiB or more */
#define TAP_MAX_IOV   1024		     /* the kernel's UIO_MAXIOV */

/* A receive queue. Its iovecs stay as they are from frame to frame: header, held mbufs in order, and a byte that tells a frame too long. */
struct tap_rxq {
	int fd;
	struct rte_mempool *pool;
	uint16_t held, full; /* mbufs held, as many as it should be; below `full` buffers were short */
	uint32_t room;	     /* bytes of each */
	struct virtio_net_hdr vnet;
	uint8_t beyond;
	struct rte_mbuf *segs[TAP_MAX_SEGS];
	struct iovec iov[1 + TAP_MAX_SEGS + 1];
	uint64_t no_buffer, truncated, malformed;
} __rte_cache_aligned;

struct tap_txq {
	int fd;
	uint64_t error;
	struct virtio_net_hdr vnet;
	uint8_t head[VNET_MAX_HEAD];
	struct iovec iov[TAP_MAX_IOV];
} __rte_cache_aligned;

struct tap_queue {
	struct tap_rxq rx;
	struct tap_txq tx;
};

/* A socket where the netdev is, if that is our own namespace. */
struct tap_place {
	int sock; /* -1: none yet */
};

struct tap_port {
	uint16_t n_queues;
	bool stays; /* the netdev is not ours to remove, nor its MTU ours to set */
	bool segments_udp;
	uint64_t missed, last_missed; /* the netdev's counter when the port was opened; how far it had come when last asked */
	struct tap_place place;
	struct tap_queue *queues[KIND_MAX_QUEUES];
};

/* --- tap_io.c: workers ------------------------------------------------------------------------------------------------ */

uint16_t tap_rx(void *queue, struct rte_mbuf **frames, uint16_t n); /* queue: struct tap_rxq */
uint16_t tap_tx(void *queue, struct rte_mbuf **frames, uint16_t n); /* queue: struct tap_txq */

/* Control thread: a queue on a descriptor, which it owns from then on. 0; -ENOMEM, or -ENOBUFS: no buffers; then the descriptor is the caller's. */
int tap_queue_new(struct tap_queue **q, int fd, struct rte_mempool *pool);
void tap_queue_free(struct tap_queue *q);

/* --- tap_netdev.c: control thread -------------------------------------------------------------------------------------- */

/* /dev/net/tun: a descriptor that is on no netdev yet, or -errno. */
int tap_device_open(void);
/*
 * Put it on the netdev of that name. *ifindex 0: there must be none (-EBUSY), and it is made; *ifindex is its index then. Otherwise it must be there
 * with this index (-ESTALE), and nothing is made. *uso: the kernel segments UDP. 0 or -errno.
 */
int tap_netdev_take(int fd, const char *ifname, unsigned *ifindex, bool *uso);
/* The netdev was deleted: nothing comes from the descriptor any more but errors. Any thread. */
bool tap_netdev_gone(int fd);

/* What follows is asked through the descriptor, wherever the netdev is. -ENODEV: it is gone. */
bool tap_netdev_running(struct tap_place *place, int fd);
int tap_netdev_up(struct tap_place *place, int fd);
int tap_netdev_set_mtu(struct tap_place *place, int fd, uint16_t mtu);
int tap_netdev_set_ring(struct tap_place *place, int fd, uint32_t slots);
/* Frames that found the ring full, since the netdev was made. 0 where it cannot be asked. */
uint64_t tap_netdev_missed(struct tap_place *place, int fd);
void tap_place_close(struct tap_place *place);

/* --- tap_error.c: any thread -------------------------------------------------------------------------------------------- */

/* On the way to a port. */
enum tap_step {
	TAP_OPENING,   /* /dev/net/tun */
	TAP_MAKING,    /* the netdev, by its first queue */
	TAP_ATTACHING, /* to one that is there */
	TAP_BUFFERS,   /* of a queue, and the port's own memory */
	TAP_SETTING_UP /* its MTU, its ring, its flags */
};

/* Fill *err with what `r` of a step means, and return the code that goes with it. */
int tap_fail(struct dp_error *err, int r, enum tap_step step, const char *ifname);

#endif
