#!/usr/bin/env bats
# Folders of the host in a guest: what it may do there, and that there is nothing else, whatever its root does.
load helper

setup_file() {
    build_box <<'END'
summary   = "has a shell"
disk "root" { free = 4M }
END
}

setup() {
    mkdir "$BATS_TEST_TMPDIR/work" "$BATS_TEST_TMPDIR/tmp"
    cd "$BATS_TEST_TMPDIR/work"
    export TMPDIR=$BATS_TEST_TMPDIR/tmp
    umask 022
    cp "$BATS_FILE_TMPDIR/box/root.ext4" .
    mkdir -p shared/sub
    echo inside >shared/file
    echo secret >outside
}

# Runs a command in a guest, and says so if what it takes to share is not to be had here.
in_guest() { # OPTION... -- COMMAND [ARG]...
    timeout 100 "$ROOTLET" run -q --kernel "$kernel" --timeout 90 root.ext4 "$@" 3>&-
}

# Nothing is left of any guest.
gone() {
    for _ in $(seq 50); do
        [ -n "$(ls -A "$TMPDIR")" ] || return 0
        sleep 0.1
    done
    ls -A "$TMPDIR"
    false
}

# The process ends. What nobody waits for stays as a zombie where init does not care.
ended() { # PID
    for _ in $(seq 50); do
        case $(sed -n 's/^State:[[:blank:]]*//p' "/proc/$1/status" 2>/dev/null) in
            '' | Z*) return 0 ;;
        esac
        sleep 0.1
    done
    false
}

# What a hostile root of a guest tries: prints the path, or the way and the path, of each thing that it gets at.
climb() {
    cat <<'END'
mkdir -p /x /y
for way in /.. /../.. /../../../../.. /../../../../../../../../.. /../. ../.. / /0/.. /0/../.. /0/../../etc /../etc \
    /0/sub/../../.. /../proc/1/root /../proc/self/root /../proc/self/cwd /../../proc/thread-self/root /../dev/fd \
    /../proc/self/fd/0 /../proc/self/fd/1 /0/up /0/abs /0/up/etc /0/there /0/sub/up; do
    mount -t hostfs -o "$way" none /x 2>/dev/null || continue
    find /x 2>/dev/null | sed "s,^/x,$way:,"
    umount /x
done >/mnt/shared/seen-mounts
(
    find -L /mnt/shared -maxdepth 3 2>/dev/null
    cd /mnt/shared
    cat ../outside sub/../../outside there/outside up/outside sub/up/outside
    cat abs
    mount --bind /mnt/shared/sub /y && cat /y/../outside /y/../../outside /y/up/outside
    # A symlink takes the place of a folder again and again, while it is gone through.
    mkdir -p swap && ln -s .. swap-link
    (for i in $(seq 200); do mv swap aside; mv swap-link swap; mv swap swap-link; mv aside swap; done) &
    for i in $(seq 200); do cat swap/outside swap/../outside swap/../../outside; done
    wait
) >/mnt/shared/seen-paths 2>/dev/null
END
}

@test "a folder is there, with what is in it, and goes back" {
    in_guest --share shared -- sh -c 'cat /mnt/shared/file; echo written >/mnt/shared/new; mkdir /mnt/shared/d;
        mv /mnt/shared/file /mnt/shared/d/moved; printf "#!/bin/sh\necho runs\n" >/mnt/shared/p; chmod +x /mnt/shared/p; /mnt/shared/p' >out
    [ "$(cat out)" = "$(printf 'inside\nruns')" ]
    [ "$(cat shared/new shared/d/moved)" = "$(printf 'written\ninside')" ]
    [ "$(stat -c %u shared/new)" = "$(id -u)" ]
    [ -x shared/p ]
    gone
    fsck root.ext4
}

@test "several, where they are wanted, with blanks and commas and ro" {
    mkdir 'a b,c=d'
    echo odd >'a b,c=d/file'
    in_guest --share shared=/one --share 'a b,c=d=/two words/deep,ro' --share shared/sub,ro -- \
        sh -c 'cat /one/file "/two words/deep/file"; ls -d /mnt/sub; touch /one/ok; touch "/two words/deep/no" /mnt/sub/no' >out 2>err || true
    [ "$(cat out)" = "$(printf 'inside\nodd\n/mnt/sub')" ]
    [ "$(grep -c 'Read-only file system' err)" = 2 ]
    [ -e shared/ok ]
    [ -z "$(ls shared/sub)" ]
}

@test "large files, byte by byte" {
    head -c 30000000 /dev/urandom >shared/blob
    in_guest --share shared -- sh -c 'cp /mnt/shared/blob /mnt/shared/copy && sync'
    cmp shared/blob shared/copy
}

@test "the guest's root gets at nothing else" {
    ln -s /etc/passwd shared/abs
    ln -s ../../../../../../../../../.. shared/up
    ln -s "$PWD" shared/there
    ln -s /proc/self/root shared/sub/up
    climb >shared/climb
    for k in "$kernel" linux.uml; do
        command -v "$k" >/dev/null || continue
        kernel=$k in_guest --share shared -- sh /mnt/shared/climb
        # Of a root all that is there: its run folder, its disks by their numbers, three devices, its libraries, the share.
        sed -n 's,^/\.\.:,,p' shared/seen-mounts | grep -v '^/rootlet-shares/0/' | sort >there
        grep -qx /rootlet-shares/0 there
        rest=$TMPDIR
        while [ "$rest" != / ]; do echo "$rest"; rest=$(dirname "$rest"); done >known
        printf '%s\n' '' /dev /dev/null /dev/random /dev/urandom /lib /lib64 /lib/x86_64-linux-gnu \
            /lib64/ld-linux-x86-64.so.2 /lib/x86_64-linux-gnu/libc.so.6 /proc /proc/self /proc/self/fd /rootlet-shares \
            /rootlet-shares/0 >>known
        grep -vxFf known there | grep -vE "^/proc/self/fd/[0-9]+$|^$TMPDIR/rootlet-" >more || true
        cat more
        [ ! -s more ]
        # The other ways lead to the same.
        refute grep -E ':(/[^ ]*)?/(outside|etc|usr|home|boot)$' shared/seen-mounts
        refute grep secret shared/seen-paths
        grep -q '^root:' shared/seen-paths
        refute grep "$(sed -n '$p' /etc/passwd)" shared/seen-paths
        rm -r shared/seen* shared/swap*
    done
    gone
}

@test "ro is the host's word: not by another mount, chmod, truncate, link or rename" {
    before=$(find shared -printf '%p %m %T@ %s\n' | sort)
    in_guest --share shared,ro -- sh -c 'mount -o remount,rw /mnt/shared; mkdir /x; mount -t hostfs -o rw,/0 none /x; cd /x
        echo no >new; echo no >file; chmod 777 file; touch -t 200001010000 file; mkdir d; ln file hard; ln -s a b; mv file f; rm file; rmdir sub; mkfifo p
        mount -t hostfs -o /../rootlet-shares none /x; cd /x/0 && rm -rf file sub; true' >out 2>&1
    [ "$(find shared -printf '%p %m %T@ %s\n' | sort)" = "$before" ]
}

@test "a read-only disk stays that" {
    rootlet pack -q -o data.ext4 --size 4M
    before=$(sha256sum <data.ext4)
    in_guest --disk data.ext4,ro --share shared -- sh -c 'mkdir /x; mount -t hostfs -o /../proc/self/fd none /x; ls /x >/mnt/shared/fds
        for disk in /x/*; do dd if=/dev/zero of=$disk bs=4096 count=1 conv=notrunc; chmod 0 $disk; : >$disk; done; rm -f /x/*' >/dev/null 2>&1 || true
    [ "$(wc -l <shared/fds)" = 3 ]
    [ "$(sha256sum <data.ext4)" = "$before" ]
    [ "$(stat -c %a data.ext4)" = 644 ]
}

@test "without --share hostfs has nothing" {
    run -0 in_guest -- sh -c 'mkdir /x; mount -t hostfs -o / none /x || mount -t hostfs -o /../../.. none /x; ls /x'
    refute grep -q etc <<<"$output"
}

@test "files have the host's owners" {
    [ "$(in_guest --share shared -- stat -c %u:%g /mnt/shared/file)" = "$(stat -c %u:%g shared/file)" ]
    # Those of others are nobody's, but for root.
    mkdir etc
    who=$(in_guest --share /etc=/e,ro -- stat -c %u /e/passwd)
    [ "$(id -u)" = 0 ] && [ "$who" = 0 ] || [ "$who" = 65534 ]
}

@test "COW files, ephemeral disks and shares" {
    for option in --ephemeral '--snapshot s.cow'; do
        before=$(sha256sum <root.ext4)
        # shellcheck disable=SC2086
        in_guest $option --share shared -- sh -c 'echo disk >/marker; cat /marker >/mnt/shared/seen'
        [ "$(cat shared/seen)" = disk ]
        [ "$(sha256sum <root.ext4)" = "$before" ]
        rm shared/seen
        gone
    done
    [ "$(rootlet cat s.cow:/marker)" = disk ]
}

@test "a network and a share" {
    [ "$(in_guest --net user --share shared -- sh -c 'ping -c 1 10.0.2.2 >/dev/null && cat /mnt/shared/file')" = inside ]
}

@test "a whole system mounts what it is told, and answers on its console" {
    cp "$BATS_FILE_TMPDIR/box.conf" share-$$.conf
    # Nobody types, and the end of input does not come.
    mkfifo typed
    exec 9<>typed
    timeout 100 "$ROOTLET" run -q --kernel "$kernel" --timeout 90 -o "$BATS_FILE_TMPDIR/box" --ephemeral --share shared --share shared/sub=/deep/er,ro \
        share-$$.conf <&9 9>&- >console 2>err 3>&- &
    job=$!
    for _ in $(seq 300); do ! grep -q 'login:' console || break; sleep 0.1; done
    rootlet ps | grep -q "^share-$$ .*/box/root.ext4\|^share-$$ "
    rootlet mconsole share-$$ version | grep -q '^Linux '
    rootlet mconsole share-$$ 'proc mounts' >mounts
    grep -q '^none /mnt/shared hostfs rw' mounts
    grep -q '^none /deep/er hostfs ro' mounts
    rootlet stop --timeout 60 share-$$
    wait $job
    gone
}

@test "in a root that is full they have their usual place all the same, and no other" {
    mkdir tree tree/mnt shared/more
    truncate -s 400K tree/fill
    cp -r "$(rootlet package -q busybox)/bin" tree/
    rootlet pack -q -o full.ext2 --fs ext2 tree
    # All inodes are taken.
    for i in $(seq 100); do echo "write /dev/null f$i"; done >commands
    debugfs -w -f commands full.ext2 >/dev/null 2>&1
    cat >look <<'END'
cat /mnt/shared/file; ls /mnt; touch /mnt/more/new; touch /mnt/lost
END
    full() { timeout 100 "$ROOTLET" run -q --kernel "$kernel" full.ext2 "$@" 3>&-; }
    run full --share shared --share shared/more -- /bin/busybox sh -c "$(cat look)"
    [[ $output == inside*more*shared*"touch: /mnt/lost: Read-only file system" ]]
    [ -e shared/more/new ]
    run --separate-stderr full --share shared=/new/place -- /bin/busybox true
    failed 125 "/new/place: make folder in the guest: No space left on device"
}

@test "shares that are none" {
    run --separate-stderr rootlet run --kernel "$kernel" --share missing root.ext4 -- true
    failed 125 "missing: share with the guest: No such file or directory"
    run --separate-stderr rootlet run --kernel "$kernel" --share outside root.ext4
    failed 1 "outside: share with the guest: Not a directory"
    run --separate-stderr rootlet run --share / root.ext4
    failed 2 "where in the guest?"
    run --separate-stderr rootlet run --share shared=/ root.ext4
    failed 2 "where in the guest?"
    run --separate-stderr rootlet run --share shared --share shared,ro root.ext4
    failed 2 "two shares at /mnt/shared"
    run --separate-stderr rootlet run --share '' root.ext4
    failed 2 "--share takes HOSTDIR[=/GUESTDIR][,ro], not ''"
    run --separate-stderr rootlet run --kernel "$kernel" --share 'shared=/a b' root.ext4
    failed 1 "which only a command's share may"
    gone
}

@test "where namespaces cannot be had, that is said before the boot" {
    skip_unless "unshare -Ur true" "no user namespaces here"
    run --separate-stderr unshare -Ur sh -c 'echo 0 >/proc/sys/user/max_user_namespaces && exec "$@"' - \
        "$ROOTLET" run --kernel "$kernel" --share shared root.ext4 -- true
    failed 125 "shares: keep the guest in them: namespaces of its own: No space left on device"
    gone
}

@test "it all ends with rootlet, and with the guardian" {
    for victim in rootlet guardian holder; do
        timeout 100 "$ROOTLET" run -q --kernel "$kernel" --share shared root.ext4 -- sh -c 'echo up >/mnt/shared/up; sleep 80' >out 2>err </dev/null 3>&- &
        job=$!
        for _ in $(seq 100); do [ ! -e shared/up ] || break; sleep 0.1; done
        rm shared/up
        pid=$(pgrep -P $job -x rootlet)
        guard=$(pgrep -P "$pid" -x guest-guardian)
        holder=$(pgrep -P "$guard" -x rootlet-root)
        case $victim in
            rootlet) kill -9 "$pid" ;;
            guardian) kill -9 "$guard" ;;
            holder) kill -9 "$holder" ;;
        esac
        wait $job || true
        gone
        ended "$guard"
        ended "$holder"
    done
}
