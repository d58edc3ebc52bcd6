/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/random.h>

#include "addresses.h"
#include "check.h"
#include "commands.h"
#include "delegate.h"
#include "gc.h"
#include "link.h"
#include "node.h"
#include "result.h"

#define MAX_ROUTES 64

/* One call of this program. */
struct call {
	struct cni_env env;
	struct cni_conf conf;
	struct node node;
	char port[PORT_NAME_SIZE];
	FILE *out;
};

/* --- output ------------------------------------------------------------------------------------------------------------------- */

/* Takes over `what`. 0 or IO. */
static int print(FILE *out, json_t *what, struct cni_error *err)
{
	int bad = json_dumpf(what, out, JSON_INDENT(4));

	json_decref(what);
	bad |= fputc('\n', out) == EOF;
	bad |= fflush(out);
	return bad ? cni_fail(err, CNI_IO, NULL, "cannot print the result: %s", strerror(errno)) : 0;
}

/* --- ADD ---------------------------------------------------------------------------------------------------------------------- */

static int get_addresses(struct call *c, struct addresses *a, struct cni_error *err)
{
	json_t *result;
	int ret;

	if (!c->conf.ipam) {
		ret = addresses_from_wants(a, &c->conf, err);
	} else {
		ret = delegate(&c->conf, &c->env, CNI_ADD, &result, err);
		if (!ret)
			ret = addresses_from_result(a, result, c->conf.ipam, err);
		json_decref(result);
	}
	if (!ret)
		addresses_prefer_dns(a, c->conf.dns);
	return ret;
}

/* What was asked for; else, for anti-spoofing, one made here: the check needs to know it before the first frame. */
static int choose_mac(const struct call *c, bool spoofcheck, char mac[18], struct cni_error *err)
{
	uint8_t b[6];

	snprintf(mac, 18, "%s", c->conf.mac);
	if (*mac || !spoofcheck)
		return 0;
	if (getrandom(b, sizeof(b), 0) != sizeof(b))
		return cni_fail(err, CNI_INTERNAL, NULL, "getrandom: %s", strerror(errno));
	b[0] = (b[0] & ~0x01) | 0x02; /* unicast, locally administered */
	snprintf(mac, 18, "%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4], b[5]);
	return 0;
}

/* The port's end on the node: of a pair, each names the other. Not there if the daemon lives in another namespace. */
static bool find_host_end(const struct link *inner, struct link *host)
{
	struct cni_error ignored;
	struct netlink nl;
	bool found;

	if (!inner->peer || link_open(&nl, NULL, &ignored))
		return false;
	found = link_by_index(&nl, inner->peer, host) == 0 && host->peer == inner->ifindex;
	netlink_close(&nl);
	return found;
}

static int set_routes(struct netlink *nl, const struct addresses *a, const struct link *inner, struct cni_error *err)
{
	struct link_route routes[MAX_ROUTES];
	unsigned n;

	if (addresses_routes(a, routes, MAX_ROUTES, &n, err))
		return err->code;
	for (unsigned i = 0; i < n; i++) {
		int ret = link_add_route(nl, inner->ifindex, &routes[i]);

		if (ret < 0)
			return cni_fail(err, CNI_BAD_CONFIG, nl->why,
					"route %u of those that the port's gateway does not cover: %s", i + 1, strerror(-ret));
	}
	return 0;
}

/* The port is in force: what came of it, and the result. */
static int finish_add(struct call *c, struct netlink *nl, const struct addresses *a, struct cni_error *err)
{
	struct link inner, host;
	int ret = link_find(nl, c->env.ifname, &inner);

	if (ret < 0)
		return cni_fail(err, CNI_IO, NULL, "%s is not in %.300s after the port was made: %s", c->env.ifname, c->env.netns,
				strerror(-ret));
	if (set_routes(nl, a, &inner, err))
		return err->code;
	return print(
		c->out,
		result_make(c->conf.version, c->conf.prev, a, find_host_end(&inner, &host) ? &host : NULL, &inner, c->env.netns),
		err);
}

/* Addresses first, and a port that has them. */
static int add_known(struct call *c, struct netlink *nl, struct addresses *a, struct cni_error *err)
{
	struct cni_error ignored;
	char mac[18];
	json_t *attrs;
	int ret = get_addresses(c, a, err);

	if (ret)
		return ret;
	if (choose_mac(c, addresses_spoofcheck(a, &c->conf), mac, err))
		return err->code;
	attrs = addresses_port(a, &c->conf, &c->env, mac);
	ret = node_add(&c->node, c->port, attrs, c->conf.vlan, err);
	json_decref(attrs);
	if (ret)
		return ret;
	ret = finish_add(c, nl, a, err);
	if (ret)
		node_del(&c->node, c->port, &ignored);
	return ret;
}

/* A port first, through which the address is asked for. It is given back through it, too, so it goes last. */
static int add_asking(struct call *c, struct netlink *nl, struct addresses *a, struct cni_error *err)
{
	struct cni_error ignored;
	char mac[18];
	json_t *attrs;
	int ret;

	if (choose_mac(c, c->conf.spoofcheck != SPOOFCHECK_OFF, mac, err))
		return err->code;
	attrs = addresses_asking(&c->conf, &c->env, mac);
	ret = node_add(&c->node, c->port, attrs, c->conf.vlan, err);
	json_decref(attrs);
	if (ret)
		return ret;
	ret = get_addresses(c, a, err);
	if (!ret) {
		attrs = addresses_answered(a, &c->conf, &c->env);
		ret = node_set(&c->node, c->port, attrs, err);
		json_decref(attrs);
	}
	if (!ret)
		ret = finish_add(c, nl, a, err);
	if (ret) {
		delegate(&c->conf, &c->env, CNI_DEL, NULL, &ignored);
		node_del(&c->node, c->port, &ignored);
	}
	return ret;
}

static int command_add(struct call *c, struct cni_error *err)
{
	struct addresses a = {0};
	struct cni_error ignored;
	struct link link;
	struct netlink nl;
	int ret;

	if (link_open(&nl, c->env.netns, err))
		return err->code;
	ret = link_find(&nl, c->env.ifname, &link);
	if (ret == 0)
		ret = cni_fail(err, CNI_BAD_ENVIRONMENT, NULL, "invalid environment: CNI_IFNAME %s: is in the container already",
			       c->env.ifname);
	else if (ret != -ENODEV)
		ret = cni_fail(err, CNI_IO, nl.why, "%s in %.300s: %s", c->env.ifname, c->env.netns, strerror(-ret));
	else
		ret = node_open(&c->node, &c->conf, err);
	if (!ret && delegate_needs_link(&c->conf)) {
		ret = add_asking(c, &nl, &a, err);
	} else if (!ret) {
		ret = add_known(c, &nl, &a, err);
		if (ret && c->conf.ipam)
			delegate(&c->conf, &c->env, CNI_DEL, NULL, &ignored);
	}
	addresses_free(&a);
	node_close(&c->node);
	netlink_close(&nl);
	return ret;
}

/* --- the others --------------------------------------------------------------------------------------------------------------- */

/* The error of what failed first; the rest was tried all the same. */
static int both(int first, const struct cni_error *first_err, int second, struct cni_error *err)
{
	if (first)
		*err = *first_err;
	return first ? first : second;
}

static int command_del(struct call *c, struct cni_error *err)
{
	bool first = delegate_needs_link(&c->conf);
	struct cni_error port_err;
	int ret, ipam = first ? delegate(&c->conf, &c->env, CNI_DEL, NULL, err) : 0;

	ret = node_open(&c->node, &c->conf, &port_err);
	if (!ret)
		ret = node_del(&c->node, c->port, &port_err);
	node_close(&c->node);
	if (!first && c->conf.ipam)
		ipam = delegate(&c->conf, &c->env, CNI_DEL, NULL, err);
	return both(ret, &port_err, ipam, err);
}

static int command_check(struct call *c, struct cni_error *err)
{
	int ret = check_container(&c->conf, &c->env, err);

	if (ret)
		return ret;
	ret = node_open(&c->node, &c->conf, err);
	if (!ret)
		ret = check_attached(&c->node, &c->conf, c->port, err);
	node_close(&c->node);
	return ret || !c->conf.ipam ? ret : delegate(&c->conf, &c->env, CNI_CHECK, NULL, err);
}

static int command_gc(struct call *c, struct cni_error *err)
{
	struct cni_error port_err;
	json_t *valid;
	int ret = gc_valid(&c->conf, &valid, err), ipam;

	if (!ret) {
		ret = node_open(&c->node, &c->conf, &port_err);
		if (!ret)
			ret = gc_ports(&c->node, &c->conf, &c->env, valid, &port_err);
		node_close(&c->node);
		ipam = c->conf.ipam ? delegate(&c->conf, &c->env, CNI_GC, NULL, err) : 0;
		ret = both(ret, &port_err, ipam, err);
	}
	json_decref(valid);
	return ret;
}

static int command_status(struct call *c, struct cni_error *err)
{
	int ret = node_open(&c->node, &c->conf, err);

	if (!ret)
		ret = node_status(&c->node, err);
	node_close(&c->node);
	if (ret) {
		err->code = CNI_NOT_AVAILABLE;
		return err->code;
	}
	return c->conf.ipam ? delegate(&c->conf, &c->env, CNI_STATUS, NULL, err) : 0;
}

static int (*const commands[CNI_COMMANDS])(struct call *c, struct cni_error *err) = {
	[CNI_ADD] = command_add, [CNI_DEL] = command_del,	[CNI_CHECK] = command_check,
	[CNI_GC] = command_gc,	 [CNI_STATUS] = command_status,
};

/* --- input -------------------------------------------------------------------------------------------------------------------- */

/* All of stdin, decoded. NULL with *err. */
static json_t *read_input(FILE *in, struct cni_error *err)
{
	char *text = malloc(CONF_BYTES_MAX + 1);
	size_t n = text ? fread(text, 1, CONF_BYTES_MAX + 1, in) : 0;
	json_error_t bad;
	json_t *json = NULL;

	if (!text)
		cni_no_memory(err);
	else if (ferror(in))
		cni_fail(err, CNI_IO, NULL, "cannot read the configuration: %s", strerror(errno));
	else if (n > CONF_BYTES_MAX)
		cni_fail(err, CNI_DECODE, NULL, "the configuration: longer than %u bytes", CONF_BYTES_MAX);
	else if (!(json = json_loadb(text, n, JSON_REJECT_DUPLICATES, &bad)))
		cni_fail(err, CNI_DECODE, NULL, "the configuration: not JSON: line %d: %s", bad.line, bad.text);
	free(text);
	return json;
}

static int run_call(struct call *c, json_t *input, struct cni_error *err)
{
	int ret = conf_read(&c->conf, input, &c->env, err);

	if (ret)
		return ret;
	if (c->env.command == CNI_ADD || c->env.command == CNI_DEL || c->env.command == CNI_CHECK)
		conf_port_name(c->port, c->conf.name, c->env.container, c->env.ifname);
	return commands[c->env.command](c, err);
}

int commands_run(FILE *in, FILE *out)
{
	struct call c = {.out = out};
	struct cni_error err = {0};
	const char *version = NULL;
	json_t *input = NULL;
	int ret = env_read(&c.env, &err);

	if (!ret) {
		input = read_input(in, &err);
		version = json_string_value(json_object_get(input, "cniVersion"));
		/* VERSION is asked by those who do not know yet what to say. */
		if (c.env.command == CNI_VERSION)
			ret = print(out, result_versions(version), &err);
		else
			ret = input ? run_call(&c, json_incref(input), &err) : err.code;
	}
	if (ret && version && cni_version_parse(version) == CNI_VERSIONS)
		version = NULL;
	if (ret)
		print(out, result_error(version ? version : cni_version_name(CNI_VERSIONS - 1), &err), &err);
	conf_free(&c.conf);
	json_decref(input);
	return ret ? EXIT_FAILURE : EXIT_SUCCESS;
}
