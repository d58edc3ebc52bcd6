/* SPDX-License-Identifier: Apache-2.0 */

/*
 * fdb: the addresses that the switch knows, a page at a time.
 *
 * Containers' addresses, bound or learned, are the kernel engine's to tell, by the container's port; the switch has them behind the trunk, and
 * leaves them out here. So an address is told once. Both walks are one to the client: first the switch's, then the kernel's.
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
#include "kernel.h"
#include "methods.h"
#include "schema/types.h"

#define PAGE_DEFAULT 1000

struct filter {
	int vlan;	  /* -1: any */
	const char *port; /* NULL: any */
	bool has_mac;
	uint8_t mac[6];
	bool in_kernel; /* the cursor counts entries of the kernel engine's walk */
	uint64_t cursor;
	size_t limit;
};

static bool read_cursor(const char *text, struct filter *f)
{
	char *end;

	f->cursor = 0;
	if (!text)
		return true;
	f->in_kernel = text[0] == 'k';
	text += f->in_kernel;
	errno = 0;
	f->cursor = strtoull(text, &end, 10);
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
	if (!read_cursor(param_string(params, "cursor"), f)) {
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

/* A page that is being filled. */
struct page {
	const struct filter *f;
	struct kern *kern; /* NULL: none */
	const char *trunk; /* the switch's port that containers are behind; NULL: there is none */
	json_t *list;
	uint64_t seen; /* entries of the kernel's walk */
	bool failed, full;
};

static void page_add(struct page *p, const struct dp_fdb_entry *e)
{
	if (json_array_append_new(p->list, entry_json(e)) < 0)
		p->failed = true;
}

/* Is it for the kernel engine to tell? */
static bool is_containers(const struct page *p, const struct dp_fdb_entry *e)
{
	if (!p->trunk || strcmp(e->port, p->trunk) != 0)
		return false;
	return e->is_static || kern_fdb_is_local(p->kern, e->vlan, e->mac);
}

/* 0, or -errno; f->cursor is where to go on, UINT64_MAX at the end. */
static int page_of_switch(struct page *p, struct dp *dp, struct filter *f)
{
	struct dp_fdb_entry *entries = calloc(f->limit, sizeof(*entries));
	int n;

	if (!entries)
		return -ENOMEM;
	n = dp_fdb_walk(dp, &f->cursor, f->vlan, f->port, f->has_mac ? f->mac : NULL, entries, f->limit);
	for (int i = 0; i < n && !p->failed; i++)
		if (!is_containers(p, &entries[i]))
			page_add(p, &entries[i]);
	free(entries);
	return n < 0 ? n : 0;
}

static bool kernel_entry(void *arg, const struct kern_fdb_entry *e)
{
	struct page *p = arg;
	struct dp_fdb_entry entry = {.vlan = e->vlan, .is_static = e->is_static, .age_s = e->age_s};

	/* What is behind the trunk, or the host's, the switch has told. */
	if (!strcmp(e->port, "trunk") || !strcmp(e->port, "host") || (p->f->has_mac && memcmp(e->mac, p->f->mac, 6) != 0))
		return true;
	if (p->seen++ < p->f->cursor)
		return true;
	if (json_array_size(p->list) >= p->f->limit) {
		p->seen--;
		p->full = true;
		return false;
	}
	memcpy(entry.mac, e->mac, 6);
	snprintf(entry.port, sizeof(entry.port), "%s", e->port);
	page_add(p, &entry);
	return !p->failed;
}

/* The answer; takes over the list. */
static json_t *page_json(struct page *p, const struct filter *f, bool more)
{
	json_t *cursor = json_null();

	if (p->failed || !p->list) {
		json_decref(p->list);
		return NULL;
	}
	if (p->full || (f->in_kernel && more))
		cursor = json_sprintf("k%" PRIu64, p->seen);
	else if (more)
		cursor = json_sprintf("%" PRIu64, f->cursor);
	return json_pack("{s:o, s:o}", "entries", p->list, "cursor", cursor);
}

json_t *fdb_method(struct rpc_session *s, const json_t *params, struct rpc_error *err)
{
	struct ctl *ctl = s->ctl;
	struct page p = {0};
	struct filter f;
	int ret = 0;
	bool container;

	if (!read_filter(params, &f, err))
		return NULL;
	p = (struct page){.f = &f, .kern = ctl->kern, .trunk = ctl->kern ? ctl->trunk : NULL, .list = json_array()};
	container = f.port && ctl->kern && kern_port_conf(ctl->kern, f.port);
	if (p.list && !f.in_kernel && !container) {
		ret = page_of_switch(&p, ctl->dp, &f);
		if (ret == 0 && f.cursor != UINT64_MAX)
			return page_json(&p, &f, true);
		f.cursor = 0;
	}
	if (p.list && ret == 0 && ctl->kern && (!f.port || container))
		ret = kern_fdb_walk(ctl->kern, f.vlan, f.port, kernel_entry, &p);
	if (ret == 0)
		return page_json(&p, &f, false);
	json_decref(p.list);
	if (ret == -ENOMEM)
		return NULL;
	if (ret == -ENOENT)
		return rpc_fail(err, RPC_REFUSED, "not-found", "port", NULL, "port %s: not found", f.port ? f.port : "");
	return rpc_fail(err, RPC_REFUSED, "failed", "", NULL, "fdb: %s", strerror(-ret));
}
