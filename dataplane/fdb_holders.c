/* SPDX-License-Identifier: Apache-2.0 */
#include "fdb_holders.h"

#include <errno.h>
#include <stdlib.h>

int fdb_holders_init(struct fdb_holders *h, uint16_t n_ports)
{
	h->n_ports = n_ports;
	h->port = calloc(n_ports, sizeof(*h->port));
	h->heap = calloc(n_ports, sizeof(*h->heap));
	if (!h->port || !h->heap) {
		fdb_holders_fini(h);
		return -ENOMEM;
	}
	for (uint16_t i = 0; i < n_ports; i++) {
		h->heap[i] = i;
		h->port[i] = (struct fdb_holder){.oldest = FDB_NONE, .newest = FDB_NONE, .at = i};
	}
	return 0;
}

void fdb_holders_fini(struct fdb_holders *h)
{
	free(h->port);
	free(h->heap);
	h->port = NULL;
	h->heap = NULL;
}

static void heap_put(struct fdb_holders *h, unsigned at, uint16_t port)
{
	h->heap[at] = port;
	h->port[port].at = (uint16_t)at;
}

static void heap_rise(struct fdb_holders *h, uint16_t port)
{
	unsigned at = h->port[port].at;

	while (at > 0) {
		unsigned up = (at - 1) / 2;

		if (h->port[h->heap[up]].n >= h->port[port].n)
			break;
		heap_put(h, at, h->heap[up]);
		at = up;
	}
	heap_put(h, at, port);
}

static void heap_sink(struct fdb_holders *h, uint16_t port)
{
	unsigned at = h->port[port].at;

	for (;;) {
		unsigned down = 2 * at + 1;

		if (down >= h->n_ports)
			break;
		if (down + 1 < h->n_ports && h->port[h->heap[down + 1]].n > h->port[h->heap[down]].n)
			down++;
		if (h->port[h->heap[down]].n <= h->port[port].n)
			break;
		heap_put(h, at, h->heap[down]);
		at = down;
	}
	heap_put(h, at, port);
}

void fdb_holders_add(struct fdb_holders *h, struct fdb_link *links, uint16_t port, uint32_t slot)
{
	struct fdb_holder *p = &h->port[port];

	links[slot] = (struct fdb_link){.prev = p->newest, .next = FDB_NONE};
	if (p->newest == FDB_NONE)
		p->oldest = slot;
	else
		links[p->newest].next = slot;
	p->newest = slot;
	__atomic_store_n(&p->n, p->n + 1, __ATOMIC_RELAXED);
	heap_rise(h, port);
}

void fdb_holders_del(struct fdb_holders *h, struct fdb_link *links, uint16_t port, uint32_t slot)
{
	struct fdb_holder *p = &h->port[port];
	struct fdb_link l = links[slot];

	if (l.prev == FDB_NONE)
		p->oldest = l.next;
	else
		links[l.prev].next = l.next;
	if (l.next == FDB_NONE)
		p->newest = l.prev;
	else
		links[l.next].prev = l.prev;
	__atomic_store_n(&p->n, p->n - 1, __ATOMIC_RELAXED);
	heap_sink(h, port);
}

void fdb_holders_renumber(struct fdb_holders *h, struct fdb_link *links, uint16_t port, uint32_t from, uint32_t to)
{
	struct fdb_holder *p = &h->port[port];
	struct fdb_link l = links[from];

	links[to] = l;
	if (l.prev == FDB_NONE)
		p->oldest = to;
	else
		links[l.prev].next = to;
	if (l.next == FDB_NONE)
		p->newest = to;
	else
		links[l.next].prev = to;
}
