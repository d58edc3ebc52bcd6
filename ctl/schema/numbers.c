/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Numbers with units, as they are typed and shown.
 *
 * Rates are spelled as tc spells them in bits (kbit, mbit, ...; kibit, mibit for 1024). tc's `bps`, which means bytes there and bits
 * everywhere else, is refused rather than guessed. Sizes follow IEC and SI: KiB is 1024 and kB is 1000. Fractions are taken if what
 * they give is whole in the base unit ("1.5gbit"), computed in integers: nothing is ever rounded.
 */

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "types.h"

struct suffix {
	const char *text; /* compared without case */
	uint64_t num, den;
	bool show; /* used when printing */
};

#define KI 1024ULL

/* Within a unit, printing takes the first row that divides the value: largest first. */
static const struct suffix bps[] = {
	{"tbit", 1000000000000, 1, true},
	{"gbit", 1000000000, 1, true},
	{"mbit", 1000000, 1, true},
	{"kbit", 1000, 1, true},
	{"tibit", KI *KI *KI *KI, 1, false},
	{"gibit", KI *KI *KI, 1, false},
	{"mibit", KI *KI, 1, false},
	{"kibit", KI, 1, false},
	{"bit", 1, 1, true},
	{"", 1, 1, false},
	{NULL, 0, 0, false},
};

static const struct suffix pps[] = {
	{"gpps", 1000000000, 1, true}, {"mpps", 1000000, 1, true}, {"kpps", 1000, 1, true},
	{"g", 1000000000, 1, false},   {"m", 1000000, 1, false},   {"k", 1000, 1, false},
	{"pps", 1, 1, true},	       {"", 1, 1, false},	   {NULL, 0, 0, false},
};

static const struct suffix bytes[] = {
	{"TiB", KI *KI *KI *KI, 1, true},
	{"GiB", KI *KI *KI, 1, true},
	{"MiB", KI *KI, 1, true},
	{"TB", 1000000000000, 1, true},
	{"GB", 1000000000, 1, true},
	{"MB", 1000000, 1, true},
	{"KiB", KI, 1, true},
	{"kB", 1000, 1, true},
	{"T", 1000000000000, 1, false},
	{"G", 1000000000, 1, false},
	{"M", 1000000, 1, false},
	{"k", 1000, 1, false},
	{"B", 1, 1, true},
	{"", 1, 1, false},
	{NULL, 0, 0, false},
};

static const struct suffix seconds[] = {
	{"d", 86400, 1, true}, {"h", 3600, 1, true},   {"m", 60, 1, true},	  {"s", 1, 1, true},
	{"", 1, 1, false},     {"ms", 1, 1000, false}, {"us", 1, 1000000, false}, {NULL, 0, 0, false},
};

static const struct suffix millis[] = {
	{"h", 3600000, 1, true}, {"m", 60000, 1, true},	 {"s", 1000, 1, true}, {"ms", 1, 1, true},
	{"", 1, 1, false},	 {"us", 1, 1000, false}, {NULL, 0, 0, false},
};

static const struct suffix micros[] = {
	{"h", 3600000000, 1, true}, {"m", 60000000, 1, true}, {"s", 1000000, 1, true}, {"ms", 1000, 1, true},
	{"us", 1, 1, true},	    {"", 1, 1, false},	      {NULL, 0, 0, false},
};

static const struct suffix plain[] = {{"", 1, 1, true}, {NULL, 0, 0, false}};

static const struct unit {
	const char *name, *hint;
	const struct suffix *suffixes;
} units[] = {
	[UNIT_NONE] = {"", "a whole number", plain},
	[UNIT_BPS] = {"bit/s", "100mbit, 1.5gbit, 64kibit, or a whole number of bits a second; not bps, which tc reads as bytes",
		      bps},
	[UNIT_PPS] = {"frames/s", "50000, 50k, 1.5mpps", pps},
	[UNIT_BYTES] = {"bytes", "1500, 64KiB, 4GiB; kB, MB, GB are powers of 1000", bytes},
	[UNIT_S] = {"s", "300, 300s, 5m, 1h", seconds},
	[UNIT_MS] = {"ms", "250, 250ms, 10s, 5m", millis},
	[UNIT_US] = {"us", "250, 250us, 10ms, 1s", micros},
};

/* The digits before the suffix as mantissa / scale: "1.25" is 125 / 100. */
static int scan_decimal(const char **text, uint64_t *mantissa, uint64_t *scale)
{
	const char *p = *text;
	bool fraction = false, digits = false;

	*mantissa = 0;
	*scale = 1;
	for (;; p++) {
		if (*p == '.' && !fraction && digits && isdigit((unsigned char)p[1])) {
			fraction = true;
			continue;
		}
		if (!isdigit((unsigned char)*p))
			break;
		digits = true;
		if (__builtin_mul_overflow(*mantissa, 10, mantissa) || __builtin_add_overflow(*mantissa, *p - '0', mantissa))
			return -ERANGE;
		if (fraction && __builtin_mul_overflow(*scale, 10, scale))
			return -ERANGE;
	}
	*text = p;
	return digits ? 0 : -EINVAL;
}

int unit_parse(enum schema_unit unit, const char *text, uint64_t *value)
{
	uint64_t mantissa, scale;
	int ret = scan_decimal(&text, &mantissa, &scale);

	if (ret < 0)
		return ret;
	for (const struct suffix *s = units[unit].suffixes; s->text; s++) {
		if (strcasecmp(s->text, text) != 0)
			continue;
		unsigned __int128 n = (unsigned __int128)mantissa * s->num;
		unsigned __int128 d = (unsigned __int128)scale * s->den;

		/* JSON's integers are signed: nothing above INT64_MAX can be sent. */
		if (n % d || n / d > INT64_MAX)
			return -ERANGE;
		*value = n / d;
		return 0;
	}
	return -EINVAL;
}

void unit_format(enum schema_unit unit, uint64_t value, char *out, size_t size)
{
	for (const struct suffix *s = units[unit].suffixes; value && s->text; s++) {
		if (!s->show || s->den != 1 || value % s->num)
			continue;
		snprintf(out, size, "%" PRIu64 "%s", value / s->num, s->text);
		return;
	}
	snprintf(out, size, "%" PRIu64, value);
}

const char *unit_hint(enum schema_unit unit)
{
	return units[unit].hint;
}

const char *schema_unit_name(enum schema_unit unit)
{
	return units[unit].name;
}
