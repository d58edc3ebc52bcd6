/* SPDX-License-Identifier: Apache-2.0 */

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/un.h>

#include "conf.h"
#include "sluice/sluice.h"
#include "wants.h"

#define KUBERNETES_NO_BURST INT32_MAX /* bits */

/* --- keys --------------------------------------------------------------------------------------------------------------------- */

static const char *const known[] = {"cniVersion", "name",	  "type",	  "args",	   "ipMasq",
				    "ipam",	  "dns",	  "capabilities", "runtimeConfig", "prevResult",
				    "vlan",	  "mtu",	  "class",	  "isolated",	   "inBps",
				    "inPps",	  "inBurstBytes", "outBps",	  "outPps",	   "outBurstBytes",
				    "spoofcheck", "socket",	  "timeoutMs",	  "ipamTimeoutMs", NULL};

static int refuse_key(const char *key, const json_t *value, struct cni_error *err)
{
	char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);

	cni_fail(err, CNI_UNSUPPORTED, "see sluice-cni(8) for the keys that there are", "unsupported field: %.60s: %.200s", key,
		 text ? text : "?");
	free(text);
	return err->code;
}

static int check_keys(const json_t *json, struct cni_error *err)
{
	const char *key;
	json_t *value;

	json_object_foreach ((json_t *)json, key, value) {
		const char *const *k = known;

		while (*k && strcmp(*k, key) != 0)
			k++;
		if (!*k && strncmp(key, "cni.dev/", 8) != 0)
			return refuse_key(key, value, err);
	}
	value = json_object_get(json, "ipMasq");
	return value && !json_is_false(value) ? refuse_key("ipMasq", value, err) : 0;
}

/* The value of a key, checked for its type. NULL with err->code 0: it is not there, or null. */
static json_t *member(const json_t *json, const char *key, json_type type, const char *wants, struct cni_error *err)
{
	json_t *value = json_object_get(json, key);

	if (!value || json_is_null(value))
		return NULL;
	if (json_typeof(value) == type || (type == JSON_TRUE && json_is_boolean(value)))
		return value;
	cni_fail(err, CNI_BAD_CONFIG, NULL, "%s: must be %s", key, wants);
	return NULL;
}

static const char *string(const json_t *json, const char *key, struct cni_error *err)
{
	return json_string_value(member(json, key, JSON_STRING, "a string", err));
}

static json_t *object(const json_t *json, const char *key, struct cni_error *err)
{
	return member(json, key, JSON_OBJECT, "an object", err);
}

/* Not negative; -1 if it is not there. */
static json_int_t integer(const json_t *json, const char *key, struct cni_error *err)
{
	json_t *value = member(json, key, JSON_INTEGER, "an integer", err);

	if (value && json_integer_value(value) < 0)
		cni_fail(err, CNI_BAD_CONFIG, NULL, "%s: must not be negative", key);
	return value ? json_integer_value(value) : -1;
}

/* --- what every command needs ------------------------------------------------------------------------------------------------- */

static int read_version(struct cni_conf *c, enum cni_command command, struct cni_error *err)
{
	static const enum cni_version since[CNI_COMMANDS] = {
		[CNI_CHECK] = CNI_0_4_0, [CNI_GC] = CNI_1_1_0, [CNI_STATUS] = CNI_1_1_0};
	const char *text = string(c->json, "cniVersion", err);

	if (err->code)
		return err->code;
	c->version = cni_version_parse(text ? text : "0.1.0");
	if (c->version == CNI_VERSIONS)
		return cni_fail(err, CNI_INCOMPATIBLE, "0.3.0, 0.3.1, 0.4.0, 1.0.0 and 1.1.0 are",
				"cniVersion %.40s: not supported", text ? text : "(none, which is 0.1.0)");
	if (c->version < since[command])
		return cni_fail(err, CNI_INCOMPATIBLE, NULL, "cniVersion %s: has no such command; %s has", text,
				cni_version_name(since[command]));
	return 0;
}

static bool network_name_ok(const char *text)
{
	if (!isalnum((unsigned char)*text))
		return false;
	while (isalnum((unsigned char)*text) || *text == '_' || *text == '.' || *text == '-')
		text++;
	return !*text;
}

static int read_timeout(const json_t *json, const char *key, int otherwise, int *ms, struct cni_error *err)
{
	json_int_t value = integer(json, key, err);

	if (!err->code && (value == 0 || value > CONF_TIMEOUT_MS_LIMIT))
		cni_fail(err, CNI_BAD_CONFIG, NULL, "%s: out of range (1-%d)", key, CONF_TIMEOUT_MS_LIMIT);
	*ms = value < 0 ? otherwise : (int)value;
	return err->code;
}

static int read_ipam(struct cni_conf *c, struct cni_error *err)
{
	json_t *ipam = object(c->json, "ipam", err);
	const char *own = json_string_value(json_object_get(c->json, "type"));

	if (!ipam)
		return err->code;
	c->ipam = string(ipam, "type", err);
	/* An empty one is how some tools write "none". */
	if (!c->ipam || !*c->ipam) {
		c->ipam = NULL;
		return err->code;
	}
	/* It names a program to be found in CNI_PATH, not one anywhere; and not this one, which would run itself for ever. */
	if (strchr(c->ipam, '/') || !strcmp(c->ipam, ".") || !strcmp(c->ipam, "..") || (own && !strcmp(own, c->ipam)))
		return cni_fail(err, CNI_BAD_CONFIG, NULL, "ipam type %.60s: not the name of an IPAM plugin", c->ipam);
	return 0;
}

static int read_common(struct cni_conf *c, struct cni_error *err)
{
	c->name = string(c->json, "name", err);
	if (!err->code && (!c->name || !network_name_ok(c->name)))
		return cni_fail(err, CNI_BAD_CONFIG, NULL,
				"name: must begin with a letter or digit, and go on with those or _ . -");
	c->socket = string(c->json, "socket", err);
	if (!c->socket)
		c->socket = SLUICE_CONTROL_SOCKET;
	if (!err->code && strlen(c->socket) >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return cni_fail(err, CNI_BAD_CONFIG, NULL, "socket: longer than a socket's path may be");
	if (read_timeout(c->json, "timeoutMs", CONF_TIMEOUT_MS, &c->timeout_ms, err) ||
	    read_timeout(c->json, "ipamTimeoutMs", CONF_IPAM_TIMEOUT_MS, &c->ipam_timeout_ms, err))
		return err->code;
	return read_ipam(c, err);
}

/* --- the port ----------------------------------------------------------------------------------------------------------------- */

/* Keys that become an attribute as they are. */
static const struct {
	const char *key, *attr;
} numbers[] = {
	{"vlan", "vlan"},
	{"mtu", "mtu"},
	{"inBps", "in_bps"},
	{"inPps", "in_pps"},
	{"inBurstBytes", "in_burst_bytes"},
	{"outBps", "out_bps"},
	{"outPps", "out_pps"},
	{"outBurstBytes", "out_burst_bytes"},
};

static int read_vlan(struct cni_conf *c, struct cni_error *err)
{
	const json_t *vlan = json_object_get(c->attrs, "vlan");
	json_int_t id = json_integer_value(vlan);

	if (!vlan)
		return cni_fail(err, CNI_BAD_CONFIG, NULL, "vlan: missing");
	if (id < 1 || id > 4094)
		return cni_fail(err, CNI_BAD_CONFIG, NULL, "vlan %" JSON_INTEGER_FORMAT ": out of range (1-4094)", id);
	c->vlan = id;
	return 0;
}

static int read_attrs(struct cni_conf *c, struct cni_error *err)
{
	const char *class;
	json_t *isolated;

	c->attrs = json_pack("{s:s}", "kind", "veth");
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		json_int_t value = integer(c->json, numbers[i].key, err);

		if (err->code)
			return err->code;
		if (value >= 0)
			json_object_set_new(c->attrs, numbers[i].attr, json_integer(value));
	}
	if (read_vlan(c, err))
		return err->code;
	class = string(c->json, "class", err);
	isolated = member(c->json, "isolated", JSON_TRUE, "true or false", err);
	if (class)
		json_object_set_new(c->attrs, "class", json_string(class));
	if (json_is_true(isolated))
		json_object_set_new(c->attrs, "isolated", json_true());
	return err->code;
}

static int read_spoofcheck(struct cni_conf *c, struct cni_error *err)
{
	json_t *value = member(c->json, "spoofcheck", JSON_TRUE, "true or false", err);

	c->spoofcheck = !value ? SPOOFCHECK_DEFAULT : json_is_true(value) ? SPOOFCHECK_ON : SPOOFCHECK_OFF;
	return err->code;
}

/* --- the capability bandwidth ------------------------------------------------------------------------------------------------- */

static int read_direction(struct cni_conf *c, const json_t *bandwidth, const char *rate_key, const char *burst_key,
			  const char *rate_attr, const char *burst_attr, struct cni_error *err)
{
	json_int_t rate = integer(bandwidth, rate_key, err), burst = integer(bandwidth, burst_key, err);

	if (err->code)
		return err->code;
	if (burst == KUBERNETES_NO_BURST)
		burst = 0;
	if (rate <= 0)
		return burst > 0 ? cni_fail(err, CNI_BAD_CONFIG, NULL, "bandwidth: %s without %s", burst_key, rate_key) : 0;
	json_object_set_new(c->attrs, rate_attr, json_integer(rate));
	json_object_del(c->attrs, burst_attr);
	if (burst > 0)
		json_object_set_new(c->attrs, burst_attr, json_integer(burst / 8 + (burst % 8 != 0)));
	return 0;
}

static int read_bandwidth(struct cni_conf *c, const json_t *runtime, struct cni_error *err)
{
	const json_t *bandwidth = object(runtime, "bandwidth", err);

	if (!bandwidth)
		return err->code;
	if (read_direction(c, bandwidth, "egressRate", "egressBurst", "in_bps", "in_burst_bytes", err))
		return err->code;
	return read_direction(c, bandwidth, "ingressRate", "ingressBurst", "out_bps", "out_burst_bytes", err);
}

int conf_read(struct cni_conf *c, json_t *json, const struct cni_env *env, struct cni_error *err)
{
	json_t *runtime;

	memset(c, 0, sizeof(*c));
	err->code = 0;
	c->json = json;
	if (!json_is_object(json))
		return cni_fail(err, CNI_DECODE, NULL, "the configuration: must be a JSON object");
	if (read_version(c, env->command, err) || read_common(c, err))
		return err->code;
	if (env->command == CNI_DEL || env->command == CNI_GC)
		return 0;
	c->prev = object(json, "prevResult", err);
	c->dns = object(json, "dns", err);
	runtime = object(json, "runtimeConfig", err);
	if (err->code || check_keys(json, err) || read_attrs(c, err) || read_spoofcheck(c, err) ||
	    (runtime && read_bandwidth(c, runtime, err)))
		return err->code;
	return env->command == CNI_STATUS ? 0 : wants_read(c, env, err);
}

void conf_free(struct cni_conf *c)
{
	json_decref(c->attrs);
	json_decref(c->json);
}
