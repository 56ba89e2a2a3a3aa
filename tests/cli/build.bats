#!/usr/bin/env bats
# What goes wrong in a build: one clear line, and what stood there stays.
load helper

setup() {
    mkdir "$BATS_TEST_TMPDIR/work"
    cd "$BATS_TEST_TMPDIR/work"
    unset SOURCE_DATE_EPOCH ROOTLET_OFFLINE
    export XDG_CACHE_HOME=$BATS_TEST_TMPDIR/cache ROOTLET_MIRROR=$PWD/mirror
    umask 022
    mkdir -p recipes/packages/thing recipes/images mirror
    echo "the source" >mirror/data
    cat >recipes/images/box.conf <<'END'
summary  = "a box"
packages = { "thing" }
disk "root" { size = 4M }
END
    thing 'cp $SRC/data $OUT/data'
}

# The package "thing", with that script and more lines for its recipe.
thing() {
    printf '%s\n' "$1" >recipes/packages/thing/build.sh
    cat >recipes/packages/thing/recipe.conf <<END
summary = "a thing"
version = "1"
license = "MIT"
${2:-}
source "data" {
    sha256 = "$(echo "the source" | sha256sum | cut -d' ' -f1)"
    urls   = { "http://127.0.0.1:9/data" }
}
END
}

skip_without_sandbox() {
    skip_unless "bwrap --unshare-user --ro-bind / / true" "bubblewrap cannot make namespaces here"
}

# The last run failed with status 1, its last line has the text, and only "build" would be new.
refused() {
    [ "$status" = 1 ] || { echo "status $status: $stderr"; return 1; }
    case ${stderr##*$'\n'} in
        "rootlet: "*"$1"*) ;;
        *) echo "stderr: $stderr"; return 1 ;;
    esac
    only mirror recipes
    [ -z "$(ls -A "$XDG_CACHE_HOME/rootlet/products" "$XDG_CACHE_HOME/rootlet/tmp" 2>/dev/null | grep -v ':$')" ]
}

@test "a build, from a mirror" {
    skip_without_sandbox
    run --separate-stderr rootlet build box
    [ "$status" = 0 ] || { echo "$stderr"; false; }
    [ "$(rootlet cat out/box/root.ext4:/data)" = "the source" ]
    fsck out/box/root.ext4
    run -0 --separate-stderr rootlet build box
    [[ $stderr == *"nothing to do"* ]]
}

@test "a source with a wrong SHA-256" {
    echo "another source" >mirror/data
    run --separate-stderr rootlet build -q box
    refused "SHA-256"
}

@test "no network and nothing in the store" {
    rm mirror/data
    ROOTLET_OFFLINE=1 run --separate-stderr rootlet build -q box
    refused "ROOTLET_OFFLINE is set"
    unset ROOTLET_MIRROR
    run --separate-stderr rootlet build -q box
    refused "data: fetch: http://127.0.0.1:9/data: "
}

@test "no bubblewrap" {
    mkdir -p "$BATS_TEST_TMPDIR/bin"
    for tool in sh cp gcc mktemp rm cat dirname; do ln -s "$(command -v $tool)" "$BATS_TEST_TMPDIR/bin"; done
    PATH=$BATS_TEST_TMPDIR/bin run --separate-stderr "$ROOTLET" build -q box
    refused "bwrap"
}

@test "a script that fails: the end of its log, and where the log is" {
    skip_without_sandbox
    thing 'for i in $(seq 100); do echo line $i; done; echo the reason >&2; exit 3'
    run --separate-stderr rootlet build -q box
    refused "thing: build"
    [[ $stderr == *"  line 100"*"  the reason"* ]]
    log=$(printf '%s\n' "$stderr" | grep -o '/[^ ]*\.log' | head -1)
    grep -q '^line 1$' "$log"
}

@test "a script without end" {
    skip_without_sandbox
    thing 'while :; do sleep 1; done' 'time-limit = 1s'
    run --separate-stderr timeout 60 "$ROOTLET" build -q box
    refused "1 s"
    thing 'while :; do echo more and more; done' 'log-limit = 100K'
    run --separate-stderr timeout 60 "$ROOTLET" build -q box
    refused "log"
}

@test "kill -9 in the middle leaves the old images, and the next build works" {
    skip_without_sandbox
    rootlet build -q box
    cp out/box/root.ext4 before
    thing 'echo started >/proc/self/fd/1; sleep 60'
    "$ROOTLET" build -q box 3>&- &
    builder=$!
    for i in $(seq 200); do
        grep -qs started "$XDG_CACHE_HOME"/rootlet/logs/*.log && break
        sleep 0.05
    done
    grep -q started "$XDG_CACHE_HOME"/rootlet/logs/*.log
    kill -9 $builder
    wait $builder || :
    cmp before out/box/root.ext4
    [ "$(ls -A out/box)" = "$(printf 'build.json\nroot.ext4')" ]
    [ "$(ls "$XDG_CACHE_HOME/rootlet/products" | wc -l)" = 1 ]
    # Its sandbox died with it.
    for i in $(seq 100); do pgrep -f 'echo [s]tarted' >/dev/null || break; sleep 0.05; done
    thing 'echo new >$OUT/data'
    rootlet build -q box
    [ "$(rootlet cat out/box/root.ext4:/data)" = new ]
    [ -z "$(ls -A "$XDG_CACHE_HOME/rootlet/tmp")" ]
}

@test "kill -9 while images are written leaves the old ones, and the next build works" {
    thing 'cp $SRC/data $OUT/data'
    sed -i '/^packages/d' recipes/images/box.conf
    rootlet build -q box
    cp out/box/root.ext4 before
    sed -i '$d' recipes/images/box.conf
    head -c 300M /dev/zero | tr '\0' x >recipes/images/large
    cat >>recipes/images/box.conf <<'END'
path "/large" { source = "large" }
disk "root" { free = 1M }
END
    for delay in 0.02 0.05 0.1 0.2; do
        "$ROOTLET" build -q box 3>&- &
        sleep $delay
        kill -9 $! 2>/dev/null || :
        wait $! 2>/dev/null || :
        cmp -s out/box/root.ext4 before || fsck out/box/root.ext4
    done
    rootlet build -q box
    fsck out/box/root.ext4
    [ "$(ls -A out/box)" = "$(printf 'build.json\nroot.ext4')" ]
}

@test "a full disk: one line, the old images stay" {
    skip_without_sandbox
    sed -i '/^packages/d' recipes/images/box.conf
    head -c 4000000 /dev/urandom >recipes/images/large
    run --separate-stderr bwrap --unshare-user --ro-bind / / --bind "$PWD" "$PWD" --size 3145728 --tmpfs /tmp/ \
        --dev /dev --ro-bind "$PWD/recipes" /tmp/recipes --ro-bind "$ROOTLET" /tmp/rootlet sh -c '
            cd /tmp && export XDG_CACHE_HOME=/tmp/cache && ./rootlet build -q -o out recipes/images/box.conf &&
            cp --sparse=always out/root.ext4 before && cp recipes/images/box.conf big.conf && cp big.conf box.conf &&
            echo "path \"/large\" { source = \"recipes/images/large\" }" >>box.conf &&
            ./rootlet build -q -o out box.conf; s=$?; cmp out/root.ext4 before || exit 9; ls -A out; exit $s'
    [ "$status" = 1 ] || { echo "$status $output $stderr"; false; }
    [[ $stderr == "rootlet: "*"No space left on device" ]]
    [ "$output" = $'build.json\nroot.ext4' ]
}

@test "an image from sources: archives, folders, images" {
    mkdir -p a/etc b/srv
    echo old >a/etc/conf
    echo file >b/srv/file
    tar --owner 5 --group 6 -C a -cf recipes/images/root.tar .
    rootlet pack -o disk.ext2 --fs ext2 --owner 7:8 b
    cat >recipes/images/box.conf <<END
summary = "a box"
sources = { "root.tar", "../../b" }
path "/etc/conf" { mode = 0600 }
disk "root" { fs = ext2 }
disk "data" { fs = ext4  sources = { "$PWD/disk.ext2" } }
END
    rootlet build -q box
    fsck out/box/root.ext2
    fsck out/box/data.ext4
    [ "$(rootlet cat out/box/root.ext2:/etc/conf)" = old ]
    debugfs -R 'stat /etc/conf' out/box/root.ext2 2>/dev/null | grep -q 'Mode:  0600'
    debugfs -R 'stat /etc/conf' out/box/root.ext2 2>/dev/null | grep -q 'User:     5   Group:     6'
    debugfs -R 'stat /srv/file' out/box/data.ext4 2>/dev/null | grep -q 'User:     7   Group:     8'
    run -0 --separate-stderr rootlet build box
    [[ $stderr == *"nothing to do"* ]]
    # A file changed in a folder rebuilds the disk that has it, and no other.
    echo longer >b/srv/file
    run -0 --separate-stderr rootlet build box
    [[ $stderr == *"root.ext2: written"* ]]
    [[ $stderr != *"data.ext4: written"* ]]
    [ "$(rootlet cat out/box/root.ext2:/srv/file)" = longer ]
    rm recipes/images/root.tar
    run --separate-stderr rootlet build box
    failed 1 'recipes/images/root.tar: read source: No such file or directory'
    [ "$(rootlet cat out/box/root.ext2:/srv/file)" = longer ]
}

@test "accounts that a source brings are read right: inline, behind a symlink; a loop is an error" {
    mkdir -p in/usr/etc in/etc
    printf 'root:x:0:0::/root:/bin/sh\nbob:x:1500:1500::/home/bob:/bin/sh\n' >in/usr/etc/passwd
    ln -s ../usr/etc/passwd in/etc/passwd
    rootlet pack -o in.ext4 --features inline_data in
    printf 'summary = "s"\nsources = { "in.ext4" }\nuser "me" { uid = 1600 }\n' >x.conf
    rootlet build -q -o out x.conf
    rootlet ls -l out/root.ext4:/etc | grep -q 'passwd -> ../usr/etc/passwd'
    [ "$(rootlet cat out/root.ext4:/usr/etc/passwd)" = "$(cat in/usr/etc/passwd
        echo me:x:1600:1600::/home/me:/bin/sh)" ]
    ln -sf passwd in/etc/passwd
    rootlet pack -o in.ext4 in
    run -1 --separate-stderr rootlet build -q -o out x.conf
    failed 1 "/etc/passwd: change: it is a symlink that leads to nothing"
}

@test "many lines of the same account cost no more than others" {
    mkdir -p in/etc
    (yes x:x:1:1::/: | head -n 30000; yes root:x:0:0::/: | head -n 30000) >in/etc/passwd
    printf 'summary = "s"\nsources = { "in" }\nuser "root" { }\n' >x.conf
    timeout 20 "$ROOTLET" build -q -o out x.conf
    [ "$(rootlet cat out/root.ext4:/etc/passwd | grep -c ^root)" = 1 ]
}

@test "a file that an mtree source names counts for whether a disk is up to date" {
    echo one >c.txt
    printf 'f type=file contents=c.txt\n' >spec
    printf 'summary = "s"\nsources = { "mtree:spec" }\n' >x.conf
    rootlet build -q -o out x.conf
    echo two >c.txt
    rootlet build -q -o out x.conf
    [ "$(rootlet cat out/root.ext4:/f)" = two ]
}
