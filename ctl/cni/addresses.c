/* SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>
#include <string.h>

#include <arpa/inet.h>

#include "addresses.h"

#define LABEL_MAX 255 /* the daemon's limit */

/* --- reading ------------------------------------------------------------------------------------------------------------------ */

static bool is_string_or_none(const json_t *v)
{
	return !v || json_is_string(v) || json_is_null(v);
}

/* "" and null are none. */
static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text && *text ? text : NULL;
}

static bool gateway_ok(const json_t *v, int family)
{
	struct link_addr gw;
	const char *text = json_string_value(v);

	if (!is_string_or_none(v))
		return false;
	return !text || !*text || (!strchr(text, '/') && link_addr_parse(text, true, &gw) && gw.family == family);
}

static bool take_ip(json_t *list, const json_t *ip)
{
	const char *text = text_of(ip, "address"), *gateway = text_of(ip, "gateway");
	struct link_addr addr;
	json_t *out;

	if (!text || !link_addr_parse(text, false, &addr) || !gateway_ok(json_object_get(ip, "gateway"), addr.family))
		return false;
	out = json_pack("{s:s, s:s*}", "address", text, "gateway", gateway);
	return json_array_append_new(list, out) == 0;
}

static bool take_route(json_t *list, const json_t *route)
{
	static const char *const numbers[] = {"mtu", "advmss", "priority", "table", "scope"};
	const char *text = text_of(route, "dst");
	struct link_addr dst;

	if (!text || !link_addr_parse(text, false, &dst) || !gateway_ok(json_object_get(route, "gw"), dst.family))
		return false;
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		const json_t *v = json_object_get(route, numbers[i]);
		json_int_t max = strcmp(numbers[i], "scope") ? UINT32_MAX : UINT8_MAX;

		if (v && !json_is_null(v) && (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > max))
			return false;
	}
	return json_array_append(list, (json_t *)route) == 0;
}

static bool take_list(json_t *list, const json_t *from, bool (*take)(json_t *list, const json_t *item))
{
	size_t i;
	json_t *item;

	if (!from || json_is_null(from))
		return true;
	if (!json_is_array(from))
		return false;
	json_array_foreach (from, i, item)
		if (!take(list, item))
			return false;
	return true;
}

static int begin(struct addresses *a, struct cni_error *err)
{
	a->ips = json_array();
	a->routes = json_array();
	a->dns = json_object();
	return a->ips && a->routes && a->dns ? 0 : cni_no_memory(err);
}

int addresses_from_result(struct addresses *a, const json_t *result, const char *plugin, struct cni_error *err)
{
	const json_t *dns = json_object_get(result, "dns");

	if (begin(a, err))
		return err->code;
	if (!json_is_object(result) || !take_list(a->ips, json_object_get(result, "ips"), take_ip) ||
	    !take_list(a->routes, json_object_get(result, "routes"), take_route) ||
	    (dns && !json_is_object(dns) && !json_is_null(dns)))
		return cni_fail(err, CNI_DECODE, NULL, "IPAM plugin %s: its result is not one: ips, routes or dns", plugin);
	if (!json_array_size(a->ips))
		return cni_fail(err, CNI_IPAM, NULL, "IPAM plugin %s: gave no address", plugin);
	addresses_prefer_dns(a, (json_t *)dns);
	return 0;
}

int addresses_from_wants(struct addresses *a, const struct cni_conf *c, struct cni_error *err)
{
	struct link_addr addr, gw;

	if (begin(a, err))
		return err->code;
	for (unsigned i = 0; i < c->n_ips; i++) {
		if (!link_addr_parse(c->ips[i], false, &addr))
			return cni_fail(err, CNI_BAD_CONFIG, "without ipam, an address needs its prefix: 10.0.0.11/24",
					"address %s: not an address with a prefix", c->ips[i]);
		json_array_append_new(a->ips, json_pack("{s:s}", "address", c->ips[i]));
	}
	if (!c->gateway[0])
		return 0;
	if (strchr(c->gateway, '/') || !link_addr_parse(c->gateway, true, &gw))
		return cni_fail(err, CNI_BAD_ENVIRONMENT, NULL, "CNI_ARGS: GATEWAY %s: not an address", c->gateway);
	json_array_append_new(a->routes,
			      json_pack("{s:s, s:s}", "dst", gw.family == AF_INET ? "0.0.0.0/0" : "::/0", "gw", c->gateway));
	return 0;
}

void addresses_free(struct addresses *a)
{
	json_decref(a->ips);
	json_decref(a->routes);
	json_decref(a->dns);
}

void addresses_prefer_dns(struct addresses *a, json_t *dns)
{
	const char *key;
	json_t *value;

	/* Tools write empty members for what they do not mean. */
	json_object_foreach (dns, key, value) {
		if (json_array_size(value) || json_string_length(value)) {
			json_decref(a->dns);
			a->dns = json_incref(dns);
			return;
		}
	}
}

/* --- routes ------------------------------------------------------------------------------------------------------------------- */

/* The gateway beside the family's first address that has one. */
static const char *known_gateway(const struct addresses *a, int family)
{
	size_t i;
	json_t *ip;

	json_array_foreach (a->ips, i, ip) {
		const char *gateway = text_of(ip, "gateway");
		struct link_addr gw;

		if (gateway && link_addr_parse(gateway, true, &gw) && gw.family == family)
			return gateway;
	}
	return NULL;
}

static uint32_t number(const json_t *route, const char *key)
{
	return json_integer_value(json_object_get(route, key));
}

static void route_make(const struct addresses *a, const json_t *route, struct link_route *r, const char **gateway)
{
	const char *gw = text_of(route, "gw");
	struct link_addr addr;

	memset(r, 0, sizeof(*r));
	link_addr_parse(text_of(route, "dst"), false, &r->dst);
	if (!gw)
		gw = known_gateway(a, r->dst.family);
	r->has_gw = gw && link_addr_parse(gw, true, &addr);
	if (r->has_gw)
		memcpy(r->gw, addr.bytes, sizeof(r->gw));
	r->mtu = number(route, "mtu");
	r->advmss = number(route, "advmss");
	r->priority = number(route, "priority");
	r->table = number(route, "table");
	r->has_scope = json_is_integer(json_object_get(route, "scope"));
	r->scope = number(route, "scope");
	*gateway = gw;
}

static bool is_plain_default(const struct link_route *r)
{
	return r->dst.prefix == 0 && r->has_gw && !r->mtu && !r->advmss && !r->priority && !r->table && !r->has_scope;
}

/* Each route in turn: `gateway` for those that become the attribute, `other` for the rest. */
static int each_route(const struct addresses *a, json_t *gateways, struct link_route *list, unsigned max, unsigned *n)
{
	bool taken4 = false, taken6 = false;
	const char *gw;
	struct link_route r;
	size_t i;
	json_t *route;

	json_array_foreach (a->routes, i, route) {
		bool *taken;

		route_make(a, route, &r, &gw);
		taken = r.dst.family == AF_INET ? &taken4 : &taken6;
		if (is_plain_default(&r) && !*taken) {
			*taken = true;
			if (gateways)
				json_array_append_new(gateways, json_string(gw));
			continue;
		}
		if (list && *n == max)
			return -1;
		if (list)
			list[(*n)++] = r;
	}
	return 0;
}

int addresses_routes(const struct addresses *a, struct link_route *list, unsigned max, unsigned *n, struct cni_error *err)
{
	*n = 0;
	if (each_route(a, NULL, list, max, n) < 0)
		return cni_fail(err, CNI_BAD_CONFIG, NULL, "more than %u routes", max);
	return 0;
}

/* --- the port ----------------------------------------------------------------------------------------------------------------- */

bool addresses_spoofcheck(const struct addresses *a, const struct cni_conf *c)
{
	return c->spoofcheck == SPOOFCHECK_ON || (c->spoofcheck == SPOOFCHECK_DEFAULT && json_array_size(a->ips));
}

/* Whose port it is. Its label is what GC has of an attachment that nobody else remembers (gc.h). */
static json_t *attachment(const struct cni_conf *c, const struct cni_env *env)
{
	json_t *attrs = json_copy(c->attrs);

	json_object_set_new(attrs, "netns", json_string(env->netns));
	json_object_set_new(attrs, "ifname", json_string(env->ifname));
	if (strlen(env->container) <= LABEL_MAX)
		json_object_set_new(attrs, "label", json_string(env->container));
	return attrs;
}

json_t *addresses_port(const struct addresses *a, const struct cni_conf *c, const struct cni_env *env, const char *mac)
{
	json_t *attrs = attachment(c, env), *addr = json_array(), *ips = json_array(), *gateways = json_array();
	char bare[64];
	size_t i;
	json_t *ip;

	json_array_foreach (a->ips, i, ip) {
		const char *text = text_of(ip, "address");

		snprintf(bare, sizeof(bare), "%.*s", (int)strcspn(text, "/"), text);
		json_array_append_new(addr, json_string(text));
		json_array_append_new(ips, json_string(bare));
	}
	each_route(a, gateways, NULL, 0, NULL);
	if (json_array_size(addr))
		json_object_set(attrs, "addr", addr);
	if (json_array_size(gateways))
		json_object_set(attrs, "gateway", gateways);
	if (json_array_size(ips) && addresses_spoofcheck(a, c))
		json_object_set(attrs, "ips", ips);
	if (*mac)
		json_object_set_new(attrs, "mac", json_string(mac));
	json_decref(addr);
	json_decref(ips);
	json_decref(gateways);
	return attrs;
}

json_t *addresses_asking(const struct cni_conf *c, const struct cni_env *env, const char *mac)
{
	json_t *attrs = attachment(c, env);

	if (c->spoofcheck != SPOOFCHECK_OFF)
		json_object_set_new(attrs, "ips", json_pack("[s]", "0.0.0.0"));
	if (*mac)
		json_object_set_new(attrs, "mac", json_string(mac));
	return attrs;
}

json_t *addresses_answered(const struct addresses *a, const struct cni_conf *c, const struct cni_env *env)
{
	static const char *const keys[] = {"addr", "gateway", "ips"};
	json_t *all = addresses_port(a, c, env, ""), *attrs = json_object();

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (json_object_get(all, keys[i]))
			json_object_set(attrs, keys[i], json_object_get(all, keys[i]));
	json_decref(all);
	return attrs;
}
