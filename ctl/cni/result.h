/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CTL_CNI_RESULT_H
#define CTL_CNI_RESULT_H

/*
 * What a runtime reads.
 *
 *                       0.3.0, 0.3.1, 0.4.0          1.0.0             1.1.0
 *      ips[]            version "4" or "6"           (no version)      (no version)
 *      interfaces[]     name, mac, sandbox           the same          and mtu
 *      routes[]         dst, gw                      the same          and mtu, advmss, priority, table, scope
 *
 * Interfaces are the port's end on the node, where it can be seen from here (plugins that come after this one in a chain look
 * for it), and the container's. A prevResult, which the first plugin of a chain seldom has, stays in front: what is in it is
 * passed on, indices and all.
 */

#include <jansson.h>

#include "addresses.h"
#include "link.h"

/* `host` may be NULL. A new object, or NULL when out of memory. */
json_t *result_make(enum cni_version version, const json_t *prev, const struct addresses *a, const struct link *host,
		    const struct link *inner, const char *netns);
/* VERSION's: `asked` is the input's cniVersion, or NULL. */
json_t *result_versions(const char *asked);
json_t *result_error(const char *version, const struct cni_error *err);

/* The index of the container's interface in a result; -1 if it is not in there. */
int result_interface(const json_t *result, const char *ifname, const char *netns);

#endif
