#!/usr/bin/env bats
# The main story, for real: packages from pinned sources, images, a boot, a file read from the host.
load helper


setup_file() {
    export DEMO=$BATS_FILE_TMPDIR/demo
    cd "$BATS_FILE_TMPDIR"
    rootlet build -o "$DEMO" demo >build.log 2>&1 || { cat build.log >&2; return 1; }
}

@test "the images are sound, and a second build does nothing, quickly" {
    e2fsck -fn "$DEMO/root.ext4"
    e2fsck -fn "$DEMO/data.ext4"
    before=$(stat -c '%i %y' "$DEMO"/*)
    run -0 --separate-stderr rootlet build -o "$DEMO" demo
    [[ $stderr == *"nothing to do"* ]]
    [ "$(stat -c '%i %y' "$DEMO"/*)" = "$before" ]
}

@test "busybox is static, set-user-id, root's; the devices are there" {
    rootlet cat "$DEMO/root.ext4:/bin/busybox" >busybox
    [ -z "$(readelf -lW busybox | grep INTERP)" ]
    chmod +x busybox
    [ "$(./busybox echo works)" = works ]
    rootlet ls -l "$DEMO/root.ext4:/bin/busybox" | grep -q '^-rwsr-xr-x .* 0     0 '
    rootlet ls -l "$DEMO/root.ext4:/dev" | grep -q '^crw------- .* 5, 1 .*console'
    rootlet ls -l "$DEMO/root.ext4:/dev" | grep -q '^crw-rw-rw- .* 1, 3 .*null'
    rootlet ls -l "$DEMO/root.ext4:/etc/shadow" | grep -q '^-rw------- .* 0     0 '
}

@test "it boots to a login, writes its file, powers off; the disks stay sound" {
    skip_without_uml
    cp "$DEMO"/*.ext4 .
    mkdir tmp run
    mv *.ext4 run
    TMPDIR=$PWD/tmp boot -o run demo
    [ "$status" = 0 ] || { cat console err; false; }
    grep -q 'rootlet login:' console
    refute grep -E 'EXT4-fs (warning|error)|EXT4-fs \(ubd.\): (warning|error|recovery)|unchecked|inconsistent' console
    [ "$(rootlet cat run/data.ext4:/foo.txt)" = "This is a UML test!" ]
    rootlet ls -l run/data.ext4:/ | grep -q ' foo.txt$'
    fsck run/root.ext4
    fsck run/data.ext4
    # Nothing is left behind, and a build does not undo what the guest wrote.
    [ -z "$(ls -A tmp)" ]
}

@test "a root from other sources boots: an image, a tar and a device table over one another" {
    skip_without_uml
    mkdir over
    cat >over/check <<'END'
#!/bin/sh
mount -t proc proc /proc
ls --color=never -ln /bin/busybox /check /box1 /owned >/dev/console
echo "the shell works: $(id -u)" >/dev/console
poweroff -f
sleep 100
END
    chmod +x over/check
    echo mine >over/owned
    tar --owner=1000 --group=1001 --numeric-owner -C over -cf over.tar owned
    rm over/owned
    printf '/box c 0640 3 4 7 1 1 1 2\n/owned f 0604 1000 1001 - - - - -\n' >table
    rootlet pack -o box.ext2 --fs ext2 --free 1M "$DEMO/root.ext4" over over.tar devtable:table
    fsck box.ext2
    boot --append init=/check --timeout 60 box.ext2
    grep -q 'the shell works: 0' console || { cat console err; false; }
    grep -qE -- '-rwsr-xr-x +1 0 +0 .* /bin/busybox' console
    grep -qE -- 'crw-r----- +1 3 +4 +7, +1 .* /box1' console
    grep -qE -- '-rw----r-- +1 1000 +1001 .* /owned' console
    refute grep -E 'EXT4-fs (warning|error)|EXT4-fs \(ubd.\): (warning|error|recovery)' console
    fsck box.ext2
}

@test "a guest's own writes do not make a disk stale; a changed recipe does not overwrite them" {
    skip_without_uml
    mkdir mine
    cat >mine.conf <<'END'
summary = "a disk that is written to"
skeletons = { "base" }
disk "root" { free = 1M }
disk "data" { size = 8M  mount = "/data" }
END
    rootlet build -q -o mine mine.conf
    cp mine/data.ext4 before.ext4
    debugfs -w -R 'mkdir /written' mine/data.ext4 2>/dev/null
    run -0 --separate-stderr rootlet build -o mine mine.conf
    [[ $stderr == *"nothing to do"* ]]
    # A disk of which nothing is known is taken for what it is, if it is that, and else left alone.
    cp -r mine unknown
    rm unknown/build.json
    run --separate-stderr rootlet build -q -o unknown mine.conf
    failed 1 "unknown/data.ext4: write: it is there, and not what would be written"
    rootlet ls unknown/data.ext4 | grep -qx written
    cp before.ext4 unknown/data.ext4
    rootlet build -q -o unknown mine.conf
    run -0 --separate-stderr rootlet build -o unknown mine.conf
    [[ $stderr == *"nothing to do"* ]]
    # Nor does another rootlet; what no guest has written to is made anew.
    sed -i 's/"format": [0-9]*/"format": 0/' mine/build.json
    run -0 --separate-stderr rootlet build -o mine mine.conf
    [[ $stderr == *"root.ext4: made again, the same bytes"* && $stderr != *data* ]]
    rootlet ls mine/data.ext4 | grep -qx written
    sed -i 's/8M/9M/' mine.conf
    run --separate-stderr rootlet build -q -o mine mine.conf
    [ "$status" = 1 ]
    [[ $stderr == *"data.ext4: write: its recipe changed, but the disk was written to"* ]]
    rootlet ls mine/data.ext4 | grep -qx written
    rootlet build -q --force -o mine mine.conf
    [ -z "$(rootlet ls mine/data.ext4 | grep -x written)" ]
}

@test "the same bytes from another folder, umask and time zone" {
    mkdir other
    cp -r "$BATS_TEST_DIRNAME/../../recipes" "$BATS_TEST_DIRNAME/../../skeleton" other
    cd other
    (umask 077; chmod -R go-rwx skeleton; TZ=Asia/Tokyo rootlet build -q -o images demo)
    cmp images/root.ext4 "$DEMO/root.ext4"
    cmp images/data.ext4 "$DEMO/data.ext4"
}

@test "no kernel, a locked disk, no images yet: one line each" {
    skip_without_uml
    cp "$DEMO"/*.ext4 .
    run --separate-stderr rootlet run --kernel /nowhere/linux ./root.ext4
    failed 1 "/nowhere/linux"
    run --separate-stderr rootlet run -o nowhere demo
    failed 1 "nowhere/root.ext4: open: it is not there: build it first (rootlet build demo)"
    "$ROOTLET" run ./root.ext4 --append rootlet.demo=0 --timeout 60 </dev/null >console 2>&1 3>&- &
    guest=$!
    for i in $(seq 200); do grep -q 'login:' console && break; sleep 0.1; done
    run --separate-stderr rootlet run ./root.ext4
    failed 1 "in use by process"
    run --separate-stderr rootlet pack -o root.ext4
    failed 1 "root.ext4: write: in use by process"
    rootlet ls ./root.ext4 2>told >/dev/null
    grep -Eq "warning: ./root.ext4: in use by process [0-9]+ \([^ ]+, umid [^ ]+\): it may change" told
    kill -TERM $guest
    status=0
    wait $guest || status=$?
    [ "$status" = 143 ]
}

@test "time limit and panic have statuses and messages of their own" {
    skip_without_uml
    cp "$DEMO"/*.ext4 .
    run --separate-stderr timeout 100 "$ROOTLET" run ./root.ext4 --timeout 2
    failed 124 "still running after 2 s"
    run --separate-stderr timeout 100 "$ROOTLET" run ./root.ext4 --append init=/nowhere
    [ "$status" = 125 ]
    [[ $stderr == *anic* ]]
}
