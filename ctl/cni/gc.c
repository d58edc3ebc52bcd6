/* SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>
#include <string.h>

#include "delegate.h"
#include "gc.h"

int gc_valid(const struct cni_conf *c, json_t **valid, struct cni_error *err)
{
	const json_t *list = json_object_get(c->json, CONF_VALID);
	char name[PORT_NAME_SIZE];
	json_t *entry;
	size_t i;

	*valid = json_object();
	/* Without the list everything would be stale. Null is libcni's empty list. */
	if (!json_is_array(list) && !json_is_null(list))
		return cni_fail(err, CNI_BAD_CONFIG, NULL, CONF_VALID ": %s", list ? "must be a list" : "missing");
	json_array_foreach (list, i, entry) {
		const char *container = json_string_value(json_object_get(entry, "containerID"));
		const char *ifname = json_string_value(json_object_get(entry, "ifname"));

		if (!container || !ifname)
			return cni_fail(err, CNI_BAD_CONFIG, NULL, CONF_VALID "[%zu]: must have containerID and ifname", i);
		conf_port_name(name, c->name, container, ifname);
		/* One that is missing would lose its port. */
		if (json_object_set_new(*valid, name, json_true()) < 0)
			return cni_no_memory(err);
	}
	return 0;
}

/* Whether this is what a port of that name is of. */
static bool made_of(const char *name, const char *network, const char *container, const char *ifname)
{
	char made[PORT_NAME_SIZE];

	/* From the daemon's state, in which others write, too. */
	if (!container || !ifname || !env_container_ok(container) || !env_ifname_ok(ifname))
		return false;
	conf_port_name(made, network, container, ifname);
	return !strcmp(made, name);
}

static int give_back(const struct cni_conf *c, const struct cni_env *env, const char *name, const json_t *port,
		     struct cni_error *err)
{
	const json_t *attrs = json_object_get(port, "attrs");
	struct cni_env of = *env;

	of.container = json_string_value(json_object_get(attrs, "label"));
	of.ifname = json_string_value(json_object_get(attrs, "ifname"));
	of.netns = of.args = "";
	if (made_of(name, c->name, of.container, of.ifname))
		return delegate(c, &of, CNI_DEL, NULL, err);
	fprintf(stderr, "sluice-cni: port %s: its label is not its container; IPAM plugin %s is not told\n", name, c->ipam);
	return 0;
}

int gc_ports(struct node *node, const struct cni_conf *c, const struct cni_env *env, const json_t *valid, struct cni_error *err)
{
	struct cni_error late;
	json_t *ports, *port;
	size_t i;
	int ret = node_ports(node, c->name, &ports, err);

	json_array_foreach (ports, i, port) {
		const char *name = json_string_value(json_object_get(port, "name"));
		int kept, gone;

		if (json_object_get(valid, name))
			continue;
		kept = c->ipam ? give_back(c, env, name, port, &late) : 0;
		gone = kept ? 0 : node_del(node, name, &late);
		if ((kept || gone) && !ret) {
			*err = late;
			ret = late.code;
		}
		if (gone)
			break;
	}
	json_decref(ports);
	return ret;
}
