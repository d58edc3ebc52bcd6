/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CTL_TYPES_H
#define CTL_TYPES_H

/*
 * What an attribute's type can do: a row each, in one table (types.c) that decoder, encoder and command line share.
 *
 *          text  --parse-->  JSON  --decode-->  member of the struct
 *          text  <--format-  JSON  <--encode--
 *
 * Private to ctl/schema.
 */

#include "schema.h"

struct type_ops {
	const char *name;
	/* Store a value that is not null. 0, or -EINVAL with *err. */
	int (*decode)(const struct schema_attr *a, const json_t *v, void *conf, struct schema_error *err);
	/* New reference; JSON null for a value that was not given; NULL when out of memory. */
	json_t *(*encode)(const struct schema_attr *a, const void *conf);
	/* Back to the default. */
	void (*reset)(const struct schema_attr *a, void *conf);
	/* `text` is not empty. NULL with *err. */
	json_t *(*parse)(const struct schema_attr *a, const char *text, struct schema_error *err);
	/* `v` has the type's JSON shape or any other: print something sensible for it. */
	void (*format)(const struct schema_attr *a, const json_t *v, char *out, size_t size);
};

/* By enum schema_type. */
extern const struct type_ops *const schema_types[];

/* --- numbers.c ----------------------------------------------------------------------------------------------------------- */

/* A number with a unit as people write it. 0; -EINVAL: not a number of this unit; -ERANGE: too big or not whole in base units. */
int unit_parse(enum schema_unit unit, const char *text, uint64_t *value);
/* The shortest text that unit_parse() turns back into exactly this value. */
void unit_format(enum schema_unit unit, uint64_t value, char *out, size_t size);
/* What may be written, for hints: "100mbit, 1.5gbit, 64000 (bit/s)". */
const char *unit_hint(enum schema_unit unit);

/* --- types.c: single values ----------------------------------------------------------------------------------------------- */

extern const struct type_ops type_u64, type_bool, type_string, type_enum;

/* Text that goes into JSON as it is: the parse and format of every type that is a string there. */
json_t *type_string_parse(const struct schema_attr *a, const char *text, struct schema_error *err);
void type_string_format(const struct schema_attr *a, const json_t *v, char *out, size_t size);

/* --- address.c: the list types and MAC addresses -------------------------------------------------------------------------- */

extern const struct type_ops type_mac, type_ips, type_ifaddrs, type_vlans, type_vlan_macs;

/* Text to MAC and back; no other spelling than six pairs of hexadecimal digits and colons is taken. */
bool mac_parse(const char *text, uint8_t mac[6]);
#define MAC_TEXT_SIZE 18
void mac_format(const uint8_t mac[6], char out[MAC_TEXT_SIZE]);

static inline void *attr_member(const struct schema_attr *a, void *conf)
{
	return (char *)conf + a->offset;
}

static inline const void *attr_member_const(const struct schema_attr *a, const void *conf)
{
	return (const char *)conf + a->offset;
}

#endif
