/* SPDX-License-Identifier: Apache-2.0 */
/* test_spoof_ipv6.c, asked of the kernel engine. */
#include "engine_spoof.h"

#include "test_spoof_ipv6.c"
