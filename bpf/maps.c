/* SPDX-License-Identifier: Apache-2.0 */
/* The maps: opened or made, pinned, and written. What they hold: sluice/kernel.h. */
#include "inside.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "kern.skel.h"

static const char *const prog_names[PROG_N] = {"slc_port_in", "slc_shaper_in", "slc_trunk_in", "slc_trunk_out"};

/* --- the directory ---------------------------------------------------------------------------------------------------------- */

static bool is_bpffs(const char *path)
{
	struct statfs fs;

	return statfs(path, &fs) == 0 && (uint32_t)fs.f_type == BPF_FS_MAGIC;
}

static int make_dir(const struct kern *e, struct kern_error *err)
{
	char path[sizeof(e->dir)];

	if (strncmp(e->dir, "/sys/fs/bpf/", 12) == 0 && !is_bpffs("/sys/fs/bpf"))
		mount("bpf", "/sys/fs/bpf", "bpf", 0, NULL);
	for (size_t i = 1; i <= strlen(e->dir); i++) {
		if (e->dir[i] != '/' && e->dir[i] != '\0')
			continue;
		memcpy(path, e->dir, i);
		path[i] = '\0';
		if (mkdir(path, 0700) < 0 && errno != EEXIST)
			return kern_fail(err, -errno, "no-bpffs", "bpf_dir", "mount -t bpf bpf /sys/fs/bpf", "%s: %s", path,
					 strerror(errno));
	}
	if (!is_bpffs(e->dir))
		return kern_fail(err, -EINVAL, "no-bpffs", "bpf_dir", "mount -t bpf bpf /sys/fs/bpf", "%s is not on a bpffs",
				 e->dir);
	return 0;
}

/* Maps of another layout: their programs keep them, we only take away the names. */
static void put_aside(struct kern *e)
{
	char path[512];
	struct slc_k_node node;
	uint32_t zero = 0;
	struct dirent *d;
	DIR *dir;
	int fd;

	snprintf(path, sizeof(path), "%s/slc_node", e->dir);
	fd = bpf_obj_get(path);
	if (fd < 0)
		return;
	/* The value may be longer or shorter than ours; what is asked for lies at its start. */
	if (bpf_map_lookup_elem(fd, &zero, memset(&node, 0, sizeof(node))) == 0 && node.magic == SLC_K_MAGIC &&
	    node.layout == SLC_K_LAYOUT) {
		close(fd);
		return;
	}
	close(fd);
	kern_log(e, LOG_WARNING,
		 "%s: maps of another layout (%#x, ours is %#x): their programs go on until each port is programmed anew; "
		 "counters start at zero",
		 e->dir, node.layout, SLC_K_LAYOUT);
	dir = opendir(e->dir);
	while (dir && (d = readdir(dir))) {
		if (strncmp(d->d_name, "slc_", 4) == 0)
			unlinkat(dirfd(dir), d->d_name, 0);
	}
	if (dir)
		closedir(dir);
}

/* --- open, close ------------------------------------------------------------------------------------------------------------ */

static size_t mapped_size(const struct bpf_map *map)
{
	size_t page = sysconf(_SC_PAGESIZE), size = (size_t)((bpf_map__value_size(map) + 7) & ~7u) * bpf_map__max_entries(map);

	return (size + page - 1) & ~(page - 1);
}

static int map_memory(const struct bpf_map *map, void *at)
{
	void *p = mmap(NULL, mapped_size(map), PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);

	if (p == MAP_FAILED)
		return -errno;
	memcpy(at, &p, sizeof(p));
	return 0;
}

/* Configurations as they were given: for the owner's successor, not for programs. */
static int open_records(struct kern *e)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_NO_PREALLOC);
	struct bpf_map_info info = {0};
	uint32_t len = sizeof(info);
	char path[512];

	snprintf(path, sizeof(path), "%s/slc_records", e->dir);
	e->records_fd = bpf_obj_get(path);
	if (e->records_fd >= 0) {
		if (bpf_obj_get_info_by_fd(e->records_fd, &info, &len) == 0 && info.value_size == sizeof(struct record))
			return 0;
		close(e->records_fd);
		unlink(path);
		kern_log(e, LOG_WARNING, "%s: records of another version: ports wait to be programmed anew", e->dir);
	}
	e->records_fd =
		bpf_map_create(BPF_MAP_TYPE_HASH, "slc_records", sizeof(uint32_t), sizeof(struct record), SLC_K_PORTS, &opts);
	if (e->records_fd < 0)
		return e->records_fd;
	return bpf_obj_pin(e->records_fd, path) < 0 ? -errno : 0;
}

/* Writing to a map of maps returns when every program that runs has ended: what the kernel promises for it is what we need it for. */
static int open_grace(struct kern *e)
{
	e->grace_inner = bpf_map_create(BPF_MAP_TYPE_ARRAY, "slc_grace_in", 4, 4, 1, NULL);
	if (e->grace_inner < 0)
		return e->grace_inner;
	LIBBPF_OPTS(bpf_map_create_opts, opts, .inner_map_fd = e->grace_inner);
	e->grace_outer = bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "slc_grace", 4, 4, 1, &opts);
	return e->grace_outer < 0 ? e->grace_outer : 0;
}

static void wait_grace(struct kern *e)
{
	uint32_t zero = 0;

	bpf_map_update_elem(e->grace_outer, &zero, &e->grace_inner, BPF_ANY);
	e->epoch++;
}

static int quiet(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	return 0;
}

int maps_open(struct kern *e, bool *fresh, struct kern_error *err)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .pin_root_path = e->dir);
	int r = make_dir(e, err);

	e->records_fd = e->grace_inner = e->grace_outer = -1;
	if (r < 0)
		return r;
	put_aside(e);
	libbpf_set_print(quiet);
	e->skel = kern_bpf__open_opts(&opts);
	if (!e->skel)
		return kern_fail(err, -errno, "no-bpf", NULL, NULL, "the programs cannot be opened: %s", strerror(errno));
	r = kern_bpf__load(e->skel);
	if (r < 0)
		return kern_fail(err, r, "no-bpf", NULL, "the kernel must be 5.17 or newer, with BPF, clsact and HTB",
				 "the kernel does not take the programs: %s", strerror(-r));
	if ((r = map_memory(e->skel->maps.slc_node, &e->node)) < 0 ||
	    (r = map_memory(e->skel->maps.slc_ports, &e->ports_map)) < 0 ||
	    (r = map_memory(e->skel->maps.slc_vlans, &e->vlans_map)) < 0 ||
	    (r = map_memory(e->skel->maps.slc_learned, &e->learned)) < 0 || (r = open_records(e)) < 0 || (r = open_grace(e)) < 0)
		return kern_fail(err, r, "no-bpf", NULL, NULL, "maps: %s", strerror(-r));
	*fresh = e->node->magic != SLC_K_MAGIC;
	e->node->aging_s = AGING_S;
	e->node->layout = SLC_K_LAYOUT;
	e->node->magic = SLC_K_MAGIC;
	/* Whoever was here before may have flipped a copy a moment ago. */
	wait_grace(e);
	return 0;
}

void maps_close(struct kern *e)
{
	if (!e->skel)
		return;
	if (e->node)
		munmap(e->node, mapped_size(e->skel->maps.slc_node));
	if (e->ports_map)
		munmap(e->ports_map, mapped_size(e->skel->maps.slc_ports));
	if (e->vlans_map)
		munmap(e->vlans_map, mapped_size(e->skel->maps.slc_vlans));
	if (e->learned)
		munmap(e->learned, mapped_size(e->skel->maps.slc_learned));
	if (e->records_fd >= 0)
		close(e->records_fd);
	if (e->grace_inner >= 0)
		close(e->grace_inner);
	if (e->grace_outer >= 0)
		close(e->grace_outer);
	kern_bpf__destroy(e->skel);
}

static struct bpf_program *program(struct kern *e, enum prog prog)
{
	struct bpf_program *const progs[PROG_N] = {
		e->skel->progs.slc_port_in,
		e->skel->progs.slc_shaper_in,
		e->skel->progs.slc_trunk_in,
		e->skel->progs.slc_trunk_out,
	};

	return progs[prog];
}

int maps_prog(struct kern *e, enum prog prog)
{
	return bpf_program__fd(program(e, prog));
}

int maps_pin_progs(struct kern *e)
{
	for (unsigned i = 0; i < PROG_N; i++) {
		char path[512], fresh[520];

		snprintf(path, sizeof(path), "%s/%s", e->dir, prog_names[i]);
		snprintf(fresh, sizeof(fresh), "%s_new", path);
		unlink(fresh);
		if (bpf_obj_pin(maps_prog(e, i), fresh) < 0 || rename(fresh, path) < 0)
			return -errno;
	}
	return 0;
}

/* --- ports and VLANs -------------------------------------------------------------------------------------------------------- */

const struct slc_k_conf *maps_conf(struct kern *e, uint32_t idx)
{
	const struct slc_k_port *p = &e->ports_map[idx];

	return &p->conf[p->active & 1];
}

void maps_conf_set(struct kern *e, uint32_t idx, const struct slc_k_conf *conf)
{
	struct slc_k_port *p = &e->ports_map[idx];
	uint32_t next = !(p->active & 1);

	/* The copy that is about to be written was the active one until the last flip. */
	if (e->written[idx] == e->epoch + 1)
		wait_grace(e);
	p->conf[next] = *conf;
	__atomic_store_n(&p->active, next, __ATOMIC_RELEASE);
	e->written[idx] = e->epoch + 1;
}

static void set_bit(__u64 *bits, uint32_t n, bool on)
{
	if (on)
		__atomic_fetch_or(&bits[n / 64], 1ull << n % 64, __ATOMIC_RELEASE);
	else
		__atomic_fetch_and(&bits[n / 64], ~(1ull << n % 64), __ATOMIC_RELEASE);
}

void maps_member(struct kern *e, uint16_t vid, uint32_t idx, bool member, bool learner)
{
	set_bit(e->vlans_map[vid].members, idx, member);
	set_bit(e->vlans_map[vid].learners, idx, member && learner);
}

int maps_ifs_set(struct kern *e, uint32_t ifindex, uint32_t idx)
{
	return bpf_map__update_elem(e->skel->maps.slc_ifs, &ifindex, sizeof(ifindex), &idx, sizeof(idx), BPF_ANY);
}

void maps_ifs_del(struct kern *e, uint32_t ifindex)
{
	bpf_map__delete_elem(e->skel->maps.slc_ifs, &ifindex, sizeof(ifindex), 0);
}

int maps_cvlans(struct kern *e, uint32_t idx, const struct kern_vlan_set *set)
{
	int fd = bpf_map__fd(e->skel->maps.slc_cvlans);

	if (!set || !set->given) {
		bpf_map_delete_elem(fd, &idx);
		return 0;
	}
	return bpf_map_update_elem(fd, &idx, set->bits, BPF_ANY) < 0 ? -errno : 0;
}

/* --- addresses -------------------------------------------------------------------------------------------------------------- */

static struct slc_k_mac mac_key(uint16_t vid, const uint8_t mac[6])
{
	struct slc_k_mac key = {.vlan = vid};

	memcpy(key.mac, mac, 6);
	return key;
}

uint64_t maps_fdb_at(struct kern *e, uint16_t vid, const uint8_t mac[6])
{
	struct slc_k_mac key = mac_key(vid, mac);
	uint64_t at;

	return bpf_map_lookup_elem(bpf_map__fd(e->skel->maps.slc_fdb), &key, &at) < 0 ? SLC_K_AT(SLC_K_NOBODY, 0, 0) : at;
}

void maps_fdb_forget(struct kern *e, const struct slc_k_mac *key)
{
	int fd = bpf_map__fd(e->skel->maps.slc_fdb);
	uint64_t at;

	if (bpf_map_lookup_and_delete_elem(fd, key, &at) < 0 || SLC_K_AT_STATIC(at))
		return;
	__atomic_fetch_sub(&e->learned[SLC_K_AT_PORT(at) % SLC_K_PORTS], 1, __ATOMIC_RELAXED);
	__atomic_fetch_sub(&e->learned[SLC_K_LEARNED_VLAN(key->vlan % SLC_K_VLANS)], 1, __ATOMIC_RELAXED);
}

int maps_bind(struct kern *e, uint16_t vid, const uint8_t mac[6], uint32_t idx)
{
	int fd = bpf_map__fd(e->skel->maps.slc_fdb);
	struct slc_k_mac key = mac_key(vid, mac);
	uint64_t at = SLC_K_AT(idx, 1, 0), old = 0;

	/* What was learned goes off its holder's account; the new entry replaces the old in one moment. */
	bool was = bpf_map_lookup_elem(fd, &key, &old) == 0 && !SLC_K_AT_STATIC(old);

	if (bpf_map_update_elem(fd, &key, &at, BPF_ANY) < 0)
		return -errno;
	if (was) {
		__atomic_fetch_sub(&e->learned[SLC_K_AT_PORT(old) % SLC_K_PORTS], 1, __ATOMIC_RELAXED);
		__atomic_fetch_sub(&e->learned[SLC_K_LEARNED_VLAN(vid)], 1, __ATOMIC_RELAXED);
	}
	return 0;
}

void maps_unbind(struct kern *e, uint16_t vid, const uint8_t mac[6], uint32_t idx)
{
	int fd = bpf_map__fd(e->skel->maps.slc_fdb);
	struct slc_k_mac key = mac_key(vid, mac);
	uint64_t at;

	if (bpf_map_lookup_elem(fd, &key, &at) == 0 && SLC_K_AT_STATIC(at) && SLC_K_AT_PORT(at) == idx)
		bpf_map_delete_elem(fd, &key);
}

/* Where an address of either family is kept. */
static int known_map(struct kern *e, uint16_t vid, const struct kern_ip *ip, struct slc_k_ip4 *k4, struct slc_k_ip6 *k6,
		     const void **key)
{
	*k4 = (struct slc_k_ip4){.addr = ip->v4.s_addr, .vlan = vid};
	*k6 = (struct slc_k_ip6){.vlan = vid};
	memcpy(k6->addr, &ip->v6, sizeof(k6->addr));
	*key = ip->family == AF_INET ? (const void *)k4 : (const void *)k6;
	return bpf_map__fd(ip->family == AF_INET ? e->skel->maps.slc_known4 : e->skel->maps.slc_known6);
}

/* An address that finds no room is asked for by broadcast, as everywhere else. */
void maps_known(struct kern *e, uint16_t vid, const struct kern_ip *ip, const uint8_t mac[6], uint32_t idx)
{
	struct slc_k_known value = {.port = idx};
	struct slc_k_ip4 k4;
	struct slc_k_ip6 k6;
	const void *key;
	int fd = known_map(e, vid, ip, &k4, &k6, &key);

	memcpy(value.mac, mac, 6);
	bpf_map_update_elem(fd, key, &value, BPF_ANY);
}

void maps_unknown(struct kern *e, uint16_t vid, const struct kern_ip *ip, uint32_t idx)
{
	struct slc_k_known value;
	struct slc_k_ip4 k4;
	struct slc_k_ip6 k6;
	const void *key;
	int fd = known_map(e, vid, ip, &k4, &k6, &key);

	if (bpf_map_lookup_elem(fd, key, &value) == 0 && value.port == idx)
		bpf_map_delete_elem(fd, key);
}

void maps_fdb_each(struct kern *e, bool (*each)(void *arg, const struct slc_k_mac *key, uint64_t at), void *arg)
{
	enum { BATCH = 4096 };
	int fd = bpf_map__fd(e->skel->maps.slc_fdb);
	struct slc_k_mac *keys = malloc(BATCH * sizeof(keys[0]));
	uint64_t *values = malloc(BATCH * sizeof(values[0]));
	uint32_t place = 0;
	bool first = true, more = keys && values;

	while (more) {
		uint32_t n = BATCH, next;
		int r = bpf_map_lookup_batch(fd, first ? NULL : &place, &next, keys, values, &n, NULL);

		/* -ENOENT: the end, with what is left. */
		if (r < 0 && errno != ENOENT)
			break;
		more = r == 0;
		for (uint32_t i = 0; i < n; i++) {
			if (!each(arg, &keys[i], values[i])) {
				more = false;
				break;
			}
		}
		place = next;
		first = false;
	}
	free(keys);
	free(values);
}

/* --- records, counters ------------------------------------------------------------------------------------------------------ */

int maps_record_put(struct kern *e, uint32_t idx, const struct record *rec)
{
	return bpf_map_update_elem(e->records_fd, &idx, rec, BPF_ANY) < 0 ? -errno : 0;
}

void maps_record_del(struct kern *e, uint32_t idx)
{
	bpf_map_delete_elem(e->records_fd, &idx);
}

int maps_record_get(struct kern *e, uint32_t idx, struct record *rec)
{
	return bpf_map_lookup_elem(e->records_fd, &idx, rec) < 0 ? -errno : 0;
}

bool maps_record_next(struct kern *e, bool first, uint32_t *idx)
{
	return bpf_map_get_next_key(e->records_fd, first ? NULL : idx, idx) == 0;
}

int maps_count(struct kern *e, uint32_t idx, struct slc_k_count *sum)
{
	int n = libbpf_num_possible_cpus();
	size_t words = sizeof(*sum) / sizeof(uint64_t);
	uint64_t *cpus = calloc(n * words, sizeof(cpus[0])), *out = (uint64_t *)(void *)sum;
	int r = 0;

	memset(sum, 0, sizeof(*sum));
	if (!cpus)
		return -ENOMEM;
	if (bpf_map_lookup_elem(bpf_map__fd(e->skel->maps.slc_count), &idx, cpus) < 0)
		r = -errno;
	for (int i = 0; i < n && r == 0; i++) {
		for (size_t w = 0; w < words; w++)
			out[w] += cpus[i * words + w];
	}
	free(cpus);
	return r;
}

void maps_count_clear(struct kern *e, uint32_t idx)
{
	void *zeros = calloc(libbpf_num_possible_cpus(), sizeof(struct slc_k_count));

	if (zeros)
		bpf_map_update_elem(bpf_map__fd(e->skel->maps.slc_count), &idx, zeros, BPF_ANY);
	free(zeros);
}
