/* SPDX-License-Identifier: Apache-2.0 */

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "node.h"

#define CLIENT	    "cni"
#define FULL	    "too-many-clients"
#define FULL_MIN_MS 5 /* between two tries at a daemon that is full */
#define FULL_MAX_MS 100

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

/* --- errors ------------------------------------------------------------------------------------------------------------------- */

static bool refused_as(const struct sluice_error *said, const char *name)
{
	return said->kind == SLUICE_REFUSED && !strcmp(said->name, name);
}

static int failed(const struct sluice_error *said, struct cni_error *err)
{
	switch (said->kind) {
	case SLUICE_GONE:
	case SLUICE_TIMEOUT:
		return cni_fail(err, CNI_TRY_AGAIN, said->hint, "sluiced: %s", said->message);
	case SLUICE_REFUSED:
		if (refused_as(said, FULL))
			return cni_fail(err, CNI_TRY_AGAIN, said->hint, "sluiced: %s", said->message);
		/* -32602: a value is out of its range, and it came from the configuration. */
		return cni_fail(err, said->code == -32602 ? CNI_BAD_CONFIG : CNI_REFUSED, said->hint, "sluiced: %s", said->message);
	case SLUICE_NO_MEMORY:
		return cni_no_memory(err);
	default:
		return cni_fail(err, CNI_IO, NULL, "sluiced: %s", said->message);
	}
}

/* --- connection --------------------------------------------------------------------------------------------------------------- */

static int connect_to(struct node *node, struct sluice_error *said)
{
	int64_t end = now_ms() + node->timeout_ms;
	int pause = FULL_MIN_MS, ret;

	for (;;) {
		int64_t left = end - now_ms();

		/* The last try has its chance, too. */
		ret = sluice_open(&node->s, node->socket, left > FULL_MAX_MS ? (int)left : FULL_MAX_MS, said);
		if (!ret) {
			ret = sluice_hello(node->s, CLIENT, NULL, said);
			if (!ret)
				break;
			node_close(node);
		}
		if (!refused_as(said, FULL) || left <= pause)
			return ret;
		poll(NULL, 0, pause);
		pause = pause * 2 > FULL_MAX_MS ? FULL_MAX_MS : pause * 2;
	}
	sluice_set_timeout(node->s, node->timeout_ms);
	return 0;
}

int node_open(struct node *node, const struct cni_conf *c, struct cni_error *err)
{
	struct sluice_error said;

	*node = (struct node){.socket = c->socket, .timeout_ms = c->timeout_ms};
	return connect_to(node, &said) ? failed(&said, err) : 0;
}

void node_close(struct node *node)
{
	sluice_close(node->s);
	node->s = NULL;
}

/* --- questions ---------------------------------------------------------------------------------------------------------------- */

/* Call with params, which are taken over. */
static int call(struct node *node, const char *method, json_t *params, json_t **result, struct sluice_error *said)
{
	char *text = params ? json_dumps(params, JSON_COMPACT) : NULL, *answer = NULL;
	int ret = sluice_call(node->s, method, text, &answer, said);

	*result = ret ? NULL : json_loads(answer, JSON_DECODE_ANY, NULL);
	free(text);
	sluice_free(answer);
	json_decref(params);
	return ret;
}

int node_port(struct node *node, const char *name, json_t **port, struct cni_error *err)
{
	struct sluice_error said;
	json_t *result;
	int ret = call(node, "get", json_pack("{s:s, s:s}", "object", "port", "name", name), &result, &said);

	*port = NULL;
	if (ret)
		return refused_as(&said, "not-found") ? 0 : failed(&said, err);
	*port = json_incref(json_array_get(json_object_get(result, "objects"), 0));
	json_decref(result);
	return 0;
}

/* --- waiting ------------------------------------------------------------------------------------------------------------------ */

static const char *member(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

/* In force: 1. Not yet: 0, with the reason in *why. Gone or unknown: -1 with *err. */
static int in_force(struct node *node, const char *name, struct cni_error *why, struct cni_error *err)
{
	const json_t *fault;
	json_t *port;
	int ret;

	if (node_port(node, name, &port, err))
		return -1;
	if (!port)
		return cni_fail(err, CNI_REFUSED, NULL, "sluiced: port %s: was deleted by somebody else", name), -1;
	fault = json_object_get(port, "error");
	ret = !fault || json_is_null(fault);
	if (!ret)
		cni_fail(why, CNI_TRY_AGAIN, member(fault, "hint"), "sluiced: %s", member(fault, "message"));
	json_decref(port);
	return ret;
}

/* Whether this event may have changed how `name` is. */
static bool concerns(const char *text, const char *name)
{
	json_t *event = json_loads(text, 0, NULL);
	bool yes = !strcmp(member(event, "name"), name) || !strcmp(member(event, "type"), "resync");

	json_decref(event);
	return yes;
}

/* Until the port is in force. The watch stands before the question, so that nothing happens unseen between both. */
static int wait_in_force(struct node *node, const char *name, struct cni_error *err)
{
	int64_t end = now_ms() + node->timeout_ms, left;
	struct sluice_error said;
	struct cni_error why = {0};
	char *event;
	int ret;

	if (sluice_watch(node->s, "{\"objects\":[\"port\"],\"events\":[\"object\"],\"snapshot\":false}", NULL, &said))
		return failed(&said, err);
	while ((ret = in_force(node, name, &why, err)) == 0) {
		bool again = false;

		while (!again) {
			left = end - now_ms();
			if (sluice_next_event(node->s, left > 0 ? (int)left : 0, &event, &said)) {
				if (said.kind != SLUICE_TIMEOUT)
					return failed(&said, err);
				*err = why;
				return err->code;
			}
			again = concerns(event, name);
			sluice_free(event);
		}
	}
	return ret < 0 ? err->code : 0;
}

/* --- add ---------------------------------------------------------------------------------------------------------------------- */

/* A daemon that is started anew under us is asked again: what we apply may be applied twice. */
static int apply(struct node *node, json_t *ops, struct sluice_generation *at, struct sluice_error *said)
{
	char *text = json_dumps(ops, JSON_COMPACT);
	int ret = SLUICE_GONE;

	if (node->s)
		ret = sluice_apply(node->s, text ? text : "", 0, SLUICE_ANY_GENERATION, at, said);
	if (ret == SLUICE_GONE) {
		node_close(node);
		ret = connect_to(node, said);
		if (!ret)
			ret = sluice_apply(node->s, text ? text : "", 0, SLUICE_ANY_GENERATION, at, said);
	}
	free(text);
	json_decref(ops);
	return ret;
}

/*
 * The VLAN first, in the same transaction. It may be there, as another wants it: then it is refused, and needs no adding.
 *
 * A port of this name may be there: it goes in the same transaction, even if it is just the same, for its netdev went with the namespace that
 * it was in, and adding what is so already makes nothing. Somebody else's is refused.
 */
static int add(struct node *node, const char *name, const json_t *attrs, unsigned vlan, struct sluice_generation *at,
	       struct sluice_error *said)
{
	char vlan_name[16];
	int ret = 0;

	snprintf(vlan_name, sizeof(vlan_name), "%u", vlan);
	for (int with_vlan = 1; with_vlan >= 0; with_vlan--) {
		json_t *ops = json_array();

		if (with_vlan)
			json_array_append_new(ops, json_pack("{s:s, s:s, s:s}", "op", "add", "object", "vlan", "name", vlan_name));
		json_array_append_new(ops, json_pack("{s:s, s:s, s:s}", "op", "del", "object", "port", "name", name));
		json_array_append_new(
			ops, json_pack("{s:s, s:s, s:s, s:O}", "op", "add", "object", "port", "name", name, "attrs", attrs));
		ret = apply(node, ops, at, said);
		if (!ret || strncmp(said->path, "ops[0]", 6) != 0 || !(refused_as(said, "exists") || refused_as(said, "owned")))
			break;
	}
	return ret;
}

int node_add(struct node *node, const char *name, const json_t *attrs, unsigned vlan, struct cni_error *err)
{
	struct sluice_generation at;
	struct sluice_error said;
	struct cni_error ignored;
	int ret = add(node, name, attrs, vlan, &at, &said);

	if (ret) {
		failed(&said, err);
		/* No answer in time: it may have been carried out all the same. */
		if (ret == SLUICE_TIMEOUT)
			node_del(node, name, &ignored);
		return err->code;
	}
	if (at.applied < at.generation && wait_in_force(node, name, err)) {
		node_del(node, name, &ignored);
		return err->code;
	}
	return 0;
}

int node_set(struct node *node, const char *name, const json_t *attrs, struct cni_error *err)
{
	struct sluice_generation at;
	struct sluice_error said;

	if (apply(node, json_pack("[{s:s, s:s, s:s, s:O}]", "op", "set", "object", "port", "name", name, "attrs", attrs), &at,
		  &said))
		return failed(&said, err);
	return at.applied < at.generation ? wait_in_force(node, name, err) : 0;
}

/* --- del ---------------------------------------------------------------------------------------------------------------------- */

int node_del(struct node *node, const char *name, struct cni_error *err)
{
	struct sluice_generation at;
	struct sluice_error said;

	if (!apply(node, json_pack("[{s:s, s:s, s:s}]", "op", "del", "object", "port", "name", name), &at, &said))
		return 0;
	if (refused_as(&said, "owned")) {
		fprintf(stderr, "sluice-cni: %s: left alone\n", said.message);
		return 0;
	}
	return failed(&said, err);
}

int node_ports(struct node *node, const char *network, json_t **ports, struct cni_error *err)
{
	struct sluice_error said;
	json_t *result, *port;
	size_t i;

	*ports = json_array();
	if (call(node, "get", json_pack("{s:s}", "object", "port"), &result, &said))
		return failed(&said, err);
	json_array_foreach (json_object_get(result, "objects"), i, port)
		if (!strcmp(member(port, "owner"), CLIENT) && conf_port_of_network(member(port, "name"), network))
			json_array_append(*ports, port);
	json_decref(result);
	return 0;
}

/* --- status ------------------------------------------------------------------------------------------------------------------- */

static const json_t *kind_named(const json_t *list, const char *name)
{
	json_t *item;
	size_t i;

	json_array_foreach (list, i, item)
		if (!strcmp(member(item, "kind"), name))
			return item;
	return NULL;
}

int node_status(struct node *node, struct cni_error *err)
{
	const json_t *state, *kind;
	struct sluice_error said;
	json_t *result;
	bool has;

	if (call(node, "get", json_pack("{s:s}", "object", "node"), &result, &said))
		return failed(&said, err);
	state = json_object_get(json_array_get(json_object_get(result, "objects"), 0), "state");
	kind = kind_named(json_object_get(state, "kinds"), "veth");
	has = json_is_true(json_object_get(kind, "available"));
	json_decref(result);
	if (has)
		return 0;
	return cni_fail(err, CNI_NOT_AVAILABLE, "`sluicectl node show` says why", "sluiced: this node has no ports of kind veth");
}
