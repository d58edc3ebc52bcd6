/* SPDX-License-Identifier: Apache-2.0 */
/* test_spoof.c, asked of the kernel engine. */
#include "engine_spoof.h"

#include "test_spoof.c"
