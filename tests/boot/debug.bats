#!/usr/bin/env bats
# A guest under a debugger, and one whose clock does not wait.
load helper

setup_file() {
    build_box <<'END'
summary   = "is looked at"
disk "root" { free = 1M }
END
}

setup() {
    mkdir "$BATS_TEST_TMPDIR/work"
    cd "$BATS_TEST_TMPDIR/work"
    root=$BATS_FILE_TMPDIR/box/root.ext4
}

# Starts a guest that waits for a debugger; pid is UML's, and attach the line to type.
start_stopped() {
    timeout 100 "$ROOTLET" run --gdb --kernel "$kernel" --ephemeral "$root" -- sh -c 'echo in the guest; exit 5' \
        </dev/null >out 2>err 3>&- &
    job=$!
    for _ in $(seq 200); do
        ! grep -q '^gdb ' err || break
        sleep 0.1
    done
    attach=$(grep '^gdb ' err)
    pid=$(sed -n 's/.* -p \([0-9]*\) .*/\1/p' <<<"$attach")
    # It stands still.
    sleep 1
    grep -q '^State:.*stopped' "/proc/$pid/status"
    [ "$(readlink "/proc/$pid/exe")" = "$kernel" ]
    [ ! -s out ]
}

@test "--gdb: the guest waits, and goes on when it is let" {
    start_stopped
    [ "$(head -n 1 err)" = "rootlet: the guest waits for a debugger, and its continue:" ]
    kill -CONT "$pid"
    status=0
    wait $job || status=$?
    [ "$status" = 5 ]
    [ "$(cat out)" = "in the guest" ]
}

@test "--gdb: a guest that nobody attaches ends with a signal, and leaves nothing" {
    start_stopped
    kill -INT "$(pgrep -P $job)"
    status=0
    wait $job || status=$?
    [ "$status" = 130 ]
    [ ! -e "/proc/$pid" ]
}

@test "--gdb: the line that is printed attaches gdb, which does not stop at what UML does all the time" {
    command -v gdb >/dev/null || skip "no gdb"
    start_stopped
    eval "timeout 60 $attach -batch -ex continue" >gdb.log 2>&1 </dev/null
    status=0
    wait $job || status=$?
    [ "$status" = 5 ] || { cat gdb.log out err; false; }
    [ "$(cat out)" = "in the guest" ]
    refute grep -q 'received signal' gdb.log
}

@test "--gdb: not with shares" {
    mkdir shared
    run --separate-stderr rootlet run --gdb --kernel "$kernel" --share shared "$root" -- true
    failed 125 "where no debugger gets in"
}

@test "--time-travel: a sleep of an hour takes no time" {
    for mode in "" =inf-cpu; do
        run -0 timeout 60 "$ROOTLET" run --time-travel$mode --kernel "$kernel" --ephemeral "$root" -- \
            sh -c 'sleep 3600; cut -d. -f1 /proc/uptime'
        [ "$output" -ge 3600 ]
    done
    run --separate-stderr rootlet run --time-travel=warp "$root"
    failed 2 "--time-travel takes inf-cpu or nothing, not 'warp'"
}
