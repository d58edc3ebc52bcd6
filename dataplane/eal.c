/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>

#include "eal.h"
#include "log.h"

#define MAX_ARGS 48

/*
 * A shared build of DPDK opens every library of its driver directory, 150 of them, whether -d names others or not; its only question is
 * whether the directory is there. So while EAL starts, this process's stat64(), which is what EAL calls, says that it is not. (Linking the drivers
 * statically was the other way: then a NIC whose driver we did not foresee could not be used at all.)
 */
static bool hide_drivers;

int stat64(const char *restrict path, struct stat64 *restrict st)
{
	if (hide_drivers && !strcmp(path, SLUICE_PMD_DIR)) {
		errno = ENOENT;
		return -1;
	}
	return fstatat64(AT_FDCWD, path, st, 0);
}

/* EAL keeps pointers to its arguments, and reorders the vector that it is given: `own` remembers them. */
struct args {
	int n;
	char *own[MAX_ARGS], *v[MAX_ARGS];
};

static void add(struct args *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void add(struct args *a, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (a->n < MAX_ARGS - 1 && vasprintf(&a->own[a->n], fmt, ap) >= 0) {
		a->v[a->n] = a->own[a->n];
		a->n++;
	}
	va_end(ap);
}

/* Free huge pages of 2 MiB and 1 GiB, in bytes. */
static uint64_t free_huge_bytes(void)
{
	static const struct {
		const char *path;
		uint64_t size;
	} kinds[] = {
		{"/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", 2ull << 20},
		{"/sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages", 1ull << 30},
	};
	uint64_t total = 0;

	for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		FILE *f = fopen(kinds[i].path, "re");
		unsigned long long pages;

		if (!f)
			continue;
		if (fscanf(f, "%llu", &pages) == 1)
			total += pages * kinds[i].size;
		fclose(f);
	}
	return total;
}

/* DPDK's log lines become ours: it writes to a stream, whole lines at a time. */
static ssize_t log_write(void *cookie, const char *buf, size_t size)
{
	static const int priority[] = {LOG_EMERG,   LOG_EMERG,	LOG_ALERT, LOG_CRIT, LOG_ERR,
				       LOG_WARNING, LOG_NOTICE, LOG_INFO,  LOG_DEBUG};
	int level = rte_log_cur_msg_loglevel();
	size_t n = size;

	while (n && isspace((unsigned char)buf[n - 1]))
		n--;
	if (n)
		dp_log(level > 0 && level < (int)(sizeof(priority) / sizeof(priority[0])) ? priority[level] : LOG_INFO,
		       "dpdk: %.*s", (int)n, buf);
	return size;
}

int eal_driver(const char *name, struct dp_error *err)
{
	char path[512];

	for (const char *p = name; *p; p++) {
		if (!islower((unsigned char)*p) && !isdigit((unsigned char)*p) && *p != '_')
			return dp_fail(err, -EINVAL, "bad-value", "drivers", "a name such as net_tap or bus_pci",
				       "%s: not a driver's name", name);
	}
	snprintf(path, sizeof(path), "%s/librte_%s.so", SLUICE_PMD_DIR, name);
	/* Its constructor registers the driver; opening it twice is harmless. Never closed: DPDK keeps pointers into it. */
	if (!dlopen(path, RTLD_NOW | RTLD_GLOBAL))
		return dp_fail(err, -ENOENT, "no-such-driver", "devargs", "see the libraries librte_*.so in " SLUICE_PMD_DIR,
			       "driver %s: %s", name, dlerror());
	return 0;
}

static int load_configured(const char *list, bool *pci, struct dp_error *err)
{
	char copy[512], *save = NULL;
	int r = 0;

	snprintf(copy, sizeof(copy), "%s", list);
	for (char *name = strtok_r(copy, ", ", &save); name && !r; name = strtok_r(NULL, ", ", &save)) {
		if (!*pci && (r = eal_driver("bus_pci", err)) == 0)
			*pci = true;
		if (!r)
			r = eal_driver(name, err);
	}
	return r;
}

/* EAL's --lcores: control on the CPUs of `control`, worker i as lcore i + 1 on cores[i]. */
static void list_lcores(const cpu_set_t *control, const uint16_t *cores, unsigned n_cores, char *out, size_t size)
{
	int n = snprintf(out, size, "0@(");

	for (int cpu = 0, listed = 0; cpu < CPU_SETSIZE && listed < 32; cpu++) {
		if (CPU_ISSET(cpu, control))
			n += snprintf(out + n, size - n, "%s%d", listed++ ? "," : "", cpu);
	}
	n += snprintf(out + n, size - n, ")");
	for (unsigned i = 0; i < n_cores; i++)
		n += snprintf(out + n, size - n, ",%u@%u", i + 1, cores[i]);
}

int eal_start(const struct dp_config *config, const uint16_t *cores, unsigned n_cores, uint64_t need_bytes, uint64_t plain_spare,
	      struct eal_result *res, struct dp_error *err)
{
	uint64_t huge = free_huge_bytes();
	unsigned need_mb = (need_bytes >> 20) + 1;
	static const cookie_io_functions_t log_io = {.write = log_write};
	static struct args a;
	char lcores[256 + 16 * DP_MAX_WORKERS];
	cpu_set_t affinity;
	FILE *log;
	bool pci = false;
	int r;

	res->huge = config->memory == DP_MEMORY_HUGE || (config->memory == DP_MEMORY_AUTO && huge >= need_bytes);
	if (!res->huge)
		need_mb += plain_spare >> 20;
	res->memory_bytes = (uint64_t)need_mb << 20;
	res->why = config->memory == DP_MEMORY_HUGE    ? "asked for"
		   : config->memory == DP_MEMORY_PLAIN ? "asked for"
		   : res->huge			       ? "enough huge pages are free"
		   : huge			       ? "too few huge pages are free"
						       : "no huge pages are free";
	if (config->memory == DP_MEMORY_HUGE && huge < need_bytes)
		return dp_fail(err, -ENOMEM, "no-memory", "memory", "reserve more in /proc/sys/vm/nr_hugepages, or memory=plain",
			       "huge pages: %u MiB needed, %llu MiB free", need_mb, (unsigned long long)huge >> 20);

	if (config->drivers && (r = load_configured(config->drivers, &pci, err)))
		return r;
	/* Every virtual device needs this bus, loaded before EAL scans its buses; every packet buffer comes out of this kind of pool. */
	if ((r = eal_driver("bus_vdev", err)) || (r = eal_driver("mempool_ring", err)))
		return r;

	log = fopencookie(NULL, "w", log_io);
	if (log) {
		setvbuf(log, NULL, _IOLBF, BUFSIZ);
		rte_openlog_stream(log);
	}

	/* Each worker has a core to itself; lcore 0, control, and DPDK's own threads share what is left, or everything if nothing is. */
	if (sched_getaffinity(0, sizeof(affinity), &affinity) < 0)
		return dp_fail(err, -errno, "system", NULL, NULL, "sched_getaffinity: %s", strerror(errno));
	if (CPU_COUNT(&affinity) > (int)n_cores) {
		for (unsigned i = 0; i < n_cores; i++)
			CPU_CLR(cores[i], &affinity);
	}
	list_lcores(&affinity, cores, n_cores, lcores, sizeof(lcores));

	add(&a, "sluiced");
	add(&a, "--lcores=%s", lcores);
	add(&a, "--main-lcore=0");
	/* Nothing in the file system in either case; with --no-huge, --in-memory is not accepted (and needless). */
	add(&a, res->huge ? "--in-memory" : "--no-huge");
	add(&a, "--no-shconf");
	add(&a, "--file-prefix=sluice");
	add(&a, "--no-telemetry");
	/*
	 * The first pattern that matches wins. The tap driver calls five things errors that it then does without, at every port; what it
	 * cannot do without fails the call.
	 */
	add(&a, "--log-level=pmd.net.tap:critical");
	add(&a, "--log-level=lib.eal:warning");
	add(&a, "--log-level=*:warning");
	if (!pci)
		add(&a, "--no-pci");
	add(&a, "-m%u", need_mb);
	a.v[a.n] = NULL;

	hide_drivers = true;
	r = rte_eal_init(a.n, a.v);
	hide_drivers = false;
	sched_setaffinity(0, sizeof(affinity), &affinity);
	if (r < 0)
		return dp_fail(err, -rte_errno, "eal", NULL, "the lines logged by dpdk before this one say why",
			       "DPDK did not start: %s", rte_strerror(rte_errno));
	return 0;
}
