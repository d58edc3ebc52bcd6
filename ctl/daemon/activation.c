/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <systemd/sd-daemon.h>

#include "activation.h"

static int take_one(struct activation *a, int fd, const char *name, char *why, size_t size)
{
	int *to = !strcmp(name, "control") ? &a->control : !strcmp(name, "stat") ? &a->stat : NULL;

	if (!to) {
		snprintf(why, size, "socket activation: \"%.64s\": FileDescriptorName is neither control nor stat", name);
		return -EINVAL;
	}
	if (*to >= 0) {
		snprintf(why, size, "socket activation: two sockets are named %s", name);
		return -EINVAL;
	}
	if (sd_is_socket_unix(fd, SOCK_STREAM, 1, NULL, 0) <= 0) {
		snprintf(why, size, "socket activation: %s is not a listening Unix stream socket", name);
		return -EINVAL;
	}
	*to = fd;
	return 0;
}

int activation_take(struct activation *a, char *why, size_t size)
{
	char **names = NULL;
	int n = sd_listen_fds_with_names(1, &names), ret = n < 0 ? n : 0;

	*a = (struct activation){.control = -1, .stat = -1};
	if (n < 0)
		snprintf(why, size, "socket activation: %s", strerror(-n));
	for (int i = 0; i < n; i++) {
		if (ret == 0)
			ret = take_one(a, SD_LISTEN_FDS_START + i, names[i], why, size);
		free(names[i]);
	}
	free(names);
	return ret;
}
