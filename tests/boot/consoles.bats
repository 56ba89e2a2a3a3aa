#!/usr/bin/env bats
# `rootlet run --consoles`: consoles that are ptys of this host, for whoever attaches to them, or for nobody.
load helper

setup_file() {
    # Nobody's login is in the way on tty2: it gives back what it gets.
    cat >"$BATS_FILE_TMPDIR/echoes" <<'END'
#!/bin/sh
mount -t proc proc /proc
mount -t devtmpfs dev /dev 2>/dev/null
# A terminal that nobody has open forgets its settings.
exec 3<>/dev/tty2 4<>/dev/tty3
stty raw -echo <&3
stty raw -echo <&4
cat <&3 >&3 &
setsid sh -c 'exec sh -i </dev/tty1 >/dev/tty1 2>&1'
poweroff -f
sleep 100
END
    # Leaves a while what is typed, and reads it then.
    cat >"$BATS_FILE_TMPDIR/late" <<'END'
#!/bin/sh
mount -t devtmpfs dev /dev 2>/dev/null
exec </dev/tty0 >/dev/tty0
stty raw -echo
echo go
sleep 2
head -c 20000 | sha256sum
head -c 5
poweroff -f
sleep 100
END
    build_box <<'END'
summary = "a login without a password"
user "root" { password = "" }
path "/sbin/echoes" { source = "echoes"  mode = 0755 }
path "/sbin/late" { source = "late"  mode = 0755 }
disk "root" { free = 4M }
run { consoles = 1 }
END
}

setup() {
    mkdir "$BATS_TEST_TMPDIR/work"
    cd "$BATS_TEST_TMPDIR/work"
    mkdir tmp shared
    export TMPDIR=$PWD/tmp
    umask 022
    cp "$BATS_FILE_TMPDIR/box/root.ext4" .
}

teardown() {
    [ -z "${guest:-}" ] || kill "$guest" 2>/dev/null || true
}

attach() {
    timeout 100 python3 "$BATS_TEST_DIRNAME/attach.py" "$@" 3>&-
}

# A guest in the background; its consoles are in tty[1], ...
start() { # OPTION...
    local i
    "$ROOTLET" run --timeout 200 "$@" root.ext4 </dev/null >console 2>err 3>&- &
    guest=$!
    for i in $(seq 100); do
        ! grep -q 'Linux version\|login:' console || break
        sleep 0.1
    done
    for i in 1 2 3; do tty[$i]=$(sed -n "s,^rootlet: root: tty$i is \(/dev/pts/[0-9]*\)\$,\1,p" err); done
}

ends() { # STATUS
    status=0
    wait "$guest" || status=$?
    guest=
    [ "$status" = "$1" ] || { echo "status $status"; cat err; tail -n 20 console; return 1; }
    nothing_left
}

login() { # PTY
    attach "$1" '\n' 'box login: ' 'root\n' '# '
}

@test "a login on each; left, and attached to again; hung up at the end; with a share too" {
    skip_without_uml
    for option in --net=none --share=shared; do
        start --kernel "$kernel" --consoles 2 "$option"
        [ -c "${tty[1]}" ] && [ -c "${tty[2]}" ] && [ "${tty[1]}" != "${tty[2]}" ] || { cat err; false; }
        for i in 1 2; do
            login "${tty[$i]}"
            attach "${tty[$i]}" 'tty; echo $((6*7))\n' $'/dev/tty'$i'\r\n42\r\n'
        done
        # The shell is the one that was there, and what it says meanwhile is kept.
        attach "${tty[1]}" 'mine=yes\n' '# ' '(sleep 1; echo "later: $mine") &\n' '# '
        sleep 2
        attach "${tty[1]}" '' $'later: yes\r\n' 'echo "still $mine"\n' $'still yes\r\n'
        # So are bytes that somebody only drops there.
        echo 'echo dropped >/tmp/dropped' >"${tty[2]}"
        attach "${tty[2]}" 'cat /tmp/dropped\n' $'dropped\r\n'
        attach "${tty[1]}" 'poweroff\n' HANGUP
        ends 0
        [ ! -e "${tty[1]}" ] && [ ! -e "${tty[2]}" ]
        fsck root.ext4
    done
}

# The processor's ticks that the processes of the guests in tmp have had.
ticks() {
    local p all=0
    for p in $(in_run_folders | sed 's, .*,,'); do all=$((all + $(sed 's/.*) //' "$p/stat" | awk '{ print $12 + $13 }'))); done
    echo $((all + $(sed 's/.*) //' "/proc/$guest/stat" | awk '{ print $12 + $13 }')))
}

# The guest, and who runs it, come to rest: there are two seconds of which they take less than a fifth of one. (What they had
# been asked for, the last of fifteen logins say, may take a while on a busy machine. Who spins never rests.)
rests() {
    local before after
    for _ in $(seq 20); do
        before=$(ticks)
        sleep 2
        after=$(ticks)
        [ $((after - before)) -ge 20 ] || return 0
    done
    echo "it still takes $((after - before)) ticks of 200"
    return 1
}

@test "whoever writes where nobody is, or nobody reads, does not spin, and only in the second case waits" {
    skip_without_uml
    start --kernel "$kernel" --consoles 3 --append init=/sbin/echoes
    attach "${tty[1]}" '\n' '# '
    rests
    # Nobody is there: the end is kept.
    attach "${tty[1]}" 'seq 200000 | cat >/dev/tty3; echo "written $?"\n' 'written 0\r\n'
    rests
    attach "${tty[3]}" '' '199999\n200000\n' >kept
    [ "$(wc -c <kept)" -lt 70000 ]
    # One who is there and does not read: all of it waits for him.
    exec 6<>"${tty[3]}"
    attach "${tty[1]}" '(seq 100000 | cat >/dev/tty3; echo >/tmp/done) & echo st"arted"\n' 'started\r\n'
    attach "${tty[1]}" 'sleep 2; [ -e /tmp/done ] || echo wai"ting"\n' 'waiting\r\n'
    rests
    timeout 60 head -c 588895 <&6 >all
    seq 100000 | cmp - all
    attach "${tty[1]}" 'sleep 1; rm /tmp/done && echo do"ne"\n' 'done\r\n'
    # And one who goes away like that: nobody waits any more.
    attach "${tty[1]}" '(seq 100000 | cat >/dev/tty3; echo >/tmp/done) & echo st"arted"\n' 'started\r\n'
    attach "${tty[1]}" 'sleep 1; [ -e /tmp/done ] || echo wai"ting"\n' 'waiting\r\n'
    exec 6>&-
    attach "${tty[1]}" 'sleep 2; rm /tmp/done && echo do"ne"\n' 'done\r\n'
    attach "${tty[1]}" 'exit\n' HANGUP
    ends 0
}

@test "bytes pass as they are, both ways, whatever was done to the pty before" {
    skip_without_uml
    start --kernel "$kernel" --consoles 2 --append init=/sbin/echoes
    attach "${tty[1]}" '\n' '# '
    for i in $(seq 0 255); do printf "\\x$(printf %02x "$i")"; done >all
    for i in $(seq 40); do cat all; done >many
    for i in 1 2 3; do
        exec 6<>"${tty[2]}"
        cat many >&6 3>&- &
        timeout 30 head -c 10240 <&6 | cmp - many
        stty sane <&6
        exec 6>&-
        wait $!
        # That it is raw again takes a moment.
        sleep 0.2
    done
    attach "${tty[1]}" 'exit\n' HANGUP
    ends 0
}

@test "a console that was left with more than it holds goes on hearing" {
    skip_without_uml
    head -c 20000 /dev/urandom >bytes
    mkfifo typed
    timeout 60 "$ROOTLET" run --kernel "$kernel" --append init=/sbin/late root.ext4 <typed >console 2>err 3>&- &
    guest=$!
    exec 6>typed
    for _ in $(seq 100); do ! grep -q '^go' console || break; sleep 0.1; done
    cat bytes >&6
    for _ in $(seq 200); do ! grep -q ' -' console || break; sleep 0.1; done
    grep -q "^$(sha256sum <bytes)" console
    echo late >&6
    exec 6>&-
    ends 0
    grep -q '^late' console
}

@test "killed, it leaves nobody waiting" {
    skip_without_uml
    start --kernel "$kernel" --consoles 1
    login "${tty[1]}"
    exec 6<>"${tty[1]}"
    kill -KILL $guest
    wait $guest || true
    guest=
    # An end, or EIO: but no waiting.
    status=0
    timeout 20 cat <&6 >rest 2>&1 || status=$?
    exec 6>&-
    [ "$status" != 124 ]
    nothing_left
}

@test "with Debian's kernel" {
    skip_unless "command -v linux.uml" "no linux.uml"
    start --kernel linux.uml --consoles 15
    grep -q '^rootlet: root: tty15 is /dev/pts/' err
    login "${tty[1]}"
    attach "${tty[1]}" 'tty\n' $'/dev/tty1\r\n'
    rests
    attach "${tty[1]}" 'poweroff\n' HANGUP
    ends 0
}

@test "a recipe says how many, and --consoles goes before it; a command has none" {
    skip_without_uml
    box() { timeout 100 "$ROOTLET" run -o "$BATS_FILE_TMPDIR/box" --kernel "$kernel" --ephemeral "$@" </dev/null >console 2>err 3>&-; }
    box --append init=/bin/false "$BATS_FILE_TMPDIR/box.conf" || [ $? = 125 ]
    grep -qx 'rootlet: box: tty1 is /dev/pts/[0-9]*' err
    refute grep -q 'tty2 is' err
    box --consoles 0 --append init=/bin/false "$BATS_FILE_TMPDIR/box.conf" || [ $? = 125 ]
    refute grep -q 'tty1 is' err
    box "$BATS_FILE_TMPDIR/box.conf" -- cat /proc/cmdline
    refute grep -q consoles console
    [ ! -s err ]
    run --separate-stderr rootlet run --consoles 1 root.ext4 -- true
    failed 2 "--consoles is for a guest that runs its own init, not a command"
    for wrong in 16 -1 x ''; do
        run --separate-stderr rootlet run --consoles "$wrong" root.ext4
        failed 2 "--consoles takes a number from 0 to 15, not '$wrong'"
    done
    run --separate-stderr rootlet run --vm qemu --kernel x --consoles 4 root.ext4
    failed 2 "--consoles: with --vm qemu at most 3"
    nothing_left
}
