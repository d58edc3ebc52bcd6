/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tap/tap.h"
#include "vnet.h"

/* One writer; the control thread reads. */
static void count(uint64_t *counter)
{
	__atomic_store_n(counter, *counter + 1, __ATOMIC_RELAXED);
}

/* --- receiving -------------------------------------------------------------------------------------------------------- */

static void name_segs(struct tap_rxq *q, unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++)
		q->iov[1 + i] = (struct iovec){rte_pktmbuf_mtod(q->segs[i], void *), q->room};
}

/* Buffers were short: as many as there should be, if they can be had now. */
static void top_up(struct tap_rxq *q)
{
	if (!rte_pktmbuf_alloc_bulk(q->pool, &q->segs[q->held], q->full - q->held)) {
		name_segs(q, q->held, q->full);
		q->held = q->full;
	}
	q->iov[1 + q->held] = (struct iovec){&q->beyond, 1};
}

/* In the place of the first n, which a frame has taken. */
static void replace(struct tap_rxq *q, unsigned n)
{
	if (likely(!rte_pktmbuf_alloc_bulk(q->pool, q->segs, n))) {
		name_segs(q, 0, n);
		return;
	}
	q->held -= n;
	memmove(q->segs, q->segs + n, q->held * sizeof(q->segs[0]));
	memmove(q->iov + 1, q->iov + 1 + n, (q->held + 1) * sizeof(q->iov[0]));
}

/* Link up the held mbufs that the frame fills. Returns how many. */
static unsigned chain(struct tap_rxq *q, uint32_t len)
{
	struct rte_mbuf *head = q->segs[0];
	uint32_t left = len;
	unsigned n = 0;

	do {
		struct rte_mbuf *m = q->segs[n++];

		m->data_len = RTE_MIN(left, q->room);
		left -= m->data_len;
		m->next = left ? q->segs[n] : NULL;
	} while (left);
	head->nb_segs = n;
	head->pkt_len = len;
	return n;
}

/* The frame that was read, of `len` bytes, or NULL with the loss counted. */
static struct rte_mbuf *take(struct tap_rxq *q, uint32_t len)
{
	struct rte_mbuf *m = q->segs[0];

	if (unlikely(len > q->held * q->room)) {
		count(q->held < q->full ? &q->no_buffer : &q->truncated);
		return NULL;
	}
	replace(q, chain(q, len));
	if (unlikely(vnet_to_mbuf(&q->vnet, m))) {
		count(&q->malformed);
		rte_pktmbuf_free(m);
		return NULL;
	}
	return m;
}

uint16_t tap_rx(void *queue, struct rte_mbuf **frames, uint16_t n)
{
	struct tap_rxq *q = queue;
	uint16_t got = 0;

	if (unlikely(q->held < q->full))
		top_up(q);
	/* Reads are bounded, not frames delivered: a sender of junk must not hold the worker here. */
	for (uint16_t i = 0; i < n; i++) {
		ssize_t len = readv(q->fd, q->iov, q->held + 2);

		if (len < (ssize_t)sizeof(q->vnet))
			break; /* none there; or the netdev is gone, which the control thread finds out */
		if (unlikely(len == sizeof(q->vnet)))
			continue; /* nothing behind the header: no frame */
		frames[got] = take(q, len - sizeof(q->vnet));
		got += frames[got] != NULL;
	}
	return got;
}

/* --- sending ---------------------------------------------------------------------------------------------------------- */

/* Errors that are about the netdev's state and not about the frame: EIO is down, EBADFD gone. It was not taken. */
static bool is_full(int error)
{
	return error == EAGAIN || error == ENOBUFS || error == ENOMEM || error == EIO || error == EBADFD;
}

uint16_t tap_tx(void *queue, struct rte_mbuf **frames, uint16_t n)
{
	struct tap_txq *q = queue;
	uint16_t done = 0;

	while (done < n) {
		int iov = vnet_iov(frames[done], &q->vnet, q->head, q->iov, TAP_MAX_IOV);
		ssize_t r = iov > 0 ? writev(q->fd, q->iov, iov) : -1;

		if (unlikely(r < 0 && iov > 0 && errno == EINTR))
			continue;
		if (unlikely(r < 0 && iov > 0 && is_full(errno)))
			break;
		if (unlikely(r < 0))
			count(&q->error); /* its own fault */
		rte_pktmbuf_free(frames[done++]);
	}
	return done;
}

/* --- a queue's life ----------------------------------------------------------------------------------------------------- */

int tap_queue_new(struct tap_queue **queue, int fd, struct rte_mempool *pool)
{
	struct tap_queue *q = aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_ALIGN(sizeof(*q), RTE_CACHE_LINE_SIZE));

	if (!q)
		return -ENOMEM;
	memset(q, 0, sizeof(*q));
	q->rx.room = rte_pktmbuf_data_room_size(pool) - RTE_PKTMBUF_HEADROOM;
	q->rx.full = RTE_MIN((TAP_MAX_FRAME + q->rx.room - 1) / q->rx.room, (uint32_t)TAP_MAX_SEGS);
	q->rx.pool = pool;
	q->rx.iov[0] = (struct iovec){&q->rx.vnet, sizeof(q->rx.vnet)};
	top_up(&q->rx);
	if (!q->rx.held) {
		free(q);
		return -ENOBUFS;
	}
	q->rx.fd = q->tx.fd = fd;
	*queue = q;
	return 0;
}

void tap_queue_free(struct tap_queue *q)
{
	if (!q)
		return;
	rte_pktmbuf_free_bulk(q->rx.segs, q->rx.held);
	close(q->rx.fd);
	free(q);
}
