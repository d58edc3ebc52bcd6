/* SPDX-License-Identifier: Apache-2.0 */
#include <dlfcn.h>
#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_log.h>

#include "bell.h"
#include "dp.h"
#include "eal.h"
#include "ethdev_inside.h"
#include "log.h"

#define RING_DEFAULT 1024
#define SENT_WAITING 32 /* early_cleanup: slots of sent frames whose buffers may wait */
#define XSK_BUFFERS  8192
#define XSK_TRIES    20
#define XSK_RETRY_MS 5
#define XSK_BIG_ROOM 3840 /* largest buffer that shares a page with its mempool header and mbuf */

/* --- finding what the driver made ------------------------------------------------------------------------------------- */

/* Plug the device in; the port that appears is ours. */
static int probe(struct ethdev *e, const char *devargs, struct dp_error *err)
{
	bool before[RTE_MAX_ETHPORTS] = {false};
	unsigned used = 0;
	uint16_t id;
	int r;

	RTE_ETH_FOREACH_DEV(id)
	{
		before[id] = true;
		used++;
	}
	if (used == RTE_MAX_ETHPORTS)
		return dp_fail(err, -ENOSPC, "too-many", "kind", "ports of other kinds do not count against it",
			       "this build of DPDK carries %d devices (af-xdp and nic ports together)", RTE_MAX_ETHPORTS);
	r = rte_dev_probe(devargs);
	if (r < 0)
		return dp_fail(err, r, "no-such-device", "devargs", "the lines logged by dpdk say why", "%s: %s", devargs,
			       rte_strerror(-r));
	RTE_ETH_FOREACH_DEV(id)
	{
		struct rte_eth_dev_info info;

		if (before[id] || rte_eth_dev_info_get(id, &info) < 0)
			continue;
		e->id = id;
		e->device = info.device;
		return 0;
	}
	return dp_fail(err, -ENODEV, "no-such-device", "devargs", NULL, "%s: the driver made no port", devargs);
}

/* --- setting it up ---------------------------------------------------------------------------------------------------- */

int ethdev_set_mtu(struct kind_port *kp, uint16_t mtu)
{
	struct ethdev *e = kp->priv;

	/* The driver copies a frame into one buffer without looking. */
	if (e->own_pool && mtu + 22 > rte_pktmbuf_data_room_size(e->own_pool) - RTE_PKTMBUF_HEADROOM)
		return -EMSGSIZE;
	return rte_eth_dev_set_mtu(e->id, mtu);
}

static int queues_setup(struct ethdev *e, const struct rte_eth_dev_info *info, struct rte_mempool *pool, uint16_t n, uint16_t ring,
			struct dp_error *err)
{
	uint16_t rx_ring = ring, tx_ring = ring;
	int r = rte_eth_dev_adjust_nb_rx_tx_desc(e->id, &rx_ring, &tx_ring);

	for (uint16_t q = 0; q < n && !r; q++) {
		struct rte_eth_rxconf rx = info->default_rxconf;
		struct rte_eth_txconf tx = info->default_txconf;

		rx.offloads = tx.offloads = 0;
		if (e->early_cleanup && tx_ring > SENT_WAITING)
			tx.tx_free_thresh = tx_ring - SENT_WAITING;
		r = rte_eth_rx_queue_setup(e->id, q, rx_ring, SOCKET_ID_ANY, &rx, pool);
		if (!r)
			r = rte_eth_tx_queue_setup(e->id, q, tx_ring, SOCKET_ID_ANY, &tx);
	}
	if (r)
		return dp_fail(err, r, "device", NULL, "the lines logged by dpdk say why",
			       "setting up %u queue pairs of %u slots: %s", n, ring, rte_strerror(-r));
	return 0;
}

static int configure(struct kind_port *kp, const struct kind_env *env, const struct dp_port_conf *conf, uint16_t n_queues,
		     struct dp_error *err)
{
	struct ethdev *e = kp->priv;
	struct rte_eth_dev_info info;
	struct rte_eth_conf ec = {0};
	uint64_t l4 = RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM;
	uint64_t requests = RTE_ETH_RX_OFFLOAD_TCP_LRO | RTE_ETH_RX_OFFLOAD_TCP_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM;
	uint16_t n, mtu = conf->mtu;
	int r = rte_eth_dev_info_get(e->id, &info);

	if (r < 0)
		return dp_fail(err, r, "device", NULL, NULL, "reading the device's abilities: %s", rte_strerror(-r));
	n = RTE_MIN(n_queues, RTE_MIN(info.max_rx_queues, info.max_tx_queues));
	n = RTE_MIN(RTE_MAX(n, 1), KIND_MAX_QUEUES);

	ec.rxmode.mtu = mtu;
	ec.rxmode.offloads = info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_SCATTER;
	ec.txmode.offloads = info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
	/* Segmentation is ours but where a row knows better: drivers disagree on what the checksum field of a request holds. */
	if ((info.tx_offload_capa & l4) == l4)
		ec.txmode.offloads |= l4;
	if (e->requests && (info.rx_offload_capa & requests) == requests)
		ec.rxmode.offloads |= requests;
	if (e->requests)
		ec.txmode.offloads |= info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_TCP_TSO;
	if (n > 1 && info.flow_type_rss_offloads) {
		ec.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
		ec.rx_adv_conf.rss_conf.rss_hf = info.flow_type_rss_offloads & (RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP);
	}
	ec.intr_conf.rxq = 1;
	r = rte_eth_dev_configure(e->id, n, n, &ec);
	if (r == -EINVAL && mtu > DP_MTU_DEFAULT)
		return dp_fail(err, r, "out-of-range", "mtu", NULL, "mtu %u: the device takes %u at most", mtu,
			       info.max_mtu != UINT16_MAX ? info.max_mtu : (uint16_t)(info.max_rx_pktlen - 18));
	if (r < 0)
		return dp_fail(err, r, "device", NULL, NULL, "configuring %u queue pairs: %s", n, rte_strerror(-r));
	r = queues_setup(e, &info, e->own_pool ? e->own_pool : env->pool, n, conf->ring ? conf->ring : RING_DEFAULT, err);
	if (r)
		return r;

	kp->n_queues = n;
	kp->caps = 0;
	if (ec.txmode.offloads & RTE_ETH_TX_OFFLOAD_MULTI_SEGS)
		kp->caps |= KIND_CAP_MULTI_SEG;
	if (ec.txmode.offloads & l4)
		kp->caps |= KIND_CAP_CSUM_L4;
	if (ec.txmode.offloads & RTE_ETH_TX_OFFLOAD_TCP_TSO)
		kp->caps |= KIND_CAP_TSO4 | KIND_CAP_TSO6;
	kp->max_mtu = DP_MTU_MAX;
	return 0;
}

static int start(struct kind_port *kp, const struct dp_port_conf *conf, struct dp_error *err)
{
	struct ethdev *e = kp->priv;
	int r = rte_eth_dev_start(e->id);

	if (r < 0)
		return dp_fail(err, r, "device", NULL, "the lines logged by dpdk say why", "starting the device: %s",
			       rte_strerror(-r));
	/* A switch hears everybody. A virtual device without the notion says so, and hears everything anyway. */
	r = rte_eth_promiscuous_enable(e->id);
	if (r < 0 && r != -ENOTSUP)
		return dp_fail(err, r, "device", NULL, NULL, "promiscuous mode: %s", rte_strerror(-r));
	kp->rx = rte_eth_fp_ops[e->id].rx_pkt_burst;
	kp->tx = rte_eth_fp_ops[e->id].tx_pkt_burst;
	/* A device that cannot interrupt is no error to us. */
	rte_log_set_level_pattern("lib.ethdev", RTE_LOG_CRIT);
	for (uint16_t q = 0; q < kp->n_queues; q++) {
		kp->rxq[q] = rte_eth_fp_ops[e->id].rxq.data[q];
		kp->txq[q] = rte_eth_fp_ops[e->id].txq.data[q];
		/* Does the driver want to be armed? One that has a descriptor but no such call is readable while frames wait. */
		e->intr[q] = rte_eth_dev_rx_intr_enable(e->id, q) == 0;
		if (e->intr[q])
			rte_eth_dev_rx_intr_disable(e->id, q);
		e->intr_fd[q] = rte_eth_dev_rx_intr_ctl_q_get_fd(e->id, q);
		e->bell[q] = e->intr_fd[q] >= 0 && bell_is(e->intr_fd[q]);
	}
	rte_log_set_level_pattern("lib.ethdev", RTE_LOG_WARNING);
	return 0;
}

/* af-xdp: of a netdev that is gone the driver complains that it cannot be left as it was. */
static bool is_gone(const struct ethdev *e)
{
	char name[IFNAMSIZ];

	return e->ifindex && !if_indextoname(e->ifindex, name);
}

void ethdev_close(struct kind_port *kp)
{
	struct ethdev *e = kp->priv;
	struct xsk_set before, after;
	bool gone = is_gone(e);
	int r;

	xsk_list(&before);

	if (e->device) {
		if (gone)
			rte_log_set_level_pattern("pmd.net.af_xdp", RTE_LOG_EMERG);
		/* The driver set the netdev's flag, which outlives it. */
		rte_eth_promiscuous_disable(e->id);
		r = rte_eth_dev_stop(e->id);
		if (r < 0)
			dp_log(LOG_WARNING, "stopping device %u: %s", e->id, rte_strerror(-r));
		r = rte_eth_dev_close(e->id);
		if (r < 0)
			dp_log(LOG_WARNING, "closing device %u: %s", e->id, rte_strerror(-r));
		r = rte_dev_remove(e->device);
		if (r < 0)
			dp_log(LOG_WARNING, "removing device: %s", rte_strerror(-r));
		if (gone)
			rte_log_set_level_pattern("pmd.net.af_xdp", RTE_LOG_WARNING);
	}
	/* Before the buffers go, which the kernel has mapped through one of them. */
	xsk_close(&e->xsk);
	xsk_list(&after);
	xsk_subtract(&after, &before);
	xsk_close(&after);
	rte_mempool_free(e->own_pool);
	free(e->row);
	free(e);
	kp->priv = NULL;
}

int ethdev_open(struct kind_port *kp, const struct kind_env *env, const struct dp_port_conf *conf, uint16_t n_queues,
		const char *driver, const char *devargs, struct dp_error *err)
{
	struct ethdev *e = kp->priv;
	struct xsk_set before;
	int r = driver ? eal_driver(driver, err) : 0;

	xsk_list(&before);
	if (!r)
		r = probe(e, devargs, err);
	if (!r)
		r = configure(kp, env, conf, n_queues, err);
	if (!r)
		r = start(kp, conf, err);
	xsk_list(&e->xsk);
	xsk_subtract(&e->xsk, &before);
	if (r < 0)
		ethdev_close(kp);
	return r;
}

struct ethdev *ethdev_new(struct kind_port *kp, struct dp_error *err)
{
	struct ethdev *e = calloc(1, sizeof(*e));

	if (!e) {
		dp_fail(err, -ENOMEM, "no-memory", NULL, NULL, "out of memory");
		return NULL;
	}
	kp->priv = e;
	return e;
}

unsigned ethdev_unit(void)
{
	static unsigned unit;

	return unit++;
}

/* --- what the rows have in common ---------------------------------------------------------------------------------------- */

static bool netdev_running(unsigned ifindex)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = {0};
	bool up;

	if (fd < 0)
		return false;
	up = if_indextoname(ifindex, ifr.ifr_name) && !ioctl(fd, SIOCGIFFLAGS, &ifr) &&
	     (ifr.ifr_flags & (IFF_UP | IFF_RUNNING)) == (IFF_UP | IFF_RUNNING);
	close(fd);
	return up;
}

static bool ethdev_link_up(struct kind_port *kp)
{
	struct ethdev *e = kp->priv;
	struct rte_eth_link link;

	if (e->ifindex)
		return netdev_running(e->ifindex);
	return rte_eth_link_get_nowait(e->id, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
}

int ethdev_rx_fd(struct kind_port *kp, uint16_t q)
{
	struct ethdev *e = kp->priv;
	int fd = xsk_socket(&e->xsk, q);

	return fd >= 0 ? fd : e->intr_fd[q];
}

int ethdev_rx_arm(struct kind_port *kp, uint16_t q)
{
	struct ethdev *e = kp->priv;

	if (e->intr[q])
		rte_eth_dev_rx_intr_enable(e->id, q);
	return 0;
}

void ethdev_rx_disarm(struct kind_port *kp, uint16_t q)
{
	struct ethdev *e = kp->priv;

	if (e->intr[q])
		rte_eth_dev_rx_intr_disable(e->id, q);
}

void ethdev_rx_woke(struct kind_port *kp, uint16_t q)
{
	struct ethdev *e = kp->priv;
	uint64_t rung;

	if (e->bell[q] && read(e->intr_fd[q], &rung, sizeof(rung)) < 0)
		return; /* read already, with an earlier of two wake-ups */
}

void ethdev_lost(struct kind_port *kp, struct kind_lost *out)
{
	struct ethdev *e = kp->priv;
	struct rte_eth_stats st;

	if (rte_eth_stats_get(e->id, &st) == 0) {
		e->told.rx_missed = st.imissed;
		e->told.rx_error = st.ierrors;
		e->told.rx_no_buffer = st.rx_nombuf;
		/* What drivers count as transmit errors: frames refused by a full queue are still the switch's and counted there, so this is AF_XDP's and af_packet's double count. */
		e->told.tx_error = e->xsk.n ? 0 : st.oerrors;
	}
	/* A device that cannot be asked, for it was unplugged, lost what it last said: no counter goes back. */
	*out = e->told;
	for (unsigned q = 0; q < KIND_MAX_QUEUES; q++)
		out->rx_no_buffer += CMM_LOAD_SHARED(e->xq[q].no_buffer);
}

#define ETHDEV_COMMON                                                                                                          \
	.poll_link = true, .close = ethdev_close, .link_up = ethdev_link_up, .set_mtu = ethdev_set_mtu, .rx_fd = ethdev_rx_fd, \
	.rx_arm = ethdev_rx_arm, .rx_disarm = ethdev_rx_disarm, .rx_woke = ethdev_rx_woke, .lost = ethdev_lost

/* --- af-xdp ---------------------------------------------------------------------------------------------------------------- */

static int need_ifname(const struct dp_port_conf *conf, struct dp_error *err)
{
	if (!conf->ifname[0])
		return dp_fail(err, -EINVAL, "missing-attribute", "ifname", "ifname=eth1", "a port of kind %s needs ifname",
			       conf->kind);
	return 0;
}

static int need_netdev(const struct dp_port_conf *conf, struct dp_error *err)
{
	if (!if_nametoindex(conf->ifname))
		return dp_fail(err, -ENODEV, "no-such-device", "ifname", "`ip link` shows the netdevs of the daemon's namespace",
			       "ifname %s: no such netdev", conf->ifname);
	return 0;
}

/* libbpf and libxdp, which the driver brings along, write what they think to stderr. Their warnings are ours to log; level 0 is a warning in both. */
static int bpf_print(int level, const char *fmt, va_list ap)
{
	if (level == 0)
		dp_vlog(LOG_INFO, fmt, ap);
	return 0;
}

static int af_xdp_driver(struct dp_error *err)
{
	static const char *const setters[] = {"libbpf_set_print", "libxdp_set_print"};
	int r = eal_driver("net_af_xdp", err);

	for (unsigned i = 0; i < RTE_DIM(setters) && !r; i++) {
		void *(*set)(int (*)(int, const char *, va_list)) = dlsym(RTLD_DEFAULT, setters[i]);

		if (set)
			set(bpf_print);
	}
	return r;
}

/*
 * What this driver receives lies in the port's own buffers, and those go with the port; a frame may be on its way much longer (in another
 * worker's inbox, in the ring of a NIC). So it is copied into the switch's buffers at once.
 */
static uint16_t af_xdp_rx(void *queue, struct rte_mbuf **frames, uint16_t n)
{
	struct xsk_queue *q = queue;
	struct rte_mbuf *received[WORKER_BURST];
	uint16_t got = q->rx(q->queue, received, RTE_MIN(n, WORKER_BURST)), kept = 0;

	for (uint16_t i = 0; i < got; i++) {
		frames[kept] = rte_pktmbuf_copy(received[i], q->pool, 0, UINT32_MAX);
		if (likely(frames[kept] != NULL))
			kept++;
		else
			q->no_buffer++;
	}
	if (got)
		rte_pktmbuf_free_bulk(received, got);
	return kept;
}

static int af_xdp_try(struct kind_port *kp, const struct kind_env *env, const struct dp_port_conf *conf, uint16_t n_queues,
		      struct dp_error *err)
{
	unsigned unit = ethdev_unit();
	struct ethdev *e = ethdev_new(kp, err);
	bool large = conf->mtu > 1900 || conf->carrier[0]; /* the trunk's MTU may grow, and the port cannot be made again for it */
	char devargs[128], name[RTE_MEMPOOL_NAMESIZE];
	int r;

	if (!e)
		return -ENOMEM;
	snprintf(name, sizeof(name), "xsk_%u", unit);
	e->own_pool =
		rte_pktmbuf_pool_create(name, XSK_BUFFERS, 256, 0, large ? XSK_BIG_ROOM : RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	if (!e->own_pool) {
		ethdev_close(kp);
		return dp_fail(err, -ENOMEM, "no-memory", NULL, "fewer af-xdp ports, or more memory for DPDK",
			       "af-xdp: %d buffers: %s", XSK_BUFFERS, rte_strerror(rte_errno));
	}
	kp->pool = e->own_pool;
	e->ifindex = if_nametoindex(conf->ifname);
	/* Frames may come from a sender whose kernel left the checksum to "hardware" that is us. */
	kp->partial_csum = true;
	snprintf(devargs, sizeof(devargs), "net_af_xdp%u,iface=%s,start_queue=0,queue_count=%u", unit, conf->ifname, n_queues);
	r = ethdev_open(kp, env, conf, n_queues, NULL, devargs, err);
	if (r < 0)
		return r;
	for (uint16_t i = 0; i < kp->n_queues; i++) {
		e->xq[i] = (struct xsk_queue){.rx = kp->rx, .queue = kp->rxq[i], .pool = env->pool};
		kp->rxq[i] = &e->xq[i];
	}
	kp->rx = af_xdp_rx;
	return 0;
}

/*
 * The kernel gives a netdev's queue back some time after its XDP socket was closed, from a work queue, and tells nobody; until then it is
 * busy, and the driver reports every failure alike. So a port that takes the place of one just removed may have to try again. Only the
 * last try's lines of the driver are logged.
 */
static int af_xdp_open(struct kind_port *kp, const struct kind_env *env, const struct dp_port_conf *conf, uint16_t n_queues,
		       struct dp_error *err)
{
	const struct timespec pause = {.tv_nsec = XSK_RETRY_MS * 1000000l};
	int r = need_netdev(conf, err);

	if (!r)
		r = af_xdp_driver(err);
	if (r < 0)
		return r;
	if (conf->mtu > XSK_BIG_ROOM - RTE_PKTMBUF_HEADROOM - 256 - 22)
		return dp_fail(err, -EINVAL, "out-of-range", "mtu", "af-packet carries 9216",
			       "mtu %u: af-xdp carries %d at most (a frame is a page)", conf->mtu,
			       XSK_BIG_ROOM - RTE_PKTMBUF_HEADROOM - 256 - 22);
	for (unsigned tries = 1; tries < XSK_TRIES; tries++) {
		rte_log_set_level_pattern("pmd.net.af_xdp", RTE_LOG_EMERG);
		r = af_xdp_try(kp, env, conf, n_queues, err);
		rte_log_set_level_pattern("pmd.net.af_xdp", RTE_LOG_WARNING);
		if (r != -EINVAL && r != -EBUSY)
			return r;
		nanosleep(&pause, NULL);
	}
	return af_xdp_try(kp, env, conf, n_queues, err);
}

const struct port_kind ethdev_af_xdp = {.name = "af-xdp", .validate = need_ifname, .open = af_xdp_open, ETHDEV_COMMON};
const struct port_kind ethdev_xdp_trunk = {
	.name = "trunk", .carrier = "af-xdp", .validate = need_ifname, .open = af_xdp_open, ETHDEV_COMMON};

/* --- nic --------------------------------------------------------------------------------------------------------------------- */

static int nic_validate(const struct dp_port_conf *conf, struct dp_error *err)
{
	if (!conf->devargs[0])
		return dp_fail(err, -EINVAL, "missing-attribute", "devargs", "devargs=0000:03:00.0 or devargs=net_pcap0,iface=eth1",
			       "a port of kind nic needs devargs");
	return 0;
}

static int nic_open(struct kind_port *kp, const struct kind_env *env, const struct dp_port_conf *conf, uint16_t n_queues,
		    struct dp_error *err)
{
	char driver[64];
	size_t n = strcspn(conf->devargs, ",0123456789");

	/* A virtual device's name is its driver's, and a number: net_pcap0. Anything else is an address on a bus, whose driver was loaded at start. */
	snprintf(driver, sizeof(driver), "%.*s", (int)RTE_MIN(n, sizeof(driver) - 1), conf->devargs);
	if (!ethdev_new(kp, err))
		return -ENOMEM;
	/* One virtio-user driver serves both names. */
	if (!strcmp(driver, "net_virtio_user"))
		snprintf(driver, sizeof(driver), "net_virtio");
	return ethdev_open(kp, env, conf, n_queues, strncmp(driver, "net_", 4) ? NULL : driver, conf->devargs, err);
}

const struct port_kind ethdev_nic = {.name = "nic", .validate = nic_validate, .open = nic_open, ETHDEV_COMMON};
