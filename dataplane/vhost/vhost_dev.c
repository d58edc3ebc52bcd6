/* SPDX-License-Identifier: Apache-2.0 */
#include "vhost_dev.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "bell.h"
#include "vhost_vring.h"

const char *vhost_fault_name(enum vhost_fault f)
{
	static const char *const names[] = {
#define X(sym, name, doc) [VHOST_FAULT_##sym] = name,
		VHOST_FAULTS(X)
#undef X
	};

	return f < VHOST_FAULT_N ? names[f] : "unknown";
}

/* --- life ------------------------------------------------------------------------------------------------------------- */

int vhost_dev_init(struct vhost_dev *d, const struct vhost_ops *ops, void *arg, unsigned n_pairs, int alarm_fd)
{
	memset(d, 0, sizeof(*d));
	d->ops = ops;
	d->arg = arg;
	d->n_pairs = n_pairs;
	d->alarm_fd = alarm_fd;
	for (unsigned i = 0; i < VHOST_MAX_VRINGS; i++)
		d->ring[i].kick_fd = d->ring[i].call_fd = -1;
	d->mem = vhost_mem_new();
	return d->mem ? 0 : -ENOMEM;
}

void vhost_dev_fini(struct vhost_dev *d)
{
	vrings_stop(d, VRINGS_ALL);
	for (unsigned i = 0; i < VHOST_MAX_VRINGS; i++)
		vring_forget(&d->ring[i]);
	vhost_mem_free(d->mem);
	vhost_log_close(d->log);
	d->mem = NULL;
	d->log = NULL;
}

int vhost_dev_fault(const struct vhost_dev *d)
{
	for (unsigned i = 0; i < VHOST_MAX_VRINGS; i++) {
		if (d->ring[i].vq && __atomic_load_n(&d->ring[i].vq->aside, __ATOMIC_ACQUIRE) & VHOST_BROKEN)
			return VHOST_FAULT_INDEX + 1;
	}
	if (vhost_mem_lost(d->mem) || (d->log && vhost_log_lost(d->log)))
		return VHOST_FAULT_LOST + 1;
	return 0;
}

/* --- a message that is being handled ------------------------------------------------------------------------------------- */

struct request {
	struct vhost_msg *msg;
	int *fds;
	unsigned n_fds;
	bool reply;
	bool refused; /* well-formed, but not granted */
};

static int fault(struct vhost_dev *d, enum vhost_fault f, const char *why)
{
	d->why = why;
	return (int)f + 1;
}

static int take_fd(struct request *r)
{
	int fd = r->fds[0];

	r->fds[0] = -1;
	return fd;
}

static int answer_u64(struct request *r, uint64_t v)
{
	r->msg->p.u64 = v;
	r->msg->h.size = sizeof(v);
	r->reply = true;
	return 0;
}

static uint64_t payload_u64(const struct request *r)
{
	uint64_t v;

	memcpy(&v, &r->msg->p, sizeof(v));
	return v;
}

/* The ring that a number names. */
static struct vhost_vring *vring(struct vhost_dev *d, uint64_t index)
{
	return index < 2ull * d->n_pairs ? &d->ring[index] : NULL;
}

static int no_ring(struct vhost_dev *d)
{
	return fault(d, VHOST_FAULT_RING, "there is no ring of that number");
}

/* What rings are made from has changed. */
static int renew(struct vhost_dev *d, uint32_t rings)
{
	const char *why = NULL;
	int ret = vrings_renew(d, rings, &why);

	return ret ? fault(d, (enum vhost_fault)(ret - 1), why) : 0;
}

/* --- features --------------------------------------------------------------------------------------------------------------- */

static int get_features(struct vhost_dev *d, struct request *r)
{
	return answer_u64(r, VHOST_FEATURES);
}

static int set_features(struct vhost_dev *d, struct request *r)
{
	uint64_t features = payload_u64(r);

	if (features & ~VHOST_FEATURES)
		return fault(d, VHOST_FAULT_FEATURES, "features that were not offered");
	d->features = features;
	/* Without the transport's own features there is no message to enable a ring: they all are. */
	for (unsigned i = 0; !(features & VHOST_BIT(VIRTIO_BIT_PROTOCOL_FEATURES)) && i < 2 * d->n_pairs; i++)
		d->ring[i].enabled = true;
	return renew(d, VRINGS_ALL);
}

static int get_protocol_features(struct vhost_dev *d, struct request *r)
{
	return answer_u64(r, VHOST_PROTOCOL_FEATURES);
}

static int set_protocol_features(struct vhost_dev *d, struct request *r)
{
	uint64_t protocol = payload_u64(r);

	if (protocol & ~VHOST_PROTOCOL_FEATURES)
		return fault(d, VHOST_FAULT_FEATURES, "protocol features that were not offered");
	d->protocol = protocol;
	return 0;
}

static int get_queue_num(struct vhost_dev *d, struct request *r)
{
	return answer_u64(r, d->n_pairs);
}

static int get_max_mem_slots(struct vhost_dev *d, struct request *r)
{
	return answer_u64(r, VHOST_MEM_SLOTS);
}

static int nothing_to_do(struct vhost_dev *d, struct request *r)
{
	return 0;
}

static int reset(struct vhost_dev *d, struct request *r)
{
	vrings_stop(d, VRINGS_ALL);
	for (unsigned i = 0; i < VHOST_MAX_VRINGS; i++)
		vring_forget(&d->ring[i]);
	d->features = 0;
	return 0;
}

static int net_set_mtu(struct vhost_dev *d, struct request *r)
{
	uint64_t mtu = payload_u64(r);

	r->refused = mtu > UINT16_MAX || !d->ops->mtu(d->arg, (uint16_t)mtu);
	return 0;
}

static int send_rarp(struct vhost_dev *d, struct request *r)
{
	uint8_t mac[8];

	/* The address's first byte is the lowest: as it lies in memory. */
	memcpy(mac, &r->msg->p, sizeof(mac));
	d->ops->announce(d->arg, mac);
	return 0;
}

/* --- memory ----------------------------------------------------------------------------------------------------------------- */

/* Swap the memory under the rings. Takes over `mem`. */
static int replace_memory(struct vhost_dev *d, struct vhost_mem *mem)
{
	struct vhost_mem *old = d->mem;
	int ret;

	d->mem = mem;
	/* A front end may tell a ring's addresses before its memory: whatever can run now, runs. */
	ret = renew(d, VRINGS_ALL);
	vhost_mem_free(old);
	return ret;
}

static int set_mem_table(struct vhost_dev *d, struct request *r)
{
	const struct vhost_mem_table *t = &r->msg->p.table;
	struct vhost_mem *mem, *next;
	const char *why = "out of memory";

	if (r->msg->h.size < offsetof(struct vhost_mem_table, region) || t->n > VHOST_TABLE_REGIONS ||
	    r->msg->h.size != offsetof(struct vhost_mem_table, region) + t->n * sizeof(t->region[0]))
		return fault(d, VHOST_FAULT_SIZE, "a memory table of another size than it says");
	if (t->n != r->n_fds)
		return fault(d, VHOST_FAULT_FDS, "a memory table with more or fewer descriptors than regions");
	mem = vhost_mem_new();
	for (uint32_t i = 0; mem && i < t->n; i++, mem = next) {
		next = vhost_mem_with(mem, &t->region[i], r->fds[i], d->alarm_fd, &why);
		vhost_mem_free(mem);
	}
	if (!mem)
		return fault(d, VHOST_FAULT_MEMORY, why);
	return replace_memory(d, mem);
}

static int add_mem_reg(struct vhost_dev *d, struct request *r)
{
	struct vhost_mem *mem;
	const char *why;

	if (r->n_fds != 1)
		return fault(d, VHOST_FAULT_FDS, "a memory region without its descriptor");
	mem = vhost_mem_with(d->mem, &r->msg->p.single.region, r->fds[0], d->alarm_fd, &why);
	return mem ? replace_memory(d, mem) : fault(d, VHOST_FAULT_MEMORY, why);
}

/* QEMU passes a descriptor here, too; it says nothing. */
static int rem_mem_reg(struct vhost_dev *d, struct request *r)
{
	struct vhost_mem *mem;
	const char *why;

	mem = vhost_mem_without(d->mem, &r->msg->p.single.region, &why);
	return mem ? replace_memory(d, mem) : fault(d, VHOST_FAULT_MEMORY, why);
}

static int set_log_base(struct vhost_dev *d, struct request *r)
{
	const struct vhost_log_base *base = &r->msg->p.log;
	struct vhost_log *log, *old = d->log;
	const char *why;
	int ret;

	if (r->n_fds != 1)
		return fault(d, VHOST_FAULT_FDS, "a dirty log without its descriptor");
	log = vhost_log_open(r->fds[0], base->size, base->offset, d->alarm_fd, &why);
	if (!log)
		return fault(d, VHOST_FAULT_LOG, why);
	d->log = log;
	ret = renew(d, VRINGS_ALL);
	vhost_log_close(old);
	r->msg->h.size = 0;
	r->reply = true;
	return ret;
}

/* --- rings ------------------------------------------------------------------------------------------------------------------ */

static int set_vring_num(struct vhost_dev *d, struct request *r)
{
	struct vhost_vring_state s = r->msg->p.state;
	struct vhost_vring *v = vring(d, s.index);

	if (!v)
		return no_ring(d);
	if (s.num == 0 || s.num > VIRTQ_SIZE_MAX || (s.num & (s.num - 1)))
		return fault(d, VHOST_FAULT_RING, "a ring's size is a power of two up to 32768");
	if (v->vq)
		return fault(d, VHOST_FAULT_RING, "a ring that runs cannot change its size");
	v->num = s.num;
	return renew(d, 1u << s.index);
}

static int set_vring_addr(struct vhost_dev *d, struct request *r)
{
	struct vhost_vring_addr a;
	struct vhost_vring *v;

	memcpy(&a, &r->msg->p, sizeof(a));
	v = vring(d, a.index);
	if (!v)
		return no_ring(d);
	v->addr = a;
	v->has_addr = true;
	return renew(d, 1u << a.index);
}

static int set_vring_base(struct vhost_dev *d, struct request *r)
{
	struct vhost_vring *v = vring(d, r->msg->p.state.index);

	if (!v)
		return no_ring(d);
	/* Not where it starts: buffers are given back in order, so the ring itself says where we are. */
	v->base = r->msg->p.state.num & UINT16_MAX;
	return 0;
}

static int get_vring_base(struct vhost_dev *d, struct request *r)
{
	struct vhost_vring_state *s = &r->msg->p.state;
	struct vhost_vring *v = vring(d, s->index);

	if (!v)
		return no_ring(d);
	vrings_stop(d, 1u << s->index);
	/* Also of a ring that was disabled before: the next back end, on another machine perhaps, goes by it. */
	s->num = v->base;
	if (v->kick_fd >= 0)
		close(v->kick_fd);
	v->kick_fd = -1;
	v->has_kick = false;
	r->msg->h.size = sizeof(*s);
	r->reply = true;
	return 0;
}

/* The eventfd of a SET_VRING_KICK, _CALL or _ERR; *fd is -1 if there is none. */
static int vring_fd(struct vhost_dev *d, struct request *r, struct vhost_vring **v, int *fd)
{
	uint64_t u = payload_u64(r);
	bool none = u & VHOST_VRING_NOFD;

	*fd = -1;
	*v = vring(d, u & VHOST_VRING_INDEX_MASK);
	if (u & ~(VHOST_VRING_INDEX_MASK | VHOST_VRING_NOFD) || !*v)
		return no_ring(d);
	if (r->n_fds != !none || (!none && !bell_is(r->fds[0])))
		return fault(d, VHOST_FAULT_FDS, "not an eventfd");
	if (!none)
		*fd = take_fd(r);
	return 0;
}

/* The ring has another eventfd: *at. The old one is closed when nobody uses it any more. */
static int renew_fd(struct vhost_dev *d, struct vhost_vring *v, int *at, int fd)
{
	int old = *at, ret;

	*at = fd;
	ret = renew(d, 1u << (v - d->ring));
	if (old >= 0)
		close(old);
	return ret;
}

static int set_vring_kick(struct vhost_dev *d, struct request *r)
{
	struct vhost_vring *v;
	int fd, ret = vring_fd(d, r, &v, &fd);

	if (ret)
		return ret;
	v->has_kick = true;
	return renew_fd(d, v, &v->kick_fd, fd);
}

static int set_vring_call(struct vhost_dev *d, struct request *r)
{
	struct vhost_vring *v;
	int fd, ret = vring_fd(d, r, &v, &fd);

	return ret ? ret : renew_fd(d, v, &v->call_fd, fd);
}

/* Errors close the connection; nobody is told by eventfd. */
static int set_vring_err(struct vhost_dev *d, struct request *r)
{
	struct vhost_vring *v;
	int fd, ret = vring_fd(d, r, &v, &fd);

	if (fd >= 0)
		close(fd);
	return ret;
}

static int set_vring_enable(struct vhost_dev *d, struct request *r)
{
	struct vhost_vring_state s = r->msg->p.state;
	struct vhost_vring *v = vring(d, s.index);

	if (!v)
		return no_ring(d);
	if (s.num > 1)
		return fault(d, VHOST_FAULT_RING, "a ring is enabled (1) or not (0)");
	/* QEMU enables its rings at every turn, long before they could run: it is remembered. */
	if (v->told && v->enabled == s.num)
		return 0;
	v->told = true;
	v->enabled = s.num;
	vrings_stop(d, 1u << s.index);
	return renew(d, 1u << s.index);
}

/* --- the table ---------------------------------------------------------------------------------------------------------------- */

static const struct {
	int (*handle)(struct vhost_dev *d, struct request *r);
	uint16_t size, fds;
	const char *name;
} rows[VHOST_REQUEST_END] = {
#define HANDLER_GET_FEATURES	      get_features
#define HANDLER_SET_FEATURES	      set_features
#define HANDLER_SET_OWNER	      nothing_to_do
#define HANDLER_RESET_OWNER	      reset
#define HANDLER_SET_MEM_TABLE	      set_mem_table
#define HANDLER_SET_LOG_BASE	      set_log_base
#define HANDLER_SET_LOG_FD	      nothing_to_do
#define HANDLER_SET_VRING_NUM	      set_vring_num
#define HANDLER_SET_VRING_ADDR	      set_vring_addr
#define HANDLER_SET_VRING_BASE	      set_vring_base
#define HANDLER_GET_VRING_BASE	      get_vring_base
#define HANDLER_SET_VRING_KICK	      set_vring_kick
#define HANDLER_SET_VRING_CALL	      set_vring_call
#define HANDLER_SET_VRING_ERR	      set_vring_err
#define HANDLER_GET_PROTOCOL_FEATURES get_protocol_features
#define HANDLER_SET_PROTOCOL_FEATURES set_protocol_features
#define HANDLER_GET_QUEUE_NUM	      get_queue_num
#define HANDLER_SET_VRING_ENABLE      set_vring_enable
#define HANDLER_SEND_RARP	      send_rarp
#define HANDLER_NET_SET_MTU	      net_set_mtu
#define HANDLER_RESET_DEVICE	      reset
#define HANDLER_GET_MAX_MEM_SLOTS     get_max_mem_slots
#define HANDLER_ADD_MEM_REG	      add_mem_reg
#define HANDLER_REM_MEM_REG	      rem_mem_reg
#define X(number, name, size, fds)    [number] = {HANDLER_##name, size, fds, #name},
	VHOST_REQUESTS(X)
#undef X
};

int vhost_dev_check(struct vhost_dev *d, const struct vhost_header *h)
{
	if ((h->flags & (VHOST_FLAG_VERSION_MASK | VHOST_FLAG_REPLY)) != VHOST_FLAG_VERSION)
		return fault(d, VHOST_FAULT_HEADER, "not a request of version 1");
	if (h->request >= VHOST_REQUEST_END || !rows[h->request].handle)
		return fault(d, VHOST_FAULT_REQUEST, "a request that was not offered");
	if (rows[h->request].size == VHOST_ANY ? h->size > sizeof(union vhost_payload) : h->size != rows[h->request].size)
		return fault(d, VHOST_FAULT_SIZE, rows[h->request].name);
	return 0;
}

int vhost_dev_message(struct vhost_dev *d, struct vhost_msg *msg, int *fds, unsigned n_fds, bool *reply)
{
	struct request r = {.msg = msg, .fds = fds, .n_fds = n_fds};
	uint32_t request = msg->h.request;
	bool wants = msg->h.flags & VHOST_FLAG_NEED_REPLY && d->protocol & VHOST_BIT(VHOST_PROTO_REPLY_ACK);
	int ret;

	d->why = NULL;
	if (n_fds > rows[request].fds)
		ret = fault(d, VHOST_FAULT_FDS, "file descriptors where none belong");
	else
		ret = rows[request].handle(d, &r);
	for (unsigned i = 0; i < n_fds; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
	}
	if (!r.reply && wants)
		answer_u64(&r, ret || r.refused);
	msg->h.flags = VHOST_FLAG_VERSION | VHOST_FLAG_REPLY;
	*reply = r.reply;
	if (!ret)
		d->ops->changed(d->arg);
	return ret;
}
