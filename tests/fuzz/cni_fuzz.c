/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What sluice-cni reads that others wrote: the configuration on stdin, CNI_ARGS, an IPAM plugin's result. The input is lines:
 * CNI_ARGS, the configuration, the result. Whatever they hold, the port's attributes and the result of each version are made
 * from what was taken.
 */

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cni/addresses.h"
#include "cni/conf.h"
#include "cni/result.h"

#define MAX_ROUTES 64

static void results(const struct cni_conf *c, const struct addresses *a)
{
	struct link host = {.name = "slc1", .mac = "02:00:00:00:00:01"},
		    inner = {.name = "eth0", .mac = "02:00:00:00:00:02", .mtu = 1500};

	for (int v = 0; v < CNI_VERSIONS; v++) {
		json_t *result = result_make(v, c->prev, a, &host, &inner, "/run/netns/a");

		if (result_interface(result, "eth0", "/run/netns/a") < 0)
			abort();
		json_decref(result);
	}
}

static void port(const struct cni_conf *c, const struct cni_env *env, const json_t *said)
{
	struct link_route routes[MAX_ROUTES];
	struct addresses a = {0};
	struct cni_error err;
	unsigned n;

	if (said ? !addresses_from_result(&a, said, "x", &err) : !addresses_from_wants(&a, c, &err)) {
		json_t *attrs = addresses_port(&a, c, env, c->mac);

		if (json_integer_value(json_object_get(attrs, "vlan")) != c->vlan)
			abort();
		json_decref(attrs);
		addresses_routes(&a, routes, MAX_ROUTES, &n, &err);
		results(c, &a);
	}
	addresses_free(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = strndup((const char *)data, size), *rest = text, *args = strsep(&rest, "\n"), *config = strsep(&rest, "\n");
	struct cni_env env = {.command = CNI_ADD, .container = "c", .netns = "/run/netns/a", .ifname = "eth0", .args = args};
	json_t *json = config ? json_loads(config, JSON_REJECT_DUPLICATES, NULL) : NULL;
	json_t *said = rest ? json_loads(rest, JSON_REJECT_DUPLICATES, NULL) : NULL;
	struct cni_error err;
	struct cni_conf c;

	if (json) {
		if (conf_read(&c, json, &env, &err))
			json_decref(result_error("1.1.0", &err));
		else
			port(&c, &env, said);
		conf_free(&c);
	}
	json_decref(said);
	free(text);
	return 0;
}
