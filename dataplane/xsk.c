/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "xsk.h"

/* The id that fdinfo gives a BPF object, or 0. */
static unsigned bpf_id(int fd)
{
	char path[64], line[128];
	unsigned id = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	f = fopen(path, "re");
	while (f && !id && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "map_id: %u", &id) != 1 && sscanf(line, "prog_id: %u", &id) != 1 &&
		    sscanf(line, "link_id: %u", &id) != 1)
			id = 0;
	}
	if (f)
		fclose(f);
	return id;
}

/* What the descriptor refers to, if it is of a type that the driver opens. */
static bool identify(int fd, char *what, size_t size)
{
	char path[64], target[64];
	int domain = 0;
	socklen_t len = sizeof(domain);
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return false;
	target[n] = '\0';
	if (!strncmp(target, "anon_inode:bpf", 14)) {
		snprintf(what, size, "%.40s %u", target, bpf_id(fd));
		return true;
	}
	if (strncmp(target, "socket:", 7) != 0 || getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0 || domain != AF_XDP)
		return false;
	snprintf(what, size, "%s", target);
	return true;
}

static int by_number(const void *a, const void *b)
{
	return ((const struct xsk_fd *)a)->fd - ((const struct xsk_fd *)b)->fd;
}

void xsk_list(struct xsk_set *all)
{
	DIR *d = opendir("/proc/self/fd");
	struct dirent *e;

	all->n = 0;
	while (d && (e = readdir(d)) && all->n < XSK_MAX) {
		struct xsk_fd *x = &all->fd[all->n];

		if (!isdigit((unsigned char)e->d_name[0]))
			continue;
		x->fd = (int)strtol(e->d_name, NULL, 10);
		if (identify(x->fd, x->what, sizeof(x->what)))
			all->n++;
	}
	if (d)
		closedir(d);
	qsort(all->fd, all->n, sizeof(all->fd[0]), by_number);
}

static bool has(const struct xsk_set *set, const struct xsk_fd *x)
{
	for (unsigned i = 0; i < set->n; i++) {
		if (set->fd[i].fd == x->fd && !strcmp(set->fd[i].what, x->what))
			return true;
	}
	return false;
}

void xsk_subtract(struct xsk_set *all, const struct xsk_set *before)
{
	unsigned n = 0;

	for (unsigned i = 0; i < all->n; i++) {
		if (!has(before, &all->fd[i]))
			all->fd[n++] = all->fd[i];
	}
	all->n = n;
}

int xsk_socket(const struct xsk_set *set, unsigned n)
{
	for (unsigned i = 0; i < set->n; i++) {
		if (!strncmp(set->fd[i].what, "socket:", 7) && n-- == 0)
			return set->fd[i].fd;
	}
	return -1;
}

unsigned xsk_close(struct xsk_set *set)
{
	unsigned closed = 0;
	char now[64];

	for (unsigned i = 0; i < set->n; i++) {
		if (identify(set->fd[i].fd, now, sizeof(now)) && !strcmp(now, set->fd[i].what)) {
			close(set->fd[i].fd);
			closed++;
		}
	}
	set->n = 0;
	return closed;
}
