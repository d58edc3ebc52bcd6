/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_CTL_DAEMON_H
#define TESTS_CTL_DAEMON_H

/*
 * The daemon's sockets as a child of the test, on a switch that is not there: for tests of the tool. Included once by a test program, behind
 * cmocka.h.
 */

#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/instance.h"
#include "daemon/server.h"
#include "fake_dp.h"
#include "schema/objects.h"

static char dir[32], socket_path_c[64], socket_path_s[64];
static pid_t daemon_pid;

static inline void serve(int ready)
{
	static const struct instance_access all = {.mode = 0666};
	struct instance_socket control, stat_sock;
	struct server *server;
	struct ctl ctl;
	sd_event *event;
	char why[256];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	ctl_init(&ctl, &fake_dp);
	if (sd_event_new(&event) < 0 || server_open(&server, event, &ctl) < 0 ||
	    instance_open(&control, socket_path_c, &all, why, sizeof(why)) < 0 ||
	    instance_open(&stat_sock, socket_path_s, &all, why, sizeof(why)) < 0 || server_listen(server, control.fd, false) < 0 ||
	    server_listen(server, stat_sock.fd, true) < 0 || write(ready, "r", 1) != 1)
		_exit(1);
	sd_event_loop(event);
	_exit(0);
}

static inline int daemon_start(void)
{
	int ready[2];
	char c;

	snprintf(dir, sizeof(dir), "/tmp/sluice-cli-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(socket_path_c, sizeof(socket_path_c), "%s/c", dir);
	snprintf(socket_path_s, sizeof(socket_path_s), "%s/s", dir);
	assert_int_equal(pipe(ready), 0);
	daemon_pid = fork();
	assert_true(daemon_pid >= 0);
	if (daemon_pid == 0)
		serve(ready[1]);
	close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	return 0;
}

/* The directory stays, for whoever has more in it. */
static inline void daemon_stop(void)
{
	char path[96];

	kill(daemon_pid, SIGKILL);
	waitpid(daemon_pid, NULL, 0);
	snprintf(path, sizeof(path), "%s.lock", socket_path_c);
	unlink(path);
	snprintf(path, sizeof(path), "%s.lock", socket_path_s);
	unlink(path);
	unlink(socket_path_c);
	unlink(socket_path_s);
}

#endif
