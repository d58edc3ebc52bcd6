/* SPDX-License-Identifier: Apache-2.0 */

/*
 * sluiced: options, then a ladder of what must be there, the event loop, and the ladder back.
 *
 *      sockets (one daemon per paths)  ->  capabilities dropped  ->  state file  ->  switch (EAL, workers)  ->  state into force
 *              ->  event loop: signals, switch, clients, supervision
 *
 * The sockets come first: a second daemon on the same paths must not touch huge pages or cores before it finds out. Those that systemd
 * hands over are used, the others made. Clients that connect while the switch starts wait in the listen queue. What the state file holds
 * is in force, as far as the node has it, before READY=1.
 *
 * SIGTERM, SIGINT and SIGHUP end it with exit code 0. They are blocked before the switch starts its workers, so that none of those
 * ever takes a signal.
 */

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <sys/resource.h>

#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>

#include "activation.h"
#include "caps.h"
#include "config.h"
#include "instance.h"
#include "kernel.h"
#include "load.h"
#include "log.h"
#include "loop.h"
#include "server.h"
#include "state.h"
#include "supervise.h"

struct daemon {
	struct config config;
	struct state *state; /* until ctl has it */
	struct ctl_loop ctl_loop;
	struct instance_socket control, stat;
	struct dp *dp;
	struct ctl ctl;
	sd_event *event;
	struct server *server;
	struct supervise *supervise;
};

/* Thousands of ports have as many descriptors, the usual soft limit is 1024. Failing leaves the old limit, which is reported when hit. */
static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == limit.rlim_max)
		return;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		log_printf(LOG_WARNING, "cannot raise the limit of open files: %m");
}

static void block_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
}

/* --- the switch ------------------------------------------------------------------------------------------------------------- */

static int open_switch(struct daemon *d)
{
	const struct config *c = &d->config;
	struct dp_config config = {
		.n_cores = c->n_cores,
		.memory = c->memory,
		.poll = c->poll,
		.buffers = c->buffers,
		.fdb_max = c->fdb_max,
		.drivers = c->drivers[0] ? c->drivers : NULL,
		.log = log_line,
		.worker_init = caps_drop_thread,
	};
	struct dp_error bad = {0};
	int ret;

	memcpy(config.cores, c->core_list, sizeof(config.cores));
	ret = dp_open(&d->dp, &config, &bad);
	if (ret < 0)
		log_printf(LOG_ERR, "cannot start the switch: %s%s%s", bad.msg[0] ? bad.msg : strerror(-ret),
			   bad.hint[0] ? "; " : "", bad.hint);
	return ret;
}

static int on_switch(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	dp_dispatch(arg);
	return 0;
}

static int on_kernel(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	kern_dispatch(arg);
	return 0;
}

/* What this build leaves out is said once in the log, and by `node show`. */
static void note_missing(struct daemon *d)
{
	const char *name, *text;

	for (unsigned i = 0; (name = config_unsupported(&d->config, i, &text)); i++)
		log_printf(LOG_WARNING, "%s: %s", name, text);
}

/* --- the loop ---------------------------------------------------------------------------------------------------------------- */

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *si, void *arg)
{
	log_printf(LOG_INFO, "ends: %s", sigabbrev_np(si->ssi_signo));
	return sd_event_exit(sd_event_source_get_event(source), 0);
}

static int open_supervision(struct daemon *d)
{
	uint64_t watchdog_us = 0;
	int ret = sd_watchdog_enabled(0, &watchdog_us);

	return ret < 0 ? ret : supervise_open(&d->supervise, d->event, &d->ctl, watchdog_us);
}

static int open_loop(struct daemon *d)
{
	sd_event_source *source = NULL;
	int ret = sd_event_new(&d->event);

	if (ret >= 0)
		ret = sd_event_add_signal(d->event, NULL, SIGTERM, on_signal, NULL);
	if (ret >= 0)
		ret = sd_event_add_signal(d->event, NULL, SIGINT, on_signal, NULL);
	if (ret >= 0)
		ret = sd_event_add_signal(d->event, NULL, SIGHUP, on_signal, NULL);
	if (ret >= 0)
		ret = sd_event_add_io(d->event, &source, dp_fd(d->dp), EPOLLIN, on_switch, d->dp);
	if (ret >= 0)
		ret = sd_event_source_set_priority(source, SD_EVENT_PRIORITY_IMPORTANT);
	if (ret >= 0)
		ret = sd_event_source_set_floating(source, true);
	sd_event_source_unref(source);
	if (ret >= 0 && d->ctl.kern)
		ret = sd_event_add_io(d->event, NULL, kern_fd(d->ctl.kern), EPOLLIN, on_kernel, d->ctl.kern);
	if (ret >= 0)
		ret = ctl_loop_open(&d->ctl_loop, &d->ctl, d->event);
	if (ret >= 0)
		ret = server_open(&d->server, d->event, &d->ctl);
	if (ret >= 0)
		ret = server_listen(d->server, d->control.fd, false);
	if (ret >= 0)
		ret = server_listen(d->server, d->stat.fd, true);
	if (ret >= 0)
		ret = open_supervision(d);
	if (ret < 0)
		log_printf(LOG_ERR, "cannot make the event loop: %s", strerror(-ret));
	return ret;
}

/* `given`: handed over by the service manager, or -1. */
static int open_socket(struct instance_socket *s, int given, const char *path, const struct instance_access *access, char *why,
		       size_t size)
{
	return given >= 0 ? instance_adopt(s, given, why, size) : instance_open(s, path, access, why, size);
}

static int open_sockets(struct daemon *d)
{
	static const struct instance_access control = {.mode = 0660, .group = "sluice"}, stat = {.mode = 0666};
	struct activation given;
	char why[256];
	int ret = activation_take(&given, why, sizeof(why));

	if (ret == 0)
		ret = open_socket(&d->control, given.control, d->config.socket, &control, why, sizeof(why));
	if (ret == 0) {
		ret = open_socket(&d->stat, given.stat, d->config.stat_socket, &stat, why, sizeof(why));
		if (ret < 0)
			instance_close(&d->control);
	}
	if (ret < 0)
		log_printf(LOG_ERR, "%s", why);
	return ret;
}

static int open_state(struct daemon *d)
{
	char why[256];
	int ret = state_open(&d->state, d->config.state, why, sizeof(why));

	if (ret < 0)
		log_printf(LOG_ERR, "cannot use the state file: %s", why);
	return ret;
}

static int load_state(struct daemon *d)
{
	int ret = ctl_load(&d->ctl, d->state);

	if (ret < 0)
		log_printf(LOG_ERR, "cannot load the state: %s", ret == -ENOMEM ? strerror(ENOMEM) : state_why(d->state));
	else
		log_printf(LOG_INFO, "state: generation %llu, %zu objects, %zu of them not in force",
			   (unsigned long long)d->ctl.store.generation, d->ctl.store.objects.n, d->ctl.store.n_pending);
	return ret;
}

static int loop(struct daemon *d)
{
	int ret;

	sd_notifyf(0, "READY=1\nSTATUS=Forwards, and listens on %s", d->control.path);
	log_printf(LOG_INFO, "ready: %s", d->control.path);
	ret = sd_event_loop(d->event);
	sd_notify(0, "STOPPING=1\nSTATUS=Ends");
	if (ret < 0)
		log_printf(LOG_ERR, "the event loop failed: %s", strerror(-ret));
	return ret;
}

static int drop_capabilities(void)
{
	char why[128];
	int ret = caps_drop(why, sizeof(why));

	if (ret < 0)
		log_printf(LOG_ERR, "%s", why);
	return ret;
}

static int run(struct daemon *d)
{
	int ret;

	log_printf(LOG_INFO, "sluiced %s starts", SLUICE_VERSION);
	raise_file_limit();
	block_signals();
	ret = open_sockets(d);
	if (ret < 0)
		return ret;
	ret = drop_capabilities();
	if (ret < 0)
		goto close_sockets;
	ret = open_state(d);
	if (ret < 0)
		goto close_sockets;
	ret = open_switch(d);
	if (ret < 0)
		goto close_state;
	ctl_init(&d->ctl, d->dp);
	caps_report(&d->ctl);
	note_missing(d);
	kernel_open(&d->ctl, &d->config);
	ret = load_state(d);
	d->state = NULL; /* ctl's, whatever came of it */
	if (ret >= 0)
		ret = kernel_trunk_port(&d->ctl);
	if (ret >= 0)
		ret = open_loop(d);
	if (ret >= 0)
		ret = loop(d);
	supervise_close(d->supervise);
	server_close(d->server);
	ctl_loop_close(&d->ctl_loop);
	sd_event_unref(d->event);
	ctl_fini(&d->ctl);
	kernel_close(&d->ctl);
	dp_close(d->dp);
close_state:
	state_close(d->state);
close_sockets:
	instance_close(&d->stat);
	instance_close(&d->control);
	return ret;
}

/* The configuration stays: it is an operator's, not a trace. */
static int cleanup(const struct config *c)
{
	int ret = kern_cleanup(c->bpf_dir);

	if (ret < 0) {
		fprintf(stderr, "sluiced: cannot clean up: %s\n", strerror(-ret));
		return EXIT_FAILURE;
	}
	printf("sluiced: containers' netdevs, the trunk and what is pinned under %s are gone\n", c->bpf_dir);
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	static struct daemon d;
	char why[512];

	log_open();
	if (config_load(&d.config, argc, argv, why, sizeof(why)) < 0) {
		fprintf(stderr, "sluiced: %s\n", why);
		return EX_CONFIG;
	}
	switch (d.config.action) {
	case CONFIG_HELP:
		config_help(stdout);
		return EXIT_SUCCESS;
	case CONFIG_VERSION:
		printf("sluiced %s\n", SLUICE_VERSION);
		return EXIT_SUCCESS;
	case CONFIG_CHECK:
		printf("sluiced: the configuration is valid\n");
		return EXIT_SUCCESS;
	case CONFIG_CLEANUP:
		return cleanup(&d.config);
	case CONFIG_RUN:
		break;
	}
	return run(&d) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
