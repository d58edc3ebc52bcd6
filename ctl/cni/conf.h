/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CTL_CNI_CONF_H
#define CTL_CNI_CONF_H

/*
 * What a runtime asks for: the environment and the configuration on stdin, checked.
 *
 *      {"cniVersion":"1.0.0", "name":"web", "type":"sluice-cni",       the specification's
 *       "ipam":{"type":"host-local",...}, "dns":{...}, "args":{"cni":{"mac":...,"ips":[...]}},
 *       "runtimeConfig":{"mac":...,"ips":[...],"bandwidth":{...}}, "prevResult":{...},
 *       "vlan":100, "mtu":1500, "class":"online", "isolated":false,     ours
 *       "inBps":0, "inPps":0, "inBurstBytes":0, "outBps":0, "outPps":0, "outBurstBytes":0,
 *       "spoofcheck":true, "socket":"/run/sluice/control.sock", "timeoutMs":10000, "ipamTimeoutMs":30000}
 *
 * Directions. `in` is what the node receives from the container, `out` what it sends to it, as everywhere in Sluice. The
 * capability `bandwidth` is told from the container's side: egress is our in, ingress is our out, and bursts are in bits. A rate
 * there stands in the place of the configuration's, with its burst. A burst of 2^31-1 bits is what Kubernetes' runtimes send for
 * "no idea", and counts as none.
 *
 * MAC and addresses may be asked for in three places: runtimeConfig, then args.cni, then CNI_ARGS; the first that has any is taken.
 *
 * An unknown key is refused (it is more often a limit spelt wrong than a comment), but not by DEL and GC, which want to be rid
 * of things and read only what they need. Ranges of what goes to the daemon as it is are the daemon's to check: its schema is
 * the one that counts.
 */

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "cni.h"

#define CONF_BYTES_MAX	      (1u << 20) /* of stdin */
#define CONF_TIMEOUT_MS	      10000
#define CONF_IPAM_TIMEOUT_MS  30000
#define CONF_TIMEOUT_MS_LIMIT 600000
#define CONF_MAX_IPS	      16
#define CONF_VALID	      "cni.dev/valid-attachments" /* GC's list */

enum cni_command { CNI_ADD, CNI_DEL, CNI_CHECK, CNI_GC, CNI_STATUS, CNI_VERSION, CNI_COMMANDS };

/* Strings are the environment's own; NULL for what is not set or empty. */
struct cni_env {
	enum cni_command command;
	const char *container, *netns, *ifname, *args, *path;
};

struct cni_conf {
	json_t *json; /* as it came; other members point into it */
	enum cni_version version;
	const char *name; /* of the network */
	const char *socket;
	int timeout_ms, ipam_timeout_ms;
	const char *ipam; /* its plugin, or NULL */
	json_t *prev;	  /* prevResult, or NULL */
	json_t *dns;	  /* or NULL */

	/* ADD, CHECK and STATUS only: */
	unsigned vlan;
	json_t *attrs; /* the port's attributes that need nothing else: kind, vlan, mtu, limits ... */
	char mac[18];  /* asked for, or "" */
	unsigned n_ips;
	char ips[CONF_MAX_IPS][64]; /* asked for */
	char gateway[48];	    /* CNI_ARGS' GATEWAY, or "" */
	enum { SPOOFCHECK_DEFAULT, SPOOFCHECK_OFF, SPOOFCHECK_ON } spoofcheck;
};

/* CNI_ variables from the environment, and whether the command has all it needs. BAD_ENVIRONMENT. */
int env_read(struct cni_env *env, struct cni_error *err);
/* What may be in these two: plugins make paths and names of them, and rely on who runs them to have looked. */
bool env_container_ok(const char *text);
bool env_ifname_ok(const char *text);
/* Put them, and `command`, into the environment; what is NULL stays as it is there. */
void env_export(const struct cni_env *env, enum cni_command command);

/*
 * Check a configuration. Takes over `json`, also when it fails; conf_free() is due either way. INCOMPATIBLE, UNSUPPORTED,
 * BAD_CONFIG, and BAD_ENVIRONMENT for CNI_ARGS.
 */
int conf_read(struct cni_conf *c, json_t *json, const struct cni_env *env, struct cni_error *err);
void conf_free(struct cni_conf *c);

#define PORT_NAME_SIZE	  64
#define PORT_NETWORK_SIZE 17

/*
 * The attachment's port: "4f1c0a9b7d21-eth0-" and 32 hexadecimal digits, of which 16 are a hash of the network's name and 16 one
 * of all three. The readable part is cut and cleaned; the hashes keep apart what that makes equal. Always a valid name: 35 to 61
 * characters.
 */
void conf_port_name(char name[PORT_NAME_SIZE], const char *network, const char *container, const char *ifname);
/* Whether a port's name is of this network. */
bool conf_port_of_network(const char *name, const char *network);

/* A unicast MAC address, as 02:00:00:00:00:01; false for anything else. */
bool conf_mac(const char *text, char mac[18]);

#endif
