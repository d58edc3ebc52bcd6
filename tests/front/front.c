/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "front.h"

#define DEFAULT_WAIT_S 10.0
#define DEFAULT_RING   256
#define DEFAULT_MIB    16

int front_open(struct front *f, const struct front_conf *conf)
{
	uint32_t ring = conf->ring ? conf->ring : DEFAULT_RING;
	unsigned pairs = conf->pairs ? conf->pairs : 1, regions = conf->regions ? conf->regions : 1;
	uint64_t bytes = (conf->region_mib ? conf->region_mib : DEFAULT_MIB) << 20;
	int rc;

	memset(f, 0, sizeof(*f));
	f->conf = *conf;
	f->conf.pairs = pairs;
	f->listener = f->sock = -1;
	for (unsigned i = 0; i < FRONT_MAX_RINGS; i++)
		f->ring[i].kick = f->ring[i].call = -1;
	if (2 * pairs > FRONT_MAX_RINGS)
		return -EINVAL;
	while (f->n_regions < regions) {
		rc = front_region_add(f, bytes);
		if (rc < 0)
			return rc;
	}
	for (unsigned i = 0; i < 2 * pairs; i++) {
		rc = front_ring_make(f, i, ring, 0);
		if (rc)
			return rc;
	}
	if (conf->connect)
		return 0;
	f->listener = front_listen(conf->path);
	return f->listener < 0 ? f->listener : 0;
}

int front_meet(struct front *f)
{
	double wait_s = f->conf.wait_s > 0 ? f->conf.wait_s : DEFAULT_WAIT_S;

	front_hang_up(f);
	f->sock = f->conf.connect ? front_connect(f->conf.path, wait_s) : front_accept(f->listener, wait_s);
	return f->sock < 0 ? f->sock : 0;
}

/* As many queue pairs as we have must be there. */
static int ask_queues(struct front *f)
{
	uint64_t n;
	int rc;

	if (!(f->protocol & FRONT_BIT(FRONT_PF_MQ)))
		return f->conf.pairs > 1 ? -EPROTONOSUPPORT : 0;
	rc = front_ask_u64(f, FRONT_GET_QUEUE_NUM, &n);
	if (rc)
		return rc;
	return n < f->conf.pairs ? -EPROTONOSUPPORT : 0;
}

int front_negotiate(struct front *f)
{
	int rc = front_ask_u64(f, FRONT_GET_FEATURES, &f->offered);

	if (rc)
		return rc;
	f->protocol = 0;
	f->features = f->offered & f->conf.features;
	if (f->offered & FRONT_BIT(FRONT_F_PROTOCOL) && f->conf.protocol) {
		f->features |= FRONT_BIT(FRONT_F_PROTOCOL);
		rc = front_ask_u64(f, FRONT_GET_PROTOCOL_FEATURES, &f->protocol_offered);
		if (!rc)
			rc = front_tell_u64(f, FRONT_SET_PROTOCOL_FEATURES, f->protocol_offered & f->conf.protocol, -1);
		if (rc)
			return rc;
		f->protocol = f->protocol_offered & f->conf.protocol;
	}
	rc = ask_queues(f);
	if (!rc) {
		struct front_msg owner = front_msg(FRONT_SET_OWNER, 0);

		rc = front_tell(f, &owner, NULL, 0);
	}
	if (!rc)
		rc = front_tell_u64(f, FRONT_SET_FEATURES, f->features, -1);
	for (unsigned i = 0; i < f->n_rings; i++)
		f->ring[i].event_idx = f->features & FRONT_BIT(VIRTIO_RING_F_EVENT_IDX);
	return rc;
}

/* In one message while they fit into its eight, by CONFIGURE_MEM_SLOTS one by one where that was negotiated. */
int front_send_memory(struct front *f)
{
	struct front_msg msg;
	int fds[8], rc = 0;

	if (f->protocol & FRONT_BIT(FRONT_PF_CONFIG_MEM_SLOTS)) {
		for (unsigned r = 0; r < f->n_regions && !rc; r++) {
			msg = front_msg(FRONT_ADD_MEM_REG, sizeof(msg.slot));
			msg.slot.region = front_wire_region(f, r);
			rc = front_tell(f, &msg, &f->region[r].fd, 1);
		}
		return rc;
	}
	if (f->n_regions > 8)
		return -E2BIG;
	msg = front_msg(FRONT_SET_MEM_TABLE, 8 + f->n_regions * (uint32_t)sizeof(struct front_wire_region));
	msg.memory.n = f->n_regions;
	for (unsigned r = 0; r < f->n_regions; r++) {
		msg.memory.region[r] = front_wire_region(f, r);
		fds[r] = f->region[r].fd;
	}
	return front_tell(f, &msg, fds, f->n_regions);
}

int front_send_ring(struct front *f, unsigned index)
{
	const struct front_ring *r = &f->ring[index];
	struct front_msg msg = front_msg(FRONT_SET_VRING_ADDR, sizeof(msg.addr));
	int rc = front_tell_state(f, FRONT_SET_VRING_NUM, index, r->size);

	if (!rc)
		/* What the back end has not given back it does again. */
		rc = front_tell_state(f, FRONT_SET_VRING_BASE, index, __atomic_load_n(&r->used->idx, __ATOMIC_RELAXED));
	msg.addr.index = index;
	msg.addr.desc = r->desc_uva;
	msg.addr.avail = r->avail_uva;
	msg.addr.used = r->used_uva;
	if (!rc)
		rc = front_tell(f, &msg, NULL, 0);
	if (!rc)
		rc = front_tell_u64(f, FRONT_SET_VRING_CALL, index, r->call);
	if (!rc)
		rc = front_tell_u64(f, FRONT_SET_VRING_KICK, index, r->kick);
	return rc;
}

int front_enable(struct front *f, unsigned index, bool on)
{
	return front_tell_state(f, FRONT_SET_VRING_ENABLE, index, on);
}

int front_start(struct front *f)
{
	uint64_t sync;
	int rc = front_negotiate(f);

	if (!rc)
		rc = front_send_memory(f);
	for (unsigned i = 0; i < f->n_rings && !rc; i++)
		rc = front_send_ring(f, i);
	if (f->features & FRONT_BIT(FRONT_F_PROTOCOL) && !f->conf.no_enable) {
		for (unsigned i = 0; i < f->n_rings && !rc; i++)
			rc = front_enable(f, i, true);
	}
	/* Its answer comes after all before has been done. */
	return rc ? rc : front_ask_u64(f, FRONT_GET_FEATURES, &sync);
}

int front_up(struct front *f)
{
	int rc = front_meet(f);

	if (rc)
		return rc;
	front_rewind(f);
	return front_start(f);
}

int front_stop_ring(struct front *f, unsigned index)
{
	struct front_msg msg = front_msg(FRONT_GET_VRING_BASE, 8);
	int rc;

	msg.state.index = index;
	rc = front_ask(f, &msg);
	if (rc)
		return rc;
	return msg.size == 8 && msg.state.index == index && msg.state.num <= UINT16_MAX ? (int)msg.state.num : -EPROTO;
}

void front_hang_up(struct front *f)
{
	if (f->sock >= 0)
		close(f->sock);
	f->sock = -1;
}

static void ring_free(struct front_ring *r)
{
	if (r->kick >= 0)
		close(r->kick);
	if (r->call >= 0)
		close(r->call);
	free(r->buffer);
	free(r->table);
	free(r->idle);
	free(r->held);
}

void front_close(struct front *f)
{
	front_hang_up(f);
	if (f->listener >= 0) {
		close(f->listener);
		unlink(f->conf.path);
	}
	for (unsigned i = 0; i < f->n_rings; i++)
		ring_free(&f->ring[i]);
	for (unsigned r = 0; r < f->n_regions; r++) {
		munmap(f->region[r].base, f->region[r].size);
		close(f->region[r].fd);
	}
	f->n_rings = f->n_regions = 0;
	f->listener = -1;
}
