/* SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "check.h"
#include "link.h"
#include "result.h"

static int check_link(struct netlink *nl, const json_t *want, const struct cni_env *env, struct link *link, struct cni_error *err)
{
	const char *mac = json_string_value(json_object_get(want, "mac"));
	json_int_t mtu = json_integer_value(json_object_get(want, "mtu"));
	int ret = link_find(nl, env->ifname, link);

	if (ret < 0)
		return cni_fail(err, CNI_DIFFERS, NULL, "%s: not in the container: %s", env->ifname, strerror(-ret));
	if (!link->up)
		return cni_fail(err, CNI_DIFFERS, NULL, "%s: is down", env->ifname);
	if (mac && *mac && strcasecmp(mac, link->mac) != 0)
		return cni_fail(err, CNI_DIFFERS, NULL, "%s: its MAC address is %s, not %.40s", env->ifname, link->mac, mac);
	if (mtu && mtu != link->mtu)
		return cni_fail(err, CNI_DIFFERS, NULL, "%s: its MTU is %u, not %" JSON_INTEGER_FORMAT, env->ifname, link->mtu,
				mtu);
	return 0;
}

static int check_addresses(struct netlink *nl, const json_t *result, int interface, const struct link *link, struct cni_error *err)
{
	struct link_addr addr;
	json_t *ip;
	size_t i;

	json_array_foreach (json_object_get(result, "ips"), i, ip) {
		const json_t *of = json_object_get(ip, "interface");
		const char *text = json_string_value(json_object_get(ip, "address"));
		int ret;

		if (of && (!json_is_integer(of) || json_integer_value(of) != interface))
			continue;
		if (!text || !link_addr_parse(text, false, &addr))
			return cni_fail(err, CNI_BAD_CONFIG, NULL, "prevResult: ips[%zu]: no address", i);
		ret = link_has_addr(nl, link->ifindex, &addr);
		if (ret < 0)
			return cni_fail(err, CNI_IO, NULL, "netlink: %s", strerror(-ret));
		if (!ret)
			return cni_fail(err, CNI_DIFFERS, NULL, "%s: has no address %.60s", link->name, text);
	}
	return 0;
}

static int check_routes(struct netlink *nl, const json_t *result, struct cni_error *err)
{
	struct link_addr dst;
	json_t *route;
	size_t i;

	json_array_foreach (json_object_get(result, "routes"), i, route) {
		const char *text = json_string_value(json_object_get(route, "dst"));
		int ret;

		if (!text || !link_addr_parse(text, false, &dst))
			return cni_fail(err, CNI_BAD_CONFIG, NULL, "prevResult: routes[%zu]: no dst", i);
		ret = link_has_route(nl, &dst);
		if (ret < 0)
			return cni_fail(err, CNI_IO, NULL, "netlink: %s", strerror(-ret));
		if (!ret)
			return cni_fail(err, CNI_DIFFERS, NULL, "no route to %.60s", text);
	}
	return 0;
}

int check_container(const struct cni_conf *c, const struct cni_env *env, struct cni_error *err)
{
	int interface = result_interface(c->prev, env->ifname, env->netns), ret;
	struct netlink nl;
	struct link link;

	if (!c->prev)
		return cni_fail(err, CNI_BAD_CONFIG, NULL, "prevResult: missing");
	if (interface < 0)
		return cni_fail(err, CNI_BAD_CONFIG, NULL, "prevResult: no interface %s in %.300s", env->ifname, env->netns);
	if (link_open(&nl, env->netns, err))
		return err->code;
	ret = check_link(&nl, json_array_get(json_object_get(c->prev, "interfaces"), interface), env, &link, err);
	if (!ret)
		ret = check_addresses(&nl, c->prev, interface, &link, err);
	if (!ret)
		ret = check_routes(&nl, c->prev, err);
	netlink_close(&nl);
	return ret;
}

int check_attached(struct node *node, const struct cni_conf *c, const char *name, struct cni_error *err)
{
	const json_t *fault;
	json_int_t vlan;
	json_t *port;

	err->code = 0;
	if (node_port(node, name, &port, err))
		return err->code;
	fault = json_object_get(port, "error");
	vlan = json_integer_value(json_object_get(json_object_get(port, "attrs"), "vlan"));
	if (!port)
		cni_fail(err, CNI_DIFFERS, NULL, "sluiced: port %s: not there", name);
	else if (fault && !json_is_null(fault))
		cni_fail(err, CNI_DIFFERS, json_string_value(json_object_get(fault, "hint")),
			 "sluiced: port %s: not in force: %.300s", name, json_string_value(json_object_get(fault, "message")));
	else if (vlan != c->vlan)
		cni_fail(err, CNI_DIFFERS, NULL, "sluiced: port %s: is in VLAN %" JSON_INTEGER_FORMAT ", not %u", name, vlan,
			 c->vlan);
	json_decref(port);
	return err->code;
}
