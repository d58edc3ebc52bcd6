/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel engine, driven by lines: what the daemon does with it, for tests and benches that need no daemon.
 *
 *   engine_ctl BPF_DIR             opens the engine and answers each line of its input with lines that end with "ok" or "error ..."
 *   engine_ctl --cleanup BPF_DIR
 *
 *   port add|set NAME key=value ...       netns ifname mac addr gateway vlan mode trunks cvlans qinq ips static mtu isolated down mac-limit
 *                                         pcp in-bps in-pps out-bps out-pps burst; lists are joined with ","
 *   port del NAME                vlan set ID storm= mac-limit= aging=          vlan del ID
 *   trunk set IFNAME vlan= mtu= pcp=  trunk make NAME [mtu=] [by=veth|veth-xdp|...]
 *   begin ... end                 the changes between are one transaction; its time in us is told
 *   state NAME   stats NAME   fdb   ports   probe   events (what happened since)
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <arpa/inet.h>

#include "kern.h"

#define MAX_OPS 4096

static struct kern *engine;
static struct kern_op ops[MAX_OPS];
static size_t n_ops;
static bool batch;

static const char *const drop_names[] = {
#define X(sym, name, doc) name,
	SLC_DROP_REASONS(X)
#undef X
};

static void event(void *arg, const char *port, enum kern_event what)
{
	static const char *const names[] = {[KERN_LINK_DOWN] = "down", [KERN_LINK_UP] = "up", [KERN_LOST] = "lost"};

	printf("event %s %s\n", port, names[what]);
}

/* --- values ------------------------------------------------------------------------------------------------------------------- */

static bool parse_mac(const char *s, uint8_t mac[6])
{
	return sscanf(s, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &mac[0], &mac[1], &mac[2], &mac[3], &mac[4], &mac[5]) == 6;
}

static bool parse_ip(const char *s, struct kern_ip *ip)
{
	char text[64], *slash;

	snprintf(text, sizeof(text), "%s", s);
	slash = strchr(text, '/');
	if (slash)
		*slash++ = '\0';
	ip->family = strchr(text, ':') ? AF_INET6 : AF_INET;
	ip->prefix = slash ? atoi(slash) : ip->family == AF_INET ? 32 : 128;
	return inet_pton(ip->family, text, &ip->v4) == 1;
}

static bool parse_set(char *s, struct kern_vlan_set *set)
{
	set->given = true;
	for (char *save, *w = strtok_r(s, ",", &save); w; w = strtok_r(NULL, ",", &save)) {
		unsigned from = strtoul(w, &w, 10), to = *w == '-' ? strtoul(w + 1, NULL, 10) : from;

		for (unsigned v = from; v <= to && v < 4096; v++)
			set->bits[v / 64] |= 1ull << v % 64;
	}
	return true;
}

static bool parse_mode(const char *s, enum kern_vlan_mode *mode)
{
	static const char *const names[] = {"access", "trunk", "native-tagged", "native-untagged", "dot1q-tunnel"};

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(s, names[i]) == 0) {
			*mode = i;
			return true;
		}
	}
	return false;
}

static bool parse_ips(char *v, struct kern_ip *ips, uint8_t *n)
{
	for (char *save, *w = strtok_r(v, ",", &save); w; w = strtok_r(NULL, ",", &save)) {
		if (*n == KERN_MAX_IPS || !parse_ip(w, &ips[(*n)++]))
			return false;
	}
	return true;
}

static bool parse_gateways(char *v, struct kern_port_conf *c)
{
	struct kern_ip ips[KERN_MAX_IPS];
	uint8_t n = 0;

	if (!parse_ips(v, ips, &n))
		return false;
	for (unsigned i = 0; i < n; i++) {
		if (ips[i].family == AF_INET) {
			c->has_gateway4 = true;
			c->gateway4 = ips[i].v4;
		} else {
			c->has_gateway6 = true;
			c->gateway6 = ips[i].v6;
		}
	}
	return true;
}

static bool parse_static(char *v, struct kern_port_conf *c)
{
	for (char *save, *w = strtok_r(v, ",", &save); w; w = strtok_r(NULL, ",", &save)) {
		struct kern_static_mac *s = &c->static_macs[c->n_static_macs++];
		char *at = strchr(w, '@');

		if (!at || !parse_mac(w, s->mac))
			return false;
		s->vlan = atoi(at + 1);
	}
	return true;
}

static void parse_pcp(const char *v, bool *has, uint8_t *pcp)
{
	*has = true;
	*pcp = atoi(v);
}

static bool port_key(struct kern_port_conf *c, const char *key, char *v)
{
	const struct {
		const char *key;
		char *to;
		size_t size;
	} texts[] = {{"netns", c->netns, sizeof(c->netns)}, {"ifname", c->ifname, sizeof(c->ifname)}};
	const struct {
		const char *key;
		uint64_t *to;
	} limits[] = {{"in-bps", &c->in.bps}, {"in-pps", &c->in.pps}, {"out-bps", &c->out.bps}, {"out-pps", &c->out.pps}};

	for (unsigned i = 0; i < 2; i++) {
		if (strcmp(key, texts[i].key) == 0)
			return (size_t)snprintf(texts[i].to, texts[i].size, "%s", v) < texts[i].size;
	}
	for (unsigned i = 0; i < 4; i++) {
		if (strcmp(key, limits[i].key) == 0) {
			*limits[i].to = strtoull(v, NULL, 10);
			return true;
		}
	}
	if (strcmp(key, "mac") == 0)
		return c->has_mac = parse_mac(v, c->mac);
	if (strcmp(key, "addr") == 0)
		return parse_ips(v, c->addrs, &c->n_addrs);
	if (strcmp(key, "ips") == 0)
		return parse_ips(v, c->ips, &c->n_ips);
	if (strcmp(key, "gateway") == 0)
		return parse_gateways(v, c);
	if (strcmp(key, "mode") == 0)
		return parse_mode(v, &c->vlan_mode);
	if (strcmp(key, "trunks") == 0)
		return parse_set(v, &c->trunks);
	if (strcmp(key, "cvlans") == 0)
		return parse_set(v, &c->cvlans);
	if (strcmp(key, "static") == 0)
		return parse_static(v, c);
	if (strcmp(key, "vlan") == 0)
		c->vlan = atoi(v);
	else if (strcmp(key, "mtu") == 0)
		c->mtu = atoi(v);
	else if (strcmp(key, "qinq") == 0)
		c->qinq_ethertype = strtoul(v, NULL, 16);
	else if (strcmp(key, "mac-limit") == 0)
		c->mac_limit = atoi(v);
	else if (strcmp(key, "isolated") == 0)
		c->isolated = atoi(v);
	else if (strcmp(key, "down") == 0)
		c->down = atoi(v);
	else if (strcmp(key, "pcp") == 0)
		parse_pcp(v, &c->has_pcp, &c->pcp);
	else if (strcmp(key, "burst") == 0)
		c->in.burst_bytes = c->out.burst_bytes = strtoull(v, NULL, 10);
	else
		return false;
	return true;
}

static bool vlan_key(struct kern_vlan_conf *c, const char *key, const char *v)
{
	if (strcmp(key, "storm") == 0)
		c->storm_pps = strtoull(v, NULL, 10);
	else if (strcmp(key, "mac-limit") == 0)
		c->mac_limit = atoi(v);
	else if (strcmp(key, "aging") == 0)
		c->aging_s = atoi(v);
	else
		return false;
	return true;
}

static enum kern_trunk_by trunk_by;

static enum kern_trunk_by by_name(const char *name)
{
	for (unsigned i = 0; kern_trunk_by_name(i); i++)
		if (!strcmp(kern_trunk_by_name(i), name))
			return i;
	return KERN_TRUNK_AUTO;
}

static bool trunk_key(struct kern_trunk_conf *c, const char *key, const char *v)
{
	if (strcmp(key, "vlan") == 0)
		c->vlan = atoi(v);
	else if (strcmp(key, "mtu") == 0)
		c->mtu = atoi(v);
	else if (strcmp(key, "down") == 0)
		c->down = atoi(v);
	else if (strcmp(key, "pcp") == 0)
		parse_pcp(v, &c->has_pcp, &c->pcp);
	else if (strcmp(key, "by") == 0)
		trunk_by = by_name(v);
	else
		return false;
	return true;
}

/* --- changes ------------------------------------------------------------------------------------------------------------------- */

static uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static void told(int r, const struct kern_error *err)
{
	if (r < 0)
		printf("error %s %s|%s|%s|%s\n", strerrorname_np(-r), err->name, err->attr, err->msg, err->hint);
	else
		printf("ok\n");
}

static void apply(void)
{
	struct kern_error err = {.name = ""};
	uint64_t start = now_us();
	int r = kern_apply(engine, ops, n_ops, false, &err);

	if (r == 0)
		printf("took %llu\n", (unsigned long long)(now_us() - start));
	told(r, &err);
	for (size_t i = 0; i < n_ops; i++)
		free((void *)ops[i].port);
	n_ops = 0;
}

/* Takes conf over. */
static void change(enum kern_op_type type, void *conf)
{
	if (n_ops == MAX_OPS) {
		printf("error ENOSPC too-many||too many changes in one transaction|\n");
		free(conf);
		return;
	}
	ops[n_ops].type = type;
	ops[n_ops++].port = conf;
	if (!batch)
		apply();
}

static bool split(char *word, char **value)
{
	*value = strchr(word, '=');
	if (!*value)
		return false;
	*(*value)++ = '\0';
	return true;
}

/* A configuration from the words that are left, by the table's function for one. */
#define PARSE(conf, key_fn, save)                                     \
	for (char *w; (w = strtok_r(NULL, " ", save));) {             \
		char *v;                                              \
		if (!split(w, &v) || !key_fn(conf, w, v)) {           \
			printf("error EINVAL unknown-key|%s||\n", w); \
			free(conf);                                   \
			return;                                       \
		}                                                     \
	}

static void port_command(const char *verb, const char *name, char **save)
{
	struct kern_port_conf *c = calloc(1, sizeof(*c));

	if (!c)
		exit(1);
	snprintf(c->name, sizeof(c->name), "%s", name);
	PARSE(c, port_key, save)
	change(strcmp(verb, "add") == 0 ? KERN_PORT_ADD : strcmp(verb, "set") == 0 ? KERN_PORT_SET : KERN_PORT_DEL, c);
}

static void vlan_command(const char *verb, const char *id, char **save)
{
	struct kern_vlan_conf *c = calloc(1, sizeof(*c));

	if (!c)
		exit(1);
	c->id = atoi(id);
	PARSE(c, vlan_key, save)
	change(strcmp(verb, "set") == 0 ? KERN_VLAN_SET : KERN_VLAN_DEL, c);
}

static void trunk_command(const char *verb, const char *name, char **save)
{
	struct kern_trunk_conf *c = calloc(1, sizeof(*c));
	struct kern_error err;
	struct kern_trunk_netdev made;
	int r;

	if (!c)
		exit(1);
	snprintf(c->ifname, sizeof(c->ifname), "%s", strcmp(name, "-") == 0 ? "" : name);
	trunk_by = KERN_TRUNK_AUTO;
	PARSE(c, trunk_key, save)
	if (strcmp(verb, "make") != 0) {
		change(KERN_TRUNK_SET, c);
		return;
	}
	r = kern_trunk_netdev(engine, name, trunk_by, c->mtu, &made, &err);
	if (r == 0)
		printf("peer %s\nby %s\nwhy %s\n", made.far, made.by, made.why);
	told(r, &err);
	free(c);
}

/* --- questions ------------------------------------------------------------------------------------------------------------------ */

static void state(const char *name)
{
	struct kern_port_state s;
	int r = kern_port_state(engine, name, &s);

	if (r < 0) {
		printf("error %s no-such-object||%s|\n", strerrorname_np(-r), name);
		return;
	}
	printf("link_up %d\nlost %d\norphan %d\nhost_ifname %s\nifindex %u\npeer_ifindex %u\nmtu %u\nmacs %u\nok\n", s.link_up,
	       s.lost, s.orphan, s.host_ifname, s.ifindex, s.peer_ifindex, s.mtu, s.macs);
}

static void stats(const char *name)
{
	struct slc_k_count s;
	int r = kern_port_stats(engine, name, &s);

	if (r < 0) {
		printf("error %s no-such-object||%s|\n", strerrorname_np(-r), name);
		return;
	}
	printf("rx_frames %llu\nrx_bytes %llu\ntx_frames %llu\ntx_bytes %llu\nflooded %llu\nlearn_refused %llu\nmoved "
	       "%llu\nanswered %llu\n",
	       (unsigned long long)s.rx_frames, (unsigned long long)s.rx_bytes, (unsigned long long)s.tx_frames,
	       (unsigned long long)s.tx_bytes, (unsigned long long)s.flooded, (unsigned long long)s.learn_refused,
	       (unsigned long long)s.moved, (unsigned long long)s.answered);
	for (unsigned i = 0; i < SLC_DROP_N; i++) {
		if (s.drops[i])
			printf("drop.%s %llu\n", drop_names[i], (unsigned long long)s.drops[i]);
	}
	printf("ok\n");
}

static bool print_entry(void *arg, const struct kern_fdb_entry *x)
{
	printf("fdb %u %02x:%02x:%02x:%02x:%02x:%02x %s %s %u\n", x->vlan, x->mac[0], x->mac[1], x->mac[2], x->mac[3], x->mac[4],
	       x->mac[5], x->port, x->is_static ? "static" : "learned", x->age_s);
	return true;
}

static void question(const char *what, const char *name)
{
	if (strcmp(what, "state") == 0 && name) {
		state(name);
	} else if (strcmp(what, "stats") == 0 && name) {
		stats(name);
	} else if (strcmp(what, "fdb") == 0) {
		kern_fdb_walk(engine, -1, NULL, print_entry, NULL);
		printf("ok\n");
	} else if (strcmp(what, "ports") == 0) {
		unsigned cursor = 0;

		for (const char *p; (p = kern_port_walk(engine, &cursor));)
			printf("port %s\n", p);
		printf("ok\n");
	} else if (strcmp(what, "probe") == 0) {
		struct kern_features f;

		kern_probe(&f);
		printf("available %d\nshaping %d\nmissing %s\nok\n", f.available, f.shaping, f.missing);
	} else if (strcmp(what, "events") == 0) {
		printf("ok\n");
	} else {
		printf("error EINVAL unknown-command||%s|\n", what);
	}
}

static void command(char *line)
{
	char *save, *what = strtok_r(line, " ", &save), *verb, *name;

	if (!what)
		return;
	if (strcmp(what, "begin") == 0) {
		batch = true;
		printf("ok\n");
	} else if (strcmp(what, "end") == 0) {
		batch = false;
		apply();
	} else if (strcmp(what, "port") == 0 || strcmp(what, "vlan") == 0 || strcmp(what, "trunk") == 0) {
		verb = strtok_r(NULL, " ", &save);
		name = strtok_r(NULL, " ", &save);
		if (!verb || !name)
			printf("error EINVAL usage|||\n");
		else if (what[0] == 'p')
			port_command(verb, name, &save);
		else if (what[0] == 'v')
			vlan_command(verb, name, &save);
		else
			trunk_command(verb, name, &save);
		if (batch)
			printf("ok\n");
	} else {
		question(what, strtok_r(NULL, " ", &save));
	}
}

static int serve(void)
{
	struct pollfd fds[] = {{.fd = 0, .events = POLLIN}, {.fd = kern_fd(engine), .events = POLLIN}};
	char *line = NULL;
	size_t room = 0;

	/* Unbuffered, so that poll() sees every line that is left. */
	setvbuf(stdin, NULL, _IONBF, 0);
	setvbuf(stdout, NULL, _IOFBF, 1 << 16);
	for (;;) {
		ssize_t n;

		fflush(stdout);
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return 1;
		if (fds[1].revents)
			kern_dispatch(engine);
		if (!fds[0].revents)
			continue;
		n = getline(&line, &room, stdin);
		if (n <= 0)
			break;
		line[n - 1] = '\0';
		command(line);
	}
	free(line);
	return 0;
}

int main(int argc, char **argv)
{
	struct kern_config config = {.event = event};
	struct kern_error err;
	int r;

	if (argc == 3 && strcmp(argv[1], "--cleanup") == 0) {
		r = kern_cleanup(argv[2]);
		if (r < 0)
			fprintf(stderr, "cleanup: %s\n", strerror(-r));
		return r < 0;
	}
	if (argc != 2) {
		fprintf(stderr, "usage: engine_ctl [--cleanup] BPF_DIR\n");
		return 2;
	}
	config.bpf_dir = argv[1];
	r = kern_open(&engine, &config, &err);
	if (r < 0) {
		fprintf(stderr, "%s: %s\n", err.name, err.msg);
		return 1;
	}
	printf("ready\n");
	fflush(stdout);
	r = serve();
	kern_close(engine);
	return r;
}
