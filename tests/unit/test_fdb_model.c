/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random operations on the forwarding database, each answer compared with that of a model: an array indexed by the address's
 * number. The model predicts everything but the choice of the victim when the table is full; there it checks that one entry went,
 * that it was a learned one, and that nobody held more than its port.
 */
#include "fdb_check.h"

#include <errno.h>
#include <string.h>

#define PORTS	  6
#define VLANS	  4
#define ADDRESSES 640
#define AGING_S	  40 /* of VLAN 0; twice, three times, four times as much for the others */

struct model {
	struct fdb *f;
	uint64_t seed;
	uint32_t now_s, max, count, statics;
	uint32_t port_n[PORTS], vlan_n[VLANS], port_limit[PORTS], vlan_limit[VLANS]; /* learned */
	struct {
		bool here, is_static;
		uint16_t port;
		uint32_t heard_s;
	} a[ADDRESSES];
	unsigned evictions, refusals, moves, aged;
};

static void quiesce(void *arg)
{
	(void)arg;
}

static uint16_t vlan_of(uint32_t n)
{
	return n % VLANS;
}

static uint64_t key(uint32_t n)
{
	return key_of(vlan_of(n), n);
}

static void model_remove(struct model *m, uint32_t n)
{
	assert_true(m->a[n].here);
	m->a[n].here = false;
	m->count--;
	if (m->a[n].is_static) {
		m->statics--;
		return;
	}
	m->port_n[m->a[n].port]--;
	m->vlan_n[vlan_of(n)]--;
}

static void model_put(struct model *m, uint32_t n, uint16_t port, bool is_static)
{
	if (m->a[n].here)
		model_remove(m, n);
	m->a[n].here = true;
	m->a[n].is_static = is_static;
	m->a[n].port = port;
	m->a[n].heard_s = is_static ? 0 : m->now_s;
	m->count++;
	if (is_static) {
		m->statics++;
		return;
	}
	m->port_n[port]++;
	m->vlan_n[vlan_of(n)]++;
}

static uint32_t most(const struct model *m)
{
	uint32_t n = 0;

	for (uint16_t p = 0; p < PORTS; p++)
		n = m->port_n[p] > n ? m->port_n[p] : n;
	return n;
}

/* The table was full and took `newcomer`, behind `port` (FDB_NO_PORT: static): who went? */
static void model_evict(struct model *m, uint32_t newcomer, uint16_t port)
{
	uint32_t gone = ADDRESSES, held;

	for (uint32_t n = 0; n < ADDRESSES; n++) {
		if (n == newcomer || !m->a[n].here || port_of(m->f, key(n)) != FDB_NO_PORT)
			continue;
		assert_int_equal(gone, ADDRESSES);
		gone = n;
	}
	assert_true(gone < ADDRESSES);
	assert_false(m->a[gone].is_static);
	held = m->port_n[m->a[gone].port];
	assert_int_equal(held, most(m));
	if (port != FDB_NO_PORT && m->port_n[port] == held)
		assert_int_equal(m->a[gone].port, port);
	model_remove(m, gone);
	m->evictions++;
}

static bool full(uint32_t n, uint32_t limit)
{
	return limit && n >= limit;
}

static void do_hear(struct model *m, uint32_t n, uint16_t port)
{
	enum fdb_heard want = FDB_NEW;
	bool known = m->a[n].here && m->a[n].port == port, refused;
	int r;

	if (known || (m->a[n].here && m->a[n].is_static))
		want = known ? FDB_KNOWN : FDB_BOUND;
	assert_int_equal(hear(m->f, key(n), port, m->now_s), want);
	if (known && !m->a[n].is_static)
		m->a[n].heard_s = m->now_s;

	r = fdb_learn(m->f, key(n), port, m->now_s);
	if (want != FDB_NEW) {
		assert_int_equal(r, want == FDB_KNOWN ? 0 : -EPERM);
		return;
	}
	refused = full(m->port_n[port], m->port_limit[port]);
	if (m->a[n].here) {
		assert_int_equal(r, refused ? -ENOSPC : 1);
		if (!refused) {
			model_put(m, n, port, false);
			m->moves++;
		}
		return;
	}
	refused |= full(m->vlan_n[vlan_of(n)], m->vlan_limit[vlan_of(n)]) || m->statics == m->max;
	assert_int_equal(r, refused ? -ENOSPC : 0);
	m->refusals += refused;
	if (refused)
		return;
	if (m->count == m->max)
		model_evict(m, n, port);
	model_put(m, n, port, false);
}

static void do_bind(struct model *m, uint32_t n, uint16_t port)
{
	int want = 0;

	if (m->a[n].here && m->a[n].is_static)
		want = m->a[n].port == port ? 0 : -EEXIST;
	else if (m->statics == m->max)
		want = -ENOSPC;
	assert_int_equal(fdb_bind(m->f, key(n), port), want);
	if (want || (m->a[n].here && m->a[n].is_static))
		return;
	if (!m->a[n].here && m->count == m->max)
		model_evict(m, n, FDB_NO_PORT);
	model_put(m, n, port, true);
}

static void do_unbind(struct model *m, uint32_t n, uint16_t port)
{
	bool bound = m->a[n].here && m->a[n].is_static && m->a[n].port == port;

	assert_int_equal(fdb_unbind(m->f, key(n), port), bound ? 0 : -ENOENT);
	if (bound)
		model_remove(m, n);
}

static void do_flush(struct model *m, int port, int vlan)
{
	uint32_t removed = 0;

	for (uint32_t n = 0; n < ADDRESSES; n++) {
		if (!m->a[n].here || m->a[n].is_static || (port >= 0 && m->a[n].port != port) || (vlan >= 0 && vlan_of(n) != vlan))
			continue;
		model_remove(m, n);
		removed++;
	}
	assert_int_equal(fdb_flush(m->f, port, vlan), removed);
}

static void do_tend(struct model *m)
{
	m->now_s += any(&m->seed, 5);
	while (fdb_tend(m->f, m->now_s, 1 + any(&m->seed, 300)))
		;
	/* The first round may have begun in the middle, with an older clock. */
	while (fdb_tend(m->f, m->now_s, 100))
		;
	for (uint32_t n = 0; n < ADDRESSES; n++) {
		if (!m->a[n].here || m->a[n].is_static || m->now_s - m->a[n].heard_s < AGING_S * (vlan_of(n) + 1u))
			continue;
		model_remove(m, n);
		m->aged++;
	}
}

static void compare(const struct model *m)
{
	struct fdb_entry e;
	uint64_t cursor = 0;
	uint32_t n_walked = 0;

	for (uint32_t n = 0; n < ADDRESSES; n++) {
		struct fdb_hit hit = find(m->f, key(n));

		assert_int_equal(hit.port, m->a[n].here ? m->a[n].port : FDB_NO_PORT);
		assert_int_equal(hit.is_static, m->a[n].here && m->a[n].is_static);
	}
	while (fdb_next(m->f, &cursor, &e)) {
		struct rte_ether_addr mac;
		uint16_t vlan;
		uint32_t n;

		fdb_key_split(e.key, &vlan, &mac);
		n = (uint32_t)mac.addr_bytes[4] << 8 | mac.addr_bytes[5];
		assert_true(n < ADDRESSES && vlan == vlan_of(n) && m->a[n].here);
		assert_int_equal(e.heard_s, m->a[n].heard_s);
		n_walked++;
	}
	assert_int_equal(n_walked, m->count);
	assert_int_equal(fdb_count(m->f), m->count);
	fdb_check(m->f);
}

static void step(struct model *m)
{
	uint32_t what = any(&m->seed, 1000), n = any(&m->seed, ADDRESSES), statics = 0;
	uint16_t port = (uint16_t)any(&m->seed, PORTS);

	/* Low ports speak more: their holdings differ. */
	if (any(&m->seed, 2))
		port = (uint16_t)any(&m->seed, port + 1u);
	if (what < 900)
		do_hear(m, n, port);
	else if (what < 930)
		do_bind(m, n, port);
	else if (what < 970)
		do_unbind(m, n, m->a[n].here ? m->a[n].port : port);
	else if (what < 972)
		do_flush(m, any(&m->seed, 2) ? port : -1, any(&m->seed, 2) ? vlan_of(n) : -1);
	else if (what < 980)
		fdb_limit_port(m->f, port, m->port_limit[port] = any(&m->seed, 2) * any(&m->seed, 100));
	else if (what < 988)
		fdb_limit_vlan(m->f, vlan_of(n), m->vlan_limit[vlan_of(n)] = any(&m->seed, 2) * any(&m->seed, 200));
	else
		do_tend(m);
	for (uint16_t p = 0; p < PORTS; p++)
		statics += fdb_count_port(m->f, p) - m->port_n[p];
	assert_int_equal(statics, m->statics);
}

static void run(uint32_t max, uint64_t seed, unsigned steps, struct model *m)
{
	memset(m, 0, sizeof(*m));
	m->f = fdb_new(max, PORTS, quiesce, NULL);
	m->seed = seed;
	m->max = max;
	m->now_s = 1000;
	assert_non_null(m->f);
	for (uint16_t v = 0; v < VLANS; v++)
		fdb_aging_vlan(m->f, v, AGING_S * (v + 1u));
	for (unsigned i = 0; i < steps; i++) {
		step(m);
		if (i % 500 == 0)
			compare(m);
	}
	compare(m);
	fdb_free(m->f);
}

static void random_operations_do_what_the_model_does(void **state)
{
	static struct model m;

	(void)state;
	run(100000, 0x9e3779b97f4a7c15, 200000, &m);
	assert_int_equal(m.evictions, 0);
	assert_true(m.moves > 1000 && m.aged > 100 && m.refusals > 100);
}

static void random_operations_on_a_full_table_do_what_the_model_does(void **state)
{
	static struct model m;

	(void)state;
	for (uint32_t max = 40; max <= 320; max *= 2) {
		run(max, 0xbf58476d1ce4e5b9 + max, 60000, &m);
		assert_true(m.evictions > 1000);
	}
	/* So small that static entries alone fill it. */
	run(5, 0x94d049bb133111eb, 60000, &m);
	assert_true(m.refusals > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_operations_do_what_the_model_does),
		cmocka_unit_test(random_operations_on_a_full_table_do_what_the_model_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
