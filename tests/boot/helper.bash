# What the tests that boot guests share.
load ../cli/helper

skip_without_uml() {
    skip_unless "command -v linux.uml || command -v linux" "no User Mode Linux kernel"
}

# For setup_file: a small system, with the lines on standard input in its recipe, as box/root.ext4 and box.conf in the file's
# folder; and kernel, the package linux-um's, or KERNEL.
build_box() {
    cd "$BATS_FILE_TMPDIR"
    {
        cat
        cat <<'END'
packages  = { "busybox" }
skeletons = { "base" }
END
    } >box.conf
    rootlet build -q -o box box.conf
    kernel=${KERNEL:-$(rootlet package -q linux-um)/boot/linux}
    export kernel
}

# For setup_file: all that the images need which come with rootlet, built at the same time.
build_packages() {
    export TOP=$BATS_TEST_DIRNAME/../..
    cd "$TOP"
    rootlet package busybox dropbear tcc lua strace e2fsprogs zlib linux-um >"$BATS_FILE_TMPDIR/log" 2>&1 ||
        { cat "$BATS_FILE_TMPDIR/log" >&2; return 1; }
}

# For setup_file: root.ext4, whose init is worker.c.
build_worker() {
    cd "$BATS_FILE_TMPDIR"
    gcc -D_GNU_SOURCE -static -O2 -Wall -Wextra -Werror -o worker "$BATS_TEST_DIRNAME"/worker*.c
    mkdir -p root/dev root/tmp
    cp worker root/init
    rootlet pack -q -o root.ext4 --chmod /init=0755 root
}

# running FIELD: what `ps` tells of the guests that have a disk in this folder.
running() {
    rootlet ps --json | python3 -c 'import json, sys
print(*[g[sys.argv[1]] for g in json.load(sys.stdin) if any(d.startswith(sys.argv[2]) for d in g["disks"])])' "$1" "$PWD"
}

# The processes whose working folder is, or was, in tmp: a guest's run in its run folder.
in_run_folders() {
    local p
    for p in /proc/[0-9]*; do
        case $(readlink "$p/cwd" 2>/dev/null) in "$PWD/tmp/"*) echo "$p $(tr '\0' ' ' <"$p/cmdline")" ;; esac
    done
}

# No folder and no process is left of the guests of a test whose TMPDIR is tmp; they need a moment after a kill.
nothing_left() {
    local i
    for i in $(seq 100); do
        [ -n "$(ls -A tmp; in_run_folders)" ] || return 0
        sleep 0.1
    done
    ls -A tmp
    in_run_folders
    false
}
