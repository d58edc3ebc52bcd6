/* SPDX-License-Identifier: Apache-2.0 */

#include <string.h>

#include "result.h"

static json_t *interface(enum cni_version version, const struct link *link, const char *netns)
{
	json_t *out = json_pack("{s:s, s:s}", "name", link->name, "mac", link->mac);

	if (version >= CNI_1_1_0)
		json_object_set_new(out, "mtu", json_integer(link->mtu));
	if (netns)
		json_object_set_new(out, "sandbox", json_string(netns));
	return out;
}

static json_t *ip(enum cni_version version, const json_t *from, size_t index)
{
	json_t *out = json_copy((json_t *)from);

	if (version < CNI_1_0_0)
		json_object_set_new(out, "version",
				    json_string(strchr(json_string_value(json_object_get(from, "address")), ':') ? "6" : "4"));
	json_object_set_new(out, "interface", json_integer(index));
	return out;
}

static json_t *route(enum cni_version version, const json_t *from)
{
	json_t *out;

	if (version >= CNI_1_1_0)
		return json_copy((json_t *)from);
	out = json_pack("{s:O}", "dst", json_object_get(from, "dst"));
	if (json_string_length(json_object_get(from, "gw")))
		json_object_set(out, "gw", json_object_get(from, "gw"));
	return out;
}

/* The list that is there, or a new one in its place. */
static json_t *list(json_t *result, const char *key)
{
	json_t *old = json_object_get(result, key);

	if (json_is_array(old))
		return old;
	json_object_set_new(result, key, json_array());
	return json_object_get(result, key);
}

json_t *result_make(enum cni_version version, const json_t *prev, const struct addresses *a, const struct link *host,
		    const struct link *inner, const char *netns)
{
	json_t *result = prev ? json_deep_copy(prev) : json_object(), *interfaces = list(result, "interfaces"), *item;
	size_t i, index;

	json_object_set_new(result, "cniVersion", json_string(cni_version_name(version)));
	if (host)
		json_array_append_new(interfaces, interface(version, host, NULL));
	index = json_array_size(interfaces);
	json_array_append_new(interfaces, interface(version, inner, netns));
	json_array_foreach (a->ips, i, item)
		json_array_append_new(list(result, "ips"), ip(version, item, index));
	json_array_foreach (a->routes, i, item)
		json_array_append_new(list(result, "routes"), route(version, item));
	if (json_object_size(a->dns) || !json_object_get(result, "dns"))
		json_object_set(result, "dns", a->dns);
	return result;
}

json_t *result_versions(const char *asked)
{
	json_t *supported = json_array();

	for (int v = 0; v < CNI_VERSIONS; v++)
		json_array_append_new(supported, json_string(cni_version_name(v)));
	return json_pack("{s:s, s:o}", "cniVersion", asked ? asked : cni_version_name(CNI_VERSIONS - 1), "supportedVersions",
			 supported);
}

/* Text of others may have been cut in the middle of a character. */
static json_t *text(const char *from)
{
	size_t len = strlen(from);
	json_t *out = NULL;

	for (unsigned cut = 0; !out && cut < 4 && cut <= len; cut++)
		out = json_stringn(from, len - cut);
	return out ? out : json_string("(unreadable)");
}

json_t *result_error(const char *version, const struct cni_error *err)
{
	json_t *out = json_pack("{s:s, s:i, s:o}", "cniVersion", version, "code", err->code, "msg", text(err->msg));

	if (out && err->details[0])
		json_object_set_new(out, "details", text(err->details));
	return out;
}

int result_interface(const json_t *result, const char *ifname, const char *netns)
{
	json_t *entry;
	size_t i;

	json_array_foreach (json_object_get(result, "interfaces"), i, entry) {
		const char *name = json_string_value(json_object_get(entry, "name"));
		const char *sandbox = json_string_value(json_object_get(entry, "sandbox"));

		if (name && sandbox && !strcmp(name, ifname) && !strcmp(sandbox, netns))
			return (int)i;
	}
	return -1;
}
