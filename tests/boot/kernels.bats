#!/usr/bin/env bats
# Kernels under test: what they lack is told before the boot, and the results of their tests at its end.
load helper

setup_file() {
    build_box <<'END'
summary   = "prints what it is told to"
disk "root" { free = 1M }
END
}

setup() {
    mkdir "$BATS_TEST_TMPDIR/work"
    cd "$BATS_TEST_TMPDIR/work"
    root=$BATS_FILE_TMPDIR/box/root.ext4
}

@test "what a kernel lacks is told before the boot" {
    for option in EXT4_FS BLK_DEV_UBD TTY; do
        perl -pe "s/CONFIG_$option=y\n/XONFIG_$option=y\n/" "$kernel" >linux
        chmod +x linux
        run --separate-stderr rootlet run --kernel ./linux "$root" -- true
        failed 125 "linux: run: the kernel has no $option for "
        [[ $stderr == *"(CONFIG_$option is not set)" ]]
    done
    run --separate-stderr rootlet run --kernel /bin/true "$root"
    failed 1 "true: run: it is not a User Mode Linux kernel"
    skip_unless "command -v linux.uml" "no linux.uml"
    run --separate-stderr rootlet run --kernel linux.uml --append time-travel "$root"
    failed 1 "linux.uml: run: the kernel has no UML_TIME_TRAVEL_SUPPORT for time-travel"
    # A script that starts a kernel is none, and is let through.
    printf '#!/bin/sh\nexec %s "$@"\n' "$kernel" >wrapped
    chmod +x wrapped
    timeout 60 "$ROOTLET" run --kernel ./wrapped "$root" -- true
}

@test "--tap: the results of a command's tests, and their status" {
    cat >test.sh <<'END'
cat <<'TAP'
KTAP version 1
1..2
    KTAP version 1
    # Subtest: suite
    1..3
    ok 1 good
    # bad: EXPECTATION FAILED
    not ok 2 bad
    ok 3 other # SKIP no disk
# suite: pass:1 fail:1
not ok 1 suite
ok 2 single
TAP
END
    run -1 --separate-stderr timeout 60 "$ROOTLET" run --tap --kernel "$kernel" "$root" -- sh -c "$(cat test.sh)"
    [ "$output" = "$(sh test.sh)" ]
    [ "$stderr" = "rootlet: failed: suite.bad
  | # bad: EXPECTATION FAILED
rootlet: 2 passed, 1 failed, 1 skipped" ] || { echo "$stderr"; false; }
    run -1 --separate-stderr timeout 60 "$ROOTLET" run --tap=summary --kernel "$kernel" "$root" -- sh -c "$(cat test.sh)"
    [ "$output" = "failed: suite.bad
  | # bad: EXPECTATION FAILED
2 passed, 1 failed, 1 skipped" ]
    [ -z "$stderr" ]
}

@test "--tap: all good, nothing at all, cut in the middle, and how the run ends itself" {
    try() {
        status=0
        timeout 60 "$ROOTLET" run --tap --kernel "$kernel" --timeout 20 "$root" -- sh -c "$1" >out 2>err || status=$?
    }
    try 'printf "1..2\nok 1 a\nok 2 b\n"'
    [ "$status" = 0 ]
    grep -qx 'rootlet: 2 passed, 0 failed' err
    try 'echo hello'
    [ "$status" = 125 ]
    grep -q 'not all tests have a result: there is no plan of tests' err
    try 'printf "1..2\nok 1 a\n"'
    [ "$status" = 125 ]
    grep -q 'not all tests have a result: 1 of 2 tests have no result' err
    try 'printf "1..2\nok 1 a\n"; exit 7'
    [ "$status" = 7 ]
    try 'printf "1..1\nnot ok 1 a\n"; sleep 1; echo c >/proc/sysrq-trigger; sleep 5'
    [ "$status" = 125 ]
    grep -q 'kernel panic' err
    grep -qx 'rootlet: failed: a' err
    run --separate-stderr rootlet run --tap=all "$root"
    failed 2 "--tap takes summary or nothing, not 'all'"
}

@test "--tap: results that the kernel has printed itself" {
    cat >init <<'END'
#!/bin/sh
mount -t proc proc /proc
while read -r line; do echo "$line" >/dev/kmsg; done <<'TAP'
KTAP version 1
1..1
    KTAP version 1
    # Subtest: suite
    1..2
    ok 1 a
    not ok 2 b
not ok 1 suite
TAP
poweroff -f
END
    chmod +x init
    sed -i 's/^while read/while IFS= read/' init
    cp "$root" own.ext4
    mkdir over
    cp init over/own-init
    rootlet pack -q -o own.ext4 --free 1M "$root" over
    boot --tap --kernel "$kernel" --append "init=/own-init printk.time=1 loglevel=8" own.ext4
    [ "$status" = 1 ] || { cat console err; false; }
    grep -q '^\[.*\]     not ok 2 b' console
    grep -qx 'rootlet: failed: suite.b' err
    grep -qx 'rootlet: 1 passed, 1 failed' err
}

@test "a kernel boots without any disk" {
    run --separate-stderr timeout 60 "$ROOTLET" run --kernel "$kernel"
    failed 125 "kernel panic: VFS: Unable to mount root fs"
}
