#!/usr/bin/env bats
# `rootlet run IMAGE -- COMMAND`: its bytes, its status, and how all else that can happen is told.
load helper

setup_file() {
    export TOP=$BATS_TEST_DIRNAME/../.. ROOT=$BATS_FILE_TMPDIR/demo
    cd "$BATS_FILE_TMPDIR"
    rootlet build -q --recipes "$TOP" -o "$ROOT" demo >log 2>&1 || { cat log >&2; return 1; }
    # The fast kernel for the many boots here, and the distribution's for one of each kind.
    KERNEL=$(rootlet package --recipes "$TOP" linux-um 2>log)/boot/linux || { cat log >&2; return 1; }
    export KERNEL
}

# Each test has a root disk of its own, "root", and a TMPDIR that shall be empty in the end.
prepare() {
    cp --sparse=always "$ROOT/root.ext4" root
    mkdir tmp
    export TMPDIR=$PWD/tmp
}

in_guest() {
    timeout 120 "$ROOTLET" run --kernel "$KERNEL" "$@"
}

expect_42() {
    [ "$status" = 42 ] || { echo "status $status: $(cat out err)"; return 1; }
    [ "$(cat out)" = out ]
    [ "$(cat err)" = err ]
}

run_42() {
    status=0
    "$@" -- sh -c 'echo out; echo err >&2; exit 42' >out 2>err || status=$?
    expect_42
}

@test "stdout, stderr and the status, fifty times in a row; the disk stays sound" {
    prepare
    for i in $(seq 50); do
        run_42 in_guest root
    done
    nothing_left
    fsck root
}

@test "from a pipe, a terminal, without any environment, with descriptors closed" {
    prepare
    echo input | run_42 in_guest root
    run_42 env -i TMPDIR="$TMPDIR" "$ROOTLET" run --kernel "$KERNEL" root
    run_42 setsid -w "$ROOTLET" run --kernel "$KERNEL" root
    run_42 in_guest root <&-
    # A terminal makes "\r\n" of our "\n"; the command has none, so that stdin is what it has to be.
    status=0
    script -qec "'$ROOTLET' run --kernel '$KERNEL' root -- sh -c 'tty; echo out; exit 42'" /dev/null </dev/null >out ||
        status=$?
    [ "$status" = 42 ]
    [ "$(tr -d '\r' <out)" = $'not a tty\nout' ] || { cat -A out; false; }
    status=0
    in_guest root -- sh -c 'exit 7' >&- 2>&- || status=$?
    [ "$status" = 7 ]
    nothing_left
}

@test "by a plain user" {
    [ "$(id -u)" = 0 ] || skip "not root: the other tests show it"
    id una >/dev/null 2>&1 || skip "no user una"
    prepare
    dir=$(mktemp -d /tmp/rootlet-test-XXXXXX)
    chmod 755 "$dir"
    cp root "$dir/root"
    cp "$ROOTLET" "$KERNEL" "$dir"
    mkdir "$dir/tmp"
    chown -R una "$dir"
    run_42 setpriv --reuid una --regid una --clear-groups env -i PATH="$PATH" TMPDIR="$dir/tmp" \
        "$dir/$(basename "$ROOTLET")" run --kernel "$dir/linux" "$dir/root"
    [ -z "$(ls -A "$dir/tmp")" ]
    fsck "$dir/root"
    rm -r "$dir"
}

@test "four at once" {
    prepare
    for i in 1 2 3 4; do
        cp root root$i
        (
            mkdir "dir$i"
            cd "dir$i"
            for n in 1 2 3 4 5; do run_42 in_guest ../root$i || exit 1; done
            echo fine >fine
        ) &
    done
    wait
    for i in 1 2 3 4; do
        [ -e "dir$i/fine" ]
        fsck root$i
    done
    nothing_left
}

@test "bytes arrive as they are: 64 MiB there and back, and all 256 of them" {
    prepare
    head -c 67108864 /dev/urandom >data
    in_guest root -- cat <data >back
    cmp data back
    in_guest root -- sh -c 'cat >&2' <data 2>back
    cmp data back
    # Through pipes on both sides, to a reader that is slow at first.
    head -c 5000001 data | in_guest root -- cat | (sleep 1; cat) >back
    head -c 5000001 data | cmp - back
    for i in $(seq 0 255); do printf "\\x$(printf %02x "$i")"; done >all
    in_guest root -- cat <all | cmp - all
    # A reader in the guest that is slow, and small writes on our side.
    (for i in $(seq 300); do echo "line $i"; done) >lines
    (while read -r line; do echo "$line"; done <lines) | in_guest root -- sh -c 'sleep 1; cat' | cmp - lines
    fsck root
}

@test "the end of stdin is an end; a command that does not read does not wait; one reader at the start" {
    prepare
    SECONDS=0
    [ -z "$(in_guest root -- cat </dev/null)" ]
    yes | in_guest root -- true
    [ "$(yes | in_guest root -- head -n 1)" = y ]
    [ "$(printf 'a\nb' | in_guest root -- sh -c 'read x; cat; echo "-$x"')" = b-a ]
    # Open, and nothing comes.
    mkfifo fifo
    sleep 60 >fifo 3>&- &
    [ "$(in_guest root -- echo done <fifo)" = done ]
    kill $!
    [ "$SECONDS" -lt 50 ]
}

@test "a stdin that cannot be read is an error, and not an end" {
    prepare
    status=0
    in_guest root -- cat <. >out 2>err || status=$?
    [ "$status" = 125 ]
    grep -qx 'rootlet: standard input: read: Is a directory' err
    # What nohup(1) gives.
    in_guest root -- cat 0>/dev/null >out
    nothing_left
}

@test "a reader that goes is the command's SIGPIPE; two streams do not wait for each other" {
    prepare
    status=0
    { in_guest root -- yes || echo $? >status; } | head -n 3 >out
    [ "$(cat out)" = $'y\ny\ny' ]
    [ "$(cat status)" = 141 ]
    # Nobody reads stdout before stderr has ended.
    mkfifo fifo
    (in_guest root -- sh -c 'dd if=/dev/zero bs=1k count=40 2>/dev/null; echo to stderr >&2' >fifo 2>err; echo $? >status) 3>&- &
    exec 4<fifo
    for i in $(seq 300); do grep -q 'to stderr' err && break; sleep 0.1; done
    grep -qx 'to stderr' err
    [ "$(wc -c <&4)" = 40960 ]
    exec 4<&-
    wait
    [ "$(cat status)" = 0 ]
    # To the same file, in their order.
    in_guest root -- sh -c 'for i in 1 2 3 4 5; do echo o$i; echo e$i >&2; done' >both 2>&1
    [ "$(tr '\n' ' ' <both)" = 'o1 e1 o2 e2 o3 e3 o4 e4 o5 e5 ' ]
    status=0
    in_guest root -- sh -c 'echo full' >/dev/full 2>err || status=$?
    [ "$status" = 125 ] || { echo "status $status"; cat err; false; }
    grep -q 'standard output: write: No space left' err
    nothing_left
    fsck root
}

allowed() { sed -n 's/^Cpus_allowed_list:[[:blank:]]*//p' "/proc/$1/status"; }

# A guest that computes, and the pid of its kernel.
start_busy() { # OPTION...
    "$ROOTLET" run --kernel "$KERNEL" root --timeout 100 "$@" -- sh -c 'echo; while :; do :; done' \
        >ready 2>err </dev/null 3>&- &
    job=$!
    for _ in $(seq 100); do [ ! -s ready ] || break; sleep 0.1; done
    rm ready
    uml=$(running pid)
}

# How much of a second each processor has nothing to do, in percent.
idle() { { cat /proc/stat; sleep 1; cat /proc/stat; } | awk '/^cpu[0-9]/ { print $5 - before[$1]; before[$1] = $5 }' | tail -n "$(nproc)"; }

@test "a guest stays on one processor, or is left to the scheduler" {
    [ "$(nproc)" -gt 1 ] || skip "one processor"
    prepare
    start_busy
    [[ $(allowed "$uml") =~ ^[0-9]+$ ]]
    kill $job
    wait $job || true
    for option in --unbound '--append ncpus=2'; do
        # shellcheck disable=SC2086
        start_busy $option
        [ "$(allowed "$uml")" = "$(allowed self)" ]
        kill $job
        wait $job || true
    done
    nothing_left
}

@test "a guest goes to another processor where it is crowded on its own" {
    [ "$(nproc)" -gt 1 ] || skip "one processor"
    [ "$(idle | awk '$1 > 70' | wc -l)" -gt 1 ] || skip "no processor is free"
    prepare
    start_busy
    first=$(allowed "$uml")
    [[ $first =~ ^[0-9]+$ ]]
    crowd=()
    for _ in 1 2 3; do
        taskset -c "$first" sh -c 'while :; do :; done' 3>&- &
        crowd+=($!)
    done
    for _ in $(seq 300); do
        now=$(allowed "$uml")
        [[ ! $now =~ ^[0-9]+$ || $now = "$first" ]] || break
        sleep 0.1
    done
    sleep 0.1
    # What stands for the guest's programs came along.
    for child in $(cat "/proc/$uml/task/$uml/children"); do
        [ "$(allowed "$child")" = "$now" ]
    done
    kill "${crowd[@]}" $job
    wait || true
    [[ $now =~ ^[0-9]+$ && $now != "$first" ]]
    nothing_left
}

@test "arguments, environment, folder and user are the command's" {
    prepare
    in_guest root -- sh -c 'for a; do printf "<%s>" "$a"; done' - 'a b' '"' "'" '' $'n\nl' '$HOME' '*' '--help' -x >out
    printf '<%s>' 'a b' '"' "'" '' $'n\nl' '$HOME' '*' '--help' -x | cmp - out
    OURS='from here' in_guest --env OURS --env NONE --env 'A=x=y z' --env PATH=/bin:/usr/bin root -- env | sort >out
    for line in 'A=x=y z' 'OURS=from here' PATH=/bin:/usr/bin HOME=/root USER=root; do
        grep -qxF "$line" out || { cat out; false; }
    done
    refute grep -E 'NONE|TMPDIR|BATS' out
    [ "$(in_guest --cwd /usr/bin root -- pwd)" = /usr/bin ]
    [ "$(in_guest root -- pwd)" = / ]
    [ "$(in_guest --user 1234:56 root -- sh -c 'id -u; id -g' | tr '\n' ' ')" = '1234 56 ' ]
    [ "$(in_guest --user 1234 root -- sh -c 'id -u; id -g; echo $HOME' | tr '\n' ' ')" = '1234 0 / ' ]
    [ "$(in_guest --user root root -- id -un)" = root ]
    run -125 --separate-stderr in_guest --user nobody-here root -- true
    failed 125 "nobody-here: the guest's /etc/passwd has no such user"
    run -125 --separate-stderr in_guest --user root:no-group root -- true
    failed 125 "no-group: the guest's /etc/group has no such group"
    run -125 --separate-stderr in_guest --cwd /nowhere root -- true
    failed 125 "/nowhere: change to this folder in the guest: No such file or directory"
    # A very long one.
    long=$(head -c 100000 /dev/zero | tr '\0' x)
    [ "$(in_guest root -- sh -c 'echo ${#1}' - "$long")" = 100000 ]
    run -2 rootlet run root --env A=b
    run -2 rootlet run root true
    run -2 rootlet run root --env =b -- true
    run -2 rootlet run root --collect x=y -- true
    fsck root
}

@test "it is found and executed as a shell would do it: 126, 127, scripts" {
    mkdir t
    printf '#!/bin/sh\necho "script $1"\n' >t/script
    printf 'echo "no line $1"\n' >t/noline
    printf '#!/no/such/shell\n' >t/badline
    printf 'text' >t/plain
    chmod +x t/script t/noline t/badline
    cp --sparse=always "$ROOT/root.ext4" base
    rootlet pack -q -o root --free 4M base t
    [ "$(in_guest root -- /script 1)" = 'script 1' ] || rootlet ls root
    [ "$(in_guest root --cwd / -- ./script 2)" = 'script 2' ]
    [ "$(in_guest root --env PATH=/:/bin -- noline 3)" = 'no line 3' ]
    run -127 --separate-stderr in_guest root -- no-such
    failed 127 "no-such: execute in the guest: No such file or directory"
    run -127 --separate-stderr in_guest root -- ''
    failed 127 "rootlet: '': execute in the guest: "
    run -127 --separate-stderr in_guest root -- /badline
    failed 127 "/badline: execute in the guest: No such file or directory"
    run --separate-stderr in_guest root -- /plain
    failed 126 "/plain: execute in the guest: Permission denied"
    run --separate-stderr in_guest root -- /bin
    failed 126 "/bin: execute in the guest: Permission denied"
    run -127 --separate-stderr in_guest root -- ''
    failed 127 ""
    [ "$(in_guest root -- sh -c 'kill -9 $$'; echo $?)" = 137 ]
    [ "$(in_guest root -- sh -c 'exit 255'; echo $?)" = 255 ]
}

@test "what is in place: /proc, /sys, /dev, a loopback, a data disk by fstab; what is written stays" {
    prepare
    cp --sparse=always "$ROOT/data.ext4" data
    in_guest root --disk data -- sh -ec '
        [ "$(cat /proc/1/comm)" = init ]; [ -d /sys/class ]; echo >/dev/null; echo hello >/dev/stderr
        echo a | cat /dev/fd/0; mountpoint -q /dev/pts; mountpoint -q /dev/shm; grep -q "^[^ ]* / ext4 rw" /proc/mounts
        ping -c 1 127.0.0.1 >/dev/null; hostname; mountpoint -q /mnt/data
        echo "stays" >/mnt/data/new; echo "stays too" >/tmp/new; unshare -Urm true' >out 2>err
    [ "$(cat out)" = $'a\nrootlet' ]
    [ "$(cat err)" = hello ]
    [ "$(rootlet cat data:/new)" = stays ]
    [ "$(rootlet cat root:/tmp/new)" = "stays too" ]
    fsck root
    fsck data
    # Without the disk its line is left alone; with one that is none, that is told.
    in_guest root -- sh -c '! mountpoint -q /mnt/data'
    head -c 65536 /dev/zero >none
    run --separate-stderr in_guest root --disk none -- true
    [ "$status" = 125 ]
    [[ $stderr == "rootlet: /mnt/data: mount in the guest, as its /etc/fstab says: Invalid argument"* ]]
    # A recipe's name stands for its disks.
    mkdir demo
    cp root demo/root.ext4
    cp data demo/data.ext4
    [ "$(rootlet run --recipes "$TOP" -o demo --kernel "$KERNEL" demo -- cat /mnt/data/new)" = stays ]
    # A disk that is read-only.
    [ "$(in_guest root --disk data,ro -- sh -c 'cat /mnt/data/new; echo x >/mnt/data/y || echo no' 2>/dev/null)" = $'stays\nno' ]
}

@test "fstab names disks by UUID and label, the root too; one that is not there is left alone" {
    prepare
    uuid=aaaaaaaa-bbbb-4ccc-8ddd-00000000000
    cat >fstab <<END
# As in Debian's roots.
UUID=$(dumpe2fs -h root 2>/dev/null | sed -n 's/^Filesystem UUID: *//p') / ext4 errors=remount-ro 0 1
UUID=${uuid}1 /mnt/b ext4 defaults 0 2
UUID="$(tr a-f A-F <<<"${uuid}2")"  /mnt/c  auto
LABEL=plain /mnt/d ext2 ro
LABEL="two\\040words" /mnt/e ext4 defaults
/dev/disk/by-uuid/${uuid}5 /mnt/f ext4
/dev/disk/by-label/a\\x2fb\\x20c /mnt/g ext4
/dev/ubdb /mnt/b-again ext4 noauto
UUID=${uuid}9 /mnt/none ext4
UUID= /mnt/none ext4
LABEL= /mnt/none ext4
LABEL=plai /mnt/none ext4
PARTUUID=1234-01 /mnt/none ext4
/dev/disk/by-path/x /mnt/none ext4
UUID=1234-ABCD /boot/efi vfat umask=0077 0 1
LABEL=plain none swap sw
END
    debugfs -w -R 'rm /etc/fstab' root 2>/dev/null
    debugfs -w -R 'write fstab /etc/fstab' root 2>/dev/null
    rootlet pack -q -o b --size 4M --uuid ${uuid}1
    rootlet pack -q -o c --size 8M --uuid ${uuid}2 --fs ext3
    rootlet pack -q -o d --size 4M --uuid random --label plain --fs ext2
    rootlet pack -q -o e --size 4M --uuid random --label 'two words'
    rootlet pack -q -o f --size 4M --uuid ${uuid}5
    rootlet pack -q -o g --size 4M --uuid random --label 'a/b c'
    for kernel in "$KERNEL" linux.uml; do
        command -v "$kernel" >/dev/null || continue
        timeout 120 "$ROOTLET" run --kernel "$kernel" root --disk b --disk c --disk d --disk e --disk f --disk g \
            --collect /mnt/c/new=new-c --collect /mnt/g/new=new-g -- sh -ec '
            grep -o "^[^ ]* /mnt/[^ ]* ext. r." /proc/mounts
            for i in b c e f g; do echo $i >/mnt/$i/new; done; ! echo >/mnt/d/new; ! [ -e /mnt/none ]' >out 2>err ||
            { cat err; false; }
        cat >expected <<'END'
/dev/ubdb /mnt/b ext4 rw
/dev/ubdc /mnt/c ext4 rw
/dev/ubdd /mnt/d ext2 ro
/dev/ubde /mnt/e ext4 rw
/dev/ubdf /mnt/f ext4 rw
/dev/ubdg /mnt/g ext4 rw
END
        sed 's/ ext[34] / ext4 /; s/ubdd \(.*\) ext4/ubdd \1 ext2/' out | diff expected -
        [ "$(cat new-c new-g)" = $'c\ng' ]
        rm new-c new-g
        for disk in b c d e f g; do fsck $disk; done
        fsck root
    done
    # Another order of the disks, another one missing.
    [ "$(in_guest root --disk g --disk b -- sh -c 'cat /mnt/b/new /mnt/g/new; mountpoint -q /mnt/c || echo none')" = \
        $'b\ng\nnone' ]
}

@test "what the command leaves behind is ended, unmounted, and nobody waits for it" {
    prepare
    SECONDS=0
    status=0
    in_guest root -- sh -c 'sleep 1000 & (trap "" TERM HUP; sleep 1000) & mount -t tmpfs x /mnt; mkdir /mnt/a
        mount -t tmpfs y /mnt/a; exec 5>/root/open; echo written >&5; rm /root/open; cd /mnt/a; exit 5' >out || status=$?
    [ "$status" = 5 ]
    [ "$SECONDS" -lt 20 ]
    fsck root
    nothing_left
}

@test "files and folders are brought back, also from a data disk, also of a command that failed" {
    prepare
    cp --sparse=always "$ROOT/data.ext4" data
    mkdir into
    run --separate-stderr in_guest root --disk data --collect /tmp/out=out --collect /mnt/data/dir=into \
        --collect /mnt/data=all -- sh -c 'echo one >/tmp/out; mkdir /mnt/data/dir; echo two >/mnt/data/dir/f; exit 9'
    [ "$status" = 9 ]
    [ -z "$stderr" ]
    [ "$(cat out)" = one ]
    [ "$(cat into/dir/f)" = two ]
    [ "$(cat all/dir/f)" = two ]
    [ "$(in_guest root --collect /etc/issue=- -- echo out)" = "out"$'\n'"$(rootlet cat root:/etc/issue)" ]
    # What the command itself has mounted, by whatever name, and where; what hides what; what is gone again.
    run --separate-stderr in_guest root --disk data --collect /mnt/dir/f=f1 --collect /srv/x/deep/f=f2 \
        --collect "/srv/a b/f=f3" --collect /opt/f=f4 -- sh -c '
        umount /mnt/data; mknod /tmp/other b 98 16; mkdir -p "/srv/a b" /srv/x /opt
        mount /tmp/other /mnt; mkdir -p /mnt/dir/deep; cp /mnt/dir/f /mnt/dir/deep/f
        mount -o bind /mnt/dir /srv/x; mount -t tmpfs x "/srv/a b"; mount -o bind /mnt/dir "/srv/a b"
        mount /tmp/other /opt; umount /opt; echo root >/opt/f'
    [ "$status" = 0 ]
    [ -z "$stderr" ]
    [ "$(cat f1 f2 f3 f4)" = $'two\ntwo\ntwo\nroot' ]
    run --separate-stderr in_guest root --collect /tmp/f=out2 -- sh -c 'echo old >/tmp/f; mount -t tmpfs x /tmp; echo new >/tmp/f'
    failed 125 "/tmp/f: collect: it is not on one of the guest's disks, but on tmpfs"
    run --separate-stderr in_guest root --collect /proc/version=out2 -- true
    failed 125 "/proc/version: collect: it is not on one of the guest's disks, but on proc"
    run --separate-stderr in_guest root --collect /no/such=out2 -- true
    failed 125 "root:/no/such: open: there is no such path in it"
    run --separate-stderr in_guest root --collect /no/such=out2 -- sh -c 'exit 3'
    failed 3 "root:/no/such: open: there is no such path in it"
    [ ! -e out2 ]
}

@test "--ephemeral leaves the disks untouched, also for four at once; --snapshot keeps the changes apart" {
    prepare
    cp --sparse=always "$ROOT/data.ext4" data
    sha256sum root data >sums
    stat -c '%n %y %i' root data >stats
    untouched() {
        sha256sum --quiet -c sums
        stat -c '%n %y %i' root data | cmp - stats
    }
    [ "$(in_guest root --disk data --ephemeral --collect /tmp/new=got --collect /mnt/data/new=got2 -- sh -c '
        rm -r /etc/init.d; echo one >/tmp/new; echo two >/mnt/data/new; cat /tmp/new')" = one ]
    [ "$(cat got got2)" = $'one\ntwo' ]
    untouched
    run --separate-stderr in_guest root --ephemeral --collect /no/such=x -- true
    failed 125 "/no/such: collect: there is no such path in it"
    run --separate-stderr in_guest root --ephemeral --collect /tmp/new=got -- sh -c 'echo off >/tmp/new; sync; poweroff -f'
    [ "$(cat got)" = off ]
    grep -q "^rootlet: warning: $PWD/root: was not cleanly unmounted" <<<"$stderr" || { echo "$stderr"; false; }
    for i in 1 2 3 4; do
        (in_guest root --ephemeral -- sh -c "echo $i >/tmp/n; sync; sleep 1; cat /tmp/n" >out$i) 3>&- &
    done
    wait
    [ "$(cat out1 out2 out3 out4 | tr -d '\n')" = 1234 ]
    untouched
    in_guest root --snapshot state.cow -- sh -c 'echo kept >/tmp/new'
    untouched
    [ "$(in_guest root --snapshot state.cow -- cat /tmp/new)" = kept ]
    [ "$(rootlet cat state.cow:/tmp/new)" = kept ]
    rootlet check state.cow
    untouched
    run -2 rootlet run root --snapshot state.img -- true
    run --separate-stderr in_guest data --snapshot state.cow -- true
    [ "$status" = 125 ]
    [[ $stderr == *"state.cow: use as a disk: it is over "*"/root, not over data" ]]
    touch -d 2001-01-01 root
    run --separate-stderr in_guest root --snapshot state.cow -- true
    [ "$status" = 125 ]
    [[ $stderr == *"has changed since"* ]]
    # Without a command as well.
    sha256sum root data >sums
    stat -c '%n %y %i' root data >stats
    run -0 rootlet run --kernel "$KERNEL" --ephemeral --timeout 60 --recipes "$TOP" root --disk data --append rootlet.demo=1
    untouched
    nothing_left
}

@test "--tty: the command has our terminal and its size, and we have it back" {
    prepare
    cat >go <<END
stty rows 33 cols 111
stty -a >before
'$ROOTLET' run --kernel '$KERNEL' root -t -- sh -c 'tty; stty size; [ -t 0 ] && [ -t 1 ] && [ -t 2 ]; exit 3'
echo "status \$?"
stty -a >after
END
    script -qec "sh go" /dev/null </dev/null >out
    # script(1) types a NUL at the end of its input, which the terminal shows.
    tr -d '\r' <out | grep -q '/dev/pts/0$' || { cat -A out; false; }
    tr -d '\r' <out | grep -qx '33 111'
    tr -d '\r' <out | grep -qx 'status 3'
    cmp before after
    run --separate-stderr in_guest root -t -- true
    failed 125 "terminal: give to the command: standard input and output are none"
    nothing_left
}

await() {
    local i
    for i in $(seq 200); do grep -q "$1" "$2" && return; sleep 0.05; done
    false
}

@test "signals go to the command, and then the guest ends in order" {
    prepare
    for number in TERM INT HUP; do
        # Neither as in the background of a shell, which has SIGINT ignored, nor below nohup.
        perl -e '$SIG{INT} = $SIG{HUP} = "DEFAULT"; exec @ARGV' "$ROOTLET" run --kernel "$KERNEL" root -- \
            sh -c "trap 'echo got; exit 7' $number; echo ready; while :; do sleep 1; done" >out 2>err 3>&- &
        await ready out
        kill -$number $!
        status=0
        wait $! || status=$?
        [ "$status" = 7 ] || { cat out err; false; }
        grep -qx got out
        fsck root
    done
    "$ROOTLET" run --kernel "$KERNEL" root -- sh -c 'echo ready; sleep 1000' >out 3>&- &
    await ready out
    kill $!
    status=0
    wait $! || status=$?
    [ "$status" = 143 ]
    # One that does not want to end has 3 s, and its file system is sound afterwards.
    "$ROOTLET" run --kernel "$KERNEL" root -- sh -c 'trap "" TERM; echo ready; while :; do sleep 1; done' >out 3>&- &
    await ready out
    SECONDS=0
    kill $!
    status=0
    wait $! || status=$?
    [ "$status" = 137 ]
    [ "$SECONDS" -ge 2 ] && [ "$SECONDS" -le 30 ]
    fsck root
    # A second signal ends it at once, as the status and the words tell.
    "$ROOTLET" run --kernel "$KERNEL" root -- sh -c 'trap "" TERM; echo ready; while :; do sleep 1; done' >out 2>err 3>&- &
    await ready out
    kill $!
    sleep 0.3
    kill $!
    status=0
    wait $! || status=$?
    [ "$status" = 143 ]
    grep -q 'killed with its guest after SIGTERM' err
    nothing_left
}

@test "a signal is told as one, however soon it comes" {
    prepare
    for moment in $(seq 0 3 57); do
        # As long after its own start, and not that of a shell.
        status=0
        perl -e '$SIG{INT} = "DEFAULT"; my $moment = shift; my $pid = fork;
            exec @ARGV unless $pid; select undef, undef, undef, $moment; kill "INT", $pid; waitpid $pid, 0;
            exit($? & 127 ? 128 + ($? & 127) : $? >> 8)' \
            "$(printf 0.0%02d $moment)" "$ROOTLET" run --kernel "$KERNEL" root -- sleep 100 2>err </dev/null || status=$?
        [ "$status" = 130 ] || { echo "after $moment ms: $status"; cat err; false; }
        [ ! -s err ] || grep -q SIGINT err || { cat err; false; }
    done
    nothing_left
}

@test "killed at any moment it leaves nothing behind" {
    prepare
    for delay in 0 0.005 0.01 0.02 0.03 0.04 0.05 0.06 0.08 0.1 0.12 0.15 0.2 0.3 0.5; do
        "$ROOTLET" run --kernel "$KERNEL" root -- sh -c 'sleep 1000 & yes' >/dev/null 2>&1 3>&- &
        sleep $delay
        kill -KILL $!
        wait $! || true
        nothing_left
    done
    in_guest root -- true
    fsck root
}

@test "so does one that is killed by its name, with all that are called so" {
    prepare
    for pattern in '-f rootlet\\S*.run.--kernel' '-x rootlet' rootlet; do
        "$ROOTLET" run --kernel "$KERNEL" root -- sh -c 'echo ready; yes' 2>&1 3>&- | head -c 100M >out &
        await ready out
        # Of all that run on this machine, those of this test.
        for pid in $(pgrep $pattern); do
            ! grep -qzxF "TMPDIR=$TMPDIR" "/proc/$pid/environ" || kill -KILL "$pid"
        done
        wait $! || true
        nothing_left
    done
}

@test "what runs in a guest never runs on the host, also when it is killed" {
    prepare
    # The guest has no such folder. (A redirection that fails ends a shell if it is one of a ":".)
    for i in $(seq 10); do
        "$ROOTLET" run --kernel "$KERNEL" root -- sh -c '
            for i in 1 2 3 4; do while true; do true >"$1"; done 2>/dev/null & done
            echo ready; while true; do true >"$1"; done' - "$PWD/escaped" >out 2>/dev/null 3>&- &
        await ready out
        kill -KILL $!
        wait $! || true
        nothing_left
    done
    [ ! -e escaped ]
}

# container CONFIG: the root as a container image in the folder layout, with that configuration.
container() {
    local digest size
    mkdir -p layout/blobs/sha256
    [ -e layer.tar ] || rootlet tar -o layer.tar root
    blob() {
        digest=$(sha256sum "$1" | cut -d ' ' -f 1) size=$(stat -c %s "$1")
        cp "$1" "layout/blobs/sha256/$digest"
    }
    blob layer.tar
    printf '{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":["sha256:%s"]},"config":%s}' \
        "$digest" "$1" >config.json
    layer=$(printf '{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"sha256:%s","size":%d}' "$digest" "$size")
    blob config.json
    printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"%s","digest":"sha256:%s","size":%d},"layers":[%s]}' \
        application/vnd.oci.image.config.v1+json "$digest" "$size" "$layer" >manifest.json
    blob manifest.json
    printf '{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:%s","size":%d}]}' \
        "$digest" "$size" >layout/index.json
    echo '{"imageLayoutVersion":"1.0.0"}' >layout/oci-layout
}

@test "a container's variables, user and folder hold where nothing else is said" {
    prepare
    { rootlet cat root:/etc/passwd; echo me:x:1000:1000::/:/bin/sh; } >passwd
    debugfs -w -R 'rm /etc/passwd' root 2>/dev/null
    debugfs -w -R 'write passwd /etc/passwd' root 2>/dev/null
    container '{"Env":["PATH=/bin:/usr/bin","WORDS=a b=c","OTHER=x"],"User":"me","WorkingDir":"/usr/bin","Cmd":["sh"]}'
    rootlet pack -q -o box --free 4M --oci-config oci:layout
    show='id -un; pwd; echo "$PATH"; echo "$WORDS"; echo "$OTHER"'
    in_guest box -- sh -c "$show" >out
    printf '%s\n' me /usr/bin /bin:/usr/bin 'a b=c' x | diff - out
    in_guest --ephemeral --env WORDS=mine --env MORE=y --user 0 --cwd / box -- sh -c "$show; echo \$MORE" >out
    printf '%s\n' root / /bin:/usr/bin mine x y | diff - out
    # Without it, nothing is known.
    rootlet pack -q -o box --free 4M oci:layout
    [ "$(in_guest box -- sh -c 'id -un; pwd; echo "$WORDS"')" = $'root\n/' ]
    container '{"User":"","WorkingDir":"","Env":null}'
    rootlet pack -q -o box --free 4M --oci-config oci:layout
    [ "$(in_guest box -- sh -c 'id -un; pwd')" = $'root\n/' ]
    # What a guest writes there is looked at with care.
    for wrong in 'no JSON' '[]' '{"User":1}' '{"WorkingDir":"srv"}' '{"WorkingDir":[]}' '{"Env":{}}' '{"Env":[1]}' '{"Env":["=x"]}'; do
        printf %s "$wrong" >oci.json
        debugfs -w -R 'rm /etc/rootlet/oci.json' box 2>/dev/null
        debugfs -w -R 'write oci.json /etc/rootlet/oci.json' box 2>/dev/null
        run --separate-stderr in_guest box -- true
        failed 125 "rootlet: /etc/rootlet/oci.json: read from the image: "
    done
    debugfs -w -R 'rm /etc/rootlet/oci.json' box 2>/dev/null
    debugfs -w -R 'mkdir /etc/rootlet/oci.json' box 2>/dev/null
    run --separate-stderr in_guest box -- true
    failed 125 "rootlet: /etc/rootlet/oci.json: read: it is a directory"
}

# The last run ended with that status, its message, and what the guest's log says of it.
told() {
    [ "$status" = "$1" ] || { echo "status $status: $stderr"; return 1; }
    [[ $stderr == *"$2"* ]] || { echo "stderr: $stderr"; return 1; }
    [[ $stderr == *"the end of the guest's log:"* ]]
    [[ $stderr == *"$3"* ]] || { echo "stderr: $stderr"; return 1; }
    [ "$(printf '%s\n' "$stderr" | wc -l)" -le 22 ]
}

@test "a panic, a power-off, a reboot, a time limit, a root that cannot be mounted: each is told as what it is" {
    prepare
    run --separate-stderr in_guest root -- sh -c 'echo last; echo words; echo c >/proc/sysrq-trigger'
    told 125 "sh: run: kernel panic: sysrq triggered crash" "panic"
    [ "$output" = $'last\nwords' ]
    run --separate-stderr in_guest root -- poweroff -f
    told 125 "poweroff: run: the guest powered off, halted or rebooted before the command had ended" "  | "
    run --separate-stderr in_guest root -- reboot -f
    told 125 "the guest powered off, halted or rebooted before" "Restarting system"
    run --separate-stderr in_guest root --timeout 3 -- sh -c 'echo before; sleep 1000'
    told 124 "sh: run: still running after 3 s: ended" "  | "
    [ "$output" = before ]
    run --separate-stderr in_guest root --timeout 3 -- sh -c 'trap "" TERM; while :; do sleep 1; done'
    told 124 "still running after 3 s: ended" "  | "
    fsck root
    head -c 1M /dev/urandom >junk
    run --separate-stderr in_guest junk -- true
    told 125 "/dev/ubda: mount as the guest's root: Invalid argument" "find ext4 filesystem"
    run --separate-stderr in_guest --kernel /nowhere/linux root -- true
    failed 125 "/nowhere/linux: find kernel: No such file"
    run --separate-stderr in_guest nowhere.ext4 -- true
    [ "$status" = 125 ]
    run --separate-stderr in_guest root --append root=/dev/ubdh --append init=/bin/sh -- echo 'our words win'
    [ "$output" = "our words win" ]
    # What stands behind a -- is for an init, which is not that of the image.
    run --separate-stderr in_guest root --append 'root=/dev/ubdh -- init=/bin/sh x' -- echo 'our words win'
    [ "$output" = "our words win" ]
    hold root
    run --separate-stderr in_guest root -- true
    failed 125 "root: use as a disk: in use by process "
    kill $holder
    nothing_left
}

@test "of two that start at the same moment one has the disk, and the other says so" {
    prepare
    for i in 1 2; do
        in_guest root -- sleep 3 2>1.err 3>&- &
        status=0
        in_guest root -- sleep 3 2>2.err || status=$?
        other=0
        wait $! || other=$?
        [ $((status + other)) = 125 ]
        [[ $(cat 1.err 2.err) == "rootlet: root: use as a disk: in use by "* ]] || { cat 1.err 2.err; false; }
        [ "$(cat 1.err 2.err | wc -l)" = 1 ]
    done
}

@test "what a full disk of ours has swallowed is told" {
    prepare
    skip_unless "unshare -rm true" "no user namespaces"
    cat >full <<'END'
mount -t tmpfs -o size=8M none small && cp --sparse=always root small/root || exit 99
"$ROOTLET" run --kernel "$KERNEL" small/root -- sh -c 'head -c 12000000 /dev/zero | tr "\0" a >/root/f' 2>1.err
echo $?
rm small/root
TMPDIR=small "$ROOTLET" run --kernel "$KERNEL" --ephemeral root -- \
    sh -c 'head -c 12000000 /dev/zero | tr "\0" a >/root/f; exit 3' 2>2.err
echo $?
END
    mkdir small
    export ROOTLET
    run unshare -rm bash full
    [ "$output" = $'125\n3' ] || { echo "$output"; cat 1.err 2.err; false; }
    head -n 1 1.err | grep -qx 'rootlet: small/root: keep what the guest wrote: no space left where it is'
    head -n 1 2.err | grep -qx 'rootlet: root: keep what the guest wrote: no space left in TMPDIR, where its changes are'
    nothing_left
}

@test "the guest's log: to a file, to stderr with -v" {
    prepare
    in_guest root --log log -- sh -c 'printf "from \\033[31mthe guest\\n" >/dev/console; echo out' >out 2>err
    [ "$(cat out)" = out ]
    [ ! -s err ]
    grep -q 'Linux version 6' log
    grep -qF $'from \033[31mthe guest' log
    in_guest root -v -- sh -c 'printf "from \\033[31mthe guest\\n" >/dev/console; echo out; echo err >&2' >out 2>err
    [ "$(cat out)" = out ]
    grep -qx err err
    grep -q 'Linux version 6' err
    grep -qF 'from \x1b[31mthe guest' err
    refute grep -q $'\033' err
    run --separate-stderr in_guest root --log /dev/full -- true
    [ "$status" = 125 ]
    [[ $stderr == "rootlet: the guest's log: write: No space left on device"* ]]
}

@test "what is in the guest cannot confuse us: garbage on the channel is one clear error" {
    prepare
    for words in 'O\001\000\000\377\377\377\377' 'Z\000\000\000\001\000\000\000' 'X\000\000\000\004\000\000\000abcd' 'garbage!' \
        'I\000\000\000\000\000\001\000' 'C\000\001\000\000\000\000\000' 'H\000\000\000\001\000lr'; do
        # Whoever is root there can open a terminal that is in exclusive use.
        run --separate-stderr in_guest root -- sh -c "printf '$words' >/dev/tty15; sleep 20"
        [ "$status" = 125 ] || { echo "$words: $status $stderr"; false; }
        [[ $stderr == "rootlet: guest: listen to: it sends "*": something in it has written to /dev/tty15"* ]] ||
            { echo "$words: $stderr"; false; }
    done
    run --separate-stderr in_guest root --timeout 20 -- sh -c "cat /dev/urandom >/dev/tty15"
    [ "$status" = 125 ]
    nothing_left
}

@test "a root with nothing but the command, and one of glibc and this host's programs" {
    mkdir -p bare glibc/bin glibc/lib64 glibc/lib glibc/etc
    cat >hello.c <<'END'
#include <stdio.h>
#include <sys/stat.h>
int main(void) { struct stat st; printf("hello %d\n", stat("/proc/self", &st)); return 3; }
END
    gcc -static -O1 -s -o bare/hello hello.c
    rootlet pack -q -o bare.ext2 --fs ext2 --free 1M bare
    status=0
    in_guest bare.ext2 -- /hello >out || status=$?
    [ "$status $(cat out)" = "3 hello 0" ]
    fsck bare.ext2
    for program in sh cat id env ls; do
        cp "$(readlink -f "$(command -v $program)")" glibc/bin/$program
        ldd glibc/bin/$program | grep -o '/[^ ]*' | while read -r lib; do
            mkdir -p "glibc$(dirname "$lib")"
            cp -L "$lib" "glibc$lib"
        done
    done
    echo 'root:x:0:0:root:/home:/bin/sh' >glibc/etc/passwd
    tar --owner=0 --group=0 -C glibc -cf glibc.tar .
    rootlet pack -q -o glibc.ext4 --free 1M glibc.tar
    for kernel in "$KERNEL" linux.uml; do
        command -v $kernel || continue
        KERNEL=$kernel run_42 in_guest glibc.ext4
        [ "$(KERNEL=$kernel in_guest glibc.ext4 -- /bin/sh -c 'echo $HOME; id -u')" = $'/home\n0' ]
        fsck glibc.ext4
    done
}

@test "with Debian's kernel: bytes, status, little more time than the kernel itself takes" {
    skip_unless "command -v linux.uml" "no linux.uml"
    prepare
    run_42 "$ROOTLET" run root
    head -c 3000000 /dev/urandom >data
    "$ROOTLET" run root -- cat <data | cmp - data
    mkdir -p bare/proc bare/dev
    printf '#include <sys/reboot.h>\nint main(void) { return reboot(RB_POWER_OFF); }\n' >off.c
    gcc -static -O1 -s -o bare/init off.c
    rootlet pack -q -o bare.ext4 bare
    # The best of some, in ms: the machine may have more to do.
    best() {
        local min=1000000 t0 t1 i
        for i in 1 2 3 4; do
            t0=$(date +%s%N)
            "$@" >/dev/null 2>&1 </dev/null || true
            t1=$(date +%s%N)
            [ $(((t1 - t0) / 1000000)) -gt $min ] || min=$(((t1 - t0) / 1000000))
        done
        echo $min
    }
    bare=$(best sh -c 'linux.uml mem=128M ubd0d=bare.ext4 root=/dev/ubda rw init=/init con=null con0=null,fd:1 uml_dir=tmp | cat')
    ours=$(best "$ROOTLET" run root -- true)
    echo "bare $bare ms, with a command $ours ms"
    [ -n "${RL_SANITIZE:-}" ] || [ $((ours * 100)) -le $((bare * 115)) ]
    ours=$(best in_guest root -- true)
    echo "linux-um: $ours ms"
    [ -n "${RL_SANITIZE:-}" ] || [ "$ours" -lt 600 ]
}
