/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DATAPLANE_EAL_H
#define DATAPLANE_EAL_H

/*
 * DPDK's environment: started once per process, from a configuration rather than from a command line.
 *
 * Memory. Huge pages are used when enough are free (mode auto), demanded (huge) or left alone (plain). In either case nothing is left in the
 * file system: --in-memory keeps segments in anonymous memory, so any number of daemons run side by side and a killed one leaves nothing.
 * Ordinary memory is reserved as a whole at start (DPDK cannot grow it) but only touched as it is used.
 *
 * Drivers. Debian's DPDK would load all of its 150 drivers, which takes seconds; here a driver's library is opened when the first port needs
 * it (eal_driver()). A PCI device's driver cannot be told from its address: such drivers are named in the configuration (`drivers`),
 * and the PCI bus is scanned only then.
 */

#include <stdint.h>

#include "dataplane.h"

struct eal_result {
	bool huge;
	const char *why; /* one line: why this memory */
	uint64_t memory_bytes;
};

/*
 * Start EAL. Workers are lcores 1..n on config->cores; the calling thread is lcore 0, and leaves the workers' cores
 * to them if it has others. `plain_spare` is reserved besides
 * `need_bytes` where memory cannot grow. 0 or -errno with *err. Once per process.
 */
int eal_start(const struct dp_config *config, const uint16_t *cores, unsigned n_cores, uint64_t need_bytes, uint64_t plain_spare,
	      struct eal_result *res, struct dp_error *err);

/* Open the driver library librte_<name>.so ("net_tap", "bus_pci") if it is not open yet. 0 or -ENOENT with *err. Control thread. */
int eal_driver(const char *name, struct dp_error *err);

#endif
