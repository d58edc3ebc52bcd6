/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_FDB_INLINE_H
#define DATAPLANE_FDB_INLINE_H

/*
 * The forwarding database's hot path: what a worker runs for every frame. Included by fdb.h, which is the manual.
 *
 *   f->table (one word, so that a reader gets address and size of the same table)
 *   +-------------------------------------------+-------+
 *   | address, cache-line aligned               | shift |        bucket = half of the hash >> shift
 *   +-------------------------------------------+-------+
 *
 *   hash:  +--------- second ---------+--------- first ----------+
 *          | first ^ (something | 1<<31) | 32 bits                |
 *          +--------------------------+--------------------------+
 *
 * A bucket's number is the top bits of a half, so doubling the table splits bucket b into 2b and 2b+1 and nothing else: growth
 * cannot overflow a bucket, and a walk can go on in the larger table where it was. The halves differ in their top bit, so the two
 * buckets differ in every size of the table.
 */

#ifndef DATAPLANE_FDB_H
#error "include fdb.h"
#endif

#define FDB_WAYS  4	       /* slots of a bucket: one cache line */
#define FDB_LINE  64	       /* bytes of a bucket */
#define FDB_USED  (1ULL << 63) /* in a slot's key: taken. A cleared key is 0, which no entry has. */
#define FDB_FIXED (1ULL << 16) /* in a slot's value: static */
#define FDB_TURN  (1ULL << 17)
#define FDB_TURNS (0x7fffULL << 17) /* in a slot's value: counts its entries, so that a reader notices a change of hands */
#define FDB_MISS  ((uint64_t)FDB_NO_PORT)

struct fdb_slot {
	uint64_t key; /* FDB_USED | key, or 0 */
	uint64_t val; /* heard_s << 32 | turn << 17 | FDB_FIXED | port */
};

struct fdb_writer;

/* What readers use. The first line is written at growth only. */
struct fdb {
	uintptr_t table;
	uint64_t secret[4];
	struct fdb_writer *w;
	/*
	 * Counts entries that changed their bucket. Between putting the entry into its new bucket and clearing the old one the
	 * writer adds 1; a reader that found nothing and sees the count unchanged cannot have been passed by an entry on its way.
	 */
	uint64_t moves __attribute__((aligned(FDB_LINE)));
} __attribute__((aligned(FDB_LINE)));

static inline uint64_t fdb_val(uint16_t port, uint32_t heard_s)
{
	return (uint64_t)heard_s << 32 | port;
}

static inline uint32_t fdb_val_heard(uint64_t val)
{
	return val >> 32;
}

static inline uint64_t fdb_fold(uint64_t a, uint64_t b)
{
	unsigned __int128 p = (unsigned __int128)a * b;

	return (uint64_t)p ^ (uint64_t)(p >> 64);
}

/*
 * Two rounds: after one, keys at a constant distance still tend to land at a constant distance, and a guest can watch its own
 * frames being flooded to learn which of its addresses collide.
 */
static inline uint64_t fdb_hash(const struct fdb *f, uint64_t key)
{
	uint64_t x = fdb_fold(key ^ f->secret[0], f->secret[1]);

	x = fdb_fold(x ^ f->secret[2], f->secret[3]);
	return (x | 1ULL << 63) ^ x << 32;
}

static inline uintptr_t fdb_table_word(const struct fdb *f)
{
	return __atomic_load_n(&f->table, __ATOMIC_ACQUIRE);
}

static inline struct fdb_slot *fdb_bucket(uintptr_t table, uint32_t half)
{
	return (struct fdb_slot *)((table & ~(uintptr_t)(FDB_LINE - 1)) + (uintptr_t)(half >> (table & 31)) * FDB_LINE);
}

static inline void fdb_prefetch(const struct fdb *f, uint64_t hash)
{
	__builtin_prefetch(fdb_bucket(fdb_table_word(f), (uint32_t)hash));
}

/*
 * The entry of key `used` in bucket b, with its value, or NULL. The four comparisons are joined without a branch: which slot holds
 * an address is random, and a branch on it would be mispredicted.
 *
 * The writer clears the key, then writes the value with the slot's next turn (release), then the new key (release). The key that is
 * loaded between two loads of the value that show the same turn is that turn's, or none. Two loads of the key around one of the
 * value would not do: a key that goes and comes back to its slot would pass with the value of the one in between, and it takes no
 * more than the line being pulled away twice.
 */
static inline struct fdb_slot *fdb_match(struct fdb_slot *b, uint64_t used, uint64_t *val)
{
	unsigned at = (unsigned)(__atomic_load_n(&b[0].key, __ATOMIC_ACQUIRE) == used) |
		      (unsigned)(__atomic_load_n(&b[1].key, __ATOMIC_ACQUIRE) == used) << 1 |
		      (unsigned)(__atomic_load_n(&b[2].key, __ATOMIC_ACQUIRE) == used) << 2 |
		      (unsigned)(__atomic_load_n(&b[3].key, __ATOMIC_ACQUIRE) == used) << 3;
	uint64_t before, key;

	if (__builtin_expect(at == 0, 0))
		return NULL;
	b += __builtin_ctz(at);
	before = __atomic_load_n(&b->val, __ATOMIC_ACQUIRE);
	key = __atomic_load_n(&b->key, __ATOMIC_ACQUIRE);
	*val = __atomic_load_n(&b->val, __ATOMIC_ACQUIRE);
	return __builtin_expect((key ^ used) | ((before ^ *val) & FDB_TURNS), 0) ? NULL : b;
}

/* What follows a miss in the first bucket; returns the value, or FDB_MISS. `slot` may be NULL. Worker, read-side section. */
uint64_t fdb_find_further(const struct fdb *f, uint64_t key, uint64_t hash, struct fdb_slot **slot);

static inline uint64_t fdb_find(const struct fdb *f, uint64_t key, uint64_t hash)
{
	uint64_t val;

	if (__builtin_expect(fdb_match(fdb_bucket(fdb_table_word(f), (uint32_t)hash), key | FDB_USED, &val) != NULL, 1))
		return val;
	return fdb_find_further(f, key, hash, NULL);
}

static inline struct fdb_hit fdb_lookup(const struct fdb *f, uint64_t key, uint64_t hash)
{
	uint64_t val = fdb_find(f, key, hash);

	return (struct fdb_hit){.port = (uint16_t)val, .is_static = val >> 16 & 1};
}

/* Everything but "static here" and "known here, and heard within this second". Worker, read-side section. */
enum fdb_heard fdb_hear_further(struct fdb *f, uint64_t key, uint64_t hash, uint16_t port, uint32_t now_s);

static inline enum fdb_heard fdb_hear(struct fdb *f, uint64_t key, uint64_t hash, uint16_t port, uint32_t now_s)
{
	uint64_t val = fdb_find(f, key, hash);

	val &= ~FDB_TURNS;
	if (__builtin_expect((val == fdb_val(port, now_s)) | (val == (FDB_FIXED | port)), 1))
		return FDB_KNOWN;
	return fdb_hear_further(f, key, hash, port, now_s);
}

#endif
