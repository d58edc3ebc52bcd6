# SPDX-License-Identifier: Apache-2.0
#
# Sluice: build, test, install. `make help` lists the targets.
#
# One directory is one part; a part's sources are found by wildcard, so adding a file is adding a file.
#   dataplane/ (and its subdirectories)  -> libdataplane.a
#   bpf/X.bpf.c                          -> X.skel.h, the program as a C header;  bpf/*.c -> libengine.a
#   ctl/schema/, ctl/daemon/ without main.c -> libctl.a   main.c -> sluiced
#   ctl/client/                          -> libsluice.a, libsluice.so
#   ctl/cli/ without main.c              -> libcli.a   main.c -> sluicectl
#   ctl/cli/man/X.scd.in                 -> man/X
#   ctl/cni/ without main.c              -> libcni.a   main.c -> sluice-cni
#   tests/unit/test_X.c                  -> tests/test_X, linked with all of them and cmocka
#   ctl/cli/, ctl/client/                -> sluicectl
#   tests/unit/test_X.c                  -> tests/test_X, linked with all libraries and cmocka
#   tests/tools/X.c                      -> tests/tools/X
#   bench/X.c                            -> bench/X
#   tests/front/                         -> libfront.a, a vhost-user front end for tests and benchmarks
#   tests/{hostile,stream,restart}/      -> tests/vhost_hostile, tests/vhost_stream, tests/vhost_guests, programs of the system tests
#   tests/lab/X.c                        -> lab/X, static: they run inside guests
# Variants (other compilers, sanitizers) build into their own tree: make BUILD=build/asan SAN=address,undefined

BUILD   ?= build
PREFIX  ?= /usr/local
DESTDIR ?=
# Where container runtimes find plugins: with PREFIX=/usr it is Debian's directory.
CNI_DIR ?= $(PREFIX)/lib/cni
ifeq ($(origin CC),default)
CC      := gcc
endif
SAN     ?=
V       ?= 0

# In parallel unless told otherwise.
ifeq ($(MAKELEVEL)$(filter -j%,$(MAKEFLAGS)),0)
MAKEFLAGS += -j$(shell nproc)
endif

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

# ---- flags -------------------------------------------------------------------------------------------------------------

pkgs      := libdpdk jansson libsystemd liburcu-qsbr sqlite3 libcap-ng libbpf libnl-route-3.0
have_pkgs := $(shell pkg-config --exists $(pkgs) 2>/dev/null && echo yes)
ifeq ($(have_pkgs),yes)
# DPDK's headers are not ours to warn about.
pkg_cflags := $(patsubst -I%,-isystem%,$(shell pkg-config --cflags $(pkgs)))
# Link against the DPDK libraries that are used; drivers are loaded at run time, only the needed ones (dataplane/eal.c).
pkg_libs   := -Wl,--as-needed $(shell pkg-config --libs $(pkgs)) -Wl,--no-as-needed
# Where DPDK's drivers lie: it says so in its build configuration only.
pmd_dir    := $(shell echo RTE_EAL_PMD_PATH | $(CC) -E -P $(shell pkg-config --cflags libdpdk) - 2>/dev/null | tail -n 1 | tr -d '"')
endif

CFLAGS  ?= -O2 -g
WARN    := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wno-unused-parameter -Wvla
DEFS    := -D_GNU_SOURCE -DSLUICE_VERSION='"$(VERSION)"' -DSLUICE_PMD_DIR='"$(pmd_dir)"' -DSLUICE_SOURCE_DIR='"$(CURDIR)"' \
	   -DALLOW_EXPERIMENTAL_API
INCS    := -Iinclude -Idataplane -Ictl -Ibpf -Itests/front -I$(BUILD)/bpf
# Position-independent as an executable is: thread-local words (DPDK's lcore, liburcu's state) are then one load away, not a call.
HARDEN  := -fstack-protector-strong -fno-strict-aliasing -fno-omit-frame-pointer -fPIE -ftls-model=initial-exec
ifneq ($(SAN),)
SANFLAGS := -fsanitize=$(SAN) -fno-sanitize-recover=undefined
ifneq ($(findstring thread,$(SAN)),)
# ThreadSanitizer sees no assembler: DPDK's locks by the compiler's atomics then. And it knows no fences, of which gcc warns at each.
SANFLAGS += -DRTE_FORCE_INTRINSICS $(shell $(CC) -Werror -Wno-tsan -E -x c /dev/null >/dev/null 2>&1 && echo -Wno-tsan)
endif
endif
ALL_CFLAGS = -std=gnu11 $(pkg_cflags) $(CFLAGS) $(WARN) $(HARDEN) $(SANFLAGS) $(DEFS) $(INCS)
ALL_LDFLAGS = $(LDFLAGS) $(SANFLAGS) -pie -Wl,-z,relro,-z,now
LIBS    := $(pkg_libs) -lelf -lz -lpthread -ldl -lm
engine_libs := -lbpf -lelf -lz $(shell pkg-config --libs libnl-route-3.0 2>/dev/null)

ifeq ($(V),0)
Q := @
say = @printf '  %-5s %s\n' '$(1)' '$(patsubst $(BUILD)/%,%,$(2))'
endif

# ---- what is built -----------------------------------------------------------------------------------------------------

dp_src     := $(wildcard dataplane/*.c dataplane/*/*.c)
bpf_prog   := $(wildcard bpf/*.bpf.c)
bpf_src    := $(filter-out $(bpf_prog),$(wildcard bpf/*.c))
ctl_src    := $(filter-out ctl/daemon/main.c,$(wildcard ctl/daemon/*.c ctl/schema/*.c))
client_src := $(wildcard ctl/client/*.c)
cli_src    := $(filter-out ctl/cli/main.c,$(wildcard ctl/cli/*.c))
cni_src    := $(filter-out ctl/cni/main.c,$(wildcard ctl/cni/*.c))
test_src   := $(wildcard tests/unit/test_*.c)
tool_src   := $(wildcard tests/tools/*.c)
bench_src  := $(wildcard bench/*.c)
front_src  := $(wildcard tests/front/*.c)
lab_src    := $(wildcard tests/lab/*.c)

obj         = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
dp_lib     := $(BUILD)/libdataplane.a
ctl_lib    := $(BUILD)/libctl.a
# The fuzzers' corpora run in every test, without a fuzzer.
replays    := $(patsubst tests/fuzz/%_fuzz.c,$(BUILD)/tests/test_%_corpus,$(wildcard tests/fuzz/*_fuzz.c))
unit_tests := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(test_src)) $(replays)
cli_lib    := $(BUILD)/libcli.a
cni_lib    := $(BUILD)/libcni.a
sluice_a   := $(BUILD)/libsluice.a
sluice_so  := $(BUILD)/libsluice.so.1
front_lib  := $(BUILD)/libfront.a
tools_src  := $(wildcard tests/hostile/*.c tests/stream/*.c tests/restart/*.c)
test_tools := $(BUILD)/tests/vhost_hostile $(BUILD)/tests/vhost_stream $(BUILD)/tests/vhost_guests
bpf_lib    := $(BUILD)/libengine.a
skeletons  := $(patsubst bpf/%.bpf.c,$(BUILD)/bpf/%.skel.h,$(bpf_prog))
tools      := $(patsubst tests/%.c,$(BUILD)/tests/%,$(tool_src))
benches    := $(patsubst bench/%.c,$(BUILD)/bench/%,$(bench_src))
lab_progs  := $(patsubst tests/lab/%.c,$(BUILD)/lab/%,$(lab_src))
binaries   := $(BUILD)/sluiced $(BUILD)/sluicectl $(BUILD)/sluice-cni
client     := $(sluice_a) $(sluice_so) $(BUILD)/libsluice.so
man_pages  := $(patsubst ctl/cli/man/%.scd.in,$(BUILD)/man/%,$(wildcard ctl/cli/man/*.scd.in))

.PHONY: all man help deps dev-deps build check-deps test unit system lab demo bench lint format format-check asan tsan fuzz install clean
.DEFAULT_GOAL := all

all: check-deps $(binaries) $(client) $(man_pages) $(bpf_lib)

help: ## print this list
	@echo 'Targets:'
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1|\2/' | awk -F'|' '{printf "  %-14s %s\n", $$1, $$2}'
	@echo 'Variables: BUILD=DIR PREFIX=DIR DESTDIR=DIR CNI_DIR=DIR CC=gcc|clang SAN=address,undefined|thread V=1'

check-deps:
ifneq ($(have_pkgs),yes)
	@echo 'The libraries to build with are missing: run `make deps` as root (Debian 12).' >&2; exit 1
endif

$(dp_lib): $(call obj,$(dp_src))
$(ctl_lib): $(call obj,$(ctl_src))
$(cli_lib): $(call obj,$(cli_src))
$(cni_lib): $(call obj,$(cni_src))
$(sluice_a): $(call obj,$(client_src))
$(front_lib): $(call obj,$(front_src))
$(bpf_lib): $(call obj,$(bpf_src))
%.a:
	$(call say,AR,$@)
	@mkdir -p $(@D)
	@rm -f $@
	$(Q)$(AR) rcs $@ $^

$(BUILD)/sluiced: $(call obj,ctl/daemon/main.c) $(ctl_lib) $(dp_lib) $(bpf_lib)
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

# The command line tool shares the schema tables with the daemon (libctl.a), and none of the dataplane. It has the client library inside,
# so that build/sluicectl runs where nothing is installed.
$(BUILD)/sluicectl: $(call obj,ctl/cli/main.c) $(cli_lib) $(sluice_a) $(ctl_lib)
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ -ljansson

# What the system tests run against the daemon's vhost-user ports.
$(BUILD)/tests/vhost_hostile: $(call obj,$(wildcard tests/hostile/*.c)) $(front_lib)
$(BUILD)/tests/vhost_stream: $(call obj,$(wildcard tests/stream/*.c)) $(front_lib)
$(BUILD)/tests/vhost_guests: $(call obj,$(wildcard tests/restart/*.c)) $(front_lib)
$(test_tools):
	$(call say,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ -lpthread

# Its allocations pass through the test, which lets them fail.
$(BUILD)/tests/test_faults: ALL_LDFLAGS += -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc

# libnl's allocations too: it is inside.
static_nl = $(patsubst -lnl-%,-l:libnl-%.a,$(1))
$(BUILD)/tests/test_netlink: ALL_LDFLAGS += -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup
$(BUILD)/tests/test_netlink: LIBS := $(call static_nl,$(LIBS))
$(BUILD)/tests/test_netlink: engine_libs := $(call static_nl,$(engine_libs))

# What container runtimes run: small, and with the client library inside as well.
$(BUILD)/sluice-cni: $(call obj,ctl/cni/main.c) $(cni_lib) $(sluice_a) $(bpf_lib)
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ -ljansson $(shell pkg-config --libs libnl-3.0 2>/dev/null)

# The client library is for other people's programs: position-independent for real; what it exports is in its map.
$(call obj,$(client_src)): HARDEN := -fstack-protector-strong -fno-strict-aliasing -fno-omit-frame-pointer -fPIC

$(sluice_so): $(call obj,$(client_src)) ctl/client/libsluice.map
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) $(SANFLAGS) -shared -Wl,-soname,$(@F) -Wl,--version-script=ctl/client/libsluice.map \
		-Wl,-z,relro,-z,now -o $@ $(filter %.o,$^) -ljansson

$(BUILD)/libsluice.so: $(sluice_so)
	$(Q)ln -sf $(<F) $@

# Manual pages: prose beside the code, and the tables themselves.
$(BUILD)/mangen: $(call obj,ctl/cli/man/mangen.c) $(cli_lib) $(sluice_a) $(ctl_lib)
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ -ljansson

$(BUILD)/man/%: ctl/cli/man/%.scd.in $(BUILD)/mangen
	$(call say,MAN,$@)
	@mkdir -p $(@D)
	$(Q)$(BUILD)/mangen < $< > $@.scd && scdoc < $@.scd > $@.tmp && rm $@.scd && mv $@.tmp $@

man: check-deps $(man_pages) ## manual pages, into BUILD/man

# Kernel programs: compiled by clang whatever CC is, for the kernel's machine whatever ours is; with BTF, which needs -g.
BPF_CLANG  ?= clang
BPFTOOL    ?= bpftool
bpf_cflags := -target bpf -mcpu=v3 -O2 -g -Wall -Wextra -Werror -Wno-unused-parameter -Iinclude -idirafter /usr/include/$(shell $(CC) -print-multiarch 2>/dev/null)

$(BUILD)/bpf/%.bpf.o: bpf/%.bpf.c Makefile
	$(call say,BPF,$<)
	@mkdir -p $(@D)
	$(Q)$(BPF_CLANG) $(bpf_cflags) -MMD -MP -c -o $@ $<

$(BUILD)/bpf/%.skel.h: $(BUILD)/bpf/%.bpf.o
	$(call say,SKEL,$@)
	$(Q){ echo '/* NOLINTBEGIN: not ours */'; $(BPFTOOL) gen skeleton $< name $*_bpf && echo '/* NOLINTEND */'; } > $@.new && mv $@.new $@

# Who reads the skeletons: bpf/*.c, and the tests that run the programs.
$(call obj,$(bpf_src) $(wildcard tests/unit/test_engine_*.c)): | $(skeletons)
-include $(patsubst %.skel.h,%.bpf.d,$(skeletons))

$(BUILD)/tests/tools/%: $(BUILD)/obj/tests/tools/%.o $(bpf_lib)
	$(call say,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(engine_libs)

$(BUILD)/tests/%: $(BUILD)/obj/tests/unit/%.o $(cli_lib) $(cni_lib) $(sluice_a) $(ctl_lib) $(dp_lib) $(bpf_lib)
	$(call say,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(LIBS) $(engine_libs) -lcmocka

$(BUILD)/tests/test_%_corpus: $(BUILD)/obj/tests/fuzz/%_fuzz.o tests/fuzz/replay.c $(cni_lib) $(ctl_lib) $(dp_lib) $(bpf_lib)
	$(call say,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -DCORPUS='"$(CURDIR)/tests/fuzz/$*"' -o $@ $(filter-out %.h,$^) $(LIBS)
# Memory that fails on purpose.
$(BUILD)/tests/test_client_memory: ALL_LDFLAGS += -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc

$(BUILD)/bench/%: $(BUILD)/obj/bench/%.o $(front_lib) $(dp_lib)
	$(call say,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$(BUILD)/lab/%: tests/lab/%.c Makefile
	$(call say,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 -O2 -static -s $(WARN) -D_GNU_SOURCE -o $@ $<

$(BUILD)/obj/%.o: %.c Makefile
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
.SECONDARY:

# ---- packages ----------------------------------------------------------------------------------------------------------

apt_build := build-essential pkg-config libdpdk-dev libjansson-dev libsystemd-dev liburcu-dev libsqlite3-dev libelf-dev libbpf-dev libnl-route-3-dev libcap-ng-dev clang bpftool
apt_test  := libcmocka-dev iproute2 ethtool iputils-ping iperf3 dpdk python3 dpdk-dev qemu-system-x86 busybox-static sockperf man-db groff-base bash
apt_man   := scdoc
apt_cni   := podman runc containernetworking-plugins dnsmasq-base
apt_dev   := clang-tidy clang-format cppcheck libclang-rt-14-dev openvswitch-switch openvswitch-switch-dpdk

apt = @missing=$$(for p in $(1); do dpkg-query -W -f '$${db:Status-Status}' $$p 2>/dev/null | grep -q '^installed$$' || echo $$p; done); \
	if [ -n "$$missing" ]; then \
		[ "$$(id -u)" = 0 ] || { echo "These packages are missing, and only root can install them:" $$missing >&2; exit 1; }; \
		apt-get update -q && DEBIAN_FRONTEND=noninteractive $(2) apt-get install -q -y --no-install-recommends $$missing; \
	fi

deps: ## install the packages that building and testing need (Debian 12, root)
	$(call apt,$(apt_build) $(apt_man) $(apt_test))
	@# podman's units (a socket, a timer, the restart of its containers) are no test's: with this systemctl starts none of them.
	$(call apt,$(apt_cni),SYSTEMD_OFFLINE=1)

dev-deps: deps ## and those that lint, the sanitizers and the comparison with Open vSwitch need
	$(call apt,$(apt_dev))

# What needs packages runs make again, so that pkg-config is asked after they are there.
build: deps ## install what is missing and build everything
	+$(Q)$(MAKE) --no-print-directory all $(unit_tests) $(test_tools) $(tools) $(benches)

# ---- tests -------------------------------------------------------------------------------------------------------------

# Guests need a kernel from Debian's mirror. Without one their tests are skipped, and say so; the others are none the worse.
want_lab = +$(Q)$(MAKE) --no-print-directory lab || echo 'No guests: their tests will be skipped.'

test: build ## install what is missing, build, and run every test
	$(want_lab)
	$(Q)tests/run.py --build $(BUILD)

unit: all $(unit_tests) ## unit tests only
	$(Q)tests/run.py --build $(BUILD) --only unit

system: all $(test_tools) $(tools) ## system tests only (root: they make namespaces)
	$(want_lab)
	$(Q)tests/run.py --build $(BUILD) --only system

lab: $(lab_progs) ## fetch and unpack the kernel that guests boot, make their initramfs (tests/lab/image.py)
	$(Q)tests/lab/image.py --out $(BUILD)/lab

asan: ## unit and system tests under AddressSanitizer and UndefinedBehaviorSanitizer
	+$(Q)$(MAKE) --no-print-directory BUILD=$(BUILD)/asan SAN=address,undefined CFLAGS='-O1 -g' build
	$(want_lab)
	$(Q)SLUICE_TEST_SLOW=1 SLUICE_LAB=$(abspath $(BUILD)/lab) ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 \
		LSAN_OPTIONS=suppressions=$(CURDIR)/tests/lsan.supp:print_suppressions=0 tests/run.py --build $(BUILD)/asan

# Those that have threads.
tsan_tests := test_fdb_threads test_meter test_memif_wake test_vhost_tx test_vhost_sleep test_vhost_swap

tsan: ## the unit tests that have threads, under ThreadSanitizer
	+$(Q)$(MAKE) --no-print-directory BUILD=$(BUILD)/tsan SAN=thread CFLAGS='-O1 -g' deps
	+$(Q)$(MAKE) --no-print-directory BUILD=$(BUILD)/tsan SAN=thread CFLAGS='-O1 -g' all $(tsan_tests:%=$(BUILD)/tsan/tests/%)
	$(Q)for t in $(tsan_tests); do $(BUILD)/tsan/tests/$$t || exit 1; done

# Each tests/fuzz/X_fuzz.c is a libFuzzer target; its corpus, and what it once found, lies in tests/fuzz/X/.
fuzzers    := $(patsubst tests/fuzz/%_fuzz.c,%,$(wildcard tests/fuzz/*_fuzz.c))
FUZZ_SECONDS ?= 60

fuzz: dev-deps ## run every fuzzer for FUZZ_SECONDS (60) each, starting from its corpus
	+$(Q)$(MAKE) --no-print-directory BUILD=$(BUILD)/fuzz CC=clang SAN=address,undefined,fuzzer-no-link CFLAGS='-O1 -g' fuzzers
	$(Q)for f in $(fuzzers); do mkdir -p $(BUILD)/fuzz/corpus/$$f; \
		echo "== $$f"; $(BUILD)/fuzz/$${f}_fuzz -max_total_time=$(FUZZ_SECONDS) \
			$$(test -f tests/fuzz/$$f.dict && echo -dict=tests/fuzz/$$f.dict) -artifact_prefix=tests/fuzz/$$f/ \
			$(BUILD)/fuzz/corpus/$$f tests/fuzz/$$f 2>&1 | tail -n 3 || exit 1; done

.PHONY: fuzzers
fuzzers: $(patsubst %,$(BUILD)/%_fuzz,$(fuzzers))
$(BUILD)/%_fuzz: $(BUILD)/obj/tests/fuzz/%_fuzz.o $(cni_lib) $(ctl_lib) $(dp_lib) $(bpf_lib)
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(LIBS)

# ---- show, measure -------------------------------------------------------------------------------------------------------

demo: build ## run the main job on a small node made of namespaces, and show it (root)
	$(Q)tests/demo.py --build $(BUILD)

# Each is a program bench/X.py (bench/report.py), and writes its own part of the file: make bench REPORTS=local measures that one anew.
REPORTS ?= run local trunk applies

bench: build ## measure beside testpmd, Open vSwitch, a bridge, in alternating rounds; REPORTS="run local trunk applies"; JSON in $(BUILD)/bench.json (root)
	$(Q)for r in $(REPORTS); do bench/$$r.py --build $(BUILD) --json $(BUILD)/bench.json || exit 1; done

# ---- care ----------------------------------------------------------------------------------------------------------------

c_files := $(dp_src) $(bpf_src) $(ctl_src) ctl/daemon/main.c $(client_src) $(cli_src) ctl/cli/main.c ctl/cli/man/mangen.c $(cni_src) ctl/cni/main.c \
	$(wildcard tests/unit/*.c tests/fuzz/*.c) $(bench_src) $(front_src) $(tools_src) $(tool_src) $(lab_src)
h_files := $(wildcard include/sluice/*.h dataplane/*.h dataplane/*/*.h bpf/*.h ctl/*/*.h tests/unit/*.h tests/fuzz/*.h tests/front/*.h tests/hostile/*.h bench/*.h)

format: ## lay out the C sources with clang-format
	$(Q)clang-format -i $(c_files) $(bpf_prog) $(h_files)

format-check: | dev-deps
	$(Q)clang-format --dry-run -Werror $(c_files) $(bpf_prog) $(h_files)

lint: dev-deps format-check $(skeletons) ## gcc and clang with warnings as errors, clang-tidy, cppcheck, layout
	+$(Q)$(MAKE) --no-print-directory BUILD=$(BUILD)/lint-gcc CC=gcc all objects
	+$(Q)$(MAKE) --no-print-directory BUILD=$(BUILD)/lint-clang CC=clang all objects
	@# One file a call: clang-tidy 14 mistakes one file's va_list for another's.
	$(Q)printf '%s\n' $(c_files) | xargs -P 2 -I{} sh -c 'eval clang-tidy --quiet {} -- $$TIDY_FLAGS 2>/dev/null'
	$(Q)cppcheck --quiet --std=c11 --enable=warning,performance,portability --inline-suppr --error-exitcode=1 \
		--suppress=missingIncludeSystem --suppress=unknownMacro -Iinclude -Idataplane -Ictl -Ibpf -Itests/front \
		$(filter-out tests/%,$(c_files))
	@echo lint: clean

# In the environment, and read by eval, for the strings among the definitions.
export TIDY_FLAGS = -std=gnu11 $(pkg_cflags) $(DEFS) $(INCS)

.PHONY: objects
objects: $(call obj,$(filter-out tests/fuzz/%,$(c_files)))

install: all ## install under $(DESTDIR)$(PREFIX)
	install -D -m 0755 $(BUILD)/sluiced $(DESTDIR)$(PREFIX)/sbin/sluiced
	install -D -m 0755 $(BUILD)/sluicectl $(DESTDIR)$(PREFIX)/bin/sluicectl
	install -D -m 0755 $(BUILD)/sluice-cni $(DESTDIR)$(CNI_DIR)/sluice-cni
	install -D -m 0644 ctl/cni/10-sluice.conflist $(DESTDIR)$(PREFIX)/share/doc/sluice/examples/10-sluice.conflist
	install -D -m 0644 include/sluice/drop.h $(DESTDIR)$(PREFIX)/include/sluice/drop.h
	install -D -m 0644 include/sluice/sluice.h $(DESTDIR)$(PREFIX)/include/sluice/sluice.h
	install -D -m 0755 $(sluice_so) $(DESTDIR)$(PREFIX)/lib/$(notdir $(sluice_so))
	ln -sf $(notdir $(sluice_so)) $(DESTDIR)$(PREFIX)/lib/libsluice.so
	install -D -m 0644 $(sluice_a) $(DESTDIR)$(PREFIX)/lib/$(notdir $(sluice_a))
	install -d $(DESTDIR)$(PREFIX)/lib/pkgconfig
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' ctl/client/sluice.pc.in > $(DESTDIR)$(PREFIX)/lib/pkgconfig/sluice.pc
	install -D -m 0644 ctl/cli/sluicectl.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/sluicectl
	@# Where the loader looks, if this is the machine itself.
	[ -n "$(DESTDIR)" ] || [ "$$(id -u)" != 0 ] || ldconfig
	for page in $(man_pages); do install -D -m 0644 $$page $(DESTDIR)$(PREFIX)/share/man/man$${page##*.}/$${page##*/} || exit 1; done
	install -D -m 0644 ctl/daemon/sluiced.conf $(DESTDIR)/etc/sluice/sluiced.conf
	@# The service names the binary by its full path.
	sed 's|/usr/local/sbin/|$(PREFIX)/sbin/|' ctl/daemon/sluiced.service | \
		install -D -m 0644 /dev/stdin $(DESTDIR)$(PREFIX)/lib/systemd/system/sluiced.service
	install -m 0644 ctl/daemon/sluiced.socket ctl/daemon/sluiced-stat.socket $(DESTDIR)$(PREFIX)/lib/systemd/system/
	install -D -m 0644 ctl/daemon/sluice.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/sluice.conf

clean: ## remove what was built
	rm -rf $(BUILD)
