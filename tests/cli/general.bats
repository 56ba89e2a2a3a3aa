#!/usr/bin/env bats
load helper

@test "every verb has a help with its usage, an unknown one is wrong usage" {
    for verb in build pack list ls cat info run doctor; do
        run -0 --separate-stderr rootlet $verb --help
        [[ $output == *"usage: rootlet $verb "* ]]
        [ -z "$stderr" ]
        rootlet --help | grep -q "^  $verb "
    done
    run --separate-stderr rootlet frobnicate
    failed 2 "unknown verb"
    run rootlet
    [ "$status" = 2 ]
}

@test "the version" {
    run -0 rootlet --version
    [[ $output =~ ^rootlet\ [0-9]+\.[0-9]+ ]]
}

@test "wrong options are wrong usage and name the option" {
    run --separate-stderr rootlet pack --frob
    failed 2 "unknown option --frob"
    run --separate-stderr rootlet ls -Z x
    failed 2 "unknown option -Z"
    run --separate-stderr rootlet pack --size
    failed 2 "--size needs a value"
    run --separate-stderr rootlet info
    failed 2 "which image?"
    run --separate-stderr rootlet info --progress=maybe x
    failed 2 "auto, always or never"
    run --separate-stderr rootlet ls -lRz x
    failed 2 "unknown option -z in -lRz"
    # A word that is empty, as of a variable that is, can be seen.
    for verb in ls cat stat find du df tree info check tar manifest; do
        run --separate-stderr rootlet $verb ''
        failed 1 "rootlet: '': "
    done
}

@test "output that cannot be written is an error" {
    rootlet pack -o d.ext4
    for command in "ls -l d.ext4" "info d.ext4" "--help" "list" "tar d.ext4" "manifest d.ext4" "manifest --format json d.ext4"; do
        run bash -c "'$ROOTLET' $command >/dev/full"
        [ "$status" = 1 ]
        [[ $output == *"standard output: write: No space left"* ]]
    done
    mkdir f
    echo text >f/text
    rootlet pack -q -o d.ext4 f
    # One that is closed does not take it either, and one whose reader has gone says nothing.
    for command in "ls d.ext4" "cat d.ext4:/text" "tar d.ext4" "manifest d.ext4" "find d.ext4" "stat d.ext4:/text" "df d.ext4" "--help"; do
        run --separate-stderr bash -c "'$ROOTLET' $command >&-"
        [ "$status" = 1 ]
        [[ $stderr == *"Bad file descriptor"* ]]
    done
    mkdir many
    (cd many && seq 20000 | xargs touch)
    rootlet pack -q -o m.ext4 many
    for verb in "ls -l" find tar manifest "ls --json"; do
        run --separate-stderr bash -c "'$ROOTLET' $verb m.ext4 | head -c 1 >/dev/null; exit \${PIPESTATUS[0]}"
        [ "$status" = 141 ]
        [ -z "$stderr" ]
    done
    mkdir big
    head -c 300000 /dev/urandom >big/file
    for number in $(seq 1000); do : >big/$number; done
    rootlet pack -q -o big.ext4 big
    for command in "tar -o out" "manifest -o out"; do
        run --separate-stderr bash -c "ulimit -f 20; '$ROOTLET' $command big.ext4"
        failed 1 "rootlet: out: write: File too large"
    done
    [ ! -e out ]
}

@test "control characters in a file's name do not reach the terminal" {
    run --separate-stderr rootlet info $'no\e[31msuch\nfile'
    failed 1 'no\x1b[31msuch\nfile: open: No such file'
}

@test "installed anywhere, it finds its recipes" {
    mkdir -p there/usr/bin there/usr/share/rootlet
    cp "$ROOTLET" there/usr/bin/rootlet
    cp -R "$BATS_TEST_DIRNAME/../../recipes" there/usr/share/rootlet
    run -0 --separate-stderr there/usr/bin/rootlet list
    [[ $output == *demo*busybox* ]]
}

@test "the manual page has every option of pack, and no other" {
    page=$BATS_TEST_DIRNAME/../../builder/cmd/rootlet-pack.1
    rootlet pack --help | sed -n '/^options:/,/^A SOURCE/p' | grep -oE '^ +(-[a-z], )?--[a-z-]+' | grep -oE -- '--[a-z-]+' | sort >helped
    sed 's/\\-/-/g' "$page" | grep -oE -- '--[a-z][a-z-]+' | sort -u >paged
    diff helped paged
    # Without a mistake in the typesetter's eyes, where there is one.
    command -v nroff >/dev/null || skip "no nroff"
    for page in "$BATS_TEST_DIRNAME"/../../builder/cmd/*.[15]; do
        [ -z "$(nroff -man -ww "$page" 2>&1 >/dev/null)" ]
    done
}

@test "the manual page has every verb, and the options of those that have no page of their own" {
    sed 's/\\-/-/g' "$BATS_TEST_DIRNAME/../../builder/cmd/rootlet.1" >page
    # Of ls there is only what ls has everywhere.
    for verb in $(rootlet --help | sed -n 's/^  \([a-z-]*\)  *[^ ].*/\1/p'); do
        grep -qE "^\.BR? (.* )?$verb( |$)" page || { echo "no $verb"; false; }
        [ "$verb" != pack ] && [ "$verb" != ls ] || continue
        rootlet "$verb" --help | sed -n '/^options:/,/^$/p' | grep -oE '^ +(-[a-z], )?--[a-z-]+' | grep -oE -- '--[a-z-]+' >options || true
        while read -r option; do
            grep -qE -- "$option( |=|,|\$)" page || { echo "no $verb $option"; false; }
        done <options
    done
}

@test "a path that is no image's is told as a path, and a name as a recipe's" {
    mkfifo fifo
    mkdir folder
    for path in ./nosuch.ext4 /no/such/file nosuch.ext4 nosuch.img no.cow; do
        run --separate-stderr rootlet run "$path"
        failed 1 "$path: use as a disk: No such file or directory"
    done
    for path in . /dev/null fifo ./folder folder/; do
        run --separate-stderr rootlet run "$path"
        failed 1 "$path: use as a disk: it is neither a regular file nor a block device"
    done
    for name in nosuch folder; do
        run --separate-stderr rootlet run $name
        failed 1 "$name: find recipe: no "
    done
}

@test "a kernel is looked for in PATH, and what was meant is told" {
    mkdir linux
    touch mylinux disk.img
    truncate -s 1M disk.img
    run --separate-stderr rootlet run --kernel mylinux disk.img
    failed 1 "mylinux: find kernel: there is no such program in PATH (./mylinux is meant by a path: --kernel ./mylinux)"
    run --separate-stderr rootlet run --kernel ./mylinux disk.img
    failed 1 "./mylinux: find kernel: it is not executable"
    run --separate-stderr rootlet run --kernel . disk.img
    failed 1 ".: find kernel: it is a folder"
    run --separate-stderr rootlet run --kernel ./linux disk.img
    failed 1 "./linux: find kernel: it is a folder"
    run --separate-stderr rootlet run --kernel frobnicate disk.img
    failed 1 "frobnicate: find kernel: there is no such program in PATH (on Debian: apt install user-mode-linux)"
    run --separate-stderr rootlet run --kernel '' disk.img
    failed 1 "'': find kernel: there is no such program in PATH"
}

@test "an empty argument is shown as one" {
    for verb in stop kill; do
        run --separate-stderr rootlet $verb ''
        failed 1 "rootlet: '': find guest: no guest of that name is running"
    done
    run --separate-stderr rootlet run ''
    failed 1 "rootlet: '': find recipe: "
    run --separate-stderr rootlet ls ''
    failed 1 "rootlet: '': open: No such file or directory"
    rootlet doctor '' | grep "^FAIL  disk  *'': No such file"
    for user in '' :5; do
        run --separate-stderr rootlet run --user "$user" disk.img -- true
        failed 2 "--user takes USER[:GROUP], names or numbers, not '$user'"
    done
}
