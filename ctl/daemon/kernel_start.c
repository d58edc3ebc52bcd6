/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The kernel engine's start: what the kernel can do is tried, what an earlier daemon left is taken over, and the trunk is made if it is not
 * there. Whatever is lacking is said in the log and by `node show`, and the rest of the node runs. A trunk that could not be made, for its name is another's, is
 * tried again as any object that lacks something (kernel.c).
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "kernel.h"
#include "log.h"
#include "reconcile.h"
#include "txn.h"
#include "watch.h"

static void lacking(struct ctl *ctl, const char *feature, const char *text)
{
	char *copy = strdup(text);

	log_printf(LOG_WARNING, "%s: %s", feature, text);
	/* Said for as long as the daemon lives. */
	ctl_note(ctl, feature, copy ? copy : "missing");
}

static void on_event(void *arg, const char *port, enum kern_event event)
{
	static const char *const words[] = {[KERN_LINK_UP] = "up", [KERN_LINK_DOWN] = "down", [KERN_LOST] = "lost"};

	/* A loss has been logged by the engine, with its reason. */
	if (event != KERN_LOST)
		log_printf(LOG_INFO, "port %s: link %s", port, words[event]);
	watch_port_link(arg, port, words[event]);
}

/*
 * Whose frames reach a container of the node cross the trunk, and the kernel hears where they come from. Whose do not, because he speaks to others of the
 * switch's ports only, the switch alone has heard of since he left. The engines' seconds do not begin together: where it is not clear who has heard
 * him last he is forgotten, which loses nothing, for frames to him then go both ways.
 */
static bool is_elsewhere(void *arg, uint16_t vlan, const uint8_t mac[6], uint32_t age_s)
{
	const struct ctl *ctl = arg;
	struct dp_fdb_entry e;

	if (!ctl->trunk || !dp_fdb_find(ctl->dp, vlan, mac, &e) || !strcmp(e.port, ctl->trunk))
		return false;
	return e.is_static || e.age_s <= age_s + 1;
}

/* What the switch did not have behind the trunk when it was heard elsewhere is found when the kernel engine looks by itself. */
static void on_leave(void *arg)
{
	kern_fdb_tend(((struct ctl *)arg)->kern);
}

/* The engine has said so in the log. The switch lets go of what it had of it, and the port is made again, netdev and all (kernel.c). */
static void on_trunk_lost(void *arg)
{
	struct ctl *ctl = arg;
	struct object *o = ctl->trunk ? table_find(&ctl->store.objects, &schema_port, ctl->trunk) : NULL;

	ctl->trunk_netdev.far_ifindex = 0;
	if (!o || !kernel_is_trunk(o->conf))
		return;
	dp_port_lose(ctl->dp, ctl->trunk);
	reconcile_lost(ctl, o);
}

static void open_trunk(struct ctl *ctl, const struct config *c)
{
	struct kern_error bad = {0};
	static char text[sizeof(bad.msg) + sizeof(bad.hint) + 2]; /* `node show` has it until the trunk is there */

	ctl->trunk = c->trunk_name;
	dp_fdb_on_leave(ctl->dp, ctl->trunk, on_leave, ctl);
	ctl->trunk_by = c->trunk >= CONFIG_TRUNK_BY ? c->trunk - CONFIG_TRUNK_BY : KERN_TRUNK_AUTO;
	if (kern_trunk_netdev(ctl->kern, c->trunk_name, ctl->trunk_by, KERN_MTU_DEFAULT, &ctl->trunk_netdev, &bad) < 0) {
		snprintf(text, sizeof(text), "%s%s%s", bad.msg, bad.hint[0] ? "; " : "", bad.hint);
		log_printf(LOG_WARNING, "trunk: %s", text);
		ctl_note(ctl, "trunk", text);
		return;
	}
	log_printf(LOG_INFO, "trunk %s: %s (%s)", ctl->trunk, ctl->trunk_netdev.by, ctl->trunk_netdev.why);
}

void kernel_open(struct ctl *ctl, const struct config *c)
{
	struct kern_config config = {
		.bpf_dir = c->bpf_dir,
		.log = log_line,
		.event = on_event,
		.elsewhere = is_elsewhere,
		.trunk_lost = on_trunk_lost,
		.arg = ctl,
	};
	struct kern_features features;
	struct kern_error bad = {0};

	ctl_add_engine(ctl, &kernel_engine, ctl);
	if (c->trunk == CONFIG_TRUNK_NONE) {
		ctl_note(ctl, "trunk", "none, as configured: no containers (kind=veth)");
		return;
	}
	kern_probe(&features);
	if (!features.available) {
		lacking(ctl, "kernel engine", features.missing);
		return;
	}
	if (features.missing[0])
		lacking(ctl, "kernel engine", features.missing);
	if (kern_open(&ctl->kern, &config, &bad) < 0) {
		ctl->kern = NULL;
		lacking(ctl, "kernel engine", bad.msg);
		return;
	}
	open_trunk(ctl, c);
}

void kernel_close(struct ctl *ctl)
{
	if (!ctl->kern)
		return;
	dp_fdb_on_leave(ctl->dp, "", NULL, NULL);
	kern_close(ctl->kern);
	ctl->kern = NULL;
}

/* Containers that an earlier daemon made, and that this configuration does not have: they go on as they were, until somebody says. */
static void report_strangers(struct ctl *ctl)
{
	unsigned cursor = 0, n = 0;
	const char *name;

	while (ctl->kern && (name = kern_port_walk(ctl->kern, &cursor))) {
		if (table_find(&ctl->store.objects, &schema_port, name))
			continue;
		log_printf(LOG_WARNING, "port %s: in the kernel, and not configured; add it to have it, or use sluiced --cleanup",
			   name);
		n++;
	}
	if (n)
		ctl_note(ctl, "kernel engine", "has ports that are not configured; see the log");
}

/* The trunk's port, as it is before anybody has changed it: all VLANs, the host's own stack in none. */
static struct port_conf *trunk_conf(const char *name)
{
	struct port_conf *conf = malloc(sizeof(*conf));

	if (!conf)
		return NULL;
	schema_defaults(&schema_port, conf);
	schema_set_name(&schema_port, conf, name, NULL);
	snprintf(conf->dp.kind, sizeof(conf->dp.kind), "trunk");
	schema_port.settle(conf);
	return conf;
}

static int make_trunk_port(struct ctl *ctl)
{
	struct port_conf *conf = trunk_conf(ctl->trunk);
	struct txn_error bad = {0};
	struct txn t;
	int ret;

	if (!conf)
		return -ENOMEM;
	txn_init(&t, ctl);
	ret = txn_put(&t, &schema_port, ctl->trunk, STORE_NOBODY, conf, TXN_NO_INDEX);
	if (ret == 0)
		ret = txn_run(&t, false, &bad);
	txn_free(&t);
	if (ret < 0)
		lacking(ctl, "trunk", bad.fault.msg[0] ? bad.fault.msg : strerror(-ret));
	return ret == -ENOMEM ? ret : 0;
}

int kernel_trunk_port(struct ctl *ctl)
{
	struct object *o;
	int ret = 0;

	report_strangers(ctl);
	if (!ctl->trunk)
		return 0;
	if (!table_find(&ctl->store.objects, &schema_port, ctl->trunk))
		ret = make_trunk_port(ctl);
	o = table_find(&ctl->store.objects, &schema_port, ctl->trunk);
	/* Who waits for what he has applied does not wait for what the node lacks. */
	if (o && !ctl->trunk_netdev.far_ifindex)
		o->since = 0;
	return ret;
}
