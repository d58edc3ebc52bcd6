/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Attribute types made of addresses and VLANs: MAC, lists of IP addresses, sets of VLANs, lists of VLAN/MAC pairs.
 *
 * Lists are stored sorted, and an element that is there twice is refused: then two lists that mean the same are the same bytes, and
 * adding a port again with its addresses in another order is "already so". An address with host bits under its prefix ("10.0.0.1/24")
 * is refused, because it could mean the network or the host.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "objects.h"
#include "types.h"

#define VLAN_LAST (DP_VLAN_N - 1)

/* --- text forms ---------------------------------------------------------------------------------------------------------- */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool mac_parse(const char *text, uint8_t mac[6])
{
	for (int i = 0; i < 6; i++, text += 3) {
		int hi = hex_digit(text[0]);
		int lo = hi < 0 ? -1 : hex_digit(text[1]);

		if (lo < 0 || text[2] != (i == 5 ? '\0' : ':'))
			return false;
		mac[i] = hi << 4 | lo;
	}
	return true;
}

void mac_format(const uint8_t mac[6], char out[MAC_TEXT_SIZE])
{
	snprintf(out, MAC_TEXT_SIZE, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
}

/* A decimal number without sign, leading zeros or blanks. Sets *end behind it. */
static bool scan_number(const char *text, uint32_t max, uint32_t *value, const char **end)
{
	uint32_t v = 0;

	if (*text < '0' || *text > '9' || (*text == '0' && text[1] >= '0' && text[1] <= '9'))
		return false;
	for (; *text >= '0' && *text <= '9'; text++) {
		v = v * 10 + (*text - '0');
		if (v > max)
			return false;
	}
	*value = v;
	*end = text;
	return true;
}

static bool ip_host_bits_clear(const struct dp_ip *ip)
{
	const uint8_t *bytes = ip->family == AF_INET ? (const uint8_t *)&ip->v4 : (const uint8_t *)&ip->v6;
	unsigned bits = ip->family == AF_INET ? 32 : 128;

	for (unsigned i = ip->prefix; i < bits; i++)
		if (bytes[i / 8] & (0x80 >> i % 8))
			return false;
	return true;
}

/* NULL, or what is wrong with the text. */
static const char *ip_parse_any(const char *text, struct dp_ip *ip)
{
	char address[INET6_ADDRSTRLEN];
	size_t len = strcspn(text, "/");
	uint32_t prefix;
	const char *end;

	memset(ip, 0, sizeof(*ip));
	if (len >= sizeof(address))
		return "not an IP address";
	memcpy(address, text, len);
	address[len] = '\0';
	if (inet_pton(AF_INET, address, &ip->v4) == 1)
		ip->family = AF_INET;
	else if (inet_pton(AF_INET6, address, &ip->v6) == 1)
		ip->family = AF_INET6;
	else
		return "not an IP address";
	ip->prefix = ip->family == AF_INET ? 32 : 128;
	if (!text[len])
		return NULL;
	if (!scan_number(text + len + 1, ip->prefix, &prefix, &end) || *end)
		return "prefix length out of range";
	ip->prefix = prefix;
	return NULL;
}

/* An address, or a network. */
static const char *ip_parse(const char *text, struct dp_ip *ip)
{
	const char *wrong = ip_parse_any(text, ip);

	if (wrong)
		return wrong;
	return ip_host_bits_clear(ip) ? NULL : "address bits are set behind the prefix";
}

static void ip_format(const struct dp_ip *ip, char *out, size_t size)
{
	char address[INET6_ADDRSTRLEN] = "?";

	inet_ntop(ip->family, ip->family == AF_INET ? (const void *)&ip->v4 : (const void *)&ip->v6, address, sizeof(address));
	if (ip->prefix == (ip->family == AF_INET ? 32 : 128))
		snprintf(out, size, "%s", address);
	else
		snprintf(out, size, "%s/%u", address, ip->prefix);
}

/* --- one MAC ------------------------------------------------------------------------------------------------------------- */

static bool *present(const struct schema_attr *a, void *conf)
{
	return (bool *)((char *)conf + a->aux);
}

static int mac_decode(const struct schema_attr *a, const json_t *v, void *conf, struct schema_error *err)
{
	char quoted[64];

	if (!json_is_string(v))
		return schema_fail(err, "wrong-type", a->name, NULL, "%s %s: must be a string", a->name,
				   schema_quote(v, quoted, sizeof(quoted)));
	if (!mac_parse(json_string_value(v), attr_member(a, conf)))
		return schema_fail(err, "bad-value", a->name, "like 02:00:00:00:00:01", "%s %s: not a MAC address", a->name,
				   schema_quote(v, quoted, sizeof(quoted)));
	*present(a, conf) = true;
	return 0;
}

static json_t *mac_encode(const struct schema_attr *a, const void *conf)
{
	char text[MAC_TEXT_SIZE];

	if (!*(const bool *)((const char *)conf + a->aux))
		return json_null();
	mac_format(attr_member_const(a, conf), text);
	return json_string(text);
}

static void mac_reset(const struct schema_attr *a, void *conf)
{
	memset(attr_member(a, conf), 0, 6);
	*present(a, conf) = false;
}

/* --- lists: sorted arrays of fixed-size elements with a uint8_t count ------------------------------------------------------- */

struct element {
	size_t size;
	const char *example;
	const char *(*parse)(const char *text, void *element); /* NULL or what is wrong */
	void (*format)(const void *element, char *out, size_t size);
};

static const char *element_ip_parse(const char *text, void *element)
{
	return ip_parse(text, element);
}

static const char *element_ifaddr_parse(const char *text, void *element)
{
	return ip_parse_any(text, element);
}

static void element_ip_format(const void *element, char *out, size_t size)
{
	ip_format(element, out, size);
}

static const char *element_vlan_mac_parse(const char *text, void *element)
{
	struct dp_static_mac *m = element;
	uint32_t vlan;

	memset(m, 0, sizeof(*m));
	if (!scan_number(text, VLAN_LAST, &vlan, &text) || *text != '/' || !mac_parse(text + 1, m->mac))
		return "not a VLAN/MAC pair";
	m->vlan = vlan;
	return NULL;
}

static void element_vlan_mac_format(const void *element, char *out, size_t size)
{
	const struct dp_static_mac *m = element;
	char mac[MAC_TEXT_SIZE];

	mac_format(m->mac, mac);
	snprintf(out, size, "%u/%s", m->vlan, mac);
}

static const struct element element_ip = {sizeof(struct dp_ip), "10.0.0.1, 10.0.0.0/24, fd00::1", element_ip_parse,
					  element_ip_format};
static const struct element element_ifaddr = {sizeof(struct dp_ip), "10.0.0.11/24, fd00::11/64", element_ifaddr_parse,
					      element_ip_format};
static const struct element element_vlan_mac = {sizeof(struct dp_static_mac), "100/02:00:00:00:00:01", element_vlan_mac_parse,
						element_vlan_mac_format};

static int compare_ips(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct dp_ip));
}

static int compare_vlan_macs(const void *a, const void *b)
{
	const struct dp_static_mac *x = a, *y = b;

	return x->vlan != y->vlan ? (x->vlan < y->vlan ? -1 : 1) : memcmp(x->mac, y->mac, sizeof(x->mac));
}

static uint8_t *count_of(const struct schema_attr *a, void *conf)
{
	return (uint8_t *)conf + a->aux;
}

static void list_reset(const struct schema_attr *a, void *conf)
{
	memset(attr_member(a, conf), 0, a->size);
	*count_of(a, conf) = 0;
}

static int list_refuse_duplicates(const struct schema_attr *a, const struct element *e, const void *conf, size_t n,
				  struct schema_error *err)
{
	const char *elements = attr_member_const(a, conf);
	char text[96];

	for (size_t i = 1; i < n; i++) {
		if (memcmp(elements + (i - 1) * e->size, elements + i * e->size, e->size) != 0)
			continue;
		e->format(elements + i * e->size, text, sizeof(text));
		return schema_fail(err, "bad-value", a->name, NULL, "%s %s: given twice", a->name, text);
	}
	return 0;
}

static int list_decode(const struct schema_attr *a, const json_t *v, void *conf, struct schema_error *err, const struct element *e,
		       int (*compare)(const void *, const void *))
{
	size_t n = json_array_size(v), max = a->size / e->size;
	char path[64], quoted[64];

	if (!json_is_array(v))
		return schema_fail(err, "wrong-type", a->name, NULL, "%s %s: must be a list", a->name,
				   schema_quote(v, quoted, sizeof(quoted)));
	if (n > max)
		return schema_fail(err, "out-of-range", a->name, NULL, "%s: %zu elements (at most %zu)", a->name, n, max);
	list_reset(a, conf);
	for (size_t i = 0; i < n; i++) {
		const json_t *item = json_array_get(v, i);
		const char *wrong;

		snprintf(path, sizeof(path), "%s[%zu]", a->name, i);
		if (!json_is_string(item))
			return schema_fail(err, "wrong-type", path, NULL, "%s %s: must be a string", a->name,
					   schema_quote(item, quoted, sizeof(quoted)));
		wrong = e->parse(json_string_value(item), (char *)attr_member(a, conf) + i * e->size);
		if (wrong)
			return schema_fail(err, "bad-value", path, e->example, "%s %s: %s", a->name,
					   schema_quote(item, quoted, sizeof(quoted)), wrong);
	}
	*count_of(a, conf) = n;
	qsort(attr_member(a, conf), n, e->size, compare);
	return list_refuse_duplicates(a, e, conf, n, err);
}

static json_t *list_encode(const struct schema_attr *a, const void *conf, const struct element *e)
{
	const char *elements = attr_member_const(a, conf);
	unsigned n = *((const uint8_t *)conf + a->aux);
	json_t *list = json_array();
	char text[96];

	for (unsigned i = 0; list && i < n; i++) {
		e->format(elements + i * e->size, text, sizeof(text));
		if (json_array_append_new(list, json_string(text)) < 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

static int ips_decode(const struct schema_attr *a, const json_t *v, void *conf, struct schema_error *err)
{
	return list_decode(a, v, conf, err, &element_ip, compare_ips);
}

static int ifaddrs_decode(const struct schema_attr *a, const json_t *v, void *conf, struct schema_error *err)
{
	return list_decode(a, v, conf, err, &element_ifaddr, compare_ips);
}

static json_t *ips_encode(const struct schema_attr *a, const void *conf)
{
	return list_encode(a, conf, &element_ip);
}

static int vlan_macs_decode(const struct schema_attr *a, const json_t *v, void *conf, struct schema_error *err)
{
	return list_decode(a, v, conf, err, &element_vlan_mac, compare_vlan_macs);
}

static json_t *vlan_macs_encode(const struct schema_attr *a, const void *conf)
{
	return list_encode(a, conf, &element_vlan_mac);
}

/* "a,b,c" to a JSON list; `make` turns one element into JSON. An empty element ("a,,b") is passed on and fails in the decoder. */
static json_t *split(const char *text, json_t *(*make)(const char *element))
{
	json_t *list = json_array();
	char *copy = strdup(text), *rest = copy;

	for (char *e; list && copy && (e = strsep(&rest, ","));) {
		if (json_array_append_new(list, make(e)) < 0) {
			json_decref(list);
			list = NULL;
		}
	}
	free(copy);
	return list;
}

static json_t *list_parse(const struct schema_attr *a, const char *text, struct schema_error *err)
{
	json_t *list = split(text, json_string);

	if (!list)
		schema_fail(err, "bad-value", a->name, NULL, "%s: not valid UTF-8", a->name);
	return list;
}

static void list_format(const struct schema_attr *a, const json_t *v, char *out, size_t size)
{
	size_t i, used = 0;
	json_t *item;

	out[0] = '\0';
	json_array_foreach ((json_t *)v, i, item) {
		const char *comma = i ? "," : "";
		int n = json_is_integer(item)
				? snprintf(out + used, size - used, "%s%lld", comma, (long long)json_integer_value(item))
				: snprintf(out + used, size - used, "%s%s", comma,
					   json_is_string(item) ? json_string_value(item) : "?");

		used += n;
		if (used >= size)
			return;
	}
}

/* --- sets of VLANs ------------------------------------------------------------------------------------------------------- */

static void set_add(struct dp_vlan_set *set, uint32_t first, uint32_t last)
{
	for (uint32_t v = first; v <= last; v++)
		set->bits[v / 64] |= UINT64_C(1) << v % 64;
}

static bool set_has(const struct dp_vlan_set *set, uint32_t v)
{
	return v < DP_VLAN_N && (set->bits[v / 64] >> v % 64 & 1);
}

static bool range_parse(const char *text, uint32_t *first, uint32_t *last)
{
	return scan_number(text, VLAN_LAST, first, &text) && *text == '-' && scan_number(text + 1, VLAN_LAST, last, &text) &&
	       !*text && *first <= *last;
}

static int vlans_element(const struct schema_attr *a, const char *path, const json_t *item, struct dp_vlan_set *set,
			 struct schema_error *err)
{
	uint32_t first, last;
	char quoted[64];

	schema_quote(item, quoted, sizeof(quoted));
	if (json_is_integer(item)) {
		json_int_t v = json_integer_value(item);

		if (v < 0 || v > VLAN_LAST)
			return schema_fail(err, "out-of-range", path, NULL, "%s %s: out of range (0-%u)", a->name, quoted,
					   VLAN_LAST);
		set_add(set, v, v);
		return 0;
	}
	if (!json_is_string(item))
		return schema_fail(err, "wrong-type", path, NULL, "%s %s: must be an integer or a range like \"200-210\"", a->name,
				   quoted);
	if (!range_parse(json_string_value(item), &first, &last))
		return schema_fail(err, "bad-value", path, NULL, "%s %s: not a range of VLANs (like 200-210, within 0-%u)", a->name,
				   quoted, VLAN_LAST);
	set_add(set, first, last);
	return 0;
}

static void vlans_reset(const struct schema_attr *a, void *conf)
{
	memset(attr_member(a, conf), 0, sizeof(struct dp_vlan_set));
}

static int vlans_decode(const struct schema_attr *a, const json_t *v, void *conf, struct schema_error *err)
{
	struct dp_vlan_set *set = attr_member(a, conf);
	char path[64], quoted[64];
	int ret;

	if (!json_is_array(v))
		return schema_fail(err, "wrong-type", a->name, NULL, "%s %s: must be a list", a->name,
				   schema_quote(v, quoted, sizeof(quoted)));
	vlans_reset(a, conf);
	for (size_t i = 0; i < json_array_size(v); i++) {
		snprintf(path, sizeof(path), "%s[%zu]", a->name, i);
		ret = vlans_element(a, path, json_array_get(v, i), set, err);
		if (ret < 0)
			return ret;
		set->given = true;
	}
	return 0;
}

static json_t *run_encode(uint32_t first, uint32_t last)
{
	char text[16];

	if (first == last)
		return json_integer(first);
	snprintf(text, sizeof(text), "%u-%u", first, last);
	return json_string(text);
}

static json_t *vlans_encode(const struct schema_attr *a, const void *conf)
{
	const struct dp_vlan_set *set = attr_member_const(a, conf);
	json_t *list;

	if (!set->given)
		return json_null();
	list = json_array();
	for (uint32_t first = 0; list && first < DP_VLAN_N; first++) {
		uint32_t last = first;

		if (!set_has(set, first))
			continue;
		while (set_has(set, last + 1))
			last++;
		if (json_array_append_new(list, run_encode(first, last)) < 0) {
			json_decref(list);
			return NULL;
		}
		first = last;
	}
	return list;
}

static json_t *vlans_make(const char *element)
{
	const char *end;
	uint32_t v;

	/* A number of any size is an integer; the decoder says which are valid. */
	return scan_number(element, 100000000, &v, &end) && !*end ? json_integer(v) : json_string(element);
}

static json_t *vlans_parse(const struct schema_attr *a, const char *text, struct schema_error *err)
{
	json_t *list = split(text, vlans_make);

	if (!list)
		schema_fail(err, "bad-value", a->name, NULL, "%s: not valid UTF-8", a->name);
	return list;
}

const struct type_ops type_mac = {"mac", mac_decode, mac_encode, mac_reset, type_string_parse, type_string_format};
const struct type_ops type_ips = {"ip-list", ips_decode, ips_encode, list_reset, list_parse, list_format};
const struct type_ops type_ifaddrs = {"ifaddr-list", ifaddrs_decode, ips_encode, list_reset, list_parse, list_format};
const struct type_ops type_vlans = {"vlan-list", vlans_decode, vlans_encode, vlans_reset, vlans_parse, list_format};
const struct type_ops type_vlan_macs = {"vlan-mac-list", vlan_macs_decode, vlan_macs_encode, list_reset, list_parse, list_format};
