/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Whatever a client sends: bytes to lines to requests to a switch that is not there.
 *
 * Besides not crashing, after each input
 *  - every answer is one line of JSON with a result or an error that has its name;
 *  - the store and the switch agree about every object that is in force (and fake_dp.h aborts if it was asked to add what is there, or
 *    to change what is not), and about all when what was lacking has come.
 *
 * The first byte chooses who speaks (control or stat socket), whether the device at "/a" is lacking, and how long lines may be, so that the input's few kilobytes reach the
 * limit of a line too.
 */

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/ctl.h"
#include "daemon/line.h"
#include "daemon/rpc.h"
#include "schema/objects.h"
#include "../unit/fake_dp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_answer(const char *text, size_t len)
{
	json_error_t where;
	json_t *reply = json_loadb(text, len, JSON_REJECT_DUPLICATES, &where), *error;

	fake_must(reply && memchr(text, '\n', len) == text + len - 1);
	error = json_object_get(reply, "error");
	fake_must(!error != !json_object_get(reply, "result"));
	fake_must(!error || json_string_length(json_object_get(json_object_get(error, "data"), "name")));
	json_decref(reply);
}

/* What the switch holds for an object is what the store holds. */
static void check_object(const struct object *o)
{
	struct port_conf port;
	struct vlan_conf vlan;

	if (o->type == &schema_port) {
		int at = fake_port_index(&fake_dp, o->name);

		fake_must(at >= 0);
		memcpy(&port, o->conf, sizeof(port));
		port.dp = fake_dp.ports[at];
		fake_must(schema_equal(o->type, o->conf, &port));
		fake_must(port.dp.has_pcp == ((const struct port_conf *)o->conf)->dp.has_pcp);
		fake_must(port.dp.pcp == ((const struct port_conf *)o->conf)->dp.pcp);
	} else if (o->type == &schema_vlan) {
		memcpy(&vlan, o->conf, sizeof(vlan));
		fake_must(fake_dp.has_vlan[vlan.dp.id]);
		vlan.dp = fake_dp.vlans[vlan.dp.id];
		fake_must(schema_equal(o->type, o->conf, &vlan));
	}
}

static void check_agreement(const struct ctl *ctl)
{
	size_t n, held = fake_dp.n_ports + ctl->store.n_pending;
	struct object **list = table_list(&ctl->store.objects, NULL, &n);

	fake_must(list);
	for (size_t i = 0; i < n; i++)
		if (!list[i]->pending_link)
			check_object(list[i]);
	for (unsigned id = 0; id < DP_VLAN_N; id++)
		held += fake_dp.has_vlan[id];
	fake_must(n == held + table_count(&ctl->store.objects, &schema_class));
	free(list);
}

static void handle(struct rpc_session *session, const char *line, size_t n)
{
	char *reply;
	size_t len;

	fake_must(rpc_handle(session, line, n, &reply, &len) == 0);
	if (reply)
		check_answer(reply, len);
	free(reply);
}

static void take_lines(struct rpc_session *session, struct line_buf *lines)
{
	enum line_result result;
	const char *line;
	size_t n;

	while ((result = line_next(lines, &line, &n)) != LINE_NONE)
		if (result == LINE_OK)
			handle(session, line, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rpc_session session;
	struct line_buf lines;
	struct ctl ctl;

	if (!size)
		return 0;
	memset(&fake_dp, 0, sizeof(fake_dp));
	fake_dp.lacking_path = data[0] & 4 ? "/a" : NULL;
	ctl_init(&ctl, &fake_dp);
	rpc_session_init(&session, &ctl, data[0] & 1);
	line_init(&lines, data[0] & 2 ? 64 : RPC_LINE_MAX);
	for (size_t at = 1; at < size;) {
		size_t room, part = size - at;
		char *to = line_room(&lines, &room);

		fake_must(to);
		if (part > room)
			part = room;
		memcpy(to, data + at, part);
		line_filled(&lines, part);
		at += part;
		take_lines(&session, &lines);
	}
	check_agreement(&ctl);
	fake_dp.lacking_path = NULL;
	ctl_tick(&ctl, UINT64_MAX);
	check_agreement(&ctl);
	line_fini(&lines);
	rpc_session_fini(&session);
	ctl_fini(&ctl);
	return 0;
}
