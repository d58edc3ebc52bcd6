/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's memory: every address is translated to where it is, or nowhere.
 */
#include "test_vhost_env.h"

#include <linux/magic.h>
#include <sys/vfs.h>

static struct guest guest;
static int alarm_fd;

static int setup(void **state)
{
	guest_init(&guest, 1 << 20);
	alarm_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return 0;
}

static int teardown(void **state)
{
	guest_fini(&guest);
	close(alarm_fd);
	return 0;
}

/* `m` with a region more; NULL if it is refused. */
static struct vhost_mem *with(const struct vhost_mem *m, uint64_t gpa, uint64_t size, uint64_t uva, uint64_t offset, int fd)
{
	const struct vhost_mem_region r = {gpa, size, uva, offset};
	const char *why = NULL;
	struct vhost_mem *more = vhost_mem_with(m, &r, fd, alarm_fd, &why);

	assert_true(more != NULL || (why && *why));
	return more;
}

static void expect_at(const struct vhost_mem *m, uint64_t gpa, uint64_t len, int64_t place)
{
	for (unsigned hint = 0; hint < 3 && hint < m->n; hint++) {
		unsigned h = hint;
		uint8_t *at = vhost_mem_gpa(m, &h, gpa, len);

		assert_int_equal(at != NULL, place >= 0);
		if (at) { /* the same byte as ours */
			guest.mem[place] = (uint8_t)(guest.mem[place] + 1);
			assert_int_equal(*at, guest.mem[place]);
		}
	}
}

static void edges_of_regions_are_where_they_are(void **state)
{
	struct vhost_mem *none = vhost_mem_new(), *one = with(none, 0x10000, 0x3001, 0x7000000, 0x2010, guest.memfd);
	struct vhost_mem *two = with(one, 0x13001, 0x1000, 0x8000000, 0x8000, guest.memfd); /* follows the first for the guest */
	unsigned hint = 0;

	assert_null(vhost_mem_gpa(none, &hint, 0, 1));
	assert_null(vhost_mem_uva(none, 0, 1));
	expect_at(two, 0x10000, 1, 0x2010);
	expect_at(two, 0x10000, 0x3001, 0x2010);
	expect_at(two, 0x10000, 0x3002, -1);
	expect_at(two, 0xffff, 1, -1);
	expect_at(two, 0xffff, 2, -1);
	expect_at(two, 0x13000, 1, 0x2010 + 0x3000);
	expect_at(two, 0x13000, 2, -1);
	expect_at(two, 0x13001, 0x1000, 0x8000);
	expect_at(two, 0x14000, 1, 0x8fff);
	expect_at(two, 0x14001, 1, -1);
	expect_at(two, 0x10001, UINT64_MAX, -1);
	expect_at(two, 0x13001, UINT64_MAX - 0x13000, -1);
	expect_at(two, UINT64_MAX, 1, -1);
	expect_at(two, 0, 1, -1);
	assert_non_null(vhost_mem_uva(two, 0x7000000, 0x3001));
	assert_null(vhost_mem_uva(two, 0x7000000, 0x3002));
	assert_null(vhost_mem_uva(two, 0x7003001, 1));
	assert_null(vhost_mem_uva(two, 0x7000001, UINT64_MAX));
	vhost_mem_free(none);
	/* What both share stays mapped until the last of them goes. */
	vhost_mem_free(one);
	expect_at(two, 0x10000, 1, 0x2010);
	vhost_mem_free(two);
}

static void regions_that_are_impossible_are_refused(void **state)
{
	static const struct vhost_mem_region lies[] = {
		{0x200000, 0, 0x9000000, 0},
		{0x200000, UINT64_MAX, 0x9000000, 0},
		{0x200000, UINT64_MAX - 4095, 0x9000000, 0},
		{UINT64_MAX - 100, 4096, 0x9000000, 0},
		{0x200000, 4096, UINT64_MAX - 100, 0},
		{0x200000, 4096, 0x9000000, UINT64_MAX - 4095},
		{0x200000, 4096, 0x9000000, 1ull << 63},
		{0x200000, 4096, 0x9000000, (1 << 20) - 4095},
		{0x200000, (1 << 20) + 1, 0x9000000, 0},
		{0x200000, VHOST_MEM_MAX + 1, 0x9000000, 0},
		{0x10fff, 4096, 0x9000000, 0}, /* on top of the other one */
		{0xf001, 4096, 0x9000000, 0},
		{0x200000, 4096, 0x7000fff, 0},
	};
	struct vhost_mem *none = vhost_mem_new(), *one = with(none, 0x10000, 4096, 0x7000000, 0, guest.memfd);

	for (unsigned i = 0; i < COUNT(lies); i++)
		assert_null(with(one, lies[i].gpa, lies[i].size, lies[i].uva, lies[i].mmap_offset, guest.memfd));
	vhost_mem_free(none);
	vhost_mem_free(one);
}

static void files_that_are_no_memory_are_refused(void **state)
{
	int disk = open("/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600), pipes[2];
	struct vhost_mem *none = vhost_mem_new();
	struct statfs fs;

	assert_int_equal(pipe(pipes), 0);
	assert_null(with(none, 0, 4096, 0, 0, pipes[0]));
	assert_null(with(none, 0, 4096, 0, 0, alarm_fd));
	assert_null(with(none, 0, 4096, 0, 0, -1));
	if (disk >= 0 && ftruncate(disk, 4096) == 0 && fstatfs(disk, &fs) == 0 && fs.f_type != TMPFS_MAGIC)
		assert_null(with(none, 0, 4096, 0, 0, disk));
	if (disk >= 0)
		close(disk);
	close(pipes[0]);
	close(pipes[1]);
	vhost_mem_free(none);
}

static void there_are_64_regions_at_most_and_each_is_found(void **state)
{
	struct vhost_mem *m = vhost_mem_new(), *next;

	for (unsigned i = 0; i < VHOST_MEM_SLOTS; i++, m = next) {
		unsigned k = i * 37 % VHOST_MEM_SLOTS; /* in no order */

		next = with(m, k * 0x2000ull, 0x1000, k * 0x2000ull, k * 0x1000ull, guest.memfd);
		assert_non_null(next);
		vhost_mem_free(m);
	}
	assert_null(with(m, 1ull << 30, 0x1000, 1ull << 30, 0, guest.memfd));
	for (unsigned k = 0; k < VHOST_MEM_SLOTS; k++) {
		expect_at(m, k * 0x2000ull + 0xfff, 1, k * 0x1000 + 0xfff);
		expect_at(m, k * 0x2000ull + 0x1000, 1, -1);
	}
	vhost_mem_free(m);
}

static void region_is_gone_when_it_was_taken_away_as_often_as_it_was_told(void **state)
{
	const struct vhost_mem_region r = {0x10000, 4096, 0x7000000, 0};
	struct vhost_mem *none = vhost_mem_new(), *once = with(none, r.gpa, r.size, r.uva, 0, guest.memfd);
	struct vhost_mem *twice = with(once, r.gpa, r.size, r.uva, 0, guest.memfd), *left, *gone;
	const char *why;

	assert_int_equal(twice->n, 1);
	left = vhost_mem_without(twice, &r, &why);
	vhost_mem_free(once);
	vhost_mem_free(twice);
	expect_at(left, r.gpa, 4096, 0);
	gone = vhost_mem_without(left, &r, &why);
	assert_int_equal(gone->n, 0);
	expect_at(left, r.gpa, 4096, 0); /* until it goes itself */
	assert_null(vhost_mem_without(gone, &r, &why));
	vhost_mem_free(left);
	vhost_mem_free(gone);
	vhost_mem_free(none);
}

static void file_that_is_cut_off_reads_as_zeros_and_raises_the_alarm(void **state)
{
	struct vhost_mem *none = vhost_mem_new(), *m = with(none, 0, 1 << 20, 0, 0, guest.memfd);
	unsigned hint = 0;
	volatile uint8_t *at = vhost_mem_gpa(m, &hint, 0x8000, 1);

	guest.mem[0x8000] = 7;
	assert_int_equal(*at, 7);
	assert_false(vhost_mem_lost(m));
	assert_int_equal(ftruncate(guest.memfd, 0), 0);
	assert_int_equal(*at, 0);
	*at = 1;
	assert_true(vhost_mem_lost(m));
	assert_true(rung(alarm_fd) > 0);
	vhost_mem_free(m);
	vhost_mem_free(none);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(edges_of_regions_are_where_they_are),
		CASE(regions_that_are_impossible_are_refused),
		CASE(files_that_are_no_memory_are_refused),
		CASE(there_are_64_regions_at_most_and_each_is_found),
		CASE(region_is_gone_when_it_was_taken_away_as_often_as_it_was_told),
		CASE(file_that_is_cut_off_reads_as_zeros_and_raises_the_alarm),
	};

	return cmocka_run_group_tests_name("vhost_mem", tests, env_setup, env_teardown);
}
