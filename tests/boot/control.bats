#!/usr/bin/env bats
# Guests that run are listed, talked to and ended; nothing is left of them.
load helper

# No other guest of this user has these names.
ONE=one-$$ TWO=two-$$

setup_file() {
    build_box <<'END'
summary   = "waits, and powers off when it is told so"
disk "root" { free = 1M }
run { kernel = "linux-um"  mem = 64M  append = { "quiet" } }
END
}

# Starts a guest that goes on for a minute at most.
start() { # NAME
    cp -r "$BATS_FILE_TMPDIR/box" "$1"
    cp "$BATS_FILE_TMPDIR/box.conf" "$1.conf"
    TMPDIR=$PWD/tmp timeout 100 "$ROOTLET" run -o "$1" --timeout 60 "$1.conf" </dev/null >"$1.console" 2>"$1.err" 3>&- &
    job=$!
    for _ in $(seq 300); do
        ! grep -q 'login:' "$1.console" || return 0
        sleep 0.1
    done
    cat "$1.console" "$1.err"
    false
}

guests() { running name; }

@test "guests are listed, answer, stop cleanly and are killed" {
    mkdir tmp
    start $ONE
    first=$job
    start $TWO
    [ "$(guests)" = "$ONE $TWO" ]
    rootlet ps | grep -Eq "^$ONE +[0-9]+ +0:0[01]:[0-9]{2} +64M +$PWD/$ONE/root.ext4$"
    rootlet mconsole $ONE version | grep -q '^Linux '
    run --separate-stderr rootlet mconsole $ONE frob
    failed 1 "$ONE: talk to: it answers: Unknown command"
    run --separate-stderr rootlet mconsole $ONE
    failed 2 "which command?"
    run --separate-stderr rootlet stop three
    failed 1 "three: find guest: no guest of that name is running"
    run --separate-stderr rootlet stop --timeout 0 $ONE
    failed 1 "$ONE: stop: it still runs after 0 s"
    status=0
    wait $first || status=$?
    [ "$status" = 0 ]
    grep -q 'Requesting system poweroff' $ONE.console
    fsck $ONE/root.ext4
    [ "$(guests)" = $TWO ]
    pid=$(rootlet ps | awk -v d="$PWD/$TWO/" 'index($0, d) { print $2 }')
    rootlet kill "$pid"
    status=0
    wait $job || status=$?
    [ "$status" = 125 ]
    grep -qx 'rootlet: .*: run: killed from outside: .*' $TWO.err
    [ -z "$(guests)" ]
    [ -z "$(ls -A tmp)" ]
}

@test "all that comes from a guest's console goes to a file as well" {
    echo 'echo $((6 * 7)); poweroff -f' | timeout 100 "$ROOTLET" run -o "$BATS_FILE_TMPDIR/box" --ephemeral \
        --log log --append init=/bin/sh "$BATS_FILE_TMPDIR/box.conf" >console 2>err
    [ ! -s err ]
    grep -q $'^42\r$' log
    tr -d '\r' <log | diff console -
    run --separate-stderr timeout 100 "$ROOTLET" run -o "$BATS_FILE_TMPDIR/box" --ephemeral --log /dev/full \
        --append init=/bin/sh "$BATS_FILE_TMPDIR/box.conf" </dev/null
    failed 1 "the guest's log: write: No space left on device"
    run --separate-stderr rootlet run --log - "$BATS_FILE_TMPDIR/box.conf"
    failed 2 "--log takes a file's name, not '-'"
}

@test "the disks of a guest are those that were given, also where its writes are forgotten" {
    mkdir shared
    rootlet pack -q -o data.ext4
    for option in --ephemeral '--ephemeral --share shared'; do
        timeout 100 "$ROOTLET" run $option --kernel "$kernel" "$BATS_FILE_TMPDIR/box/root.ext4" --disk data.ext4,ro -- \
            sh -c 'echo ready; exec sleep 90' >out 2>err 3>&- &
        job=$!
        for _ in $(seq 300); do
            ! grep -q ready out || break
            sleep 0.1
        done
        rootlet ps >list
        rootlet ps --json >json
        rootlet kill "$(running pid)"
        wait $job || true
        grep -q " $BATS_FILE_TMPDIR/box/root.ext4 (ephemeral) $PWD/data.ext4$" list || { cat list err; false; }
        python3 -c 'import json, sys
root, data = sys.argv[1:]
guest, = [g for g in json.load(sys.stdin) if data in g["disks"]]
assert guest["disks"] == [root, data] and guest["ephemeral"] == [root], guest' \
            "$BATS_FILE_TMPDIR/box/root.ext4" "$PWD/data.ext4" <json
    done
}

@test "a signal, and the end of its time, leave a guest's own init the time to end it; a second signal does not" {
    mkdir tmp
    start $ONE
    # Its parent is timeout(1).
    kill -TERM "$(pgrep -P $job)"
    status=0
    wait $job || status=$?
    [ "$status" = 143 ] || { cat $ONE.err; false; }
    grep -qx "rootlet: .*: run: ended by SIGTERM" $ONE.err
    grep -q 'Requesting system poweroff' $ONE.console
    fsck $ONE/root.ext4
    boot -o $ONE --timeout 2 $ONE.conf
    [ "$status" = 124 ]
    grep -q 'still running after 2 s: ended' err
    fsck $ONE/root.ext4
    start $TWO
    pid=$(pgrep -P $job)
    kill "$pid"
    sleep 1
    kill "$pid"
    status=0
    wait $job || status=$?
    [ "$status" = 143 ]
    refute grep 'Requesting system poweroff' $TWO.console
    # An init that does not care.
    printf '#!/bin/sh\nmount -t proc p /proc; echo 0 >/proc/sys/kernel/ctrl-alt-del; trap "" INT; while :; do sleep 9; done' >deaf
    printf 'write deaf deaf\nsif deaf mode 0100755\n' | debugfs -w -f - $ONE/root.ext4 2>debugfs.log
    boot --kernel "$kernel" $ONE/root.ext4 --append init=/deaf --timeout 2
    [ "$status" = 124 ]
    [ -z "$(guests)" ]
}

@test "a guest that runs a command is stopped in order, and a killed one is told as such" {
    cp "$BATS_FILE_TMPDIR/box/root.ext4" $ONE.ext4
    "$ROOTLET" run --kernel "$kernel" $ONE.ext4 -- sh -c 'trap "echo got; exit 7" TERM; echo ready; while :; do sleep 1; done' \
        >out 2>err 3>&- &
    for _ in $(seq 300); do ! grep -q ready out || break; sleep 0.1; done
    rootlet stop $ONE
    status=0
    wait $! || status=$?
    [ "$status" = 7 ] || { cat out err; false; }
    [ "$(cat out)" = $'ready\ngot' ]
    fsck $ONE.ext4
    "$ROOTLET" run --kernel "$kernel" $ONE.ext4 -- sh -c 'echo started; sleep 100' >out 2>err 3>&- &
    for _ in $(seq 300); do ! grep -q started out || break; sleep 0.1; done
    rootlet kill $ONE
    status=0
    wait $! || status=$?
    [ "$status" = 125 ]
    [[ $(cat err) == "rootlet: sh: run: its guest was killed from outside: "* ]] && [ "$(wc -l <err)" = 1 ]
}

@test "of two guests of one name the pid tells which" {
    mkdir tmp a b
    (cd a && start $ONE) 
    (cd b && mkdir tmp && start $ONE)
    run --separate-stderr rootlet stop $ONE
    failed 1 "several have that name: pid"
    for pid in $(rootlet ps | awk -v d="$PWD/" 'index($0, d) { print $2 }'); do rootlet kill "$pid"; done
    [ -z "$(guests)" ]
}

@test "run folders that nobody knows of any more are removed, others stay" {
    mkdir -p tmp/rootlet-0123456789abcdef/one tmp/rootlet-1123456789abcdef tmp/rootlet-2123456789abcdef tmp/rootlet-x
    touch -d '2 hours ago' tmp/rootlet-0123456789abcdef tmp/rootlet-2123456789abcdef tmp/rootlet-x
    (cd tmp/rootlet-2123456789abcdef && exec sleep 30) 3>&- &
    sleep=$!
    start $ONE
    rootlet kill "$(rootlet ps | awk -v d="$PWD/$ONE/" 'index($0, d) { print $2 }')"
    [ "$(ls tmp)" = "$(printf '%s\n' rootlet-1123456789abcdef rootlet-2123456789abcdef rootlet-x)" ]
    kill $sleep
}
