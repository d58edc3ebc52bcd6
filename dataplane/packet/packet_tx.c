/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <sys/socket.h>
#include <sys/uio.h>

#include "packet/packet.h"
#include "vnet_iov.h"

#define MAX_IOV 1024 /* of a batch, and of a frame (the kernel's UIO_MAXIOV) */

/* What sendmmsg() reads while it runs. Too big for a worker's stack, and warm when reused. */
struct packet_tx_batch {
	struct mmsghdr msgs[PACKET_TX_BATCH];
	struct virtio_net_hdr vnet[PACKET_TX_BATCH];
	uint8_t heads[PACKET_TX_BATCH][VNET_MAX_HEAD];
	struct iovec iov[MAX_IOV];
};

struct packet_tx_batch *packet_tx_batch_new(void)
{
	return calloc(1, sizeof(struct packet_tx_batch));
}

/*
 * Describe the frame as message i, in iovecs from iov[at] on. Returns how many of them, 0 if the batch has no room left for it,
 * or -EINVAL for a frame that cannot be sent at all.
 */
static int describe(struct packet_tx_batch *b, unsigned i, unsigned at, const struct rte_mbuf *m)
{
	int n = vnet_iov(m, &b->vnet[i], b->heads[i], &b->iov[at], MAX_IOV - at);

	b->msgs[i].msg_hdr.msg_iov = &b->iov[at];
	b->msgs[i].msg_hdr.msg_iovlen = n > 0 ? (size_t)n : 0;
	return n;
}

/*
 * Errors that are about the socket's or netdev's state and not about the frame: it was not taken. ENETDOWN is pending, ENXIO is
 * no netdev.
 */
static bool is_full(int error)
{
	return error == EAGAIN || error == ENOBUFS || error == ENOMEM || error == ENETDOWN || error == ENXIO || error == ENODEV;
}

static void drop(struct packet_txq *q, struct rte_mbuf *m)
{
	rte_pktmbuf_free(m);
	__atomic_store_n(&q->error, q->error + 1, __ATOMIC_RELAXED);
}

uint16_t packet_tx(void *queue, struct rte_mbuf **frames, uint16_t n)
{
	struct packet_txq *q = queue;
	struct packet_tx_batch *b = q->batch;
	bool retried = false;
	uint16_t done = 0;

	while (done < n) {
		unsigned ready = 0, iov = 0;
		int rc = 0;

		while (ready < PACKET_TX_BATCH && done + ready < n) {
			rc = describe(b, ready, iov, frames[done + ready]);
			if (rc <= 0)
				break;
			iov += rc;
			ready++;
		}
		if (!ready) { /* an empty batch has room for any frame that can be sent */
			drop(q, frames[done++]);
			continue;
		}
		rc = sendmmsg(q->fd, b->msgs, ready, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (likely(rc > 0)) {
			rte_pktmbuf_free_bulk(&frames[done], rc);
			done += rc;
		} else if (errno == EINTR || (errno == ENETDOWN && !retried)) {
			/* A netdev that was down leaves that error behind for the first call after it is up again. */
			retried = true;
		} else if (is_full(errno)) {
			break;
		} else {
			drop(q, frames[done++]); /* its own fault: longer than the MTU, a header that the kernel refuses */
		}
	}
	return done;
}
