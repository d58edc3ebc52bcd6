/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "vnet_iov.h"

/* The frame's segments from byte `skip` on. Returns how many iovecs it took. */
static unsigned add_segments(struct iovec *iov, const struct rte_mbuf *m, uint32_t skip)
{
	unsigned n = 0;

	for (; m; m = m->next) {
		if (skip >= m->data_len) {
			skip -= m->data_len;
			continue;
		}
		iov[n++] = (struct iovec){rte_pktmbuf_mtod_offset(m, void *, skip), m->data_len - skip};
		skip = 0;
	}
	return n;
}

int vnet_iov(const struct rte_mbuf *m, struct virtio_net_hdr *vh, uint8_t head[VNET_MAX_HEAD], struct iovec *iov, unsigned room)
{
	uint32_t edit, len = 0;
	unsigned n = 1;
	uint16_t value;
	const void *p;

	if (m->nb_segs + 2u > room)
		return 0;
	if (vnet_from_mbuf(m, vh, &edit, &value))
		return -EINVAL;
	iov[0] = (struct iovec){vh, sizeof(*vh)};
	if (unlikely(edit)) {
		len = vh->hdr_len;
		if (len > VNET_MAX_HEAD)
			return -EINVAL;
		p = rte_pktmbuf_read(m, 0, len, head);
		if (p != head)
			memcpy(head, p, len);
		memcpy(head + edit, &value, sizeof(value));
		iov[n++] = (struct iovec){head, len};
	}
	return (int)(n + add_segments(iov + n, m, len));
}
