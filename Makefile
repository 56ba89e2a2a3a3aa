# rootlet: make deps, make, make check, make demo, make boot. `make help` lists the rest.

VERSION  = 0.1.0
PREFIX   = /usr/local
DESTDIR  =
CC       = gcc
# Debian packages: what building, running and testing needs; and what developers want besides.
DEPS     = gcc libc6-dev libext2fs-dev libconfuse-dev libcurl4-openssl-dev libssl-dev libjansson-dev libarchive-dev zlib1g-dev libslirp-dev \
           bubblewrap user-mode-linux e2fsprogs bzip2 xz-utils zstd ca-certificates \
           libcmocka-dev bats libarchive-tools openssh-client attr acl patch flex bison bc perl python3 util-linux procps
DEV_DEPS = clang clang-format clang-tidy cppcheck libclang-rt-14-dev genext2fs

CFLAGS   = -O2 -g
WARNINGS = -Wall -Wextra -Wshadow -Wmissing-prototypes -Wformat=2 -Werror
CPPFLAGS = -Ibuilder -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 \
           -DRL_VERSION='"$(VERSION)"' -DRL_GUEST_INIT='"$(GUEST_INIT)"'
LDLIBS   = -lext2fs -le2p -lcom_err -lconfuse -lcrypto -ljansson -lz -lpthread

ifdef SANITIZE
SANITIZER = -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
VARIANT   = $(notdir $(CC))-sanitize
else
VARIANT   = $(notdir $(CC))
endif

B        := build/$(VARIANT)
SOURCES  := $(sort $(wildcard builder/*.c builder/*/*.c))
OBJECTS  := $(SOURCES:%.c=$(B)/%.o)
UNITS    := $(patsubst tests/unit/%.c,$(B)/tests/unit/%,$(sort $(wildcard tests/unit/*.c)))
CLI      := $(sort $(wildcard tests/cli/*.bats))
BOOT     := $(sort $(wildcard tests/boot/*.bats))
C_FILES  := $(sort $(wildcard builder/*.[ch] builder/*/*.[ch] builder/*/*/*.[ch] tests/*/*.[ch]))
COMPILE   = $(CC) -std=gnu11 $(WARNINGS) $(CPPFLAGS) $(CFLAGS) $(SANITIZER) -MMD -MP

all: rootlet

# The program of the chosen variant is the one at the top.
rootlet: $(B)/rootlet FORCE
	@[ $< -ef $@ ] || ln -f $< $@ 2>/dev/null || cp -f $< $@

$(B)/rootlet: $(OBJECTS)
	@echo "  LINK  $@"
	@$(CC) $(CFLAGS) $(SANITIZER) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(B)/%.o: %.c Makefile
	@mkdir -p $(@D)
	@echo "  CC    $<"
	@$(COMPILE) -c -o $@ $<

# The init of guests that run a command. It becomes a part of the program, and there is no libc in it.
GUEST_INIT := $(B)/guest-init
GUEST_C    := $(sort $(wildcard builder/uml/guest-init/*.c))

$(GUEST_INIT): $(GUEST_C) $(wildcard builder/uml/guest-init/*.h) builder/uml/channel.h Makefile
	@mkdir -p $(@D)
	@echo "  CC    $@"
	@$(CC) -std=gnu11 $(WARNINGS) -D_GNU_SOURCE -Os -s -static -nostdlib -ffreestanding -fno-pie -fno-stack-protector \
		-fno-asynchronous-unwind-tables -Wl,--build-id=none -Wl,-z,noseparate-code -o $@ $(GUEST_C)

$(B)/builder/uml/payload.o: $(GUEST_INIT)

$(B)/tests/unit/%: tests/unit/%.c $(filter-out $(B)/builder/main.o,$(OBJECTS))
	@mkdir -p $(@D)
	@echo "  CC    $<"
	@$(COMPILE) -MF $@.d -Itests/unit -o $@ $< $(filter %.o,$^) $(LDFLAGS) -lcmocka $(LDLIBS)

# Fuzz targets: here each runs over the inputs that are kept for it; `make fuzz` looks for more.
TARGETS  := $(filter-out replay,$(patsubst tests/fuzz/%.c,%,$(sort $(wildcard tests/fuzz/*.c))))
REPLAYS  := $(TARGETS:%=$(B)/tests/fuzz/%)
FUZZ_SECONDS = 60

$(B)/tests/fuzz/%: tests/fuzz/%.c tests/fuzz/replay.c $(filter-out $(B)/builder/main.o,$(OBJECTS))
	@mkdir -p $(@D)
	@echo "  CC    $<"
	@$(COMPILE) -MF $@.d -DCORPUS='"tests/fuzz/$*"' -o $@ $(filter tests/%.c,$^) $(filter %.o,$^) $(LDFLAGS) $(LDLIBS)

fuzz: $(GUEST_INIT)
	@for target in $(TARGETS); do \
		mkdir -p build/fuzz/$$target-inputs && echo "  FUZZ  $$target" && \
		clang -std=gnu11 $(WARNINGS) $(CPPFLAGS) -O1 -g -fsanitize=fuzzer,address,undefined \
			-fno-sanitize-recover=all -o build/fuzz/$$target tests/fuzz/$$target.c \
			$(filter-out builder/main.c,$(SOURCES)) $(LDLIBS) && \
		build/fuzz/$$target -max_total_time=$(FUZZ_SECONDS) -max_len=16384 -timeout=20 -print_final_stats=1 \
			-artifact_prefix=tests/fuzz/$$target/ build/fuzz/$$target-inputs tests/fuzz/$$target || exit 1; \
	done

# A rootlet for which the calls to the system that fault.c has can be made to fail.
FAULTY   := $(B)/tests/rootlet-faulty

$(FAULTY): $(B)/tests/fault/fault.o $(OBJECTS)
	@echo "  LINK  $@"
	@$(CC) $(CFLAGS) $(SANITIZER) $(LDFLAGS) -o $@ $^ $$(nm $< | sed -n 's/.* T __wrap_/-Wl,--wrap=/p') $(LDLIBS)

-include $(OBJECTS:.o=.d) $(REPLAYS:=.d) $(B)/tests/fault/fault.d $(UNITS:=.d)

# With `make deps demo` nothing is compiled before the packages are there, also under -j.
ifneq ($(filter deps,$(MAKECMDGOALS)),)
$(OBJECTS) $(UNITS) $(REPLAYS) $(FAULTY): | deps
endif

deps:
	@$(call install_packages,$(DEPS))

deps-dev: deps
	@$(call install_packages,$(DEV_DEPS))

# Installs the Debian packages that are missing; says nothing and needs no rights if none is.
define install_packages
	missing=; \
	command -v dpkg-query >/dev/null || { echo "make deps: not a Debian system; it needs what these packages hold: $(1)" >&2; exit 1; }; \
	for p in $(1); do \
		dpkg-query -W -f '$${db:Status-Status}\n' "$$p" 2>/dev/null | grep -qx installed || missing="$$missing $$p"; \
	done; \
	[ -n "$$missing" ] || exit 0; \
	echo "installing:$$missing"; \
	sudo=; [ "$$(id -u)" = 0 ] || sudo="sudo"; \
	$$sudo env DEBIAN_FRONTEND=noninteractive apt-get -q update && \
	$$sudo env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends $$missing
endef

demo: rootlet
	@tests/demo.sh

boot: rootlet
	./rootlet build -q demo
	./rootlet run --append rootlet.demo=0 --timeout 0 demo

check: rootlet $(UNITS) $(REPLAYS) $(FAULTY) check-layers
	@ROOTLET=$(CURDIR)/rootlet ROOTLET_FAULTY=$(CURDIR)/$(FAULTY) RL_SANITIZE=$(SANITIZE) prove --timer --failures --comments \
		--exec tests/run-test $(UNITS) $(REPLAYS) $(CLI) $(BOOT)

check-unit: rootlet $(UNITS)
	@ROOTLET=$(CURDIR)/rootlet prove --timer --failures --exec tests/run-test $(UNITS)

check-layers:
	@tests/check-layers

bench: rootlet
	@tests/bench/run

format:
	clang-format -i $(C_FILES)

format-check:
	clang-format --dry-run -Werror $(C_FILES)

lint:
	clang-tidy --quiet $(filter builder/%.c,$(C_FILES)) -- -std=gnu11 $(CPPFLAGS)
	cppcheck --quiet --enable=warning,portability --inline-suppr --error-exitcode=1 \
		--suppress=missingIncludeSystem -Ibuilder -D_GNU_SOURCE builder

install: rootlet
	install -D -m 0755 rootlet $(DESTDIR)$(PREFIX)/bin/rootlet
	mkdir -p $(DESTDIR)$(PREFIX)/share/rootlet
	cp -R recipes skeleton $(DESTDIR)$(PREFIX)/share/rootlet/
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/man/man1 builder/cmd/*.1
	install -D -m 0644 -t $(DESTDIR)$(PREFIX)/share/man/man5 builder/cmd/*.5

clean:
	rm -rf build rootlet

help:
	@echo "make deps       install the Debian packages that are missing"
	@echo "make            build ./rootlet"
	@echo "make demo       build the demo images, boot them, read a file back"
	@echo "make boot       an interactive login in the demo system (Ctrl-A x leaves)"
	@echo "make check      all tests; SANITIZE=1: with ASan and UBSan; CC=clang"
	@echo "make bench      measurements against the peers"
	@echo "make install    DESTDIR= PREFIX=/usr/local"
	@echo "make clean      remove what was built; out/ stays"
	@echo "for developers: deps-dev fuzz check-unit check-layers format format-check lint"

FORCE:
.PHONY: all deps deps-dev demo boot check fuzz check-unit check-layers bench format format-check lint install clean help FORCE
