/* SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "wants.h"

/* What CNI_ARGS says: copies, "" for what it does not. */
struct args {
	char mac[64], ip[1024], gateway[sizeof(((struct cni_conf *)0)->gateway)];
	bool ignore_unknown;
	char unknown[64]; /* the first such key */
};

bool conf_mac(const char *text, char mac[18])
{
	uint8_t b[6];
	int n = 0;

	if (strlen(text) != 17 || strspn(text, "0123456789abcdefABCDEF:") != 17 ||
	    sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%n", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5], &n) != 6 || n != 17)
		return false;
	if ((b[0] & 1) || !(b[0] | b[1] | b[2] | b[3] | b[4] | b[5]))
		return false;
	snprintf(mac, 18, "%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4], b[5]);
	return true;
}

/* --- CNI_ARGS ----------------------------------------------------------------------------------------------------------------- */

static bool truth(const char *text)
{
	return !strcmp(text, "1") || !strcasecmp(text, "true");
}

static bool keep(char *to, size_t size, const char *value)
{
	return (size_t)snprintf(to, size, "%s", value) < size;
}

static int one_arg(struct args *a, const char *key, const char *value, struct cni_error *err)
{
	bool fits = true;

	if (!strcmp(key, "IgnoreUnknown"))
		a->ignore_unknown = truth(value);
	else if (!strcmp(key, "MAC"))
		fits = keep(a->mac, sizeof(a->mac), value);
	else if (!strcmp(key, "IP"))
		fits = keep(a->ip, sizeof(a->ip), value);
	else if (!strcmp(key, "GATEWAY"))
		fits = keep(a->gateway, sizeof(a->gateway), value);
	else if (!a->unknown[0])
		keep(a->unknown, sizeof(a->unknown), key);
	return fits ? 0 : cni_fail(err, CNI_BAD_ENVIRONMENT, NULL, "CNI_ARGS: %s: too long", key);
}

static int split_args(const char *text, struct args *a, struct cni_error *err)
{
	char *copy = strdup(text), *rest = copy, *pair;
	int ret = copy ? 0 : cni_no_memory(err);

	memset(a, 0, sizeof(*a));
	while (!ret && (pair = strsep(&rest, ";"))) {
		char *equals = strchr(pair, '=');

		if (!*pair)
			continue;
		if (!equals) {
			ret = cni_fail(err, CNI_BAD_ENVIRONMENT, NULL, "CNI_ARGS: %.60s: must be KEY=VALUE", pair);
			break;
		}
		*equals = '\0';
		ret = one_arg(a, pair, equals + 1, err);
	}
	free(copy);
	if (!ret && a->unknown[0] && !a->ignore_unknown)
		return cni_fail(err, CNI_BAD_ENVIRONMENT, "IgnoreUnknown=1 lets it pass", "CNI_ARGS: %s: unknown key", a->unknown);
	return ret;
}

/* --- taking ------------------------------------------------------------------------------------------------------------------- */

static int take_mac(struct cni_conf *c, const char *text, int code, const char *where, struct cni_error *err)
{
	return conf_mac(text, c->mac) ? 0 : cni_fail(err, code, NULL, "%s: %.60s: not a unicast MAC address", where, text);
}

static int take_ip(struct cni_conf *c, const char *text, int code, const char *where, struct cni_error *err)
{
	if (c->n_ips == CONF_MAX_IPS)
		return cni_fail(err, code, NULL, "%s: more than %d addresses", where, CONF_MAX_IPS);
	if (!keep(c->ips[c->n_ips++], sizeof(c->ips[0]), text))
		return cni_fail(err, code, NULL, "%s: %.60s: not an address", where, text);
	return 0;
}

/* {mac, ips} of runtimeConfig or args.cni; what has been taken from a place before stays. */
static int take_object(struct cni_conf *c, const json_t *from, const char *where, struct cni_error *err)
{
	const json_t *mac = json_object_get(from, "mac"), *ips = json_object_get(from, "ips");
	bool want_ips = !c->n_ips;
	size_t i;
	json_t *ip;

	if (mac && !json_is_string(mac) && !json_is_null(mac))
		return cni_fail(err, CNI_BAD_CONFIG, NULL, "%s.mac: must be a string", where);
	if (json_string_length(mac) && !c->mac[0] && take_mac(c, json_string_value(mac), CNI_BAD_CONFIG, where, err))
		return err->code;
	if (ips && !json_is_array(ips) && !json_is_null(ips))
		return cni_fail(err, CNI_BAD_CONFIG, NULL, "%s.ips: must be a list of strings", where);
	json_array_foreach (ips, i, ip) {
		if (!json_is_string(ip))
			return cni_fail(err, CNI_BAD_CONFIG, NULL, "%s.ips: must be a list of strings", where);
		if (want_ips && take_ip(c, json_string_value(ip), CNI_BAD_CONFIG, where, err))
			return err->code;
	}
	return 0;
}

static int take_args(struct cni_conf *c, struct args *a, struct cni_error *err)
{
	char *rest = a->ip, *ip;

	if (a->mac[0] && !c->mac[0] && take_mac(c, a->mac, CNI_BAD_ENVIRONMENT, "CNI_ARGS", err))
		return err->code;
	if (!c->n_ips)
		while ((ip = strsep(&rest, ",")))
			if (*ip && take_ip(c, ip, CNI_BAD_ENVIRONMENT, "CNI_ARGS", err))
				return err->code;
	snprintf(c->gateway, sizeof(c->gateway), "%s", a->gateway);
	return 0;
}

int wants_read(struct cni_conf *c, const struct cni_env *env, struct cni_error *err)
{
	const json_t *args = json_object_get(c->json, "args"), *cni = json_object_get(args, "cni");
	struct args a;

	if ((args && !json_is_object(args) && !json_is_null(args)) || (cni && !json_is_object(cni) && !json_is_null(cni)))
		return cni_fail(err, CNI_BAD_CONFIG, NULL, "args%s: must be an object", cni ? ".cni" : "");
	if (split_args(env->args ? env->args : "", &a, err) ||
	    take_object(c, json_object_get(c->json, "runtimeConfig"), "runtimeConfig", err) || take_object(c, cni, "args.cni", err))
		return err->code;
	return take_args(c, &a, err);
}
