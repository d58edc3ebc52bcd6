/* SPDX-License-Identifier: Apache-2.0 */

/*
 * fdb: the addresses that the switch knows, a page at a time.
 *
 * The answer is {entries, cursor}. With a million entries one answer would neither fit nor be quick; `cursor` is where the next call
 * goes on, null when the walk is over. It is opaque to clients. A page may be short, or empty, and have a cursor. Entries that come or
 * go between two calls may be missed or seen twice.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"
#include "methods.h"
#include "schema/types.h"

#define PAGE_DEFAULT 1000

struct filter {
	int vlan;	  /* -1: any */
	const char *port; /* NULL: any */
	bool has_mac;
	uint8_t mac[6];
	uint64_t cursor;
	size_t limit;
};

static bool read_cursor(const char *text, uint64_t *cursor)
{
	char *end;

	*cursor = 0;
	if (!text)
		return true;
	errno = 0;
	*cursor = strtoull(text, &end, 10);
	return text[0] >= '0' && text[0] <= '9' && !*end && !errno;
}

static bool read_filter(const json_t *params, struct filter *f, struct rpc_error *err)
{
	const char *mac = param_string(params, "mac");
	char quoted[64];

	*f = (struct filter){
		.vlan = param_int(params, "vlan", -1),
		.port = param_string(params, "port"),
		.has_mac = mac,
		.limit = param_int(params, "limit", PAGE_DEFAULT),
	};
	if (mac && !mac_parse(mac, f->mac)) {
		rpc_fail(err, RPC_INVALID_PARAMS, "bad-value", "mac", "like 02:00:00:00:00:01", "mac %s: not a MAC address",
			 schema_quote(json_object_get(params, "mac"), quoted, sizeof(quoted)));
		return false;
	}
	if (f->port && !schema_name_valid(f->port)) {
		rpc_fail(err, RPC_INVALID_PARAMS, "bad-name", "port", NULL, "port %s: not a name",
			 schema_quote(json_object_get(params, "port"), quoted, sizeof(quoted)));
		return false;
	}
	if (!read_cursor(param_string(params, "cursor"), &f->cursor)) {
		rpc_fail(err, RPC_INVALID_PARAMS, "bad-value", "cursor", NULL, "cursor: not one that this method gave");
		return false;
	}
	return true;
}

static json_t *entry_json(const struct dp_fdb_entry *e)
{
	char mac[MAC_TEXT_SIZE];

	mac_format(e->mac, mac);
	return json_pack("{s:i, s:s, s:s, s:b, s:I}", "vlan", e->vlan, "mac", mac, "port", e->port, "static", e->is_static, "age_s",
			 (json_int_t)e->age_s);
}

static json_t *entries_json(const struct dp_fdb_entry *entries, size_t n, uint64_t cursor)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < n; i++) {
		if (json_array_append_new(list, entry_json(&entries[i])) < 0) {
			json_decref(list);
			return NULL;
		}
	}
	return json_pack("{s:o, s:o}", "entries", list, "cursor",
			 cursor == UINT64_MAX ? json_null() : json_sprintf("%" PRIu64, cursor));
}

json_t *fdb_method(struct rpc_session *s, const json_t *params, struct rpc_error *err)
{
	struct dp_fdb_entry *entries;
	json_t *result;
	struct filter f;
	int n;

	if (!read_filter(params, &f, err))
		return NULL;
	entries = calloc(f.limit, sizeof(*entries));
	if (!entries)
		return NULL;
	n = dp_fdb_walk(s->ctl->dp, &f.cursor, f.vlan, f.port, f.has_mac ? f.mac : NULL, entries, f.limit);
	if (n == -ENOENT)
		result = rpc_fail(err, RPC_REFUSED, "not-found", "port", NULL, "port %s: not found", f.port ? f.port : "");
	else if (n < 0)
		result = rpc_fail(err, RPC_REFUSED, "failed", "", NULL, "fdb: %s", strerror(-n));
	else
		result = entries_json(entries, n, f.cursor);
	free(entries);
	return result;
}
